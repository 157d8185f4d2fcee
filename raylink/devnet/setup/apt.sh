#!/usr/bin/env bash
# apt.sh PACKAGE...   installs those Debian packages that are missing, and says which.
# Sourced, it gives the function apt_install. Where it may not install it says what is needed and ends with 1.
set -euo pipefail
# shellcheck source=raylink/devnet/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$'; }

apt_install() {
	local p missing=()
	if is_debian; then
		for p in "$@"; do installed "$p" || missing+=("$p"); done
	else
		missing=("$@")
	fi
	[ ${#missing[@]} -gt 0 ] || return 0
	need_root_debian "${missing[*]}" "${missing[@]}"
	local words="installed ${missing[*]} from Debian"
	timed "$words" apt_get "${missing[@]}"
}

# apt_get tries with the lists that are there first: they are often fresh, and reading them again takes a while.
apt_get() {
	local how=(env DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends -o DPkg::Lock::Timeout=300
		-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install)
	"${how[@]}" "$@" || { apt-get -o DPkg::Lock::Timeout=300 update && "${how[@]}" "$@"; }
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	[ $# -gt 0 ] || { sed -n '2,3s/^# \{0,1\}//p' "$0" >&2; exit 2; }
	apt_install "$@"
fi
