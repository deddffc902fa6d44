#!/bin/bash
# Makes the database cluster at the first start, then becomes PostgreSQL. See the Dockerfile for the contract.
#
# The cluster is made in a directory of its own inside PGDATA, and moved up with PG_VERSION last: a first start that
# is killed leaves nothing that looks finished, and is simply done again.
set -Eeuo pipefail
umask 077

fail() { echo "postgres: $*" >&2 && exit 1; }

[[ ${1:-postgres} == -* ]] && set -- postgres "$@"
[[ ${1:-postgres} == postgres ]] || exec "$@" # a shell, psql, pg_dump …
[[ $(id -u) != 0 ]] || fail "PostgreSQL does not run as root: leave the image's user, or say 999:999"
: "${PGDATA:?is not set}" "${POSTGRES_USER:=postgres}"
: "${POSTGRES_DB:=$POSTGRES_USER}"
fresh=$PGDATA/.initialising

first_start() {
  local password=${POSTGRES_PASSWORD:-} script
  if [[ -z $password && -n ${POSTGRES_PASSWORD_FILE:-} ]]; then password=$(<"$POSTGRES_PASSWORD_FILE"); fi
  [[ -n $password ]] || fail "the first start needs POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE"
  if [[ -e $fresh ]]; then
    echo "postgres: an earlier first start did not finish; beginning again"
    find "$PGDATA" -mindepth 1 -delete
  fi
  [[ -z $(find "$PGDATA" -mindepth 1 ! -name lost+found -print -quit) ]] ||
    fail "$PGDATA is neither empty nor a cluster, and is left alone: mount an empty volume there"
  mkdir "$fresh"
  # The password goes through a pipe, which no list of processes shows. What is flushed to disk, and when, is below.
  # shellcheck disable=SC2086  # these are options, separated by spaces
  initdb -D "$fresh" -U "$POSTGRES_USER" --pwfile=<(printf '%s\n' "$password") --encoding=UTF8 --no-sync \
    --auth-host=scram-sha-256 --auth-local=trust ${POSTGRES_INITDB_ARGS:-} >/dev/null
  echo 'host all all all scram-sha-256' >>"$fresh/pg_hba.conf"
  echo "listen_addresses = '*'" >>"$fresh/postgresql.conf"

  # Nobody but the scripts can reach it until it is complete: no network, and a socket where no client looks.
  pg_ctl -D "$fresh" -w -t 300 -l /dev/stdout start \
    -o "-c listen_addresses='' -c unix_socket_directories=/tmp -c fsync=off" >/dev/null
  export PGHOST=/tmp PGUSER=$POSTGRES_USER PGDATABASE=postgres
  [[ $POSTGRES_DB == postgres ]] || psql -qX -v ON_ERROR_STOP=1 -v db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
  PGDATABASE=$POSTGRES_DB
  for script in /docker-entrypoint-initdb.d/*; do
    [[ -e $script ]] || continue
    echo "postgres: running $script"
    case $script in
      *.sh) if [[ -x $script ]]; then "$script"; else bash "$script"; fi ;;
      *.sql) psql -qX -v ON_ERROR_STOP=1 -f "$script" ;;
      *.sql.gz) gunzip -c "$script" | psql -qX -v ON_ERROR_STOP=1 ;;
      *) echo "postgres: $script is none of .sh, .sql, .sql.gz; left out" ;;
    esac
  done
  unset PGHOST PGUSER PGDATABASE
  pg_ctl -D "$fresh" -w -m fast stop >/dev/null

  find "$fresh" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
  sync -f "$PGDATA"
  mv "$fresh/PG_VERSION" "$PGDATA/"
  rmdir "$fresh"
}

if [[ ! -s $PGDATA/PG_VERSION ]]; then
  # A stop during the first start ends it at once, with the cluster's own server.
  trap 'pg_ctl -D "$fresh" -m immediate stop >/dev/null 2>&1 || true; exit 1' ERR INT TERM
  first_start
  trap - ERR INT TERM
  sync -f "$PGDATA"
fi
[[ ! -d $fresh ]] || rmdir "$fresh" # killed between the last two steps
exec "$@"
