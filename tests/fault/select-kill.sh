#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A select whose partners are killed: from a thread, and from a coroutine. KC_SELECT_ROUNDS=10000000 is
# the long form, with KC_TEST_TIMEOUT to match.
rounds=${KC_SELECT_ROUNDS:-300000}
"$KC_BUILDDIR/tests/fault/select-kill" --rounds "$rounds" > "$TMPDIR/first"
first=$?
"$KC_BUILDDIR/tests/fault/select-kill" --rounds "$rounds" --coroutine 1 > "$TMPDIR/second"
second=$?
# two plans become one
cat "$TMPDIR/first" "$TMPDIR/second" | awk '/^1\.\./ { next }
	/^(not )?ok / { n++; sub(/ok [0-9]+/, "ok " n) }
	{ print }
	END { print "1.." n }'
[ $first = 0 ] && [ $second = 0 ]
