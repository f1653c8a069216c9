/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The growing byte buffer. It doubles, so that n bytes added one by one cost n
 * copies in all; the last step stops at the bound.
 */
#include "proto/buf.h"

#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/bytes.h"

#define BUF_FIRST_SIZE ((size_t)256)

void kcp_buf_init(struct kcp_buf *buf, size_t max)
{
	*buf = (struct kcp_buf){ .max = max };
}

void kcp_buf_done(struct kcp_buf *buf)
{
	if (!buf)
		return;
	KC_FREE(buf->data);
	kcp_buf_init(buf, buf->max);
}

void kcp_buf_clear(struct kcp_buf *buf)
{
	buf->len = 0;
	buf->failed = 0;
}

void kcp_buf_truncate(struct kcp_buf *buf, size_t len)
{
	if (len < buf->len)
		buf->len = len;
	buf->failed = 0;
}

static int buf_grow(struct kcp_buf *buf, size_t need)
{
	size_t cap = buf->cap < BUF_FIRST_SIZE ? BUF_FIRST_SIZE : buf->cap;
	uint8_t *data;

	while (cap < need)
		cap = cap > buf->max / 2 ? buf->max : cap * 2;
	/* the first step may be over a tiny bound */
	if (cap > buf->max)
		cap = buf->max;
	data = KC_REALLOC(buf->data, cap, 1);
	if (!data)
		return KC_ENOMEM;
	buf->data = data;
	buf->cap = cap;
	return 0;
}

uint8_t *kcp_buf_reserve(struct kcp_buf *buf, size_t n)
{
	if (buf->failed)
		return NULL;
	if (n > buf->max || buf->len > buf->max - n) {
		buf->failed = KC_EMSGSIZE;
		return NULL;
	}
	/* a place for 0 bytes is a place too: NULL would mean failure */
	if (n > buf->cap - buf->len || !buf->data) {
		buf->failed = buf_grow(buf, buf->len + n);
		if (buf->failed)
			return NULL;
	}
	return buf->data + buf->len;
}

uint8_t *kcp_buf_extend(struct kcp_buf *buf, size_t n)
{
	uint8_t *place = kcp_buf_reserve(buf, n);

	if (place)
		buf->len += n;
	return place;
}

void kcp_buf_add(struct kcp_buf *buf, const void *data, size_t len)
{
	uint8_t *place;

	if (!len)
		return;
	place = kcp_buf_extend(buf, len);
	if (place)
		memcpy(place, data, len);
}

void kcp_buf_add_u32(struct kcp_buf *buf, uint32_t value)
{
	uint8_t *place = kcp_buf_extend(buf, 4);

	if (place)
		kcp_store_u32(place, value);
}

void kcp_buf_add_u64(struct kcp_buf *buf, uint64_t value)
{
	uint8_t *place = kcp_buf_extend(buf, 8);

	if (place)
		kcp_store_u64(place, value);
}
