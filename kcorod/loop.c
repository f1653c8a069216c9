/* SPDX-License-Identifier: BSD-3-Clause */
/* The event loop: see loop.h. */
#include "kcorod/loop.h"

#include <event2/event.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

#define SIGNALS_MAX 4

struct signal_watch {
	struct kcd_loop *loop;
	struct event *event;
	void (*fn)(int signo, void *arg);
	void *arg;
};

struct kcd_loop {
	struct event_base *base;
	struct event *alarm;
	uint64_t alarm_ns; /* when the alarm is set for; UINT64_MAX: not set */
	struct kcd_timers *timers;
	bool (*turn)(void *arg);
	void *arg;
	struct signal_watch signals[SIGNALS_MAX];
	int n_signals;
	bool stop, more;
};

/* The alarm has nothing to do: that the wait ended is all it is for. */
static void on_alarm(evutil_socket_t fd, short what, void *arg)
{
	struct kcd_loop *loop = arg;

	(void)fd;
	(void)what;
	loop->alarm_ns = UINT64_MAX;
}

int kcd_loop_new(struct kcd_loop **ret, struct kcd_timers *timers, bool (*turn)(void *arg),
		 void *arg)
{
	const struct timeval far = { .tv_sec = 86400 };
	struct kcd_loop *loop = KC_CALLOC(1, sizeof(*loop));
	struct event_config *config = event_config_new();

	if (loop && config) {
		/* One thread: no locks. The environment shall not choose how we wait. */
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
		loop->base = event_base_new_with_config(config);
		if (loop->base)
			loop->alarm = evtimer_new(loop->base, on_alarm, loop);
	}
	if (config)
		event_config_free(config);
	/* Set once, the alarm has its memory: a turn cannot fail for want of it later. */
	if (!loop || !loop->alarm || event_add(loop->alarm, &far) < 0 ||
	    event_del(loop->alarm) < 0) {
		kcd_loop_free(loop);
		return KC_ENOMEM;
	}
	loop->alarm_ns = UINT64_MAX;
	loop->timers = timers;
	loop->turn = turn;
	loop->arg = arg;
	*ret = loop;
	return 0;
}

struct kcd_loop *kcd_loop_free(struct kcd_loop *loop)
{
	if (!loop)
		return NULL;
	for (int i = 0; i < loop->n_signals; i++)
		event_free(loop->signals[i].event);
	if (loop->alarm)
		event_free(loop->alarm);
	if (loop->base)
		event_base_free(loop->base);
	KC_FREE(loop);
	return NULL;
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct kcd_watch *watch = arg;

	(void)fd;
	/* Whoever arms a timer in a callback counts from now. */
	watch->loop->timers->now_ns = kci_clock_now();
	watch->fn(watch, what & EV_READ, what & EV_WRITE);
}

int kcd_watch_init(struct kcd_watch *watch, struct kcd_loop *loop, int fd,
		   void (*fn)(struct kcd_watch *watch, bool readable, bool writable))
{
	*watch = (struct kcd_watch){ .loop = loop, .fn = fn };
	watch->reading = event_new(loop->base, fd, EV_READ | EV_PERSIST, on_ready, watch);
	watch->writing = event_new(loop->base, fd, EV_WRITE | EV_PERSIST, on_ready, watch);
	if (watch->reading && watch->writing)
		return 0;
	kcd_watch_done(watch);
	return KC_ENOMEM;
}

void kcd_watch_done(struct kcd_watch *watch)
{
	if (watch->reading)
		event_free(watch->reading);
	if (watch->writing)
		event_free(watch->writing);
	*watch = (struct kcd_watch){ 0 };
}

static int set(struct event *event, bool *have, bool want)
{
	if (*have == want)
		return 0;
	if ((want ? event_add(event, NULL) : event_del(event)) < 0)
		return KC_ENOMEM;
	*have = want;
	return 0;
}

int kcd_watch_set(struct kcd_watch *watch, bool read, bool write)
{
	int r = set(watch->reading, &watch->want_read, read);

	return r < 0 ? r : set(watch->writing, &watch->want_write, write);
}

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct signal_watch *s = arg;

	(void)what;
	s->loop->timers->now_ns = kci_clock_now();
	s->fn((int)signo, s->arg);
}

int kcd_loop_signal(struct kcd_loop *loop, int signo, void (*fn)(int signo, void *arg), void *arg)
{
	struct signal_watch *s = &loop->signals[loop->n_signals];

	if (loop->n_signals == SIGNALS_MAX)
		return KC_ENOMEM;
	*s = (struct signal_watch){ .loop = loop, .fn = fn, .arg = arg };
	s->event = evsignal_new(loop->base, signo, on_signal, s);
	if (!s->event)
		return KC_ENOMEM;
	loop->n_signals++;
	return event_add(s->event, NULL) < 0 ? KC_ENOMEM : 0;
}

/* Let the wait end when the next timer is due. */
static int set_alarm(struct kcd_loop *loop)
{
	uint64_t next = kcd_timers_next(loop->timers), left;
	struct timeval tv;

	if (next == loop->alarm_ns)
		return 0;
	loop->alarm_ns = next;
	if (next == UINT64_MAX)
		return event_del(loop->alarm) < 0 ? KC_ENOMEM : 0;
	left = kci_deadline_left(next);
	/* Rounded up, lest the timer be looked at a moment too early and the loop spin; cut
	 * to a day, after which it is simply set again. */
	left = left / 1000 + 1;
	if (left > UINT64_C(86400000000)) {
		left = UINT64_C(86400000000);
		loop->alarm_ns = UINT64_MAX - 1;
	}
	tv.tv_sec = (time_t)(left / 1000000);
	tv.tv_usec = (suseconds_t)(left % 1000000);
	return event_add(loop->alarm, &tv) < 0 ? KC_ENOMEM : 0;
}

int kcd_loop_once(struct kcd_loop *loop, bool wait)
{
	if (set_alarm(loop) < 0 ||
	    event_base_loop(loop->base, EVLOOP_ONCE |
						(wait && !loop->more ? 0 : EVLOOP_NONBLOCK)) < 0)
		return KC_ENOMEM;
	loop->timers->now_ns = kci_clock_now();
	loop->more = loop->turn(loop->arg);
	return 0;
}

int kcd_loop_run(struct kcd_loop *loop)
{
	int r = 0;

	while (!loop->stop && r == 0)
		r = kcd_loop_once(loop, /* wait= */ true);
	return r;
}

void kcd_loop_stop(struct kcd_loop *loop)
{
	loop->stop = true;
}
