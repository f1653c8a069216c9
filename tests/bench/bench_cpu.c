/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a benchmark runs: see bench_cpu.h. */
#include "tests/bench/bench_cpu.h"

#include <errno.h>
#include <sched.h>

#include "libkcoro-client/port/kcoro_port.h"

#define PROBES	    40
#define PROBE_TRIPS 100
#define PROBE_MS    50
/* ns of a round trip; between them lie 50 for siblings, 120 for near, 480 for far */
#define SMT_BELOW  85
#define NEAR_BELOW 300

static cpu_set_t allowed;
static KC_ONCE_T allowed_once = KC_ONCE_INIT;

static void read_allowed(void)
{
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0) {
		CPU_ZERO(&allowed);
		CPU_SET(0, &allowed);
	}
}

const char *bench_class_name(enum bench_class class)
{
	static const char *const names[BENCH_CLASSES] = { "-", "one-cpu", "smt", "near", "far" };

	return names[class];
}

/* The first n CPUs this program may use. Returns how many there are, at most n. */
static int first_cpus(int *ret, int n)
{
	int found = 0;

	KC_ONCE(&allowed_once, read_allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE && found < n; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			ret[found++] = cpu;
	return found;
}

int bench_cpu_shared(void)
{
	int last = 0;

	KC_ONCE(&allowed_once, read_allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			last = cpu;
	return last;
}

int bench_cpu_pin(pid_t pid, int cpu)
{
	cpu_set_t set;

	KC_ONCE(&allowed_once, read_allowed);
	set = allowed;
	if (cpu != BENCH_CPU_ANY) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
	}
	return sched_setaffinity(pid, sizeof(set), &set) < 0 ? -errno : 0;
}

/* ---- the distance ----------------------------------------------------------- */

struct probe {
	_Alignas(128) _Atomic uint32_t line; /* even: the first thread's turn */
	_Alignas(128) int cpu[2];
	uint64_t best; /* ns of one round trip */
	_Atomic bool pinned;
	_Atomic bool over; /* not in the line itself: a late hand-over would undo it */
};

static void *probe_second(void *arg)
{
	struct probe *p = arg;

	if (bench_cpu_pin(0, p->cpu[1]) == 0)
		atomic_store(&p->pinned, true);
	while (!atomic_load_explicit(&p->over, memory_order_relaxed)) {
		uint32_t seen = atomic_load_explicit(&p->line, memory_order_acquire);

		if (seen % 2)
			atomic_store_explicit(&p->line, seen + 1, memory_order_release);
	}
	return NULL;
}

/* Hand the line over and wait for it. False: it has not come back in time. */
static bool probe_trip(struct probe *p, uint32_t turn, uint64_t deadline)
{
	atomic_store_explicit(&p->line, turn + 1, memory_order_release);
	for (unsigned spins = 1;; spins++) {
		if (atomic_load_explicit(&p->line, memory_order_acquire) == turn + 2)
			return true;
		/* the other may have lost its CPU */
		if (spins % 4096 == 0 && kci_deadline_left(deadline) == 0)
			return false;
	}
}

static void *probe_first(void *arg)
{
	struct probe *p = arg;
	bool going = bench_cpu_pin(0, p->cpu[0]) == 0;
	uint64_t deadline = kci_deadline_from_ms(PROBE_MS);
	uint32_t turn = 0;

	p->best = KC_NEVER;
	for (int i = 0; i < PROBES && going; i++) {
		uint64_t begin = kci_clock_now(), trip;

		for (int k = 0; k < PROBE_TRIPS && going; k++, turn += 2)
			going = probe_trip(p, turn, deadline);
		/* the smallest: a thread that lost its CPU meanwhile tells nothing */
		trip = (kci_clock_now() - begin) / PROBE_TRIPS;
		if (going && trip < p->best)
			p->best = trip;
	}
	atomic_store(&p->over, true);
	return NULL;
}

enum bench_class bench_cpu_probe(void)
{
	struct probe p = { .line = 0 };
	KC_THREAD_T first, second;

	if (first_cpus(p.cpu, 2) < 2)
		return BENCH_CLASS_ONE_CPU;
	if (kci_thread_start(&second, probe_second, &p) < 0)
		return BENCH_CLASS_NONE;
	if (kci_thread_start(&first, probe_first, &p) < 0)
		probe_first(&p); /* the second must not be left waiting */
	else
		kci_thread_join(first);
	kci_thread_join(second);
	if (p.best == KC_NEVER || !atomic_load(&p.pinned))
		return BENCH_CLASS_NONE;
	if (p.best < SMT_BELOW)
		return BENCH_CLASS_SMT;
	return p.best < NEAR_BELOW ? BENCH_CLASS_NEAR : BENCH_CLASS_FAR;
}
