/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_latency - a rendezvous there and back.
 *
 * Two threads, or two processes, hand 8 (64) bytes to and fro through a pair of
 * rendezvous channels, everything on one CPU: across CPUs a wake-up costs several
 * times what is to be measured here. The reference for threads is a futex that
 * both wait on in turn, for processes two sockets and a bare relay. Two threads on a CPU
 * each, with nothing else to do there, need not sleep: their reference is a bare word for
 * which both spin. Two coroutines do the same on one worker and on a pool of two; their
 * reference is the two switches that no round trip can do without.
 */
#include <errno.h>
#include <string.h>

#include "kcoro/error.h"
#include "kcoro/sched.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "libkcoro-client/sched/switch.h"
#include "tests/bench/bench_kc.h"
#include "tests/bench/bench_raw.h"
#include "tests/bench/bench_report.h"

static unsigned long coro_trips = 1000000;
static struct bench_shape thread_trips = { .count = 20000 };
/* capacity 0: rendezvous */
static struct bench_shape spin_trips = { .count = 100000 };
static struct bench_shape spin_trips_cap1 = { .count = 100000, .capacity = 1 };
static struct bench_shape socket_trips = { .kind = KC_RENDEZVOUS, .elem = 64, .count = 3000 };

/* Two threads and what they share. */
struct pair {
	kc_chan_t *ping, *pong;
	_Atomic uint32_t turn; /* odd: the ball is with the echo */
	uint32_t end;	       /* the turn after which the echo stops */
	int cpus[2];	       /* of the pinger, and of the echo */
	int (*trip)(void *arg);
	struct bench_result result;
	uint64_t count;
	int failed, echo_failed;
};

static int trip_channel(void *arg)
{
	struct pair *p = arg;
	uint64_t ball = 1;
	int r = kc_chan_send(p->ping, &ball, -1);

	return r == 0 ? kc_chan_recv(p->pong, &ball, -1) : r;
}

static void echo_elements(struct pair *p)
{
	uint64_t ball;
	int r = 0;

	while (r == 0 && (r = kc_chan_recv(p->ping, &ball, -1)) == 0)
		r = kc_chan_send(p->pong, &ball, -1);
	p->echo_failed = r == KC_EPIPE ? 0 : r;
	kc_chan_close(p->pong);
}

static void *echo_channel(void *arg)
{
	struct pair *p = arg;
	int r = bench_cpu_pin(0, p->cpus[1]);

	echo_elements(p);
	if (r < 0)
		p->echo_failed = r;
	return NULL;
}

static void hand_over(struct pair *p, uint32_t turn)
{
	atomic_store(&p->turn, turn);
	kci_futex_wake(&p->turn, 1);
}

static void wait_turn(struct pair *p, uint32_t turn)
{
	uint32_t seen;

	while ((seen = atomic_load(&p->turn)) != turn)
		kci_futex_wait(&p->turn, seen, KC_NEVER);
}

static int trip_futex(void *arg)
{
	struct pair *p = arg;
	uint32_t turn = atomic_load(&p->turn);

	hand_over(p, turn + 1);
	wait_turn(p, turn + 2);
	return 0;
}

static int trip_word(void *arg)
{
	struct pair *p = arg;
	uint32_t turn = atomic_load_explicit(&p->turn, memory_order_relaxed);

	atomic_store_explicit(&p->turn, turn + 1, memory_order_release);
	while (atomic_load_explicit(&p->turn, memory_order_acquire) != turn + 2)
		;
	return 0;
}

static void *echo_word(void *arg)
{
	struct pair *p = arg;

	p->echo_failed = bench_cpu_pin(0, p->cpus[1]);
	for (uint32_t turn = 1; turn < p->end; turn += 2) {
		while (atomic_load_explicit(&p->turn, memory_order_acquire) != turn)
			;
		atomic_store_explicit(&p->turn, turn + 1, memory_order_release);
	}
	return NULL;
}

static void *echo_futex(void *arg)
{
	struct pair *p = arg;

	p->echo_failed = bench_cpu_pin(0, p->cpus[1]);
	for (uint32_t turn = 1; turn < p->end; turn += 2) {
		wait_turn(p, turn);
		hand_over(p, turn + 1);
	}
	return NULL;
}

static void *pinger(void *arg)
{
	struct pair *p = arg;

	p->failed = bench_cpu_pin(0, p->cpus[0]);
	if (p->failed == 0)
		p->failed = bench_trips(&p->result, p->count, p->trip, p);
	if (p->ping)
		kc_chan_close(p->ping);
	return NULL;
}

static int run_pair(struct pair *p, void *(*echo)(void *), double *ret_ns)
{
	KC_THREAD_T first, second;
	int r = kci_thread_start(&second, echo, p);

	if (r < 0)
		return bench_why(r, "cannot start a thread");
	if (kci_thread_start(&first, pinger, p) < 0)
		pinger(p); /* the echo must not be left waiting */
	else
		kci_thread_join(first);
	kci_thread_join(second);
	*ret_ns = p->result.middle_ns;
	if (p->failed || p->echo_failed)
		return bench_why(-EIO, "ping-pong: %d, %d", p->failed, p->echo_failed);
	return 0;
}

static int run_channels(struct pair *p, size_t capacity, double *ret_ns)
{
	enum kc_kind kind = capacity > 0 ? KC_BUFFERED : KC_RENDEZVOUS;
	int r = kc_chan_make(&p->ping, kind, 8, capacity);

	if (r == 0)
		r = kc_chan_make(&p->pong, kind, 8, capacity);
	if (r < 0)
		bench_why(r, "kc_chan_make: %s", kc_error_name(r));
	else
		r = run_pair(p, echo_channel, ret_ns);
	kc_chan_destroy(p->ping);
	kc_chan_destroy(p->pong);
	return r;
}

/* Everything on one CPU. */
static int take_threads(const struct bench_figure *f, struct bench_pair *ret)
{
	const struct bench_shape *s = f->arg;
	int cpu = bench_cpu_shared();
	struct pair ours = { .trip = trip_channel, .count = s->count, .cpus = { cpu, cpu } };
	struct pair reference = { .trip = trip_futex, .count = s->count, .cpus = { cpu, cpu } };
	int r;

	reference.end = (uint32_t)bench_trips_total(s->count) * 2;
	r = run_pair(&reference, echo_futex, &ret->reference);
	return r < 0 ? r : run_channels(&ours, s->capacity, &ret->ours);
}

/* On a CPU each, or wherever the kernel puts them if there is only one. */
static int take_spinning(const struct bench_figure *f, struct bench_pair *ret)
{
	const struct bench_shape *s = f->arg;
	int last = bench_cpu_shared(), other = last > 0 ? last - 1 : BENCH_CPU_ANY;
	struct pair ours = { .trip = trip_channel, .count = s->count, .cpus = { other, last } };
	struct pair reference = { .trip = trip_word, .count = s->count, .cpus = { other, last } };
	int r;

	reference.end = (uint32_t)bench_trips_total(s->count) * 2;
	r = run_pair(&reference, echo_word, &ret->reference);
	return r < 0 ? r : run_channels(&ours, s->capacity, &ret->ours);
}

/* ---- coroutines ------------------------------------------------------------- */

static void *switch_main, *switch_other;

static void switch_back(void *pass)
{
	for (;;)
		pass = kci_switch(&switch_other, switch_main, pass);
}

/* ns for there and back */
static double take_switches(void)
{
	static _Alignas(64) char stack[16384];
	uint64_t start = kci_clock_now();

	switch_other = kci_switch_make(stack + sizeof(stack), switch_back);
	for (unsigned long i = 0; i < coro_trips; i++)
		(void)kci_switch(&switch_main, switch_other, NULL);
	return (double)(kci_clock_now() - start) / (double)coro_trips;
}

static long coro_echo(void *arg)
{
	echo_elements(arg);
	return 0;
}

static long coro_ping(void *arg)
{
	struct pair *p = arg;
	unsigned long warm = coro_trips / 10 + 1;
	uint64_t start = 0;
	int r = 0;

	for (unsigned long i = 0; i < warm + coro_trips && r == 0; i++) {
		if (i == warm)
			start = kci_clock_now();
		r = trip_channel(p);
	}
	p->result.middle_ns = (double)(kci_clock_now() - start) / (double)coro_trips;
	kc_chan_close(p->ping);
	return r;
}

static int run_coros(kc_sched_t *s, struct pair *p)
{
	kc_coro_t *ping, *echo;
	long r = -1;

	if (kc_spawn(&echo, s, coro_echo, p) < 0)
		return bench_why(-ENOMEM, "kc_spawn: %s", kc_error_detail());
	if (kc_spawn(&ping, s, coro_ping, p) < 0)
		kc_chan_close(p->ping); /* the echo must not be left waiting */
	else if (kc_join(ping, &r, -1) < 0)
		r = -1;
	if (kc_join(echo, NULL, -1) < 0 || r != 0 || p->echo_failed)
		return bench_why(-EIO, "ping-pong: %ld, %d", r, p->echo_failed);
	return 0;
}

static int take_coros(const struct bench_figure *f, struct bench_pair *ret)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	struct pair p = { 0 };
	kc_sched_t *s;
	int r;

	o.workers = *(const unsigned *)f->arg;
	ret->reference = take_switches();
	r = kc_sched_create(&s, &o);
	if (r < 0)
		return bench_why(r, "kc_sched_create: %s", kc_error_name(r));
	r = kc_chan_make(&p.ping, KC_RENDEZVOUS, 8, 0);
	if (r == 0)
		r = kc_chan_make(&p.pong, KC_RENDEZVOUS, 8, 0);
	if (r < 0)
		bench_why(r, "kc_chan_make: %s", kc_error_name(r));
	else
		r = run_coros(s, &p);
	ret->ours = p.result.middle_ns;
	kc_chan_destroy(p.ping);
	kc_chan_destroy(p.pong);
	(void)kc_sched_destroy(s);
	return r;
}

static const unsigned one_worker = 1, two_workers = 2;

static int take_socket(const struct bench_figure *f, struct bench_pair *ret)
{
	struct bench_outcome reference, ours;
	int r = bench_raw_pingpong(f->arg, BENCH_COUNT_NONE, &reference);

	if (r == 0)
		r = bench_kc_pingpong(f->arg, BENCH_COUNT_NONE, &ours);
	if (r == 0)
		*ret = (struct bench_pair){ ours.trip_ns, reference.trip_ns };
	return r;
}

static struct bench_figure figures[] = {
	{ .name = "thread_rendezvous_rtt_block",
	  .unit = "ns",
	  .reference = "futex_pingpong",
	  .class = BENCH_CLASS_ONE_CPU,
	  .take = take_threads,
	  .arg = &thread_trips },
	{ .name = "thread_rendezvous_rtt_spin",
	  .unit = "ns",
	  .reference = "spin_word",
	  .take = take_spinning,
	  .arg = &spin_trips },
	{ .name = "thread_cap1_rtt_spin",
	  .unit = "ns",
	  .reference = "spin_word",
	  .take = take_spinning,
	  .arg = &spin_trips_cap1 },
	{ .name = "coro_rendezvous_rtt",
	  .unit = "ns",
	  .reference = "two_switches",
	  .class = BENCH_CLASS_ONE_CPU,
	  .take = take_coros,
	  .arg = &one_worker },
	{ .name = "coro_pool_rendezvous_rtt",
	  .unit = "ns",
	  .reference = "two_switches",
	  .take = take_coros,
	  .arg = &two_workers },
	{ .name = "socket_rendezvous_rtt_64",
	  .unit = "ns",
	  .reference = "relay_epoll",
	  .class = BENCH_CLASS_ONE_CPU,
	  .take = take_socket,
	  .arg = &socket_trips },
};

int main(int argc, char **argv)
{
	bench_arguments(argc, argv, "", NULL, NULL, 0);
	thread_trips.count = bench_scaled(thread_trips.count, 16);
	spin_trips.count = bench_scaled(spin_trips.count, 16);
	spin_trips_cap1.count = bench_scaled(spin_trips_cap1.count, 16);
	coro_trips = bench_scaled(coro_trips, 1000);
	socket_trips.count = bench_scaled(socket_trips.count, 16);
	socket_trips.cpu = bench_cpu_shared();
	return bench_run(figures, KC_ARRAY_SIZE(figures), bench_kc_start, bench_kc_stop);
}
