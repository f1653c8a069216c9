#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The example event_loop: lines in both directions, a channel that is full, ends of every kind.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
in_session
example=$KC_BUILDDIR/examples/event_loop
mkfifo "$TMPDIR/open"
exec 5<> "$TMPDIR/open" # an input that does not end

# far more lines than the channel holds, so the first has to wait for room again and again
seq 1 5000 > "$TMPDIR/lines"
"$example" there back < "$TMPDIR/lines" > "$TMPDIR/first" &
first=$!
does "ends when what it receives is closed and drained" "$example" back there <&5
same_file "every line has come, in order" "$TMPDIR/out" "$TMPDIR/lines"
wait $first
same "and the other one ends with it" $? 0
same "which has received nothing" "$(cat "$TMPDIR/first")" ""

# one that waits in its loop is woken by what its input has, and by what arrives
made() { "$ctl" make "$1" --kind buffered --capacity 64 --max-msg 4096 --auto-close; }
does "channels made beforehand" made out
does "are used" made in
"$example" out in <&5 > "$TMPDIR/told" &
server=$!
echo "one" >&5
does "a line goes out" "$ctl" recv out -n 1
same "as it came" "$out" one
printf '%5000s\nend\n' x >&5
does "a long line" "$ctl" recv out -n 3
same "goes in pieces" "$(while read -r line; do echo ${#line}; done < "$TMPDIR/out" | xargs)" "0 1 3"
kill -TERM $server
does "SIGTERM closes what it sends to" "$ctl" recv out --follow
printf 'a\nb\n' | "$ctl" send in # which closes it behind the last sender
wait $server
same "and it ends in good order" $? 0
same "with all that had arrived" "$(xargs < "$TMPDIR/told")" "a b"
does "what nobody needs any more" "$ctl" destroy out
does "can be looked for" "$ctl" list --json
same "in vain" "$("$json" "" <<< "$out")" "[ ]"

printf 'no newline' | "$example" words none > /dev/null &
words=$!
does "an input without a last newline" "$example" none words <&5
same "is sent as well" "$out" "no newline"
wait $words
same "and ends with 0" $? 0

expect "without channels" 2 "$example"
expect "with one channel" 2 "$example" out
expect "a name that is none" 1 "$example" ".." in
expect "no daemon" 1 env KCORO_SOCKET="$TMPDIR/nobody.sock" "$example" out in
finish
