#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# kcoro-gdb.py lists parked coroutines with their names and backtraces.
. "$KC_SRCDIR/tests/checks/tap.sh" || exit 1

script=$KC_SRCDIR/libkcoro-client/sched/kcoro-gdb.py
program=$KC_BUILDDIR/tests/unit/coro-parked
names="parked coroutines are listed with their backtraces"
if ! command -v gdb > /dev/null; then
	skip "$names" "no gdb"
	finish
elif [ -n "${KC_SANITIZED-}" ]; then
	skip "$names" "a sanitizer's program is not for gdb"
	finish
elif ! gdb -nx -batch -ex 'break everybody_is_parked' -ex run "$program" 2>&1 | grep -q '^Thread .* hit Breakpoint\|^Breakpoint 1, '; then
	skip "$names" "gdb cannot run a program here"
	finish
fi

# stopped FILE: what gdb says with the program stopped, and whether it ends well afterwards
stopped() {
	gdb -nx -batch -ex "source $1" -ex 'break everybody_is_parked' -ex run \
		-ex 'echo LISTED\n' -ex 'info coroutines bt' -ex 'echo AFTER\n' -ex 'backtrace 1' \
		-ex continue "$program" > "$TMPDIR/out" 2>&1
	sed -n '/^LISTED/,/^AFTER/p' "$TMPDIR/out" > "$TMPDIR/list"
}
listing() {
	local name
	stopped "$1"
	for name in first second third; do
		grep -q "waiting  \"$name\"  .*wait_deep" "$TMPDIR/list" || echo "no line for $name"
	done
	[ "$(grep -c ' wait_deep (' "$TMPDIR/list")" = 3 ] || echo "not three backtraces to wait_deep"
	[ "$(grep -c ' deeper (n=' "$TMPDIR/list")" = 12 ] || echo "not four frames of deeper() in each"
	sed -n '/^AFTER/,$p' "$TMPDIR/out" | grep -q '^#0 .*everybody_is_parked' || echo "the thread is not where it was"
	grep -q 'exited normally' "$TMPDIR/out" || echo "the program does not end as it should"
}
clean "$names" listing "$script"
sed 's/sp + size/sp/' "$script" > "$TMPDIR/planted.py"
catches "another layout of what is saved" 'not four frames|not three backtraces' listing "$TMPDIR/planted.py"
finish
