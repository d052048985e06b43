#!/usr/bin/env bash
# Checks for the tools of a task and installs those that are missing: as root on a Debian
# system with apt, as anybody with rustup. What it may not install it names.
#
#     scripts/setup.sh test|rank|bench-dns|fuzz|deny|image|image-check

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=()

have() { command -v "$1" > /dev/null 2>&1; }

# may_install: whether packages can be installed without asking anybody.
may_install() { [[ $(id -u) -eq 0 ]] && have apt-get; }

# package COMMAND PACKAGE: makes sure of a command that a system package brings.
package() {
    have "$1" && return 0
    if may_install; then
        echo "setup: installing $2"
        if [[ -z ${updated:-} ]]; then
            apt-get update -qq
            updated=yes
        fi
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" > /dev/null
        have "$1" && return 0
    fi
    missing+=("$1: install the system package $2")
}

# rust: the toolchain that rust-toolchain.toml names, with its components.
rust() {
    have cargo || PATH="${HOME:-/nonexistent}/.cargo/bin:$PATH"
    if have cargo && cargo fmt --version > /dev/null 2>&1 && cargo clippy --version > /dev/null 2>&1; then
        return 0
    fi
    local channel
    channel=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
    if have rustup; then
        echo "setup: installing Rust $channel with rustfmt and clippy"
        rustup toolchain install "$channel" --profile minimal --component rustfmt --component clippy
        return 0
    fi
    missing+=("cargo, rustfmt and clippy: install rustup (https://rustup.rs); it brings Rust $channel")
}

# versitygw VERSION: the S3 server of the tests, into the cache. What it is built from is
# thrown away again.
versitygw() {
    local tools="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/kudzu-tools" build
    [[ -x "$tools/versitygw-$1" ]] && return 0
    if ! have go; then
        missing+=("versitygw $1: install Go 1.25 (https://go.dev); it builds the S3 server of the tests")
        return 0
    fi
    echo "setup: building versitygw $1 (some minutes)"
    mkdir -p "$tools"
    build=$(mktemp -d "$tools/build.XXXXXX")
    # A checksum in Go's database goes with each module.
    if GOPATH="$build" GOMODCACHE="$build/modules" GOCACHE="$build/cache" GOBIN="$build/bin" CGO_ENABLED=0 \
        go install -modcacherw -trimpath -ldflags='-s -w' "github.com/versity/versitygw/cmd/versitygw@v$1"; then
        mv "$build/bin/versitygw" "$tools/versitygw-$1"
    else
        missing+=("versitygw $1: go install github.com/versity/versitygw/cmd/versitygw@v$1")
    fi
    rm -rf "$build"
}

case "${1:-}" in
test)
    package cc gcc # the cryptography of HTTPS is partly in C and assembly
    PATH="$PATH:/usr/sbin" package unbound unbound # what DNS over TLS and HTTPS is tested with
    PATH="$PATH:/usr/sbin" package rabbitmq-server rabbitmq-server # the broker of a cluster
    package redis-server redis-server                              # its cache
    PATH="$PATH:/usr/sbin" package nsd nsd # what the comparison of resolvers asks
    versitygw 1.8.0 # its archive
    rust
    ;;
bench-dns)
    package python3 python3
    package nsd nsd
    package make make
    package cc gcc
    rust
    ;;
fuzz)
    rust
    rustup run nightly cargo --version > /dev/null 2>&1 || missing+=("nightly Rust: rustup toolchain install nightly")
    have cargo-fuzz || missing+=("cargo-fuzz: cargo install --locked cargo-fuzz")
    ;;
rank)
    package python3 python3
    ;;
image | image-check)
    package python3 python3
    package strip binutils
    PATH="$PATH:/usr/sbin" package update-ca-certificates ca-certificates # what the image trusts
    if [[ $1 == image ]]; then
        package cc gcc
        rust
    fi
    ;;
deny)
    rust
    have cargo-deny || missing+=("cargo-deny: cargo install --locked cargo-deny@0.20.2")
    ;;
*)
    echo "usage: scripts/setup.sh test|rank|bench-dns|fuzz|deny|image|image-check" >&2
    exit 2
    ;;
esac

if ((${#missing[@]} > 0)); then
    echo "setup: missing, and not installed from here:" >&2
    printf '  %s\n' "${missing[@]}" >&2
    exit 1
fi
