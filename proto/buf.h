/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A growing byte buffer with a bound and a sticky error.
 *
 * Writers add without looking; the first failure (bound reached, no memory) stays
 * in `failed`, everything added after it is ignored, and one look at the end says
 * whether all of it arrived. The bound is why no peer can make us grow for ever.
 */
#ifndef KCP_BUF_H
#define KCP_BUF_H

#include <stddef.h>
#include <stdint.h>

struct kcp_buf {
	uint8_t *data; /* NULL until something was added */
	size_t len;
	size_t cap;
	size_t max; /* len never exceeds it */
	int failed; /* 0, KC_EMSGSIZE (over max) or KC_ENOMEM */
};

/* Allocates nothing. */
void kcp_buf_init(struct kcp_buf *buf, size_t max);

/* Frees the contents; the buffer is as after init. NULL is fine. */
void kcp_buf_done(struct kcp_buf *buf);

/* Empty and without failure, the memory is kept for the next use. */
void kcp_buf_clear(struct kcp_buf *buf);

/* Back to a former length (not above the present one), and without failure. */
void kcp_buf_truncate(struct kcp_buf *buf, size_t len);

/*
 * kcp_buf_reserve - room for n more bytes behind the contents
 *
 * Returns where they go (len does not change), or NULL with `failed` set.
 * Valid until the next call on the buffer.
 */
uint8_t *kcp_buf_reserve(struct kcp_buf *buf, size_t n);

/* Like reserve, but the n bytes belong to the contents at once. */
uint8_t *kcp_buf_extend(struct kcp_buf *buf, size_t n);

void kcp_buf_add(struct kcp_buf *buf, const void *data, size_t len);
void kcp_buf_add_u32(struct kcp_buf *buf, uint32_t value);
void kcp_buf_add_u64(struct kcp_buf *buf, uint64_t value);

#endif
