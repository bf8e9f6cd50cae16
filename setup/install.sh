#!/usr/bin/env bash
# Installs what is missing, and only that: Debian packages, the virtual environment, the pinned Python packages, this project.
# usage: setup/install.sh bench|test|benchmark
set -euo pipefail
cd "$(dirname "$0")/.."

group=${1:?usage: setup/install.sh bench|test|benchmark}
list=setup/debian-packages.txt
# The benchmarks need no Python package that running does not.
python_group=${group/#benchmark/bench}
venv=.venv

say() { printf 'setup: %s\n' "$*" >&2; }

wanted_packages() {
    awk -v group="$group" '$1 == "bench" || $1 == group { print $2 }' "$list"
}

missing_packages() {
    local package
    for package in $(wanted_packages); do
        dpkg-query --show --showformat '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || echo "$package"
    done
}

is_debian() {
    [ -r /etc/os-release ] && (. /etc/os-release && [ "${ID:-}" = debian ]) && command -v dpkg-query apt-get >/dev/null
}

install_debian_packages() {
    local missing as_root=""
    if ! is_debian; then
        say "this is not Debian, so no system package was installed. Please install the equivalents of:"
        wanted_packages | sed 's/^/setup:   /' >&2
        say "going on with the Python part; 'bench doctor' tells what is still missing."
        return
    fi
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            say "not root, and there is no sudo. Please have these Debian packages installed, then run this again:"
            say "  apt-get install --no-install-recommends" $missing
            exit 1
        fi
        as_root=sudo
    fi
    say "installing Debian packages:" $missing
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends $missing
}

find_python() {
    local candidate
    for candidate in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    say "no Python 3.11 or later with its venv module was found; on Debian: apt-get install python3-venv"
    exit 1
}

# What is installed is remembered by what it was installed from, so that a second call needs neither time nor network.
python_state() {
    { echo "$python_group"; pwd; pkg-config --modversion libvirt 2>&1 || true; cat pyproject.toml setup/requirements.txt; [ "$python_group" = bench ] || cat setup/requirements-dev.txt; } | sha256sum
}

install_python_packages() {
    local stamp=$venv/.installed-$python_group state requirements
    state=$(python_state)
    if [ -x $venv/bin/bench ] && [ "$(cat "$stamp" 2>/dev/null)" = "$state" ]; then return; fi
    [ -x $venv/bin/python ] || "$(find_python)" -m venv $venv
    say "installing Python packages into $venv"
    requirements=$(mktemp)
    # shellcheck disable=SC2064 # the name as it is now
    trap "rm -f '$requirements'" EXIT
    cat setup/requirements.txt >"$requirements"
    if ! pkg-config --exists libvirt 2>/dev/null; then
        say "libvirt's headers are missing: leaving libvirt-python out, the vm runtime will not work"
        sed -i '/^libvirt-python/d' "$requirements"
    fi
    [ "$python_group" = bench ] || cat setup/requirements-dev.txt >>"$requirements"
    $venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
    $venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
    echo "$state" >"$stamp"
}

install_debian_packages
install_python_packages
