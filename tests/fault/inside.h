/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A daemon inside the test whose memory runs out, and clients over socket pairs.
 *
 * Only the daemon's own allocations fail, libevent's included, from the nth on, one of
 * them or all, until a client is told so (NOMEM): then memory is there again, and the
 * request that was refused is made once more and must succeed. A connection may also be
 * ended; then the rest of what a case had to say is left out (inside_gone()).
 */
#ifndef FAULT_INSIDE_H
#define FAULT_INSIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "kcorod/daemon.h"
#include "tests/lib/kct.h"
#include "tests/lib/wire.h"

#define INSIDE_CLIENTS 3

/* From now on. To be called before anything of libevent. */
void inside_init(void);

/* A test of it: whatever the one before left unfinished is forgotten. */
#define INSIDE_TEST(fn) cmocka_unit_test_setup_teardown(fn, inside_setup, kct_teardown)
int inside_setup(void **state);

/* The nth allocation (from 1) fails, or `all` from it on. 0: none does. */
void inside_fail(long nth, bool all);
/* Memory is there again. Returns how many allocations there were since. */
long inside_memory_back(void);

struct inside {
	struct kcd_daemon *d;
	struct kct_wire clients[INSIDE_CLIENTS];
	bool connected[INSIDE_CLIENTS];
	bool gone;        /* a connection was ended */
	bool fine;        /* there is memory again: nothing more may be refused */
	unsigned refused; /* requests that were told NOMEM */
	unsigned round;   /* for names that are new */
};

/* A new daemon: 0 or a KC_E* code. */
int inside_begin(struct inside *in);

/* All clients vanish, the grace passes: nothing may be left but channels, and the books
 * balance. The daemon stays. */
void inside_clear(struct inside *in);
void inside_end(struct inside *in);

/* Let the daemon do what it has to do; and `ms` later. */
void inside_turns(struct inside *in);
void inside_pass(struct inside *in, unsigned ms);

/* Client i connects and says HELLO. NULL: a connection was ended. */
struct kct_wire *inside_connect(struct inside *in, unsigned i);
/* Its connection is cut, and a new one resumes the session, with REQUESTS 1..n and, attach not
 * being 0, an ATTACHMENT that has seen deliveries up to `seen`. False: a connection was ended. */
bool inside_resume(struct inside *in, unsigned i, uint64_t n, uint32_t attach, uint64_t seen);

/* A frame that was just sent with kct_end() or what calls it, to be sent again if it is refused.
 * Gives the id to ask for it with. */
uint64_t inside_sent(struct kct_wire *w, uint64_t id);
/* The id of its latest attempt. */
uint64_t inside_id(const struct kct_wire *w, uint64_t asked);
/* Forget all of them: a case is over. */
void inside_forget(void);
/* Its reply, which must be there and be `want`. NULL: a connection was ended. */
const struct kct_frame *inside_reply(struct inside *in, struct kct_wire *w, uint64_t asked,
				     uint32_t want);
/* There must be no reply to it yet. False: a connection was ended. */
bool inside_waits(struct inside *in, struct kct_wire *w, uint64_t asked);
/* An event that came; NULL: none did. */
const struct kct_frame *inside_event(struct inside *in, struct kct_wire *w, uint16_t type);

/* Run a case again and again, each time with memory running out a little later, until it
 * comes through without. */
void inside_each(void (*fn)(struct inside *in));

#endif
