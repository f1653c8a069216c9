#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The main job with nobody dying: any file arrives whole, and a wrong result is noticed.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
job=$KC_SRCDIR/tests/main-job
cd "$TMPDIR" || exit 1

does "lines made from what is here" "$job" --lines 20000
matches "counts elements" '^elements +20000$' "$out"
matches "bytes" '^bytes +[0-9]+$' "$out"
matches "seconds" '^seconds +[0-9.]+$' "$out"
matches "elements per second" '^elements per second +[0-9]+$' "$out"
matches "and what was redelivered" '^redelivered +[0-9]+$' "$out"
same "two sums that are equal" "$(awk '/^sha256/ { print $NF }' <<< "$out" | sort -u | wc -l | tr -d ' ')" 1
same "ends well" "$(tail -n 1 <<< "$out")" "main job: OK, every line delivered"

{
	seq 5000
	printf '\n\nempty lines before, bytes of all sorts: \001\r\t\377\200 \000 zero\n'
	head -c 20000 /dev/urandom | tr '\n' ' '
	printf '\n%0100000d\n' 7
	printf 'no newline at the end'
} > odd
does "a file of odd lines" "$job" odd
matches "counts them" '^elements +5006$' "$out"
# the sums are over lines; sort gives the last one its newline
same "the sum is that of the sorted file" "$(awk '/^sha256 of the output/ { print $NF }' <<< "$out")" \
	"$(LC_ALL=C sort odd | sha256sum | cut -d' ' -f1)"
head -c 3000000 /dev/zero | tr '\0' x > long
does "a line of three million bytes" "$job" long
: > empty
does "an empty file" "$job" empty
matches "has no elements" '^elements +0$' "$out"
printf 'one' > one
does "one line" "$job" one
does "one producer, one consumer" "$job" --producers 1 --consumers 1 odd
does "more producers than lines" "$job" --producers 9 --consumers 2 one
does "with a daemon that runs already" "$ctl" session -- sh -c '"$0" "$1" && "$2" list --json' "$job" one "$ctl"
same "leaves no channel" "$(tail -n 1 <<< "$out")" "[]"

# a relay that goes wrong is noticed: one that runs in its place spoils what it wrote
mkdir -p fake/examples fake/kcoroctl
printf '#!/bin/sh\nexec "%s" "$@"\n' "$ctl" > fake/kcoroctl/kcoroctl
cat > fake/examples/line_relay << 'END'
#!/bin/bash
"$REAL" "$@" > printed || exit
folder=${!#}
eval "$SPOIL"
END
chmod +x fake/*/*
spoilt() { # spoilt NAME REGEX COMMAND: with $folder/lines.N and $folder/redelivered.N
	run env KC_BUILDDIR="$TMPDIR/fake" REAL="$KC_BUILDDIR/examples/line_relay" SPOIL="$3" \
		"$job" --consumers 1 one-to-ten
	same "$1: fails" "$code" 1
	matches "$1: is told" "$2" "$err"
}
seq 10 > one-to-ten
spoilt "a line lost" '1 lines were lost, the first: 7' 'sed -i /7/d "$folder"/lines.0'
spoilt "a line changed" '1 lines were lost, the first: 7' 'sed -i s/7/8/ "$folder"/lines.0'
spoilt "a line doubled" '1 lines came twice.*not marked, the first: 7' 'sed -i /7/p "$folder"/lines.0'
spoilt "a foreign line" '1 lines came twice.*not marked, the first: new' 'echo new >> "$folder"/lines.0'
run env KC_BUILDDIR="$TMPDIR/fake" REAL="$KC_BUILDDIR/examples/line_relay" \
	SPOIL='echo 7 | tee -a "$folder"/lines.0 > "$folder"/redelivered.0' "$job" --consumers 1 one-to-ten
same "a doubled line that is marked is no fault" "$code" 0

refuses "a file that is not there" 1 'no file nowhere' "$job" nowhere
expect "an option that is none" 2 "$job" --fast
expect "a number that is none" 2 "$job" --lines many
finish
