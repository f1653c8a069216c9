# SPDX-License-Identifier: BSD-3-Clause
# What the tests of the documentation share.
# shellcheck shell=bash
. "$KC_SRCDIR/tests/checks/tap.sh" || exit 1
# the daemon and the tool of this build, also for what a test starts
export PATH="$KC_BUILDDIR/kcoroctl:$KC_BUILDDIR/kcorod:$PATH"
man=$KC_SRCDIR/man

if ! command -v python3 > /dev/null; then
	echo '1..0 # SKIP python3 is not installed'
	exit 0
fi
# -B: the sources may be read-only
tool() { python3 -B "$KC_SRCDIR/tests/man/$1.py" "${@:2}"; }

# compiled C-FILE PROGRAM: as a user would, against this build; prints what the compiler says
compiled() {
	# unquoted: CC and the sanitizers may be several words
	"$KC_BUILDDIR/libtool" --quiet --tag=CC --mode=link $CC ${KC_SANITIZED-} -std=gnu11 -pthread \
		-Wall -Wextra -Werror -I "$KC_SRCDIR/include" -no-install -o "$2" "$1" \
		"$KC_BUILDDIR/libkcoro-client.la" 2>&1
}
# changed FILE SED-SCRIPT: the pages once more, in $planted, with one of them changed
changed() {
	rm -rf "$planted"
	mkdir -p "$planted"
	cp "$man"/*.[1-8] "$planted"
	chmod u+w "$planted"/*
	sed -i "$2" "$planted/$1"
}
