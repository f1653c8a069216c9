/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stress_fd: producers and consumers that only try, and wait for nothing but the
 * channel's descriptors, with random batches, on every kind. A wake that is missed
 * leaves somebody in poll() for good, which fails the test; one too many is a try
 * in vain, and those are counted.
 */
#include "tests/conformance/program.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

#define EACH  2500u /* elements of each producer */
#define BATCH 9u
#define SIDE  3	   /* producers or consumers at most */
#define ASKED 300u /* handles that ask for both their descriptors */

struct shared {
	struct kct_case c;
	bool own;    /* a handle for each thread */
	bool tx_try; /* else they wait in the call */
	bool rx_try;
	_Atomic unsigned char *seen;
	_Atomic bool over;     /* of those who knock */
	_Atomic uint64_t vain; /* tries that found nothing, then waited, and found nothing again */
};

struct worker {
	struct shared *s;
	kc_chan_t *ch;
	uint64_t number;
	uint64_t random;
	uint64_t moved;
};

/* 0, or a line: nothing woke us, though something must have happened by now. */
static long wait_for(kc_chan_t *ch, unsigned direction)
{
	struct pollfd p = { .fd = kc_chan_fd(ch, direction), .events = POLLIN };
	int n;

	if (p.fd < 0) {
		print_error("kc_chan_fd: %s\n", kc_error_detail());
		return __LINE__;
	}
	do {
		n = poll(&p, 1, KCT_PATIENCE_MS);
	} while (n < 0 && errno == EINTR);
	return n == 1 ? 0 : __LINE__;
}

static long produce(void *arg)
{
	struct worker *w = arg;
	bool woken = false;

	while (w->moved < EACH) {
		uint64_t batch[BATCH];
		size_t n = 1 + kct_random(&w->random) % BATCH;
		long r;

		if (n > EACH - w->moved)
			n = (size_t)(EACH - w->moved);
		for (size_t i = 0; i < n; i++)
			batch[i] = w->number * EACH + w->moved + i;
		r = kc_chan_send_many(w->ch, batch, n, w->s->tx_try ? 0 : -1, NULL);
		if (r > 0) {
			w->moved += (uint64_t)r;
			woken = false;
		} else if (r != KC_EAGAIN) {
			return __LINE__;
		} else {
			atomic_fetch_add(&w->s->vain, woken);
			r = wait_for(w->ch, KC_SENDER);
			if (r)
				return r;
			woken = true;
		}
	}
	return 0;
}

static long consume(void *arg)
{
	struct worker *w = arg;
	bool woken = false;

	for (;;) {
		uint64_t batch[BATCH];
		/* not always all there is: who stops short of EAGAIN is woken again */
		size_t n = 1 + kct_random(&w->random) % BATCH;
		bool lazy = kct_random(&w->random) % 4 == 0;
		long r = kc_chan_recv_many(w->ch, batch, n, w->s->rx_try ? 0 : -1, NULL);

		if (r == KC_EPIPE)
			return 0;
		for (long i = 0; i < r; i++)
			if (batch[i] >= SIDE * EACH || atomic_fetch_add(&w->s->seen[batch[i]], 1))
				return __LINE__;
		if (r > 0) {
			w->moved += (uint64_t)r;
			woken = false;
			if (!lazy || !w->s->rx_try)
				continue;
		} else if (r != KC_EAGAIN) {
			return __LINE__;
		} else {
			atomic_fetch_add(&w->s->vain, woken);
		}
		woken = r == KC_EAGAIN;
		r = wait_for(w->ch, KC_RECEIVER);
		if (r)
			return r;
	}
}

static kc_chan_t *handle(struct shared *s, kc_chan_t *ch)
{
	kc_chan_t *own = s->own && kct_placement.reopen ? kct_placement.reopen(&s->c.pair) : ch;

	assert_non_null(own);
	return own;
}

static void run(struct shared *s, unsigned producers, unsigned consumers, uint64_t *seed)
{
	struct kct_call tx_calls[SIDE], rx_calls[SIDE];
	struct worker tx[SIDE], rx[SIDE];
	struct kc_chan_snapshot snap;

	s->seen = calloc(SIDE * EACH, sizeof(*s->seen));
	assert_non_null(s->seen);
	atomic_init(&s->vain, 0);
	for (unsigned i = 0; i < consumers; i++) {
		rx[i] = (struct worker){ .s = s,
					 .ch = handle(s, s->c.pair.rx),
					 .random = kct_random(seed) };
		kct_call_start(&rx_calls[i], consume, &rx[i]);
	}
	for (unsigned i = 0; i < producers; i++) {
		tx[i] = (struct worker){ .s = s,
					 .ch = handle(s, s->c.pair.tx),
					 .number = i,
					 .random = kct_random(seed) };
		kct_call_start(&tx_calls[i], produce, &tx[i]);
	}
	for (unsigned i = 0; i < producers; i++)
		assert_int_equal(kct_call_join(&tx_calls[i]), 0);
	assert_int_equal(kc_chan_close(s->c.pair.tx), 0);
	for (unsigned i = 0; i < consumers; i++) {
		assert_int_equal(kct_call_join(&rx_calls[i]), 0);
		s->c.received += rx[i].moved;
		if (rx[i].ch != s->c.pair.rx)
			kc_chan_destroy(rx[i].ch);
	}
	for (unsigned i = 0; i < producers; i++)
		if (tx[i].ch != s->c.pair.tx)
			kc_chan_destroy(tx[i].ch);
	s->c.sent = (uint64_t)producers * EACH;
	assert_int_equal(kc_chan_snapshot(s->c.pair.rx, &snap), 0);
	s->c.conflated = snap.ledger.conflated;
	assert_int_equal(s->c.received + s->c.conflated, s->c.sent);
	/* of a wake that was in vain somebody else had the good: nobody spins */
	if (producers == 1 && consumers == 1)
		assert_int_equal(atomic_load(&s->vain), 0);
	assert_true(atomic_load(&s->vain) <= (producers + consumers) * s->c.sent);
	case_end(&s->c);
	free((void *)s->seen);
}

static void over(enum kc_kind kind, unsigned producers, unsigned consumers, bool own)
{
	uint64_t seed = kct_seed();

	/* of a rendezvous one side waits in its calls: two that only try never meet */
	for (int round = 0; round < (kind == KC_RENDEZVOUS ? 2 : 1); round++) {
		struct shared s = { .own = own, .tx_try = round == 0, .rx_try = true };

		if (kind == KC_RENDEZVOUS)
			s.rx_try = !s.tx_try;
		case_start(&s.c, KCT_FIXED, kind, 1 + kct_random(&seed) % 12);
		run(&s, producers, consumers, &seed);
	}
}

static void one_to_one(void **state)
{
	over(KC_BUFFERED, 1, 1, false);
	over(KC_UNLIMITED, 1, 1, false);
	over(KC_CONFLATED, 1, 1, false);
	over(KC_RENDEZVOUS, 1, 1, false);
}

static void many_to_many_on_handles_of_their_own(void **state)
{
	over(KC_BUFFERED, SIDE, SIDE, true);
	over(KC_UNLIMITED, SIDE, SIDE, true);
	over(KC_CONFLATED, SIDE, SIDE, true);
	over(KC_RENDEZVOUS, SIDE, SIDE, true);
}

static void many_to_many_on_one_handle(void **state)
{
	over(KC_BUFFERED, SIDE, SIDE, false);
	over(KC_UNLIMITED, SIDE, SIDE, false);
	over(KC_RENDEZVOUS, SIDE, SIDE, false);
}

/* Keeps the connection busy with calls of its own until it is told. */
static long knock(void *arg)
{
	struct worker *w = arg;
	uint64_t element;

	while (!atomic_load(&w->s->over)) {
		long r = kc_chan_try_recv(w->ch, &element);

		if (r != KC_EAGAIN)
			return __LINE__;
	}
	return 0;
}

/* Whoever reads for all must take what belongs to another, from the first moment on. */
static void asked_for_while_others_read(void **state)
{
	struct shared s = { .own = true };
	struct kct_call calls[SIDE];
	struct worker w[SIDE];

	case_start(&s.c, KCT_FIXED, KC_BUFFERED, 4);
	atomic_init(&s.over, false);
	for (unsigned i = 0; i < SIDE; i++) {
		w[i] = (struct worker){ .s = &s, .ch = handle(&s, s.c.pair.rx) };
		kct_call_start(&calls[i], knock, &w[i]);
	}
	for (unsigned i = 0; i < ASKED; i++) {
		kc_chan_t *ch = handle(&s, s.c.pair.tx);

		assert_true(kc_chan_fd(ch, KC_SENDER) >= 0);
		assert_true(kc_chan_fd(ch, KC_RECEIVER) >= 0);
		if (ch != s.c.pair.tx)
			kc_chan_destroy(ch);
	}
	atomic_store(&s.over, true);
	for (unsigned i = 0; i < SIDE; i++) {
		assert_int_equal(kct_call_join(&calls[i]), 0);
		if (w[i].ch != s.c.pair.rx)
			kc_chan_destroy(w[i].ch);
	}
	case_end(&s.c);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(one_to_one),
	KCT_TEST(many_to_many_on_handles_of_their_own),
	KCT_TEST(many_to_many_on_one_handle),
	KCT_TEST(asked_for_while_others_read),
};

KCT_PROGRAM(tests)
