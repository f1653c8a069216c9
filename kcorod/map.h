/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Intrusive hash maps from u64 to the object that contains the node: requests by
 * id, attachments by number, sessions by token, users by uid. The map owns
 * nothing. Keys that clients choose are mixed with a random number of this
 * process, so that nobody can aim at one bucket.
 */
#ifndef KCD_MAP_H
#define KCD_MAP_H

#include <stddef.h>
#include <stdint.h>

struct kcd_map_node {
	struct kcd_map_node *next;
	uint64_t key;
};

struct kcd_map {
	struct kcd_map_node **buckets; /* NULL while empty */
	size_t n;
	unsigned bits; /* 1 << bits buckets */
};

void kcd_map_init(struct kcd_map *map);

/* Frees the table; the map must be empty by then. */
void kcd_map_done(struct kcd_map *map);

/* 0 or KC_ENOMEM. Keys need not differ, if whoever looks for them knows how to tell. */
int kcd_map_add(struct kcd_map *map, struct kcd_map_node *node, uint64_t key);

/* NULL if there is none. */
struct kcd_map_node *kcd_map_find(const struct kcd_map *map, uint64_t key);

/* Another one of the same key, after this one; NULL: none. */
struct kcd_map_node *kcd_map_again(const struct kcd_map_node *node);

/* A key for bytes that clients choose: whoever does not know this process's random number
 * does not find two of the same key. Equal keys do not mean equal bytes. */
uint64_t kcd_map_key(const void *data, size_t len);

/* The node must be there. */
void kcd_map_remove(struct kcd_map *map, struct kcd_map_node *node);

/* Any node, or NULL when the map is empty. */
struct kcd_map_node *kcd_map_any(const struct kcd_map *map);

#endif
