/* SPDX-License-Identifier: BSD-3-Clause */
/* kc_wait_fd(): from coroutines and from threads. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "libkcoro-client/sched/engine.h"
#include "tests/lib/kct.h"

struct job {
	int fd;
	short events;
	long timeout_ms;
	kc_cancel_t *token;
	_Atomic bool waits;
};

static long wait_fd(void *arg)
{
	struct job *j = arg;

	atomic_store(&j->waits, true);
	return kc_wait_fd_c(j->fd, j->events, j->timeout_ms, j->token);
}

/* Every case runs in a coroutine of a one-worker and of a two-worker scheduler, and on a
 * thread. */
static unsigned workers;
static kc_sched_t *sched;
static int pair[2];

static void begin(void)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;

	o.workers = workers;
	if (workers)
		assert_int_equal(kc_sched_create(&sched, &o), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
}

static void finish(void)
{
	if (workers) {
		assert_int_equal(kc_sched_drain(sched, KCT_PATIENCE_MS), 0);
		assert_int_equal(kc_sched_destroy(sched), 0);
	}
	close(pair[0]);
	close(pair[1]);
}

/* One wait, on a coroutine or a thread of its own. */
struct started {
	kc_coro_t *co;
	struct kct_call call;
};

static void start(struct started *st, struct job *j)
{
	if (workers)
		assert_int_equal(kc_spawn(&st->co, sched, wait_fd, j), 0);
	else
		kct_call_start(&st->call, wait_fd, j);
}

static long result(struct started *st)
{
	long r = -1;

	if (!workers)
		return kct_call_join(&st->call);
	assert_int_equal(kc_join(st->co, &r, KCT_PATIENCE_MS), 0);
	return r;
}

static long once(struct job *j)
{
	struct started st;

	start(&st, j);
	return result(&st);
}

static void ready_and_not_ready(void)
{
	struct job j = { .fd = pair[0], .events = POLLOUT, .timeout_ms = -1 };

	assert_int_equal(once(&j), POLLOUT);
	j.timeout_ms = 0;
	assert_int_equal(once(&j), POLLOUT);
	j.events = POLLIN;
	assert_int_equal(once(&j), KC_EAGAIN);
	j.timeout_ms = KCT_SHORT_MS;
	assert_int_equal(once(&j), KC_ETIME);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(once(&j), POLLIN);
	j.events = POLLIN | POLLOUT;
	assert_int_equal(once(&j), POLLIN | POLLOUT);
}

static void it_becomes_ready(void)
{
	struct job j = { .fd = pair[0], .events = POLLIN, .timeout_ms = -1 };
	struct started st;
	char c;

	for (int i = 0; i < 20; i++) {
		start(&st, &j);
		assert_int_equal(write(pair[1], "x", 1), 1);
		assert_int_equal(result(&st), POLLIN);
		assert_int_equal(read(pair[0], &c, 1), 1);
	}
	start(&st, &j);
	shutdown(pair[1], SHUT_WR);
	assert_int_equal(result(&st), POLLIN);
	close(pair[1]);
	assert_int_equal(once(&j) & (POLLIN | POLLHUP), POLLIN | POLLHUP);
	pair[1] = fcntl(pair[0], F_DUPFD_CLOEXEC, 0);
}

static void a_token_ends_it(void)
{
	struct job j = { .fd = pair[0], .events = POLLIN, .timeout_ms = -1 };
	struct started st;

	assert_int_equal(kc_cancel_init(&j.token), 0);
	start(&st, &j);
	kc_cancel_trigger(j.token);
	assert_int_equal(result(&st), KC_ECANCELED);
	assert_int_equal(once(&j), KC_ECANCELED);
	kc_cancel_destroy(j.token);
}

static void nonsense_is_refused(void)
{
	struct job j = { .fd = -1, .events = POLLIN, .timeout_ms = -1 };
	int closed = fcntl(pair[0], F_DUPFD_CLOEXEC, 0);

	assert_int_equal(once(&j), KC_EINVAL);
	close(closed);
	j.fd = closed;
	assert_int_equal(once(&j), KC_EINVAL);
	j.fd = pair[0];
	j.events = 0;
	assert_int_equal(once(&j), KC_EINVAL);
	j.events = POLLNVAL;
	assert_int_equal(once(&j), KC_EINVAL);
}

static void a_file_is_always_ready(void)
{
	struct job j = { .events = POLLIN, .timeout_ms = -1 };

	j.fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(j.fd >= 0);
	assert_int_equal(once(&j), POLLIN);
	close(j.fd);
}

static void several_wait_for_one(void)
{
	struct job in = { .fd = pair[0], .events = POLLIN, .timeout_ms = -1 };
	struct job again = in, timed = in;
	struct job out = { .fd = pair[0], .events = POLLOUT, .timeout_ms = -1 };
	struct started st[4];

	timed.timeout_ms = KCT_SHORT_MS;
	start(&st[0], &in);
	start(&st[1], &again);
	start(&st[2], &timed);
	start(&st[3], &out);
	assert_int_equal(result(&st[3]), POLLOUT);
	assert_int_equal(result(&st[2]), KC_ETIME);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(result(&st[0]), POLLIN);
	assert_int_equal(result(&st[1]), POLLIN);
}

static void a_number_is_used_again(void)
{
	struct job j = { .fd = pair[0], .events = POLLIN, .timeout_ms = KCT_SHORT_MS };

	assert_int_equal(once(&j), KC_ETIME);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
	j.fd = pair[0];
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(once(&j), POLLIN);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
	j.fd = pair[0];
	assert_int_equal(once(&j), KC_ETIME);
}

static void (*const cases[])(void) = {
	ready_and_not_ready,	it_becomes_ready,     a_token_ends_it,	      nonsense_is_refused,
	a_file_is_always_ready, several_wait_for_one, a_number_is_used_again,
};

static void all_cases(unsigned n)
{
	workers = n;
	for (size_t i = 0; i < KC_ARRAY_SIZE(cases); i++) {
		begin();
		cases[i]();
		finish();
	}
}

static void on_a_thread(void **state)
{
	all_cases(0);
}

static void on_one_worker(void **state)
{
	all_cases(1);
}

static void on_two_workers(void **state)
{
	all_cases(2);
}

/* ---- no worker blocks for one coroutine -------------------------------------- */

#define RING 50

static int ring[RING][2];

static long pass_on(void *arg)
{
	size_t i = (size_t)(uintptr_t)arg;
	char c;

	for (int turn = 0; turn < 20; turn++) {
		if (kc_wait_fd(ring[i][0], POLLIN, -1) != POLLIN || read(ring[i][0], &c, 1) != 1)
			return __LINE__;
		if (write(ring[(i + 1) % RING][1], &c, 1) != 1)
			return __LINE__;
	}
	return 0;
}

static void many_wait_on_few_workers(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_coro_t *co[RING];
	kc_sched_t *s;
	char c;

	for (o.workers = 1; o.workers <= 3; o.workers++) {
		assert_int_equal(kc_sched_create(&s, &o), 0);
		for (size_t i = 0; i < RING; i++)
			assert_int_equal(pipe2(ring[i], O_CLOEXEC | O_NONBLOCK), 0);
		for (size_t i = 0; i < RING; i++)
			assert_int_equal(kc_spawn(&co[i], s, pass_on, (void *)(uintptr_t)i), 0);
		assert_int_equal(write(ring[0][1], "x", 1), 1);
		for (size_t i = 0; i < RING; i++) {
			long r;

			assert_int_equal(kc_join(co[i], &r, KCT_PATIENCE_MS), 0);
			assert_int_equal(r, 0);
		}
		assert_int_equal(read(ring[0][0], &c, 1), 1);
		for (size_t i = 0; i < RING; i++) {
			close(ring[i][0]);
			close(ring[i][1]);
		}
		assert_int_equal(kc_sched_drain(s, KCT_PATIENCE_MS), 0);
		assert_int_equal(kc_sched_destroy(s), 0);
	}
}

/* A busy worker looks at descriptors between coroutines: a bell that is rung for one who sleeps
 * stays rung. Nobody sleeps here, and then this test itself hears it. */
static void a_look_does_not_silence_the_bell(void **state)
{
	struct job j = { .events = POLLOUT, .timeout_ms = -1 };
	uint64_t far = kci_deadline_from_ms(KCT_PATIENCE_MS);

	(void)state;
	workers = 1;
	begin();
	j.fd = pair[0];
	assert_int_equal(once(&j), POLLOUT); /* from now on there is a bell */
	kci_fds_ring(sched);
	assert_false(kci_fds_poll(sched, 0));
	assert_false(kci_fds_poll(sched, 0));
	assert_true(kci_fds_poll(sched, far));
	kci_fds_ring(sched);
	kci_fds_ring(sched);
	assert_true(kci_fds_poll(sched, far));
	finish();
}

static long refused(void *arg)
{
	return kc_wait_fd(*(int *)arg, POLLIN, -1);
}

static void descriptors_are_not_deterministic(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_sched_t *s;
	kc_coro_t *co;
	long r;

	workers = 0;
	begin();
	o.flags = KC_SCHED_DETERMINISTIC;
	assert_int_equal(kc_sched_create(&s, &o), 0);
	assert_int_equal(kc_spawn(&co, s, refused, &pair[0]), 0);
	assert_int_equal(kc_sched_run(s), 0);
	assert_int_equal(kc_join(co, &r, 0), 0);
	assert_int_equal(r, KC_ENOTSUP);
	assert_int_equal(kc_sched_destroy(s), 0);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(on_a_thread),
		KCT_TEST(on_one_worker),
		KCT_TEST(on_two_workers),
		KCT_TEST(many_wait_on_few_workers),
		KCT_TEST(a_look_does_not_silence_the_bell),
		KCT_TEST(descriptors_are_not_deterministic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
