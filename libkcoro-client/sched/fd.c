/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiting for descriptors: epoll per scheduler, one registration per descriptor,
 * armed for one event at a time (EPOLLONESHOT) with what all who wait for it want.
 * A plain thread waits in ppoll().
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/sched/engine.h"

#define EVENTS	 ((short)(POLLIN | POLLOUT | POLLPRI | POLLRDHUP))
#define ALWAYS	 ((short)(POLLERR | POLLHUP))
#define PER_POLL 64

struct entry {
	struct kci_fd_wait *first;
	bool registered; /* as far as is known: closing a descriptor ends it */
};

struct kci_fds {
	int epoll;
	int bell;
	struct entry *entries; /* by descriptor */
	size_t n;
};

/* ---- the scheduler's side --------------------------------------------------- */

static int errno_code(int err)
{
	return err == ENOMEM || err == EMFILE || err == ENFILE || err == ENOSPC ? KC_ENOMEM
										: KC_EINVAL;
}

/* With the lock held. */
static int fds_open(struct kc_sched *s)
{
	struct kci_fds *fds = KC_CALLOC(1, sizeof(*fds));
	struct epoll_event ev = { .events = EPOLLIN, .data = { .fd = -1 } };

	if (!fds)
		return KC_ENOMEM;
	fds->epoll = epoll_create1(EPOLL_CLOEXEC);
	fds->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fds->epoll < 0 || fds->bell < 0 ||
	    epoll_ctl(fds->epoll, EPOLL_CTL_ADD, fds->bell, &ev) < 0) {
		int r = kci_fail(KC_ENOMEM, "no descriptors to wait with: %s", strerror(errno));

		if (fds->epoll >= 0)
			(void)close(fds->epoll);
		if (fds->bell >= 0)
			(void)close(fds->bell);
		KC_FREE(fds);
		return r;
	}
	s->fds = fds;
	return 0;
}

void kci_fds_done(struct kc_sched *s)
{
	struct kci_fds *fds = KC_STEAL(s->fds);

	if (!fds)
		return;
	(void)close(fds->epoll);
	(void)close(fds->bell);
	KC_FREE(fds->entries);
	KC_FREE(fds);
}

void kci_fds_ring(struct kc_sched *s)
{
	uint64_t one = 1;

	/* it is full only if it has been rung already */
	(void)!write(s->fds->bell, &one, sizeof(one));
}

/* Register what those who wait for fd want; 0 or an errno. With the lock held. */
static int arm(struct kci_fds *fds, int fd)
{
	struct entry *e = &fds->entries[fd];
	struct epoll_event ev = { .events = EPOLLONESHOT, .data = { .fd = fd } };
	int op = e->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (!e->first) {
		/* may fail: the descriptor may be closed */
		(void)epoll_ctl(fds->epoll, EPOLL_CTL_DEL, fd, NULL);
		e->registered = false;
		return 0;
	}
	for (struct kci_fd_wait *w = e->first; w; w = w->next)
		ev.events |= (uint32_t)(unsigned short)w->events;
	if (epoll_ctl(fds->epoll, op, fd, &ev) < 0) {
		/* the number was closed, or stands for something else since */
		if (errno == ENOENT)
			op = EPOLL_CTL_ADD;
		else if (errno == EEXIST)
			op = EPOLL_CTL_MOD;
		else
			return errno;
		if (epoll_ctl(fds->epoll, op, fd, &ev) < 0)
			return errno;
	}
	e->registered = true;
	return 0;
}

/* With the lock held. */
static int entry_make(struct kci_fds *fds, int fd)
{
	size_t n = fds->n ? fds->n : 64;
	struct entry *entries;

	if ((size_t)fd < fds->n)
		return 0;
	while (n <= (size_t)fd)
		n *= 2;
	entries = KC_REALLOC(fds->entries, n, sizeof(*entries));
	if (!entries)
		return KC_ENOMEM;
	memset(entries + fds->n, 0, (n - fds->n) * sizeof(*entries));
	fds->entries = entries;
	fds->n = n;
	return 0;
}

/* With the lock held. */
static void unlist(struct kc_sched *s, int fd, struct kci_fd_wait *wait)
{
	struct kci_fd_wait **at = &s->fds->entries[fd].first;

	while (*at != wait)
		at = &(*at)->next;
	*at = wait->next;
	atomic_fetch_sub_explicit(&s->n_fds, 1, memory_order_relaxed);
}

/* 0: it is on the list; > 0: those events are there already; < 0: a code. */
static int enlist(struct kc_sched *s, int fd, struct kci_fd_wait *wait)
{
	int r, err;

	r = s->fds ? 0 : fds_open(s);
	if (r == 0)
		r = entry_make(s->fds, fd);
	if (r < 0)
		return r;
	wait->next = s->fds->entries[fd].first;
	s->fds->entries[fd].first = wait;
	/* whoever sees it sees s->fds */
	atomic_fetch_add_explicit(&s->n_fds, 1, memory_order_release);
	err = arm(s->fds, fd);
	if (err == 0)
		return 0;
	unlist(s, fd, wait);
	if (err == EPERM)
		/* a file or a folder: always ready, as for poll() */
		return wait->events & (POLLIN | POLLOUT);
	return kci_fail(errno_code(err), "descriptor %d: %s", fd, strerror(err));
}

/* fd has had its event: wake who wants it. With the lock held. */
static void fire(struct kc_sched *s, int fd, short came)
{
	struct kci_fd_wait **at = &s->fds->entries[fd].first;

	while (*at) {
		struct kci_fd_wait *wait = *at;
		short mine = came & (wait->events | ALWAYS);

		if (!mine) {
			at = &wait->next;
			continue;
		}
		*at = wait->next;
		atomic_fetch_sub_explicit(&s->n_fds, 1, memory_order_relaxed);
		wait->came = mine;
		/* with the lock held, which its owner takes before it leaves */
		kci_waiter_stir(wait->waiter);
	}
	if (s->fds->entries[fd].first)
		(void)arm(s->fds, fd);
}

static int epoll_until(int epoll, struct epoll_event *events, uint64_t deadline)
{
#ifdef HAVE_EPOLL_PWAIT2
	uint64_t left = kci_deadline_left(deadline);
	struct timespec ts = { .tv_sec = (time_t)(left / KC_NS_PER_SEC),
			       .tv_nsec = (long)(left % KC_NS_PER_SEC) };
	int n = epoll_pwait2(epoll, events, PER_POLL, deadline == KC_NEVER ? NULL : &ts, NULL);

	if (n >= 0 || errno != ENOSYS)
		return n;
#endif
	return epoll_wait(epoll, events, PER_POLL, kci_deadline_poll_ms(deadline));
}

bool kci_fds_poll(struct kc_sched *s, uint64_t deadline)
{
	struct epoll_event events[PER_POLL];
	int saved = kci_thread_nocancel();
	int n = epoll_until(s->fds->epoll, events, deadline);
	bool silenced = false;
	uint64_t rung;

	kci_thread_nocancel_end(saved);
	if (n <= 0)
		return false;
	KC_MUTEX_LOCK(&s->fds_lock);
	for (int i = 0; i < n; i++) {
		if (events[i].data.fd >= 0)
			fire(s, events[i].data.fd, (short)events[i].events);
		else if (deadline > 0) /* else it is for somebody who sleeps */
			silenced = read(s->fds->bell, &rung, sizeof(rung)) > 0;
	}
	KC_MUTEX_UNLOCK(&s->fds_lock);
	return silenced;
}

kc_coro_t *kci_coro_polling(void)
{
	struct kc_coro *co = kci_coro_current();

	return co && !co->sched->deterministic ? co : NULL;
}

/* Those that are on their lists yet. With the lock held. */
static void unlist_all(struct kc_sched *s, struct kci_fd_wait *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (fds[i].came)
			continue;
		unlist(s, fds[i].fd, &fds[i]);
		(void)arm(s->fds, fds[i].fd);
	}
}

int kci_coro_wait_fds(struct kci_waiter *w, struct kci_fd_wait *fds, size_t n, uint64_t deadline,
		      kc_cancel_t *token)
{
	struct kc_sched *s = w->coro->sched;
	bool there = false;
	int r = 0;

	KC_MUTEX_LOCK(&s->fds_lock);
	for (size_t i = 0; i < n && r >= 0; i++) {
		fds[i].came = 0;
		fds[i].waiter = w;
		r = enlist(s, fds[i].fd, &fds[i]);
		if (r > 0) {
			fds[i].came = (short)r;
			there = true;
		} else if (r < 0) {
			unlist_all(s, fds, i);
		}
	}
	KC_MUTEX_UNLOCK(&s->fds_lock);
	if (r < 0)
		return r;
	r = 0;
	if (!there) {
		kci_notify_fd(s);
		r = kci_waiter_park(w, deadline, token);
	}
	/* the lock also if all came: whoever found one of these waits is done with it then */
	KC_MUTEX_LOCK(&s->fds_lock);
	unlist_all(s, fds, n);
	KC_MUTEX_UNLOCK(&s->fds_lock);
	for (size_t i = 0; i < n; i++)
		if (fds[i].came)
			return 0;
	return r;
}

static int coro_wait(struct kc_sched *s, int fd, short events, uint64_t deadline,
		     kc_cancel_t *token)
{
	struct kci_fd_wait wait = { .fd = fd, .events = events };
	struct kci_waiter waiter;
	int r;

	if (s->deterministic)
		return kci_fail(KC_ENOTSUP, "descriptors are not deterministic");
	kci_waiter_init(&waiter);
	r = kci_coro_wait_fds(&waiter, &wait, 1, deadline, token);
	return r == 0 ? wait.came : r;
}

/* ---- a plain thread --------------------------------------------------------- */

struct thread_hook {
	struct kci_cancel_hook hook;
	int bell;
};

static void on_cancel(struct kci_cancel_hook *hook)
{
	uint64_t one = 1;

	(void)!write(KC_CONTAINER_OF(hook, struct thread_hook, hook)->bell, &one, sizeof(one));
}

/* Events, 0 at the deadline, or a code. */
static int thread_poll(struct pollfd p[2], uint64_t deadline)
{
	int saved = kci_thread_nocancel();
	int n;

	do {
		uint64_t left = kci_deadline_left(deadline);
		struct timespec ts = { .tv_sec = (time_t)(left / KC_NS_PER_SEC),
				       .tv_nsec = (long)(left % KC_NS_PER_SEC) };

		n = ppoll(p, 2, deadline == KC_NEVER ? NULL : &ts, NULL);
	} while (n < 0 && errno == EINTR);
	kci_thread_nocancel_end(saved);
	if (n < 0)
		return kci_fail(errno_code(errno), "descriptor %d: %s", p[0].fd, strerror(errno));
	if (p[0].revents & POLLNVAL)
		return kci_fail(KC_EINVAL, "descriptor %d is not open", p[0].fd);
	return p[0].revents;
}

static int thread_wait(int fd, short events, uint64_t deadline, kc_cancel_t *token)
{
	struct pollfd p[2] = { { .fd = fd, .events = events }, { .fd = -1, .events = POLLIN } };
	struct thread_hook h = { .bell = -1 };
	int r;

	if (token) {
		h.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (h.bell < 0)
			return kci_fail(KC_ENOMEM, "no descriptor to be cancelled by: %s",
					strerror(errno));
		p[1].fd = h.bell;
		if (!kci_cancel_hook_add(token, &h.hook, on_cancel))
			deadline = 0;
	}
	r = thread_poll(p, deadline);
	if (token) {
		kci_cancel_hook_remove(token, &h.hook);
		(void)close(h.bell);
		if (r == 0)
			r = kci_cancel_check(token);
	}
	return r;
}

/* ---- the call --------------------------------------------------------------- */

static int wait_fd(int fd, short events, long timeout_ms, kc_cancel_t *token)
{
	struct kc_coro *co = kci_coro_current();
	int r = kci_cancel_check(token);

	if (r < 0)
		return r;
	if (fd < 0)
		return kci_fail(KC_EINVAL, "descriptor %d", fd);
	if (events == 0 || (events & ~EVENTS))
		return kci_fail(KC_EINVAL, "events 0x%hx: none, or unknown ones", events);
	if (timeout_ms == 0) {
		r = co && co->sched->deterministic
			    ? kci_fail(KC_ENOTSUP, "descriptors are not deterministic")
			    : thread_wait(fd, events, 0, NULL);
		return r == 0 ? KC_EAGAIN : r;
	}
	if (co)
		return coro_wait(co->sched, fd, events, kci_deadline_from_ms(timeout_ms), token);
	r = thread_wait(fd, events, kci_deadline_from_ms(timeout_ms), token);
	return r == 0 ? KC_ETIME : r;
}

int kc_wait_fd_c(int fd, short events, long timeout_ms, kc_cancel_t *token)
{
	return (int)kci_result(wait_fd(fd, events, timeout_ms, token));
}

int kc_wait_fd(int fd, short events, long timeout_ms)
{
	return kc_wait_fd_c(fd, events, timeout_ms, NULL);
}
