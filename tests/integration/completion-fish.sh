#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The completion of fish, as fish itself tells what it would offer.
. "$KC_SRCDIR/tests/integration/completion-lib.sh"
command -v fish > /dev/null || { skip "completion of fish" "no fish" && finish; }
in_session
completion_place
live=$KCORO_SOCKET

answers() {
	fish --no-config -c '
		for file in $argv
			source $file
		end
		while read -l line
			echo (complete -C "$line" | string replace -r "\t.*" "")
		end' "$completion"/fish/*.fish
}
types "a level of kcorod behind =" "kcorod --log-level=w" --log-level=warning
types "a command within a session" "kcoroctl session -- kcoroctl ma" make
types "its argument" "kcoroctl session --config f -- cat on" only.json
same_everywhere
matches "each is explained" '^jobs	unlimited, 0 elements' "$(KCORO_SOCKET=$live fish --no-config -c \
	'source $argv[1]; complete -C "kcoroctl recv "' "$completion/fish/kcoroctl.fish")"
finish
