#!/usr/bin/env bash
# apt.sh PACKAGE...   installs those Debian packages that are missing, and says which.
# Sourced, it gives the function apt_install. Where it may not install it says what is needed and ends with 1.
# On another system a package counts as there if dpkg knows it, or if what it gives is there: its names are Debian's alone.
set -euo pipefail
# shellcheck source=raylink/devnet/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$'; }

# gives PACKAGE: what we want of it is here, wherever it comes from.
gives() {
	local f PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
	case $1 in
	ca-certificates)
		for f in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem /etc/ssl/ca-bundle.pem; do
			[ ! -s "$f" ] || return 0
		done
		return 1
		;;
	iproute2) have ip ;;
	libc6-dev) echo '#include <stdlib.h>' | gcc -E - >/dev/null 2>&1 ;;
	wireguard-tools) have wg ;;
	poppler-utils) have pdftotext ;;
	zbar-tools) have zbarimg ;;
	qemu-user-static) have qemu-aarch64-static && have qemu-x86_64-static ;;
	binfmt-support) have update-binfmts ;;
	gcc | iptables | chromium | runsc | hledger | debootstrap) have "$1" ;;
	*) return 1 ;;
	esac
}

apt_install() {
	local p missing=()
	for p in "$@"; do installed "$p" || { ! is_debian && gives "$p"; } || missing+=("$p"); done
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
	[ $# -gt 0 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
	apt_install "$@"
fi
