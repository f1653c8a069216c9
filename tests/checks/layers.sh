#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Each folder includes only what the table in CONTRIBUTING.md lets it use.
. "$KC_SRCDIR/tests/checks/tap.sh" || exit 1

pub='kcoro/|kcoro\.h$'
port='libkcoro-client/port/'
foreign='event2/|json-c/|systemd/|ncurses|curses\.h|cmocka'
# what only port/ may reach for itself
primitives='pthread\.h|threads\.h|semaphore\.h|linux/futex\.h'

# includes FOLDER...: FILE:LINE: NAME of everything the folders include
includes() {
	find "$@" -name '*.[ch]' -exec awk -v strings=1 -f "$KC_SRCDIR/tests/checks/code.awk" {} + |
		sed -n 's/^\([^:]*:[0-9]*\): # *include *["<]\([^">]*\)[">].*/\1: \2/p'
}
# layer FOLDER QUOTED ANGLED: own headers must match QUOTED; of what is not the C library only
# ANGLED may be included
layer() {
	local folder=$1 own=$2 system=$3 where what
	[ -d "$folder" ] || return 0
	includes "$folder" | while read -r where what; do
		if [[ $what == *../* ]]; then
			echo "$where $what is no path from the top"
		elif [[ $what =~ ^($pub|proto/|kcorod/|kcoroctl/|libkcoro-client/|examples/|tests/) ]]; then
			[[ $what =~ ^($own) ]] || echo "$where $folder may not include $what"
		elif [[ $what =~ ^($foreign) ]]; then
			[[ $what =~ ^($system) ]] || echo "$where $folder may not include $what"
		elif [[ $what =~ ^($primitives) && $folder != libkcoro-client/port && $folder != examples ]]; then
			echo "$where $folder reaches $what only through port/"
		elif [[ -e $folder/$what || -e $folder/${what##*/} ]]; then
			echo "$where $what is no path from the top"
		fi
	done
}
layers() {
	cd "$1" || return 1
	layer include "$pub" none
	layer libkcoro-client/port "$port" none
	layer proto "$pub|proto/|$port" none
	layer libkcoro-client/core "$pub|libkcoro-client/core/|$port" none
	# one way: core/ knows of coroutines only kcoro/sched.h and what core/park.h says
	layer libkcoro-client/sched "$pub|libkcoro-client/(core|sched)/|$port" none
	layer libkcoro-client/ipc "$pub|proto/|libkcoro-client/(core|ipc|port)/" none
	layer kcorod "$pub|proto/|kcorod/|$port" 'event2/|json-c/|systemd/'
	layer kcoroctl "$pub|kcoroctl/" 'json-c/'
	layer examples "$pub|examples/" 'event2/'
}
folders() {
	local f
	cd "$1" || return 1
	for f in include libkcoro-client/{port,core,sched,ipc} proto kcorod kcoroctl examples; do
		[ -n "$(includes $f)" ] || echo "$f: not one include found"
	done
}

clean "every folder has includes to look at" folders "$KC_SRCDIR"
clean "every include is allowed" layers "$KC_SRCDIR"

plant kcorod/a.c '#include "libkcoro-client/ipc/conn.h"'
catches "the daemon using the client" 'kcorod/a.c:1: .* may not' layers "$planted"
plant libkcoro-client/core/a.c '#include "proto/frame.h"'
catches "local channels using the protocol" 'a.c:1: .* may not' layers "$planted"
plant libkcoro-client/core/a.c '#include "libkcoro-client/sched/engine.h"'
catches "local channels using the scheduler" 'a.c:1: .* may not' layers "$planted"
plant libkcoro-client/sched/a.c '#include "libkcoro-client/ipc/conn.h"'
catches "the scheduler using the connection" 'a.c:1: .* may not' layers "$planted"
plant proto/a.h '#  include <json-c/json.h>'
catches "json-c in the protocol" 'a.h:1: .* may not' layers "$planted"
plant kcoroctl/a.c '#include "libkcoro-client/port/kcoro_port.h"'
catches "the command line using internals" 'a.c:1: .* may not' layers "$planted"
plant examples/a.c '#include <json-c/json.h>'
catches "an example using what users need not have" 'examples/a.c:1: .* may not' layers "$planted"
plant include/kcoro/a.h '#include "proto/wire.h"'
catches "a public header using internals" 'a.h:1: .* may not' layers "$planted"
plant libkcoro-client/ipc/a.c '/* why */ #include <pthread.h>'
catches "locks past port/" 'a.c:1: .* only through port' layers "$planted"
plant proto/a.c '#include "../kcorod/b.h"'
catches "a path that is not from the top" 'a.c:1: .* from the top' layers "$planted"
plant kcorod/a.c '/*
#include "libkcoro-client/ipc/conn.h" */ // "proto/x.h"
#include "proto/x.h"'
clean "an include within a comment is none" layers "$planted"
finish
