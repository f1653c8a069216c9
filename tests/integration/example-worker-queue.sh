#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The example worker_queue: jobs under leases, given back, extended, and taken over from a worker
# that was killed.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
example=$KC_BUILDDIR/examples/worker_queue

# the jobs that are done, in the order of their numbers
jobs_done() { sed -n 's/^worker [0-9]*: job \([0-9]*\) done.*/\1/p' <<< "$out" | sort -n | xargs; }
# queue NAME JOBS ARGUMENT...: a run, and what it says
queue() {
	local name=$1 jobs=$2
	shift 2
	does "$name" "$example" --jobs "$jobs" "$@"
	same "$name: no complaints" "$err" ""
	same "$name: each job is done once" "$(jobs_done)" "$(seq -s ' ' "$jobs")"
	same "$name: every 5th was given back" "$(grep -c 'given back$' <<< "$out")" $((jobs / 5))
	same "$name: every 7th got more time" "$(grep -c 'gets more time$' <<< "$out")" $((jobs / 7))
	matches "$name: the books balance" "^sent $jobs = received $jobs( \+ [a-z]* 0)*\$" "$out"
}
queue "as a whole" 20
same "what was given back came again, marked" \
	"$(grep -c 'job [0-9]*[05] done, delivery 2, redelivered$' <<< "$out")" 4
same "and nothing else" "$(grep -c 'delivery 1$' <<< "$out")" 16
matches "the books say so" '^redelivered 4$' "$out"

queue "with a worker that crashes" 20 --crash
matches "it had begun a job" '^worker 1: job 1 begun, and killed$' "$out"
matches "another did it" '^worker [23]: job 1 done, delivery 2, redelivered$' "$out"
matches "that is in the books, too" '^redelivered 5$' "$out"
queue "one job, which the worker takes along" 1 --crash --workers 2
queue "many" 1000 --workers 8 --crash

does "with the daemon of KCORO_SOCKET" "$ctl" session -- sh -c '"$0" --jobs 3 && "$1" list --json' "$example" "$ctl"
same "it leaves no channel" "$(tail -n 1 <<< "$out")" "[]"
by_hand() {
	"$ctl" session -- bash -c '"$0" worker q 1 & worker=$!; "$0" producer q 4 && "$1" close q && wait $worker' \
		"$example" "$ctl"
}
does "each role by itself" by_hand
same "does the same" "$(jobs_done)" "1 2 3 4"
expect "no daemon" 1 env KCORO_SOCKET="$TMPDIR/nobody.sock" "$example"
# a worker cannot join: the channel is of another kind. Nobody waits for it then
cannot() { "$ctl" session -- bash -c '"$1" make q --kind unlimited > "$2/made" && "$0" worker q 1' "$example" "$ctl" "$TMPDIR"; }
expect "a channel of another kind" 1 cannot
matches "is told" 'worker_queue: making the channel' "$err"
does "help" "$example" --help
matches "says how to run it" '^usage: worker_queue' "$out"
for wrong in --jobs=0 --workers=1 --workers=65 --jobs=1x --jump word; do
	refuses "$wrong" 2 'usage: worker_queue' "$example" $wrong
done
expect "a role without its channel" 2 "$example" worker
expect "a producer does not crash" 2 "$example" producer q 3 crash
finish
