#!/usr/bin/env bash
# build.sh OUT [ARCH]   builds the program raylink as OUT; for linux/ARCH if ARCH is given, else for this system.
#
# On Linux it is built with cgo where a C compiler for the architecture is there, because NVIDIA's library can be read in no other way; it then needs glibc 2.34.
# Where ARCH is given and its compiler is not there, Debian's is installed, if that can be done from here; RAYLINK_CC=found takes only what is there.
# Everywhere else, and where the result would need a newer glibc than the worker image has, it is built without, static, and says in its own words
# (raylink version) what it cannot read.
set -euo pipefail
# shellcheck source=raylink/devnet/setup/apt.sh
. "$(dirname "${BASH_SOURCE[0]}")/apt.sh"
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

out=${1:?build.sh OUT [ARCH]}
os=$(go env GOHOSTOS)
arch=${2:-$(go env GOHOSTARCH)}
given=${2:-}
[ -z "$given" ] || os=linux
newest=2.35 # glibc of the oldest image that is built on: Ray's own, of Ubuntu 22.04

plain() { CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -tags hashicorpmetrics -trimpath -o "$out" ./raylink/cmd/raylink; }

# compiler: the C compiler for the architecture, if there is one that finds the C library's headers.
compiler() {
	local cc=gcc
	[ "$(go env GOHOSTOS)" = linux ] || return 1
	case $arch in
	"$(go env GOHOSTARCH)") ;;
	arm64) cc=aarch64-linux-gnu-gcc ;;
	amd64) cc=x86_64-linux-gnu-gcc ;;
	*) return 1 ;;
	esac
	have "$cc" && echo '#include <stdlib.h>' | "$cc" -E - >/dev/null 2>&1 && echo "$cc"
}

# packages: what Debian calls the compiler for the architecture and its C library.
packages() {
	case $arch in
	"$(go env GOHOSTARCH)") echo gcc libc6-dev ;;
	arm64) echo gcc-aarch64-linux-gnu libc6-dev-arm64-cross ;;
	amd64) echo gcc-x86-64-linux-gnu libc6-dev-amd64-cross ;;
	esac
}

# get_compiler: installs it where ARCH is given, on Debian and as root. What does not succeed is no reason not to build.
get_compiler() {
	[ -n "$given" ] && [ "$(go env GOHOSTOS)" = linux ] && [ "${RAYLINK_CC:-}" != found ] && is_debian && is_root && have apt-get || return 0
	# shellcheck disable=SC2046
	compiler >/dev/null || (apt_install $(packages)) || say "  the C compiler for $arch cannot be installed"
}

# Symbols are bound when they are called (-z lazy): NVIDIA's library may lack some, and distributions differ in what they bind by default. Names and
# users are looked up by Go itself, as in a build without cgo.
with_cgo() {
	CGO_ENABLED=1 CC=$1 CGO_CFLAGS="-O2 -Wno-deprecated-declarations" GOOS=linux GOARCH=$arch \
		go build -tags hashicorpmetrics,netgo,osusergo -trimpath -ldflags '-extldflags "-Wl,-z,lazy"' -o "$out" ./raylink/cmd/raylink
}

# needs FILE: the newest version of glibc that it asks for.
needs() { grep -aoE 'GLIBC_2\.[0-9]+' "$1" | sort -uV | tail -n 1 | cut -d_ -f2; }

get_compiler
if [ "$os" != linux ] || ! cc=$(compiler); then
	[ "$os" != linux ] || say "  no C compiler for $arch: this build cannot read NVIDIA GPUs (Debian: apt-get install $(packages))"
	plain
	exit
fi
with_cgo "$cc"
if [ "$(printf '%s\n' "$newest" "$(needs "$out")" | sort -V | tail -n 1)" != "$newest" ]; then
	say "  it would need glibc $(needs "$out"), and the worker image may have $newest: built without cgo, it cannot read NVIDIA GPUs"
	plain
fi
