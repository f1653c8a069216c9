#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# kcoroctl complete: offers what the help and the parser know, names live channels, and never makes
# anybody wait.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
in_session
cd "$TMPDIR" || exit 1
export KCORO_COMPLETE_MS=60000 # a loaded machine is no reason to fail

# offered WORD...: what may come next, a line each, without what it means
offered() { "$ctl" complete -- "$@" | cut -f 1; }
# nothing NAME WORD...: is offered, and told
nothing() {
	local name=$1
	shift
	run "$ctl" complete -- "$@"
	same "$name" "$code$out$err" 0
}
help_commands() { "$ctl" --help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'; }
help_options() { "$ctl" help "$@" | grep -Eo '^  (-.|  ) --[a-z-]+' | grep -o -- '--.*'; }

same "commands are those of the help" "$(offered '')" "$(help_commands)"
same "also where one has begun" "$(offered re)" "$(help_commands)"
same "help takes their names" "$(offered help '')" "$(help_commands)"
matches "each says what it does" '^close	close a channel: no more sends$' "$("$ctl" complete -- '')"
for command in $(help_commands); do
	same "options of $command are those of its help" "$(offered "$command" -)" "$(help_options "$command")"
done
same "options before the command" "$(offered --)" "$(help_options)"
matches "an option of many lines has one" '^--elem-size	each element.* any length$' "$("$ctl" complete -- make -)"

# allowed OPTION: the values that the parser names when it refuses one
allowed() { "$ctl" make x "$1" '?' 2>&1 | sed -n 's/.*allowed are //p' | sed 's/, /\n/g'; }
for option in --kind --overflow; do
	same "values of $option" "$(offered make x "$option" '')" "$(allowed "$option")"
	same "values of $option= " "$(offered make x "$option=b")" "$(allowed "$option" | sed "s/^/$option=/")"
done
same "values of -k" "$(offered make x -k '')" "$(allowed --kind)"
same "values of -k, attached" "$(offered make x -kb)" "$(allowed --kind | sed 's/^/-k/')"
nothing "a number is for the user to know" make x --capacity ''
nothing "a flag has no argument" recv jobs --follow=
same "a file" "$(offered --socket '')" ":files"
same "a file behind =" "$("$ctl" complete -- session --config=a/b)" ":files	--config="
same "another command" "$("$ctl" complete -- session '')" ":command	1"
same "another command behind --" "$("$ctl" complete -- session --config f -- ls -l '')" ":command	4"
same "session has options before it" "$(offered session --config f --h)" "$(help_options session)"
nothing "a line of kcoroctl's own" complete -- ''
nothing "an unknown command" jump ''
nothing "an unknown option" recv --jump ''
nothing "a name that is new" make ''
nothing "no operand where none is taken" ping ''
refuses "no words" 2 'which words' "$ctl" complete

nothing "no channels" recv ''
"$ctl" make jobs --kind buffered --capacity 8 > made
"$ctl" make a/b.c-d --kind unlimited >> made
seq 3 | "$ctl" send jobs
"$ctl" close a/b.c-d
for command in info stats send recv close destroy purge; do
	same "channels of $command" "$(offered "$command" '' | xargs)" "a/b.c-d jobs"
	nothing "$command takes one" "$command" jobs ''
done
same "channels after options" "$(offered recv --follow -n 3 --timeout=5 jo | xargs)" "a/b.c-d jobs"
same "channels after --" "$(offered recv -- -x | xargs)" "a/b.c-d jobs"
matches "what a channel is" '^jobs	buffered, 3 elements$' "$("$ctl" complete -- recv '')"
matches "that it is closed" '^a/b.c-d	unlimited, 0 elements, closed$' "$("$ctl" complete -- recv '')"
same "ids" "$(offered recv @ | sort)" "$(cut -d ' ' -f 2 made | sort)"

# the daemon that the line names
socket=$KCORO_SOCKET
export KCORO_SOCKET=$TMPDIR/nobody.sock
same "channels of --socket" "$(offered --socket "$socket" recv '' | xargs)" "a/b.c-d jobs"
same "channels of --socket=" "$(offered recv --socket="$socket" '' | xargs)" "a/b.c-d jobs"
nothing "no daemon" recv ''

# a daemon that does not answer: it was handed the socket, and reads something else. The library by
# itself would wait for ten seconds.
mkfifo fifo
exec 5<> fifo
printf '#!/bin/sh\nexec cat "%s/fifo"\n' "$TMPDIR" > silent
chmod +x silent
unanswered() {
	KCOROD=$TMPDIR/silent KCORO_COMPLETE_MS=$1 "$ctl" session -- sh -c \
		'timeout 8 "$0" complete -- recv ""; echo "exit status $?"' "$ctl" 2>&1
}
same "a daemon that does not answer" "$(unanswered 50)" "exit status 0"
for ms in "" 0 -1 12x 60001; do
	same "the time is the usual one, not '$ms'" "$(unanswered "$ms")" "exit status 0"
done
finish
