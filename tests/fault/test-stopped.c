/* SPDX-License-Identifier: BSD-3-Clause */
/* kcorod is stopped for two seconds in the middle of everything, as by a debugger or a laptop. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/fault/stream.h"
#include "tests/lib/daemon.h"
#include "tests/lib/kct.h"
#include "tests/lib/wire.h"

#define STOPPED_MS 2000

static struct kct_daemon kcorod;
static struct stream stream;

static void daemon_stop(void)
{
	int status;

	assert_int_equal(kill(kcorod.pid, SIGSTOP), 0);
	assert_int_equal(waitpid(kcorod.pid, &status, WUNTRACED), kcorod.pid);
	assert_true(WIFSTOPPED(status));
}

/* Each answer is a turn of the daemon, which serves the stream as well. */
static void until_received(struct kct_wire *w, uint64_t n)
{
	uint64_t deadline = kci_deadline_from_ms(KCT_WIRE_MS);

	while (stream.received < n && !stream_failed(&stream)) {
		kct_ping(w);
		assert_true(kci_deadline_left(deadline) > 0);
	}
}

static void nothing_is_lost_while_it_is_stopped(void **state)
{
	struct kct_wire w, late;
	uint64_t timed, waits, sent;
	uint32_t at;

	(void)state;
	assert_int_equal(kct_daemon_start(&kcorod, NULL, NULL), 0);
	assert_int_equal(stream_start(&stream, kcorod.path), 0);
	kct_wire_hello(&w, kcorod.path);
	at = kct_make(&w, "slow", KCP_KIND_BUFFERED, 0, 5, 3);
	until_received(&w, 10000);
	timed = kct_recv(&w, at, 1, 0, 300);
	waits = kct_recv(&w, at, 1, 0, KCT_FOREVER);
	kct_ping(&w);

	daemon_stop();
	/* who comes now waits, and so does what is asked */
	kct_wire_connect(&late, kcorod.path);
	kct_begin(&late, KCP_HELLO);
	kcp_put_u32(&late.out, KCP_T_VERSION_MIN, 1);
	kcp_put_u32(&late.out, KCP_T_VERSION_MAX, 1);
	kct_end(&late);
	sent = kct_send(&w, at, "in the meantime", KCT_FOREVER);
	assert_int_equal(kct_daemon_wait(&kcorod, STOPPED_MS), -ETIMEDOUT);
	assert_int_equal(kill(kcorod.pid, SIGCONT), 0);

	assert_int_equal(kct_result(kct_next(&late)), KCP_OK);
	/* frames come before what is due: the element was there in time for the first of them,
	 * or the deadline passed before it and the second has it */
	assert_int_equal(kct_result_of(&w, sent), KCP_OK);
	if (kct_result_of(&w, timed) == KCP_OK) {
		kct_about(&w, KCP_CANCEL, waits);
		assert_int_equal(kct_result_of(&w, waits), KCP_CANCELED);
	} else {
		kct_assert_messages(kct_reply(&w, waits), 0, 1, "in the meantime");
	}
	assert_false(stream_failed(&stream));
	until_received(&w, stream.received + 10000);
	kct_assert_balanced(&w, "slow");
	kct_wire_bye(&late);
	kct_wire_bye(&w);
	assert_null(stream_finish(&stream));
	assert_int_equal(kct_daemon_stop(&kcorod), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(nothing_is_lost_while_it_is_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
