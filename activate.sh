# shellcheck shell=bash
# `source activate.sh`: a shell in which plain `pulumi …` works on this project. Made ready by `make setup`.
#
# It keeps what you have set already: your own backend (PULUMI_BACKEND_URL) and your own passphrase win.

_switchback_root=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")" && pwd)

if [ ! -f "$_switchback_root/.switchback/toolchain.env" ] || [ ! -x "$_switchback_root/.venv/bin/python" ]; then
  echo "Switchback is not set up here yet: run \`make setup\` in $_switchback_root first." >&2
  unset _switchback_root
  return 1
fi

source "$_switchback_root/.switchback/toolchain.env"
# The language host takes the first Python on PATH.
export PATH="$_switchback_root/.venv/bin:$SWITCHBACK_TOOLCHAIN_BIN:$PATH"
export PULUMI_HOME="$SWITCHBACK_PULUMI_HOME"
export PULUMI_SKIP_UPDATE_CHECK=1
# Pulumi and its plugins are Go programs of a moment with small heaps: collecting them less often saves a tenth of the time.
export GOGC="${GOGC:-400}"
# The engine compares resource by resource unless it is told not to: with many services, a sixth of an update.
export PULUMI_PARALLEL_DIFF="${PULUMI_PARALLEL_DIFF:-true}"
# State, history and their backups hold encrypted secrets and names: for the owner's eyes, whatever the umask was.
umask 077
if [ -z "${PULUMI_BACKEND_URL:-}" ]; then
  mkdir -p "$_switchback_root/.switchback/state"
  export PULUMI_BACKEND_URL="file://$_switchback_root/.switchback/state"
fi
if [ -z "${PULUMI_CONFIG_PASSPHRASE+set}" ] && [ -z "${PULUMI_CONFIG_PASSPHRASE_FILE:-}" ]; then
  if [ ! -s "$_switchback_root/.switchback/passphrase" ]; then
    python -c 'import secrets; print(secrets.token_urlsafe(32))' >"$_switchback_root/.switchback/passphrase"
  fi
  export PULUMI_CONFIG_PASSPHRASE_FILE="$_switchback_root/.switchback/passphrase"
fi
unset _switchback_root
