#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The only job of the systemd that systemd.sh boots: what an administrator does after make install.
set -u
export LC_ALL=C.UTF-8 SYSTEMD_PAGER='' SYSTEMD_COLORS=0
n=0
is() { # is NAME WANTED GOT
	n=$((n + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		printf 'wanted: %s\ngot: %s\n' "$2" "$3" | sed 's/^/# /'
	fi
}
installed() { grep "/$1\$" /kcoro-test/installed | head -n 1; }
prop() { systemctl show -P "$1" "${2:-kcorod.service}"; }
state() { echo "$(prop ActiveState)/$(prop SubState)"; }
# as an ordinary user, who has no right to anything of root's
ping() { timeout 20 setpriv --reuid 1 --regid 1 --clear-groups "$(installed bin/kcoroctl)" ping 2>&1; }
status() {
	"$@" > /kcoro-test/last 2>&1
	echo $?
}
# for whoever reads the log of a failure
journal() {
	journalctl --sync
	journalctl -u kcorod -o short-monotonic --no-pager -n 60 | sed 's/^/# /'
}

ldconfig
is "systemd is process 1" systemd "$(cat /proc/1/comm)"
is "sysusers makes the user" 0 "$(status systemd-sysusers "$(installed kcoro.conf)")"
is "the user can log in nowhere" nologin "$(basename "$(getent passwd kcoro | cut -d: -f7)")"
# a prefix that systemd does not look below
systemctl cat kcorod.service > /dev/null 2>&1 ||
	systemctl link "$(installed kcorod.service)" "$(installed kcorod.socket)"
is "systemd-analyze verify is silent" "" "$(systemd-analyze verify kcorod.service kcorod.socket 2>&1)"
is "systemd-analyze security is satisfied" 0 \
	"$(status systemd-analyze security --offline=yes --threshold=20 "$(installed kcorod.service)")"

is "systemctl start kcorod" 0 "$(status systemctl start kcorod)"
is "the start ended when the daemon said so" notify/active/running "$(prop Type)/$(state)"
pid=$(prop MainPID)
if [ "$(state)" != active/running ]; then
	journal
	echo "Bail out! it does not start"
	exit 1
fi
is "it runs as kcoro" kcoro "$(stat -c %U "/proc/$pid")"
is "it can gain nothing" "0000000000000000 1" \
	"$(awk '/^CapBnd:/ { c = $2 } /^NoNewPrivs:/ { n = $2 } END { print c, n }' "/proc/$pid/status")"
is "the socket is open to everybody" 666 "$(stat -c %a /run/kcorod/kcorod.sock)"
ping > /kcoro-test/ping
is "an ordinary user reaches it" 0 $?
is "the same process is still there" "$pid" "$(prop MainPID)"

kill -KILL "$pid"
# the socket stays, so this waits for the next daemon instead of being refused
ping > /kcoro-test/ping
is "after kill -9 the next connect is served" 0 $?
is "by a new process" "1 new" "$(prop NRestarts) $([ "$(prop MainPID)" = "$pid" ] || echo new)"

is "systemctl stop kcorod" 0 "$(status systemctl stop kcorod.service)"
is "it left in good order" inactive/dead/success/0 "$(state)/$(prop Result)/$(prop ExecMainStatus)"
systemctl stop kcorod.socket
is "the socket goes with its unit" absent "$([ -e /run/kcorod/kcorod.sock ] || echo absent)"

is "systemctl start kcorod.socket" 0 "$(status systemctl start kcorod.socket)"
is "the daemon is not started by that" inactive/dead "$(state)"
ping > /kcoro-test/ping
is "the first connect starts it and is answered" 0 $?
is "it was started" active/running "$(state)"
is "systemctl stop of both" 0 "$(status systemctl stop kcorod.service kcorod.socket)"
is "it left in good order again" inactive/dead/success/0 "$(state)/$(prop Result)/$(prop ExecMainStatus)"

journal
echo "1..$n"
