#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# kcoroctl session: a daemon for one command, and nothing left of it.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
cd "$TMPDIR" || exit 1

folders() { find "$TMPDIR" -name 'kcoro-*' | wc -l | tr -d ' '; }

does "a command that succeeds" "$ctl" session -- true
same "is silent" "$out$err" ""
expect "the exit status is the command's" 7 "$ctl" session -- sh -c 'exit 7'
expect "also when a signal ended it" 143 "$ctl" session -- sh -c 'kill -TERM $$'
expect "without --" 7 "$ctl" session sh -c 'exit 7'
refuses "a command that is not there" 127 'cannot run no-such-command' "$ctl" session -- no-such-command
: > no-program
refuses "a command that cannot be run" 126 'cannot run ./no-program' "$ctl" session -- ./no-program
does "the daemon answers at once" "$ctl" session -- "$ctl" ping
matches "KCORO_SOCKET is set" '^/.*/kcorod.sock$' "$("$ctl" session -- sh -c 'echo "$KCORO_SOCKET"')"
same "arguments arrive as they are" "$("$ctl" session -- printf '%s|' 'a b' '' --json)" 'a b||--json|'
same "standard input is the command's" "$(echo through | "$ctl" session -- cat)" through
same "a session within a session is another one" \
	"$("$ctl" session -- sh -c '"$0" make a --kind unlimited > made; "$0" session -- "$0" list --json' "$ctl" | tr -d ' \n')" '[]'
same "no folder is left" "$(folders)" 0

# the daemon has gone when the session ends: its socket refuses, its process has ended
pid=$("$ctl" session -- "$ctl" ping --json | "$json" /pid)
[ -n "$pid" ] && ! kill -0 "$pid" 2> "$TMPDIR/err" && ok "no process is left" || not_ok "no process is left" "$pid"

# whatever the place of TMPDIR, the socket's path fits
deep=$TMPDIR/$(printf '%0150d' 0)
mkdir "$deep"
does "a deep TMPDIR" env TMPDIR="$deep" "$ctl" session -- "$ctl" ping

# which daemon
refuses "KCOROD that is not there" 3 'KCOROD names .*nowhere' env KCOROD="$TMPDIR/nowhere" "$ctl" session -- true
# the command ends after the daemon: the fifo is open until the daemon's process ends
mkfifo fifo
printf '#!/bin/sh\necho "last words" >&2\nexec 5> "%s/fifo"\nexit 3\n' "$TMPDIR" > fake
chmod +x fake
run env KCOROD="$TMPDIR/fake" "$ctl" session -- sh -c 'cat fifo'
same "a daemon that fails makes the session fail" "$code" 1
matches "its exit status is told" 'kcorod ended with exit status 3' "$err"
matches "and its log" 'last words' "$err"
expect "the command's own failure comes first" 9 env KCOROD="$TMPDIR/fake" "$ctl" session -- sh -c 'exit 9'
printf '#!/no/such/interpreter\n' > fake
refuses "a daemon that cannot be started" 3 'cannot start .*fake' env KCOROD="$TMPDIR/fake" "$ctl" session -- true

# signals go to the command, and the session ends with it in good order
mkfifo told
"$ctl" session -- bash -c 'trap "exit 5" TERM; trap "exit 6" USR1; echo "$KCORO_SOCKET" > told; read -r line < told' &
session=$!
read -r socket < told
kill -TERM $session
wait $session
same "SIGTERM reaches the command" $? 5
refuses "its daemon has gone" 3 'no kcorod answers' "$ctl" ping --socket "$socket"
same "its folder, too" "$(folders)" 0

# a daemon that dies under a running command
"$ctl" session -- bash -c 'kill -KILL "$("$0" ping --json | "$1" /pid)"; "$0" ping' "$ctl" "$json" 2> err
same "a command without its daemon" $? 3
matches "the session says why" 'kcorod was ended by signal 9' "$(cat err)"
# kcoroctl itself is killed: its daemon does not stay behind, and who waits on it learns that
mkfifo ready release
printf '{ "session": { "grace_ms": 50 } }\n' > grace.json
"$ctl" session --config grace.json -- bash -c '"$0" make a --kind unlimited > made
	echo "$KCORO_SOCKET" > ready
	read -r line < release' "$ctl" &
session=$!
disown $session # its end is no news
read -r socket < ready
"$ctl" recv a --socket "$socket" 2> err &
receiver=$!
kill -KILL $session
wait $receiver
same "a daemon whose kcoroctl was killed ends" $? 3
matches "a receiver learns that it has gone" 'kcorod' "$(cat err)"
echo go > release

does "a daemon's configuration" "$ctl" session --config "$KC_SRCDIR/tests/main-job.json" -- "$ctl" ping
finish
