/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The channel engine without a daemon: clients that are plain records.
 *
 * Elements are u64 values, unique in a test. A client keeps what it was given, by
 * delivery number, and settles it when the test says so. Time stands still unless
 * the test moves it.
 */
#ifndef KCT_CHANNEL_SIM_H
#define KCT_CHANNEL_SIM_H

#include "kcorod/channel.h"

#define SIM_GIVEN_MAX 4096

struct sim_client {
	struct kcd_attach attach;
	bool attached;
	struct sim_given {
		uint64_t number, value;
		uint32_t before;
	} given[SIM_GIVEN_MAX]; /* not settled, in the order of their numbers */
	unsigned n_given;
	uint32_t recall_wanted; /* of a RECALL not answered */
	bool recalled;
	bool draining; /* what it has written is to be read, then kcd_attach_drained() called */
};

struct sim_bell {
	struct kcd_bell bell;
	unsigned rings;
};

struct sim_wait {
	struct kcd_wait wait;
	struct sim_client *client;
	uint64_t values[64];
	bool pending;
	bool offered;
	int claimed; /* 0 no word yet, 1 yes, -1 no */
	long result;
};

struct sim {
	struct kcd_timers timers;
	struct kcd_channel *ch;
	bool gone;
};

void sim_init(struct sim *sim, const struct kcd_channel_options *opts);
void sim_done(struct sim *sim);
void sim_attach(struct sim *sim, struct sim_client *c, uint32_t roles);
void sim_detach(struct sim_client *c, bool died);
/* Let time pass. */
void sim_pass_ms(struct sim *sim, uint64_t ms);

/* Requests; the result is in w->result unless w->pending. Returns w->result, 0 = waits. */
long sim_send(struct sim_wait *w, struct sim_client *c, const uint64_t *values, uint32_t n,
	      bool try_once);
long sim_recv(struct sim_wait *w, struct sim_client *c, uint32_t max, bool lease, bool try_once);
/* The same as clauses of a select. */
long sim_offer_send(struct sim_wait *w, struct sim_client *c, uint64_t value,
		    struct kcd_group *group);
long sim_offer_recv(struct sim_wait *w, struct sim_client *c, struct kcd_group *group);
void sim_cancel(struct sim_wait *w);

/* Settle the i-th of what a client holds; removes it there. */
uint64_t sim_take(struct sim_client *c, unsigned i);
uint64_t sim_forget(struct sim_client *c, unsigned i);

/* The books balance and the rules of channel.h hold. */
void sim_check(const struct sim *sim);

struct kcd_channel_options sim_options(enum kcp_kind kind, uint32_t capacity);

#endif
