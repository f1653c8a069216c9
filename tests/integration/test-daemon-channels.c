/* SPDX-License-Identifier: BSD-3-Clause */
/* Channels as such: make, open, list, info, close, destroy, purge, rights, quotas. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/message.h"
#include "proto/values.h"
#include "tests/integration/daemon-fixture.h"

#define BOTH (KCP_ROLE_SENDER | KCP_ROLE_RECEIVER)

/* CHAN_MAKE with what is given; the id of the request. */
static uint64_t make_ex(struct kct_wire *w, const char *name, uint32_t kind, uint32_t elem_size,
			uint32_t capacity, uint32_t mode, uint32_t flags, uint32_t roles)
{
	kct_begin(w, KCP_CHAN_MAKE);
	kcp_put_text(&w->out, KCP_T_NAME, name);
	kcp_put_u32(&w->out, KCP_T_KIND, kind);
	kcp_put_u32(&w->out, KCP_T_ELEM_SIZE, elem_size);
	kcp_put_u32(&w->out, KCP_T_CAPACITY, capacity);
	kcp_put_u32(&w->out, KCP_T_MODE, mode);
	kcp_put_u32(&w->out, KCP_T_CHAN_FLAGS, flags);
	kcp_put_u32(&w->out, KCP_T_ROLES, roles);
	return kct_end(w);
}

static uint64_t open_ex(struct kct_wire *w, const char *name, uint64_t id, uint32_t roles)
{
	kct_begin(w, KCP_CHAN_OPEN);
	if (name)
		kcp_put_text(&w->out, KCP_T_NAME, name);
	else
		kcp_put_u64(&w->out, KCP_T_CHAN_ID, id);
	kcp_put_u32(&w->out, KCP_T_ROLES, roles);
	return kct_end(w);
}

static void make_tells_what_was_made(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;

	(void)state;
	client(&w);
	f = kct_reply(&w, make_ex(&w, "a/b.c", KCP_KIND_BUFFERED, 0, 7, 0640, 0, BOTH));
	assert_int_equal(kct_result(f), KCP_OK);
	assert_true(kcp_num(&f->args, KCP_T_CHAN_ID, 0) != 0);
	assert_true(kcp_num(&f->args, KCP_T_ATTACH, 0) != 0);
	assert_int_equal(kcp_num(&f->args, KCP_T_CAPACITY, 0), 7);
	assert_int_equal(kcp_num(&f->args, KCP_T_MAX_MSG, 0), KCP_MSG_DEFAULT);
	assert_int_equal(kcp_num(&f->args, KCP_T_MAX_BYTES, 0), KCP_BYTES_DEFAULT);
	assert_int_equal(kcp_num(&f->args, KCP_T_FLAGS, 0), KCP_F_CREATED);
	f = kct_reply(&w, make_ex(&w, "a/b.c", KCP_KIND_BUFFERED, 0, 7, 0600, 0, BOTH));
	assert_int_equal(kct_result(f), KCP_OK);
	assert_int_equal(kcp_num(&f->args, KCP_T_FLAGS, 0), 0);
	kct_wire_bye(&w);
}

static void make_refuses_what_makes_no_sense(void **state)
{
	static const struct {
		const char *name;
		uint32_t kind, elem_size, capacity, result;
		const char *detail;
	} bad[] = {
		{ "", 1, 0, 1, KCP_PROTO, "NAME" },
		{ "1a", 1, 0, 1, KCP_INVAL, "NAME" },
		{ "a//b", 1, 0, 1, KCP_INVAL, "NAME" },
		{ "a/..", 1, 0, 1, KCP_INVAL, "NAME" },
		{ "ok", 1, 0, 0, KCP_INVAL, "CAPACITY" },
		{ "ok", 0, 0, 1, KCP_INVAL, "CAPACITY" },
		{ "ok", 1, 0, KCP_CAPACITY_MAX + 1, KCP_INVAL, "CAPACITY" },
		{ "ok", 1, KCP_ELEM_MAX + 1, 1, KCP_INVAL, "ELEM_SIZE" },
		{ "ok", 4, 0, 1, KCP_INVAL, "KIND" },
	};
	struct kct_wire w;

	(void)state;
	client(&w);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct kct_frame *f =
			kct_reply(&w, make_ex(&w, bad[i].name, bad[i].kind, bad[i].elem_size,
					      bad[i].capacity, 0700, 0, BOTH));

		assert_int_equal(kct_result(f), bad[i].result);
		assert_non_null(strstr(kct_detail(f), bad[i].detail));
	}
	assert_int_equal(kct_stat(&w, NULL, KCP_S_CHANNELS), 0);
	kct_wire_bye(&w);
}

static void an_existing_channel_must_be_the_same(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;

	(void)state;
	client(&w);
	kct_make(&w, "same", KCP_KIND_BUFFERED, 8, 7, BOTH);
	f = kct_reply(&w, make_ex(&w, "same", KCP_KIND_BUFFERED, 4, 9, 0700, 0, BOTH));
	assert_int_equal(kct_result(f), KCP_EXIST);
	assert_string_equal(kct_detail(f), "element size is 8, not 4; capacity is 7, not 9");
	f = kct_reply(&w, make_ex(&w, "same", KCP_KIND_CONFLATED, 8, 0, 0700, 0, BOTH));
	assert_int_equal(kct_result(f), KCP_EXIST);
	/* mode and flags may differ, and nothing is attached by what failed */
	assert_int_equal(kct_result_of(&w, make_ex(&w, "same", KCP_KIND_BUFFERED, 8, 7, 0777, 1,
						   KCP_ROLE_OBSERVER)),
			 KCP_OK);
	assert_int_equal(kct_stat(&w, "same", KCP_S_SENDERS), 1);
	kct_wire_bye(&w);
}

static void ids_name_one_channel_for_ever(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint64_t first, second;

	(void)state;
	client(&w);
	f = kct_reply(&w, make_ex(&w, "x", KCP_KIND_UNLIMITED, 0, 0, 0700, 0, BOTH));
	first = kcp_num(&f->args, KCP_T_CHAN_ID, 0);
	assert_int_equal(kct_result_of(&w, open_ex(&w, NULL, first, BOTH)), KCP_OK);
	assert_int_equal(kct_result_of(&w, kct_by_name(&w, KCP_CHAN_DESTROY, "x")), KCP_OK);
	assert_int_equal(kct_result_of(&w, open_ex(&w, NULL, first, BOTH)), KCP_NOENT);
	kct_wire_bye(&w);

	client(&w); /* now nobody is attached, and its slot is free again */
	f = kct_reply(&w, make_ex(&w, "x", KCP_KIND_UNLIMITED, 0, 0, 0700, 0, BOTH));
	second = kcp_num(&f->args, KCP_T_CHAN_ID, 0);
	assert_true(first != second);
	assert_int_equal(kct_result_of(&w, open_ex(&w, NULL, first, BOTH)), KCP_NOENT);
	assert_int_equal(kct_result_of(&w, open_ex(&w, "y", 0, BOTH)), KCP_NOENT);
	assert_int_equal(kct_result_of(&w, open_ex(&w, NULL, UINT64_MAX, BOTH)), KCP_NOENT);
	kct_wire_bye(&w);
}

/* The names in a CHAN_LIST reply, joined by spaces. */
static void names(const struct kct_frame *f, char *buf, size_t size)
{
	struct kcp_tlv_iter iter = { 0 };
	struct kcp_args inner;
	struct kcp_tlv tlv;
	const char *why;
	size_t n = 0;

	buf[0] = '\0';
	assert_int_equal(kct_result(f), KCP_OK);
	while (kcp_has(&f->args, KCP_T_CHANNEL) &&
	       kcp_args_each(&f->args, &iter, KCP_T_CHANNEL, &tlv)) {
		assert_int_equal(kcp_args_parse(&inner, tlv.data, tlv.len, &why), 0);
		assert_int_equal(kcp_container_check(KCP_T_CHANNEL, &inner, &why), 0);
		n += (size_t)snprintf(buf + n, size - n, "%s%.*s", n ? " " : "",
				      (int)kcp_get(&inner, KCP_T_NAME)->len,
				      (const char *)kcp_get(&inner, KCP_T_NAME)->data);
	}
}

static const struct kct_frame *list(struct kct_wire *w, const char *after, uint32_t count)
{
	kct_begin(w, KCP_CHAN_LIST);
	if (after)
		kcp_put_text(&w->out, KCP_T_NAME, after);
	if (count)
		kcp_put_u32(&w->out, KCP_T_COUNT, count);
	return kct_reply(w, kct_end(w));
}

static void lists_are_in_order_and_in_parts(void **state)
{
	static const char *const made[] = { "m", "b", "b.1", "a-", "z", "B", "b/x", "a" };
	const struct kct_frame *f;
	struct kct_wire w;
	char text[256];

	(void)state;
	client(&w);
	names(list(&w, NULL, 0), text, sizeof(text));
	assert_string_equal(text, "");
	for (size_t i = 0; i < 8; i++)
		kct_make(&w, made[i], KCP_KIND_UNLIMITED, 0, 0, KCP_ROLE_OBSERVER);
	names(list(&w, NULL, 0), text, sizeof(text));
	assert_string_equal(text, "B a a- b b.1 b/x m z");
	f = list(&w, "a", 3);
	names(f, text, sizeof(text));
	assert_string_equal(text, "a- b b.1");
	assert_int_equal(kcp_num(&f->args, KCP_T_FLAGS, 0), KCP_F_MORE);
	f = list(&w, "b.1", 3);
	names(f, text, sizeof(text));
	assert_string_equal(text, "b/x m z");
	assert_int_equal(kcp_num(&f->args, KCP_T_FLAGS, 0), 0);
	assert_int_equal(kct_result_of(&w, kct_by_name(&w, KCP_CHAN_DESTROY, "b")), KCP_OK);
	names(list(&w, "aa", 0), text, sizeof(text)); /* a name that is none need not exist */
	assert_string_equal(text, "b.1 b/x m z");
	kct_wire_bye(&w);
}

/* A list that does not fit the client's frames comes in parts as well. */
static void lists_fit_the_frames_of_the_client(void **state)
{
	struct kct_wire w;
	char name[256], last[256] = "";
	unsigned seen = 0, parts = 0;
	bool more = true;
	uint64_t id;

	(void)state;
	kct_wire_connect(&w, fixture.path);
	kct_begin(&w, KCP_HELLO);
	kcp_put_u32(&w.out, KCP_T_VERSION_MIN, 1);
	kcp_put_u32(&w.out, KCP_T_VERSION_MAX, 1);
	kcp_put_u32(&w.out, KCP_T_MAX_FRAME, KCP_FRAME_MIN_MAX);
	id = kct_end(&w);
	assert_int_equal(kct_result_of(&w, id), KCP_OK);
	for (int i = 0; i < 400; i++) {
		memset(name, 'n', 240);
		snprintf(name + 240, sizeof(name) - 240, "%03d", i);
		kct_make(&w, name, KCP_KIND_UNLIMITED, 0, 0, KCP_ROLE_OBSERVER);
	}
	while (more) {
		const struct kct_frame *f = list(&w, *last ? last : NULL, 0);
		struct kcp_tlv_iter iter = { 0 };
		struct kcp_args inner;
		struct kcp_tlv tlv;

		assert_true(f->header.length + KCP_HEADER_SIZE <= KCP_FRAME_MIN_MAX);
		while (kcp_args_each(&f->args, &iter, KCP_T_CHANNEL, &tlv)) {
			assert_int_equal(kcp_args_parse(&inner, tlv.data, tlv.len, NULL), 0);
			kcp_text(&inner, KCP_T_NAME, name, sizeof(name));
			assert_true(strcmp(name, last) > 0);
			memcpy(last, name, sizeof(last));
			seen++;
		}
		more = kcp_num(&f->args, KCP_T_FLAGS, 0) & KCP_F_MORE;
		parts++;
	}
	assert_int_equal(seen, 400);
	assert_true(parts >= 3);
	kct_wire_bye(&w);
}

static void info_shows_everything(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	const struct kcp_arg *channel;
	struct kcp_args inner;
	uint32_t at;
	uint64_t id;

	(void)state;
	client(&w);
	f = kct_reply(&w, make_ex(&w, "i", KCP_KIND_BUFFERED, 0, 10, 0750, 1, BOTH));
	id = kcp_num(&f->args, KCP_T_CHAN_ID, 0);
	at = (uint32_t)kcp_num(&f->args, KCP_T_ATTACH, 0);
	assert_int_equal(kct_result_of(&w, kct_send_many(&w, at, "m", 4, 0)), KCP_OK);
	kct_begin(&w, KCP_CHAN_INFO);
	kcp_put_u64(&w.out, KCP_T_CHAN_ID, id);
	f = kct_reply(&w, kct_end(&w));
	assert_int_equal(kct_result(f), KCP_OK);
	channel = kcp_get(&f->args, KCP_T_CHANNEL);
	assert_int_equal(kcp_args_parse(&inner, channel->data, channel->len, NULL), 0);
	assert_int_equal(kcp_num(&inner, KCP_T_CHAN_ID, 0), id);
	assert_int_equal(kcp_num(&inner, KCP_T_MODE, 0), 0750);
	assert_int_equal(kcp_num(&inner, KCP_T_CHAN_FLAGS, 0), 1);
	assert_int_equal(kcp_num(&inner, KCP_T_UID, 99), geteuid());
	assert_int_equal(kcp_num(&inner, KCP_T_GID, 99), getegid());
	assert_int_equal(kct_stat(&w, "i", KCP_S_LENGTH), 4);
	assert_int_equal(kct_stat(&w, "i", KCP_S_BYTES), 8);
	assert_int_equal(kct_stat(&w, "i", KCP_S_BYTES_SENT), 8);
	assert_int_equal(kct_stat(&w, "i", KCP_S_SENDERS), 1);
	assert_int_equal(kct_stat(&w, "i", KCP_S_RECEIVERS), 1);
	assert_int_equal(kct_stat(&w, "i", KCP_S_CLOSED), 0);
	assert_true(kct_stat(&w, NULL, KCP_S_PID) == (uint64_t)fixture.pid);
	kct_wire_bye(&w);
}

static void close_wakes_everybody(void **state)
{
	struct kct_wire a, b;
	uint32_t full, empty;
	uint64_t send, recv;

	(void)state;
	client(&a);
	client(&b);
	full = kct_make(&a, "full", KCP_KIND_BUFFERED, 0, 1, BOTH);
	empty = kct_make(&a, "empty", KCP_KIND_BUFFERED, 0, 1, BOTH);
	assert_int_equal(kct_result_of(&a, kct_send(&a, full, "1", 0)), KCP_OK);
	send = kct_send(&a, full, "2", KCT_FOREVER);
	recv = kct_recv(&a, empty, 1, 0, KCT_FOREVER);
	kct_ping(&a);
	assert_int_equal(kct_result_of(&b, kct_by_name(&b, KCP_CHAN_CLOSE, "full")), KCP_OK);
	assert_int_equal(kct_result_of(&b, kct_by_name(&b, KCP_CHAN_CLOSE, "empty")), KCP_OK);
	assert_int_equal(kct_result_of(&b, kct_by_name(&b, KCP_CHAN_CLOSE, "empty")), KCP_OK);
	assert_int_equal(kct_result_of(&a, send), KCP_PIPE);
	assert_int_equal(kct_result_of(&a, recv), KCP_PIPE);
	assert_int_equal(kct_result_of(&a, kct_send(&a, empty, "3", 0)), KCP_PIPE);
	kct_assert_messages(kct_reply(&a, kct_recv(&a, full, 5, 0, KCT_FOREVER)), 1, 1, "1");
	kct_taken(&a, full, 1, 1);
	assert_int_equal(kct_result_of(&a, kct_recv(&a, full, 1, 0, KCT_FOREVER)), KCP_PIPE);
	assert_int_equal(kct_result_of(&a, kct_recv(&a, full, 1, 0, 0)), KCP_PIPE);
	assert_int_equal(kct_result_of(&b, kct_by_name(&b, KCP_CHAN_CLOSE, "none")), KCP_NOENT);
	kct_wire_bye(&a);
	kct_wire_bye(&b);
}

static void auto_close_comes_with_the_last_sender(void **state)
{
	struct kct_wire maker, a, b;
	uint32_t in, out;
	uint64_t recv;

	(void)state;
	client(&maker);
	client(&a);
	client(&b);
	assert_int_equal(kct_result_of(&maker, make_ex(&maker, "auto", KCP_KIND_UNLIMITED, 0, 0,
						       0700, KCP_CHAN_AUTO_CLOSE,
						       KCP_ROLE_OBSERVER)),
			 KCP_OK);
	in = kct_open(&maker, "auto", KCP_ROLE_RECEIVER, 0, 0);
	recv = kct_recv(&maker, in, 1, 0, KCT_FOREVER);
	assert_int_equal(kct_stat(&maker, "auto", KCP_S_CLOSED), 0); /* has had none yet */
	out = kct_open(&a, "auto", KCP_ROLE_SENDER, 0, 0);
	kct_open(&b, "auto", KCP_ROLE_SENDER, 0, 0);
	kct_begin(&a, KCP_CHAN_DETACH);
	kcp_put_u32(&a.out, KCP_T_ATTACH, out);
	assert_int_equal(kct_result_of(&a, kct_end(&a)), KCP_OK);
	assert_int_equal(kct_stat(&maker, "auto", KCP_S_CLOSED), 0);
	kct_wire_bye(&b);
	assert_int_equal(kct_result_of(&maker, recv), KCP_PIPE);
	kct_wire_bye(&a);
	kct_wire_bye(&maker);
}

static void a_destroyed_channel_is_drained_and_then_gone(void **state)
{
	struct kct_wire a, b;
	uint32_t in, old;

	(void)state;
	client(&a);
	client(&b);
	old = kct_make(&a, "d", KCP_KIND_BUFFERED, 0, 9, BOTH);
	in = kct_open(&b, "d", KCP_ROLE_RECEIVER, 0, 0);
	assert_int_equal(kct_result_of(&a, kct_send_many(&a, old, "m", 5, 0)), KCP_OK);
	assert_int_equal(kct_result_of(&a, kct_by_name(&a, KCP_CHAN_DESTROY, "d")), KCP_OK);
	assert_int_equal(kct_result_of(&a, kct_by_name(&a, KCP_CHAN_DESTROY, "d")), KCP_NOENT);
	assert_int_equal(kct_result_of(&a, kct_by_name(&a, KCP_CHAN_INFO, "d")), KCP_NOENT);
	assert_int_equal(kct_result_of(&a, kct_send(&a, old, "x", 0)), KCP_PIPE);
	/* the name is free at once, for another channel */
	kct_make(&a, "d", KCP_KIND_CONFLATED, 4, 0, BOTH);
	kct_assert_messages(kct_reply(&b, kct_recv(&b, in, 2, 0, 0)), 1, 2, "m0", "m1");
	kct_taken(&b, in, 1, 2);
	assert_int_equal(kct_stat(&a, NULL, KCP_S_CHANNELS), 2);
	kct_wire_bye(&b);
	kct_begin(&a, KCP_CHAN_DETACH);
	kcp_put_u32(&a.out, KCP_T_ATTACH, old);
	assert_int_equal(kct_result_of(&a, kct_end(&a)), KCP_OK);
	kct_ping(&a);
	assert_int_equal(kct_stat(&a, NULL, KCP_S_CHANNELS), 1);
	assert_int_equal(kct_stat(&a, NULL, KCP_S_DROPPED_DESTROYED), 3);
	kct_wire_bye(&a);
}

static void purge_drops_what_is_queued_only(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "p", KCP_KIND_BUFFERED, 0, 9, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send_many(&w, at, "m", 6, 0)), KCP_OK);
	assert_int_equal(kct_result_of(&w, kct_recv(&w, at, 2, KCP_F_LEASE, 0)), KCP_OK);
	f = kct_reply(&w, kct_by_name(&w, KCP_CHAN_PURGE, "p"));
	assert_int_equal(kct_result(f), KCP_OK);
	assert_int_equal(kcp_num(&f->args, KCP_T_COUNT, 99), 4);
	assert_int_equal(kct_stat(&w, "p", KCP_S_LEASED), 2);
	assert_int_equal(kct_stat(&w, "p", KCP_S_DROPPED_PURGED), 4);
	assert_int_equal(kct_stat(&w, "p", KCP_S_QUEUED), 0);
	kct_assert_balanced(&w, "p");
	kct_wire_bye(&w);
}

static void detach_cancels_what_waits(void **state)
{
	struct kct_wire w;
	uint64_t recv, detach;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "d", KCP_KIND_BUFFERED, 0, 9, BOTH);
	recv = kct_recv(&w, at, 1, 0, KCT_FOREVER);
	kct_begin(&w, KCP_CHAN_DETACH);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	detach = kct_end(&w);
	assert_int_equal(kct_next(&w)->header.id, recv);
	assert_int_equal(kct_result_of(&w, detach), KCP_OK);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "x", 0)), KCP_NOENT);
	kct_wire_bye(&w);
}

static void roles_are_kept_to(void **state)
{
	struct kct_wire w;
	uint32_t in, out, eye;

	(void)state;
	client(&w);
	kct_make(&w, "r", KCP_KIND_BUFFERED, 0, 9, KCP_ROLE_OBSERVER);
	in = kct_open(&w, "r", KCP_ROLE_RECEIVER, 0, 0);
	out = kct_open(&w, "r", KCP_ROLE_SENDER, 0, 0);
	eye = kct_open(&w, "r", KCP_ROLE_OBSERVER, 0, 0);
	assert_int_equal(kct_result_of(&w, kct_send(&w, in, "x", 0)), KCP_ACCES);
	assert_int_equal(kct_result_of(&w, kct_recv(&w, out, 1, 0, 0)), KCP_ACCES);
	assert_int_equal(kct_result_of(&w, kct_send(&w, eye, "x", 0)), KCP_ACCES);
	assert_int_equal(kct_result_of(&w, kct_recv(&w, eye, 1, 0, 0)), KCP_ACCES);
	assert_int_equal(kct_result_of(&w, kct_send(&w, out, "x", 0)), KCP_OK);
	assert_int_equal(kct_result_of(&w, open_ex(&w, "r", 0, 5)), KCP_INVAL);
	assert_int_equal(kct_result_of(&w, open_ex(&w, "r", 0, 0)), KCP_INVAL);
	kct_wire_bye(&w);
}

static void rights_are_those_of_the_mode(void **state)
{
	struct kct_wire root, owner, mate, other;
	const struct kct_frame *f;
	char text[256];
	uint32_t at;

	(void)state;
	if (geteuid() != 0)
		return; /* only root can be somebody else; the unit tests know the rules */
	client(&root);
	client_as(&owner, 60001, 60010);
	client_as(&mate, 60002, 60010);
	client_as(&other, 60003, 60030);
	f = kct_reply(&owner, make_ex(&owner, "own", KCP_KIND_BUFFERED, 0, 9, 0740, 0, BOTH));
	assert_int_equal(kct_result(f), KCP_OK);
	at = (uint32_t)kcp_num(&f->args, KCP_T_ATTACH, 0);
	assert_int_equal(kct_result_of(&owner, kct_send(&owner, at, "x", 0)), KCP_OK);

	/* the group may receive, nothing else */
	assert_int_equal(kct_result_of(&mate, open_ex(&mate, "own", 0, KCP_ROLE_RECEIVER)), KCP_OK);
	f = kct_reply(&mate, open_ex(&mate, "own", 0, BOTH));
	assert_int_equal(kct_result(f), KCP_ACCES);
	assert_string_equal(kct_detail(f), "no right to send");
	assert_int_equal(kct_result_of(&mate, kct_by_name(&mate, KCP_CHAN_CLOSE, "own")),
			 KCP_ACCES);
	assert_int_equal(kct_result_of(&mate, kct_by_name(&mate, KCP_CHAN_DESTROY, "own")),
			 KCP_ACCES);
	assert_int_equal(kct_result_of(&mate, kct_by_name(&mate, KCP_CHAN_PURGE, "own")),
			 KCP_ACCES);
	assert_int_equal(kct_result_of(&mate, kct_by_name(&mate, KCP_CHAN_INFO, "own")), KCP_OK);

	/* others have no right at all: they do not even see it */
	assert_int_equal(kct_result_of(&other, open_ex(&other, "own", 0, KCP_ROLE_RECEIVER)),
			 KCP_ACCES);
	assert_int_equal(kct_result_of(&other, open_ex(&other, "own", 0, KCP_ROLE_OBSERVER)),
			 KCP_ACCES);
	assert_int_equal(kct_result_of(&other, kct_by_name(&other, KCP_CHAN_INFO, "own")),
			 KCP_NOENT);
	names(list(&other, NULL, 0), text, sizeof(text));
	assert_string_equal(text, "");
	names(list(&mate, NULL, 0), text, sizeof(text));
	assert_string_equal(text, "own");
	f = kct_reply(&other, make_ex(&other, "own", KCP_KIND_BUFFERED, 0, 9, 0700, 0, BOTH));
	assert_int_equal(kct_result(f), KCP_ACCES);

	/* uid 0 passes rights; the mode binds its own maker */
	assert_int_equal(kct_result_of(&root, open_ex(&root, "own", 0, BOTH)), KCP_OK);
	f = kct_reply(&other, make_ex(&other, "half", KCP_KIND_BUFFERED, 0, 9, 0200, 0, BOTH));
	assert_int_equal(kct_result(f), KCP_ACCES);
	assert_string_equal(kct_detail(f), "no right to receive");
	assert_int_equal(kct_result_of(&root, kct_by_name(&root, KCP_CHAN_INFO, "half")),
			 KCP_NOENT);
	kct_wire_bye(&root);
	kct_wire_bye(&owner);
	kct_wire_bye(&mate);
	kct_wire_bye(&other);
}

static void nobody_owns_nothing(void **state)
{
	struct kct_wire w;

	(void)state;
	if (geteuid() != 0)
		return;
	client_as(&w, 65534, 65534);
	assert_int_equal(kct_result_of(&w, make_ex(&w, "n", KCP_KIND_BUFFERED, 0, 9, 0777, 0,
						   BOTH)),
			 KCP_ACCES);
	kct_wire_bye(&w);
}

static void quotas_have_names(void **state)
{
	struct kct_wire w, other;
	const struct kct_frame *f;

	(void)state;
	client(&w);
	kct_make(&w, "q1", KCP_KIND_BUFFERED, 0, 9, BOTH);
	kct_make(&w, "q2", KCP_KIND_BUFFERED, 0, 9, BOTH);
	f = kct_reply(&w, make_ex(&w, "q3", KCP_KIND_BUFFERED, 0, 9, 0700, 0, BOTH));
	assert_int_equal(kct_result(f), KCP_DQUOT);
	assert_string_equal(kct_detail(f), "user_limits.channels is used up");
	/* what exists can be opened, and a name freed by destroying counts no more */
	f = kct_reply(&w, open_ex(&w, "q1", 0, BOTH));
	assert_int_equal(kct_result(f), KCP_OK);
	f = kct_reply(&w, open_ex(&w, "q1", 0, BOTH));
	assert_int_equal(kct_result(f), KCP_DQUOT);
	assert_string_equal(kct_detail(f), "limits.attachments is used up");
	f = kct_reply(&w, make_ex(&w, "big", KCP_KIND_BUFFERED, 65536, 1024, 0700, 0, BOTH));
	assert_int_equal(kct_result(f), KCP_DQUOT);
	kct_wire_bye(&w);
	if (geteuid() != 0)
		return;
	client_as(&other, 60001, 60001);
	f = kct_reply(&other, make_ex(&other, "q4", KCP_KIND_BUFFERED, 0, 9, 0700, 0, BOTH));
	assert_int_equal(kct_result(f), KCP_OK);
	f = kct_reply(&other, make_ex(&other, "q5", KCP_KIND_BUFFERED, 0, 9, 0700, 0, BOTH));
	assert_int_equal(kct_result(f), KCP_DQUOT);
	assert_string_equal(kct_detail(f), "limits.channels is used up");
	kct_wire_bye(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DAEMON_TEST(make_tells_what_was_made),
		DAEMON_TEST(make_refuses_what_makes_no_sense),
		DAEMON_TEST(an_existing_channel_must_be_the_same),
		DAEMON_TEST(ids_name_one_channel_for_ever),
		DAEMON_TEST(lists_are_in_order_and_in_parts),
		DAEMON_TEST(lists_fit_the_frames_of_the_client),
		DAEMON_TEST(info_shows_everything),
		DAEMON_TEST(close_wakes_everybody),
		DAEMON_TEST(auto_close_comes_with_the_last_sender),
		DAEMON_TEST(a_destroyed_channel_is_drained_and_then_gone),
		DAEMON_TEST(purge_drops_what_is_queued_only),
		DAEMON_TEST(detach_cancels_what_waits),
		DAEMON_TEST(roles_are_kept_to),
		DAEMON_TEST(rights_are_those_of_the_mode),
		DAEMON_TEST(nobody_owns_nothing),
		DAEMON_TEST_WITH(quotas_have_names,
				 "{ \"limits\": { \"channels\": 3, \"attachments\": 3,"
				 " \"channel_bytes\": 1048576 },"
				 " \"user_limits\": { \"channels\": 2 } }"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
