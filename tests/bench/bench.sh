#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The benchmarks run and keep their form: every figure they promise, in lines of eight columns. How fast
# anything was is not judged here.
. "$KC_SRCDIR/tests/checks/tap.sh"

printed=$TMPDIR/printed

# form FILE NAME...: what is wrong with the lines in FILE, which should be one for each name
form() {
	local file=$1
	shift
	awk -F '\t' -v want="$*" '
		BEGIN { n = split(want, names, " ") }
		function number(x) { return x ~ /^[0-9.]+(e[+-][0-9]+)?$/ && x + 0 > 0 }
		NF != 8 { print "line " NR " has " NF " columns: " $0; next }
		$1 != names[NR] { print "line " NR " is " $1 ", not " names[NR] }
		$5 !~ /^(ns|1\/s|calls|bytes|switches)$/ { print $1 ": unit " $5 }
		$6 !~ /^([a-z0-9_]+|-)$/ { print $1 ": reference " $6 }
		$8 !~ /^(one-cpu|smt|near|far|-)$/ { print $1 ": class " $8 }
		# where system calls cannot be counted, or there is one user only, a figure says so;
		# all others are numbers
		$7 == "n/a" && $1 ~ /syscalls|^fair_/ && $2 == "n/a" { next }
		# 0 on a quiet machine, and beside nothing
		$5 == "switches" && $2 ~ /^[0-9]+$/ && $6 == "-" && $7 == "-" { next }
		!number($2) || !number($3) || !number($4) || !number($7) { print $1 ": no number in: " $0 }
		$3 + 0 > $2 + 0 || $2 + 0 > $4 + 0 { print $1 ": median not between min and max: " $0 }
		END { if (NR != n) print NR " lines, not " n }' "$file"
}
# run PROGRAM ARGUMENTS...: its output is in $printed; says what it should not say
run() {
	local program=$KC_BUILDDIR/tests/bench/$1
	shift
	"$program" "$@" > "$printed" 2> "$TMPDIR/err" || {
		echo "exit status $?"
		cat "$TMPDIR/err"
	}
}
bench() { # bench PROGRAM 'ARGUMENTS' NAME...
	local program=$1 arguments=$2
	shift 2
	# shellcheck disable=SC2086 # several arguments, or none
	run "$program" --quick --tsv $arguments
	form "$printed" "$@"
}
table() {
	run "$1" --quick
	grep -q '^figure  *median  *min  *max  *unit  *reference  *ratio  *class' "$printed" || echo "no head"
	[ "$(grep -c '^[a-z]*_' "$printed")" = "$2" ] || echo "not $2 figures"
}
refuses() {
	local program=$1
	shift
	"$KC_BUILDDIR/tests/bench/$program" "$@" > "$printed" 2>&1
	[ $? = 2 ] || echo "$program $* did not end with 2"
	[ "$(wc -l < "$printed")" -lt 5 ] || echo "$program $* measured"
}

clean "bench_socket" bench bench_socket '' socket_rtt_64 socket_rtt_64_window socket_stream_64_touch socket_stream_4k_touch \
	socket_stream_64k_touch socket_stream_1m_touch socket_4x4_64_touch socket_single_64 \
	socket_syscalls_per_element socket_daemon_syscalls_per_rtt \
	socket_daemon_syscalls_per_rtt_window
clean "bench_cancel" bench bench_cancel '' cancel_10k cancel_tree_10k cancel_scope_10k
clean "bench_select" bench bench_select '' select_ready_2 select_ready_8 select_ready_64 select_block_2 \
	select_block_8 select_block_64 select_park_2 select_park_8 select_park_64
clean "bench_coro" bench bench_coro '' switch switch_integer yield spawn_join_1000 parked_bytes_100k \
	rest_wakeups
clean "bench_latency" bench bench_latency '' thread_rendezvous_rtt_block \
	thread_rendezvous_rtt_spin thread_cap1_rtt_spin coro_rendezvous_rtt coro_pool_rendezvous_rtt \
	socket_rendezvous_rtt_64
clean "bench_throughput" bench bench_throughput '' thread_1x1_8 thread_1x1_64_touch thread_4x4_8 \
	thread_4x4_64_touch socket_1x1_single_8 socket_1x1_single_64_touch socket_4x4_single_8 \
	socket_4x4_single_64_touch coro_1x1_cap64_8 coro_1x1_cap64_64 coro_4x4_cap64_8 \
	coro_pool_4x4_cap1024_8 zref_512 zref_512_read zref_512_touch zref_512_batch_2threads
scale=
for op in ping make open info send_recv cancel detach close destroy list_50; do
	scale+=" scale_${op}_channels_1k scale_${op}_channels_10k scale_${op}_conns_1k"
done
# shellcheck disable=SC2086 # a list of names
clean "bench_scale" bench bench_scale '' scale_idle_rss scale_idle_rss_anon scale_idle_wakeups \
	scale_idle_rss_after_1m $scale scale_recv_waiting_1000 scale_close_waiting_1000 \
	scale_recv_credit_1000 scale_bye_attached_10k
clean "bench_fair" bench bench_fair '' fair_stream_64_beside_pings fair_stream_64_beside_sends \
	fair_stream_64_beside_lists fair_stream_64_beside_mix fair_trips_64_beside_mix \
	fair_stream_64_beside_one_pings fair_stream_64_beside_one_sends \
	fair_stream_64_beside_one_lists fair_trips_64_beside_one_pings
clean "bench_throughput with numbers" bench bench_throughput '3 2 100 5' thread_3x2_8 \
	thread_3x2_64_touch socket_3x2_single_8 socket_3x2_single_64_touch
clean "one figure alone" bench bench_latency '--only socket_rendezvous_rtt_64' socket_rendezvous_rtt_64
clean "a table for people" table bench_latency 6
clean "two numbers are too few" refuses bench_throughput 1 1
clean "no number" refuses bench_throughput 1 1 x 4
clean "a number out of range" refuses bench_throughput 1 0 10 4
clean "an unknown option" refuses bench_socket --fast
clean "an unknown figure" refuses bench_latency --only socket_rtt
clean "too many rounds" refuses bench_latency --rounds 6

printf 'a\t2\t1\t3\tns\t-\t1\tnear\nb\t2\t1\t3\tns\tx\t1\n' > "$printed"
catches "a missing column" 'line 2 has 7 columns' form "$printed" a b
printf 'a\t2\t1\t3\tns\tx\tn/a\tnear\n' > "$printed"
catches "a ratio that is missing" 'a: no number' form "$printed" a
catches "a figure that is missing" '1 lines, not 2' form "$printed" a b
finish
