/* SPDX-License-Identifier: BSD-3-Clause */
/* A daemon inside the test whose memory runs out: see inside.h. */
#include "tests/fault/inside.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "kcorod/conn.h"
#include "kcorod/session.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/bytes.h"
#include "proto/result.h"

#define ID_AT 16 /* of a frame's header */
#define NTH_MAX 3000

/* ---- memory ----------------------------------------------------------------- */

static long fail_nth, last_nth, tried;
static bool fail_all, counting;

static bool must_fail(size_t size)
{
	(void)size;
	if (!counting)
		return false;
	tried++;
	return fail_nth > 0 && (tried == fail_nth || (fail_all && tried > fail_nth));
}

static void *event_malloc(size_t size)
{
	return must_fail(size) ? NULL : malloc(size);
}

static void *event_realloc(void *ptr, size_t size)
{
	return must_fail(size) ? NULL : realloc(ptr, size);
}

static void say_nothing(int severity, const char *message)
{
	(void)severity;
	(void)message;
}

void inside_init(void)
{
	event_set_log_callback(say_nothing);
	event_set_mem_functions(event_malloc, event_realloc, free);
	kci_alloc_set_hook(must_fail);
}

void inside_fail(long nth, bool all)
{
	fail_nth = last_nth = nth;
	fail_all = all;
	tried = 0;
}

long inside_memory_back(void)
{
	fail_nth = 0;
	return tried;
}

/* ---- the daemon ------------------------------------------------------------- */

int inside_begin(struct inside *in)
{
	struct kcd_config config;
	int r;

	memset(in, 0, sizeof(*in));
	kcd_config_init(&config);
	kcd_log_init(KCD_LOG_ERROR);
	counting = true;
	r = kcd_daemon_new(&config, &in->d);
	counting = false;
	return r;
}

void inside_turns(struct inside *in)
{
	counting = true;
	for (int i = 0; i < 4; i++) {
		int r = kcd_daemon_turn(in->d, /* wait= */ false);

		if (r < 0) {
			counting = false;
			fail_msg("a turn failed: the daemon would have ended");
		}
	}
	counting = false;
}

void inside_pass(struct inside *in, unsigned ms)
{
	counting = true;
	kcd_timers_run(&in->d->timers, kci_clock_now() + ms * KC_NS_PER_MS);
	counting = false;
	inside_turns(in);
}

static void assert_balanced(struct inside *in)
{
	struct kcd_totals t;
	const struct kc_ledger *l = &t.ledger;

	kcd_daemon_totals(in->d, &t);
	assert_int_equal(l->sent, l->received + l->queued + l->leased + l->conflated +
					  l->dropped_oldest + l->dropped_newest +
					  l->dropped_purged + l->dropped_destroyed + l->expired +
					  l->lost_consumer + l->lost_daemon);
}

void inside_clear(struct inside *in)
{
	uint64_t held = 0;

	(void)inside_memory_back();
	assert_balanced(in);
	for (int i = 0; i < INSIDE_CLIENTS; i++)
		if (in->connected[i])
			kct_wire_cut(&in->clients[i]);
	memset(in->connected, 0, sizeof(in->connected));
	in->gone = false;
	inside_turns(in);
	inside_pass(in, 60000); /* the grace ends */
	inside_pass(in, 60000);
	assert_balanced(in);
	assert_int_equal(in->d->sessions.n, 0);
	assert_int_equal(in->d->n_conns, 0);
	assert_int_equal(in->d->connections, 0);
	assert_int_equal(in->d->timers.n, 0);
	for (size_t i = 0; i < in->d->registry.n_slots; i++)
		if (in->d->registry.slots[i])
			held += in->d->registry.slots[i]->channel->elements.held;
	assert_int_equal(in->d->bytes.used, held);
}

void inside_end(struct inside *in)
{
	in->d = kcd_daemon_free(in->d);
}

/* ---- requests that may be refused ------------------------------------------- */

/* What was sent and may have to be sent again. */
static struct {
	struct kct_wire *w;
	uint64_t asked, id; /* the first id, and that of the latest attempt */
	uint8_t *frame;
	size_t len;
} sent[64];
static unsigned n_sent;

void inside_forget(void)
{
	for (unsigned i = 0; i < n_sent; i++)
		free(sent[i].frame);
	n_sent = 0;
}

uint64_t inside_sent(struct kct_wire *w, uint64_t id)
{
	size_t len = KCP_HEADER_SIZE + kcp_load_u32(w->out.data + 8);

	assert_true(n_sent < KC_ARRAY_SIZE(sent));
	sent[n_sent].w = w;
	sent[n_sent].asked = sent[n_sent].id = id;
	sent[n_sent].len = len;
	/* pushed and cleared, but still there */
	sent[n_sent].frame = malloc(len);
	assert_non_null(sent[n_sent].frame);
	memcpy(sent[n_sent++].frame, w->out.data, len);
	return id;
}

uint64_t inside_id(const struct kct_wire *w, uint64_t asked)
{
	for (unsigned i = 0; i < n_sent; i++)
		if (sent[i].w == w && sent[i].asked == asked)
			return sent[i].id;
	fail_msg("request %llu was not noted", (unsigned long long)asked);
	return 0;
}

/* The frame of this id; with a type, an event of that. Marks it used. */
static const struct kct_frame *find(struct kct_wire *w, uint64_t id, uint16_t type)
{
	for (size_t i = 0; i < w->n_frames; i++) {
		struct kct_frame *f = w->frames[i];

		if (f->used || f->header.id != id || (type && f->header.type != type))
			continue;
		f->used = true;
		return f;
	}
	return NULL;
}

static bool refused(struct kct_wire *w, uint64_t id)
{
	for (size_t i = 0; i < w->n_frames; i++)
		if (!w->frames[i]->used && w->frames[i]->header.id == id)
			return kct_result(w->frames[i]) == KCP_NOMEM;
	return false;
}

static void read_what_is_there(struct inside *in, struct kct_wire *w)
{
	for (;;) {
		struct pollfd p = { .fd = w->fd, .events = POLLIN };
		char byte;

		if (poll(&p, 1, 0) == 0)
			return;
		if (recv(w->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0 || !kct_read(w)) {
			in->gone = true;
			return;
		}
	}
}

/* Let the daemon work, read what it says to anybody, and make again what it refused. */
static void work(struct inside *in)
{
	bool again;

	do {
		again = false;
		inside_turns(in);
		for (int i = 0; i < INSIDE_CLIENTS; i++)
			if (in->connected[i])
				read_what_is_there(in, &in->clients[i]);
		for (unsigned i = 0; i < n_sent && !in->gone; i++) {
			struct kct_wire *w = sent[i].w;

			if (!refused(w, sent[i].id))
				continue;
			if (in->fine)
				fail_msg("refused, though there is memory");
			(void)find(w, sent[i].id, 0);
			in->refused++;
			in->fine = true;
			(void)inside_memory_back();
			sent[i].id = ++w->next_id;
			kcp_store_u64(sent[i].frame + ID_AT, sent[i].id);
			kct_raw(w, sent[i].frame, sent[i].len);
			again = true;
		}
	} while (again);
}

const struct kct_frame *inside_reply(struct inside *in, struct kct_wire *w, uint64_t asked,
				     uint32_t want)
{
	const struct kct_frame *f;

	work(in);
	if (in->gone)
		return NULL;
	f = find(w, inside_id(w, asked), 0);
	if (!f)
		fail_msg("request %llu was not answered (allocation %ld%s)",
			 (unsigned long long)asked, last_nth, fail_all ? " and all after it" : "");
	if (kct_result(f) != want)
		fail_msg("%s instead of %s: %s", kcp_result_name(kct_result(f)),
			 kcp_result_name(want), kct_detail(f));
	return f;
}

bool inside_waits(struct inside *in, struct kct_wire *w, uint64_t asked)
{
	const struct kct_frame *f;

	work(in);
	f = in->gone ? NULL : find(w, inside_id(w, asked), 0);
	if (f)
		fail_msg("request %llu did not wait: %s", (unsigned long long)asked,
			 kcp_result_name(kct_result(f)));
	return !in->gone;
}

const struct kct_frame *inside_event(struct inside *in, struct kct_wire *w, uint16_t type)
{
	work(in);
	return in->gone ? NULL : find(w, 0, type);
}

/* ---- connections ------------------------------------------------------------ */

/* A socket pair, one end the daemon's. -1: refused. */
static int connect_to(struct inside *in)
{
	struct kcd_conn *conn;
	const char *limit;
	int fds[2], r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	counting = true;
	r = kcd_conn_new(in->d, fds[0], &conn, &limit);
	counting = false;
	if (r == 0)
		return fds[1];
	assert_int_equal(r, KC_ENOMEM);
	close(fds[0]);
	close(fds[1]);
	return -1;
}

/* HELLO on a new connection, at the second attempt if the first was refused. */
static bool greet(struct inside *in, struct kct_wire *w)
{
	const struct kct_frame *f;

	for (int attempt = 0; attempt < 2; attempt++) {
		int fd = connect_to(in);

		if (fd < 0) {
			in->refused++;
			in->fine = true;
			(void)inside_memory_back();
			continue;
		}
		w->fd = fd;
		kct_begin(w, KCP_HELLO);
		kcp_put_u32(&w->out, KCP_T_VERSION_MIN, 1);
		kcp_put_u32(&w->out, KCP_T_VERSION_MAX, 1);
		kct_end(w);
		inside_turns(in);
		read_what_is_there(in, w);
		f = find(w, w->id, 0);
		if (f && kct_result(f) == KCP_OK && !in->gone) {
			memcpy(w->token, kcp_get(&f->args, KCP_T_TOKEN)->data, KCP_TOKEN_SIZE);
			return true;
		}
		/* refused, and hung up */
		if (f && kct_result(f) != KCP_OK)
			assert_int_equal(kct_result(f), KCP_NOMEM);
		in->refused++;
		in->fine = true;
		(void)inside_memory_back();
		in->gone = false;
		kct_wire_cut(w);
	}
	fail_msg("a connection was refused though there is memory");
	return false;
}

struct kct_wire *inside_connect(struct inside *in, unsigned i)
{
	struct kct_wire *w = &in->clients[i];

	if (in->gone)
		return NULL;
	kct_wire_init(w, -1);
	in->connected[i] = greet(in, w);
	return w;
}

bool inside_resume(struct inside *in, unsigned i, uint64_t n, uint32_t attach, uint64_t seen)
{
	struct kct_wire *w = &in->clients[i];
	uint8_t token[KCP_TOKEN_SIZE];
	uint64_t *ids = calloc(n, sizeof(*ids)), seq = w->seq;
	const struct kct_frame *f = NULL;

	assert_non_null(ids);
	for (uint64_t k = 0; k < n; k++)
		ids[k] = k + 1;
	memcpy(token, w->token, sizeof(token));
	kct_wire_cut(w);
	inside_turns(in);
	for (int attempt = 0; attempt < 2 && !f; attempt++) {
		uint64_t id;

		w->seq = 0;
		if (!greet(in, w))
			break;
		w->seq = seq;
		id = kct_resume(w, token, ids, n, attach, seen);
		inside_turns(in);
		read_what_is_there(in, w);
		f = find(w, id, 0);
		if (f && kct_result(f) == KCP_OK)
			break;
		if (f)
			assert_int_equal(kct_result(f), KCP_NOMEM);
		f = NULL;
		in->refused++;
		in->fine = true;
		(void)inside_memory_back();
		in->gone = false;
		kct_wire_cut(w);
	}
	free(ids);
	memcpy(w->token, token, sizeof(token));
	if (!f)
		fail_msg("a session was not resumed though there is memory");
	return !in->gone;
}

int inside_setup(void **state)
{
	counting = false;
	(void)inside_memory_back();
	inside_forget();
	return kct_setup(state);
}

/* ---- cases ------------------------------------------------------------------ */

void inside_each(void (*fn)(struct inside *in))
{
	static const bool both[] = { false, true };
	unsigned refused = 0, ended = 0;
	long most = 0;

	for (size_t mode = 0; mode < KC_ARRAY_SIZE(both); mode++) {
		for (long nth = 1;; nth++) {
			struct inside in;
			long n;

			assert_in_range(nth, 1, NTH_MAX);
			assert_int_equal(inside_begin(&in), 0);
			inside_fail(nth, both[mode]);
			fn(&in);
			n = inside_memory_back();
			refused += in.refused;
			ended += in.gone;
			inside_forget();
			inside_clear(&in);
			/* and it works afterwards as if nothing had been */
			in.round++;
			in.refused = 0;
			in.fine = true;
			fn(&in);
			inside_forget();
			assert_int_equal(in.refused, 0);
			assert_false(in.gone);
			inside_clear(&in);
			inside_end(&in);
			if (n > most)
				most = n;
			if (n < nth)
				break;
		}
	}
	printf("# up to %ld allocations, %u requests refused, %u connections ended\n", most,
	       refused, ended);
	assert_true(refused + ended > 0);
}
