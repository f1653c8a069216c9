#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The examples of the pages do what the pages say: programs are compiled and run, commands are run,
# the configuration is read. All are taken from the page itself.
. "$KC_SRCDIR/tests/man/lib.sh" || exit 1
cd "$TMPDIR" || exit 1

rendered() { # rendered PAGE: wide enough that no line is broken
	if command -v mandoc > /dev/null; then
		mandoc -T ascii -O width=200 "$1" | sed 's/.\x08//g'
	fi
}
# program PAGE: faults of its program
program() {
	local page=${1##*/} alone=(kcoroctl session --)
	rm -f example example.c wanted out
	rendered "$1" | tool example "$1" .
	[ -e example.c ] || return 0
	compiled example.c example || return 0
	grep -q 'kc_ipc_connect(' example.c || alone=()
	"${alone[@]}" ./example > out 2>&1 || echo "$page: its example ends with status $?"
	diff wanted out | sed "s/^/$page: /"
}
commands() {
	mkdir -p shell && (cd shell && kcoroctl session -- "$BASH" -c 'python3 -B "$0" "$1" EXAMPLES' \
		"$KC_SRCDIR/tests/man/transcript.py" "$1")
	rm -rf shell
}
configuration() {
	python3 -B -c 'import sys; sys.path.insert(0, sys.argv[1]); import mdoc
print("\n".join(next(mdoc.Page(sys.argv[2]).literals("EXAMPLES"))[1]))' \
		"$KC_SRCDIR/tests/man" "$1" > example.json
	kcorod --check-config --config example.json 2>&1 | grep -v ': the configuration is good$'
	kcorod --print-config --config example.json 2>&1 | grep -q '"message": 4194304' ||
		echo "${1##*/}: its example does not take effect"
}
n=0
for page in "$man"/*.3; do
	clean "the example of ${page##*/}" program "$page"
	n=$((n + 1))
done
[ $n -ge 18 ] && ok "the pages are found" || not_ok "the pages are found" "$n"
clean "the commands of kcoroctl.1" commands "$man/kcoroctl.1"
clean "the commands of kcorod.8" commands "$man/kcorod.8"
if getent group users > /dev/null; then
	clean "the configuration of kcorod.conf.5" configuration "$man/kcorod.conf.5"
else
	skip "the configuration of kcorod.conf.5" "there is no group users"
fi

changed kc_version.3 's/^new enough$/old enough/'
catches "another output" 'kc_version.3: < old enough' program "$planted/kc_version.3"
changed kc_version.3 's/^	printf(.*/	return 3;/'
catches "another status" 'kc_version.3: .*status 3' program "$planted/kc_version.3"
changed kc_version.3 's/^	return 0;$/	int unused;\n&/'
catches "a warning" 'unused' program "$planted/kc_version.3"
changed kc_version.3 's/^#include <kcoro.h>$//'
catches "a page without a program" 'kc_version.3: no program' program "$planted/kc_version.3"
if command -v mandoc > /dev/null; then
	changed kc_version.3 's/^	return 0;$/&\n.Em \/\* hidden *\//'
	catches "what a reader does not see" 'kc_version.3: not as it is .*: .Em' program "$planted/kc_version.3"
else
	skip "catches what a reader does not see" "mandoc is not installed"
fi
changed kcoroctl.1 's/^2 elements dropped/3 elements dropped/'
catches "a command with another output" 'kcoroctl purge jobs: it says: 2 elements' commands "$planted/kcoroctl.1"
changed kcoroctl.1 's/# status 4/# status 5/'
catches "a command with another status" '# status 5: status 4, not 5' commands "$planted/kcoroctl.1"
changed kcorod.conf.5 's/"limits": {/"limit": {/'
catches "a configuration that is refused" 'limit: no such key' configuration "$planted/kcorod.conf.5"
finish
