#!/usr/bin/env bash
# with.sh demo|dev|test|crash|bench: sets up what the target needs, runs it, and stops the Docker engine again if it was started here.
# What it installs or finds, it says. It may be run again at any time; a second run finds everything there.
set -euo pipefail
setup=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$setup/../../.." && pwd)
# shellcheck source=raylink/devnet/setup/apt.sh
. "$setup/apt.sh"
cd "$root"
target=${1:-}

prepare() {
	is_root || die "make $target needs root: it puts network interfaces into containers, and its agents run as root" "as root: make $target (the tests that need neither root nor Docker: make fast)"
	say "== What this needs"
	have go || die "Go is missing" "install Go 1.26 or newer from go.dev, then run the same command again"
	apt_install ca-certificates iproute2 "$@"
	# An engine that this starts ends with it, however that goes; KEEP leaves it, with the network that runs on it.
	[ -n "${KEEP:-}" ] || trap finish EXIT
	"$setup/engine.sh" up
	venv=$("$setup/python.sh")
	timed "raylink built" make -s build
	# The image's program reads NVIDIA GPUs where there is a C compiler to build it; that of this machine is static.
	local arch
	arch=$(go env GOHOSTARCH)
	RAYLINK_CC=found "$setup/build.sh" "bin/linux-$arch/raylink" "$arch"
	supplier/worker/build.sh "bin/linux-$arch/raylink"
}

# What still runs beside is waited for: it may be using the engine.
finish() { wait; "$setup/engine.sh" down || true; }

# arm64_image: the worker image that an arm64 node of a cluster runs, built through an emulator. The first time takes about four minutes, most of them on one core.
arm64_image() {
	"$setup/build.sh" bin/linux-arm64/raylink arm64
	supplier/worker/build.sh --arch arm64 bin/linux-arm64/raylink
}

case ${1:-} in
demo)
	prepare
	bin/raylink dev --demo --ray "$venv/bin/ray" --python "$venv/bin/python" ${KEEP:+--keep}
	;;
dev)
	shift
	prepare
	bin/raylink dev --python "$venv/bin/python" "$@"
	;;
test)
	start=$EPOCHREALTIME
	prepare gcc libc6-dev wireguard-tools iptables chromium runsc hledger poppler-utils zbar-tools # the last three judge exports, invoices and QR codes
	# One form for every build and test: what one has compiled, the others find.
	export GOFLAGS=-trimpath
	# An arm64 worker joins an amd64 head: its image is built while the rest compiles.
	beside=
	if [ "$(go env GOHOSTARCH)" = amd64 ]; then
		arm64_image &
		beside=$!
	fi
	timed "vet" go vet -tags hashicorpmetrics ./...
	timed "built for linux and darwin, without cgo" make -s cross
	timed "NVIDIA's libraries in their mocks, with cgo" env CGO_ENABLED=1 CGO_CFLAGS="-O2 -Wno-deprecated-declarations" go test ./supplier/device/... ./supplier/prove/cuda
	say "== The fast tests"
	fast=$EPOCHREALTIME
	go test -vet=off -tags hashicorpmetrics ./...
	say "  the fast tests took $(seconds_since "$fast"), compiling included"
	timed "a build without the tag works too, and leaves raft's own numbers out" go test -vet=off -run Metrics ./coordinator/consensus
	say "== Our ray start lines beside KubeRay's own (compiles for minutes the first time)"
	make -s kuberay
	if [ -n "$beside" ]; then
		wait "$beside" || die "the arm64 worker image was not built (the reason stands above)"
		timed "proofs of compute have the same bits on arm64, through an emulator" env GOARCH=arm64 go test -tags hashicorpmetrics ./raylink/challenge/... ./supplier/prove
	fi
	say "== The tests on real parts"
	real=$(grep -rl --include='*_test.go' 'RAYLINK_REAL' . | xargs -n1 dirname | sort -u)
	# One package after another: each wants the machine's two cores for itself.
	# shellcheck disable=SC2086
	RAYLINK_REAL=1 RAYLINK_RAY="$venv/bin/ray" RAYLINK_PYTHON="$venv/bin/python" RAYLINK_BIN="$root/bin/raylink" go test -vet=off -tags hashicorpmetrics -count=1 -p 1 -timeout 25m $real
	say "== Every test passed, in $(seconds_since "$start")"
	;;
crash)
	prepare
	RAYLINK_REAL=1 RAYLINK_KILLS=${RAYLINK_KILLS:-1000} RAYLINK_RAY="$venv/bin/ray" RAYLINK_BIN="$root/bin/raylink" \
		go test -tags hashicorpmetrics -count=1 -v -timeout 120m -run '^TestMoney$' ./raylink/devnet
	;;
bench)
	prepare
	# Those on the local chain with the real token programs are among them.
	RAYLINK_REAL=1 RAYLINK_RAY="$venv/bin/ray" go test -tags hashicorpmetrics -run '^$' -bench . -benchtime 1s -timeout 30m ./...
	RAYLINK_REAL=1 bin/raylink dev --bench
	;;
*) die "with.sh takes demo, dev, test, crash or bench" ;;
esac
