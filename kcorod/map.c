/* SPDX-License-Identifier: BSD-3-Clause */
/* Hash maps: see map.h. Chained; doubled when full, halved when nearly empty. */
#include "kcorod/map.h"

#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

#define BITS_MIN 3u
#define BITS_KEPT 8u /* not shrunk further */

static uint64_t secret(void)
{
	static uint64_t value;

	/* Without random numbers the map still works, only less evenly under attack. */
	if (!value && (kci_random(&value, sizeof(value)) < 0 || !value))
		value = kci_clock_now() | 1;
	return value;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= UINT64_C(0xd6e8feb86659fd93);
	h ^= h >> 32;
	h *= UINT64_C(0xd6e8feb86659fd93);
	return h;
}

static size_t bucket(uint64_t key, unsigned bits)
{
	return (size_t)(mix(key ^ secret()) >> (64 - bits));
}

void kcd_map_init(struct kcd_map *map)
{
	*map = (struct kcd_map){ 0 };
}

void kcd_map_done(struct kcd_map *map)
{
	KC_FREE(map->buckets);
	kcd_map_init(map);
}

static int resize(struct kcd_map *map, unsigned bits)
{
	struct kcd_map_node **table = KC_CALLOC((size_t)1 << bits, sizeof(*table));

	/* A table of another size is slower or larger, not wrong. */
	if (!table)
		return map->buckets ? 0 : KC_ENOMEM;
	for (size_t i = 0; map->buckets && i < (size_t)1 << map->bits; i++) {
		struct kcd_map_node *node = map->buckets[i], *next;

		for (; node; node = next) {
			struct kcd_map_node **at = &table[bucket(node->key, bits)];

			next = node->next;
			node->next = *at;
			*at = node;
		}
	}
	KC_FREE(map->buckets);
	map->buckets = table;
	map->bits = bits;
	return 0;
}

int kcd_map_add(struct kcd_map *map, struct kcd_map_node *node, uint64_t key)
{
	struct kcd_map_node **at;
	int r;

	if (!map->buckets || map->n >= (size_t)1 << map->bits) {
		r = resize(map, map->buckets ? map->bits + 1 : BITS_MIN);
		if (r < 0)
			return r;
	}
	at = &map->buckets[bucket(key, map->bits)];
	node->key = key;
	node->next = *at;
	*at = node;
	map->n++;
	return 0;
}

struct kcd_map_node *kcd_map_find(const struct kcd_map *map, uint64_t key)
{
	struct kcd_map_node *node;

	if (map->n == 0)
		return NULL;
	for (node = map->buckets[bucket(key, map->bits)]; node; node = node->next)
		if (node->key == key)
			return node;
	return NULL;
}

struct kcd_map_node *kcd_map_again(const struct kcd_map_node *node)
{
	struct kcd_map_node *next = node->next;

	while (next && next->key != node->key)
		next = next->next;
	return next;
}

uint64_t kcd_map_key(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = secret() ^ len, word;

	for (; len > 0; len -= len < sizeof(word) ? len : sizeof(word), p += sizeof(word)) {
		word = 0;
		memcpy(&word, p, len < sizeof(word) ? len : sizeof(word));
		h = mix((h ^ word) * UINT64_C(0x9e3779b97f4a7c15));
	}
	return h;
}

void kcd_map_remove(struct kcd_map *map, struct kcd_map_node *node)
{
	struct kcd_map_node **at = &map->buckets[bucket(node->key, map->bits)];

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	node->next = NULL;
	map->n--;
	if (map->bits > BITS_KEPT && map->n < (size_t)1 << (map->bits - 3))
		(void)resize(map, map->bits - 1);
}

struct kcd_map_node *kcd_map_any(const struct kcd_map *map)
{
	for (size_t i = 0; map->n > 0 && i < (size_t)1 << map->bits; i++)
		if (map->buckets[i])
			return map->buckets[i];
	return NULL;
}
