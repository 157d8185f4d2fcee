#!/usr/bin/env bash
# export.sh IMAGE DIR   writes an image for machines without Docker into DIR: its files as NAME.tar, its configuration as NAME.json and its
#                       digests as NAME.digests.
#
# NAME is the image's with every / a +. Copy the files into the machine's <data>/images/; `raylink supplier --runtime process` unpacks
# them when the first lease asks for IMAGE.
set -euo pipefail
[ $# = 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2 && exit 2; }
image=$1 name=$2/${1//\//+}
mkdir -p "$2"
docker image inspect -f '{{json .Config}}' "$image" >"$name.json"
docker image inspect -f '{{.Id}}{{range .RepoDigests}} {{.}}{{end}}' "$image" | tr ' ' '\n' | sed 's/.*@//' >"$name.digests"
container=$(docker create "$image" none)
trap 'docker rm "$container" >/dev/null; rm -f "$name.tar.part"' EXIT
docker export -o "$name.tar.part" "$container"
mv "$name.tar.part" "$name.tar"
