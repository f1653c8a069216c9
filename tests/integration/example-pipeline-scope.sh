#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The example pipeline_scope: stages over channels of kcorod that end together, whichever fails.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
in_session
example=$KC_BUILDDIR/examples/pipeline_scope

sum() { awk -v n="$1" 'BEGIN { for (i = 1; i <= n; i++) s += int(i * i / 2); printf "%.0f\n", s }'; }
for n in 2 100 5000; do
	does "$n items" "$example" --items "$n"
	same "$n items: no complaints" "$err" ""
	same "$n items: every stage completes" "$(grep -c '^[a-z]*: completed$' <<< "$out")" 4
	same "$n items: each goes through each channel" \
		"$(grep -c "^pipeline/[a-z]*: closed, sent $n = received $n + dropped 0\$" <<< "$out")" 3
	same "$n items: the sum" "$(tail -n 1 <<< "$out")" "sum $(sum "$n")"
done
for stage in source square half sink; do
	for n in 2 3000; do
		does "$stage fails, $n items" "$example" --items "$n" --fail "$stage"
		same "$stage, $n: no complaints" "$err" ""
		matches "$stage, $n: it says so" "^$stage: failed \(the item was bad\)\$" "$out"
		# those it cancels before they were started are not there to say so
		same "$stage, $n: no other one fails" \
			"$(grep -v "^$stage: " <<< "$out" | grep -Ev '^[a-z]*: (completed|cancelled( \(.*\))?)$|^pipeline/')" ""
		same "$stage, $n: the channels are closed and their books balance" "$(awk '
			/^pipeline\/.*: closed, sent [0-9]+ = received [0-9]+ \+ dropped [0-9]+$/ &&
				$4 == $7 + $10 { n++ } END { print n + 0 }' <<< "$out")" 3
	done
	# the source sends no more once another one has failed
	[ $stage = source ] || matches "$stage: those before it are cancelled" '^source: cancelled' "$out"
done
same "no channel is left" "$(field "" "$ctl" list --json)" "[ ]"
does "with a kcorod of its own" env -u KCORO_SOCKET "$example"
same "the same sum" "$(tail -n 1 <<< "$out")" "sum $(sum 100)"
expect "no daemon" 1 env KCORO_SOCKET="$TMPDIR/nobody.sock" "$example"
matches "is told" 'pipeline_scope: connecting: ' "$err"
does "help" "$example" --help
matches "says how to run it" '^usage: pipeline_scope' "$out"
for wrong in --items=1 --items=-5 --items=5x --fail=all --jump word; do
	refuses "$wrong" 2 'usage: pipeline_scope' "$example" $wrong
done
finish
