#!/usr/bin/env bash
# Checks for the tools of a task and installs those that are missing: as root on a Debian
# system with apt, as anybody with rustup. What it may not install it names.
#
#     scripts/setup.sh test|helm|rank|bench-dns|fuzz|deny|image|image-check

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=()

have() { command -v "$1" > /dev/null 2>&1; }

# may_install: whether packages can be installed without asking anybody.
may_install() { [[ $(id -u) -eq 0 ]] && have apt-get; }

# install PACKAGE: installs a system package, where that may be done.
install() {
    may_install || return 1
    echo "setup: installing $1"
    if [[ -z ${updated:-} ]]; then
        apt-get update -qq
        updated=yes
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" > /dev/null
}

# package COMMAND PACKAGE: makes sure of a command that a system package brings.
package() {
    have "$1" && return 0
    install "$2" && have "$1" && return 0
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

# tool NAME VERSION PACKAGE GO: a program of a Go module, into the cache. What it is built from is
# thrown away again.
tool() {
    local tools="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/kudzu-tools" build
    [[ -x "$tools/$1-$2" ]] && return 0
    if ! have go; then
        missing+=("$1 $2: install Go $4 (https://go.dev), which builds it")
        return 0
    fi
    echo "setup: building $1 $2 (some minutes)"
    mkdir -p "$tools"
    build=$(mktemp -d "$tools/build.XXXXXX")
    # A checksum in Go's database goes with each module.
    if GOPATH="$build" GOMODCACHE="$build/modules" GOCACHE="$build/cache" GOBIN="$build/bin" CGO_ENABLED=0 \
        go install -modcacherw -trimpath -ldflags='-s -w' "$3@v$2"; then
        mv "$build/bin/"* "$tools/$1-$2"
    else
        missing+=("$1 $2: go install $3@v$2")
    fi
    rm -rf "$build"
}

# python_yaml: the YAML reader of the chart's checks.
python_yaml() {
    python3 -c 'import yaml' 2> /dev/null && return 0
    install python3-yaml && python3 -c 'import yaml' 2> /dev/null && return 0
    missing+=("PyYAML: install the system package python3-yaml")
}

# schemas: what the chart is checked against.
schemas() {
    have go || return 0 # the tools that are built by it have said so
    scripts/kube_schemas.py "${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/kudzu-tools/kube-schemas-1" \
        || missing+=("schemas of Kubernetes: scripts/kube_schemas.py")
}

# helm: what the chart is checked with. Its Makefile names these versions too.
helm() {
    package python3 python3
    python_yaml
    tool helm 3.22.0 helm.sh/helm/v3/cmd/helm 1.26
    tool helm 4.2.3 helm.sh/helm/v4/cmd/helm 1.26
    tool kubeconform 0.8.0 github.com/yannh/kubeconform/cmd/kubeconform 1.26
    schemas
}

case "${1:-}" in
test)
    package cc gcc # the cryptography of HTTPS is partly in C and assembly
    PATH="$PATH:/usr/sbin" package unbound unbound # what DNS over TLS and HTTPS is tested with
    PATH="$PATH:/usr/sbin" package rabbitmq-server rabbitmq-server # the broker of a cluster
    package redis-server redis-server                              # its cache
    PATH="$PATH:/usr/sbin" package nsd nsd # what the comparison of resolvers asks
    tool versitygw 1.8.0 github.com/versity/versitygw/cmd/versitygw 1.25 # its archive
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
helm)
    helm
    ;;
deny)
    rust
    have cargo-deny || missing+=("cargo-deny: cargo install --locked cargo-deny@0.20.2")
    ;;
*)
    echo "usage: scripts/setup.sh test|helm|rank|bench-dns|fuzz|deny|image|image-check" >&2
    exit 2
    ;;
esac

if ((${#missing[@]} > 0)); then
    echo "setup: missing, and not installed from here:" >&2
    printf '  %s\n' "${missing[@]}" >&2
    exit 1
fi
