/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The page a session shares with its client: a cursor for each attachment that asked
 * for one (PROTOCOL.md section 7.5).
 */
#ifndef KCD_PAGE_H
#define KCD_PAGE_H

#include <stdint.h>

#include "proto/cursor.h"

struct kcd_page {
	int fd; /* the memory, to be passed to the client */
	struct kcp_cursor *cursors;
	uint64_t used; /* a bit for each cursor */
};

/* NULL: no memory, or no descriptor. */
struct kcd_page *kcd_page_new(void);
struct kcd_page *kcd_page_free(struct kcd_page *page);

/* A cursor that nobody has, all 0; NULL: all are taken. */
struct kcp_cursor *kcd_page_take(struct kcd_page *page);
void kcd_page_give(struct kcd_page *page, struct kcp_cursor *cursor);

/* Where it lies, in bytes. */
uint32_t kcd_page_offset(const struct kcd_page *page, const struct kcp_cursor *cursor);

#endif
