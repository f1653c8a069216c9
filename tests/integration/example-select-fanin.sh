#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The example select_fanin: one loop over a daemon's channel, local ones and a clock.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
example=$KC_BUILDDIR/examples/select_fanin

# fanin NAME SENSORS READINGS ARGUMENT...: a run, and what it says
fanin() {
	local name=$1 sensors=$2 readings=$3 all=$(($2 * $3)) remarks=$(($2 * ($3 / 10)))
	shift 3
	does "$name" "$example" --sensors "$sensors" --readings "$readings" "$@"
	same "$name: no complaints" "$err" ""
	matches "$name: everything came" "^$all readings, $remarks remarks\$" "$out"
	same "$name: each remark once" "$(grep -c '^sensor [0-9]* has sent [0-9]*0$' <<< "$out")" "$remarks"
	same "$name: of each sensor in order" "$(grep '^sensor 1 ' <<< "$out" | awk '{ print $NF }' | xargs)" \
		"$(seq -s ' ' 10 10 "$readings")"
	matches "$name: the books balance" "^kcorod: sent $all = received $all \+ queued 0\$" "$out"
}
fanin "as it is" 3 20
fanin "one sensor" 1 10
fanin "many" 8 500
does "with the daemon of KCORO_SOCKET" "$ctl" session -- sh -c '"$0" && "$1" list --json' "$example" "$ctl"
same "it leaves no channel" "$(tail -n 1 <<< "$out")" "[]"
expect "no daemon" 1 env KCORO_SOCKET="$TMPDIR/nobody.sock" "$example"
does "help" "$example" --help
matches "says how to run it" '^usage: select_fanin' "$out"
for wrong in --readings=0 --readings=1x --sensors=17 --quiet-ms=0 --jump word; do
	refuses "$wrong" 2 'usage: select_fanin' "$example" $wrong
done
finish
