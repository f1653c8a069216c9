/* SPDX-License-Identifier: BSD-3-Clause */
/* Pools: see pool.h. */
#include "kcorod/pool.h"

#include <string.h>

#include "libkcoro-client/port/kcoro_port.h"

void kcd_pool_init(struct kcd_pool *pool, size_t size, size_t keep)
{
	*pool = (struct kcd_pool){ .size = size < sizeof(void *) ? sizeof(void *) : size,
				   .keep = keep };
}

void kcd_pool_done(struct kcd_pool *pool)
{
	while (pool->n > 0)
		KC_FREE(kcd_pool_get(pool));
}

void *kcd_pool_get(struct kcd_pool *pool)
{
	void *piece = pool->free;

	if (!piece)
		return KC_ALLOC(pool->size);
	memcpy(&pool->free, piece, sizeof(pool->free));
	pool->n--;
	return piece;
}

void kcd_pool_put(struct kcd_pool *pool, void *piece)
{
	if (!piece)
		return;
	if (pool->n >= pool->keep) {
		KC_FREE(piece);
		return;
	}
	memcpy(piece, &pool->free, sizeof(pool->free));
	pool->free = piece;
	pool->n++;
}

static const struct {
	size_t size, keep;
} classes[KCD_BUFS_CLASSES] = { { 256, 1024 }, { 4096, 256 }, { 65536, 32 } };

void kcd_bufs_init(struct kcd_bufs *bufs)
{
	for (size_t i = 0; i < KCD_BUFS_CLASSES; i++)
		kcd_pool_init(&bufs->classes[i], classes[i].size, classes[i].keep);
}

void kcd_bufs_done(struct kcd_bufs *bufs)
{
	for (size_t i = 0; i < KCD_BUFS_CLASSES; i++)
		kcd_pool_done(&bufs->classes[i]);
}

static struct kcd_pool *class_of(struct kcd_bufs *bufs, size_t size)
{
	for (size_t i = 0; i < KCD_BUFS_CLASSES; i++)
		if (size <= classes[i].size)
			return &bufs->classes[i];
	return NULL;
}

void *kcd_bufs_get(struct kcd_bufs *bufs, size_t size)
{
	struct kcd_pool *pool = class_of(bufs, size);

	return pool ? kcd_pool_get(pool) : KC_ALLOC(size);
}

void kcd_bufs_put(struct kcd_bufs *bufs, void *buf, size_t size)
{
	struct kcd_pool *pool = class_of(bufs, size);

	if (pool)
		kcd_pool_put(pool, buf);
	else
		KC_FREE(buf);
}
