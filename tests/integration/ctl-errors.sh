#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What kcoroctl says when something is wrong: the reason, what to do next, and the exit code.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
in_session
cd "$TMPDIR" || exit 1

# usage: 2
refuses "no command" 2 'which command.*help' "$ctl"
refuses "an unknown command" 2 "no command 'jump'" "$ctl" jump
refuses "help of an unknown command" 2 "no command 'jump'" "$ctl" help jump
refuses "an unknown option names those allowed" 2 'unknown option --folow; allowed are .*--follow.*--timeout MS' \
	"$ctl" recv jobs --folow
refuses "an unknown option before the command" 2 'unknown option --jsn.*--json' "$ctl" --jsn list
refuses "an unknown letter" 2 'unknown option -x' "$ctl" recv jobs -x
refuses "an option without its argument" 2 '--timeout needs its argument MS' "$ctl" recv jobs --timeout
refuses "an argument where none is taken" 2 '--follow takes no argument' "$ctl" recv jobs --follow=1
refuses "no number" 2 "'12x' does not fit --timeout: a number from 0" "$ctl" recv jobs --timeout 12x
refuses "a negative number" 2 "'-1' does not fit --capacity: a number from 1 to 1048576" \
	"$ctl" make jobs --kind buffered --capacity -1
refuses "a number too large" 2 'from 1 to 1048576' "$ctl" make jobs --kind buffered --capacity 1048577
refuses "a number that overflows" 2 'does not fit' "$ctl" make jobs --kind buffered --capacity 99999999999999999999
refuses "a size too large" 2 'from 1 to 16777216 \(K, M or G may follow\)' \
	"$ctl" make jobs --kind unlimited --max-msg 17M
refuses "a kind that is none" 2 'allowed are rendezvous, buffered, conflated, unlimited$' \
	"$ctl" make jobs --kind bufered --capacity 1
refuses "a policy that is none" 2 'allowed are block, drop-oldest, drop-newest$' \
	"$ctl" make jobs --kind buffered --capacity 1 --overflow drop
refuses "a mode that is none" 2 'octal digits as for chmod' "$ctl" make jobs --kind unlimited --mode 789
refuses "make without a kind" 2 'which kind\? --kind' "$ctl" make jobs
refuses "make without a capacity" 2 'needs --capacity N' "$ctl" make jobs --kind buffered
refuses "a capacity where there is none" 2 'only a buffered channel' "$ctl" make jobs --kind unlimited --capacity 5
refuses "two sorts of elements" 2 'exclude each other' "$ctl" make jobs --kind unlimited --elem-size 8 --max-msg 8
refuses "--socket for a session" 2 'session asks no daemon that runs' "$ctl" session --socket a -- true
refuses "--raw with --zero" 2 'exclude each other' "$ctl" send jobs --raw --zero
refuses "recv --raw with --zero" 2 'exclude each other' "$ctl" recv jobs --raw --zero
refuses "no channel named" 2 'which channel\?.*kcoroctl list' "$ctl" recv
refuses "make without a name" 2 'NAME is missing' "$ctl" make --kind unlimited
refuses "make with an id" 2 "needs a name" "$ctl" make @12 --kind unlimited
refuses "a word too many" 2 "'now' is one word too many" "$ctl" close jobs now
refuses "an id that is none" 2 "'@xyz' is no id" "$ctl" info @xyz
refuses "an id of zeros" 2 "is no id" "$ctl" info @0
refuses "an id too long" 2 "is no id" "$ctl" info @11112222333344445
refuses "--json of send" 2 'reports nothing' "$ctl" send jobs --json
refuses "session without a command" 2 'which command' "$ctl" session --
refuses "usage says how it is written" 2 'usage: kcoroctl close NAME' "$ctl" close

# no daemon: 3, and how to start one
nobody=$TMPDIR/nobody.sock
for command in ping list "info jobs" "stats" "stats jobs" "make jobs --kind unlimited" "send jobs" \
	"recv jobs" "close jobs" "destroy jobs" "purge jobs"; do
	# shellcheck disable=SC2086
	refuses "no daemon: ${command%% *}" 3 "no kcorod answers at $nobody \(given with --socket\)" \
		"$ctl" $command --socket "$nobody"
done
matches "it says how to start the system's" 'systemctl start kcorod' "$err"
matches "how to start one's own" 'kcorod --socket .*' "$err"
matches "and how to have one for a moment" 'kcoroctl session -- ' "$err"
refuses "no daemon where KCORO_SOCKET points" 3 'from KCORO_SOCKET' env KCORO_SOCKET="$nobody" "$ctl" ping
: > "$TMPDIR/file.sock"
refuses "a file that is no socket" 3 'no kcorod answers' "$ctl" ping --socket "$TMPDIR/file.sock"
refuses "a path too long" 1 'too long.*' "$ctl" ping --socket "/tmp/$(printf '%0200d' 0)"

# wrong name: 1
for command in info stats send recv close destroy purge; do
	refuses "no such channel: $command" 1 "there is no channel 'jbos'" "$ctl" $command jbos
	matches "$command shows where to look" 'kcoroctl list' "$err"
done
matches "and how to make it" 'kcoroctl make jbos --kind' "$err"
refuses "no such id" 1 'no channel @1234' "$ctl" recv @1234
refuses "a bad name" 1 "make '1/../2'" "$ctl" make 1/../2 --kind unlimited
refuses "too small a bound" 1 "make 'b'.*bytes" "$ctl" make b --kind unlimited --bytes 1K

# exists with other options
"$ctl" make jobs --kind buffered --capacity 2 --max-msg 1000 > made
refuses "exists with another capacity" 1 "'jobs' exists with other options: .*capacity is 2, not 3" \
	"$ctl" make jobs --kind buffered --capacity 3 --max-msg 1000
matches "and says what to do" 'kcoroctl (info|destroy) jobs' "$err"

# full: 4
seq 2 | "$ctl" send jobs
refuses "full, without waiting" 4 "'jobs' is full" "$ctl" send jobs --timeout 0 < <(seq 3)
matches "says how much was sent" '0 lines were sent' "$err"
matches "and where to look" 'kcoroctl info jobs' "$err"
refuses "full, after a time" 4 "'jobs' is full" "$ctl" send jobs --timeout 30 < <(seq 3)
"$ctl" recv jobs > got
refuses "full in between" 4 "1 line was sent" "$ctl" send jobs --timeout 0 < <(seq 3)
"$ctl" make meet --kind rendezvous > made
refuses "nobody at a rendezvous" 4 "nobody received from 'meet'" "$ctl" send meet --timeout 0 <<< x
"$ctl" purge jobs > purged
refuses "nothing came" 4 "nothing came from 'jobs'" "$ctl" recv jobs --timeout 30
matches "says where to look" 'kcoroctl info jobs' "$err"

# a line too long: 1, and which
{ echo short; printf '%01000d\n%01001d\nmore\n' 1 2; } > lines
refuses "a line too long" 1 "line 3 has 1001 bytes, but 'jobs' takes messages of at most 1000" \
	"$ctl" send jobs < lines
matches "says what was sent" '2 lines were sent' "$err"
matches "and what helps" '--max-msg' "$err"
"$ctl" purge jobs > purged
head -c 300000 /dev/zero | tr '\0' x > long
refuses "a line that does not end" 1 'line 1 has more than 1000 bytes' "$ctl" send jobs < long
refuses "a raw input too long" 1 'element 1 has more than 1000 bytes' "$ctl" send jobs --raw < long
same "nothing of it was sent" "$(field /queued "$ctl" stats jobs --json)" 0
"$ctl" make fixed --kind buffered --capacity 9 --elem-size 8 > made
refuses "a line of another size" 1 "line 2 has 4 bytes, but every element of 'fixed' has exactly 8" \
	"$ctl" send fixed < <(printf '12345678\n1234\n')
matches "and what helps" 'without --elem-size' "$err"
refuses "a raw input of another size" 1 'element 1 has 3 bytes' "$ctl" send fixed --raw < <(printf 123)

# closed: 5
"$ctl" close jobs
refuses "send to a closed channel" 5 "'jobs' is closed" "$ctl" send jobs <<< x
matches "says what to do" 'kcoroctl destroy jobs' "$err"
refuses "recv from a closed channel" 5 "'jobs' is closed and drained" "$ctl" recv jobs
matches "says the same" 'kcoroctl destroy jobs' "$err"

# no right: 1, and whose it is. Root may everything, so it takes another user.
other=(setpriv --reuid=65533 --regid=65533 --clear-groups --inh-caps=-all)
chmod 755 "$TMPDIR" "$(dirname "$KCORO_SOCKET")"
if [ "$(id -u)" = 0 ] && "${other[@]}" test -x "$ctl" -a -r "$KC_BUILDDIR/.libs" 2> /dev/null; then
	chmod 700 "$KCORO_SOCKET"
	refuses "no right to connect" 1 "no right to connect to $KCORO_SOCKET" "${other[@]}" "$ctl" ping
	matches "says who has it" 'belongs to root .*mode is 0700' "$err"
	chmod 666 "$KCORO_SOCKET"
	"$ctl" make look --kind unlimited --mode 744 > made
	"$ctl" make hidden --kind unlimited > made
	refuses "no right to send" 1 "no right to send to 'look'" "${other[@]}" "$ctl" send look <<< x
	matches "says whose it is" 'belongs to root \(uid 0\)' "$err"
	matches "and its mode" '0744: owner: receive send administer, group: receive, others: receive' "$err"
	refuses "no right to purge" 1 "no right to purge 'look'" "${other[@]}" "$ctl" purge look
	refuses "no right to destroy" 1 "no right to destroy 'look'" "${other[@]}" "$ctl" destroy look
	refuses "no right to close" 1 "no right to close 'look'" "${other[@]}" "$ctl" close look
	refuses "no right at all" 1 "hidden" "${other[@]}" "$ctl" recv hidden
	same "a channel without rights is not listed" "$("${other[@]}" "$ctl" list --json | "$json" "" | grep -c hidden)" 0
	same "what may be received is listed" "$(field /0/name "${other[@]}" "$ctl" list --json)" look
	"$ctl" send look <<< y
	does "what is allowed works" "${other[@]}" "$ctl" recv look
	does "one's own channel" "${other[@]}" "$ctl" make mine --kind unlimited
	same "belongs to its maker" "$(field /uid "$ctl" info mine --json)" 65533
	does "root passes rights" "$ctl" destroy mine
else
	skip "no right to connect, send, purge, destroy, close" "needs root, and a build folder others can read"
fi

# configuration: told by the daemon, with file, key and what is allowed
printf '{ "limits": { "channels": "many" } }\n' > bad.json
run "$ctl" session --config bad.json -- "$ctl" ping
same "a session with a bad configuration has no daemon" "$code" 3
matches "its message names the file" 'bad\.json' "$err"
matches "the key" 'limits.*channels' "$err"
printf '{ "limits": { "chanels": 5 } }\n' > bad.json
run "$ctl" session --config bad.json -- "$ctl" ping
matches "a key that does not exist is named" 'chanels' "$err"
printf '{ "limits": { "channels": 1 } }\n' > one.json
refuses "a limit that is reached is named" 1 "limit is reached.*channels" \
	"$ctl" session --config one.json -- sh -c '"$0" make a --kind unlimited > made; "$0" make b --kind unlimited' "$ctl"
matches "and where limits are to be seen" 'kcorod --print-config' "$err"
finish
