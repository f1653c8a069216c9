/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections cut in the middle of a stream, at every place chance finds: nothing
 * is lost, nothing comes twice, no caller sees an error, and the books balance.
 *
 * Senders with a window rely on kcorod reading what they have written, so nothing may
 * lie in between: there the consumers shut down sockets of the client.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "kcoro.h"
#include "tests/integration/ipc-relay.h"
#include "tests/lib/kcorod.h"

#define PRODUCERS 2
#define CONSUMERS 2
#define SEEDS	  4

enum how {
	SINGLE,	  /* one by one */
	BATCHES,  /* many at a time */
	MESSAGES, /* messages of odd lengths, in batches */
	LEASES,	  /* with leases, acknowledged in batches */
};

struct job {
	enum kc_kind kind;
	size_t capacity;
	enum how how;
	unsigned credit;
	int lease;	  /* given ahead as leases */
	bool one_conn;	  /* all threads on one connection */
	uint32_t n;	  /* elements of each producer */
	uint64_t cut_max; /* bytes; with a window: elements */
	unsigned window;  /* of each producer */
	bool ordered;	  /* one consumer, who sees each producer's elements in order */
};

struct run {
	const struct job *job;
	_Atomic unsigned char *seen;
	kc_chan_t *direct; /* past the relay */
	_Atomic unsigned cuts;	/* without it */
};

struct worker {
	struct run *run;
	kc_chan_t *ch;
	uint32_t number;
	uint64_t random;
	uint32_t next[PRODUCERS]; /* a consumer's, of each producer */
	uint64_t left;		  /* elements until it cuts a connection */
	char fault[160];
};

static long fault(struct worker *w, int line, long r)
{
	(void)snprintf(w->fault, sizeof(w->fault), "line %d: %ld (%s)", line, r, kc_error_detail());
	/* so that nobody waits for ever: not for room, nor for what this handle holds */
	(void)kc_chan_close(w->run->direct);
	kc_chan_destroy(w->ch);
	w->ch = NULL;
	return -1;
}

#define BATCH	  32u
#define MSG_BYTES 300u

/* A message: the element, and padding that says how long it is. */
static size_t message_len(uint64_t value)
{
	return sizeof(value) + value * 37 % (MSG_BYTES - sizeof(value));
}

static long send_some(struct worker *w, const uint64_t *values, size_t n)
{
	static const unsigned char zeros[MSG_BYTES];
	unsigned char bytes[BATCH][MSG_BYTES];
	struct kc_msg msgs[BATCH];

	if (w->run->job->how == SINGLE)
		return kc_chan_send(w->ch, values, -1) == 0 ? 1 : -1;
	if (w->run->job->how != MESSAGES)
		return kc_chan_send_many(w->ch, values, n, -1, NULL);
	for (size_t i = 0; i < n; i++) {
		memcpy(bytes[i], zeros, MSG_BYTES);
		memcpy(bytes[i], &values[i], sizeof(values[i]));
		msgs[i] = (struct kc_msg){ bytes[i], message_len(values[i]) };
	}
	return kc_chan_send_msgs(w->ch, msgs, n, -1, NULL);
}

static long produce(void *arg)
{
	struct worker *w = arg;
	uint32_t i = 0;

	while (i < w->run->job->n) {
		uint64_t values[BATCH];
		size_t n = 1 + kct_random(&w->random) % BATCH;
		long r;

		if (n > w->run->job->n - i)
			n = w->run->job->n - i;
		for (size_t k = 0; k < n; k++)
			values[k] = (uint64_t)w->number << 32 | (i + k);
		r = send_some(w, values, n);
		if (r < 1)
			return fault(w, __LINE__, r);
		i += (uint32_t)r;
	}
	return 0;
}

static long recv_some(struct worker *w, uint64_t *values, size_t n)
{
	static _Thread_local unsigned char buf[BATCH * MSG_BYTES];
	struct kc_lease leases[BATCH];
	struct kc_msg msgs[BATCH];
	long r, acked;

	switch (w->run->job->how) {
	case SINGLE:
		r = kc_chan_recv(w->ch, values, -1);
		return r == 0 ? 1 : r;
	case BATCHES:
		return kc_chan_recv_many(w->ch, values, n, -1, NULL);
	case MESSAGES:
		r = kc_chan_recv_msgs(w->ch, buf, sizeof(buf), msgs, n, -1, NULL);
		for (long i = 0; i < r; i++) {
			memcpy(&values[i], msgs[i].data, sizeof(values[i]));
			if (msgs[i].len != message_len(values[i]))
				return fault(w, __LINE__, (long)msgs[i].len);
		}
		return r;
	default:
		r = kc_chan_recv_leases(w->ch, values, n * sizeof(*values), msgs, leases, n, -1,
					NULL);
		if (r < 1)
			return r;
		acked = kc_chan_ack_many(w->ch, leases, (size_t)r);
		return acked == r ? r : fault(w, __LINE__, acked);
	}
}

/* Shut down one of this process's connections to kcorod. */
static void cut(struct worker *w)
{
	int fds[64], n = 0;

	for (int fd = 3; fd < 256 && n < 64; fd++) {
		struct sockaddr_un peer = { 0 };
		socklen_t len = sizeof(peer) - 1;

		if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0 &&
		    peer.sun_family == AF_UNIX && strcmp(peer.sun_path, kct_kcorod.path) == 0)
			fds[n++] = fd;
	}
	if (n == 0)
		return;
	(void)shutdown(fds[kct_random(&w->random) % (unsigned)n], SHUT_RDWR);
	atomic_fetch_add(&w->run->cuts, 1);
}

static long consume(void *arg)
{
	struct worker *w = arg;
	struct run *run = w->run;

	for (;;) {
		uint64_t values[BATCH];
		long r = recv_some(w, values, 1 + kct_random(&w->random) % BATCH);

		if (r == KC_EPIPE)
			return 0;
		if (r < 0)
			return w->fault[0] ? -1 : fault(w, __LINE__, r);
		if (run->job->window && w->left <= (uint64_t)r) {
			cut(w);
			w->left = 1 + kct_random(&w->random) % run->job->cut_max;
		} else {
			w->left -= (uint64_t)r;
		}
		for (long i = 0; i < r; i++) {
			uint32_t p = (uint32_t)(values[i] >> 32), k = (uint32_t)values[i];

			if (p >= PRODUCERS || k >= run->job->n)
				return fault(w, __LINE__, (long)values[i]);
			if (run->job->ordered && k != w->next[p]++)
				return fault(w, __LINE__, (long)values[i]);
			if (atomic_fetch_add(&run->seen[p * run->job->n + k], 1) != 0)
				return fault(w, __LINE__, (long)values[i]);
		}
	}
}

/* How many of them failed; says how. */
static int join(struct kct_call *calls, struct worker *workers, int n, const char *what)
{
	int failed = 0;

	for (int i = 0; i < n; i++) {
		if (kct_call_join(&calls[i]) == 0)
			continue;
		print_error("%s %d: %s\n", what, i, workers[i].fault);
		failed++;
	}
	return failed;
}

static kc_chan_t *attach(struct relay *relay, kc_ipc_conn_t **conn, const struct job *job,
			 unsigned roles)
{
	struct kc_ipc_open_options o = KC_IPC_OPEN_OPTIONS_INIT;
	kc_chan_t *ch;
	int r;

	o.roles = roles;
	if (roles == KC_RECEIVER) {
		o.credit = job->credit;
		o.lease = job->lease;
	} else {
		o.window = job->window;
	}
	if (!*conn)
		*conn = kct_client(job->window ? kct_kcorod.path : relay->path);
	r = kc_ipc_chan_open(*conn, "stream", &o, &ch);
	if (r < 0)
		fail_msg("open: %d %s", r, kc_error_detail());
	return ch;
}

static void check_books(const struct job *job, kc_chan_t *ch)
{
	struct kc_ipc_chan_info info;

	assert_int_equal(kc_ipc_chan_info(ch, &info), 0);
	assert_int_equal(kc_ledger_balance(&info.ledger), 0);
	assert_int_equal(info.ledger.sent, PRODUCERS * job->n);
	assert_int_equal(info.ledger.received, PRODUCERS * job->n);
	assert_int_equal(info.ledger.queued, 0);
	assert_int_equal(kc_ledger_lost(&info.ledger), 0);
}

static unsigned run_once(const struct job *job, uint64_t seed)
{
	static _Atomic unsigned char seen[PRODUCERS * 20000];
	struct run run = { .job = job, .seen = seen };
	struct kct_call producers[PRODUCERS], consumers[CONSUMERS];
	struct worker pw[PRODUCERS], cw[CONSUMERS];
	kc_ipc_conn_t *conns[PRODUCERS + CONSUMERS] = { NULL };
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	int consuming = job->ordered ? 1 : CONSUMERS;
	kc_ipc_conn_t *direct;
	struct relay relay;
	kc_chan_t *ch;
	int failed, r;

	assert_true(job->n * PRODUCERS <= sizeof(seen));
	memset((void *)seen, 0, sizeof(seen));
	direct = kct_client(kct_kcorod.path);
	o.kind = job->kind;
	o.capacity = job->capacity;
	o.elem_size = job->how == MESSAGES ? 0 : sizeof(uint64_t);
	o.max_msg = job->how == MESSAGES ? MSG_BYTES : 0;
	assert_int_equal(kc_ipc_chan_make(direct, "stream", &o, NULL, &ch), 0);
	run.direct = ch;
	relay_start(&relay, kct_kcorod.path, seed, job->cut_max);
	for (int i = 0; i < consuming; i++) {
		cw[i] = (struct worker){ .run = &run, .number = (uint32_t)i,
				      .random = seed + (uint32_t)i };
		cw[i].ch = attach(&relay, &conns[job->one_conn ? 0 : i], job, KC_RECEIVER);
	}
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		pw[i] = (struct worker){ .run = &run, .number = i, .random = seed + 100 + i };
		pw[i].ch =
			attach(&relay, &conns[job->one_conn ? 0 : CONSUMERS + i], job, KC_SENDER);
	}
	atomic_store(&relay.allowed, UINT32_MAX);
	for (int i = 0; i < consuming; i++)
		kct_call_start(&consumers[i], consume, &cw[i]);
	for (int i = 0; i < PRODUCERS; i++)
		kct_call_start(&producers[i], produce, &pw[i]);
	failed = join(producers, pw, PRODUCERS, "producer");
	r = kc_chan_close(pw[0].ch);
	failed += join(consumers, cw, consuming, "consumer");
	assert_int_equal(failed, 0);
	assert_int_equal(r, 0);
	for (uint32_t i = 0; i < PRODUCERS * job->n; i++)
		if (atomic_load(&seen[i]) != 1)
			fail_msg("element %u of %u was lost", i % job->n, i / job->n);
	for (int i = 0; i < PRODUCERS; i++)
		kc_chan_destroy(pw[i].ch);
	for (int i = 0; i < consuming; i++)
		kc_chan_destroy(cw[i].ch);
	/* what was told last has been read by then */
	atomic_store(&relay.allowed, 0);
	for (size_t i = 0; i < KC_ARRAY_SIZE(conns); i++) {
		if (conns[i])
			assert_int_equal(kc_ipc_ping(conns[i]), 0);
		kc_ipc_disconnect(conns[i]);
	}
	check_books(job, ch);
	relay_stop(&relay);
	assert_int_equal(kc_ipc_chan_destroy(ch), 0);
	kc_chan_destroy(ch);
	kc_ipc_disconnect(direct);
	return atomic_load(&relay.cuts) + atomic_load(&run.cuts);
}

static void run_job(const struct job *job)
{
	uint64_t seed = kct_seed();
	unsigned cuts = 0;

	for (int i = 0; i < SEEDS; i++)
		cuts += run_once(job, kct_random(&seed));
	print_message("# %u cuts\n", cuts);
	assert_true(cuts >= SEEDS);
}

static void one_by_one(void **state)
{
	run_job(&(struct job){ KC_BUFFERED, 16, SINGLE, .n = 2000, .cut_max = 20000 });
}

static void one_by_one_on_one_connection(void **state)
{
	run_job(&(struct job){ KC_BUFFERED, 16, SINGLE, .n = 2000, .one_conn = true,
			       .cut_max = 40000 });
}

static void in_batches(void **state)
{
	run_job(&(struct job){ KC_BUFFERED, 100, BATCHES, .n = 20000, .cut_max = 60000 });
}

static void messages(void **state)
{
	run_job(&(struct job){ KC_UNLIMITED, 0, MESSAGES, .n = 10000, .cut_max = 300000 });
}

static void given_ahead(void **state)
{
	run_job(&(struct job){ KC_BUFFERED, 64, BATCHES, .credit = 20, .n = 20000,
			       .cut_max = 60000 });
}

static void given_ahead_on_one_connection(void **state)
{
	run_job(&(struct job){ KC_BUFFERED, 64, SINGLE, .credit = 8, .n = 3000, .one_conn = true,
			       .cut_max = 60000 });
}

static void leased(void **state)
{
	run_job(&(struct job){ KC_BUFFERED, 64, LEASES, .n = 10000, .cut_max = 40000 });
}

static void leased_and_given_ahead(void **state)
{
	run_job(&(struct job){ KC_BUFFERED, 64, LEASES, .credit = 20, .lease = 1, .n = 10000,
			       .cut_max = 40000 });
}

static void rendezvous(void **state)
{
	run_job(&(struct job){ KC_RENDEZVOUS, 0, SINGLE, .n = 2000, .cut_max = 20000 });
}

static void rendezvous_on_one_connection(void **state)
{
	run_job(&(struct job){ KC_RENDEZVOUS, 0, SINGLE, .n = 2000, .one_conn = true,
			       .cut_max = 20000 });
}

static void windows_one_by_one(void **state)
{
	run_job(&(struct job){ KC_BUFFERED, 16, SINGLE, .credit = 8, .n = 6000, .cut_max = 500,
			       .window = 8, .ordered = true });
}

static void windows_on_a_small_channel(void **state)
{
	run_job(&(struct job){ KC_BUFFERED, 3, SINGLE, .credit = 2, .n = 2000, .cut_max = 500,
			       .window = 5 });
}

static void windows_in_batches(void **state)
{
	run_job(&(struct job){ KC_BUFFERED, 100, BATCHES, .n = 20000, .cut_max = 500,
			       .window = 64, .ordered = true });
}

static void windows_and_messages(void **state)
{
	run_job(&(struct job){ KC_UNLIMITED, 0, MESSAGES, .credit = 20, .n = 10000,
			       .cut_max = 500, .window = 50 });
}

static void windows_on_one_connection(void **state)
{
	run_job(&(struct job){ KC_BUFFERED, 64, SINGLE, .credit = 8, .n = 3000, .one_conn = true,
			       .cut_max = 500, .window = 20, .ordered = true });
}

static void windows_and_leases(void **state)
{
	run_job(&(struct job){ KC_BUFFERED, 64, LEASES, .credit = 20, .lease = 1, .n = 10000,
			       .cut_max = 500, .window = 32 });
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(one_by_one),  KCT_TEST(one_by_one_on_one_connection),
	KCT_TEST(in_batches),  KCT_TEST(messages),
	KCT_TEST(given_ahead), KCT_TEST(given_ahead_on_one_connection),
	KCT_TEST(leased),      KCT_TEST(leased_and_given_ahead),
	KCT_TEST(rendezvous),  KCT_TEST(rendezvous_on_one_connection),
	KCT_TEST(windows_one_by_one),
	KCT_TEST(windows_on_a_small_channel),
	KCT_TEST(windows_in_batches),
	KCT_TEST(windows_and_messages),
	KCT_TEST(windows_on_one_connection),
	KCT_TEST(windows_and_leases),
};

int main(void)
{
	return cmocka_run_group_tests(tests, kct_kcorod_begin, kct_kcorod_end);
}
