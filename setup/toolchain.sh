#!/usr/bin/env bash
# Gets Pulumi, its Python language host and its two resource plugins, whatever this machine can reach:
#
#   1. an official Pulumi of the pinned version, on PATH or in ~/.pulumi/bin;
#   2. else what an earlier run left in the cache;
#   3. else the official installer;
#   4. else a build of toolchain/ from Go modules (about 8 minutes on two cores, once).
#
# Usage: setup/toolchain.sh [ENV_FILE]      writes shell variables to ENV_FILE (.switchback/toolchain.env)
#   SWITCHBACK_CACHE=DIR                    where to keep it (default: $XDG_CACHE_HOME or ~/.cache, /switchback)
#   SWITCHBACK_TOOLCHAIN=official|built     accept only this kind
set -euo pipefail

readonly pulumi_version=3.250.0 docker_version=5.2.0 command_version=1.2.1
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly repo
readonly env_file=${1:-$repo/.switchback/toolchain.env}
readonly want=${SWITCHBACK_TOOLCHAIN:-auto}
readonly cache=${SWITCHBACK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/switchback}/toolchain
readonly logs=$cache/logs
export PULUMI_SKIP_UPDATE_CHECK=1

say() { printf 'toolchain: %s\n' "$*"; }
fail() { printf 'toolchain: %s\n' "$@" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# ---- running one part: a line when it is done, a sign of life meanwhile, its last words if it fails ----

child=
run_part() { # name command...
    local name=$1 log=$logs/$1.log start=$SECONDS beat=15
    shift
    # Under job control it is a process group, so that Ctrl-C can end a compiler with its helpers.
    set -m
    "$@" >"$log" 2>&1 </dev/null 9>&- &
    child=$!
    set +m
    while kill -0 "$child" 2>/dev/null; do
        sleep 0.1
        if ((SECONDS - start >= beat)); then
            printf '  … %s, %d s so far\n' "$name" $((SECONDS - start))
            beat=$((beat + 15))
        fi
    done
    local status=0
    wait "$child" || status=$?
    child=
    if ((status)); then
        printf '  ✗ %s failed after %d s; the end of %s:\n' "$name" $((SECONDS - start)) "$log" >&2
        tail -n 15 "$log" | sed 's/^/      /' >&2
        return "$status"
    fi
    printf '  ✓ %s, %d s\n' "$name" $((SECONDS - start))
}

# Where things are put together until they are complete; gone when the script ends, however it ends.
scratch=
clean_up() {
    if [[ $child ]]; then kill -- "-$child" 2>/dev/null || true; fi
    if [[ $scratch ]]; then rm -rf "$scratch"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- official ----

readonly official=$cache/official-$pulumi_version
other_version=
find_official() { # sets bin, or other_version
    local path version
    while IFS= read -r path; do
        bin=$(dirname "$path")
        # A build of ours may be on PATH too, by an earlier activation; it does not count.
        if [[ ! -x $path || -e $bin/.built-here ]]; then continue; fi
        version=$("$path" version 2>/dev/null) || continue
        if [[ $version == "v$pulumi_version" && -x $bin/pulumi-language-python ]]; then return 0; fi
        other_version="$path, version $version"
    done < <(type -aP pulumi || true; printf '%s\n' "$HOME/.pulumi/bin/pulumi" "$official/bin/pulumi")
    return 1
}

install_official() { # sets bin
    has curl || return 1
    say "no Pulumi $pulumi_version here; trying its installer"
    mkdir "$scratch/installer"
    if ! curl -fsSL --connect-timeout 5 --max-time 60 -o "$scratch/installer/install.sh" https://get.pulumi.com \
        2>"$logs/installer.log"; then
        say "its installer can't be downloaded"
        return 1
    fi
    run_part installer sh "$scratch/installer/install.sh" \
        --version "$pulumi_version" --no-edit-path --install-root "$scratch/installer/root" || return 1
    [[ $("$scratch/installer/root/bin/pulumi" version) == "v$pulumi_version" ]] || return 1
    rm -rf "$official"
    mv "$scratch/installer/root" "$official"
    bin=$official/bin
}

# ---- built here ----

digest() { if has sha256sum; then sha256sum; else shasum -a 256; fi }

# What the build depends on. Tests don't count; the machine does, where a home is shared by several.
hash_toolchain() {
    cd "$repo/toolchain"
    {
        echo "2 $pulumi_version $docker_version $command_version $(uname -sm)"
        find . -type f \( -name '*.go' -o -name go.mod -o -name go.sum \) ! -name '*_test.go' | LC_ALL=C sort |
            while IFS= read -r file; do echo "$file"; cat "$file"; done
    } | digest | cut -c1-16
}

go_in() { # module arguments of go...
    cd "$repo/toolchain/$1"
    shift
    # Nothing of the user's Go settings may leak in; a newer Go is fetched only if this one is too old.
    export GOFLAGS=-buildvcs=false GOWORK=off GOTOOLCHAIN=local
    go list -m >/dev/null 2>&1 || GOTOOLCHAIN=auto
    go "$@"
}

build_language() { # bin
    go_in language build -trimpath -o "$1/" github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python
    # The host starts this script, which belongs to the CLI's version and is no Go code.
    local sdk
    sdk=$(go_in cli mod download -json "github.com/pulumi/pulumi/sdk/v3@v$pulumi_version" |
        sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p')
    install -m 755 "$sdk/python/cmd/pulumi-language-python-exec" "$1/"
}

build_cli() { # bin
    go_in cli build -trimpath -o "$1/pulumi" \
        -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v$pulumi_version" \
        github.com/pulumi/pulumi/pkg/v3/cmd/pulumi
}

install_plugin() { # pulumi home name version file
    PULUMI_HOME=$2 "$1" plugin install resource "$3" "$4" --file "$5"
}

# Builds the plugins, and with "all" the CLI and the language host, into a directory that appears complete
# or not at all.
build() { # all|plugins target [pulumi]
    local what=$1 target=$2 pulumi=${3:-} name
    if ! has go; then no_go; fi
    say "building from Go modules, once; later runs take it from $target"
    local new=$scratch/$what
    mkdir -p "$new/bin" "$new/home" "$scratch/plugins"
    if [[ $what == all ]]; then run_part language build_language "$new/bin"; fi
    for name in command docker; do
        run_part "$name" go_in "$name" build -trimpath -o "$scratch/plugins/pulumi-resource-$name" .
    done
    if [[ $what == all ]]; then
        run_part cli build_cli "$new/bin"
        pulumi=$new/bin/pulumi
    fi
    run_part install-docker \
        install_plugin "$pulumi" "$new/home" docker "$docker_version" "$scratch/plugins/pulumi-resource-docker"
    run_part install-command \
        install_plugin "$pulumi" "$new/home" command "$command_version" "$scratch/plugins/pulumi-resource-command"
    touch "$new/bin/.built-here" "$new/home/.built-here"
    if [[ ! -e $target ]]; then mv "$new" "$target"; fi
}

no_go() {
    fail "Pulumi $pulumi_version is not here${other_version:+ (only $other_version)}, can't be downloaded," \
        "and there is no Go to build it with. Do one of these, then run this again:" \
        "  - install Pulumi:  curl -fsSL https://get.pulumi.com | sh -s -- --version $pulumi_version" \
        "  - install Go 1.25.11 or newer and put it on PATH; this script then builds Pulumi with it"
}

# ---- plugins for an official CLI ----

plugins_in() { # home
    [[ -x $1/plugins/resource-docker-v$docker_version/pulumi-resource-docker &&
        -x $1/plugins/resource-command-v$command_version/pulumi-resource-command ]]
}

download_plugins() { # bin home
    PULUMI_HOME=$2 "$1/pulumi" plugin install resource docker "$docker_version"
    PULUMI_HOME=$2 "$1/pulumi" plugin install resource command "$command_version"
}

# An official CLI keeps the user's own Pulumi home, with their login, unless the plugins can't be
# downloaded: those built here must not turn up there under official names.
plugins_for_official() { # sets home, plugins
    home=${PULUMI_HOME:-$HOME/.pulumi} plugins=official
    if [[ -e $home/.built-here ]]; then home=$HOME/.pulumi; fi
    if plugins_in "$home"; then return; fi
    local own=$cache/$hash-plugins
    if ! plugins_in "$own/home"; then
        if run_part plugins download_plugins "$bin" "$home"; then return; fi
        say "the plugins can't be downloaded"
        build plugins "$own" "$bin/pulumi"
    fi
    home=$own/home plugins=built
}

# ---- main ----

mkdir -p "$cache" "$logs"
hash=$(hash_toolchain)
readonly hash built=$cache/$hash
bin='' home='' kind='' plugins=''

# One run at a time: a second one waits and then finds everything in the cache.
if has flock; then
    exec 9>"$cache/.lock"
    flock -n 9 || { say "another run is at work; waiting for it"; flock 9; }
    rm -rf "$cache"/.scratch.* # left by a run that was killed
fi
scratch=$(mktemp -d "$cache/.scratch.XXXXXX")

if [[ $want != built ]] && find_official; then
    kind=official
elif [[ $want != official && -x $built/bin/pulumi ]]; then
    kind=built
elif [[ $want != built ]] && install_official; then
    kind=official
elif [[ $want == official ]]; then
    fail "Pulumi $pulumi_version is not here${other_version:+ (only $other_version)} and can't be downloaded"
else
    build all "$built"
    kind=built
fi

if [[ $kind == built ]]; then
    bin=$built/bin home=$built/home plugins=built
else
    plugins_for_official
fi

mkdir -p "$(dirname "$env_file")"
{
    printf 'SWITCHBACK_TOOLCHAIN_KIND=%q\n' "$kind"
    printf 'SWITCHBACK_TOOLCHAIN_BIN=%q\n' "$bin"
    printf 'SWITCHBACK_PULUMI_HOME=%q\n' "$home"
    printf 'SWITCHBACK_PLUGINS_KIND=%q\n' "$plugins"
} >"$env_file.new"
mv "$env_file.new" "$env_file"

say "Pulumi $pulumi_version ($kind) in $bin; plugins docker $docker_version and command $command_version ($plugins)"
