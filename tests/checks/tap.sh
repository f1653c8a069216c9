# SPDX-License-Identifier: BSD-3-Clause
# TAP for the checks of the tree. A check is a function that prints one line per fault it finds in
# the tree it is given; `clean` demands that it prints nothing, `catches` that it finds a fault planted
# for it, so that no check can pass because it looks at nothing.
# shellcheck shell=bash
set -u
export LC_ALL=C
: "${KC_SRCDIR:?}" "${KC_BUILDDIR:?}" "${TMPDIR:?}"
kct_n=0

ok() {
	kct_n=$((kct_n + 1))
	echo "ok $kct_n - $1"
}
not_ok() {
	kct_n=$((kct_n + 1))
	echo "not ok $kct_n - $1"
	[ -z "${2-}" ] || head -n 40 <<< "$2" | sed 's/^/# /'
}
skip() {
	kct_n=$((kct_n + 1))
	echo "ok $kct_n - $1 # SKIP $2"
}

# clean NAME COMMAND...: the command succeeds and prints nothing
clean() {
	local name=$1 out code
	shift
	out=$("$@" 2>&1)
	code=$?
	if [ -z "$out" ] && [ $code = 0 ]; then ok "$name"; else not_ok "$name" "${out:-exit status $code}"; fi
}

# catches NAME REGEX COMMAND...: the command prints a line that matches
catches() {
	local name=$1 want=$2 out
	shift 2
	out=$("$@" 2>&1)
	if grep -Eq -- "$want" <<< "$out"; then
		ok "catches $name"
	else
		not_ok "catches $name" "nothing matches /$want/ in:
$out"
	fi
}

# plant FILE TEXT: a file in a tree of its own, below $planted, which is emptied first
planted=$TMPDIR/planted
plant() {
	rm -rf "$planted"
	mkdir -p "$planted/$(dirname "$1")"
	printf '%s\n' "$2" > "$planted/$1"
}

finish() {
	echo "1..$kct_n"
	exit 0
}
