# SPDX-License-Identifier: BSD-3-Clause
# What the tests of kcoroctl share: a kcorod of the test's own, and `expect`.
# shellcheck shell=bash
. "$KC_SRCDIR/tests/checks/tap.sh"
ctl=$KC_BUILDDIR/kcoroctl/kcoroctl
json=$KC_BUILDDIR/tests/integration/ctl-json

# The script starts anew below `kcoroctl session`, so its daemon lives exactly as long as it does.
in_session() {
	[ -n "${KCORO_SOCKET-}" ] || exec "$ctl" session -- bash "$0"
}

# run COMMAND...: leaves $code, $out and $err; standard input is the caller's
run() {
	"$@" > "$TMPDIR/out" 2> "$TMPDIR/err"
	code=$?
	out=$(tr -d '\0' < "$TMPDIR/out")
	err=$(< "$TMPDIR/err")
}
what_happened() {
	printf 'exit status %s\nstdout: %s\nstderr: %s\n' "$code" "${out:0:1000}" "${err:0:1000}"
}
# expect NAME CODE COMMAND...: the exit status is CODE
expect() {
	local name=$1 want=$2
	shift 2
	run "$@"
	if [ "$code" = "$want" ]; then ok "$name"; else not_ok "$name" "wanted $want; $(what_happened)"; fi
}
# refuses NAME CODE REGEX COMMAND...: exits with CODE, says on standard error what matches, and nothing
# on standard output
refuses() {
	local name=$1 want=$2 regex=$3
	shift 3
	run "$@"
	if [ "$code" = "$want" ] && [ -z "$out" ] && grep -Eq -- "$regex" <<< "$err"; then
		ok "$name"
	else
		not_ok "$name" "wanted $want and /$regex/; $(what_happened)"
	fi
}
# same NAME A B
same() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "wanted: $3
got: $2"; fi
}
# same_file NAME A B
same_file() {
	local diff
	if diff=$(cmp "$2" "$3" 2>&1); then ok "$1"; else not_ok "$1" "$diff"; fi
}
# field POINTER COMMAND...: one value of the JSON that the command prints
field() {
	local pointer=$1
	shift
	"$@" | "$json" "$pointer"
}
# balances NAME CHANNEL: the books are JSON and add up
balances() {
	local name=$1
	shift
	run "$ctl" stats --json "$@"
	if [ "$code" = 0 ] && "$json" balance <<< "$out" 2> "$TMPDIR/err"; then
		ok "$name"
	else
		err+=$(< "$TMPDIR/err")
		not_ok "$name" "$(what_happened)"
	fi
}
# does NAME COMMAND...: the command succeeds
does() {
	local name=$1
	shift
	expect "$name" 0 "$@"
}
# matches NAME REGEX TEXT
matches() {
	if grep -Eq -- "$2" <<< "$3"; then ok "$1"; else not_ok "$1" "nothing matches /$2/ in: ${3:0:1000}"; fi
}
