/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All channels, by id and by name.
 *
 * An id is a slot of a table and a generation that begins at a random number and
 * never repeats, so an id never names another channel later. Names are found in a
 * hash map, and listed in byte order from any point on along a list; a treap knows
 * where in that list a name belongs.
 */
#ifndef KCD_REGISTRY_H
#define KCD_REGISTRY_H

#include <stddef.h>
#include <stdint.h>

#include "kcorod/channel.h"
#include "kcorod/list.h"
#include "kcorod/map.h"
#include "kcorod/quota.h"
#include "kcorod/reap.h"

struct kcd_entry {
	struct kcd_channel *channel;
	struct kcd_user *owner;
	struct kcd_map_node by_name;    /* registry->names */
	struct kcd_list order;          /* registry->order; both while it has its name */
	struct kcd_entry *left, *right; /* the treap */
	uint64_t priority;
	size_t slot;
	struct kcd_corpse corpse;
	uint32_t len; /* of the name */
	char name[];  /* as long as it is: most of 255 bytes would be empty */
};

struct kcd_registry {
	struct kcd_entry **slots; /* NULL: free */
	size_t n_slots;
	size_t *free_slots; /* a stack */
	size_t n_free;
	size_t n; /* channels, destroyed ones that are still drained included */
	struct kcd_map names;  /* by a hash of the name */
	struct kcd_list order; /* by name */
	struct kcd_entry *root; /* where in that order a name belongs */
	uint64_t generation;
	uint64_t random; /* state for priorities */
};

/* 0 or a KC_E* code (no random numbers). */
int kcd_registry_init(struct kcd_registry *reg);
/* Must be empty. */
void kcd_registry_done(struct kcd_registry *reg);

/*
 * Take a channel in under a name that is free and correct; sets its name and id. On
 * success the entry owns the channel and a reference to its owner.
 * 0 or KC_ENOMEM.
 */
int kcd_registry_add(struct kcd_registry *reg, struct kcd_channel *channel, const char *name,
		     size_t len, struct kcd_user *owner);

/* NULL: no such channel, or a destroyed one. */
struct kcd_channel *kcd_registry_by_name(const struct kcd_registry *reg, const char *name,
					 size_t len);
struct kcd_channel *kcd_registry_by_id(const struct kcd_registry *reg, uint64_t id);

/* The first channel whose name is after `name` in byte order ("": the first of all). */
struct kcd_channel *kcd_registry_after(const struct kcd_registry *reg, const char *name,
				       size_t len);

/* The one after this one, which has its name, in byte order; NULL: none. */
struct kcd_channel *kcd_registry_next(const struct kcd_registry *reg,
				      const struct kcd_channel *channel);

/* The entry of a channel, destroyed or not. */
struct kcd_entry *kcd_registry_entry(const struct kcd_registry *reg,
				     const struct kcd_channel *channel);

/* Free the name; the channel itself stays. To be called before it is destroyed. */
void kcd_registry_unname(struct kcd_registry *reg, struct kcd_channel *channel);

/* Free entry and channel. */
void kcd_registry_free(struct kcd_registry *reg, struct kcd_entry *entry);

#endif
