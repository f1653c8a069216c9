/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reader of the golden vectors in tests/golden (the format is in README there).
 * Vectors are what both sides are held against: the codec, the daemon that is sent
 * the client's frames, the client that is sent the daemon's.
 */
#ifndef KCT_GOLDEN_H
#define KCT_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

struct kct_field {
	uint16_t type;  /* KCP_T_; of an entry of STATISTICS: its number */
	uint8_t form;   /* enum kcp_tlv_form */
	unsigned depth; /* a container is followed by its fields, one deeper */
	uint8_t *data;  /* text and bytes */
	size_t len;
	uint64_t *list; /* numbers: one, or a list; two for each range */
	size_t count;
};

struct kct_vector {
	char name[48];
	char expect[16]; /* bad.txt only, whose vectors have no form, type and fields */
	unsigned form;   /* enum kcp_form */
	uint16_t type;
	uint64_t id;
	uint64_t seq;
	struct kct_field *fields;
	size_t n_fields;
	uint8_t *frame;
	size_t len;
};

struct kct_golden {
	struct kct_vector *vectors;
	size_t count;
};

/* Add the vectors of $KC_SRCDIR/tests/golden/FILE to *golden, which begins zeroed.
 * Returns 0, or -1 after a line on standard error that names file, line and fault. */
int kct_golden_load(struct kct_golden *golden, const char *file);

/* The same for all files but bad.txt. */
int kct_golden_load_all(struct kct_golden *golden);

void kct_golden_done(struct kct_golden *golden);

/* NULL if there is no vector of this name. */
const struct kct_vector *kct_golden_find(const struct kct_golden *golden, const char *name);

#endif
