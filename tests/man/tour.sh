#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What README says: its five minutes, command by command, and its program.
. "$KC_SRCDIR/tests/man/lib.sh" || exit 1
cd "$TMPDIR" || exit 1
unset KCORO_SOCKET
# as after ./quickstart: the build lies in build/ of the current folder
ln -s "$KC_BUILDDIR" build

tour() {
	rm -rf made && mkdir made
	# the tour sets PATH itself
	PATH=$(sed "s|^$KC_BUILDDIR/kcoroctl:$KC_BUILDDIR/kcorod:||" <<< "$PATH") \
		tool transcript "$1" "Five minutes"
}
# hello FILE: the program of the text is compiled and run, its message received
hello() {
	awk '/^## / { inside = $0 == "## A program" } inside && /^    / { print substr($0, 5) }' "$1" |
		sed '/^}$/q' > hello.c
	[ -s hello.c ] || echo "no program found"
	compiled hello.c hello || return 0
	kcoroctl session -- sh -c './hello && kcoroctl recv jobs --timeout 5000' > out 2>&1 ||
		echo "the program fails: $?"
	[ "$(cat out)" = hello ] || cat out
}
readme=$KC_SRCDIR/README.md
clean "the five minutes" tour "$readme"
clean "the program" hello "$readme"
commands=$(awk '/^## / { inside = $0 == "## Five minutes" } inside && /^    \$ / { n++ } END { print n }' "$readme")
[ "$commands" -ge 15 ] && ok "the commands are found" || not_ok "the commands are found" "$commands"

changed() { sed "$1" "$readme" > changed.md; }
changed 's/^    2$/    3/'
catches "another output" '^\$ kcoroctl recv jobs -n 2: it says' tour changed.md
changed 's/: status 3$/: status 4/'
catches "another status" 'no.sock.*status 3, not 4' tour changed.md
changed '/^    door @/d'
catches "output that is not shown" '^\$ kcoroctl make door .*: it says: door @' tour changed.md
changed 's/"hello", 5/"hullo", 5/'
catches "a program that does something else" '^hullo$' hello changed.md
changed 's/^            kc_chan_t \*jobs;/&\n            int unused;/'
catches "a program with a warning" 'unused' hello changed.md
finish
