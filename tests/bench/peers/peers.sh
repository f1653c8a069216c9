#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC2016 # programs are made from texts
# The table of peers keeps its form with all, some or none of them there. Peers here are made up: what
# is installed, and how fast anything is, does not matter.
. "$KC_SRCDIR/tests/checks/tap.sh"

if ! command -v python3 > /dev/null; then
	echo '1..0 # SKIP python3 is not installed'
	exit 0
fi
ours=$KC_BUILDDIR/tests/bench
peers=$TMPDIR/peers
printed=$TMPDIR/printed
said=$TMPDIR/said
mkdir "$peers"

# run STATUS ARGUMENTS...: the table is in $printed, stderr in $said
run() {
	local want=$1 code
	shift
	python3 -B "$KC_SRCDIR/tests/bench/peers/run.py" --ours "$ours" --peers "$peers" "$@" \
		> "$printed" 2> "$said"
	code=$?
	[ $code = "$want" ] || {
		echo "exit status $code, not $want"
		cat "$said"
	}
}
# form ROWS: what is wrong with $printed, tab-separated
form() {
	awk -F '\t' -v want="$1" '
		function number(x) { return x ~ /^[0-9.]+(e[+-][0-9]+)?$/ && x + 0 > 0 }
		function three(at) {
			if ($at == "n/a" && $(at + 1) == "n/a" && $(at + 2) == "n/a")
				return 0
			if (!number($at) || !number($(at + 1)) || !number($(at + 2)))
				print $1 ": no number in: " $0
			if ($(at + 1) + 0 > $at + 0 || $at + 0 > $(at + 2) + 0)
				print $1 ": median not between min and max: " $0
			return 1
		}
		NF != 11 { print "line " NR " has " NF " columns: " $0; next }
		{ both = three(2) + three(7) }
		$5 !~ /^(ns|1\/s|-)$/ { print $1 ": unit " $5 }
		$6 !~ /^[a-z0-9_]+$/ { print $1 ": peer " $6 }
		both == 2 ? !number($10) : $10 != "n/a" { print $1 ": ratio " $10 }
		$11 == "" { print $1 ": no note" }
		END { if (NR != want) print NR " rows, not " want }' "$printed"
}
# peer NAME COMMANDS: a program of the form of peer.h's; $figure is what it is asked for
peer() {
	printf '#!/bin/sh\nfor figure; do :; done\n%s\n' "$2" > "$peers/$1"
	chmod +x "$peers/$1"
}
tells() { grep -q -- "$1" "$said" || { echo "not on stderr: $1"; cat "$said"; }; }
cell() { # cell COLUMN: of the only row
	cut -f "$1" "$printed"
}

none() {
	run 0 --quick --tsv
	form 30
	[ "$(cut -f 7,10 "$printed" | sort -u)" = $'n/a\tn/a' ] || echo "a peer from nowhere"
	# what we have is measured all the same
	awk -F '\t' '$1 == "switch" && $2 == "n/a" { print "ours is missing" }' "$printed"
	tells 'switch: boost_context: n/a: not installed'
	tells 'thread_4x4_8: ck_ring_mpmc: n/a: not installed'
}
some() {
	peer peer-context 'printf "%s\t5\tns\n" "$figure"'
	run 0 --quick --tsv --only switch
	form 1
	[ "$(cell 10)" != n/a ] || echo "no ratio"
	[ ! -s "$said" ] || cat "$said"
}
rounds() { # ours 2, 4, 9 and the peer 1, 8, 3: in turn, and every other round in reverse
	local next='n=$(($(cat "$0.n" 2> /dev/null || echo 0) + 1)); echo $n > "$0.n"; echo "$0" | sed "s|.*/||" >> "${0%/*}/order"'
	peer peer-context "$next"'; set -- 1 8 3; shift $((n - 1)); printf "switch\t%s\tns\n" $1'
	peer bench_coro "$next"'; set -- 2 4 9; shift $((n - 1)); printf "switch\t%s\t1\t1\tns\t-\t-\t-\n" $1'
	ours=$peers run 0 --tsv --rounds 3 --only switch
	[ "$(cell 2-5,7-10)" = $'4\t2\t9\tns\t3\t1\t8\t2.000' ] || cat "$printed"
	[ "$(tr '\n' ' ' < "$peers/order")" = "bench_coro peer-context peer-context bench_coro bench_coro peer-context " ] ||
		cat "$peers/order"
}
table() {
	peer peer-context '[ "$figure" = --about ] && exec echo "Context 1"; printf "%s\t5\tns\n" "$figure"'
	run 0 --quick --only switch
	grep -q '^figure  *ours  *min  *max  *unit  *peer  *its median .* ratio  *note$' "$printed" || echo "no head"
	grep -q '^switch .* boost_context  *5  *5  *5 ' "$printed" || echo "no row"
	grep -q '^peers: Context 1 ' "$printed" || echo "no word of who the peers are"
}
stranger() { # a figure our program does not know
	printf '#!/bin/sh\nexit 2\n' > "$TMPDIR/bench_coro"
	chmod +x "$TMPDIR/bench_coro"
	peer peer-context 'printf "%s\t5\tns\n" "$figure"'
	ours=$TMPDIR run 0 --quick --tsv --only switch
	form 1
	[ "$(cell 2,7,10)" = $'n/a\t5\tn/a' ] || cat "$printed"
	tells 'switch: ours: n/a: does not know the figure'
}
faulty() { # faulty COMMANDS MESSAGE: what is there has to work
	peer peer-context "$1"
	run 1 --quick --tsv --only switch
	form 1
	[ "$(cell 10)" = n/a ] || echo "ratio $(cell 10)"
	tells "$2"
}

clean "no peers at all" none
clean "one of them" some
clean "rounds in turn" rounds
clean "a table for people" table
clean "ours does not know the figure" stranger
clean "a peer that fails" faulty 'echo "no stack" >&2; exit 1' 'exit status 1: no stack'
clean "a peer that is killed" faulty 'kill -9 $$' 'signal 9'
clean "a peer that prints no number" faulty 'printf "%s\tfast\tns\n" "$figure"' "no number: 'fast'"
clean "a peer that prints another figure" faulty 'printf "x\t5\tns\n"' 'no line for switch'
clean "a peer with another unit" faulty 'printf "%s\t5\t1/s\n" "$figure"' '1/s, not ns'
clean "an unknown figure" run 2 --only switches
clean "no rounds" run 2 --rounds 0

printf 'switch\t5\t4\t6\tns\tgo\t5\t4\t6\t1.000\n' > "$printed"
catches "a missing column" 'line 1 has 10 columns' form 1
printf 'switch\t5\t4\t6\tns\tgo\t5\t4\t6\tn/a\t-\n' > "$printed"
catches "a missing ratio" 'switch: ratio n/a' form 1
printf 'switch\t5\t4\t6\tns\tgo\t9\t4\t6\t1.000\t-\n' > "$printed"
catches "a wrong spread" 'switch: median not between' form 1
finish
