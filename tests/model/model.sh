#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The models hold, and each fault planted in them is found. Run by `make check-model`; needs spin.
. "$KC_SRCDIR/tests/checks/tap.sh" || exit 1

if ! command -v spin > /dev/null; then
	skip "models" "no spin"
	finish
fi
# model NAME PLANTED: what spin finds in every order of steps
model() {
	local dir=$TMPDIR/$1-$2
	mkdir -p "$dir" && cd "$dir" || return 1
	spin -DPLANTED="$2" -a "$KC_SRCDIR/tests/model/$1.pml" > spin.out 2>&1 || cat spin.out
	# the checker that spin writes has warnings of its own
	$CC -O2 -w -DSAFETY -o pan pan.c 2> cc.out || cat cc.out
	./pan -m100000 > pan.out 2>&1
	grep -q 'errors: 0$' pan.out || grep -E '^pan:|errors:' pan.out || echo "no result"
	grep -q 'max search depth too small' pan.out && echo "not searched to the end"
	return 0
}
clean "a coroutine is woken once and never on its stack" model park 0
catches "PARKED left up" 'errors: [1-9]' model park 1
catches "two steps where one is needed" 'errors: [1-9]' model park 2
clean "no worker sleeps while there is work" model idle 0
catches "a look before the announcement" 'errors: [1-9]' model idle 1
catches "a searcher that stops after its last look" 'errors: [1-9]' model idle 2
catches "a bell that is not looked at" 'errors: [1-9]' model idle 3
catches "who moves and does not ring" 'errors: [1-9]' model idle 4
catches "who rings before it moves" 'errors: [1-9]' model idle 5
clean "a call ends in one way, and no element or wake-up is lost by it" model cancel 0
catches "a completed call that ends as it woke up" 'errors: [1-9]' model cancel 1
catches "one that leaves before its unpark" 'errors: [1-9]' model cancel 2
catches "a hook left behind" 'errors: [1-9]' model cancel 3
catches "a receiver found and served in two steps" 'errors: [1-9]' model cancel 4
catches "a token not looked at" 'errors: [1-9]' model cancel 5
catches "who gives up and stays on the list" 'errors: [1-9]' model cancel 6
catches "a waiting sender not let in" 'errors: [1-9]' model cancel 7
clean "of a select one clause takes effect, and no element or wake-up is lost by it" model select 0
catches "seats taken channel by channel" 'errors: [1-9]' model select 1
catches "a look, and the seats taken later" 'errors: [1-9]' model select 2
catches "an element moved before the claim" 'errors: [1-9]' model select 3
catches "a claimed select that leaves before its unpark" 'errors: [1-9]' model select 4
catches "the question who won before the seats are given up" 'errors: [1-9]' model select 5
catches "a lost claim and no look at who waits behind" 'errors: [1-9]' model select 6
catches "a claim of two steps" 'errors: [1-9]' model select 7
catches "a seat taken out by who finds it" 'errors: [1-9]' model select 8
catches "a channel that goes before those in it" 'errors: [1-9]' model select 9
catches "losing seats that stay" 'errors: [1-9]' model select 10
catches "locks in the order of the clauses" 'errors: [1-9]' model select 11
catches "a close that claims nobody" 'errors: [1-9]' model select 12
finish
