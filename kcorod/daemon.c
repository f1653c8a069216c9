/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon as one object: see daemon.h. */
#include "kcorod/daemon.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "kcorod/conn.h"
#include "kcorod/request.h"
#include "kcorod/sd.h"
#include "kcorod/session.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

#define REQUESTS_KEPT 4096u /* free records in the pool */
#define SCRATCH_MIN 4096u   /* more than any reply but lists */
/* In a turn, when only one user has had something to do for a while. */
#define TURN_WORK (UINT64_C(128) * KCD_QUANTUM)
#define FDS_EXTRA 64u       /* descriptors that are no connection's */

/* ---- the turn --------------------------------------------------------------- */

/* What clients have written is read now where promises were withdrawn. Reading may withdraw
 * others; how often, is bounded for one turn. */
static void drain(struct kcd_daemon *d)
{
	for (uint64_t most = d->n_conns + 1; most > 0 && !kcd_list_empty(&d->drains); most--) {
		struct kcd_attachment *att =
			KCD_LIST_FIRST(&d->drains, struct kcd_attachment, drain);
		struct kcd_conn *conn = att->session->conn;

		if (conn && conn->drained < att->drain_from) {
			/* may end the session, and the attachment with it */
			kcd_conn_drain(conn, d->drain_moment);
			continue;
		}
		kcd_list_remove(&att->drain);
		kcd_attach_drained(&att->attach);
	}
}

static void flush(struct kcd_daemon *d)
{
	struct kcd_list dirty;

	/* Only those of now: what a flush sets going is the next turn's. */
	kcd_list_init(&dirty);
	while (!kcd_list_empty(&d->dirty)) {
		struct kcd_list *link = d->dirty.next;

		kcd_list_remove(link);
		kcd_list_append(&dirty, link);
	}
	while (!kcd_list_empty(&dirty)) {
		struct kcd_conn *conn = KCD_LIST_FIRST(&dirty, struct kcd_conn, dirty);

		kcd_list_remove(&conn->dirty);
		if (kcd_conn_hold(conn)) {
			kcd_list_append(&d->dirty, &conn->dirty);
			continue;
		}
		d->turns.now = &conn->user->share;
		kcd_conn_flush(conn);
		d->turns.now = NULL;
	}
}

static bool turn(void *arg)
{
	struct kcd_daemon *d = arg;

	d->turns.work = 0;
	while (kcd_turns_round(&d->turns) == 1 && kcd_turns_lone(&d->turns) &&
	       d->turns.work < TURN_WORK)
		;
	drain(d);
	/* After the frames: what can complete completes, even at its deadline. */
	kcd_timers_run(&d->timers, d->timers.now_ns);
	flush(d);
	kcd_reap(&d->graves);
	kcd_warm_look(d);
	if (d->stopping && kcd_list_empty(&d->conns))
		kcd_loop_stop(d->loop);
	return kcd_turns_busy(&d->turns) || !kcd_list_empty(&d->dirty) ||
	       !kcd_list_empty(&d->drains);
}

int kcd_daemon_turn(struct kcd_daemon *d, bool wait)
{
	return kcd_loop_once(d->loop, wait);
}

/* ---- signals and the watchdog ----------------------------------------------- */

static void on_stop(int signo, void *arg)
{
	kcd_log(KCD_LOG_NOTICE, NULL, "stopping on %s", signo == SIGTERM ? "SIGTERM" : "SIGINT");
	kcd_daemon_stop(arg);
}

/* A terminal that closed, or a wish to have the configuration read again: neither is an end. */
static void on_hangup(int signo, void *arg)
{
	(void)signo;
	(void)arg;
	kcd_log(KCD_LOG_NOTICE, NULL,
		"SIGHUP changes nothing: the configuration is read at the start only");
}

static void on_dump(int signo, void *arg)
{
	(void)signo;
	kcd_daemon_dump(arg);
}

static void on_watchdog(struct kcd_timer *timer)
{
	struct kcd_daemon *d = KCD_CONTAINER(timer, struct kcd_daemon, watchdog);

	kcd_sd_watchdog_ping();
	(void)kcd_timer_arm(&d->timers, timer, d->timers.now_ns + d->watchdog_ns);
}

/* ---- life ------------------------------------------------------------------- */

void kcd_daemon_stop(struct kcd_daemon *d)
{
	struct kcd_conn *conn, *safe;

	if (d->stopping)
		return;
	d->stopping = true;
	kcd_sd_stopping();
	kcd_listener_done(&d->listener);
	KCD_LIST_EACH (conn, safe, &d->conns, struct kcd_conn, link) {
		struct kcd_session *session = conn->session;

		kcd_conn_linger(conn);
		if (session)
			kcd_session_end(session, /* died= */ false);
	}
}

/* A connection costs up to three descriptors: its socket, its process, and the page its
 * session shares with it. Those kept to wake clients come on top. */
static void raise_descriptors(struct kcd_daemon *d)
{
	struct rlimit limit;
	uint64_t need = d->config.connections * 3 + d->config.descriptors + FDS_EXTRA;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_cur < need) {
		limit.rlim_cur = limit.rlim_max < need ? limit.rlim_max : need;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur < need)
		kcd_log(KCD_LOG_WARNING, NULL,
			"limits.connections and limits.descriptors need %" PRIu64
			" descriptors, but only %" PRIu64 " are allowed (RLIMIT_NOFILE)",
			need, (uint64_t)limit.rlim_cur);
}

int kcd_daemon_new(const struct kcd_config *config, struct kcd_daemon **ret)
{
	struct kcd_daemon *d = KC_CALLOC(1, sizeof(*d));
	int r;

	if (!d)
		return KC_ENOMEM;
	d->config = *config;
	d->max_frame = (uint32_t)config->message + KCP_FRAME_EXTRA;
	d->bytes = (struct kcd_budget){ .max = config->bytes, .name = "limits.bytes" };
	d->started_ns = kci_clock_now();
	kcd_timers_init(&d->timers);
	d->timers.now_ns = d->started_ns;
	kcd_users_init(&d->users, &d->config);
	kcd_map_init(&d->sessions);
	kcd_list_init(&d->conns);
	kcd_turns_init(&d->turns, kcd_conn_serve);
	kcd_list_init(&d->dirty);
	kcd_list_init(&d->drains);
	kcd_list_init(&d->graves);
	kcd_pool_init(&d->requests, sizeof(struct kcd_request), REQUESTS_KEPT);
	kcd_bufs_init(&d->bufs);
	kcd_warm_init(&d->warm);
	kcp_buf_init(&d->scratch, (size_t)d->max_frame + KCP_FRAME_EXTRA);
	kcd_listener_init(&d->listener, d);
	r = kcd_registry_init(&d->registry);
	/* There is always room to say that there is no memory. */
	if (r == 0 && !kcp_buf_reserve(&d->scratch, SCRATCH_MIN))
		r = KC_ENOMEM;
	if (r == 0)
		r = kcd_loop_new(&d->loop, &d->timers, turn, d);
	if (r < 0) {
		kcd_daemon_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

struct kcd_daemon *kcd_daemon_free(struct kcd_daemon *d)
{
	if (!d)
		return NULL;
	kcd_listener_done(&d->listener);
	while (d->sessions.n > 0)
		kcd_session_end(KCD_CONTAINER(kcd_map_any(&d->sessions), struct kcd_session, node),
				/* died= */ false);
	while (!kcd_list_empty(&d->conns))
		kcd_conn_close(KCD_LIST_FIRST(&d->conns, struct kcd_conn, link));
	kcd_reap(&d->graves);
	for (size_t i = 0; i < d->registry.n_slots; i++)
		if (d->registry.slots[i]) {
			d->registry.slots[i]->owner->channels--;
			kcd_registry_free(&d->registry, d->registry.slots[i]);
		}
	kcd_registry_done(&d->registry);
	kcd_users_done(&d->users);
	kcd_map_done(&d->sessions);
	kcd_pool_done(&d->requests);
	kcd_bufs_done(&d->bufs);
	kcp_buf_done(&d->scratch);
	kcd_timers_done(&d->timers);
	kcd_loop_free(d->loop);
	KC_FREE(d);
	return NULL;
}

int kcd_daemon_run(struct kcd_daemon *d)
{
	int r = kcd_loop_signal(d->loop, SIGTERM, on_stop, d);

	if (r == 0)
		r = kcd_loop_signal(d->loop, SIGINT, on_stop, d);
	if (r == 0)
		r = kcd_loop_signal(d->loop, SIGHUP, on_hangup, d);
	if (r == 0)
		r = kcd_loop_signal(d->loop, SIGUSR1, on_dump, d);
	if (r < 0)
		return r;
	raise_descriptors(d);
	d->watchdog_ns = kcd_sd_watchdog_ns();
	d->watchdog.fn = on_watchdog;
	if (d->watchdog_ns > 0)
		r = kcd_timer_arm(&d->timers, &d->watchdog, d->timers.now_ns + d->watchdog_ns);
	if (r == 0) {
		kcd_sd_ready("serving");
		r = kcd_loop_run(d->loop);
	}
	return r;
}

/* ---- channels that are gone, and sums --------------------------------------- */

static void add(struct kcd_totals *sum, const struct kcd_channel *ch)
{
	struct kc_ledger l;

	kcd_channel_ledger(ch, &l);
	sum->ledger.sent += l.sent;
	sum->ledger.received += l.received;
	sum->ledger.queued += l.queued;
	sum->ledger.leased += l.leased;
	sum->ledger.conflated += l.conflated;
	sum->ledger.dropped_oldest += l.dropped_oldest;
	sum->ledger.dropped_newest += l.dropped_newest;
	sum->ledger.dropped_purged += l.dropped_purged;
	sum->ledger.dropped_destroyed += l.dropped_destroyed;
	sum->ledger.expired += l.expired;
	sum->ledger.lost_consumer += l.lost_consumer;
	sum->ledger.lost_daemon += l.lost_daemon;
	sum->bytes_sent += ch->bytes_sent;
	sum->bytes_received += ch->bytes_received;
	sum->redelivered += ch->redelivered;
}

void kcd_daemon_totals(const struct kcd_daemon *d, struct kcd_totals *ret)
{
	*ret = d->gone;
	for (size_t i = 0; i < d->registry.n_slots; i++)
		if (d->registry.slots[i]) {
			kcd_channel_sync(d->registry.slots[i]->channel);
			add(ret, d->registry.slots[i]->channel);
		}
}

static void channel_bury(struct kcd_corpse *corpse)
{
	struct kcd_entry *entry = KCD_CONTAINER(corpse, struct kcd_entry, corpse);
	struct kcd_daemon *d =
		KCD_CONTAINER(entry->channel->elements.budgets[0], struct kcd_daemon, bytes);

	add(&d->gone, entry->channel);
	entry->owner->channels--;
	kcd_registry_free(&d->registry, entry);
	kcd_warm_later(d);
}

void kcd_daemon_channel_gone(struct kcd_daemon *d, struct kcd_channel *ch)
{
	kcd_reap_later(&d->graves, &kcd_registry_entry(&d->registry, ch)->corpse, channel_bury);
}

void kcd_daemon_dump(struct kcd_daemon *d)
{
	static const char *const kinds[] = { "rendezvous", "buffered", "conflated", "unlimited" };
	struct kcd_totals t;

	kcd_daemon_totals(d, &t);
	kcd_log(KCD_LOG_NOTICE, NULL,
		"state: %" PRIu64 " connections, %zu sessions, %zu channels, %zu timers, %" PRIu64
		" bytes held, %" PRIu64 " frames in, %" PRIu64 " out, %" PRIu64 " resumes",
		d->n_conns, d->sessions.n, d->registry.n, d->timers.n, d->bytes.used,
		d->frames_in, d->frames_out, d->resumes);
	kcd_log(KCD_LOG_NOTICE, NULL,
		"state: elements: %" PRIu64 " sent, %" PRIu64 " received, %" PRIu64
		" queued, %" PRIu64 " leased",
		t.ledger.sent, t.ledger.received, t.ledger.queued, t.ledger.leased);
	for (size_t i = 0; i < d->registry.n_slots; i++) {
		const struct kcd_channel *ch;
		struct kcd_log_about about = { 0 };

		if (!d->registry.slots[i])
			continue;
		ch = d->registry.slots[i]->channel;
		about.channel = ch->name;
		kcd_log(KCD_LOG_NOTICE, &about,
			"state: @%" PRIx64 " %s%s%s, %" PRIu64 " elements, %u senders (%u wait), %u "
			"receivers (%u wait)",
			ch->id, kinds[ch->opts.kind], ch->closed ? ", closed" : "",
			ch->destroyed ? ", destroyed" : "", kcd_channel_len(ch), ch->n_senders,
			ch->n_senders_waiting, ch->n_receivers, ch->n_receivers_waiting);
	}
}
