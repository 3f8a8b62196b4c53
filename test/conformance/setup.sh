#!/bin/sh
# Brings what the conformance tests run against into .tools/ at the top of the
# repository: other people's WebSocket libraries, at the versions pinned beside
# this file. What is there already costs a checksum. What can't be had is named
# with its reason and its tests skip; with CI=true it is an error instead.
set -u

here=$(cd "$(dirname "$0")" && pwd)
tools=$(cd "$here/../.." && pwd)/.tools
log=$tools/setup.log
missing=0

say() { printf 'conformance setup: %s\n' "$*"; }

# lacks WHAT REASON: one thing that the tests will have to do without.
lacks() {
	say "no $1: $2"
	missing=$((missing + 1))
}

# fresh DIR FILE...: whether DIR was made from these very files.
fresh() {
	dir=$1
	shift
	[ -f "$dir/.stamp" ] && [ "$(cat "$@" | cksum)" = "$(cat "$dir/.stamp")" ]
}

stamp() {
	dir=$1
	shift
	cat "$@" | cksum >"$dir/.stamp"
}

# run COMMAND...: quiet unless it fails, and never for ever.
run() {
	timeout 900 "$@" >>"$log" 2>&1 </dev/null
}

last_words() { tail -n 3 "$log" | tr '\n' ' ' | cut -c 1-300; }

# first_that ARGS -- COMMAND...: the first of the commands that runs with ARGS.
first_that() {
	test_code=$1
	shift
	for candidate in "$@"; do
		if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "$test_code" >/dev/null 2>&1; then
			command -v "$candidate"
			return 0
		fi
	done
	return 1
}

python3_clients() {
	dir=$tools/python3
	if fresh "$dir" "$here/python/clients.txt" && "$dir/bin/python" -c 'import websockets' 2>/dev/null; then
		return
	fi
	python=$(first_that 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
		python3 python3.13 python3.12 python3.11) || {
		lacks "Python websockets" "no Python 3.11 or later with venv on PATH"
		return
	}
	rm -rf "$dir"
	if run "$python" -m venv "$dir" && run "$dir/bin/python" -m pip install --require-virtualenv -r "$here/python/clients.txt"; then
		stamp "$dir" "$here/python/clients.txt"
		say "installed Python websockets"
	else
		lacks "Python websockets" "$(last_words)"
	fi
}

# The library's own tests are not in its PyPI package. Debian's source package
# has them; its release is named here, whichever this system is of.
websockets_source() {
	dir=$tools/websockets-source
	if fresh "$dir" "$here/python/suite.txt" "$here/python/suite-needs.txt"; then
		return
	fi
	debian=/etc/apt/sources.list.d/debian.sources
	key=/usr/share/keyrings/debian-archive-keyring.gpg
	if ! command -v apt-get >/dev/null 2>&1 || [ ! -f "$debian" ] || [ ! -f "$key" ]; then
		lacks "source of Python websockets" "it comes from a source package of Debian's"
		return
	fi
	rm -rf "$dir" && mkdir -p "$dir/apt/parts" "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial"
	sed -n "s|^URIs: *\([^ ]*\).*|deb-src [signed-by=$key] \1 trixie main|p;T;q" "$debian" >"$dir/apt/sources.list"
	apt_get() {
		(cd "$dir" && run apt-get -o Dir::Etc::sourcelist="$dir/apt/sources.list" -o Dir::Etc::sourceparts="$dir/apt/parts" \
			-o Dir::State::lists="$dir/apt/lists" -o Dir::Cache="$dir/apt/cache" "$@")
	}
	if apt_get update && apt_get source --download-only --tar-only python-websockets &&
		(cd "$dir" && run sha256sum -c "$here/python/suite.txt" && run tar -xzf ./*.orig.tar.gz --strip-components 1) &&
		run "$tools/python3/bin/python" -m pip install --no-deps --target "$dir/site" -r "$here/python/suite-needs.txt"; then
		rm -rf "$dir/apt" "$dir"/*.orig.tar.gz
		stamp "$dir" "$here/python/suite.txt" "$here/python/suite-needs.txt"
		say "unpacked the source of Python websockets"
	else
		lacks "source of Python websockets" "$(last_words)"
	fi
}

# Autobahn's test suite was never moved to Python 3.
find_python2() {
	for home in "$(pyenv prefix 2.7.18 2>/dev/null)" "$HOME/.pyenv/versions/2.7.18"; do
		if [ -x "$home/bin/python2.7" ]; then
			printf '%s\n' "$home/bin/python2.7"
			return 0
		fi
	done
	first_that 'import ssl' python2.7 python2
}

autobahn() {
	dir=$tools/autobahn
	if fresh "$dir" "$here/python/autobahn.txt" && "$(cat "$dir/.python")" -c '' 2>/dev/null; then
		return
	fi
	python=$(find_python2) || {
		[ "$(id -u)" = 0 ] && run apt-get install -y --no-install-recommends python2.7 python-pip-whl
		python=$(find_python2)
	} || {
		lacks "Autobahn" "it needs Python 2.7, which is neither in pyenv, nor on PATH, nor among this system's packages"
		return
	}
	run "$python" -m pip --version || run "$python" -m ensurepip || {
		lacks "Autobahn" "$python has no pip"
		return
	}
	rm -rf "$dir"
	if run "$python" -m pip install --no-deps --target "$dir" -r "$here/python/autobahn.txt" &&
		run env WSTEST_SITE="$dir" "$python" "$here/python/wstest.py" --autobahnversion; then
		printf '%s\n' "$python" >"$dir/.python"
		stamp "$dir" "$here/python/autobahn.txt"
		say "installed Autobahn"
	else
		lacks "Autobahn" "$(last_words)"
	fi
}

node_clients() {
	dir=$tools/node
	if fresh "$dir" "$here/node/package-lock.json"; then
		return
	fi
	if ! command -v npm >/dev/null 2>&1; then
		lacks "Node clients" "no npm on PATH"
		return
	fi
	rm -rf "$dir" && mkdir -p "$dir" && cp "$here/node/package.json" "$here/node/package-lock.json" "$dir"
	if run npm ci --prefix "$dir" --engine-strict --ignore-scripts --no-audit --no-fund; then
		stamp "$dir" "$here/node/package-lock.json"
		say "installed Node clients"
	else
		lacks "Node clients" "$(last_words)"
	fi
}

browser() {
	for name in chromium chromium-browser google-chrome; do
		command -v "$name" >/dev/null 2>&1 && return
	done
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
		lacks "Chromium" "not on PATH, and only root on Debian can install it"
	elif run apt-get update && run env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; then
		say "installed Chromium"
	else
		lacks "Chromium" "$(last_words)"
	fi
}

curl_itself() {
	command -v curl >/dev/null 2>&1 && return
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
		lacks "curl" "not on PATH, and only root on Debian can install it"
	elif run apt-get update && run env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends curl; then
		say "installed curl"
	else
		lacks "curl" "$(last_words)"
	fi
}

mkdir -p "$tools" && : >"$log"
python3_clients
websockets_source
autobahn
node_clients
browser
curl_itself

if [ "$missing" -gt 0 ] && [ "${CI:-}" = true ]; then
	say "$missing missing, see $log"
	exit 1
fi
