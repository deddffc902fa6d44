#!/usr/bin/env bash
# Pins every Python package that pyproject.toml asks for, by hash, into requirements.lock.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools"
"$tools/bin/pip" install --quiet pip-tools==7.6.2
# What is pinned stays, where it still fits; without requirements.lock everything is pinned anew.
cp requirements.lock requirements.new 2>/dev/null || true
# Hashes alone decide what is installed; where from is each machine's own setting and stays out of the file.
env -u PIP_FIND_LINKS "$tools/bin/pip-compile" --quiet --generate-hashes --extra dev --allow-unsafe --strip-extras \
  --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host -o requirements.new pyproject.toml
{
  echo "# Every Python package, pinned by hash. Made from pyproject.toml by \`make lock\`."
  cat requirements.new
} >requirements.lock
rm requirements.new
