/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration: one JSON file, read strictly. Every key may be missing and
 * then has its default; `kcorod --print-config` shows all of them. An unknown key
 * or a value out of range is an error that names file, key and what is allowed,
 * and nothing of the file takes effect.
 *
 *	{
 *	  "socket": { "path": "/run/kcorod/kcorod.sock", "mode": "0660", "group": "kcoro" },
 *	  "log": { "level": "info" },
 *	  "session": { "grace_ms": 10000 },
 *	  "limits": { "connections": 4096, "message": 1048576 },
 *	  "user_limits": { "connections": 1024 }
 *	}
 */
#ifndef KCD_CONFIG_H
#define KCD_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "kcorod/log.h"

#define KCD_CONFIG_TEXT 256
#define KCD_CONFIG_WHY 512
#define KCD_CONFIG_MODE_AUTO UINT64_MAX /* 0666 for the system's daemon, else 0600 */

struct kcd_config {
	char socket_path[KCD_CONFIG_TEXT];  /* "": the default place */
	char socket_group[KCD_CONFIG_TEXT]; /* "": as it comes */
	uint64_t socket_mode;
	uint64_t log_level; /* enum kcd_log_level */

	uint64_t grace_ms; /* how long a session outlives its connection */

	uint64_t connections;   /* suspended sessions included */
	uint64_t channels;      /* destroyed ones that somebody still drains included */
	uint64_t attachments;   /* of one session */
	uint64_t requests;      /* of one session: waiting, and replies not confirmed */
	uint64_t descriptors;   /* kept to wake clients that wait on theirs */
	uint64_t message;       /* bytes of the largest message */
	uint64_t channel_bytes; /* bytes one channel may be made for */
	uint64_t bytes;         /* held for all channels and waiting sends */
	uint64_t output_high;   /* bytes waiting for one client: read no more from it */
	uint64_t output_max;    /* bytes waiting for one client: hang up */

	uint64_t user_connections; /* the same for each uid */
	uint64_t user_channels;
	uint64_t user_descriptors;
	uint64_t user_bytes;
	uint64_t user_buffers; /* bytes of all its connections' input and output buffers */
};

/* All defaults. */
void kcd_config_init(struct kcd_config *config);

/*
 * Read a file over the defaults. Returns 0, or KC_EINVAL, KC_ENOENT, KC_EACCES or
 * KC_ENOMEM with a sentence in `why`; *ret is written on success only.
 */
int kcd_config_load(const char *path, struct kcd_config *ret, char why[KCD_CONFIG_WHY]);

/* The same from text; `name` stands in front of errors. */
int kcd_config_parse(const char *name, const char *text, size_t len, struct kcd_config *ret,
		     char why[KCD_CONFIG_WHY]);

/* Print it as JSON. 0 or KC_ENOMEM. */
int kcd_config_print(const struct kcd_config *config, FILE *out);

#endif
