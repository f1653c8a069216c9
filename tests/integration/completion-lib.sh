# SPDX-License-Identifier: BSD-3-Clause
# What a user of any shell sees, who has the completions of kcoroctl and kcorod: the same lines are
# typed into each, with a live daemon and without one.
#
# The test of a shell defines `answers`: it reads lines and prints, for each, the words that the shell
# would put in place of the last one, or the whole line with all of them inserted.
# shellcheck shell=bash
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
completion=$KC_SRCDIR/kcoroctl/completion
export KCORO_COMPLETE_MS=60000 # a loaded machine is no reason to fail
case_names=() case_lines=() case_wants=()

# The programs under their own names, in PATH, and a folder with one file to be found.
completion_place() {
	mkdir "$TMPDIR/bin" "$TMPDIR/here" && touch "$TMPDIR/here/only.json" &&
		ln -s "$ctl" "$TMPDIR/bin/kcoroctl" && ln -s "$KC_BUILDDIR/kcorod/kcorod" "$TMPDIR/bin/kcorod" &&
		cd "$TMPDIR/here" || exit 1
	export PATH=$TMPDIR/bin:$PATH HOME=$TMPDIR
}
# types NAME LINE WORD...: what is offered in place of the last word of LINE
types() {
	case_names+=("$1")
	case_lines+=("$2")
	shift 2
	case_wants+=("$(printf '%s\n' "$@" | sort | xargs)")
}
# compares what was typed with what is wanted, one case each, and forgets it
typed() {
	local i line got want
	printf '%s\n' "${case_lines[@]}" > "$TMPDIR/lines"
	answers < "$TMPDIR/lines" > "$TMPDIR/answers" 2> "$TMPDIR/err"
	for i in "${!case_names[@]}"; do
		line=${case_lines[i]}
		want=${case_wants[i]}
		IFS= read -r got || got="no answer; $(cat "$TMPDIR/err")"
		# zsh puts a = behind an option that has an argument
		got=$(tr ' ' '\n' <<< "${got#"${line% *} "}" | sed 's/^\(--[a-z-]*\)=$/\1/' | sort | xargs)
		same "${case_names[i]}" "$got" "$want"
	done < "$TMPDIR/answers"
	case_names=() case_lines=() case_wants=()
}
same_everywhere() {
	local commands options
	mapfile -t commands < <(kcoroctl --help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
	mapfile -t options < <(kcorod --help | grep -Eo '^  (-.,|   ) --[a-z-]+' | grep -o -- '--.*')
	kcoroctl make jobs --kind unlimited > "$TMPDIR/made"
	kcoroctl make journal --kind unlimited >> "$TMPDIR/made"
	kcoroctl make a/b.c-d --kind unlimited >> "$TMPDIR/made"

	types "all commands" "kcoroctl " "${commands[@]}"
	types "one command" "kcoroctl ma" make
	types "a command's option" "kcoroctl recv jobs --fo" --follow
	types "another, after an option with an argument" "kcoroctl recv jobs -n 3 --l" --lease
	types "a common option" "kcoroctl list --js" --json
	types "kinds" "kcoroctl make x --kind " rendezvous buffered conflated unlimited
	types "a kind" "kcoroctl make x --kind b" buffered
	types "a kind behind =" "kcoroctl make x --kind=b" --kind=buffered
	types "policies" "kcoroctl make x --overflow drop" drop-oldest drop-newest
	types "all channels" "kcoroctl recv " jobs journal a/b.c-d
	types "some channels" "kcoroctl send jo" jobs journal
	types "one channel" "kcoroctl close a/" a/b.c-d
	types "a channel after options" "kcoroctl recv --follow -n 3 jou" journal
	types "ids" "kcoroctl info @" $(cut -d ' ' -f 2 "$TMPDIR/made")
	types "a command to explain" "kcoroctl help st" stats
	types "a file" "kcoroctl --socket on" only.json
	types "a file behind =" "kcoroctl session --config=on" --config=only.json
	types "a command for a session" "kcoroctl session -- kcoroct" kcoroctl
	types "the program as it was typed" "$TMPDIR/bin/kcoroctl pu" purge
	types "and below the home folder" "~/bin/kcoroctl pu" purge
	types "nothing for a new channel" "kcoroctl make " ""
	types "nothing for an unknown command" "kcoroctl jump " ""
	types "options of kcorod" "kcorod --" "${options[@]}"
	types "levels of kcorod" "kcorod --log-level " error warning notice info debug
	types "a level of kcorod" "kcorod -l w" warning
	types "a configuration for kcorod" "kcorod --config on" only.json
	typed
	for level in error warning notice info debug; do
		does "a level '$level' that kcorod takes" kcorod --log-level "$level" --check-config
	done

	export KCORO_SOCKET=$TMPDIR/nobody.sock
	types "no channels without a daemon" "kcoroctl recv " ""
	types "and everything else" "kcoroctl make x --kind=u" --kind=unlimited
	typed
}
