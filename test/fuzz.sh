#!/usr/bin/env bash
# fuzz.sh TIME runs every fuzz target of the module for TIME, as many at once as
# there are cores. Each package is built once, with what the fuzzer wants of it.
#
# On a busy machine Go ends a run that found nothing with "context deadline
# exceeded" now and then (go.dev/issue/75804): such a run is made again, twice at
# the most.
set -euo pipefail

fuzztime=$1
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=$(go env GOCACHE)/fuzz

# one DIR NAME BINARY: a target, told when it is over.
one() {
	local dir=$1 name=$2 binary=$3 log=$work/$2.$$.log
	for attempt in 1 2 3; do
		if (cd "$dir" && "$binary" -test.run "^$name\$" -test.fuzz "^$name\$" -test.fuzztime "$fuzztime" -test.parallel 1 \
			-test.fuzzminimizetime 20x -test.fuzzcachedir "$cache/$(go list .)") >"$log" 2>&1 </dev/null; then
			echo "$dir $name: $(grep -oE 'execs: [0-9]+' "$log" | tail -1)"
			return
		fi
		if grep -qE 'Failing input|panic:' "$log" || ! grep -q '^    context deadline exceeded$' "$log"; then
			break
		fi
	done
	echo "$dir $name failed (attempt $attempt):"
	cat "$log"
	return 1
}
export -f one
export work cache fuzztime

targets=()
while read -r dir; do
	binary=$work/$(tr / . <<<"${dir#./}").test
	go test -c -fuzz . -o "$binary" "$dir"
	while read -r name; do
		targets+=("$dir $name $binary")
	done < <(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | cut -c6- | sort)
done < <(grep -rlE --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u)

printf '%s\n' "${targets[@]}" | xargs -P "$(getconf _NPROCESSORS_ONLN)" -L 1 bash -c 'one "$@"' one
