#!/usr/bin/env bash
# build.sh [--arch amd64|arm64] [RAYLINK-BINARY]   builds the worker image raylink/worker:2.60.0-py311; for arm64 with -arm64 behind it.
#
# Without --arch it is for this machine, and also tagged raylink/worker:latest. A foreign one is built through qemu-user, which is set up on Debian.
# With a binary, the image contains it as /usr/local/bin/raylink, its entry point, as a last thin layer of its own.
# Run again, it builds only what has changed. RAYLINK_CACHE says where wheels are kept (default ~/.cache/raylink);
# RAYLINK_BASE names a base image to build on, or "local" for the small Debian made here without asking a registry.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
setup=$(cd "$here/../../raylink/devnet/setup" && pwd)
# shellcheck source=raylink/devnet/setup/apt.sh
. "$setup/apt.sh"

suite=bookworm
packages=python3,python3-venv,ca-certificates,procps
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
lock=$here/requirements.txt

label() { docker image inspect -f "{{index .Config.Labels \"$2\"}}" "$1" 2>/dev/null || true; }
hash_of() { cat "$@" | sha256sum | cut -c1-16; } # of what the files hold, wherever they stand

# for_arch ARCH: sets goarch (Go's and Debian's name), arch (the kernel's and pip's), host (this machine's), and the images' names. Ray's own images
# are not multi-arch: each architecture has a tag.
for_arch() {
	local tail=''
	case $(uname -m) in
	x86_64 | amd64) host=amd64 ;;
	aarch64 | arm64) host=arm64 ;;
	*) die "no image is built on $(uname -m)" "amd64 and arm64 are known" ;;
	esac
	goarch=${1:-$host}
	case $goarch in
	amd64) arch=x86_64 official=rayproject/ray:2.60.0-py311 ;;
	arm64) arch=aarch64 official=rayproject/ray:2.60.0-py311-aarch64 tail=-arm64 ;;
	*) die "no image is built for $goarch" "amd64 and arm64 are known" ;;
	esac
	base=raylink/base:$suite-py311$tail
	ray=raylink/ray:2.60.0-py311$tail
	worker=raylink/worker:2.60.0-py311$tail
}

# emulate: sees to it that this kernel runs the image's binaries. The interpreter is opened when it is registered (flag F), so that it works inside
# containers that do not have it.
emulate() {
	local registry=/proc/sys/fs/binfmt_misc entry=qemu-$arch
	[ "$goarch" != "$host" ] || return 0
	if grep -q '^enabled' "$registry/$entry" 2>/dev/null && grep -q '^flags:.*F' "$registry/$entry"; then
		return
	fi
	is_root || die "running $goarch binaries here needs an emulator, and setting it up needs root" "as root: $0 --arch $goarch"
	apt_install qemu-user-static binfmt-support
	mountpoint -q "$registry" || mount -t binfmt_misc binfmt_misc "$registry" || die "this kernel has no binfmt_misc" "build the image on a machine that is $goarch itself"
	update-binfmts --enable "$entry"
	grep -q '^enabled' "$registry/$entry" || die "the kernel does not take $entry" "build the image on a machine that is $goarch itself"
	say "  $goarch binaries run here, through qemu-user"
}

# build: docker build with the builder that is there. Without buildx only the classic one works, and newer clients warn about it.
build() {
	if docker buildx version >/dev/null 2>&1; then
		docker build --load --platform "linux/$goarch" --network none "$@"
	else
		DOCKER_BUILDKIT=0 docker build --platform "linux/$goarch" --network none --force-rm "$@"
	fi
}

# choose_base: sets from. The registry gets five seconds to say that it has the image; pulling may then take its time.
choose_base() {
	from=${RAYLINK_BASE:-}
	if [ -z "$from" ]; then
		if docker image inspect "$official" >/dev/null 2>&1; then
			from=$official
			say "  base: $official, found here"
		elif timeout 5 docker manifest inspect "$official" >/dev/null 2>&1 && timed "pulled $official" docker pull --platform "linux/$goarch" "$official"; then
			from=$official
		else
			say "  base: no container registry gave $official, so a small Debian is made here"
			from=local
		fi
	fi
	[ "$from" != local ] || { local_base && from=$base; }
}

local_base() {
	local recipe root
	recipe=$(printf '%s %s %s 3' "$suite" "$packages" "$arch" | sha256sum | cut -c1-16)
	if [ "$(label "$base" raylink.content)" = "$recipe" ]; then
		say "  base: $base, found here"
		return
	fi
	is_root || die "making a base image needs root" "run this as root, or: docker pull $official, or set RAYLINK_BASE to an image with Python 3.11"
	apt_install debootstrap
	root=$RAYLINK_CACHE/base.$$
	trap 'rm -rf --one-file-system "$RAYLINK_CACHE/base.$$" "$RAYLINK_CACHE/base.$$.image"' EXIT
	mkdir -p "$root"
	# shellcheck disable=SC2046 # no mirror means debootstrap's own
	timed "made a small Debian $suite for $goarch" debootstrap --arch="$goarch" --variant=minbase --include="$packages" "$suite" "$root" $(apt_mirror)
	slim "$root"
	timed "imported it as $base" import_base "$root" "$recipe"
	rm -rf --one-file-system "$root"
}

# slim: what a container never reads. Python's compiled files stay: user 1000 could not write them, and every start would compile anew.
slim() {
	rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/usr/share/{doc,man,info,locale,lintian}/* "$1"/var/log/*.log
	: >"$1/etc/resolv.conf"
}

# import_base ROOT RECIPE: as an image of one layer, written as `docker save` would and loaded: "docker import" takes every root for one of the engine's
# own architecture.
import_base() {
	local dir=$1.image sum
	rm -rf "$dir" && mkdir -p "$dir"
	tar -C "$1" --numeric-owner -cf "$dir/layer.tar" .
	sum=$(sha256sum <"$dir/layer.tar" | cut -c1-64)
	printf '{"architecture":"%s","os":"linux","created":"%s","config":{"Env":["PATH=%s"],"Cmd":["/bin/bash"],"Labels":{"raylink.content":"%s"}},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
		"$goarch" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$path" "$2" "$sum" >"$dir/config.json"
	printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$base" >"$dir/manifest.json"
	tar -C "$dir" -c manifest.json config.json layer.tar | docker load
	rm -rf "$dir"
}

# fetch_wheels: sets wheels, a folder with every locked wheel for the image's Python on this machine's architecture. The image's
# glibc (2.36) is named, not this machine's.
fetch_wheels() {
	local python glibc platforms=()
	wheels=$RAYLINK_CACHE/wheels/$arch-$(hash_of "$lock")
	if [ -e "$wheels/requirements.txt" ]; then
		say "  wheels: found in $wheels"
		return
	fi
	python=$("$setup/python.sh")/bin/python
	for glibc in $(seq 36 -1 17); do platforms+=(--platform "manylinux_2_${glibc}_$arch"); done
	platforms+=(--platform "manylinux2014_$arch" --platform "linux_$arch")
	rm -rf "$wheels.part"
	mkdir -p "$wheels.part"
	timed "fetched the locked wheels" env PIP_DISABLE_PIP_VERSION_CHECK=1 "$python" -m pip download --no-deps --require-hashes \
		--only-binary=:all: --implementation cp --python-version 3.11 --abi cp311 --abi abi3 --abi none "${platforms[@]}" \
		-r "$lock" -d "$wheels.part"
	cp "$lock" "$wheels.part/requirements.txt"
	rm -rf "$wheels"
	mv "$wheels.part" "$wheels"
}

ray_image() {
	local content
	content=$(echo "$arch ${RAYLINK_BASE:-}" | hash_of "$here/../Dockerfile" "$lock" "$here/build.sh" -)
	if [ "$(label "$ray" raylink.content)" = "$content" ]; then
		say "  Ray: $ray, found here"
		return
	fi
	emulate
	choose_base
	fetch_wheels
	timed "built $ray on $from" build --build-arg "BASE=$from" --label "raylink.content=$content" -t "$ray" -f "$here/../Dockerfile" "$wheels"
	prune raylink.part raylink.content
}

# worker_image BINARY: the Ray image, and the binary on top if one is given. Without one, a worker image that already has a
# binary over the same Ray image is left alone.
worker_image() {
	local id bin=${1:-} sum=none dir
	id=$(docker image inspect -f '{{.Id}}' "$ray")
	[ -z "$bin" ] || sum=$(sha256sum <"$bin" | cut -c1-64)
	if [ "$(label "$worker" raylink.ray)" = "$id" ] && { [ -z "$bin" ] || [ "$(label "$worker" raylink.binary)" = "$sum" ]; }; then
		say "  $worker: found here"
		latest
		return
	fi
	dir=$(mktemp -d)
	{
		echo "FROM $ray"
		[ -z "$bin" ] || { install -m 0755 "$bin" "$dir/raylink" && echo 'COPY raylink /usr/local/bin/raylink'; }
		echo "LABEL raylink.ray=$id raylink.binary=$sum"
	} >"$dir/Dockerfile"
	timed "built $worker" build -t "$worker" -f "$dir/Dockerfile" "$dir"
	latest
	rm -rf "$dir"
	prune raylink.binary
}

latest() { [ "$goarch" != "$host" ] || docker tag "$worker" raylink/worker:latest; }

# prune LABEL...: removes the untagged images that carry one of our labels and that no container uses.
prune() {
	local l
	for l in "$@"; do docker image prune -f --filter "label=$l" >/dev/null; done
}

main() {
	local start=$EPOCHREALTIME size
	case ${1:-} in
	-h | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
	--arch) for_arch "${2:?--arch names amd64 or arm64}" && shift 2 ;;
	*) for_arch '' ;;
	esac
	[ -z "${1:-}" ] || [ -f "$1" ] || die "there is no file $1" "build the binary first (make build), then: $0 bin/raylink"
	have docker || die "no docker command" "run raylink/devnet/setup/engine.sh up"
	docker version -f '{{.Server.Version}}' >/dev/null 2>&1 || die "no Docker engine answers" "run raylink/devnet/setup/engine.sh up"
	locked image
	ray_image
	worker_image "${1:-}"
	size=$(docker image inspect -f '{{.Size}}' "$worker")
	say "  worker image ready: $worker, $((size / 1000000)) MB ($(seconds_since "$start"))"
}
main "$@"
