/* SPDX-License-Identifier: BSD-3-Clause */
/* All channels: see registry.h. */
#include "kcorod/registry.h"

#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

#define SLOT_BITS 24
#define SLOTS_MAX ((size_t)1 << SLOT_BITS)
#define GENERATION_MASK ((UINT64_C(1) << (64 - SLOT_BITS)) - 1)

int kcd_registry_init(struct kcd_registry *reg)
{
	*reg = (struct kcd_registry){ 0 };
	kcd_map_init(&reg->names);
	kcd_list_init(&reg->order);
	if (kci_random(&reg->generation, sizeof(reg->generation)) < 0 ||
	    kci_random(&reg->random, sizeof(reg->random)) < 0)
		return KC_ENOTSUP;
	return 0;
}

void kcd_registry_done(struct kcd_registry *reg)
{
	KC_FREE(reg->slots);
	KC_FREE(reg->free_slots);
	kcd_map_done(&reg->names);
	*reg = (struct kcd_registry){ 0 };
}

/* ---- slots ------------------------------------------------------------------ */

static int grow(struct kcd_registry *reg)
{
	size_t n = reg->n_slots ? reg->n_slots * 2 : 64;
	struct kcd_entry **slots;
	size_t *free_slots;

	if (n > SLOTS_MAX)
		return KC_ENOMEM;
	/* The stack of free slots has room for all of them, so freeing one cannot fail. */
	free_slots = KC_REALLOC(reg->free_slots, n, sizeof(*free_slots));
	if (!free_slots)
		return KC_ENOMEM;
	reg->free_slots = free_slots;
	slots = KC_REALLOC(reg->slots, n, sizeof(*slots));
	if (!slots)
		return KC_ENOMEM;
	reg->slots = slots;
	for (size_t i = n; i-- > reg->n_slots;) {
		slots[i] = NULL;
		free_slots[reg->n_free++] = i;
	}
	reg->n_slots = n;
	return 0;
}

static uint64_t next_id(struct kcd_registry *reg, size_t slot)
{
	do
		reg->generation = (reg->generation + 1) & GENERATION_MASK;
	while (reg->generation == 0);
	return reg->generation << SLOT_BITS | slot;
}

struct kcd_entry *kcd_registry_entry(const struct kcd_registry *reg,
				     const struct kcd_channel *channel)
{
	return reg->slots[channel->id & (SLOTS_MAX - 1)];
}

/* ---- the treap -------------------------------------------------------------- */

static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int compare_entry(const char *name, size_t len, const struct kcd_entry *e)
{
	return compare(name, len, e->name, e->len);
}

/* Two treaps, all names of `a` before all of `b`, become one. */
static struct kcd_entry *join(struct kcd_entry *a, struct kcd_entry *b)
{
	struct kcd_entry *root, **at = &root;

	while (a && b) {
		if (a->priority >= b->priority) {
			*at = a;
			at = &a->right;
			a = a->right;
		} else {
			*at = b;
			at = &b->left;
			b = b->left;
		}
	}
	*at = a ? a : b;
	return root;
}

static void treap_insert(struct kcd_registry *reg, struct kcd_entry *entry)
{
	const char *name = entry->name;
	size_t len = entry->len;
	struct kcd_entry **at = &reg->root, *rest, **less, **more;

	/* splitmix64: priorities need only be hard to guess, not secret */
	uint64_t x = reg->random += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	entry->priority = x ^ x >> 31;
	while (*at && (*at)->priority >= entry->priority)
		at = compare_entry(name, len, *at) < 0 ? &(*at)->left : &(*at)->right;
	/* What hangs here is split: lesser names to the left, greater ones to the right. */
	rest = *at;
	*at = entry;
	less = &entry->left;
	more = &entry->right;
	while (rest) {
		if (compare_entry(name, len, rest) < 0) {
			*more = rest;
			more = &rest->left;
			rest = rest->left;
		} else {
			*less = rest;
			less = &rest->right;
			rest = rest->right;
		}
	}
	*less = *more = NULL;
}

static void treap_remove(struct kcd_registry *reg, struct kcd_entry *entry)
{
	struct kcd_entry **at = &reg->root;

	while (*at != entry)
		at = compare_entry(entry->name, entry->len, *at) < 0 ? &(*at)->left
								     : &(*at)->right;
	*at = join(entry->left, entry->right);
	entry->left = entry->right = NULL;
}

/* The first entry whose name is after this one, or NULL. */
static struct kcd_entry *treap_after(const struct kcd_registry *reg, const char *name, size_t len)
{
	struct kcd_entry *e = reg->root, *best = NULL;

	while (e) {
		if (compare_entry(name, len, e) < 0) {
			best = e;
			e = e->left;
		} else {
			e = e->right;
		}
	}
	return best;
}

/* ---- names ------------------------------------------------------------------ */

/* 0 or KC_ENOMEM. */
static int give_name(struct kcd_registry *reg, struct kcd_entry *entry)
{
	struct kcd_entry *after = treap_after(reg, entry->name, entry->len);

	if (kcd_map_add(&reg->names, &entry->by_name, kcd_map_key(entry->name, entry->len)) < 0)
		return KC_ENOMEM;
	treap_insert(reg, entry);
	kcd_list_insert(after ? &after->order : &reg->order, &entry->order);
	return 0;
}

void kcd_registry_unname(struct kcd_registry *reg, struct kcd_channel *channel)
{
	struct kcd_entry *entry = kcd_registry_entry(reg, channel);

	kcd_map_remove(&reg->names, &entry->by_name);
	treap_remove(reg, entry);
	kcd_list_remove(&entry->order);
}

struct kcd_channel *kcd_registry_by_name(const struct kcd_registry *reg, const char *name,
					 size_t len)
{
	struct kcd_map_node *node = kcd_map_find(&reg->names, kcd_map_key(name, len));

	for (; node; node = kcd_map_again(node)) {
		struct kcd_entry *e = KCD_CONTAINER(node, struct kcd_entry, by_name);

		if (compare_entry(name, len, e) == 0)
			return e->channel;
	}
	return NULL;
}

struct kcd_channel *kcd_registry_after(const struct kcd_registry *reg, const char *name,
				       size_t len)
{
	struct kcd_entry *entry = treap_after(reg, name, len);

	return entry ? entry->channel : NULL;
}

struct kcd_channel *kcd_registry_next(const struct kcd_registry *reg,
				      const struct kcd_channel *channel)
{
	struct kcd_list *next = kcd_registry_entry(reg, channel)->order.next;

	return next == &reg->order ? NULL : KCD_CONTAINER(next, struct kcd_entry, order)->channel;
}

/* ---- both ------------------------------------------------------------------- */

struct kcd_channel *kcd_registry_by_id(const struct kcd_registry *reg, uint64_t id)
{
	size_t slot = id & (SLOTS_MAX - 1);
	struct kcd_entry *entry = slot < reg->n_slots ? reg->slots[slot] : NULL;

	if (!entry || entry->channel->id != id || entry->channel->destroyed)
		return NULL;
	return entry->channel;
}

int kcd_registry_add(struct kcd_registry *reg, struct kcd_channel *channel, const char *name,
		     size_t len, struct kcd_user *owner)
{
	struct kcd_entry *entry;

	if (reg->n_free == 0 && grow(reg) < 0)
		return KC_ENOMEM;
	entry = KC_CALLOC(1, sizeof(*entry) + len + 1);
	if (!entry)
		return KC_ENOMEM;
	entry->channel = channel;
	memcpy(entry->name, name, len);
	entry->len = (uint32_t)len;
	if (give_name(reg, entry) < 0) {
		KC_FREE(entry);
		return KC_ENOMEM;
	}
	entry->owner = kcd_user_ref(owner);
	entry->slot = reg->free_slots[--reg->n_free];
	reg->slots[entry->slot] = entry;
	reg->n++;
	channel->name = entry->name;
	channel->id = next_id(reg, entry->slot);
	return 0;
}

void kcd_registry_free(struct kcd_registry *reg, struct kcd_entry *entry)
{
	reg->slots[entry->slot] = NULL;
	reg->free_slots[reg->n_free++] = entry->slot;
	reg->n--;
	kcd_channel_free(entry->channel);
	kcd_user_unref(entry->owner);
	KC_FREE(entry);
}
