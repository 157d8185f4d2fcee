#!/usr/bin/env bash
# engine.sh up     sees to it that a Docker engine answers: finds one, or installs Debian's docker.io and starts it.
# engine.sh down   stops the engine again if "up" started it and no container runs on it any more; leaves every other engine alone.
# Both may be run again at any time. $RAYLINK_STATE remembers who started the engine (default /run/raylink-setup).
set -euo pipefail
setup=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=raylink/devnet/setup/apt.sh
. "$setup/apt.sh"
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
pidfile=$RAYLINK_STATE/dockerd.pid
by_systemd=$RAYLINK_STATE/dockerd.systemd
log=$RAYLINK_STATE/dockerd.log

answers() { have docker && timeout 20 docker version -f '{{.Server.Version}}' >/dev/null 2>&1; }
under_systemd() { [ -d /run/systemd/system ] && have systemctl; }
# alive PID: it runs and is no zombie; whoever started us may be slow in burying it.
alive() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }

up() {
	if answers; then
		say "  Docker engine $(docker version -f '{{.Server.Version}}'): found, running"
		ensure_tun
		return
	fi
	local socket=/var/run/docker.sock
	if ! is_root && [ -S "$socket" ] && [ ! -w "$socket" ]; then
		die "there is a Docker engine, but this user may not use it" "run this as root: agents need root too (to build images alone, membership in the group docker is enough)"
	fi
	is_root || die "no Docker engine answers, and starting one needs root" "as root: $0 up"
	{ have dockerd && have docker; } || install_engine
	mkdir -p "$RAYLINK_STATE"
	ensure_tun
	local start=$EPOCHREALTIME
	if under_systemd && systemctl cat docker.service >/dev/null 2>&1; then
		systemctl start docker || die "systemd did not start Docker" "journalctl -u docker says why"
		touch "$by_systemd"
		await || die "systemd started Docker, but it does not answer" "journalctl -u docker says why"
	else
		mount_cgroups
		start_dockerd
	fi
	say "  Docker engine $(docker version -f '{{.Server.Version}}'): started ($(seconds_since "$start")); \"$0 down\" stops it"
}

# install_engine: without letting the package start a service; "up" does that itself, so that "down" knows what to stop.
install_engine() {
	local policy=/usr/sbin/policy-rc.d packages=(docker.io iptables ca-certificates)
	[ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" != Y ] || packages+=(apparmor)
	need_root_debian "a Docker engine" "${packages[@]}"
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
	fi
	apt_install "${packages[@]}"
	[ -z "$(trap -p EXIT)" ] || { rm -f "$policy" && trap - EXIT; }
}

# ensure_tun: the overlay's device. Without it a supplier can carry no cluster.
ensure_tun() {
	[ ! -c /dev/net/tun ] || return 0
	is_root || die "there is no /dev/net/tun" "as root: modprobe tun"
	modprobe tun 2>/dev/null || true
	[ -c /dev/net/tun ] || { mkdir -p /dev/net && mknod -m 0666 /dev/net/tun c 10 200; } ||
		die "there is no /dev/net/tun, and it cannot be made" "this kernel or container must allow TUN devices"
}

# mount_cgroups: a bare chroot may have none. What is mounted stays as it is.
mount_cgroups() {
	local c
	! grep -Eq ' (/sys/fs/cgroup[^ ]*) cgroup2? ' /proc/self/mounts || return 0
	mountpoint -q /sys || mount -t sysfs sysfs /sys
	# version 1 only where a boot has already given its hierarchies controllers
	if awk 'NR > 1 && $2 > 0 { v1 = 1 } END { exit !v1 }' /proc/cgroups; then
		mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
		while read -r c; do
			mkdir -p "/sys/fs/cgroup/$c"
			mount -t cgroup -o "$c" cgroup "/sys/fs/cgroup/$c" || rmdir "/sys/fs/cgroup/$c"
		done < <(awk '!/^#/ && $4 == 1 { print $1 }' /proc/cgroups)
	else
		mount -t cgroup2 cgroup2 /sys/fs/cgroup
	fi
}

# start_dockerd: with what the machine allows. Each way that does not work is read from the engine's own log, and the next is tried.
start_dockerd() {
	local args=() pid path=$PATH attempt
	rm -f /var/run/docker.pid
	mountpoint -q / || export DOCKER_RAMDISK=true # a plain chroot: runc cannot pivot there
	if have runsc; then args+=(--add-runtime "runsc=$(gvisor)"); fi
	for attempt in 1 2 3 4; do
		PATH=$path setsid nohup dockerd --pidfile "$pidfile" "${args[@]}" </dev/null >"$log" 2>&1 9>&- &
		pid=$!
		if await "$pid"; then return; fi
		kill "$pid" 2>/dev/null || true
		wait "$pid" || true
		rm -f "$pidfile"
		[ "$attempt" -lt 4 ] || break
		if grep -q 'graphdriver' "$log" && [[ " ${args[*]} " != *vfs* ]]; then
			say "  the engine's usual storage does not work here; trying plain copies (vfs)"
			args+=(--storage-driver vfs)
		elif grep -qi iptables "$log" && [ "$path" = "$PATH" ] && have iptables-legacy; then
			say "  the kernel does not take the newer iptables; trying the older"
			path=$(legacy_iptables):$PATH
		elif grep -qi iptables "$log" && [[ " ${args[*]} " != *iptables* ]]; then
			say "  the kernel takes no iptables; containers of this engine will reach no network"
			args+=(--iptables=false --bridge=none)
		else
			break
		fi
	done
	tail -n 20 "$log" >&2
	die "the Docker engine does not start (its last words stand above; all of them: $log)" "start an engine by hand, then run this again"
}

# gvisor: what the engine calls for leases in gVisor. Host networking means that of the lease's own namespace, where the overlay is put in from outside.
gvisor() {
	local dir=$RAYLINK_STATE/bin
	mkdir -p "$dir"
	printf '#!/bin/sh\nexec %s --network=host "$@"\n' "$(command -v runsc)" >"$dir/runsc-lease"
	chmod +x "$dir/runsc-lease"
	echo "$dir/runsc-lease"
}

legacy_iptables() {
	local dir=$RAYLINK_STATE/bin n
	mkdir -p "$dir"
	for n in iptables ip6tables; do ln -sf "$(command -v "$n-legacy")" "$dir/$n"; done
	echo "$dir"
}

# await [PID]: until the engine answers; at most a minute, and not longer than the process PID lives.
await() {
	local end=$((SECONDS + 60))
	while [ $SECONDS -lt $end ]; do
		! answers || return 0
		[ -z "${1:-}" ] || alive "$1" || return 1
		sleep 0.3
	done
	return 1
}

down() {
	local pid running
	pid=$(cat "$pidfile" 2>/dev/null || true)
	if [ ! -e "$by_systemd" ] && ! { alive "$pid" && [ "$(cat "/proc/$pid/comm")" = dockerd ]; }; then
		rm -f "$pidfile"
		say "  Docker engine: not started from here, so left as it is"
		return
	fi
	running=$(docker ps -q 2>/dev/null | wc -l)
	if [ "$running" -gt 0 ]; then
		say "  Docker engine: left running, because containers run on it ($running); \"$0 down\" stops it later"
		return
	fi
	if [ -e "$by_systemd" ]; then
		systemctl stop docker.socket docker.service
		rm -f "$by_systemd"
	else
		stop_dockerd "$pid"
	fi
	say "  Docker engine: stopped again"
}

stop_dockerd() {
	local end=$((SECONDS + 30))
	kill "$1"
	while alive "$1"; do
		[ $SECONDS -lt $end ] || die "the Docker engine (process $1) does not stop" "its log is $log"
		sleep 0.2
	done
	rm -f "$pidfile"
}

case ${1:-} in
up | down)
	locked engine
	"$1"
	;;
*)
	sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
