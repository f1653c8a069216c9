#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The pages as installed: mandoc has nothing to say about them, what they refer to is there, and each
# function is found by its own name.
. "$KC_SRCDIR/tests/man/lib.sh" || exit 1

# installed beside nothing else, so that a reference to no page of ours is found as well
if ! env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$KC_BUILDDIR" install-data \
	DESTDIR="$TMPDIR/dest" mandir=/man docdir=/doc > "$TMPDIR/install.log" 2>&1; then
	not_ok "the pages are installed" "$(tail -n 20 "$TMPDIR/install.log")"
	finish
fi
ok "the pages are installed"
installed=$TMPDIR/dest/man

# lint FOLDER: what mandoc finds in the pages of the sections below the folder
lint() {
	# no index is made: it finds pages by their names
	find "$1" -name '*.[1-8]' -type f -print0 | sort -z |
		MANPATH=$1 xargs -0 mandoc -T lint -W style 2>&1 |
		sed "/outdated mandoc.db lacks/d; s|$1/||"
}
# unnamed MAP FOLDER: functions that man(1) would not find
unnamed() {
	local name
	sed -n 's/^[[:space:]]*\(kc_[a-z0-9_]*\);.*/\1/p' "$1" | while read -r name; do
		[ -e "$2/man3/$name.3" ] || echo "$name: no page of this name"
	done
	find "$2" -xtype l -printf '%f: refers to no page\n'
}
missing() {
	[ "$(find "$installed" -name '*.[1-8]' | wc -l)" -ge 80 ] || echo "fewer than 80 pages found"
	cmp "$KC_SRCDIR/proto/PROTOCOL.md" "$TMPDIR/dest/doc/PROTOCOL.md" 2>&1
}
map=$KC_SRCDIR/libkcoro-client/libkcoro-client.sym
clean "they are all there, with the protocol" missing
clean "each function is found by its own name" unnamed "$map" "$installed"
rm "$installed/man3/kc_chan_recv.3"
catches "a function that is not found" '^kc_chan_recv: no page' unnamed "$map" "$installed"
ln -s kc_chan_nothing.3 "$installed/man3/kc_chan_recv.3"
catches "a name that refers to no page" 'kc_chan_recv.3: refers to no page' unnamed "$map" "$installed"
ln -sf kc_chan_send.3 "$installed/man3/kc_chan_recv.3"

if ! command -v mandoc > /dev/null; then
	skip "mandoc finds nothing" "mandoc is not installed"
	finish
fi
clean "mandoc finds nothing" lint "$installed"
sed -i 's/^\.Xr kc_chan_make 3/.Xr kc_chan_planted 3/' "$installed/man3/kc_chan_send.3"
catches "a reference to no page" 'referenced manual not found: Xr kc_chan_planted' lint "$installed"
sed -i '/^\.El/d' "$installed/man5/kcorod.conf.5"
catches "a list without an end" 'kcorod.conf.5:.*(ERROR|WARNING)' lint "$installed"
finish
