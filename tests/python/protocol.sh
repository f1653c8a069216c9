#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The protocol as a stranger sees it: a client in Python that knows only PROTOCOL.md.
if ! command -v python3 > /dev/null; then
	echo '1..0 # SKIP python3 is not installed'
	exit 0
fi
# -B: the sources may be read-only
exec python3 -B "$KC_SRCDIR/tests/python/test-protocol.py" "$@"
