#!/usr/bin/env bash
# Makes a small Debian root file system out of the host's own Debian packages, for machines that reach no image
# registry. Packages are unpacked, not installed: no maintainer script runs, which takes a third of the time and
# leaves out what only an installation needs. The few things the scripts would have made are made here.
#
#   images/base/make.sh proxy|python|postgres FILE.tar
set -euo pipefail
umask 022 # whoever builds: it is the root of other users too

name=${1:?proxy, python or postgres} tarball=${2:?the tar file to write}
suite=bookworm
say() { echo "images/base: $*" >&2; }

# A proxy needs a shell and a few tools, and its binary is static: busybox, as in the public Caddy image.
tools=base-files,bash,coreutils,dash,findutils,grep,gzip,hostname,libc-bin,sed,tar,tzdata,ca-certificates
case $name in
  proxy) packages=base-files,busybox-static,ca-certificates ;;
  python) packages=$tools,python3,postgresql-client-15,zstd ;;
  postgres) packages=$tools,postgresql-15,zstd ;;
  *) say "no base is called '$name': proxy, python or postgres" && exit 2 ;;
esac

# Where this host gets Debian from. APT itself is asked, so it does not matter in which file and format it stands,
# and what others publish for the same suite is left out by its origin.
sources() {
  # shellcheck disable=SC2016  # APT expands these
  apt-get indextargets --format '$(ORIGIN) deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
    awk -v suite="$suite" '$1 == "Debian" && $5 == "main" && ($4 == suite || $4 ~ "^" suite "-(updates|security)$")' |
    cut -d' ' -f2- | sort -u
}

found=$(sources)
if [[ -z $found && $(id -u) == 0 ]]; then # APT knows an origin only once it has fetched the lists
  apt-get update -qq >&2
  found=$(sources)
fi
if [[ -z $found ]]; then
  say "no Debian $suite among this host's APT sources (apt-get indextargets). Run apt-get update as root and try"
  say "again; on another system set SWITCHBACK_BASE=public, or SWITCHBACK_BASE=<an image of Debian $suite>."
  exit 1
fi

# Runs on the host with the new root as its only argument.
finish=$(mktemp) && trap 'rm -f "$finish"' EXIT
cat >"$finish" <<'HOOK'
set -eu
root=$1
[ -e "$root/bin/busybox" ] && chroot "$root" /bin/busybox --install -s /usr/bin
printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin >"$root/etc/passwd"
printf '%s\n' root:x:0: tty:x:5: nogroup:x:65534: >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
# What is inside, in the form that scanners for known vulnerabilities read in images without a package manager.
mkdir -p "$root/var/lib/dpkg/status.d"
for package in "$root"/var/cache/apt/archives/*.deb; do
  file=${package##*/}
  dpkg-deb --field "$package" >"$root/var/lib/dpkg/status.d/${file%%_*}"
done
# Nothing is installed later, so the host's mirror is nobody's business; Perl is only Debian's wrapper around the
# PostgreSQL programs; LLVM is only its JIT, which PostgreSQL does without when the library is not there.
cd "$root"
rm -rf etc/apt etc/dpkg/dpkg.cfg.d var/cache/apt var/log/* tmp/* etc/hostname etc/resolv.conf var/lib/dpkg/status var/lib/apt usr/bin/perl* usr/share/perl* usr/lib/*/perl* \
  usr/lib/*/libperl* usr/share/doc usr/share/man usr/share/info usr/share/locale usr/share/lintian \
  usr/lib/*/libLLVM* usr/lib/llvm* usr/lib/postgresql/*/lib/bitcode usr/lib/postgresql/*/lib/llvmjit*
[ -L var/run ] || { rm -rf var/run && ln -s /run var/run; }
mkdir -p usr/local/bin usr/local/lib
for program in usr/lib/postgresql/*/bin/*; do
  [ ! -e "$program" ] || ln -sf "/$program" usr/bin/
done
# A read-only container can't keep what Python compiles, and would compile it again for every exec.
if [ -e usr/bin/python3 ]; then
  rm -rf usr/lib/python3*/lib2to3 usr/lib/python3*/pydoc_data usr/lib/python3*/distutils
  chroot . python3 -m compileall -q -j 0 /usr/lib/python3.11
fi
HOOK

log=$(mktemp) && trap 'rm -f "$finish" "$log"' EXIT
if ! mmdebstrap --variant=extract --skip=cleanup --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --include="$packages" \
  --keyring=/usr/share/keyrings/debian-archive-keyring.gpg --extract-hook="sh $finish \"\$1\"" \
  "$suite" "$tarball" - <<<"$found" >"$log" 2>&1; then
  say "mmdebstrap could not make the $name base:"
  tail -n 15 "$log" >&2
  exit 1
fi
