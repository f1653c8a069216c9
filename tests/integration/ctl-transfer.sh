#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# kcoroctl send and recv: what goes in comes out, in every form.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
in_session
cd "$TMPDIR" || exit 1

# the scenario of two shells, by name and by id, with every byte that a line can have
awk 'BEGIN { for (i = 1; i <= 50000; i++) printf "%d: %s\n", i, i % 7 ? "some text of the line" : "" }' > file
{
	printf 'no byte is special: \001\t\r\033\200\377 \\ %% "\n\n'
	printf 'a line without its newline'
} >> file
{ cat file; echo; } > want
does "make jobs" "$ctl" make jobs --kind buffered --capacity 1024
id=$(field /id "$ctl" info jobs --json)
"$ctl" recv jobs --follow > got &
does "send a file by name" "$ctl" send jobs < file
does "close ends it" "$ctl" close jobs
wait $!
same "recv --follow ends with 0 when closed and drained" $? 0
same_file "every line came in order" got want
same "the books know all" "$(field /received "$ctl" stats jobs --json)" "$(wc -l < want | tr -d ' ')"
balances "and balance" jobs
"$ctl" destroy jobs

"$ctl" make jobs --kind buffered --capacity 1024 > made
id=$(sed 's/jobs //' made)
"$ctl" recv "$id" --follow > got &
does "send a file by id" "$ctl" send "$id" < file
"$ctl" close "$id"
wait $!
same "recv by id ends with 0" $? 0
same_file "every line came by id" got want
"$ctl" destroy jobs

# two receivers share the work
"$ctl" make jobs --kind buffered --capacity 64 > made
"$ctl" recv jobs --follow > got.1 &
one=$!
"$ctl" recv jobs --follow > got.2 &
two=$!
"$ctl" send jobs < file
"$ctl" close jobs
wait $one $two
sort got.1 got.2 > got
sort want > want.sorted
same_file "two receivers get each line once" got want.sorted
balances "the books of both balance" jobs
"$ctl" destroy jobs

"$ctl" make jobs --kind unlimited > made
printf 'one\n\nthree' | "$ctl" send jobs
same "a line, an empty one, one without newline: three elements" "$(field /queued "$ctl" stats jobs --json)" 3
does "recv takes one by default" "$ctl" recv jobs
same "the first" "$out" one
does "recv -n" "$ctl" recv jobs -n 2
same "the others" "$(od -An -c out | tr -s ' ')" ' \n t h r e e \n'
does "send of nothing sends nothing" "$ctl" send jobs < /dev/null
same "nothing is queued" "$(field /queued "$ctl" stats jobs --json)" 0

printf 'a\0b\nc\0\0d' | "$ctl" send jobs --zero
does "recv --zero" "$ctl" recv jobs --zero -n 4
same "elements that end with zero bytes" "$(od -An -c out | tr -s ' ')" ' a \0 b \n c \0 \0 d \0'
head -c 50000 /dev/urandom > random
does "send --raw" "$ctl" send jobs --raw < random
same "the whole input is one element" "$(field /queued "$ctl" stats jobs --json)" 1
does "recv --raw" "$ctl" recv jobs --raw
same_file "raw bytes are untouched" out random
does "send --raw of nothing" "$ctl" send jobs --raw < /dev/null
does "recv of an empty element" "$ctl" recv jobs
same "it is a line" "$(wc -c < out | tr -d ' ')" 1

seq 10 | "$ctl" send jobs
does "recv -n with --follow" "$ctl" recv jobs --follow -n 4
same "ends after N" "$(xargs <<< "$out")" "1 2 3 4"
does "recv -n with --lease" "$ctl" recv jobs --lease -n 3
same "leases go on where it ended" "$(xargs <<< "$out")" "5 6 7"
same "acknowledged is received" "$(field /leased "$ctl" stats jobs --json)" 0
expect "recv -n more than there are, in a time" 4 "$ctl" recv jobs -n 10 --timeout 50
same "gets those that are there" "$(xargs <<< "$out")" "8 9 10"
matches "and says how many" '3 of 10' "$err"
expect "recv --follow --timeout" 4 "$ctl" recv jobs --follow --timeout 50
expect "recv --timeout 0 of nothing" 4 "$ctl" recv jobs --timeout 0
seq 3 | "$ctl" send jobs
"$ctl" close jobs
does "recv --timeout 0 takes what is there" "$ctl" recv jobs --timeout 0
same "the first of them" "$out" 1
expect "recv -n of a closed channel" 5 "$ctl" recv jobs -n 5
same "what was left came" "$(xargs <<< "$out")" "2 3"
expect "closed and drained" 5 "$ctl" recv jobs
does "closed and drained with --follow" "$ctl" recv jobs --follow
does "and with --lease" "$ctl" recv jobs --follow --lease
"$ctl" destroy jobs

# elements of a fixed size
"$ctl" make fixed --kind buffered --capacity 3 --elem-size 4 > made
for i in 1 2 3 4 5 6 7; do echo "ab.$i"; done > want
"$ctl" recv fixed --follow > got &
does "send lines of the size" "$ctl" send fixed < want
printf 'abcd' | "$ctl" send fixed --raw
"$ctl" close fixed
wait $!
echo abcd >> want
same_file "fixed elements come out as lines" got want
"$ctl" destroy fixed
"$ctl" make fixed --kind buffered --capacity 3 --elem-size 4 > made
printf 'abcdefgh' | fold -w 4 | "$ctl" send fixed
does "recv --raw of fixed elements" "$ctl" recv fixed --raw -n 2
same "nothing between them" "$out" abcdefgh
seq 1000 1002 | "$ctl" send fixed
does "leases of fixed elements" "$ctl" recv fixed --lease -n 3
same "come whole" "$(xargs <<< "$out")" "1000 1001 1002"

# other kinds
"$ctl" make newest --kind conflated > made
seq 100 | "$ctl" send newest
does "recv of a conflated channel" "$ctl" recv newest
same "gives the newest" "$out" 100
same "the others were replaced" "$(field /conflated "$ctl" stats newest --json)" 99
balances "and are in the books" newest
"$ctl" make meet --kind rendezvous > made
"$ctl" recv meet -n 3 > got &
does "send to a rendezvous" "$ctl" send meet < <(seq 3)
wait $!
same "meets the receiver" "$(xargs < got)" "1 2 3"
"$ctl" make ring --kind buffered --capacity 2 --overflow drop-oldest > made
seq 5 | "$ctl" send ring
does "recv of a ring" "$ctl" recv ring -n 2
same "gives the last two" "$(xargs <<< "$out")" "4 5"
same "three were dropped" "$(field /dropped_by/oldest "$ctl" stats ring --json)" 3

# a line goes out when it is there, not when a batch is full
mkfifo in.fifo out.fifo
"$ctl" make live --kind buffered --capacity 16 > made
"$ctl" recv live --follow > out.fifo &
receiver=$!
"$ctl" send live < in.fifo &
sender=$!
exec 5> in.fifo 6< out.fifo
for i in 1 2 3; do
	echo "line $i" >&5
	read -r -t 20 line <&6
	same "line $i came while the input is open" "$line" "line $i"
done
printf 'half' >&5
printf ' a line\n' >&5
read -r -t 20 line <&6
same "two writes make one line" "$line" "half a line"
exec 5>&-
wait $sender
same "the end of the input ends send" $? 0
kill -TERM $receiver
wait $receiver
same "a signal ends recv" $? 143
exec 6<&-
same "nothing was lost by that" "$(field /lost "$ctl" stats live --json)" 0
same "all was received" "$(field /received "$ctl" stats live --json)" 4
balances "the books balance" live

# a signal ends send, which says how far it came
mkfifo full.fifo
"$ctl" make small --kind buffered --capacity 2 > made
"$ctl" send small < full.fifo 2> err.send &
sender=$!
exec 5> full.fifo
seq 5 >&5
"$ctl" recv small -n 1 > got
kill -TERM $sender
wait $sender
same "a signal ends send" $? 143
matches "send says how far it came" '[1-3] line(s were| was) sent' "$(cat err.send)"
exec 5>&-

# a reader that goes away loses nothing that was leased
"$ctl" make leased --kind unlimited --bytes 8M > made
"$ctl" send leased < file
"$ctl" recv leased --follow --lease 2> err.recv | head -n 1 > got
codes=("${PIPESTATUS[@]}")
same "recv ends with 1 when nobody reads on" "${codes[0]}" 1
same "without words" "$(cat err.recv)" ""
balances "the books balance then" leased
same "nothing is leased any more" "$(field /leased "$ctl" stats leased --json)" 0
same "nothing was lost" "$(field /lost "$ctl" stats leased --json)" 0
first=$(field /received "$ctl" stats leased --json)
"$ctl" close leased
"$ctl" recv leased --follow --lease > got
same "what was not written came again" "$((first + $(wc -l < got)))" "$(wc -l < want.sorted | tr -d ' ')"
tail -n "$(wc -l < got)" <(cat file; echo) > rest
same_file "in order" got rest
"$ctl" make leased2 --kind unlimited > made
seq 3 | "$ctl" send leased2
refuses "a full disk is told" 1 'No space left' sh -c '"$0" recv leased2 --lease > /dev/full' "$ctl"
same "and the element returned" "$(field /queued "$ctl" stats leased2 --json)" 3
finish
