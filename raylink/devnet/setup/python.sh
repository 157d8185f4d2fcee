#!/usr/bin/env bash
# python.sh   makes a Python environment with the pinned Ray client and what the local chain runs on, and prints its folder.
# It stands in $RAYLINK_CACHE/venv and holds what supplier/worker/requirements.txt locks by hash (the same as in the worker image), and
# beside it what chain-requirements.txt locks. Run again, it does nothing unless a lock or the Python has changed.
set -euo pipefail
setup=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=raylink/devnet/setup/apt.sh
. "$setup/apt.sh"
lock=${RAYLINK_REQUIREMENTS:-$setup/../../../supplier/worker/requirements.txt}
chain=$setup/chain-requirements.txt
venv=$RAYLINK_CACHE/venv

find_python() {
	local p
	for p in python3.11 python3 python3.12 python3.13; do
		if have "$p" && "$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
			command -v "$p"
			return
		fi
	done
}

# install WORDS LOCK: exactly what the lock names, every file checked against it.
install() {
	timed "$1" env PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/pip" install --require-hashes --only-binary=:all: -r "$2"
}

# chain_too: adds what the local chain runs on to an environment that has the Ray client, unless it is there.
chain_too() {
	local mark
	mark=$(sha256sum <"$chain" | cut -c1-16)
	if [ "$(cat "$venv/.made-for-chain" 2>/dev/null)" != "$mark" ] || ! "$venv/bin/python" -c 'import solders.litesvm' 2>/dev/null; then
		install "installed what the local chain runs on, every file checked against the lock" "$chain"
		printf '%s' "$mark" >"$venv/.made-for-chain"
	fi
	echo "$venv"
}

main() {
	locked venv
	local python mark
	python=$(find_python)
	[ -n "$python" ] || apt_install python3 python3-venv
	python=$(find_python)
	[ -n "$python" ] || die "no Python 3.11 or newer" "Debian 12 has it: apt-get install python3 python3-venv"
	mark=$({ sha256sum <"$lock"; "$python" -c 'import sys; print(sys.version, sys.executable)'; } | sha256sum | cut -c1-16)
	if [ "$(cat "$venv/.made-from" 2>/dev/null)" = "$mark" ] && "$venv/bin/ray" --version >/dev/null 2>&1; then
		say "  Python environment with the Ray client: found in $venv"
		chain_too
		return
	fi
	"$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
	rm -rf "$venv"
	timed "made a Python environment in $venv" "$python" -m venv "$venv"
	install "installed the Ray client, every file checked against the lock" "$lock"
	printf '%s' "$mark" >"$venv/.made-from"
	chain_too
}
main "$@"
