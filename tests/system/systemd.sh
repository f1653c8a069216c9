#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# kcoro as installed, under a systemd of the test's own: `make install DESTDIR=...`, then a systemd
# boots as process 1 of new namespaces and runs inside.sh as its only job.
#
# The root is an overlay of this machine's (what is written goes to a tmpfs and vanishes); the
# installed files are copied into it. Three things keep the machine itself out of harm's way:
#  - systemd never runs outside a cgroup of its own. In the root cgroup it would move every process
#    of the machine. It gets a fresh cgroup below the test's, made the root of a cgroup namespace.
#  - /proc/sys and sysrq-trigger are read-only, else it would set the machine's own sysctls.
#  - it has no capability to touch modules, the clock, the audit log or security modules.
# Nothing is waited for by looking again: systemd exits when the job has ended, and with it goes
# every process of its namespace.
set -u
self=$(readlink -f "$0")

# process 1 of the new namespaces: build the root, become systemd
stage_root() {
	set -e
	local t=$1 r=$1/root f
	mount --make-rprivate /
	mount -t tmpfs -o mode=755 kcoro "$t/overlay"
	mkdir "$t/overlay/upper" "$t/overlay/work"
	mount -t overlay kcoro -o "lowerdir=/,upperdir=$t/overlay/upper,workdir=$t/overlay/work" "$r"
	# hides what this machine happens to enable
	mount -t tmpfs -o mode=755 kcoro "$r/etc/systemd/system"
	cp "$t"/units/* "$r/etc/systemd/system/"
	cp -a "$t/dest/." "$r/"
	mkdir -p "$r/kcoro-test"
	mount --bind "$t/io" "$r/kcoro-test"
	tr -d - < /proc/sys/kernel/random/uuid > "$r/etc/machine-id"
	mount -t proc -o nosuid,nodev,noexec proc "$r/proc"
	for f in sys sysrq-trigger; do
		[ -e "$r/proc/$f" ] || continue
		mount --bind "$r/proc/$f" "$r/proc/$f"
		mount -o remount,bind,ro "$r/proc/$f"
	done
	mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$r/sys"
	mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$r/sys/fs/cgroup"
	mount -t tmpfs -o mode=755 kcoro "$r/dev"
	for f in null zero full random urandom tty; do
		touch "$r/dev/$f"
		mount --bind "/dev/$f" "$r/dev/$f"
	done
	touch "$r/dev/console"
	mount --bind /dev/null "$r/dev/console"
	mkdir "$r/dev/pts" "$r/dev/shm"
	# PrivateDevices= looks for it
	mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$r/dev/pts"
	ln -s pts/ptmx "$r/dev/ptmx"
	ln -s /proc/self/fd "$r/dev/fd"
	mount -t tmpfs -o mode=1777 kcoro "$r/dev/shm"
	mount -t tmpfs -o mode=755 kcoro "$r/run"
	mount -t tmpfs -o mode=1777 kcoro "$r/tmp"
	hostname kcoro-test
	cd "$r"
	mkdir -p mnt/.old
	pivot_root . mnt/.old
	umount -l /mnt/.old
	exec setpriv --inh-caps=-all --bounding-set=-sys_module,-sys_rawio,-sys_time,-syslog,-mac_admin,-mac_override,-wake_alarm,-block_suspend,-audit_read,-audit_control \
		env -i container=kcoro-test PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
		/lib/systemd/systemd --system --unit=kcoro-test.target --log-target=journal \
		--show-status=0 < /dev/null
}
# move to a cgroup of our own, then make it the root of a cgroup namespace
stage_cgroup() {
	mount --make-rprivate / && mount -t cgroup2 none "$1/cgroup" || exit 97
	mkdir "$1/cgroup$2" && echo $$ > "$1/cgroup$2/cgroup.procs" && umount "$1/cgroup" || exit 97
	exec unshare --pid --mount --uts --ipc --net --cgroup --fork --kill-child=SIGKILL \
		"$BASH" "$self" --root "$1"
}
case ${1-} in
--root) stage_root "$2" ;;
--cgroup) stage_cgroup "$2" "$3" ;;
esac

skip() {
	echo "1..0 # SKIP $*"
	exit 0
}
[ "$(id -u)" = 0 ] || skip "needs root"
for tool in unshare setpriv systemctl systemd-analyze systemd-sysusers pivot_root ldconfig; do
	command -v $tool > /dev/null || PATH=$PATH:/usr/sbin:/sbin command -v $tool > /dev/null ||
		skip "$tool is not installed"
done
PATH=$PATH:/usr/sbin:/sbin
[ -x /lib/systemd/systemd ] || skip "systemd is not installed"
[ -z "${KC_SANITIZED-}" ] || skip "the unit's sandbox leaves a sanitizer no room"
t=$TMPDIR/system
mkdir -p "$t"/{overlay,root,cgroup,units,io,dest}
cgroup=$(sed -n 's/^0:://p' /proc/self/cgroup)
cgroup=${cgroup%/}/kcoro-test.$$
unshare --pid --mount --uts --ipc --net --cgroup --fork "$BASH" -c '
	mount --make-rprivate / && mount -t cgroup2 none "$1/cgroup" && mount -t tmpfs none "$1/overlay" &&
	mkdir "$1/overlay/u" "$1/overlay/w" &&
	mount -t overlay none -o "lowerdir=/,upperdir=$1/overlay/u,workdir=$1/overlay/w" "$1/root"' _ "$t" \
	2> "$t/why" || skip "namespaces, cgroup2 or overlays are not to be had: $(tail -n 1 "$t/why")"

# MAKEFLAGS: the make that runs this test is not the parent of this one
if ! env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$KC_BUILDDIR" install DESTDIR="$t/dest" \
	> "$t/install.log" 2>&1; then
	tail -n 20 "$t/install.log"
	echo "Bail out! make install failed"
	exit 1
fi
[ -n "$(find "$t/dest" -name kcorod.service)" ] || skip "configured without systemd"
case $(find "$t/dest" -path '*/bin/kcorod' -type f -printf '/%P') in
/tmp/* | /var/tmp/* | /home/* | /root/* | /run/*) skip "the unit cannot see the prefix this is configured for" ;;
esac
cp "$KC_SRCDIR/tests/system/inside.sh" "$t/io/"
(cd "$t/dest" && find . -type f -printf '/%P\n') > "$t/io/installed"
cat > "$t/units/kcoro-test.target" <<- EOF
	[Unit]
	Requires=sysinit.target kcoro-test.service
	After=sysinit.target
	AllowIsolate=yes
EOF
cat > "$t/units/kcoro-test.service" <<- EOF
	[Unit]
	After=sysinit.target
	SuccessAction=exit-force
	FailureAction=exit-force
	[Service]
	Type=oneshot
	ExecStart=/bin/bash /kcoro-test/inside.sh
	StandardOutput=file:/kcoro-test/tap
	StandardError=file:/kcoro-test/tap
	TimeoutStartSec=90
EOF
unshare --mount --propagation private "$BASH" "$self" --cgroup "$t" "$cgroup" > "$t/boot.log" 2>&1
code=$?
# all its processes ended with process 1, so its cgroups are empty
unshare --mount --propagation private "$BASH" -c '
	mount -t cgroup2 none "$1/cgroup" && find "$1/cgroup$2" -depth -type d -exec rmdir {} +' \
	_ "$t" "$cgroup" || echo "# the cgroup $cgroup was left behind"
if [ -s "$t/io/tap" ]; then
	cat "$t/io/tap"
	exit 0
fi
sed 's/^/# /' "$t/boot.log"
echo "Bail out! systemd ended with $code and the job inside said nothing"
exit 1
