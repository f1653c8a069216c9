#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Every option, command and configuration key is in its page, as the program itself explains it.
. "$KC_SRCDIR/tests/man/lib.sh" || exit 1

options_of() { tool faults options "$1" kcorod kcoroctl; }
config_of() { tool faults config "$1" kcorod; }
clean "each option is in its page" options_of "$man"
clean "each key of the configuration is in its page" config_of "$man"

changed kcorod.8 '/^\.It Fl s , -socket/d'
catches "an option of kcorod left out" '^kcorod option --socket: not in kcorod.8' options_of "$planted"
changed kcorod.8 '/^\.It Fl c , -config/s/c , //'
catches "a letter left out" "^kcorod --config: kcorod.8 says \\('', 'FILE'\\)" options_of "$planted"
changed kcoroctl.1 '/^\.It Fl t , -timeout/s/MS/SECONDS/'
catches "another argument" '^recv --timeout: kcoroctl.1 says' options_of "$planted"
changed kcoroctl.1 '/^\.Ss recv/,/^\.Ss close/s/^\.It Fl f , -follow/.It Fl f , -go-on/'
catches "an option of a command left out" '^recv option --follow: not in' options_of "$planted"
catches "an option that does not exist" '^recv option --go-on: .*no such thing' options_of "$planted"
changed kcoroctl.1 's/^\.Ss purge/.Ss empty/'
catches "a command left out" '^command purge: not in' options_of "$planted"
changed kcoroctl.1 '/^\.It Fl -json/d'
catches "an option of every command left out" '^kcoroctl option --json: not in' options_of "$planted"
changed kcoroctl.1 '/^Refused by what asks/,/^\.It/s/^\.Cm session$/.Cm complete/'
catches "a command that refuses an option" '^--socket is refused by session: not in' options_of "$planted"
catches "a command that takes it" '^--socket is refused by complete: .*no such thing' options_of "$planted"
changed kcoroctl.1 's/KCORO_COMPLETE_MS/KCORO_MS/'
catches "a variable of a command left out" '^KCORO_COMPLETE_MS: in a help, not in kcoroctl.1' options_of "$planted"
changed kcoroctl.1 's/^\.Cm drop-newest/.Cm drop-new/'
catches "a word left out" '^make: .*does not say drop-newest' options_of "$planted"
changed kcorod.8 's/^\.It Dv SIGUSR1/.It Dv SIGUSR2/'
catches "a signal left out" '^SIGUSR1: in a help, not in kcorod.8' options_of "$planted"
changed kcoroctl.1 '/^\.It 4$/d'
catches "an exit status left out" '^exit status 4: in a help, not in kcoroctl.1' options_of "$planted"
changed kcorod.conf.5 '/^\.It Cm limits.requests/d'
catches "a key left out" '^key limits.requests: not in' config_of "$planted"
changed kcorod.conf.5 's/^\.It Cm log.level/&s/'
catches "a key that does not exist" '^key log.levels: .*no such thing' config_of "$planted"
changed kcorod.conf.5 's/the default is 10000\./the default is 9000./'
catches "another default" '^session.grace_ms: .*the default is 10000' config_of "$planted"
changed kcorod.conf.5 's/from 16 to/from 1 to/'
catches "another limit" '^limits.requests: .*from 16 to' config_of "$planted"
finish
