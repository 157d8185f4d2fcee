# shellcheck shell=bash
# lib.sh: what the set-up scripts share. Source it; it changes nothing by itself.
# All words go to standard error, so that a script's standard output can be read by another program.

RAYLINK_CACHE=${RAYLINK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/raylink}
RAYLINK_STATE=${RAYLINK_STATE:-/run/raylink-setup}
export RAYLINK_CACHE RAYLINK_STATE

say() { printf '%s\n' "$*" >&2; }

# die WHAT [HINT]: ends the script with the reason and the next step.
die() {
	printf 'raylink: %s\n' "$1" >&2
	[ $# -lt 2 ] || printf '         %s\n' "$2" >&2
	exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# seconds_since START: START is an earlier $EPOCHREALTIME; the answer has one decimal.
seconds_since() { LC_ALL=C awk -v a="${1/,/.}" -v b="${EPOCHREALTIME/,/.}" 'BEGIN { printf "%.1f s", b - a }'; }

# timed WORDS COMMAND...: runs COMMAND and says how long it took. What it prints goes to a log that is shown if it goes wrong.
timed() {
	local words=$1 start=$EPOCHREALTIME log code=0
	shift
	log=$(mktemp)
	[ ! -t 2 ] || printf '  … %s\r' "$words" >&2
	"$@" >"$log" 2>&1 || code=$?
	if [ $code -ne 0 ]; then
		tail -n 30 "$log" >&2
		rm -f "$log"
		die "$words: ended with code $code after $(seconds_since "$start") (its last words stand above)"
	fi
	rm -f "$log"
	[ ! -t 2 ] || printf '\033[K' >&2
	say "  $words ($(seconds_since "$start"))"
}

# is_debian: by what the system says of itself; $OS_RELEASE is for the tests.
is_debian() { (. "${OS_RELEASE:-/etc/os-release}" 2>/dev/null && [ "${ID:-}" = debian ]); }
is_root() { [ "$(id -u)" = 0 ]; }

# need_root_debian WHAT PACKAGES...: goes on only where packages can be installed; otherwise says what is to be done by hand.
need_root_debian() {
	local what=$1
	shift
	is_debian || die "$what is missing, and this is not Debian, so it cannot be installed from here" \
		"install what Debian calls: $*; then run the same command again"
	is_root || die "$what is missing, and installing it needs root" "as root: apt-get install -y --no-install-recommends $*"
	have apt-get || die "$what is missing, and there is no apt-get" "install by hand: $*"
}

# apt_mirror: the archive that this machine's own apt reads Debian from; nothing if its sources name none. Comments do not count.
# The archive of bookworm itself wins over others (security, vendors).
apt_mirror() {
	local f found='' line
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
		[ -f "$f" ] || continue
		while read -r line; do
			case $line in "main "*) printf '%s\n' "${line#main }" && return 0 ;; esac
			[ -n "$found" ] || found=${line#other }
		done < <(apt_uris "$f")
	done
	[ -z "$found" ] || printf '%s\n' "$found"
}

# apt_uris FILE: its archives, one a line, with "main" before those that carry the suite bookworm and "other" before the rest
# that look like a Debian archive.
apt_uris() {
	awk '
		function out(uri, suites) {
			if (uri == "" || uri ~ /security/) return
			if ((" " suites " ") ~ / bookworm /) print "main " uri
			else if (uri ~ /\/debian\/?$/) print "other " uri
		}
		/^[ \t]*#/ { next }
		/^deb[ \t]/ { sub(/^deb[ \t]+(\[[^]]*\][ \t]*)?/, ""); out($1, $2); next }
		/^[ \t]*$/ { out(uri, suites); uri = suites = ""; next }
		/^URIs:/ { uri = $2 }
		/^Suites:/ { $1 = ""; suites = $0 }
		END { out(uri, suites) }
	' "$1"
}

# locked NAME: waits until no other run of the scripts does the same thing on this machine, and keeps others out until the end.
locked() {
	mkdir -p "$RAYLINK_CACHE"
	exec 9>"$RAYLINK_CACHE/.$1.lock"
	flock -n 9 || { say "  waiting for another run that does the same"; flock 9; }
}
