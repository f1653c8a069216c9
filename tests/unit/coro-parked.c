/* SPDX-License-Identifier: BSD-3-Clause */
/* For gdb.sh: three coroutines in known places, and a function to stop in. */
#include "kcoro.h"
#include "tests/lib/kct.h"

static kc_chan_t *ch;

void everybody_is_parked(void);
void __attribute__((noinline)) everybody_is_parked(void)
{
	__asm__ volatile("");
}

static long __attribute__((noinline)) deeper(int n)
{
	uint64_t v;

	if (n > 0)
		return deeper(n - 1) + 1;
	return kc_chan_recv(ch, &v, -1);
}

static long wait_deep(void *arg)
{
	kc_coro_set_name(arg);
	return deeper(3);
}

static long nothing(void *arg)
{
	(void)arg;
	return 0;
}

int main(void)
{
	static char first[] = "first", second[] = "second", third[] = "third";
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_coro_t *last;
	kc_sched_t *s;
	void *state;

	o.workers = 1;
	if (kct_setup(&state) != 0 || kc_sched_create(&s, &o) < 0 ||
	    kc_chan_make(&ch, KC_RENDEZVOUS, 8, 0) < 0)
		return 1;
	if (kc_spawn(NULL, s, wait_deep, first) < 0 || kc_spawn(NULL, s, wait_deep, second) < 0 ||
	    kc_spawn(NULL, s, wait_deep, third) < 0)
		return 1;
	/* first in, first out, on one worker: once it has run, they are all off their stacks */
	if (kc_spawn(&last, s, nothing, NULL) < 0 || kc_join(last, NULL, KCT_PATIENCE_MS) < 0)
		return 1;
	everybody_is_parked();
	kc_chan_close(ch);
	if (kc_sched_drain(s, KCT_PATIENCE_MS) < 0)
		return 1;
	kc_chan_destroy(ch);
	return kc_sched_destroy(s) < 0;
}
