#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The example distributed_channels: three processes, ten messages, an end in good order.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
example=$KC_BUILDDIR/examples/distributed_channels

does "runs with a kcorod of its own" "$example"
same "its last line" "$(tail -n 1 <<< "$out")" "Example complete"
same "ten messages in order" "$(sed -n 's/^received //p' <<< "$out" | xargs)" "0 1 2 3 4 5 6 7 8 9"
same "ten were sent" "$(grep -c '^sent ' <<< "$out")" 10
same "it has no complaints" "$err" ""
does "runs with --debug" "$example" --debug
same "with the same end" "$(tail -n 1 <<< "$out")" "Example complete"
for role in main server consumer producer; do
	matches "--debug shows the $role" "^\[$role [0-9]+\] " "$err"
done
does "runs with the daemon of KCORO_SOCKET" "$ctl" session -- sh -c '"$0" && "$1" list --json' "$example" "$ctl"
same "and leaves no channel" "$(tail -n 1 <<< "$out")" "[]"

# the roles by hand, as in three shells
in_three() {
	mkfifo "$TMPDIR/in" "$TMPDIR/id" &&
		"$ctl" session -- bash -c '
		"$0" server < "$1/in" > "$1/id" &
		exec 5> "$1/in" 6< "$1/id"
		read -r id <&6
		"$0" consumer "$id" &
		consumer=$!
		"$0" producer "$id" || exit 1
		wait $consumer || exit 1
		exec 5>&-
		wait' "$example" "$TMPDIR"
}
does "each role by itself" in_three
same "receives the same" "$(sed -n 's/^received //p' <<< "$out" | xargs)" "0 1 2 3 4 5 6 7 8 9"
expect "a role without its id" 2 "$example" consumer
expect "an id that is none" 2 "$ctl" session -- "$example" consumer xyz
expect "an id that is stale" 1 "$ctl" session -- "$example" consumer 1234
finish
