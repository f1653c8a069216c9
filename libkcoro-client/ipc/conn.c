/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connection object: its life, and waiting on it.
 */
#include "libkcoro-client/ipc/conn.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/cancel.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/core/park.h"
#include "libkcoro-client/ipc/bell.h"
#include "libkcoro-client/ipc/call.h"
#include "libkcoro-client/ipc/chan-socket.h"
#include "libkcoro-client/ipc/debug.h"
#include "libkcoro-client/ipc/window.h"

int kci_conn_new(kc_ipc_conn_t **ret)
{
	kc_ipc_conn_t *conn = KC_CALLOC(1, sizeof(*conn));

	if (!conn)
		return KC_ENOMEM;
	conn->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (conn->wake_fd < 0) {
		KC_FREE(conn);
		return kci_fail(KC_ENOMEM, "no descriptor is left for an eventfd");
	}
	conn->process = kci_process_id();
	atomic_init(&conn->refs, 1);
	KC_MUTEX_INIT(&conn->lock);
	conn->resume.watch_fd = -1;
	kcp_stream_init(&conn->stream, -1, KCI_FRAME_MAX, KCI_OUT_MAX);
	kci_list_init(&conn->waiting);
	kci_list_init(&conn->outbox);
	kci_list_init(&conn->sent);
	kci_list_init(&conn->recalls);
	kci_list_init(&conn->fd_waiting);
	for (size_t i = 0; i < KCI_CONN_BUCKETS; i++) {
		kci_list_init(&conn->by_id[i]);
		kci_list_init(&conn->chans[i]);
	}
	*ret = conn;
	return 0;
}

void kci_conn_ref(kc_ipc_conn_t *conn)
{
	atomic_fetch_add_explicit(&conn->refs, 1, memory_order_relaxed);
}

void kci_conn_unref(kc_ipc_conn_t *conn)
{
	if (atomic_fetch_sub_explicit(&conn->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (conn->stream.fd >= 0)
		(void)close(conn->stream.fd);
	kci_resume_done(conn);
	kcp_stream_done(&conn->stream);
	kci_frames_done(&conn->frames);
	kci_page_done(conn);
	(void)close(conn->wake_fd);
	KC_MUTEX_DESTROY(&conn->lock);
	KC_FREE(conn);
}

int kci_conn_enter(kc_ipc_conn_t *conn)
{
	if (!conn)
		return KC_EINVAL;
	if (conn->process != kci_process_id())
		return KC_EFORKED;
	kci_conn_ref(conn);
	return 0;
}

void kci_conn_leave(kc_ipc_conn_t *conn)
{
	int saved = kci_thread_nocancel();

	kci_conn_unref(conn);
	kci_thread_nocancel_end(saved);
}

int kci_conn_lock(kc_ipc_conn_t *conn)
{
	int saved = kci_thread_nocancel();

	KC_MUTEX_LOCK(&conn->lock);
	return saved;
}

void kci_conn_unlock(kc_ipc_conn_t *conn, int saved)
{
	KC_MUTEX_UNLOCK(&conn->lock);
	kci_thread_nocancel_end(saved);
}

/* Who waits for its turn with calls whose reply has a descriptor. */
struct fd_turn {
	struct kci_list link; /* on conn->fd_waiting */
	struct kci_waiter waiter;
};

int kci_conn_lock_fd(kc_ipc_conn_t *conn)
{
	int saved = kci_conn_lock(conn);
	struct fd_turn turn;

	if (!conn->fd_busy) {
		conn->fd_busy = true;
		return saved;
	}
	kci_waiter_init(&turn.waiter);
	kci_list_append(&conn->fd_waiting, &turn.link);
	KC_MUTEX_UNLOCK(&conn->lock);
	/* certain to come: the call before ends at the latest with the connection */
	kci_waiter_await(&turn.waiter);
	KC_MUTEX_LOCK(&conn->lock);
	return saved;
}

void kci_conn_unlock_fd(kc_ipc_conn_t *conn, int saved)
{
	struct fd_turn *next = KCI_LIST_FIRST(&conn->fd_waiting, struct fd_turn, link);

	/* handed over: it stays busy */
	conn->fd_busy = next != NULL;
	if (next) {
		kci_list_remove(&next->link);
		kci_waiter_unpark(&next->waiter);
	}
	kci_conn_unlock(conn, saved);
}

int kci_conn_dead(const kc_ipc_conn_t *conn)
{
	return kci_fail(conn->dead_code, "%s", conn->dead_detail);
}

static void fail_requests(kc_ipc_conn_t *conn, struct kci_list *requests)
{
	struct kci_request *request;

	/* each takes itself off */
	while ((request = KCI_LIST_FIRST(requests, struct kci_request, link))) {
		if (request->windowed)
			kci_windowed_fail(request->windowed, conn->dead_code);
		else
			kci_call_fail(request->call, conn->dead_code, conn->dead_detail);
	}
}

void kci_conn_end(kc_ipc_conn_t *conn, int code, const char *words)
{
	if (conn->state == KCI_DEAD)
		return;
	conn->state = KCI_DEAD;
	conn->dead_code = code;
	(void)snprintf(conn->dead_detail, sizeof(conn->dead_detail), "%s", words);
	KCI_DEBUG("connection ended: %s: %s", kc_error_name(code), conn->dead_detail);
	/* their elements are not there any more when disconnecting says BYE behind them */
	kcp_stream_keep_lent(&conn->stream);
	fail_requests(conn, &conn->outbox);
	fail_requests(conn, &conn->sent);
	kci_schans_hang_up(conn);
	for (struct kci_list *l = conn->waiting.next; l != &conn->waiting; l = l->next)
		kci_wait_ready(KC_CONTAINER_OF(l, struct kci_wait, link));
	kci_conn_wake(conn);
}

void kci_conn_fail(kc_ipc_conn_t *conn, int code, const char *fmt, ...)
{
	char words[sizeof(conn->dead_detail)];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	kci_conn_end(conn, code, words);
	/* the descriptor is the reader's, who may be waiting for it */
	if (conn->stream.fd >= 0)
		(void)shutdown(conn->stream.fd, SHUT_RDWR);
}

void kci_conn_break(kc_ipc_conn_t *conn, const char *why)
{
	if (conn->state != KCI_LIVE)
		return;
	KCI_DEBUG("connection broke: %s", why);
	conn->state = KCI_BROKEN;
	conn->resume.at = KCI_RESUME_CLOSE;
	conn->grace_until = kci_clock_now() + conn->hello.grace_ms * KC_NS_PER_MS;
	kci_conn_wake(conn);
}

/* ---- waiting --------------------------------------------------------------- */

void kci_wait_init(struct kci_wait *wait)
{
	memset(wait, 0, sizeof(*wait));
	kci_list_init(&wait->link);
	wait->waiter = &wait->own;
	wait->deadline = KC_NEVER;
}

static void wake(struct kci_wait *wait)
{
	if (!wait->parked)
		return;
	/* with the lock held: who is woken needs it before it can leave */
	wait->parked = false;
	kci_waiter_stir(wait->waiter);
}

void kci_wait_ready(struct kci_wait *wait)
{
	wait->ready = true;
	wake(wait);
}

/* Nobody reads any more: wake one who will. */
void kci_conn_pass_on(kc_ipc_conn_t *conn)
{
	for (struct kci_list *l = conn->waiting.next; l != &conn->waiting; l = l->next) {
		struct kci_wait *wait = KC_CONTAINER_OF(l, struct kci_wait, link);

		if (wait->parked) {
			wake(wait);
			return;
		}
	}
}

static int park(kc_ipc_conn_t *conn, struct kci_wait *wait, kc_cancel_t *token)
{
	int r;

	kci_waiter_init(&wait->own);
	wait->parked = true;
	/* what the thread was told belongs to others once this one is off it */
	if (wait->own.coro)
		kci_detail_clear();
	KC_MUTEX_UNLOCK(&conn->lock);
	r = kci_waiter_park(&wait->own, wait->deadline, token);
	KC_MUTEX_LOCK(&conn->lock);
	wait->parked = false;
	return r;
}

/* Gets a thread that reads and whose own token is set out of its poll(). */
struct reader_hook {
	struct kci_cancel_hook hook;
	kc_ipc_conn_t *conn;
};

static void on_cancel(struct kci_cancel_hook *hook)
{
	kci_conn_ring(KC_CONTAINER_OF(hook, struct reader_hook, hook)->conn);
}

static int read_for_all(kc_ipc_conn_t *conn, struct kci_wait *wait, kc_cancel_t *token)
{
	struct reader_hook hook = { .conn = conn };
	bool hooked = token && !kci_coro_polling();
	int r = 0;

	conn->reading = true;
	if (hooked)
		(void)kci_cancel_hook_add(token, &hook.hook, on_cancel);
	while (!wait->ready && r == 0) {
		r = kci_cancel_check(token);
		if (r == 0)
			kci_conn_turn(conn, wait, token);
		if (!wait->ready && kci_deadline_left(wait->deadline) == 0)
			r = KC_ETIME;
	}
	if (hooked)
		kci_cancel_hook_remove(token, &hook.hook);
	conn->reading = false;
	return r;
}

int kci_conn_wait(kc_ipc_conn_t *conn, struct kci_wait *wait, kc_cancel_t *token)
{
	int r = 0;

	kci_list_append(&conn->waiting, &wait->link);
	while (!wait->ready && r == 0)
		r = conn->reading ? park(conn, wait, token) : read_for_all(conn, wait, token);
	kci_list_remove(&wait->link);
	if (!conn->reading)
		kci_conn_pass_on(conn);
	return wait->ready ? 0 : r;
}

int kci_conn_drain(kc_ipc_conn_t *conn, kc_cancel_t *token)
{
	struct kci_wait wait;
	int r;

	kci_conn_pump(conn);
	if (conn->state == KCI_LIVE && kcp_stream_pending(&conn->stream) == 0)
		return 0;
	if (conn->state == KCI_DEAD)
		return kci_conn_dead(conn);
	kci_wait_init(&wait);
	wait.drain = true;
	r = kci_conn_wait(conn, &wait, token);
	if (r == 0 && conn->state == KCI_DEAD)
		r = kci_conn_dead(conn);
	return r;
}

void kci_conn_take_over(kc_ipc_conn_t *conn)
{
	struct kci_wait wait;

	kci_wait_init(&wait);
	kci_list_append(&conn->waiting, &wait.link);
	while (conn->reading)
		(void)park(conn, &wait, NULL);
	kci_list_remove(&wait.link);
	conn->reading = true;
}

void kci_conn_hand_over(kc_ipc_conn_t *conn)
{
	conn->reading = false;
	kci_conn_pass_on(conn);
}
