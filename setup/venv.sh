#!/usr/bin/env bash
# The Python environment: .venv with exactly the packages of requirements.lock, and this project in place.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*"; }

python=$(command -v python3.11 || command -v python3 || true)
if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))'; then
  say "Python 3.11 or newer is missing. On Debian 12: apt-get install python3 python3-venv" >&2
  exit 1
fi

mkdir -p .switchback
chmod 700 .switchback
wanted=$(cat requirements.lock pyproject.toml | sha256sum | cut -c1-16)
if [ -x .venv/bin/python ] && [ "$(cat .venv/switchback-lock 2>/dev/null)" = "$wanted" ]; then
  say "Python packages are there"
  exit 0
fi

began=$SECONDS
say "Python packages: installing into .venv"
if [ ! -x .venv/bin/python ]; then
  if ! "$python" -m venv .venv; then
    rm -rf .venv
    say "could not make a virtual environment. On Debian 12: apt-get install python3-venv" >&2
    exit 1
  fi
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
# setuptools warns of folders with the same name as the project; there they are the project.
PYTHONWARNINGS=ignore .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
echo "$wanted" >.venv/switchback-lock
say "Python packages: installed in $((SECONDS - began)) s"
