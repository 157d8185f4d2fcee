#!/usr/bin/env bash
# demo.sh: a machine joins a network, is looked over, does as its owner likes, and leaves without a trace.
# As root. Everything happens on this machine, below one temporary directory: a coordinator of its own, and the agent.
# RAYLINK names the binary; RUNTIME=scripted does without a container engine.
set -euo pipefail
RAYLINK=${RAYLINK:-raylink}
RUNTIME=${RUNTIME:-docker}
work=$(mktemp -d)
data=$work/supplier
export XDG_CONFIG_HOME=$work/config XDG_STATE_HOME=$work/state
pids=()
finish() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait
	rm -rf "$work"
}
trap finish EXIT

say() { printf '\n== %s\n' "$*"; }
show() {
	printf '$ raylink %s\n' "$*"
	"$RAYLINK" "$@"
}

# snapshot writes down what an agent could leave on a machine.
snapshot() {
	have() { command -v "$1" >/dev/null; }
	if [ "$RUNTIME" = docker ]; then
		docker ps -a --no-trunc --format '{{.ID}} {{.Names}}'
		docker network ls -q
		docker volume ls -q
	fi
	if have ip; then ip -o link && ip rule && ip route show table all; fi
	if have iptables-save; then iptables-save | sed -e '/^#/d' -e 's/\[[0-9]*:[0-9]*\]//'; fi
	if have nft; then nft list ruleset; fi
	find /run/raylink /run/wireguard /var/lib/raylink "$data" -mindepth 1 2>/dev/null | sort || true
}

# until_says waits until a command's output has a text in it.
until_says() {
	local text=$1
	shift
	for _ in $(seq 300); do
		if "$@" 2>/dev/null | grep -q "$text"; then return 0; fi
		sleep 0.1
	done
	echo "\`$*\` never says \"$text\":" >&2
	"$@" >&2 || true
	tail -n 5 "$work"/*.log >&2
	return 1
}

say "A coordinator, to have somebody to join"
port=$((20000 + RANDOM % 20000))
url=https://127.0.0.1:$port
"$RAYLINK" coordinator init --data "$work/coordinator" --id a --url "$url" >"$work/init.log"
"$RAYLINK" coordinator run --data "$work/coordinator" --id a --url "$url" --listen "127.0.0.1:$port" \
	--raft-listen "127.0.0.1:$((port + 1))" --raft-advertise "127.0.0.1:$((port + 1))" 2>"$work/coordinator.log" &
pids+=($!)
# On one's own machine the fingerprint is at hand; from elsewhere an admin tells it.
ca=$(openssl x509 -in "$work"/coordinator/authority/ca.pem -noout -fingerprint -sha256 | sed -e 's/.*=//' -e 's/://g' | tr A-F a-f)
for _ in $(seq 100); do
	"$RAYLINK" login "$url" --token-file "$work/coordinator/admin.token" --ca-sha256 "$ca" >"$work/login.log" 2>&1 && break
	sleep 0.2
done
"$RAYLINK" join-token create --kind machine -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["secret"])' >"$work/join.token"
snapshot >"$work/before"

say "What would the agent do here? (--dry-run)"
show supplier --dry-run --data "$data" --join "$url" --runtime "$RUNTIME"

say "What does this machine lack? (before it has joined: an identity, at least)"
show supplier doctor --data "$data" --join "$url" || echo "(exit code $?)"

say "It joins, and its agent works"
"$RAYLINK" supplier --data "$data" --join "$url" --join-token-file "$work/join.token" --name demo --cpus 1 --memory 2Gi --runtime "$RUNTIME" 2>"$work/agent.log" &
agent=$!
pids+=($agent)
until_says heard_at cat "$data/view.json"
show supplier status --data "$data"

say "It has shown what it computes: from now on it is placed"
until_says 'state  *ready' "$RAYLINK" supplier status --data "$data"
show supplier status --data "$data"

say "What it has shown, judged again by anybody"
proof=$("$RAYLINK" challenge list -o json | python3 -c 'import json, sys; print([p["id"] for p in json.load(sys.stdin) if p["state"] == "passed"][0])')
show challenge export "$proof" --file "$work/proof.json"
show challenge verify "$work/proof.json"

say "Looked over again"
show supplier doctor --data "$data" --all || echo "(exit code $?)"

say "Its owner's evening, and a price"
show supplier schedule --data "$data" --hours 'mon-fri 19:00-07:00, sat-sun' --zone Europe/Berlin
show supplier price --data "$data" --cpu-hour 0.03
show supplier pause --data "$data" --for 2h
until_says '"reason":"paused"' cat "$data/view.json"
show supplier resume --data "$data"

say "And it leaves"
show supplier uninstall --data "$data" --runtime "$RUNTIME" --yes
wait "$agent"

snapshot >"$work/after"
say "What was here before, and what is here now"
diff "$work/before" "$work/after" && echo "No difference: containers, networks, volumes, interfaces, routes, firewall and files are as they were."
