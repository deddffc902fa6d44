#!/usr/bin/env bash
# Puts together what an image is built from, so that the build itself needs no network: the Dockerfile, its files, and
# the Python packages or the binary that its requirements.txt pins by hash.
#
#   images/context.sh NAME DIRECTORY amd64|arm64 BASE       NAME and BASE as setup/images.sh has them
set -euo pipefail
umask 022 # whoever builds: it is read by another user in the container
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=$1 context=$2 arch=$3 base=$4
own=images/$name
[[ $name != demo ]] || own=demo/service
die() { echo "images/context: $*" >&2 && exit 1; }

# unpack DIRECTORY: the wheels of requirements.txt, for Python 3.11 and the engine's architecture, whatever is here
unpack() {
  local python machine
  for python in .venv/bin/python python3; do "$python" -m pip --version >/dev/null 2>&1 && break; done ||
    die "python3 has no pip. Type: apt-get install python3-pip"
  case $arch in
    amd64) machine=x86_64 ;;
    arm64) machine=aarch64 ;;
    *) die "the engine runs on $arch, and there are wheels for amd64 and arm64 only" ;;
  esac
  "$python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-compile --no-deps \
    --require-hashes --only-binary :all: --implementation cp --python-version 3.11 --platform "manylinux2014_$machine" \
    --platform "manylinux_2_17_$machine" --platform "manylinux_2_28_$machine" --target "$1" -r "$own/requirements.txt" >&2 ||
    die "the packages of $own/requirements.txt could not be had; pip says why above"
}

mkdir -p "$context"
cp "$own/Dockerfile" "$context/"
case $name in
  toolbox)
    unpack "$context/packages"
    cp -r switchback "$context/"
    find "$context/switchback" -name __pycache__ -prune -exec rm -rf {} +
    ;;
  demo)
    unpack "$context/packages"
    mkdir "$context/service"
    cp "$own"/*.py "$context/service/"
    ;;
  postgres) cp "$own/entrypoint.sh" "$context/" ;;
  caddy | nginx)
    find "$own" -type f ! -name Dockerfile ! -name requirements.txt -exec cp {} "$context/" \;
    mkdir "$context/bin"
    if [[ $base != public ]]; then # the public image has the binary
      unpack "$context/../wheel-$name"
      find "$context/../wheel-$name" -type f -name "$name" -exec install -m 0755 {} "$context/bin/" \;
    fi
    ;;
esac
chmod -R a+rX "$context" # also where the checkout itself is private
