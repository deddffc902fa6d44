#!/usr/bin/env bash
# wrk, which measures throughput at saturation: the only thing that `make bench` needs beside `make setup`.
set -euo pipefail

command -v wrk >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "setup/bench: wrk is missing. Install it (Debian: apt-get install wrk) and run \`make bench\` again." >&2
  exit 1
fi
echo "setup/bench: installing wrk"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends wrk >/dev/null
