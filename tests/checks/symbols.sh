#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Code, headers and symbol map agree on what libkcoro-client exports. The code is asked in the static
# archive: the shared library obeys the map, so comparing those two would prove nothing.
. "$KC_SRCDIR/tests/checks/tap.sh" || exit 1
cd "$KC_BUILDDIR" || exit 1

from_code() {
	readelf -sW "$1" | awk '$4 == "FUNC" && $5 == "GLOBAL" && $6 == "DEFAULT" && $7 != "UND" {
		print $8 }' | sort -u
}
from_headers() {
	find "$1" -name '*.h' -exec cat {} + | sed -n 's/^KC_PUBLIC.*[ *]\(kc_[a-z0-9_]*\)(.*/\1/p' | sort -u
}
from_map() { sed -n 's/^[[:space:]]*\([A-Za-z_][A-Za-z0-9_]*\);.*/\1/p' "$1" | sort -u; }
# agree ARCHIVE HEADERS MAP
agree() {
	from_code "$1" > "$TMPDIR/code"
	from_headers "$2" > "$TMPDIR/headers"
	from_map "$3" > "$TMPDIR/map"
	for f in code headers map; do
		[ -s "$TMPDIR/$f" ] || echo "no function found in the $f"
	done
	comm -23 "$TMPDIR/headers" "$TMPDIR/code" | sed 's/$/: declared, not in the code/'
	comm -13 "$TMPDIR/headers" "$TMPDIR/code" | sed 's/$/: exported by the code, not in a header/'
	comm -23 "$TMPDIR/headers" "$TMPDIR/map" | sed 's/$/: declared, not in the map/'
	comm -13 "$TMPDIR/headers" "$TMPDIR/map" | sed 's/$/: in the map, not in a header/'
}
# a prototype without KC_PUBLIC is one that from_headers() would not see
unmarked() {
	find "$1" -name '*.h' -exec awk -f "$KC_SRCDIR/tests/checks/code.awk" {} + |
		grep -E '[ *]kc_[a-z0-9_]*\(.*\);$' | grep -Ev ': (KC_BEGIN_DECLS )?KC_PUBLIC|typedef|\(\*'
	return 0
}
archive=.libs/libkcclient-internal.a
map=$KC_SRCDIR/libkcoro-client/libkcoro-client.sym
headers=$KC_SRCDIR/include

clean "code, headers and map agree" agree $archive "$headers" "$map"
clean "every prototype is marked KC_PUBLIC" unmarked "$headers"
clean "the shared library exports what the map names" diff \
	<(readelf --dyn-syms -W .libs/libkcoro-client.so |
		awk '$4 == "FUNC" && $7 != "UND" { sub(/@.*/, "", $8); print $8 }' | sort -u) \
	<(from_map "$map")

sed 's/kc_chan_send;//' "$map" > "$TMPDIR/short.sym"
catches "a function missing in the map" '^kc_chan_send: declared, not in the map' \
	agree $archive "$headers" "$TMPDIR/short.sym"
sed 's/kc_chan_send;/&\n\tkc_planted;/' "$map" > "$TMPDIR/long.sym"
catches "a name in the map that no header has" '^kc_planted: in the map' \
	agree $archive "$headers" "$TMPDIR/long.sym"
mkdir "$TMPDIR/inc"
{
	cat "$headers"/kcoro/*.h
	echo 'KC_PUBLIC int kc_planted(void);'
} > "$TMPDIR/inc/a.h"
catches "a declared function without code" '^kc_planted: declared, not in the code' \
	agree $archive "$TMPDIR/inc" "$map"
echo 'int kc_planted(void) { return 0; }' > "$TMPDIR/a.c"
if $CC -c -fPIC -o "$TMPDIR/a.o" "$TMPDIR/a.c" && cp $archive "$TMPDIR/a.a" && ar q "$TMPDIR/a.a" "$TMPDIR/a.o"; then
	catches "an exported function without a header" '^kc_planted: exported by the code' \
		agree "$TMPDIR/a.a" "$headers" "$map"
else
	not_ok "catches an exported function without a header" "could not be compiled"
fi
plant include/a.h 'int kc_planted(int a,
	int b);'
catches "a prototype without KC_PUBLIC" 'kc_planted' unmarked "$planted"
finish
