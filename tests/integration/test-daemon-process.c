/* SPDX-License-Identifier: BSD-3-Clause */
/* kcorod as a program: options, configuration, sockets and locks, signals, descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/integration/daemon-fixture.h"

static char text[65536];

/* Run kcorod with these arguments until it ends; what it wrote is in `text`. */
static int run(struct kct_daemon *d, const char *const *args)
{
	int status;

	assert_int_equal(kct_daemon_run(d, args), 0);
	status = kct_daemon_wait(d, KCT_WIRE_MS);
	kct_daemon_log(d, text, sizeof(text));
	return status;
}

static int run_in_new_folder(const char *const *args)
{
	struct kct_daemon d;
	int status;

	assert_int_equal(kct_daemon_prepare(&d), 0);
	status = run(&d, args);
	kct_daemon_kill(&d);
	return status;
}

#define RUN(...) run_in_new_folder((const char *const[]){ __VA_ARGS__, NULL })

static void bad_options_are_usage_errors(void **state)
{
	(void)state;
	assert_int_equal(RUN("--nonsense"), 2);
	assert_non_null(strstr(text, "no such option: --nonsense"));
	assert_int_equal(RUN("file"), 2);
	assert_int_equal(RUN("--socket"), 2);
	assert_non_null(strstr(text, "--socket needs a value"));
	assert_int_equal(RUN("--help=x"), 2);
	assert_int_equal(RUN("--log-level", "loud"), 2);
	assert_int_equal(RUN("--config", "/nonexistent/kcorod.json"), 2);
	assert_non_null(strstr(text, "/nonexistent/kcorod.json: cannot be read"));
}

static void help_and_version_say_what_there_is(void **state)
{
	(void)state;
	assert_int_equal(RUN("--help"), 0);
	assert_non_null(strstr(text, "--check-config"));
	assert_int_equal(RUN("-h"), 0);
	assert_int_equal(RUN("--version"), 0);
	assert_string_equal(text, "kcorod " PACKAGE_VERSION "\n");
	assert_int_equal(RUN("--print-config"), 0);
	assert_non_null(strstr(text, "\"grace_ms\": 10000"));
	assert_int_equal(RUN("--check-config"), 0);
	assert_non_null(strstr(text, "the configuration is good"));
}

static void a_bad_configuration_is_named(void **state)
{
	struct kct_daemon d;
	char path[128];
	FILE *f;

	(void)state;
	assert_int_equal(kct_daemon_prepare(&d), 0);
	snprintf(path, sizeof(path), "%s/c.json", d.dir);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs("{ \"limits\": { \"connections\": 0 } }", f);
	fclose(f);
	assert_int_equal(run(&d, (const char *const[]){ "--check-config", "--config", path, NULL }),
			 2);
	assert_non_null(strstr(text, path));
	assert_non_null(strstr(text, "limits.connections"));
	assert_non_null(strstr(text, "from 1 to"));
	kct_daemon_kill(&d);
}

/* ---- sockets ---------------------------------------------------------------- */

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void it_binds_and_cleans_up(void **state)
{
	struct kct_daemon d;
	struct kct_wire w;
	struct stat st;

	(void)state;
	assert_int_equal(kct_daemon_start_bound(&d, "{ \"socket\": { \"mode\": \"0620\" } }", NULL),
			 0);
	assert_int_equal(stat(d.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0620);
	assert_true(exists(d.lock));
	kct_wire_hello(&w, d.path);
	kct_wire_bye(&w);
	assert_int_equal(kill(d.pid, SIGINT), 0);
	assert_int_equal(kct_daemon_wait(&d, KCT_WIRE_MS), 0);
	assert_false(exists(d.path));
	assert_false(exists(d.lock));
	kct_daemon_stop(&d);
}

static void a_live_daemon_keeps_its_socket(void **state)
{
	struct kct_daemon first, second;
	struct kct_wire w;

	(void)state;
	assert_int_equal(kct_daemon_start_bound(&first, NULL, NULL), 0);
	assert_int_equal(kct_daemon_prepare(&second), 0);
	assert_int_equal(run(&second, (const char *const[]){ "--socket", first.path, NULL }), 1);
	assert_non_null(strstr(text, "another kcorod"));
	assert_non_null(strstr(text, first.path));
	kct_daemon_kill(&second);
	kct_wire_hello(&w, first.path);
	kct_ping(&w);
	kct_wire_bye(&w);
	assert_int_equal(kct_daemon_stop(&first), 0);
}

static void a_stale_socket_is_replaced(void **state)
{
	struct kct_daemon d;
	struct kct_wire w;

	(void)state;
	assert_int_equal(kct_daemon_start_bound(&d, NULL, NULL), 0);
	assert_int_equal(kill(d.pid, SIGKILL), 0);
	assert_int_equal(kct_daemon_wait(&d, KCT_WIRE_MS), 128 + SIGKILL);
	assert_true(exists(d.path));
	assert_true(exists(d.lock));
	close(d.log_fd);
	close(d.pidfd);
	/* the same again, in the same place */
	assert_int_equal(kct_daemon_restart_bound(&d), 0);
	kct_wire_hello(&w, d.path);
	kct_ping(&w);
	kct_wire_bye(&w);
	assert_int_equal(kct_daemon_stop(&d), 0);
}

static void what_is_not_ours_is_left_alone(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct kct_daemon d;
	int fd;

	(void)state;
	assert_int_equal(kct_daemon_prepare(&d), 0);
	/* a file */
	fd = open(d.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(run(&d, (const char *const[]){ "--socket", d.path, NULL }), 1);
	assert_non_null(strstr(text, "is no socket"));
	assert_true(exists(d.path));
	unlink(d.path);
	close(d.log_fd);
	close(d.pidfd);
	/* another program's socket */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memcpy(addr.sun_path, d.path, strlen(d.path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(run(&d, (const char *const[]){ "--socket", d.path, NULL }), 1);
	assert_non_null(strstr(text, "another program listens there"));
	assert_true(exists(d.path));
	close(fd);
	close(d.log_fd);
	close(d.pidfd);
	/* a folder that is not there */
	assert_int_equal(run(&d, (const char *const[]){ "--socket", "/nonexistent/x/s", NULL }), 1);
	assert_non_null(strstr(text, "/nonexistent/x/s"));
	kct_daemon_kill(&d);
}

/* ---- signals ---------------------------------------------------------------- */

static void sigterm_sends_out_what_waits(void **state)
{
	static char big[60001];
	struct kct_daemon d;
	struct kct_wire w, other;
	uint64_t ids[15], heard, all;
	uint32_t at, last;

	(void)state;
	assert_int_equal(kct_daemon_start(&d, NULL, NULL), 0);
	kct_wire_hello(&w, d.path);
	kct_wire_hello(&other, d.path);
	last = kct_make(&w, "last", KCP_KIND_BUFFERED, 0, 1, KCP_ROLE_SENDER);
	heard = kct_recv(&other, kct_open(&other, "last", KCP_ROLE_RECEIVER, 0, 0), 1, 0, KCT_WIRE_MS);
	at = kct_make(&w, "big", KCP_KIND_BUFFERED, 0, 100, 3);
	memset(big, 'x', 60000);
	for (int i = 0; i < 15; i++)
		assert_int_equal(kct_result_of(&w, kct_send(&w, at, big, 0)), KCP_OK);
	for (int i = 0; i < 15; i++)
		ids[i] = kct_recv(&w, at, 1, 0, 0);
	/* more than a socket holds waits in the daemon when it is told to stop: all that was asked
	 * for before this */
	all = kct_send(&w, last, "that was all", 0);
	assert_int_equal(kct_result_of(&other, heard), KCP_OK);
	kct_wire_bye(&other);
	assert_int_equal(kill(d.pid, SIGTERM), 0);
	assert_int_equal(kct_daemon_wait(&d, 200), -ETIMEDOUT);
	for (int i = 0; i < 15; i++) {
		const struct kct_frame *f = kct_reply(&w, ids[i]);

		assert_int_equal(kct_result(f), KCP_OK);
		assert_int_equal(kcp_get(&f->args, KCP_T_ELEMENTS)->len, 60004);
	}
	assert_int_equal(kct_result(kct_reply(&w, all)), KCP_OK);
	kct_expect_end(&w);
	kct_wire_cut(&w);
	assert_int_equal(kct_daemon_wait(&d, KCT_WIRE_MS), 0);
	assert_int_equal(kct_daemon_stop(&d), 0);
}

static void sigusr1_logs_the_state(void **state)
{
	struct kct_daemon d;
	struct kct_wire w;

	(void)state;
	assert_int_equal(kct_daemon_start(&d, NULL, NULL), 0);
	kct_wire_hello(&w, d.path);
	kct_make(&w, "seen/in.log", KCP_KIND_RENDEZVOUS, 0, 0, 3);
	assert_int_equal(kill(d.pid, SIGUSR1), 0);
	kct_wire_bye(&w);
	assert_int_equal(kill(d.pid, SIGTERM), 0);
	assert_int_equal(kct_daemon_wait(&d, KCT_WIRE_MS), 0);
	kct_daemon_log(&d, text, sizeof(text));
	assert_non_null(strstr(text, "1 channels"));
	assert_non_null(strstr(text, "channel=seen/in.log"));
	assert_non_null(strstr(text, "stopping on SIGTERM"));
	kct_daemon_stop(&d);
}

static void sighup_is_told_and_ends_nothing(void **state)
{
	struct kct_daemon d;
	struct kct_wire w;
	uint32_t at;

	(void)state;
	assert_int_equal(kct_daemon_start(&d, NULL, NULL), 0);
	kct_wire_hello(&w, d.path);
	at = kct_make(&w, "kept", KCP_KIND_BUFFERED, 0, 2, 3);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "one", 0)), KCP_OK);
	assert_int_equal(kill(d.pid, SIGHUP), 0);
	assert_int_equal(kct_result_of(&w, kct_recv(&w, at, 1, 0, 0)), KCP_OK);
	kct_wire_bye(&w);
	assert_int_equal(kill(d.pid, SIGTERM), 0);
	assert_int_equal(kct_daemon_wait(&d, KCT_WIRE_MS), 0);
	kct_daemon_log(&d, text, sizeof(text));
	assert_non_null(strstr(text, "notice: SIGHUP changes nothing: the configuration is read"));
	kct_daemon_stop(&d);
}

static void faults_are_logged_with_their_author(void **state)
{
	struct kct_daemon d;
	struct kct_wire w;
	char want[64];

	(void)state;
	assert_int_equal(kct_daemon_start(&d, NULL, NULL), 0);
	kct_wire_connect(&w, d.path);
	kct_raw(&w, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 36);
	kct_expect_error(&w, KCP_PROTO);
	kct_wire_cut(&w);
	kct_daemon_log(&d, text, sizeof(text));
	snprintf(want, sizeof(want), "pid=%d uid=%u", (int)getpid(), (unsigned)getuid());
	assert_non_null(strstr(text, want));
	assert_int_equal(kct_daemon_stop(&d), 0);
}

/* ---- limits ----------------------------------------------------------------- */

static void who_cannot_be_served_is_told(void **state)
{
	struct kct_daemon d;
	struct kct_wire w[3], one_more;
	const struct kct_frame *f;

	(void)state;
	assert_int_equal(kct_daemon_start(&d, "{ \"limits\": { \"connections\": 3 } }", NULL), 0);
	for (int i = 0; i < 3; i++)
		kct_wire_hello(&w[i], d.path);
	kct_wire_connect(&one_more, d.path);
	f = kct_event(&one_more, KCP_ERROR);
	assert_int_equal(kct_result(f), KCP_DQUOT);
	assert_string_equal(kct_detail(f), "limits.connections");
	kct_expect_end(&one_more);
	kct_wire_cut(&one_more);
	kct_wire_bye(&w[2]);
	kct_wire_hello(&w[2], d.path); /* there is room again */
	for (int i = 0; i < 3; i++)
		kct_wire_bye(&w[i]);
	assert_int_equal(kct_daemon_stop(&d), 0);
}

static void without_descriptors_it_still_answers(void **state)
{
	struct rlimit saved, few;
	struct kct_daemon d;
	struct kct_wire w[20];
	int n = 0, served = 0;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	few = saved;
	few.rlim_cur = few.rlim_max = 24;
	/* the daemon inherits it; the test itself goes back */
	assert_int_equal(kct_daemon_start_limited(&d, &few), 0);
	for (; n < 20; n++) {
		const struct kct_frame *f;

		kct_wire_connect(&w[n], d.path);
		kct_begin(&w[n], KCP_HELLO);
		kcp_put_u32(&w[n].out, KCP_T_VERSION_MIN, 1);
		kcp_put_u32(&w[n].out, KCP_T_VERSION_MAX, 1);
		kct_end(&w[n]);
		f = kct_next(&w[n]);
		if (f->header.type == KCP_ERROR) {
			assert_int_equal(kct_result(f), KCP_DQUOT);
			assert_string_equal(kct_detail(f), "the daemon has no descriptor left");
			break;
		}
		served++;
	}
	assert_true(served >= 2 && served < 20);
	kct_wire_cut(&w[n]);
	for (int i = 0; i < n; i++)
		kct_wire_bye(&w[i]);
	kct_wire_hello(&w[0], d.path);
	kct_wire_bye(&w[0]);
	assert_int_equal(kct_daemon_stop(&d), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(bad_options_are_usage_errors),
		KCT_TEST(help_and_version_say_what_there_is),
		KCT_TEST(a_bad_configuration_is_named),
		KCT_TEST(it_binds_and_cleans_up),
		KCT_TEST(a_live_daemon_keeps_its_socket),
		KCT_TEST(a_stale_socket_is_replaced),
		KCT_TEST(what_is_not_ours_is_left_alone),
		KCT_TEST(sigterm_sends_out_what_waits),
		KCT_TEST(sigusr1_logs_the_state),
		KCT_TEST(sighup_is_told_and_ends_nothing),
		KCT_TEST(faults_are_logged_with_their_author),
		KCT_TEST(who_cannot_be_served_is_told),
		KCT_TEST(without_descriptors_it_still_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
