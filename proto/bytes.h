/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Little-endian numbers at any address. Compilers turn each of these into one
 * move on little-endian machines; the wire stays the same on all others.
 */
#ifndef KCP_BYTES_H
#define KCP_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t kcp_load_u16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t kcp_load_u32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t kcp_load_u64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline void kcp_store_u16(void *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void kcp_store_u32(void *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void kcp_store_u64(void *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

#endif
