/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pools: memory that is handed back and forth instead of being allocated anew
 * for every frame. A pool keeps a bounded number of free pieces; beyond that
 * they go back to the allocator.
 */
#ifndef KCD_POOL_H
#define KCD_POOL_H

#include <stddef.h>

struct kcd_pool {
	size_t size; /* of a piece */
	size_t keep; /* free pieces kept at most */
	size_t n;    /* free pieces */
	void *free;  /* the first word of a free piece points to the next */
};

void kcd_pool_init(struct kcd_pool *pool, size_t size, size_t keep);
/* Free what is in it; it may be used on. */
void kcd_pool_done(struct kcd_pool *pool);

/* A piece with undefined contents, or NULL. */
void *kcd_pool_get(struct kcd_pool *pool);

/* NULL is fine. */
void kcd_pool_put(struct kcd_pool *pool, void *piece);

/* Byte buffers of any size: small ones come from pools of a few sizes. */
#define KCD_BUFS_CLASSES 3

struct kcd_bufs {
	struct kcd_pool classes[KCD_BUFS_CLASSES];
};

void kcd_bufs_init(struct kcd_bufs *bufs);
void kcd_bufs_done(struct kcd_bufs *bufs);
void *kcd_bufs_get(struct kcd_bufs *bufs, size_t size);
/* `size` as it was asked for. NULL is fine. */
void kcd_bufs_put(struct kcd_bufs *bufs, void *buf, size_t size);

#endif
