/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A select while a connection is cut, or kcorod is stopped or dead: its other clauses, its
 * timeout and its token are as prompt as ever, and nothing is lost once kcorod is back.
 */
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/integration/ipc-relay.h"
#include "tests/lib/both.h"
#include "tests/lib/kcorod.h"
#include "tests/lib/local.h"

/* A grace that outlasts every patience: what waits for its end fails. */
#define LONG_GRACE "{ \"session\": { \"grace_ms\": 600000 } }"

enum { REMOTE, LOCAL, TICK, CLAUSES };

static kc_chan_t *remote_make(kc_ipc_conn_t *conn, const char *name, enum kc_kind kind,
			      size_t capacity)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	kc_chan_t *ch;

	o.kind = kind;
	o.elem_size = sizeof(uint32_t);
	o.capacity = capacity;
	assert_int_equal(kc_ipc_chan_make(conn, name, &o, NULL, &ch), 0);
	return ch;
}

/* kcorod is away while these are called. */
struct away {
	kc_chan_t *remote, *local;
	kc_cancel_t *token;
};

#define TURNS 100u /* of more than a select leaves unanswered */

static long timers_go_on(void *arg)
{
	struct away *a = arg;
	uint32_t in, out = 7;
	struct kc_clause clauses[CLAUSES] = {
		[LOCAL] = kc_clause_recv(a->local, &in),
		[TICK] = kc_clause_tick(1),
	};

	for (unsigned i = 0; i < TURNS; i++) {
		clauses[REMOTE] = i % 2 ? kc_clause_recv(a->remote, &in)
					: kc_clause_send(a->remote, &out);
		if (kc_select(clauses, CLAUSES, 0, KCT_PATIENCE_MS, NULL) != TICK ||
		    clauses[TICK].result != 0)
			return __LINE__;
	}
	clauses[TICK].kind = KC_CLAUSE_OFF;
	return kc_select(clauses, CLAUSES, 0, KCT_SHORT_MS, NULL) == KC_ETIME ? 0 : __LINE__;
}

/* The other one waits for each to be taken. */
static long take_two_and_be_cancelled(void *arg)
{
	struct away *a = arg;
	uint32_t in;
	struct kc_clause clauses[] = {
		[REMOTE] = kc_clause_recv(a->remote, &in),
		[LOCAL] = kc_clause_recv(a->local, &in),
	};

	for (uint32_t i = 0; i < 2; i++)
		if (kc_select(clauses, 2, 0, KCT_PATIENCE_MS, NULL) != LOCAL || in != i)
			return __LINE__;
	return kc_select(clauses, 2, 0, KCT_PATIENCE_MS, a->token) == KC_ECANCELED ? 0 : __LINE__;
}

static long send_two_and_cancel(void *arg)
{
	struct away *a = arg;

	for (uint32_t i = 0; i < 2; i++)
		if (kc_chan_send(a->local, &i, KCT_PATIENCE_MS) != 0)
			return __LINE__;
	kc_cancel_trigger(a->token);
	return 0;
}

static void all_is_prompt(kc_chan_t *remote)
{
	struct away a = { .remote = remote, .local = kct_chan_make(KC_RENDEZVOUS, 0) };
	struct kct_call selects, other;

	assert_int_equal(kc_cancel_init(&a.token), 0);
	kct_call_start(&selects, timers_go_on, &a);
	assert_int_equal(kct_call_join(&selects), 0);
	kct_call_start(&selects, take_two_and_be_cancelled, &a);
	kct_call_start(&other, send_two_and_cancel, &a);
	assert_int_equal(kct_call_join(&other), 0);
	assert_int_equal(kct_call_join(&selects), 0);
	kc_cancel_destroy(a.token);
	kc_chan_destroy(a.local);
}

static long select_remote(void *arg)
{
	uint32_t in;
	struct kc_clause clause = kc_clause_recv(arg, &in);
	int r = kc_select(&clause, 1, 0, KCT_PATIENCE_MS, NULL);

	if (r != 0)
		return r;
	/* why is said as for a call */
	if (clause.result < 0)
		return kc_error_detail()[0] ? clause.result : __LINE__;
	return (long)in;
}

static void while_kcorod_is_dead(void **state)
{
	struct kct_daemon d;
	kc_ipc_conn_t *conn;
	struct kct_call call;
	kc_chan_t *ch;

	(void)state;
	assert_int_equal(kct_daemon_start_bound(&d, LONG_GRACE, NULL), 0);
	conn = kct_client(d.path);
	ch = remote_make(conn, "away", KC_RENDEZVOUS, 0);
	assert_int_equal(kill(d.pid, SIGKILL), 0);
	assert_true(kct_daemon_wait(&d, KCT_PATIENCE_MS) > 0);
	all_is_prompt(ch);
	/* the next one knows nothing of the session, and says so */
	kct_call_start(&call, select_remote, ch);
	assert_int_equal(kct_daemon_restart_bound(&d), 0);
	assert_int_equal(kct_call_join(&call), KC_ECONNRESET);
	/* and so it stays */
	assert_int_equal(select_remote(ch), KC_ECONNRESET);
	kc_chan_destroy(ch);
	kc_ipc_disconnect(conn);
	assert_int_equal(kct_daemon_stop(&d), 0);
}

static void while_kcorod_is_stopped(void **state)
{
	kc_ipc_conn_t *conn = kct_client(kct_kcorod.path), *other = kct_client(kct_kcorod.path);
	kc_chan_t *ch = remote_make(conn, "stopped", KC_BUFFERED, 64);
	struct kc_ipc_chan_info info;
	struct kc_chan_snapshot snap;
	int status;

	(void)state;
	assert_int_equal(kill(kct_kcorod.pid, SIGSTOP), 0);
	assert_int_equal(waitpid(kct_kcorod.pid, &status, WUNTRACED), kct_kcorod.pid);
	all_is_prompt(ch);
	assert_int_equal(kill(kct_kcorod.pid, SIGCONT), 0);
	/* of all that was asked for meanwhile nothing is left, and nothing took effect */
	assert_int_equal(kc_ipc_ping(conn), 0);
	assert_int_equal(kc_ipc_info(other, NULL, kc_ipc_chan_id(ch), &info), 0);
	assert_int_equal(info.waiting_receivers + info.waiting_senders, 0);
	assert_int_equal(kc_chan_snapshot(ch, &snap), 0);
	assert_int_equal(snap.len, 0);
	assert_int_equal(snap.ledger.received, 0);
	assert_int_equal(kc_ledger_balance(&snap.ledger), 0);
	assert_int_equal(kc_ipc_chan_destroy(ch), 0);
	kc_chan_destroy(ch);
	kc_ipc_disconnect(other);
	kc_ipc_disconnect(conn);
}

/* ---- few requests ---------------------------------------------------------------------- */

#define FEW_REQUESTS "{ \"limits\": { \"requests\": 16 } }"
#define HANDS	     (KCI_TSAN || KCI_ASAN ? 300u : 2000u)
#define PLAIN	     3u /* clauses of kcorod's channels */

struct few {
	kc_ipc_conn_t *conn;
	kc_chan_t *remote[PLAIN], *local;
	_Atomic bool over;
};

static long win_here(void *arg)
{
	struct few *f = arg;
	struct kc_clause clauses[PLAIN + 1];
	uint32_t in;

	for (unsigned i = 0; i < PLAIN; i++)
		clauses[i] = kc_clause_recv(f->remote[i], &in);
	clauses[PLAIN] = kc_clause_recv(f->local, &in);
	for (uint32_t i = 0; i < HANDS; i++)
		if (kc_select(clauses, PLAIN + 1, 0, KCT_PATIENCE_MS, NULL) != (int)PLAIN ||
		    in != i)
			return __LINE__;
	return 0;
}

static long hand_over(void *arg)
{
	struct few *f = arg;

	for (uint32_t i = 0; i < HANDS; i++)
		if (kc_chan_send(f->local, &i, KCT_PATIENCE_MS) != 0)
			return __LINE__;
	atomic_store(&f->over, true);
	return 0;
}

static long ask_on(void *arg)
{
	struct few *f = arg;
	int r = 0;

	while (!atomic_load(&f->over) && r == 0)
		r = kc_ipc_ping(f->conn);
	return r;
}

/* What selects have abandoned takes no room that others need. */
static void others_find_room(void **state)
{
	static const char *const names[PLAIN] = { "few/a", "few/b", "few/c" };
	struct few f = { .local = kct_chan_make(KC_RENDEZVOUS, 0) };
	struct kct_call selects, hands, asks;
	struct kct_daemon d;

	(void)state;
	assert_int_equal(kct_daemon_start(&d, FEW_REQUESTS, NULL), 0);
	f.conn = kct_client(d.path);
	for (unsigned i = 0; i < PLAIN; i++)
		f.remote[i] = remote_make(f.conn, names[i], KC_RENDEZVOUS, 0);
	kct_call_start(&selects, win_here, &f);
	kct_call_start(&asks, ask_on, &f);
	kct_call_start(&hands, hand_over, &f);
	assert_int_equal(kct_call_join(&hands), 0);
	assert_int_equal(kct_call_join(&asks), 0);
	assert_int_equal(kct_call_join(&selects), 0);
	for (unsigned i = 0; i < PLAIN; i++)
		kc_chan_destroy(f.remote[i]);
	kc_chan_destroy(f.local);
	kc_ipc_disconnect(f.conn);
	assert_int_equal(kct_daemon_stop(&d), 0);
}

/* ---- cuts ------------------------------------------------------------------------------ */

#define EACH	(KCI_TSAN || KCI_ASAN ? 200u : 800u)
#define CUT_MAX 4000u

struct stream {
	kc_chan_t *in, *out, *local;
	uint64_t random;
};

/* One select that receives from one of kcorod's channels, sends to another, and receives from a
 * local one. */
static long select_all(void *arg)
{
	struct stream *s = arg;
	uint32_t got_in = 0, got_local = 0, sent = 0, in, local;
	const struct kc_clause off = { .kind = KC_CLAUSE_OFF };
	struct kc_clause clauses[4];

	clauses[3] = kc_clause_tick(2);
	while (got_in < EACH || got_local < EACH || sent < EACH) {
		int r;

		clauses[0] = got_in < EACH ? kc_clause_recv(s->in, &in) : off;
		clauses[1] = sent < EACH ? kc_clause_send(s->out, &sent) : off;
		clauses[2] = got_local < EACH ? kc_clause_recv(s->local, &local) : off;
		r = kc_select(clauses, 4, 0, KCT_PATIENCE_MS, NULL);
		if (r < 0 || clauses[r].result != 0) {
			print_error("%d: %d: %s; %u in, %u out, %u local\n", r, r < 0 ? 0 : clauses[r].result, kc_error_detail(),
				    got_in, sent, got_local);
			return __LINE__;
		}
		if ((r == 0 && in != got_in) || (r == 2 && local != got_local))
			return __LINE__;
		got_in += r == 0;
		sent += r == 1;
		got_local += r == 2;
	}
	return 0;
}

static long send_all(void *arg)
{
	for (uint32_t i = 0; i < EACH; i++)
		if (kc_chan_send(arg, &i, KCT_PATIENCE_MS) != 0)
			return __LINE__;
	return 0;
}

static long recv_all(void *arg)
{
	for (uint32_t i = 0; i < EACH; i++) {
		uint32_t v;

		if (kc_chan_recv(arg, &v, KCT_PATIENCE_MS) != 0 || v != i)
			return __LINE__;
	}
	return 0;
}

static void check_books(kc_chan_t *ch)
{
	struct kc_chan_snapshot snap;

	assert_int_equal(kc_chan_snapshot(ch, &snap), 0);
	assert_int_equal(snap.ledger.sent, EACH);
	assert_int_equal(snap.ledger.received, EACH);
	assert_int_equal(kc_ledger_balance(&snap.ledger), 0);
	assert_int_equal(kc_ledger_lost(&snap.ledger), 0);
}

static void cut_at_random(enum kc_kind kind, size_t capacity)
{
	kc_ipc_conn_t *direct = kct_client(kct_kcorod.path), *conn;
	kc_chan_t *in = remote_make(direct, "cut/in", kind, capacity);
	kc_chan_t *out = remote_make(direct, "cut/out", kind, capacity);
	struct kct_call selects, sends, receives, locals;
	struct stream s = { .local = kct_chan_make(KC_RENDEZVOUS, 0) };
	struct relay relay;

	relay_start(&relay, kct_kcorod.path, kct_seed(), CUT_MAX);
	conn = kct_client(relay.path);
	assert_int_equal(kc_ipc_chan_open_id(conn, kc_ipc_chan_id(in), NULL, &s.in), 0);
	assert_int_equal(kc_ipc_chan_open_id(conn, kc_ipc_chan_id(out), NULL, &s.out), 0);
	atomic_store(&relay.allowed, UINT32_MAX);
	kct_call_start(&selects, select_all, &s);
	kct_call_start(&sends, send_all, in);
	kct_call_start(&receives, recv_all, out);
	kct_call_start(&locals, send_all, s.local);
	assert_int_equal(kct_call_join(&selects), 0);
	assert_int_equal(kct_call_join(&sends), 0);
	assert_int_equal(kct_call_join(&receives), 0);
	assert_int_equal(kct_call_join(&locals), 0);
	/* what was told last has been read by then */
	atomic_store(&relay.allowed, 0);
	assert_int_equal(kc_ipc_ping(conn), 0);
	check_books(in);
	check_books(out);
	check_books(s.local);
	print_message("# %u cuts\n", atomic_load(&relay.cuts));
	assert_true(atomic_load(&relay.cuts) > 10);
	kc_chan_destroy(s.in);
	kc_chan_destroy(s.out);
	kc_chan_destroy(s.local);
	kc_ipc_disconnect(conn);
	relay_stop(&relay);
	assert_int_equal(kc_ipc_chan_destroy(in), 0);
	assert_int_equal(kc_ipc_chan_destroy(out), 0);
	kc_chan_destroy(in);
	kc_chan_destroy(out);
	kc_ipc_disconnect(direct);
}

static void cuts_of_rendezvous(void **state)
{
	(void)state;
	cut_at_random(KC_RENDEZVOUS, 0);
}

static void cuts_of_buffered(void **state)
{
	(void)state;
	cut_at_random(KC_BUFFERED, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_BOTH(while_kcorod_is_dead),
		KCT_BOTH(while_kcorod_is_stopped),
		KCT_BOTH(others_find_room),
		KCT_BOTH(cuts_of_rendezvous),
		KCT_BOTH(cuts_of_buffered),
	};

	return cmocka_run_group_tests(tests, kct_kcorod_begin, kct_kcorod_end);
}
