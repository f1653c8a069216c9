/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Words and colours for people. What is for programs is in json.c.
 */
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "kcoroctl/output.h"

static bool coloured(FILE *to)
{
	const char *no = getenv("NO_COLOR");

	return !(no && *no) && isatty(fileno(to));
}

const char *out_bold(FILE *to)
{
	return coloured(to) ? "\033[1m" : "";
}

const char *out_red(FILE *to)
{
	return coloured(to) ? "\033[1;31m" : "";
}

const char *out_plain(FILE *to)
{
	return coloured(to) ? "\033[0m" : "";
}

const char *out_kind(enum kc_kind kind)
{
	switch (kind) {
	case KC_RENDEZVOUS:
		return "rendezvous";
	case KC_BUFFERED:
		return "buffered";
	case KC_CONFLATED:
		return "conflated";
	case KC_UNLIMITED:
		return "unlimited";
	}
	return "unknown";
}

const char *out_overflow(enum kc_overflow overflow)
{
	switch (overflow) {
	case KC_OVERFLOW_BLOCK:
		return "block";
	case KC_OVERFLOW_DROP_OLDEST:
		return "drop-oldest";
	case KC_OVERFLOW_DROP_NEWEST:
		return "drop-newest";
	}
	return "unknown";
}

struct out_text out_id(uint64_t id)
{
	struct out_text text;

	snprintf(text.s, sizeof(text.s), "@%" PRIx64, id);
	return text;
}

struct out_text out_user(unsigned uid)
{
	const struct passwd *user = getpwuid(uid);
	struct out_text text;

	if (user)
		snprintf(text.s, sizeof(text.s), "%s (uid %u)", user->pw_name, uid);
	else
		snprintf(text.s, sizeof(text.s), "uid %u", uid);
	return text;
}

struct out_text out_group(unsigned gid)
{
	const struct group *group = getgrgid(gid);
	struct out_text text;

	if (group)
		snprintf(text.s, sizeof(text.s), "%s (gid %u)", group->gr_name, gid);
	else
		snprintf(text.s, sizeof(text.s), "gid %u", gid);
	return text;
}

struct out_text out_rights(unsigned mode)
{
	static const char *const who[] = { "owner", "group", "others" };
	struct out_text text;
	int used = 0;

	for (int i = 0; i < 3; i++) {
		unsigned bits = mode >> (6 - 3 * i) & 7;

		used += snprintf(text.s + used, sizeof(text.s) - (size_t)used, "%s%s:%s%s%s%s",
				 i ? ", " : "", who[i], bits & 4 ? " receive" : "",
				 bits & 2 ? " send" : "", bits & 1 ? " administer" : "",
				 bits ? "" : " nothing");
	}
	return text;
}

struct out_text out_elements(const struct kc_ipc_chan_info *info)
{
	struct out_text text;

	if (info->elem_size)
		snprintf(text.s, sizeof(text.s), "%zu %s each", info->elem_size,
			 info->elem_size == 1 ? "byte" : "bytes");
	else
		snprintf(text.s, sizeof(text.s), "messages of up to %zu bytes", info->max_msg);
	return text;
}

static void ledger_line(const char *sign, const char *name, uint64_t n)
{
	printf("  %s %-18s %20" PRIu64 "\n", sign, name, n);
}

/* A reason is worth a line only once it has happened. */
static void ledger_reason(const char *name, uint64_t n)
{
	if (n)
		printf("      %-16s %20" PRIu64 "\n", name, n);
}

void out_ledger(const struct kc_ledger *l)
{
	int64_t missing = kc_ledger_balance(l);

	ledger_line(" ", "sent", l->sent);
	ledger_line("=", "received", l->received);
	ledger_line("+", "queued", l->queued);
	ledger_line("+", "leased", l->leased);
	ledger_line("+", "conflated", l->conflated);
	ledger_line("+", "dropped", kc_ledger_dropped(l));
	ledger_reason("oldest", l->dropped_oldest);
	ledger_reason("newest", l->dropped_newest);
	ledger_reason("purged", l->dropped_purged);
	ledger_reason("destroyed", l->dropped_destroyed);
	ledger_line("+", "expired", l->expired);
	ledger_line("+", "lost", kc_ledger_lost(l));
	ledger_reason("consumer died", l->lost_consumer);
	ledger_reason("daemon died", l->lost_daemon);
	if (missing == 0)
		printf("  the books balance\n");
	else
		printf("  in flight %+" PRId64 "\n", missing);
}
