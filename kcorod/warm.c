/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that is kept: see warm.h. */
#include "kcorod/warm.h"

#include "kcorod/conn.h"
#include "kcorod/daemon.h"
#include "libkcoro-client/port/kcoro_port.h"

#define LEFT_BYTES (UINT64_C(1) << 20) /* so much less than there was is worth the while */
#define QUIET_NS KC_NS_PER_SEC
#define QUIET_TURNS 100u /* in QUIET_NS: fewer, and the daemon is quiet */

/* What a channel and a connection take beside elements and buffers, roughly. */
#define CHANNEL_BYTES 1024u
#define CONN_BYTES 2048u

static void on_timer(struct kcd_timer *timer);

void kcd_warm_init(struct kcd_warm *warm)
{
	*warm = (struct kcd_warm){ .timer = { .fn = on_timer } };
	kcd_list_init(&warm->conns);
}

void kcd_warm_take(struct kcd_warm *warm, struct kcd_conn *conn)
{
	kcd_list_remove(&conn->warm);
	warm->bytes -= conn->warm_bytes;
	conn->warm_bytes = 0;
}

void kcd_warm_put(struct kcd_daemon *d, struct kcd_conn *conn, size_t bytes)
{
	struct kcd_warm *warm = &d->warm;

	kcd_warm_take(warm, conn);
	if (bytes == 0)
		return;
	kcd_list_append(&warm->conns, &conn->warm);
	conn->warm_bytes = bytes;
	warm->bytes += bytes;
	while (warm->bytes > KCD_WARM_MAX) {
		struct kcd_conn *oldest = KCD_LIST_FIRST(&warm->conns, struct kcd_conn, warm);

		kcd_warm_take(warm, oldest);
		kcd_conn_release(oldest);
	}
}

static uint64_t in_use(const struct kcd_daemon *d)
{
	return d->bytes.used + d->buffers + d->registry.n * CHANNEL_BYTES +
	       d->n_conns * CONN_BYTES;
}

static void on_timer(struct kcd_timer *timer)
{
	struct kcd_daemon *d =
		KCD_CONTAINER(KCD_CONTAINER(timer, struct kcd_warm, timer), struct kcd_daemon, warm);

	/* Busy, and only traffic has gone: kcd_warm_look() asks again. What connections, sessions
	 * and channels leave behind goes back all the same, lest a crowd's memory stay for as
	 * long as somebody else has traffic. */
	d->warm.asked = !d->warm.ended && d->turns_had - d->warm.turns > QUIET_TURNS;
	if (d->warm.asked)
		return;
	d->warm.ended = false;
	while (!kcd_list_empty(&d->warm.conns)) {
		struct kcd_conn *conn = KCD_LIST_FIRST(&d->warm.conns, struct kcd_conn, warm);

		kcd_warm_take(&d->warm, conn);
		kcd_conn_release(conn);
	}
	kcd_pool_done(&d->requests);
	kcd_bufs_done(&d->bufs);
	kcp_buf_done(&d->scratch);
	kci_memory_trim();
	d->warm.most = in_use(d);
}

static void arm(struct kcd_daemon *d)
{
	if (kcd_timer_armed(&d->warm.timer))
		return;
	d->warm.turns = d->turns_had;
	(void)kcd_timer_arm(&d->timers, &d->warm.timer, d->timers.now_ns + QUIET_NS);
}

void kcd_warm_later(struct kcd_daemon *d)
{
	d->warm.ended = true;
	arm(d);
}

void kcd_warm_look(struct kcd_daemon *d)
{
	uint64_t now = in_use(d);

	d->turns_had++;
	if (now > d->warm.most)
		d->warm.most = now;
	if (d->warm.asked || d->warm.most - now >= LEFT_BYTES)
		arm(d);
}
