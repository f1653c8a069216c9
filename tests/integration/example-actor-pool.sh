#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The example actor_pool: actors that end by their token and by close, on local channels and on
# those of kcorod.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
in_session
example=$KC_BUILDDIR/examples/actor_pool

# divisors N: the sum of the numbers of divisors of 1 to N, counted in another way
divisors() { awk -v n="$1" 'BEGIN { for (d = 1; d <= n; d++) sum += int(n / d); print sum }'; }
# pool NAME WORKERS REQUESTS ARGUMENT...: a run, and what it says
pool() {
	local name=$1 workers=$2 requests=$3 left
	shift 3
	does "$name" "$example" --workers "$workers" --requests "$requests" "$@"
	same "$name: no complaints" "$err" ""
	same "$name: the token ends each worker of the first pool" \
		"$(grep -c '^first pool: worker [0-9]* ended: the operation was cancelled$' <<< "$out")" "$workers"
	left=$(sed -n 's/^first pool: .* \([0-9]*\) requests wait.*/\1/p' <<< "$out")
	# in the channel of results and in the hands of a worker are at most so many beyond the half
	if [ "${left:-0}" -ge $((requests - requests / 2 - 2 * workers)) ] && [ "$left" -le $((requests - requests / 2)) ]; then
		ok "$name: the rest waits for the next pool"
	else
		not_ok "$name: the rest waits for the next pool" "$out"
	fi
	same "$name: close ends each worker of the second pool" \
		"$(grep -c '^second pool: worker [0-9]* ended: the channel is closed$' <<< "$out")" "$workers"
	matches "$name: and the collector" '^collector ended: the channel is closed$' "$out"
	same "$name: each request was answered once" "$(tail -n 1 <<< "$out")" \
		"$requests requests, $requests results, sum $(divisors "$requests")"
}
pool "local channels" 4 100
pool "one worker" 1 7
pool "channels of kcorod" 4 100 --socket "$KCORO_SOCKET"
pool "channels of another name" 3 20 --socket "$KCORO_SOCKET" --channel my/pool
same "no channel is left" "$(field "" "$ctl" list --json)" "[ ]"
same "kcorod has seen the requests and the results" "$(field /sent "$ctl" stats --json)" 240
expect "no daemon" 1 "$example" --socket "$TMPDIR/nobody.sock"
matches "is told" 'actor_pool: connecting: .*nobody.sock' "$err"
expect "a name that is none" 1 "$example" --socket "$KCORO_SOCKET" --channel a//b
does "help" "$example" --help
matches "says how to run it" '^usage: actor_pool' "$out"
for wrong in --workers=0 --workers=65 --requests=1 --requests=1x --jump word; do
	refuses "$wrong" 2 'usage: actor_pool' "$example" $wrong
done
finish
