#!/usr/bin/env bash
# Set up .venv from requirements.lock. Does nothing (and needs no network) when it is up to date.
#
#   scripts/setup.sh            everything `make demo` needs
#   scripts/setup.sh --tests    and the browser that `make test` looks at pages with
#   scripts/setup.sh --trainers .venv-trainers, with the trainers that `make trainers` tests against (2 GB)
#
# Debian packages that are missing are installed when this runs as root; otherwise it says what to type.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
stamp="$venv/.setup-stamp"
want=$(cat requirements.lock pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1)

say() { printf 'setup: %s\n' "$*" >&2; }

find_python() {
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        [ -n "$candidate" ] || continue
        if "$candidate" -I -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

missing_packages() {
    # What the demo cannot do without: an interpreter with venv, and the compiler that the C tasks use.
    local missing=()
    local python
    if python=$(find_python); then
        "$python" -I -c 'import ensurepip, venv' 2>/dev/null || missing+=("python3-venv")
    else
        missing+=("python3.11" "python3.11-venv")
    fi
    command -v gcc >/dev/null || missing+=("gcc" "libc6-dev")
    command -v make >/dev/null || missing+=("make")
    printf '%s\n' "${missing[@]:-}"
}

install() {
    # Install Debian packages as root; otherwise say what to type.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing $*"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >&2
    else
        say "this machine lacks: $*"
        say "type:  sudo apt-get install -y $*    and run the same command again"
        exit 3
    fi
}

if [ "${1:-}" = --tests ]; then
    browser=
    for candidate in /usr/lib/chromium/chromium-headless-shell /usr/bin/chromium-headless-shell \
                     /usr/lib/chromium/chromium /usr/bin/chromium; do
        if [ -x "$candidate" ]; then browser=$candidate; break; fi
    done
    # The headless shell starts twice as fast as the whole browser; pages are written in DejaVu.
    [ -n "$browser" ] || install chromium-headless-shell fonts-dejavu-core
fi

trainers() {
    # An environment of its own: RLlib pins an older gymnasium. torch first, so that nothing else chooses its build.
    local venv=.venv-trainers python want stamp log
    stamp="$venv/.setup-stamp"
    want=$(cat pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then return 0; fi
    python=$(find_python) || { say "no Python 3.11 to 3.13 found"; exit 3; }
    log=$(mktemp)
    say "making $venv with $("$python" --version) (some minutes, once)"
    if ! { "$python" -I -m venv --clear "$venv" &&
           "$venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 &&
           "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
               -e '.[trl,rllib,minari,skyrl]' 'pytest>=8.3' 'pytest-asyncio>=0.25' 'hypothesis>=6.100'; } >"$log" 2>&1
    then
        say "installing the trainers failed; the last lines were:"
        grep -v '^WARNING' "$log" | tail -n 15 >&2
        rm -f "$log"
        exit 3
    fi
    rm -f "$log"
    echo "$want" >"$stamp"
}

if [ "${1:-}" = --trainers ]; then
    trainers
    exit 0
fi

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && [ -x "$venv/bin/rollouts" ]; then
    exit 0
fi

mapfile -t packages < <(missing_packages | sed '/^$/d')
if [ "${#packages[@]}" -gt 0 ]; then
    install "${packages[@]}"
fi

python=$(find_python) || { say "no Python 3.11 to 3.13 found; install python3.11 and python3.11-venv"; exit 3; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
say "making $venv with $("$python" --version) (about a minute, once)"
if ! { "$python" -I -m venv --clear "$venv" &&
       "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock &&
       "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
           --config-settings editable_mode=compat -e .; } >"$log" 2>&1
then
    say "installing the dependencies failed; the last lines were:"
    tail -n 15 "$log" >&2
    exit 3
fi
echo "$want" >"$stamp"
say "ready: $venv/bin/rollouts"
