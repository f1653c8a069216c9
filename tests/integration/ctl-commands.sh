#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Every command of kcoroctl but send, recv and session (they have tests of their own), for people and as JSON.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
in_session

does "ping finds the daemon" "$ctl" ping
matches "ping says who answers" '^kcorod.* answers in [0-9]+ microseconds' "$out"
matches "ping has JSON" '^[0-9]+$' "$(field /pid "$ctl" ping --json)"
does "list of nothing" "$ctl" list
same "list of nothing prints nothing" "$out" ""
same "list of nothing is an empty array" "$(field "" "$ctl" list --json)" "[ ]"

does "make a channel" "$ctl" make jobs --kind buffered --capacity 1024
matches "make prints name and id" '^jobs @[0-9a-f]+$' "$out"
id=${out#jobs }
does "make again opens it" "$ctl" make jobs --kind buffered --capacity 1024
same "make again gives the same id" "$out" "jobs $id"
does "make with every option" "$ctl" make a/b.c --kind=buffered -c 8 --max-msg 2K --bytes 64K \
	--overflow drop-oldest --mode 744 --auto-close
run "$ctl" info a/b.c --json
same "kind" "$("$json" /kind <<< "$out")" buffered
same "capacity" "$("$json" /capacity <<< "$out")" 8
same "elements are messages" "$("$json" /elements <<< "$out")" messages
same "max_msg with a unit" "$("$json" /max_msg <<< "$out")" 2048
same "max_bytes" "$("$json" /max_bytes <<< "$out")" 65536
same "overflow" "$("$json" /overflow <<< "$out")" drop-oldest
same "mode" "$("$json" /mode <<< "$out")" 0744
same "auto-close" "$("$json" /auto_close <<< "$out")" true
same "owner" "$("$json" /uid <<< "$out")" "$(id -u)"
does "make leaves a channel that closes by itself open" "$ctl" info a/b.c
matches "info says so" 'state +open, closes with its last sender' "$out"
matches "info tells the rights" '0744 \(owner: receive send administer, group: receive, others: receive\)' "$out"
does "make a rendezvous" "$ctl" make meet --kind rendezvous
does "make a conflated channel" "$ctl" make newest --kind conflated
does "make an unlimited channel" "$ctl" make heap --kind unlimited
does "make one of fixed elements" "$ctl" make fixed --kind buffered --capacity 4 --elem-size 8
same "elem_size" "$(field /elem_size "$ctl" info fixed --json)" 8
same "make has JSON" "$(field /name "$ctl" make fixed --kind buffered --capacity 4 --elem-size 8 --json)" fixed

does "list" "$ctl" list
same "list has a line for each and a head" "$(wc -l <<< "$out")" 7
same "list is in the order of names" "$(awk 'NR > 1 { print $1 }' <<< "$out" | xargs)" "a/b.c fixed heap jobs meet newest"
same "list has no colour when nobody looks" "$(grep -c "$(printf '\033')" <<< "$out")" 0
same "list as JSON has the ids" "$(field /3/id "$ctl" list --json)" "$id"
same "--json may come first" "$(field /3/name "$ctl" --json list)" jobs
same "--socket is obeyed" "$(field /0/name "$ctl" list --json --socket "$KCORO_SOCKET")" a/b.c

does "info by id" "$ctl" info "$id"
matches "info by id finds it" "^jobs $id" "$out"
same "ids are the same in JSON" "$(field /id "$ctl" info jobs --json)" "$id"
upper=@$(tr a-f A-F <<< "${id#@}")
same "an id may be in capitals" "$(field /name "$ctl" info "$upper" --json)" jobs

seq 5 | "$ctl" send jobs
does "stats of a channel" "$ctl" stats jobs
matches "stats tells what is queued" 'queued +5$' "$out"
matches "stats says that the books balance" 'the books balance' "$out"
same "stats as JSON: sent" "$(field /sent "$ctl" stats jobs --json)" 5
same "stats as JSON: queued" "$(field /queued "$ctl" stats "$id" --json)" 5
balances "the books of a channel add up" jobs
does "stats of the daemon" "$ctl" stats
matches "stats of the daemon counts channels" '6 channels' "$out"
same "stats of the daemon as JSON" "$(field /channels "$ctl" stats --json)" 6
balances "the books of the daemon add up"
same "length in info" "$(field /length "$ctl" info jobs --json)" 5

does "purge" "$ctl" purge jobs
same "purge says how many" "$out" "5 elements dropped from jobs"
seq 2 | "$ctl" send jobs
same "purge as JSON" "$(field /purged "$ctl" purge "$id" --json)" 2
same "the books know what was purged" "$(field /dropped_by/purged "$ctl" stats jobs --json)" 7
balances "they still add up" jobs

seq 3 | "$ctl" send jobs
does "close" "$ctl" close jobs
same "close is silent" "$out$err" ""
does "close again" "$ctl" close "$id"
same "close as JSON" "$(field /id "$ctl" close jobs --json)" "$id"
same "info says that it is closed" "$(field /closed "$ctl" info jobs --json)" true
does "destroy by id" "$ctl" destroy "$id"
expect "the name is free" 1 "$ctl" info jobs
does "the name can be used again" "$ctl" make jobs --kind unlimited
[ "$out" != "jobs $id" ] && ok "a reused name is a new id" || not_ok "a reused name is a new id" "$out"
expect "the old id is stale" 1 "$ctl" info "$id"
same "destroy as JSON" "$(field /name "$ctl" destroy jobs --json)" jobs
same "the daemon's books keep what was dropped" "$(field /dropped_by/destroyed "$ctl" stats --json)" 3
balances "and add up"

does "help" "$ctl" --help
matches "help teaches" 'kcoroctl make jobs --kind buffered --capacity 1024' "$out"
same "help is short enough to read" "$(($(wc -l <<< "$out") < 60))" 1
for command in ping list info stats make send recv close destroy purge session complete help; do
	run "$ctl" --help
	matches "help names $command" "^  $command " "$out"
	run "$ctl" "$command" --help
	by_option=$out
	run "$ctl" help "$command"
	matches "help of $command" "^usage: kcoroctl $command" "$out"
	same "help of $command either way" "$by_option" "$out"
	matches "help of $command has an example" "^  (.* )?kcoroctl $command( |\$)" "$out"
	matches "help of $command says how it ends" '^(Exit codes: 0 done, |.* The exit status is )' "$out"
done
same "version" "$("$ctl" --version)" "kcoroctl $(sed -n 's/^#define KC_VERSION_STRING "\(.*\)"/\1/p' "$KC_SRCDIR/include/kcoro/version.h")"
expect "output that cannot be written is a failure" 1 sh -c '"$0" list --json > /dev/full' "$ctl"
finish
