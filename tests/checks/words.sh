#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What the files say: no notes to do something later, no path of somebody's machine, a licence in each
# source, lines that end cleanly, files of a size one can read, one version.
. "$KC_SRCDIR/tests/checks/tap.sh" || exit 1

# the files of the project: what git knows or would add; in an unpacked archive all of it
files() {
	if [ -e .git ] && git rev-parse --git-dir > /dev/null 2>&1; then
		git -c safe.directory='*' ls-files -co --exclude-standard
	else
		# generated files, and build folders: they have a config.status
		find . -path ./.git -prune -o -name autom4te.cache -prune -o \
			-path ./build-aux -prune -o -path ./m4 -prune -o \
			-path ./tests/logs -prune -o -path ./_inst -prune -o \
			-type d -exec test -e {}/config.status \; -prune -o \
			-type f ! -name configure ! -name aclocal.m4 ! -name Makefile.in \
			! -name 'config.h.in*' -print | sed 's|^\./||'
	fi | grep -v '^tests/fuzz/corpus/'
}
text_files() { files | tr '\n' '\0' | xargs -0 grep -lI '' 2> /dev/null; }
listed() {
	cd "$1" || return 1
	[ "$(text_files | grep -c '\.[ch]$')" -ge 20 ] || echo "fewer than 20 sources found"
}
# words FOLDER: the patterns are in pieces, so that this file does not contain them
words() {
	local hit
	cd "$1" || return 1
	text_files | tr '\n' '\0' | xargs -0 grep -HnE \
		-e '\b(TO''DO|FIX''ME|XX''X|HA''CK)\b' \
		-e '(^|[^A-Za-z0-9_.])/(wo''rk|ho''me|ro''ot|Us''ers)/[A-Za-z0-9]' \
		-e '\.\./sha''red' | cut -c1-160
	text_files | tr '\n' '\0' | xargs -0 grep -HnE '[[:blank:]]$' | sed 's/:.*/: blanks at the end of a line/' | sort -u
	text_files | while IFS= read -r hit; do
		[ -z "$(tail -c 1 "$hit")" ] || echo "$hit: no newline at the end"
	done
}
licence() {
	cd "$1" || return 1
	text_files | grep -E '\.([ch]|sh|py|ac|awk)$|(^|/)(quickstart|tests/run|tap-run|\.ci/run|main-job)$' |
		while IFS= read -r f; do
			head -n 3 "$f" | grep -q 'SPDX-License-Identifier: BSD-3-Clause$\|SPDX-License-Identifier: BSD-3-Clause \*/$' ||
				echo "$f: no SPDX line at its head"
		done
}
size() {
	cd "$1" || return 1
	text_files | grep '\.[ch]$' | tr '\n' '\0' | xargs -0 -r awk '
		# a test is a list of cases: longer than code that has to be understood as a whole
		FNR == (FILENAME ~ /^tests\// ? 901 : 601) { print FILENAME ": over " FNR - 1 " lines" }
		FILENAME ~ /^tests\// { next }
		{ w = $0; gsub(/\t/, "        ", w) }
		length(w) > 110 { print FILENAME ":" FNR ": over 110 columns" }'
}
version() {
	local v
	v=$(sed -n 's/^AC_INIT(\[kcoro\],\[\(.*\)\])$/\1/p' "$1/configure.ac")
	[ -n "$v" ] || echo "configure.ac: no version found"
	grep -q "^#define KC_VERSION_STRING \"$v\"$" "$1/include/kcoro/version.h" || echo "version.h is not $v"
	[ "$(head -n 1 "$1/NEWS")" = "kcoro $v" ] || echo "NEWS does not begin with kcoro $v"
}
if [ "$KC_BUILDDIR" = "$KC_SRCDIR" ]; then
	skip "what the files say" "built within the sources, so what is generated cannot be told apart"
	finish
fi
clean "the files are found" listed "$KC_SRCDIR"
clean "no notes for later, no foreign paths, clean lines" words "$KC_SRCDIR"
clean "each source names its licence" licence "$KC_SRCDIR"
clean "no file is too long or too wide" size "$KC_SRCDIR"
clean "one version" version "$KC_SRCDIR"

plant a.c "/* TO""DO: later */"
catches "a note for later" '^a.c:1:' words "$planted"
plant a.md "see /wo""rk/x"
catches "a path of a machine" '^a.md:1:' words "$planted"
plant a.md "text "
catches "blanks at the end of a line" '^a.md: blanks' words "$planted"
plant a.c 'int a;'
catches "a source without a licence" '^a.c: no SPDX' licence "$planted"
plant a.c "$(seq 601)"
catches "a long file" '^a.c: over 600' size "$planted"
plant a.c "$(printf '%0120d' 0)"
catches "a wide line" '^a.c:1: over 110' size "$planted"
mkdir -p "$planted/include/kcoro"
echo 'AC_INIT([kcoro],[9.9.9])' > "$planted/configure.ac"
cp "$KC_SRCDIR/include/kcoro/version.h" "$planted/include/kcoro/"
cp "$KC_SRCDIR/NEWS" "$planted/"
catches "a version that was not bumped everywhere" 'version.h is not 9.9.9' version "$planted"
finish
