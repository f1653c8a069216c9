#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The example cancel_deadline: a deadline and a failure end a whole tree, and nothing is lost.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
example=$KC_BUILDDIR/examples/cancel_deadline

# of N WHAT: what the Nth request says of WHAT
of() { awk -v n="$1:" -v what="  $2: " '/^[0-9]/ { at = $1 } at == n && index($0, what) == 1 { print substr($0, length(what) + 1) }' <<< "$out"; }
# whole NAME: a run that ends well, whatever came first
whole() {
	local i
	does "$1" "$example" --deadline "$2"
	same "$1: no complaints" "$err" ""
	same "$1: all parts in time" "$(for i in 1 2 3 4; do of 1 "worker $i"; done | xargs) $(of 1 request)" \
		"KC_OK KC_OK KC_OK KC_OK KC_OK"
	same "$1: none is left over" "$(of 1 parts)" "4 sent = 4 received + 0 in the channels"
	same "$1: a worker's own deadline" "$(of 2 "worker 2")" KC_ETIME
	same "$1: is the request's end" "$(of 2 request)" KC_ETIME
	same "$1: which cancels the others" "$(of 2 "worker 3") $(of 2 "worker 4")" "KC_ECANCELED KC_ECANCELED"
	same "$1: the deadline of the request" "$(of 3 deadline) $(of 3 request)" "KC_ETIME KC_ETIME"
	same "$1: cancels all that wait" "$(for i in 2 3 4; do of 3 "worker $i"; done | xargs)" \
		"KC_ECANCELED KC_ECANCELED KC_ECANCELED"
	for i in 2 3; do
		matches "$1: request $i lost no part" '^4 sent = ([01]) received \+ [34] in the channels$' "$(of $i parts)"
	done
}
whole "a deadline of 50 ms" 50
whole "a deadline of 1 ms" 1
does "the usual deadline" "$example"
does "help" "$example" --help
matches "says how to run it" '^usage: cancel_deadline' "$out"
for wrong in --deadline=0 --deadline=60001 --deadline=1x --jump word; do
	refuses "$wrong" 2 'usage: cancel_deadline' "$example" $wrong
done
finish
