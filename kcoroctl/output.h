/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCOROCTL_OUTPUT_H
#define KCOROCTL_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

#include "kcoro.h"

/*
 * How reports look: tables for people, JSON for programs. Colour only where a
 * terminal reads and NO_COLOR does not forbid it.
 */
#define OUT_TEXT_MAX 160

struct out_text {
	char s[OUT_TEXT_MAX];
};

const char *out_bold(FILE *to);
const char *out_red(FILE *to);
const char *out_plain(FILE *to);

/* words for people */
const char *out_kind(enum kc_kind kind);
const char *out_overflow(enum kc_overflow overflow);
struct out_text out_id(uint64_t id);	   /* "@1f" */
struct out_text out_user(unsigned uid);	   /* "ann (uid 1000)" */
struct out_text out_group(unsigned gid);   /* "staff (gid 50)" */
struct out_text out_rights(unsigned mode); /* "owner receive send administer; ..." */
struct out_text out_elements(const struct kc_ipc_chan_info *info);
void out_ledger(const struct kc_ledger *ledger);

/* JSON: objects that end in a line */
enum out_parts { OUT_CHANNEL = 1, OUT_LEDGER = 2 };
void out_json_chan(const struct kc_ipc_chan_info *info, enum out_parts parts);
void out_json_daemon(const struct kc_ipc_daemon_stats *stats);
/* {"channel": NAME, "id": "@..", MEMBER: NUMBER}; without a member only the first two */
void out_json_done(const struct kc_ipc_chan_info *info, const char *member, long number);
void out_json_ping(const char *version, uint64_t pid, double round_trip_us);
/* a list of channels: begin, one out_json_chan_item() each, end */
void out_json_list_item(const struct kc_ipc_chan_info *info, bool first);
void out_json_list_end(bool empty);

#endif
