#!/usr/bin/env bash
# Sees to it that a Docker Engine answers: uses the one that is there, else installs and starts Debian's. It never
# stops or restarts an engine. Safe to run again, and at the same time as another run.
#
#   setup/docker.sh             exit code 0 when an engine answers, else 1 with what is missing and what to type
#   DOCKER_HOST=…               that engine and no other: a Unix socket, ssh://, or tcp:// (with TLS as `docker` has it)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

socket=/var/run/docker.sock
pid_file=/var/run/docker.pid
log=.switchback/dockerd.log
patience=60 # seconds until an engine that was started has to answer

say() { echo "setup/docker: $*" >&2; }
die() { printf 'setup/docker: %s\n' "$@" >&2 && exit 1; }

# ask ADDRESS: the engine's version and API version; or exit code 1 and the reason in words. The API is asked, not
# a docker program, which is not needed and may be one that does not work here.
ask() {
  if [[ $1 == ssh://* ]]; then
    local target=${1#ssh://}
    timeout 20 ssh -o BatchMode=yes -o ConnectTimeout=10 "ssh://${target%%/*}" \
      docker version --format "'{{.Server.Version}} {{.Server.APIVersion}}'" 2>&1
    return
  fi
  python3 - "$1" 2>&1 <<'PYTHON'
import http.client, json, os, socket, ssl, sys
from urllib.parse import urlsplit

address = urlsplit(sys.argv[1])
try:
    if address.scheme == "unix":
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(10)
        connection.sock.connect(address.path)
    elif address.scheme in ("tcp", "http", "https"):
        verify = os.environ.get("DOCKER_TLS_VERIFY")
        if verify or address.scheme == "https":
            certificates = os.environ.get("DOCKER_CERT_PATH") or os.path.expanduser("~/.docker")
            ca, own, key = (os.path.join(certificates, name) for name in ("ca.pem", "cert.pem", "key.pem"))
            for file in (ca, own, key):
                open(file).close()  # its error names the file; that of TLS does not
            tls = ssl.create_default_context(cafile=ca)
            tls.load_cert_chain(own, key)
            connection = http.client.HTTPSConnection(address.hostname, address.port or 2376, timeout=10, context=tls)
        else:
            connection = http.client.HTTPConnection(address.hostname, address.port or 2375, timeout=10)
    else:
        sys.exit("not an address such as unix:///var/run/docker.sock, ssh://user@host or tcp://host:2376")
    connection.request("GET", "/version")
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        sys.exit(f"it answers HTTP {answer.status}")
    version = json.loads(body)
    print(version["Version"], version["ApiVersion"])
except (OSError, http.client.HTTPException, ValueError, KeyError) as failed:
    where = f": {failed.filename}" if getattr(failed, "filename", None) else ""
    sys.exit(f"{getattr(failed, 'strerror', None) or failed or type(failed).__name__}{where}")
PYTHON
}

answers() { # ADDRESS: whether it does; says which engine it is
  local said
  said=$(ask "$1") && echo "Docker Engine ${said% *} (API ${said#* }) answers at $1"
}

root() { [[ $(id -u) == 0 ]]; }

# A dockerd that is there already, answering or not yet. Its pid file outlives a crash of the machine, and the number
# in it may be anybody's by now.
running() {
  local pid
  pid=$(cat "$pid_file" 2>/dev/null) && [[ $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]]
}

wait_for_it() {
  local until=$((SECONDS + patience))
  while ((SECONDS < until)); do
    answers "unix://$socket" && return
    [[ -z ${1:-} ]] || kill -0 "$1" 2>/dev/null || running || return 1
    sleep 0.3
  done
  return 1
}

install() {
  local said
  if ! grep -qsE '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release || ! command -v apt-get >/dev/null; then
    die "no Docker Engine here, and this is neither Debian nor Ubuntu: install one (docs.docker.com/engine/install)," \
      "or point DOCKER_HOST at one, then run setup/docker.sh again"
  fi
  said=$(mktemp)
  say "installing docker.io and iptables"
  if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io iptables >"$said" 2>&1 &&
    ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends docker.io iptables; } >"$said" 2>&1; then
    tail -n 15 "$said" >&2
    die "docker.io could not be installed; the last lines of apt-get stand above"
  fi
  rm -f "$said"
}

start() {
  if [[ -d /run/systemd/system ]]; then
    systemctl enable --now docker >&2 || die "systemd could not start Docker. Type: journalctl -u docker -n 50"
    wait_for_it || die "Docker does not answer $patience s after its start. Type: journalctl -u docker -n 50"
    return
  fi
  mkdir -p .switchback
  running || rm -f "$pid_file"
  [[ ! -e $log ]] || mv "$log" "$log.1" # so that the last lines are of this start
  # It outlives this script and its terminal, and must not keep the lock.
  setsid nohup dockerd >"$log" 2>&1 </dev/null 9>&- &
  wait_for_it $! || {
    say "dockerd does not answer; the last lines of $log:"
    tail -n 15 "$log" >&2
    exit 1
  }
}

if [[ -n ${DOCKER_HOST:-} ]]; then
  answers "$DOCKER_HOST" && exit
  die "DOCKER_HOST is $DOCKER_HOST, but no engine answers there: $(ask "$DOCKER_HOST" || true)" \
    "Nothing was installed or started. Correct it, or type: unset DOCKER_HOST"
fi

answers "unix://$socket" && exit
reason=$(ask "unix://$socket" || true)

if ! root; then
  if [[ $reason == "Permission denied" ]]; then
    die "you may not use $socket. Type: sudo usermod -aG docker $(id -un)   (then log in again)"
  fi
  # Docker Desktop, Colima and rootless Docker listen elsewhere, and only the docker program knows where.
  if elsewhere=$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null) &&
    [[ $elsewhere != "unix://$socket" ]] && answers "$elsewhere" >/dev/null; then
    die "your engine listens elsewhere. Type: export DOCKER_HOST=$elsewhere"
  fi
  die "no Docker Engine answers at $socket ($reason), and installing or starting one takes root." \
    "Type: sudo setup/docker.sh   (or export DOCKER_HOST=<where your engine is>)"
fi

# One at a time: two runs must not install, or start, two engines.
mkdir -p /run/lock
exec 9>/run/lock/switchback-docker.lock
flock 9
answers "unix://$socket" && exit
if running; then
  wait_for_it ||
    die "dockerd (process $(cat "$pid_file")) runs but does not answer at $socket; it was left alone." \
      "If it listens elsewhere, type: export DOCKER_HOST=<where>"
  exit
fi
# Without iptables on the host a container can't publish a port.
if ! command -v dockerd >/dev/null || ! command -v iptables >/dev/null; then
  install
  if running; then # the package started it
    wait_for_it || die "the dockerd that came with the package does not answer at $socket"
    exit
  fi
fi
start
