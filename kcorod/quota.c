/* SPDX-License-Identifier: BSD-3-Clause */
/* Users: see quota.h. */
#include "kcorod/quota.h"

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

void kcd_users_init(struct kcd_users *users, const struct kcd_config *config)
{
	kcd_map_init(&users->map);
	users->config = config;
}

void kcd_users_done(struct kcd_users *users)
{
	kcd_map_done(&users->map);
}

struct kcd_user *kcd_users_get(struct kcd_users *users, uid_t uid)
{
	struct kcd_map_node *node = kcd_map_find(&users->map, uid);
	struct kcd_user *user;

	if (node)
		return kcd_user_ref(KCD_CONTAINER(node, struct kcd_user, node));
	user = KC_CALLOC(1, sizeof(*user));
	if (!user)
		return NULL;
	if (kcd_map_add(&users->map, &user->node, uid) < 0) {
		KC_FREE(user);
		return NULL;
	}
	user->users = users;
	user->refs = 1;
	user->bytes = (struct kcd_budget){ .max = users->config->user_bytes,
					   .name = "user_limits.bytes" };
	user->buffers = (struct kcd_budget){ .max = users->config->user_buffers,
					     .name = "user_limits.buffers" };
	kcd_share_init(&user->share);
	return user;
}

struct kcd_user *kcd_user_ref(struct kcd_user *user)
{
	user->refs++;
	return user;
}

void kcd_user_unref(struct kcd_user *user)
{
	if (!user || --user->refs > 0)
		return;
	kcd_share_done(&user->share);
	kcd_map_remove(&user->users->map, &user->node);
	KC_FREE(user);
}

int kcd_count_take(uint64_t *counter, uint64_t max, const char *name, const char **ret_limit)
{
	if (*counter >= max) {
		*ret_limit = name;
		return KC_EDQUOT;
	}
	++*counter;
	return 0;
}

static int take(struct kcd_budget *budget, uint64_t bytes, const char **ret_limit)
{
	if (budget->used > budget->max || bytes > budget->max - budget->used) {
		*ret_limit = budget->name;
		return KC_EDQUOT;
	}
	budget->used += bytes;
	return 0;
}

int kcd_budgets_take(struct kcd_budget *daemon, struct kcd_budget *user, uint64_t bytes,
		     const char **ret_limit)
{
	int r = take(daemon, bytes, ret_limit);

	if (r < 0)
		return r;
	r = take(user, bytes, ret_limit);
	if (r < 0)
		daemon->used -= bytes;
	return r;
}

void kcd_budgets_give(struct kcd_budget *daemon, struct kcd_budget *user, uint64_t bytes)
{
	daemon->used -= bytes;
	user->used -= bytes;
}
