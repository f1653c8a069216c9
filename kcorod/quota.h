/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Users: what each uid has of the daemon, and how much it may have.
 *
 * A record exists as long as somebody refers to it: a connection, a session, a
 * channel. Every limit has the name of its key in the configuration, so that an
 * answer of DQUOT tells the administrator what to change.
 */
#ifndef KCD_QUOTA_H
#define KCD_QUOTA_H

#include <stdint.h>
#include <sys/types.h>

#include "kcorod/config.h"
#include "kcorod/elements.h"
#include "kcorod/map.h"
#include "kcorod/turns.h"

struct kcd_users {
	struct kcd_map map; /* by uid */
	const struct kcd_config *config;
};

struct kcd_user {
	struct kcd_map_node node;
	struct kcd_users *users;
	uint32_t refs;
	uint64_t connections; /* suspended sessions included */
	uint64_t channels;
	uint64_t descriptors; /* kept to wake clients */
	struct kcd_budget bytes;
	struct kcd_budget buffers;
	struct kcd_share share; /* of the daemon's time */
};

void kcd_users_init(struct kcd_users *users, const struct kcd_config *config);
void kcd_users_done(struct kcd_users *users);

/* The record of a uid, with one more reference. NULL: no memory. */
struct kcd_user *kcd_users_get(struct kcd_users *users, uid_t uid);
struct kcd_user *kcd_user_ref(struct kcd_user *user);
void kcd_user_unref(struct kcd_user *user);

/*
 * Count one more of something, unless that is one too many. Returns 0, or KC_EDQUOT with
 * the limit's name.
 */
int kcd_count_take(uint64_t *counter, uint64_t max, const char *name, const char **ret_limit);

/* Charge bytes to both budgets or to none: 0, or KC_EDQUOT with the limit's name. */
int kcd_budgets_take(struct kcd_budget *daemon, struct kcd_budget *user, uint64_t bytes,
		     const char **ret_limit);
void kcd_budgets_give(struct kcd_budget *daemon, struct kcd_budget *user, uint64_t bytes);

#endif
