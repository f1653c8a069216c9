#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The client library asks for the C library alone, so that anybody can link it; kcorod never loads
# the client's, and kcoroctl adds json-c and nothing else.
. "$KC_SRCDIR/tests/checks/tap.sh" || exit 1
cd "$KC_BUILDDIR" || exit 1

libc='libc\.so.*|libc\.musl.*|ld-.*\.so.*|ld64\.so.*'
# beyond FILE REGEX: what FILE needs that does not match
beyond() {
	readelf -dW "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' > "$TMPDIR/needed" || return 1
	[ -s "$TMPDIR/needed" ] || echo "$1: needs nothing at all, so this is not what users get"
	grep -Evx "$2" "$TMPDIR/needed" | sed "s|^|$1 needs |"
	return 0
}
program() {
	if [ -e "$1/.libs/${1##*/}" ]; then echo "$1/.libs/${1##*/}"; else echo "$1/${1##*/}"; fi
}
if [ -n "${KC_SANITIZED-}" ]; then
	skip "needed libraries" "a sanitizer adds its own"
	finish
fi
clean "the client library needs the C library alone" beyond .libs/libkcoro-client.so "$libc"
clean "kcoroctl needs the client library and json-c" beyond "$(program kcoroctl)" \
	"$libc|libkcoro-client\.so.*|libjson-c\.so.*"
clean "kcorod needs libevent's core, json-c and libsystemd" beyond "$(program kcorod)" \
	"$libc|libevent_core-.*|libjson-c\.so.*|libsystemd\.so.*"

echo 'int kc_planted(void) { return 0; }' > "$TMPDIR/a.c"
# unquoted: CC may carry arguments
if $CC -shared -fPIC -o "$TMPDIR/a.so" "$TMPDIR/a.c" -Wl,--no-as-needed -ljson-c 2> "$TMPDIR/err"; then
	catches "a library that needs json-c" 'needs libjson-c' beyond "$TMPDIR/a.so" "$libc"
else
	not_ok "catches a library that needs json-c" "$(cat "$TMPDIR/err")"
fi
finish
