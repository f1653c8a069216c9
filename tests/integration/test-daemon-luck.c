/* SPDX-License-Identifier: BSD-3-Clause */
/* Bad luck of the daemon itself: no descriptors, no disk, nobody who reads its log, stopped. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "proto/values.h"
#include "tests/integration/daemon-fixture.h"

#define BOTH (KCP_ROLE_SENDER | KCP_ROLE_RECEIVER)

static char text[65536];

/* ---- descriptors ------------------------------------------------------------ */

/* What a process has used of the processor, in ticks, and how often it went to sleep. */
struct effort {
	unsigned long ticks, sleeps;
};

static struct effort effort_of(pid_t pid)
{
	struct effort e = { 0 };
	char path[64], line[1024], *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	p = strrchr(line, ')');
	assert_non_null(p);
	/* the 14th and 15th field; the 3rd comes after the name */
	for (int field = 2; field < 14; field++)
		assert_non_null(p = strchr(p + 1, ' '));
	e.ticks = strtoul(p, &p, 10);
	e.ticks += strtoul(p, NULL, 10);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, "voluntary_ctxt_switches:", 24) == 0)
			e.sleeps = strtoul(line + 24, NULL, 10);
	fclose(f);
	return e;
}

/* Nothing comes for so long, and the daemon has hardly run. */
static void quiet_for(const struct kct_daemon *d, int fd, int ms)
{
	struct effort before = effort_of(d->pid), after;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, ms), 0);
	after = effort_of(d->pid);
	/* once a second it looks again, and may give memory back */
	if (after.sleeps - before.sleeps > 20 || after.ticks - before.ticks > 20)
		fail_msg("in %d ms it woke up %lu times and used %lu ticks", ms,
			 after.sleeps - before.sleeps, after.ticks - before.ticks);
}

static void say_hello(struct kct_wire *w, const struct kct_daemon *d)
{
	kct_wire_connect(w, d->path);
	kct_begin(w, KCP_HELLO);
	kcp_put_u32(&w->out, KCP_T_VERSION_MIN, 1);
	kcp_put_u32(&w->out, KCP_T_VERSION_MAX, 1);
	kct_end(w);
}

/* Who is let in is let in whole: with the descriptor that tells of its death. So every session
 * there is can be resumed, also the one that got the last descriptors. */
static void who_gets_the_last_descriptors_can_resume(void **state)
{
	struct rlimit limit;
	struct kct_daemon d;
	struct kct_wire w[40];
	int n = 0;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	/* one of two limits in a row leaves an odd descriptor for the last one */
	for (int odd = 0; odd < 2; odd++) {
		limit.rlim_cur = limit.rlim_max = 30 + (rlim_t)odd;
		assert_int_equal(kct_daemon_start_limited(&d, &limit), 0);
		for (n = 0; n < 40; n++) {
			const struct kct_frame *f;

			say_hello(&w[n], &d);
			f = kct_next(&w[n]);
			if (f->header.type == KCP_ERROR) {
				assert_int_equal(kct_result(f), KCP_DQUOT);
				assert_string_equal(kct_detail(f),
						    "the daemon has no descriptor left");
				kct_wire_cut(&w[n]);
				break;
			}
			memcpy(w[n].token, kcp_get(&f->args, KCP_T_TOKEN)->data, KCP_TOKEN_SIZE);
		}
		assert_in_range(n, 3, 39);
		/* cut the latest two: one session needs both descriptors of another */
		kct_wire_cut(&w[n - 1]);
		kct_wire_cut(&w[n - 2]);
		kct_ping(&w[0]);
		kct_ping(&w[0]);
		kct_wire_again(&w[n - 1], d.path);
		assert_int_equal(kct_result_of(&w[n - 1], kct_resume(&w[n - 1], w[n - 1].token, NULL,
								     0, 0, 0)),
				 KCP_OK);
		kct_wire_bye(&w[n - 1]);
		for (int i = 0; i < n - 2; i++)
			kct_wire_bye(&w[i]);
		assert_int_equal(kct_daemon_stop(&d), 0);
	}
}

/* The administrator takes away even what it has: the daemon waits, and does not spin. */
static void without_any_descriptor_it_waits(void **state)
{
	struct rlimit all, none;
	struct kct_daemon d;
	struct kct_wire served, waits[3];

	(void)state;
	assert_int_equal(kct_daemon_start(&d, NULL, NULL), 0);
	kct_wire_hello(&served, d.path);
	assert_int_equal(prlimit(d.pid, RLIMIT_NOFILE, NULL, &all), 0);
	none = all;
	none.rlim_cur = 3;
	assert_int_equal(prlimit(d.pid, RLIMIT_NOFILE, &none, NULL), 0);
	for (int i = 0; i < 3; i++)
		say_hello(&waits[i], &d);
	kct_ping(&served);
	quiet_for(&d, waits[0].fd, 700);
	kct_ping(&served); /* who is in is served */
	/* it notices by itself when it has some again, though no connection has ended */
	assert_int_equal(prlimit(d.pid, RLIMIT_NOFILE, &all, NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(kct_result(kct_next(&waits[i])), KCP_OK);
	for (int i = 0; i < 3; i++)
		kct_wire_bye(&waits[i]);
	kct_wire_bye(&served);
	assert_int_equal(kct_daemon_stop(&d), 0);
}

/* Refused again and again, it answers each, and is at rest in between. */
static void refusing_costs_only_who_is_refused(void **state)
{
	struct rlimit limit;
	struct kct_daemon d;
	struct kct_wire served, w;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(kct_daemon_start(&d, NULL, NULL), 0);
	kct_wire_hello(&served, d.path);
	/* as many as are in use: only the reserve lets anybody in */
	limit.rlim_cur = (rlim_t)kct_daemon_fds(&d);
	assert_int_equal(prlimit(d.pid, RLIMIT_NOFILE, &limit, NULL), 0);
	for (int i = 0; i < 500; i++) {
		const struct kct_frame *f;

		kct_wire_connect(&w, d.path);
		f = kct_event(&w, KCP_ERROR);
		assert_int_equal(kct_result(f), KCP_DQUOT);
		assert_string_equal(kct_detail(f), "the daemon has no descriptor left");
		kct_expect_end(&w);
		kct_wire_cut(&w);
	}
	quiet_for(&d, served.fd, 500);
	kct_wire_bye(&served);
	kct_wire_hello(&served, d.path); /* there is room again */
	kct_wire_bye(&served);
	assert_int_equal(kct_daemon_stop(&d), 0);
}

/* ---- the processor ---------------------------------------------------------- */

/* Write what is in w->out; false: for a while nothing more can be written. */
static bool push_some(struct kct_wire *w)
{
	for (size_t at = 0; at < w->out.len;) {
		struct pollfd p = { .fd = w->fd, .events = POLLOUT };
		ssize_t n;

		if (poll(&p, 1, 300) == 0)
			return false;
		n = send(w->fd, w->out.data + at, w->out.len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			assert_int_equal(errno, EAGAIN);
		at += n > 0 ? (size_t)n : 0;
	}
	return true;
}

/* Ask for more and more and read nothing, until the daemon reads no more either. */
static void stuff(struct kct_wire *w, uint32_t attach)
{
	memset(text, 'x', sizeof(text));
	do {
		size_t at;

		kcp_buf_clear(&w->out);
		kct_begin(w, KCP_SEND);
		kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
		at = kcp_tlv_begin(&w->out, KCP_T_ELEMENTS);
		kcp_put_message(&w->out, text, 60000);
		kcp_tlv_end(&w->out, at);
		kct_end_later(w);
		kct_begin(w, KCP_RECV);
		kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
		kct_end_later(w);
		assert_true(w->next_id < 1000);
	} while (push_some(w));
}

/* Whoever hangs about, in whatever state, keeps a descriptor but not the processor. */
static void who_hangs_about_costs_no_time(void **state)
{
	struct kct_wire silent, half, other, deaf[3], shut[2];
	char name[16];
	struct kct_daemon d;

	(void)state;
	assert_int_equal(kct_daemon_start(&d, NULL, NULL), 0);
	kct_wire_hello(&other, d.path);
	kct_wire_connect(&silent, d.path);
	kct_wire_hello(&half, d.path);
	kct_raw(&half, "KC\001", 3);
	for (int i = 0; i < 3; i++) {
		kct_wire_hello(&deaf[i], d.path);
		snprintf(name, sizeof(name), "deaf%d", i);
		stuff(&deaf[i], kct_make(&deaf[i], name, KCP_KIND_UNLIMITED, 0, 0, BOTH));
	}
	/* closed in one direction: with much to write, and with nothing */
	assert_int_equal(shutdown(deaf[1].fd, SHUT_WR), 0);
	assert_int_equal(shutdown(deaf[2].fd, SHUT_RD), 0);
	for (int i = 0; i < 2; i++) {
		kct_wire_hello(&shut[i], d.path);
		assert_int_equal(shutdown(shut[i].fd, i ? SHUT_WR : SHUT_RD), 0);
	}
	kct_ping(&other);
	quiet_for(&d, other.fd, 700);
	kct_ping(&other);
	kct_wire_cut(&silent);
	kct_wire_cut(&half);
	for (int i = 0; i < 3; i++)
		kct_wire_cut(&deaf[i]);
	for (int i = 0; i < 2; i++)
		kct_wire_cut(&shut[i]);
	kct_ping(&other);
	quiet_for(&d, other.fd, 300);
	kct_wire_bye(&other);
	assert_int_equal(kct_daemon_stop(&d), 0);
}

/* ---- the log ---------------------------------------------------------------- */

/* Make it write lines, and see that it serves all the same. */
static void serves_and_logs(struct kct_daemon *d)
{
	struct kct_wire w;
	uint32_t at;

	for (int i = 0; i < 100; i++) {
		kct_wire_connect(&w, d->path);
		kct_raw(&w, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 36);
		kct_expect_error(&w, KCP_PROTO);
		kct_wire_cut(&w);
		assert_int_equal(kill(d->pid, SIGUSR1), 0); /* lines that are not left out */
	}
	kct_wire_hello(&w, d->path);
	at = kct_make(&w, "log", KCP_KIND_BUFFERED, 0, 5, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "x", 0)), KCP_OK);
	kct_assert_messages(kct_reply(&w, kct_recv(&w, at, 1, 0, 0)), 0, 1, "x");
	kct_wire_bye(&w);
}

static int log_to(void *arg)
{
	const int *fd = arg;

	return dup2(*fd, STDERR_FILENO) < 0;
}

static void a_log_on_a_full_disk_does_no_harm(void **state)
{
	struct kct_daemon d;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(kct_daemon_start_prepared(&d, false, log_to, &fd), 0);
	close(fd);
	serves_and_logs(&d);
	assert_int_equal(kct_daemon_stop(&d), 0);
}

static int limit_files(void *arg)
{
	return setrlimit(RLIMIT_FSIZE, arg);
}

static void a_log_at_the_limit_of_its_size_does_no_harm(void **state)
{
	struct rlimit limit = { .rlim_cur = 600, .rlim_max = 600 };
	struct kct_daemon d;

	(void)state;
	/* bound: the lock file with the daemon's number is written as well */
	assert_int_equal(kct_daemon_start_prepared(&d, true, limit_files, &limit), 0);
	serves_and_logs(&d);
	assert_true(kct_daemon_log(&d, text, sizeof(text)) <= 600);
	assert_int_equal(kct_daemon_stop(&d), 0);
}

static void a_log_that_nobody_reads_any_more_does_no_harm(void **state)
{
	struct kct_daemon d;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(kct_daemon_start_prepared(&d, false, log_to, &fds[1]), 0);
	close(fds[0]);
	close(fds[1]);
	serves_and_logs(&d);
	assert_int_equal(kct_daemon_stop(&d), 0);
}

static void a_log_whose_reader_sleeps_holds_up_nobody(void **state)
{
	struct kct_daemon d;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, 8192) >= 8192);
	assert_int_equal(kct_daemon_start_prepared(&d, false, log_to, &fds[1]), 0);
	close(fds[1]);
	serves_and_logs(&d);
	/* what was there first is in it, whole lines */
	assert_true(read(fds[0], text, sizeof(text) - 1) > 100);
	assert_int_equal(strncmp(text, "kcorod: notice: ", 16), 0);
	assert_int_equal(kct_daemon_stop(&d), 0);
	close(fds[0]);
}

static int close_streams(void *arg)
{
	(void)arg;
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	return 0;
}

/* Without its standard streams no other descriptor may get their numbers: the log would be
 * written to a client. */
static void without_standard_streams_nobody_else_gets_the_log(void **state)
{
	struct kct_daemon d;
	char path[64], to[64];

	(void)state;
	assert_int_equal(kct_daemon_start_prepared(&d, false, close_streams, NULL), 0);
	serves_and_logs(&d);
	for (int fd = 0; fd <= 2; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)d.pid, fd);
		n = readlink(path, to, sizeof(to) - 1);
		assert_true(n > 0);
		to[n] = '\0';
		assert_string_equal(to, "/dev/null");
	}
	assert_int_equal(kct_daemon_stop(&d), 0);
}

/* ---- no room on the disk ---------------------------------------------------- */

/* In a file system that has room for so many names, the folder itself included. */
static int full_disk(void *arg)
{
	struct kct_daemon d;
	char options[32], want[64];
	int status;

	snprintf(options, sizeof(options), "size=64k,nr_inodes=%d", *(const int *)arg);
	snprintf(want, sizeof(want), "%s", strerror(ENOSPC));
	if (kct_daemon_prepare(&d) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 77;
	/* the log is outside of it */
	snprintf(d.path, sizeof(d.path), "%s/disk/kcorod.sock", d.dir);
	snprintf(text, sizeof(text), "%s/disk", d.dir);
	if (mkdir(text, 0700) < 0 || mount("tmpfs", text, "tmpfs", 0, options) < 0)
		return 77;
	if (kct_daemon_run(&d, (const char *const[]){ "--socket", d.path, NULL }) < 0)
		return 1;
	status = kct_daemon_wait(&d, KCT_WIRE_MS);
	kct_daemon_log(&d, text, sizeof(text));
	fprintf(stderr, "# %s", text);
	if (status != 1 || !strstr(text, want) || !strstr(text, d.path))
		return 2;
	/* and nothing is left there */
	snprintf(d.lock, sizeof(d.lock), "%s.lock", d.path);
	if (access(d.path, F_OK) == 0 || access(d.lock, F_OK) == 0)
		return 3;
	snprintf(text, sizeof(text), "%s/disk", d.dir);
	if (umount(text) < 0 || rmdir(text) < 0)
		return 4;
	kct_daemon_kill(&d);
	return 0;
}

static void on_a_full_disk_it_says_so(void **state)
{
	int lock = 1, socket = 2, r;

	(void)state;
	if (geteuid() != 0)
		skip();
	r = kct_in_child(full_disk, &lock);
	if (r == 77)
		skip(); /* no mounts in this container */
	assert_int_equal(r, 0);
	assert_int_equal(kct_in_child(full_disk, &socket), 0);
}

static void a_lock_that_cannot_be_made_is_named(void **state)
{
	struct kct_daemon d;

	(void)state;
	assert_int_equal(kct_daemon_prepare(&d), 0);
	assert_int_equal(mkdir(d.lock, 0700), 0);
	assert_int_equal(kct_daemon_run(&d, (const char *const[]){ "--socket", d.path, NULL }), 0);
	assert_int_equal(kct_daemon_wait(&d, KCT_WIRE_MS), 1);
	kct_daemon_log(&d, text, sizeof(text));
	assert_non_null(strstr(text, d.lock));
	assert_non_null(strstr(text, strerror(EISDIR)));
	assert_int_equal(rmdir(d.lock), 0);
	kct_daemon_kill(&d);
}

/* Two at once: one serves, one says so, and who is connected to the first never notices. */
static void of_many_daemons_at_one_path_one_serves(void **state)
{
	struct kct_daemon first, other[8];
	struct kct_wire w;
	uint32_t at;

	(void)state;
	assert_int_equal(kct_daemon_start_bound(&first, NULL, NULL), 0);
	kct_wire_hello(&w, first.path);
	at = kct_make(&w, "mine", KCP_KIND_BUFFERED, 0, 5, BOTH);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(kct_daemon_prepare(&other[i]), 0);
		assert_int_equal(kct_daemon_run(&other[i], (const char *const[]){ "--socket",
										  first.path,
										  NULL }),
				 0);
	}
	for (int i = 0; i < 8; i++) {
		assert_int_equal(kct_daemon_wait(&other[i], KCT_WIRE_MS), 1);
		kct_daemon_log(&other[i], text, sizeof(text));
		assert_non_null(strstr(text, "another kcorod"));
		kct_daemon_kill(&other[i]);
		assert_int_equal(kct_result_of(&w, kct_send(&w, at, "x", 0)), KCP_OK);
		kct_assert_messages(kct_reply(&w, kct_recv(&w, at, 1, 0, 0)), 0, 1, "x");
	}
	kct_wire_bye(&w);
	kct_wire_hello(&w, first.path);
	kct_wire_bye(&w);
	assert_int_equal(kct_daemon_stop(&first), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(who_gets_the_last_descriptors_can_resume),
		KCT_TEST(without_any_descriptor_it_waits),
		KCT_TEST(refusing_costs_only_who_is_refused),
		KCT_TEST(who_hangs_about_costs_no_time),
		KCT_TEST(a_log_on_a_full_disk_does_no_harm),
		KCT_TEST(a_log_at_the_limit_of_its_size_does_no_harm),
		KCT_TEST(a_log_that_nobody_reads_any_more_does_no_harm),
		KCT_TEST(a_log_whose_reader_sleeps_holds_up_nobody),
		KCT_TEST(without_standard_streams_nobody_else_gets_the_log),
		KCT_TEST(on_a_full_disk_it_says_so),
		KCT_TEST(a_lock_that_cannot_be_made_is_named),
		KCT_TEST(of_many_daemons_at_one_path_one_serves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
