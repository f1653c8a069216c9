#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The example echo: a server, clients, and an end in good order.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
in_session
example=$KC_BUILDDIR/examples/echo

"$example" server &
server=$!
does "a client is answered" "$example" client hello "two words" ""
same "with what it sent" "$out" "hello
two words"
"$example" client one > "$TMPDIR/one" &
one=$!
"$example" client two > "$TMPDIR/two" &
two=$!
wait $one $two
same "two clients get their own answers" "$(cat "$TMPDIR/one" "$TMPDIR/two" | xargs)" "one two"
does "stop" "$example" stop
wait $server
same "ends the server with 0" $? 0
does "no channel is left" "$ctl" list --json
same "none" "$("$json" "" <<< "$out")" "[ ]"
expect "a client without words" 2 "$example" client
expect "no daemon" 1 env KCORO_SOCKET="$TMPDIR/nobody.sock" "$example" client hello
finish
