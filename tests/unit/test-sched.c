/* SPDX-License-Identifier: BSD-3-Clause */
/* Schedulers and coroutines: each public call, its codes, ends and forks. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "libkcoro-client/sched/sanitize.h"
#include "tests/lib/kct.h"
#include "tests/lib/local.h"

static long add_one(void *arg)
{
	return *(int *)arg + 1;
}

static void a_coroutine_runs_and_is_joined(void **state)
{
	kc_sched_t *s = kct_sched_make(1);
	int n = 41;

	assert_int_equal(kct_coro_join(kct_coro_spawn(s, add_one, &n)), 42);
	assert_int_equal(kct_sched_stats(s).spawned, 1);
	assert_int_equal(kct_sched_stats(s).ended, 1);
	kct_sched_unmake(s);
}

static void options_are_checked(void **state)
{
	const struct {
		struct kc_sched_options o;
		const char *about;
	} bad[] = {
		{ { 0, 1, 0, 0, 0, 0, 0 }, "size" },
		{ { sizeof(bad[0].o), KC_WORKERS_MAX + 1, 0, 0, 0, 0, 0 }, "workers" },
		{ { sizeof(bad[0].o), 1, 2, 0, 0, 0, 0 }, "flags" },
		{ { sizeof(bad[0].o), 2, KC_SCHED_DETERMINISTIC, 0, 0, 0, 0 }, "workers" },
		{ { sizeof(bad[0].o), 1, 0, KC_STACK_MIN - 1, 0, 0, 0 }, "stack_size" },
		{ { sizeof(bad[0].o), 1, 0, (size_t)KC_STACK_MAX + 1, 0, 0, 0 }, "stack_size" },
		{ { sizeof(bad[0].o), 1, 0, 0, KC_COROS_MAX + 1, 0, 0 }, "max_coros" },
	};
	kc_sched_t *s = NULL;

	for (size_t i = 0; i < KC_ARRAY_SIZE(bad); i++) {
		assert_int_equal(kc_sched_create(&s, &bad[i].o), KC_EINVAL);
		assert_non_null(strstr(kc_error_detail(), bad[i].about));
		assert_null(s);
	}
	assert_int_equal(kc_sched_create(NULL, NULL), KC_EINVAL);
}

static void creation_survives_want_of_memory(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_sched_t *s;
	int r;

	o.workers = 2;
	for (long nth = 1;; nth++) {
		kct_alloc_fail_from(nth);
		r = kc_sched_create(&s, &o);
		if (kct_alloc_fail_end() < nth)
			break;
		assert_int_equal(r, KC_ENOMEM);
	}
	assert_int_equal(r, 0);
	kct_sched_unmake(s);
}

static void null_arguments_are_refused(void **state)
{
	struct kc_sched_stats st = { .size = 1 };
	kc_sched_t *s = kct_sched_make(1);
	kc_coro_t *co;

	assert_int_equal(kc_spawn(&co, s, NULL, NULL), KC_EINVAL);
	assert_int_equal(kc_join(NULL, NULL, 0), KC_EINVAL);
	assert_int_equal(kc_sched_drain(NULL, 0), KC_EINVAL);
	assert_int_equal(kc_sched_stats(s, NULL), KC_EINVAL);
	assert_int_equal(kc_sched_stats(s, &st), KC_EINVAL);
	assert_int_equal(kc_sched_run(NULL), KC_EINVAL);
	assert_int_equal(kc_sched_run(s), KC_EINVAL);
	assert_int_equal(kc_sched_destroy(NULL), 0);
	assert_int_equal(kc_sched_default(NULL), KC_EINVAL);
	kc_detach(NULL);
	kct_sched_unmake(s);
}

static long wait_for(void *arg)
{
	return kc_cancel_wait(arg, -1);
}

static void a_join_can_be_tried_timed_and_cancelled(void **state)
{
	kc_sched_t *s = kct_sched_make(1);
	kc_cancel_t *go, *stop;
	kc_coro_t *co;

	assert_int_equal(kc_cancel_init(&go), 0);
	assert_int_equal(kc_cancel_init(&stop), 0);
	co = kct_coro_spawn(s, wait_for, go);
	assert_int_equal(kc_join(co, NULL, 0), KC_EAGAIN);
	assert_int_equal(kc_join(co, NULL, KCT_SHORT_MS), KC_ETIME);
	kc_cancel_trigger(stop);
	assert_int_equal(kc_join_c(co, NULL, -1, stop), KC_ECANCELED);
	kc_cancel_trigger(go);
	assert_int_equal(kct_coro_join(co), 0);
	kc_cancel_destroy(go);
	kc_cancel_destroy(stop);
	kct_sched_unmake(s);
}

struct pair {
	kc_coro_t *other;
	kc_cancel_t *go;
	int r;
};

static long join_other(void *arg)
{
	struct pair *p = arg;

	return kc_join(p->other, NULL, -1);
}

static long join_self(void *arg)
{
	return kc_join(kc_current(), NULL, -1);
}

static bool is_joined(void *arg)
{
	/* who joins second is told, and changes nothing */
	return kc_join(arg, NULL, 0) == KC_EINVAL;
}

static void nobody_joins_twice_or_himself(void **state)
{
	kc_sched_t *s = kct_sched_make(2);
	struct pair p = { 0 };
	kc_coro_t *first;

	assert_int_equal(kc_cancel_init(&p.go), 0);
	p.other = kct_coro_spawn(s, wait_for, p.go);
	first = kct_coro_spawn(s, join_other, &p);
	assert_true(kct_wait_until(is_joined, p.other));
	kc_cancel_trigger(p.go);
	assert_int_equal(kct_coro_join(first), 0);
	assert_int_equal(kct_coro_join(kct_coro_spawn(s, join_self, NULL)), KC_EINVAL);
	kc_cancel_destroy(p.go);
	kct_sched_unmake(s);
}

static long name_it(void *arg)
{
	char longer[64];

	if (strcmp(kc_coro_name(), "") != 0)
		return __LINE__;
	kc_coro_set_name("worker");
	kc_yield();
	if (strcmp(kc_coro_name(), "worker") != 0)
		return __LINE__;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	kc_coro_set_name(longer);
	if (strlen(kc_coro_name()) != KC_CORO_NAME_MAX)
		return __LINE__;
	kc_coro_set_name(NULL);
	if (strcmp(kc_coro_name(), "") != 0)
		return __LINE__;
	*(kc_coro_t **)arg = kc_current();
	return 0;
}

static void a_coroutine_knows_itself(void **state)
{
	kc_sched_t *s = kct_sched_make(1);
	kc_coro_t *seen = NULL, *co = kct_coro_spawn(s, name_it, &seen);

	assert_int_equal(kct_coro_join(co), 0);
	assert_ptr_equal(seen, co);
	assert_null(kc_current());
	kc_coro_set_name("thread");
	assert_string_equal(kc_coro_name(), "");
	kc_yield();
	kct_sched_unmake(s);
}

/* ---- ends ------------------------------------------------------------------- */

static long drain_own(void *arg)
{
	if (kc_sched_drain(arg, -1) != KC_EINVAL)
		return __LINE__;
	return kc_sched_destroy(arg) == KC_EINVAL ? 0 : __LINE__;
}

/* The calls that end with a handle have to return first, on the worker of who destroys it. */
static long receive(void *ch)
{
	uint64_t value;

	return kc_chan_recv(ch, &value, -1);
}

static long destroy(void *ch)
{
	kc_chan_destroy(ch);
	return 0;
}

static void a_handle_goes_while_others_wait(void **state)
{
	kc_sched_t *s = kct_sched_make(1);
	kc_coro_t *co[3];
	kc_chan_t *ch;

	assert_int_equal(kc_chan_make(&ch, KC_BUFFERED, sizeof(uint64_t), 1), 0);
	for (int i = 0; i < 3; i++)
		co[i] = kct_coro_spawn(s, receive, ch);
	/* in their order */
	assert_int_equal(kct_coro_join(kct_coro_spawn(s, destroy, ch)), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(kct_coro_join(co[i]), KC_EPIPE);
	kct_sched_unmake(s);
}

static void a_scheduler_is_drained(void **state)
{
	kc_sched_t *s = kct_sched_make(2);
	kc_cancel_t *go;

	assert_int_equal(kc_sched_drain(s, -1), 0);
	assert_int_equal(kc_cancel_init(&go), 0);
	assert_int_equal(kc_spawn(NULL, s, wait_for, go), 0);
	assert_int_equal(kc_sched_drain(s, 0), KC_EAGAIN);
	assert_int_equal(kc_sched_drain(s, KCT_SHORT_MS), KC_ETIME);
	assert_int_equal(kc_sched_destroy(s), KC_EAGAIN);
	assert_int_equal(kct_coro_join(kct_coro_spawn(s, drain_own, s)), 0);
	kc_cancel_trigger(go);
	assert_int_equal(kc_sched_drain(s, KCT_PATIENCE_MS), 0);
	kc_cancel_destroy(go);
	kct_sched_unmake(s);
}

static void detached_and_forgotten_ones_go(void **state)
{
	kc_sched_t *s = kct_sched_make(1);
	kc_cancel_t *go;
	int n = 0;

	assert_int_equal(kc_cancel_init(&go), 0);
	kc_detach(kct_coro_spawn(s, wait_for, go));
	kc_cancel_trigger(go);
	assert_int_equal(kc_sched_drain(s, KCT_PATIENCE_MS), 0);
	kc_detach(kct_coro_spawn(s, add_one, &n)); /* over or not, as it comes */
	(void)kct_coro_spawn(s, add_one, &n);	   /* its handle goes with the scheduler */
	kc_cancel_destroy(go);
	kct_sched_unmake(s);
}

static void the_number_of_coroutines_has_a_bound(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_coro_t *co[5];
	kc_sched_t *s;
	kc_cancel_t *go;

	o.workers = 1;
	o.max_coros = 4;
	assert_int_equal(kc_sched_create(&s, &o), 0);
	assert_int_equal(kc_cancel_init(&go), 0);
	for (int i = 0; i < 4; i++)
		co[i] = kct_coro_spawn(s, wait_for, go);
	assert_int_equal(kc_spawn(&co[4], s, wait_for, go), KC_EDQUOT);
	assert_non_null(strstr(kc_error_detail(), "4"));
	kc_cancel_trigger(go);
	for (int i = 0; i < 4; i++)
		assert_int_equal(kct_coro_join(co[i]), 0);
	kc_cancel_destroy(go);
	kct_sched_unmake(s);
}

static long use_stack(void *arg)
{
	volatile char big[200000];

	for (size_t i = 0; i < sizeof(big); i += 1000)
		big[i] = (char)i;
	return big[1000] == (char)1000 ? 0 : __LINE__;
}

static void stacks_have_the_size_asked_for(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_sched_t *s;

	o.workers = 1;
	o.stack_size = 400000;
	assert_int_equal(kc_sched_create(&s, &o), 0);
	assert_int_equal(kct_coro_join(kct_coro_spawn(s, use_stack, NULL)), 0);
	kct_sched_unmake(s);
}

/* ---- the library's own ------------------------------------------------------ */

static long where(void *arg)
{
	int n = 1;
	kc_coro_t *co;
	long r;

	/* without a scheduler: where the caller is */
	if (kc_spawn(&co, NULL, add_one, &n) < 0 || kc_join(co, &r, -1) < 0)
		return __LINE__;
	return r == 2 ? 0 : __LINE__;
}

static long own_in_child(void *arg)
{
	kc_sched_t *s = NULL;

	if (kc_sched_default(&s) != 0 || s == arg)
		return 1;
	return kc_sched_destroy(arg) == KC_EFORKED ? 0 : 2;
}

static int own_child(void *arg)
{
	return (int)own_in_child(arg);
}

/* Their descriptors, if any, stay: no KCT_TEST. */
static void the_librarys_own_schedulers_stay(void **state)
{
	int (*const get[])(kc_sched_t **) = { kc_sched_default, kc_sched_io, kc_sched_single };
	const unsigned workers[] = { 0, 64, 1 };

	for (size_t i = 0; i < KC_ARRAY_SIZE(get); i++) {
		kc_sched_t *s, *again;
		uint64_t before;

		assert_int_equal(get[i](&s), 0);
		assert_int_equal(get[i](&again), 0);
		assert_ptr_equal(s, again);
		assert_int_equal(kc_sched_destroy(s), KC_EINVAL);
		if (workers[i])
			assert_int_equal(kct_sched_stats(s).workers, workers[i]);
		before = kct_sched_stats(s).spawned;
		assert_int_equal(kct_coro_join(kct_coro_spawn(i == 0 ? NULL : s, where, NULL)), 0);
		assert_int_equal(kct_sched_stats(s).spawned, before + 2);
	}
}

/* ---- forks ------------------------------------------------------------------ */

struct inherited {
	kc_sched_t *s;
	kc_coro_t *co;
};

static int use_inherited(void *arg)
{
	struct kc_sched_stats st = { .size = sizeof(st) };
	struct inherited *in = arg;
	kc_coro_t *co;

	if (kc_spawn(&co, in->s, add_one, NULL) != KC_EFORKED)
		return 1;
	if (kc_join(in->co, NULL, -1) != KC_EFORKED)
		return 2;
	if (kc_sched_drain(in->s, -1) != KC_EFORKED || kc_sched_destroy(in->s) != KC_EFORKED)
		return 3;
	if (kc_sched_stats(in->s, &st) != KC_EFORKED)
		return 4;
	kc_detach(in->co);
	return 0;
}

static void a_child_cannot_use_what_it_inherited(void **state)
{
	struct inherited in = { .s = kct_sched_make(1) };
	kc_cancel_t *go;

	assert_int_equal(kc_cancel_init(&go), 0);
	in.co = kct_coro_spawn(in.s, wait_for, go);
	assert_int_equal(kct_in_child(use_inherited, &in), 0);
	kc_cancel_trigger(go);
	assert_int_equal(kct_coro_join(in.co), 0);
	kc_cancel_destroy(go);
	kct_sched_unmake(in.s);
}

static int thread_of_its_own(void *arg)
{
	uint64_t v = 5;
	kc_chan_t *ch;

	/* the child of a coroutine is a plain thread: it waits as one */
	if (kc_current() || kc_chan_make(&ch, KC_BUFFERED, 8, 1) != 0)
		return 1;
	kc_yield();
	if (kc_chan_recv(ch, &v, KCT_SHORT_MS) != KC_ETIME)
		return 2;
	kc_chan_destroy(ch);
	return kc_sleep_ms(1) == 0 ? 0 : 3;
}

static long fork_inside(void *arg)
{
	return kct_in_child(thread_of_its_own, NULL);
}

static long return_in_child(void *arg)
{
	pid_t pid = fork();
	int status;

	/* the child's only thread ends with this, and so does the child */
	if (pid == 0)
		return 0;
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return __LINE__;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : __LINE__;
}

static void the_child_of_a_coroutine_ends_with_it(void **state)
{
	kc_sched_t *s = kct_sched_make(2);

	if (KCI_ASAN || KCI_TSAN) {
		kct_sched_unmake(s);
		skip(); /* they look at the child as if it were the whole program */
	}
	fflush(NULL);
	assert_int_equal(kct_coro_join(kct_coro_spawn(s, return_in_child, NULL)), 0);
	kct_sched_unmake(s);
}

static void a_coroutine_may_fork(void **state)
{
	kc_sched_t *s = kct_sched_make(1);

	assert_int_equal(kct_coro_join(kct_coro_spawn(s, fork_inside, NULL)), 0);
	kct_sched_unmake(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(a_coroutine_runs_and_is_joined),
		KCT_TEST(options_are_checked),
		KCT_TEST(creation_survives_want_of_memory),
		KCT_TEST(null_arguments_are_refused),
		KCT_TEST(a_join_can_be_tried_timed_and_cancelled),
		KCT_TEST(nobody_joins_twice_or_himself),
		KCT_TEST(a_coroutine_knows_itself),
		KCT_TEST(a_handle_goes_while_others_wait),
		KCT_TEST(a_scheduler_is_drained),
		KCT_TEST(detached_and_forgotten_ones_go),
		KCT_TEST(the_number_of_coroutines_has_a_bound),
		KCT_TEST(stacks_have_the_size_asked_for),
		KCT_TEST(a_child_cannot_use_what_it_inherited),
		KCT_TEST(a_coroutine_may_fork),
		KCT_TEST(the_child_of_a_coroutine_ends_with_it),
		cmocka_unit_test(the_librarys_own_schedulers_stay),
	};
	kc_sched_t *own;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	/* after the tests: the child's scheduler is its own. ThreadSanitizer stands no threads
	 * in a forked child */
	if (!KCI_TSAN && (kc_sched_default(&own) < 0 || kct_in_child(own_child, own) != 0))
		return failed + 1;
	return failed;
}
