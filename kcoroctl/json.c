/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reports as JSON. json-c stays in this file. Ids are strings ("@1f"): many
 * readers of JSON keep numbers in doubles, which do not hold 64 bits.
 */
#include <json-c/json.h>
#include <stdlib.h>

#include "kcoroctl/cmd.h"
#include "kcoroctl/output.h"

#define OUT_STYLE                                                                                  \
	(JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE)

/* Out of memory in a report ends the command: there is nothing to save. */
static struct json_object *must(struct json_object *o)
{
	if (!o) {
		cmd_error("out of memory");
		exit(CMD_FAILED);
	}
	return o;
}

static void add(struct json_object *to, const char *key, struct json_object *value)
{
	if (json_object_object_add(to, key, value) != 0)
		must(NULL);
}

static void add_number(struct json_object *to, const char *key, uint64_t n)
{
	add(to, key, must(json_object_new_uint64(n)));
}

static void add_text(struct json_object *to, const char *key, const char *s)
{
	add(to, key, must(json_object_new_string(s)));
}

static void add_bool(struct json_object *to, const char *key, bool b)
{
	add(to, key, must(json_object_new_boolean(b)));
}

static void add_who(struct json_object *to, const struct kc_ipc_chan_info *info)
{
	add_text(to, "name", info->name);
	add_text(to, "id", out_id(info->id).s);
}

static void add_ledger(struct json_object *to, const struct kc_ledger *l)
{
	struct json_object *dropped = must(json_object_new_object());
	struct json_object *lost = must(json_object_new_object());

	add_number(to, "sent", l->sent);
	add_number(to, "received", l->received);
	add_number(to, "queued", l->queued);
	add_number(to, "leased", l->leased);
	add_number(to, "conflated", l->conflated);
	add_number(to, "dropped", kc_ledger_dropped(l));
	add_number(to, "expired", l->expired);
	add_number(to, "lost", kc_ledger_lost(l));
	add_number(dropped, "oldest", l->dropped_oldest);
	add_number(dropped, "newest", l->dropped_newest);
	add_number(dropped, "purged", l->dropped_purged);
	add_number(dropped, "destroyed", l->dropped_destroyed);
	add(to, "dropped_by", dropped);
	add_number(lost, "consumer", l->lost_consumer);
	add_number(lost, "daemon", l->lost_daemon);
	add(to, "lost_by", lost);
	add(to, "balance", must(json_object_new_int64(kc_ledger_balance(l))));
}

static struct json_object *chan_object(const struct kc_ipc_chan_info *info, enum out_parts parts)
{
	struct json_object *o = must(json_object_new_object());
	struct json_object *waiting;
	char mode[8];

	add_who(o, info);
	if (parts & OUT_CHANNEL) {
		snprintf(mode, sizeof(mode), "%04o", info->mode & 0777);
		add_text(o, "kind", out_kind(info->kind));
		add_text(o, "elements", info->elem_size ? "fixed" : "messages");
		add_number(o, "elem_size", info->elem_size);
		add_number(o, "capacity", info->capacity);
		add_number(o, "max_msg", info->max_msg);
		add_number(o, "max_bytes", info->max_bytes);
		add_text(o, "overflow", out_overflow(info->overflow));
		add_bool(o, "auto_close", info->flags & KC_CHAN_AUTO_CLOSE);
		add_bool(o, "lease_only", info->flags & KC_CHAN_LEASE_ONLY);
		add_number(o, "uid", info->uid);
		add_number(o, "gid", info->gid);
		add_text(o, "mode", mode);
		add_bool(o, "closed", info->closed);
		add_number(o, "length", info->len);
		add_number(o, "bytes", info->bytes);
		add_number(o, "senders", info->senders);
		add_number(o, "receivers", info->receivers);
		waiting = must(json_object_new_object());
		add_number(waiting, "senders", info->waiting_senders);
		add_number(waiting, "receivers", info->waiting_receivers);
		add(o, "waiting", waiting);
	}
	if (parts & OUT_LEDGER) {
		add_ledger(o, &info->ledger);
		add_number(o, "bytes_sent", info->bytes_sent);
		add_number(o, "bytes_received", info->bytes_received);
		add_number(o, "redelivered", info->redelivered);
	}
	return o;
}

static void print(struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(o, OUT_STYLE);

	if (!text)
		must(NULL);
	printf("%s\n", text);
	json_object_put(o);
}

void out_json_chan(const struct kc_ipc_chan_info *info, enum out_parts parts)
{
	print(chan_object(info, parts));
}

void out_json_daemon(const struct kc_ipc_daemon_stats *s)
{
	struct json_object *o = must(json_object_new_object());

	add_text(o, "version", s->version);
	add_number(o, "pid", s->pid);
	add_number(o, "uptime_ms", s->uptime_ms);
	add_number(o, "connections", s->connections);
	add_number(o, "sessions", s->sessions);
	add_number(o, "channels", s->channels);
	add_number(o, "bytes", s->bytes);
	add_number(o, "frames_in", s->frames_in);
	add_number(o, "frames_out", s->frames_out);
	add_number(o, "resumes", s->resumes);
	add_ledger(o, &s->ledger);
	print(o);
}

void out_json_done(const struct kc_ipc_chan_info *info, const char *member, long number)
{
	struct json_object *o = must(json_object_new_object());

	add_who(o, info);
	if (member)
		add(o, member, must(json_object_new_int64(number)));
	print(o);
}

void out_json_ping(const char *version, uint64_t pid, double round_trip_us)
{
	struct json_object *o = must(json_object_new_object());

	add_text(o, "version", version);
	add_number(o, "pid", pid);
	add(o, "round_trip_us", must(json_object_new_double(round_trip_us)));
	print(o);
}

/* One channel per line, printed as it comes: a list may be long. */
void out_json_list_item(const struct kc_ipc_chan_info *info, bool first)
{
	struct json_object *o = chan_object(info, OUT_CHANNEL);
	const char *text =
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_SPACED |
							  JSON_C_TO_STRING_NOSLASHESCAPE);

	if (!text)
		must(NULL);
	printf("%s  %s", first ? "[\n" : ",\n", text);
	json_object_put(o);
}

void out_json_list_end(bool empty)
{
	printf("%s\n", empty ? "[]" : "\n]");
}
