/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What hostile clients write: one script per connection, made of random numbers, so
 * that a seed says all. A script knows nothing of the answers: ids, attachments and
 * deliveries are guessed, and mostly right.
 */
#ifndef FAULT_SCRIPTS_H
#define FAULT_SCRIPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/buf.h"
#include "proto/wire.h"

enum script_kind {
	SCRIPT_NOISE,     /* random bytes, from the first on or behind HELLO */
	SCRIPT_TRUNCATED, /* stops half way in a frame */
	SCRIPT_OVERSIZED, /* a frame longer than the daemon takes */
	SCRIPT_HEADERS,   /* frames with damaged headers */
	SCRIPT_DISORDER,  /* good frames at the wrong time */
	SCRIPT_MUTATED,   /* good headers, damaged TLVs */
	SCRIPT_BUSY,      /* nothing wrong at all, but it vanishes in the middle */
	SCRIPT_DEAF,      /* asks for much and never reads */
	SCRIPT_VANISH,    /* opens and is gone */
	SCRIPT_RESUME,    /* cut, and gone again while it resumes */
	SCRIPT_TOKEN,     /* resumes with a token that is wrong */
	SCRIPT_KINDS,
};

struct script {
	enum script_kind kind;
	struct kcp_buf out; /* all it writes */
	bool reads;
	bool again;       /* wants its token, and another connection after this one */
	uint32_t hold_ms; /* how long it stays when it has written all */
};

/* A new script in `s`, which begins zeroed or is one that is over. */
void script_new(struct script *s, uint64_t *random);

/* The second connection of one that asked for it. */
void script_again(struct script *s, const uint8_t token[KCP_TOKEN_SIZE], uint64_t *random);

void script_done(struct script *s);

#endif
