#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Calls that the code does without, each with what to use instead.
. "$KC_SRCDIR/tests/checks/tap.sh" || exit 1

product='libkcoro-client proto kcorod kcoroctl examples'
library='libkcoro-client proto'
above_port='libkcoro-client/core libkcoro-client/sched libkcoro-client/ipc proto kcorod'

# code FOLDERS: the statements of the files below the folders, from what read_code made
code() { grep -E "^\\./(${1// /|})/" "$TMPDIR/${2-code}"; }
read_code() {
	find . -name '*.[ch]' ! -path './build*' -exec awk -f "$KC_SRCDIR/tests/checks/code.awk" {} + \
		> "$TMPDIR/code"
	find . -name '*.[ch]' ! -path './build*' -exec grep -q fopen {} \; -print0 |
		xargs -0 -r awk -v strings=1 -f "$KC_SRCDIR/tests/checks/code.awk" > "$TMPDIR/strings"
}
# ban 'FOLDERS' 'NAME NAME...' WHY: no call of such a function below the folders
ban() {
	local names=${2// /|} where call
	code "$1" | grep -E "(^|[^A-Za-z0-9_.>])($names) ?\(" | grep -Ev ': # *define' |
		while IFS= read -r where; do
			call=$(sed -E "s/.*[^A-Za-z0-9_.>]($names) ?\(.*/\1/" <<< "$where")
			echo "${where%%: *}: $call: $3"
		done
}
# want 'FOLDERS' CALL FLAG [strings]: each call of that function has the flag, in a string perhaps
want() {
	local where
	code "$1" "${4-code}" | grep -E "(^|[^A-Za-z0-9_.>])$2 ?\(" | grep -Ev "$3" |
		while IFS= read -r where; do
			echo "${where%%: *}: $2 without $3"
		done
}
banned() {
	cd "$1" || return 1
	read_code
	ban "$product tests" 'sleep usleep nanosleep clock_nanosleep' \
		'nothing sleeps: wait on a descriptor or a condition, with a deadline'
	# the queues of some peers do not wait, and leave it to their users; ours yields once at most
	# before it sleeps
	ban "$product tests" 'pthread_yield sched_yield' 'nothing polls' |
		grep -v '^\./tests/bench/peers/\|^\./libkcoro-client/port/sync\.c:'
	ban "$product tests" kci_thread_yield 'nothing polls' |
		grep -v '^\./libkcoro-client/\(port/\|core/waiter\.c:\)'
	ban "$product" 'atoi atol atoll atof strtol strtoll strtoul sscanf' \
		'accepts what is no number: parse strictly'
	ban "$product" 'sprintf vsprintf strcpy strcat stpcpy gets' 'has no bound'
	ban "$product" 'alloca strdupa' 'the stack is no buffer'
	ban "$product" 'tmpnam tempnam mktemp' 'names a file that somebody else may make'
	ban "$product" 'strtok' 'keeps its place for the whole process'
	ban "$product" 'signal' 'use sigaction'
	ban "$product" 'select' 'breaks above 1,024 descriptors: use poll'
	ban "$product" 'system popen' 'runs a shell'
	ban "$product" 'accept' 'use accept4 with SOCK_CLOEXEC'
	ban "$product" 'pipe' 'use pipe2 with O_CLOEXEC'
	ban "$product" 'dup' 'use fcntl F_DUPFD_CLOEXEC'
	ban "$product" 'rand random srand' 'use the port layer'
	ban "$product" 'gettimeofday ftime' 'time is CLOCK_MONOTONIC'
	ban "$library" 'printf fprintf vfprintf puts fputs putchar perror' 'a library never prints'
	ban "$library" 'abort exit _exit quick_exit' 'a library never ends its host'
	ban "$above_port" 'malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf' \
		'memory comes from port/'
	ban "$above_port" 'pthread_[a-z_]* sem_[a-z]* syscall' 'locks and threads come from port/'
	ban "$above_port" 'clock_gettime time timespec_get' 'time comes from port/'
	want "$product" socket SOCK_CLOEXEC
	want "$product" socketpair SOCK_CLOEXEC
	want "$product" accept4 SOCK_CLOEXEC
	want "$product" pipe2 O_CLOEXEC
	want "$product" '(open|openat)' O_CLOEXEC
	want "$product" eventfd EFD_CLOEXEC
	want "$product" memfd_create MFD_CLOEXEC
	want "$product" epoll_create1 EPOLL_CLOEXEC
	want "$product" '(send|sendto|sendmsg|sendmmsg)' MSG_NOSIGNAL
	want "$product" fopen '"[rwax+b]*e' strings
	want "$product" recvmsg MSG_CMSG_CLOEXEC
	grep -E '\b(CLOCK_REALTIME|CLOCK_TAI)\b' "$TMPDIR/code" | sed 's/$/ time is CLOCK_MONOTONIC/'
}
# the same for what is no C; these checks themselves hold planted ones
scripts() {
	cd "$1" || return 1
	find tests examples .ci quickstart \( -name '*.sh' -o -name '*.py' -o -perm -100 \) -type f \
		! -path 'tests/checks/*' ! -path 'tests/logs/*' -exec \
		grep -HnIE '(^|[;&|({]|\bdo|\bthen|\belse)[[:space:]]*sleep [0-9.$"]|\bsleep\([^)]' {} + 2> /dev/null |
		sed 's/$/ nothing sleeps/'
}
read_something() {
	cd "$1" && read_code
	[ "$(wc -l < "$TMPDIR/code")" -gt 1000 ] || echo "fewer than 1000 statements found"
}
clean "the code is read" read_something "$KC_SRCDIR"
clean "nothing banned is called" banned "$KC_SRCDIR"
clean "no script sleeps" scripts "$KC_SRCDIR"

caught() { # caught NAME FILE CODE
	plant "$2" "$3"
	catches "$1" "^\\./$2:" banned "$planted"
}
caught "a sleep in a test" tests/unit/a.c 'void f(void) { usleep(10); }'
caught "a sleep in the daemon" kcorod/a.c 'void f(void)
{
	if (g() < 0)
		nanosleep(&ts,
			  NULL);
}'
caught "polling in a test" tests/bench/a.c 'void f(void) { sched_yield(); }'
caught "atoi" kcoroctl/a.c 'int f(char *s) { return atoi(s); }'
caught "sprintf" libkcoro-client/ipc/a.c 'void f(char *s) { (void)sprintf(s, "x"); }'
caught "a library that prints" libkcoro-client/core/a.c 'void f(void) { printf("x"); }'
caught "a library that aborts" proto/a.c 'void f(void) { abort(); }'
caught "memory past port/" kcorod/a.c 'void *f(void) { return malloc(1); }'
caught "a lock past port/" libkcoro-client/core/a.c 'void f(void) { pthread_mutex_lock(&m); }'
caught "a socket that exec inherits" kcorod/a.c 'int f(void) { return socket(AF_UNIX, SOCK_STREAM, 0); }'
caught "a send that raises SIGPIPE" libkcoro-client/ipc/a.c 'int f(void) { return sendmsg(fd,
	&m, 0); }'
caught "a file that exec inherits" kcorod/a.c 'FILE *f(void) { return fopen("x", "r"); }'
caught "another clock" kcorod/a.c 'int f(void) { return g(CLOCK_REALTIME); }'
plant tests/a.sh 'f && sleep 1'
catches "a sleep in a script" '^tests/a.sh:1:' scripts "$planted"
plant tests/a.py 'time.sleep(0.1)'
catches "a sleep in Python" '^tests/a.py:1:' scripts "$planted"
plant kcorod/a.c '/* sleep(1); */ const char *f(void) { return "atoi(s)"; }
void g(struct x *x) { x->free(x); my_sleep(1); kci_free(x); }
int h(void) { return socket(AF_UNIX, SOCK_STREAM |
	SOCK_CLOEXEC, 0); }'
clean "words in comments, strings and other names are no calls" banned "$planted"
finish
