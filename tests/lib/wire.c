/* SPDX-License-Identifier: BSD-3-Clause */
/* A client made of frames: see wire.h. */
#include "tests/lib/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "proto/message.h"
#include "proto/result.h"
#include "proto/values.h"
#include "tests/lib/kct.h"

#define OUT_MAX ((size_t)64 << 20)

/* ---- connections ------------------------------------------------------------ */

static int connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

void kct_wire_init(struct kct_wire *w, int fd)
{
	memset(w, 0, sizeof(*w));
	w->fd = fd;
	w->confirm = true;
	kcp_buf_init(&w->out, OUT_MAX);
}

void kct_wire_connect(struct kct_wire *w, const char *path)
{
	kct_wire_init(w, connect_to(path));
}

void kct_wire_greet(struct kct_wire *w)
{
	const struct kct_frame *f;
	uint64_t id;

	kct_begin(w, KCP_HELLO);
	kcp_put_u32(&w->out, KCP_T_VERSION_MIN, 1);
	kcp_put_u32(&w->out, KCP_T_VERSION_MAX, 1);
	id = kct_end(w);
	f = kct_reply(w, id);
	assert_int_equal(kct_result(f), KCP_OK);
	memcpy(w->token, kcp_get(&f->args, KCP_T_TOKEN)->data, KCP_TOKEN_SIZE);
}

void kct_wire_hello(struct kct_wire *w, const char *path)
{
	kct_wire_connect(w, path);
	kct_wire_greet(w);
}

static void forget(struct kct_wire *w)
{
	for (size_t i = 0; i < w->n_frames; i++) {
		free(w->frames[i]->data);
		free(w->frames[i]);
	}
	free(w->frames);
	w->frames = NULL;
	w->n_frames = 0;
	free(w->in);
	w->in = NULL;
	w->in_len = 0;
	kcp_buf_done(&w->out);
}

void kct_wire_cut(struct kct_wire *w)
{
	close(w->fd);
	w->fd = -1;
	forget(w);
}

void kct_wire_again(struct kct_wire *w, const char *path)
{
	uint8_t token[KCP_TOKEN_SIZE];
	uint64_t seq = w->seq;

	memcpy(token, w->token, sizeof(token));
	w->fd = connect_to(path);
	w->seq = 0;
	kct_wire_greet(w);
	w->seq = seq;
	memcpy(w->token, token, sizeof(token));
}

/* ---- writing ---------------------------------------------------------------- */

void kct_begin_id(struct kct_wire *w, uint16_t type, uint64_t id)
{
	w->type = type;
	w->id = id;
	w->at = kcp_frame_begin(&w->out, type, 0, id, w->confirm ? w->seq : 0);
}

void kct_begin(struct kct_wire *w, uint16_t type)
{
	kct_begin_id(w, type, ++w->next_id);
}

void kct_begin_notice(struct kct_wire *w, uint16_t type)
{
	kct_begin_id(w, type, 0);
}

uint64_t kct_end_later(struct kct_wire *w)
{
	assert_int_equal(kcp_frame_end(&w->out, w->at), 0);
	return w->id;
}

void kct_raw(struct kct_wire *w, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		struct pollfd pfd = { .fd = w->fd, .events = POLLOUT };
		ssize_t n;

		assert_int_equal(poll(&pfd, 1, KCT_WIRE_MS), 1);
		n = send(w->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return; /* the daemon has hung up: what it said is still to be read */
		if (n < 0)
			assert_int_equal(errno, EAGAIN);
		p += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
}

void kct_push(struct kct_wire *w)
{
	kct_raw(w, w->out.data, w->out.len);
	kcp_buf_clear(&w->out);
}

uint64_t kct_end(struct kct_wire *w)
{
	uint64_t id = kct_end_later(w);

	kct_push(w);
	return id;
}

/* ---- reading ---------------------------------------------------------------- */

/* Exactly n bytes; false: the stream ends before the first. */
static bool read_all(struct kct_wire *w, void *buf, size_t n)
{
	uint8_t *p = buf;
	size_t have = 0;

	while (have < n) {
		struct pollfd pfd = { .fd = w->fd, .events = POLLIN };
		ssize_t r;

		if (poll(&pfd, 1, KCT_WIRE_MS) == 0)
			fail_msg("nothing came within %d ms", KCT_WIRE_MS);
		r = recv(w->fd, p + have, n - have, MSG_DONTWAIT);
		if (r < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (r <= 0) {
			assert_int_equal(have, 0);
			return false;
		}
		have += (size_t)r;
	}
	return true;
}

bool kct_read(struct kct_wire *w)
{
	uint8_t head[KCP_HEADER_SIZE];
	const struct kcp_message *message;
	struct kct_frame *f;
	const char *why = "";
	int form;

	if (!read_all(w, head, sizeof(head)))
		return false;
	f = calloc(1, sizeof(*f));
	assert_non_null(f);
	w->frames = realloc(w->frames, (w->n_frames + 1) * sizeof(struct kct_frame *));
	assert_non_null(w->frames);
	w->frames[w->n_frames++] = f;
	assert_int_equal(kcp_header_decode(head, UINT32_MAX, &f->header, &why), 0);
	f->data = malloc(f->header.length + 1u);
	assert_non_null(f->data);
	if (f->header.length > 0)
		assert_true(read_all(w, f->data, f->header.length));
	/* The daemon keeps to the protocol, always. */
	form = kcp_header_form(&f->header, /* from_client= */ false);
	assert_true(form == KCP_REPLY || form == KCP_EVENT);
	message = kcp_message_find(f->header.type);
	if (kcp_args_parse(&f->args, f->data, f->header.length, &why) < 0 ||
	    (message && kcp_message_check(message, &f->args, (enum kcp_form)form, &why) < 0))
		fail_msg("%s of the daemon: %s", kcp_message_name(f->header.type), why);
	if (f->header.seq > w->seq)
		w->seq = f->header.seq;
	return true;
}

const struct kct_frame *kct_next(struct kct_wire *w)
{
	for (size_t i = 0;; i++) {
		if (i == w->n_frames && !kct_read(w))
			fail_msg("the daemon has hung up");
		if (!w->frames[i]->used) {
			w->frames[i]->used = true;
			return w->frames[i];
		}
	}
}

const struct kct_frame *kct_reply(struct kct_wire *w, uint64_t id)
{
	for (size_t i = 0;; i++) {
		if (i == w->n_frames && !kct_read(w))
			fail_msg("the daemon has hung up before the reply to %llu",
				 (unsigned long long)id);
		if (!w->frames[i]->used && w->frames[i]->header.id == id) {
			w->frames[i]->used = true;
			return w->frames[i];
		}
	}
}

const struct kct_frame *kct_event(struct kct_wire *w, uint16_t type)
{
	for (size_t i = 0;; i++) {
		if (i == w->n_frames && !kct_read(w))
			fail_msg("the daemon has hung up before %s", kcp_message_name(type));
		if (!w->frames[i]->used && w->frames[i]->header.id == 0 &&
		    w->frames[i]->header.type == type) {
			w->frames[i]->used = true;
			return w->frames[i];
		}
	}
}

bool kct_has(struct kct_wire *w, uint16_t type)
{
	for (size_t i = 0; i < w->n_frames; i++)
		if (!w->frames[i]->used && w->frames[i]->header.type == type)
			return true;
	return false;
}

void kct_expect_end(struct kct_wire *w)
{
	assert_false(kct_read(w));
}

void kct_expect_error(struct kct_wire *w, uint32_t result)
{
	const struct kct_frame *f = kct_event(w, KCP_ERROR);

	assert_int_equal(kcp_num(&f->args, KCP_T_RESULT, 999), result);
	kct_expect_end(w);
}

uint32_t kct_result(const struct kct_frame *f)
{
	return (uint32_t)kcp_num(&f->args, KCP_T_RESULT, 999);
}

const char *kct_detail(const struct kct_frame *f)
{
	static char text[KCP_DETAIL_MAX + 1];

	kcp_text(&f->args, KCP_T_DETAIL, text, sizeof(text));
	return text;
}

uint32_t kct_result_of(struct kct_wire *w, uint64_t id)
{
	return kct_result(kct_reply(w, id));
}

/* ---- the messages ----------------------------------------------------------- */

void kct_ping(struct kct_wire *w)
{
	kct_begin(w, KCP_PING);
	assert_int_equal(kct_result_of(w, kct_end(w)), KCP_OK);
}

void kct_wire_bye(struct kct_wire *w)
{
	kct_begin_notice(w, KCP_BYE);
	kct_end(w);
	while (kct_read(w))
		;
	kct_wire_cut(w);
}

static uint32_t attached(struct kct_wire *w, uint64_t id)
{
	const struct kct_frame *f = kct_reply(w, id);

	if (kct_result(f) != KCP_OK)
		fail_msg("%s: %s", kcp_result_name(kct_result(f)), kct_detail(f));
	return (uint32_t)kcp_num(&f->args, KCP_T_ATTACH, 0);
}

uint32_t kct_make(struct kct_wire *w, const char *name, enum kcp_kind kind, uint32_t elem_size,
		  uint32_t capacity, uint32_t roles)
{
	kct_begin(w, KCP_CHAN_MAKE);
	kcp_put_text(&w->out, KCP_T_NAME, name);
	kcp_put_u32(&w->out, KCP_T_KIND, kind);
	kcp_put_u32(&w->out, KCP_T_ELEM_SIZE, elem_size);
	kcp_put_u32(&w->out, KCP_T_CAPACITY, capacity);
	kcp_put_u32(&w->out, KCP_T_ROLES, roles);
	return attached(w, kct_end(w));
}

uint32_t kct_open(struct kct_wire *w, const char *name, uint32_t roles, uint32_t credit,
		  uint32_t lease_ms)
{
	kct_begin(w, KCP_CHAN_OPEN);
	kcp_put_text(&w->out, KCP_T_NAME, name);
	kcp_put_u32(&w->out, KCP_T_ROLES, roles);
	if (credit)
		kcp_put_u32(&w->out, KCP_T_CREDIT, credit);
	if (lease_ms) {
		kcp_put_u32(&w->out, KCP_T_FLAGS, KCP_F_LEASE);
		kcp_put_u32(&w->out, KCP_T_LEASE_MS, lease_ms);
	}
	return attached(w, kct_end(w));
}

uint64_t kct_by_name(struct kct_wire *w, uint16_t type, const char *name)
{
	kct_begin(w, type);
	kcp_put_text(&w->out, KCP_T_NAME, name);
	return kct_end(w);
}

static void put_timeout(struct kct_wire *w, uint64_t timeout_ms)
{
	if (timeout_ms != KCT_FOREVER)
		kcp_put_u64(&w->out, KCP_T_TIMEOUT_MS, timeout_ms);
}

uint64_t kct_send(struct kct_wire *w, uint32_t attach, const char *text, uint64_t timeout_ms)
{
	size_t at;

	kct_begin(w, KCP_SEND);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	at = kcp_tlv_begin(&w->out, KCP_T_ELEMENTS);
	kcp_put_message(&w->out, text, (uint32_t)strlen(text));
	kcp_tlv_end(&w->out, at);
	put_timeout(w, timeout_ms);
	return kct_end(w);
}

uint64_t kct_send_many(struct kct_wire *w, uint32_t attach, const char *prefix, uint32_t n,
		       uint64_t timeout_ms)
{
	size_t at;

	kct_begin(w, KCP_SEND);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	at = kcp_tlv_begin(&w->out, KCP_T_ELEMENTS);
	for (uint32_t i = 0; i < n; i++) {
		char text[64];
		int len = snprintf(text, sizeof(text), "%s%u", prefix, i);

		kcp_put_message(&w->out, text, (uint32_t)len);
	}
	kcp_tlv_end(&w->out, at);
	put_timeout(w, timeout_ms);
	return kct_end(w);
}

uint64_t kct_recv(struct kct_wire *w, uint32_t attach, uint32_t count, uint32_t flags,
		  uint64_t timeout_ms)
{
	kct_begin(w, KCP_RECV);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	kcp_put_u32(&w->out, KCP_T_COUNT, count);
	if (flags)
		kcp_put_u32(&w->out, KCP_T_FLAGS, flags);
	put_timeout(w, timeout_ms);
	return kct_end(w);
}

static void put_settle(struct kct_wire *w, uint32_t attach, uint64_t first, uint64_t n,
		       uint32_t lease_ms)
{
	size_t at;

	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	at = kcp_tlv_begin(&w->out, KCP_T_RANGES);
	if (n > 0)
		kcp_put_range(&w->out, first, n);
	kcp_tlv_end(&w->out, at);
	if (lease_ms)
		kcp_put_u32(&w->out, KCP_T_LEASE_MS, lease_ms);
}

uint64_t kct_settle(struct kct_wire *w, uint16_t type, uint32_t attach, uint64_t first, uint64_t n,
		    uint32_t lease_ms)
{
	if (type == KCP_RETURN)
		kct_begin_notice(w, type);
	else
		kct_begin(w, type);
	put_settle(w, attach, first, n, lease_ms);
	return kct_end(w);
}

void kct_taken(struct kct_wire *w, uint32_t attach, uint64_t first, uint64_t n)
{
	kct_begin_notice(w, KCP_TAKEN);
	put_settle(w, attach, first, n, 0);
	kct_end(w);
}

uint64_t kct_about(struct kct_wire *w, uint16_t type, uint64_t request)
{
	kct_begin(w, type);
	kcp_put_u64(&w->out, KCP_T_REQUEST, request);
	return kct_end(w);
}

uint64_t kct_resume(struct kct_wire *w, const uint8_t *token, const uint64_t *requests, size_t n,
		    uint32_t attach, uint64_t seen)
{
	size_t at;

	kct_begin(w, KCP_RESUME);
	kcp_put_bytes(&w->out, KCP_T_TOKEN, token, KCP_TOKEN_SIZE);
	if (n > 0) {
		at = kcp_tlv_begin(&w->out, KCP_T_REQUESTS);
		for (size_t i = 0; i < n; i++)
			kcp_buf_add_u64(&w->out, requests[i]);
		kcp_tlv_end(&w->out, at);
	}
	if (attach) {
		at = kcp_tlv_begin(&w->out, KCP_T_ATTACHMENT);
		kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
		kcp_put_u64(&w->out, KCP_T_DELIVERY, seen);
		kcp_tlv_end(&w->out, at);
	}
	return kct_end(w);
}

void kct_assert_messages(const struct kct_frame *f, uint64_t delivery, uint32_t n, ...)
{
	struct kcp_elems elems;
	struct kcp_args args = f->args;
	const char *why = "";
	va_list ap;

	if (f->header.id && kct_result(f) != KCP_OK)
		fail_msg("%s: %s", kcp_result_name(kct_result(f)), kct_detail(f));
	if (kcp_elems_parse(&elems, &args, 0, &why) < 0)
		fail_msg("%s", why);
	assert_int_equal(elems.count, n);
	assert_int_equal(kcp_num(&f->args, KCP_T_COUNT, 0), n);
	if (delivery)
		assert_int_equal(kcp_num(&f->args, KCP_T_DELIVERY, 0), delivery);
	va_start(ap, n);
	for (uint32_t i = 0; i < n; i++) {
		const char *want = va_arg(ap, const char *);
		uint32_t len;
		const uint8_t *data = kcp_elems_next(&elems, &len);

		assert_int_equal(len, strlen(want));
		assert_memory_equal(data, want, len);
	}
	va_end(ap);
}

static void statistics(struct kct_wire *w, const char *name, uint64_t stats[KCP_STAT_MAX + 1])
{
	const struct kct_frame *f;
	struct kcp_args inner;
	const char *why = "";

	if (name) {
		const struct kcp_arg *channel;

		f = kct_reply(w, kct_by_name(w, KCP_CHAN_INFO, name));
		assert_int_equal(kct_result(f), KCP_OK);
		channel = kcp_get(&f->args, KCP_T_CHANNEL);
		assert_int_equal(kcp_args_parse(&inner, channel->data, channel->len, &why), 0);
	} else {
		kct_begin(w, KCP_STATS);
		f = kct_reply(w, kct_end(w));
		assert_int_equal(kct_result(f), KCP_OK);
		inner = f->args;
	}
	assert_int_equal(kcp_stats_parse(stats, &inner, &why), 0);
}

uint64_t kct_stat(struct kct_wire *w, const char *name, enum kcp_stat stat)
{
	uint64_t stats[KCP_STAT_MAX + 1];

	statistics(w, name, stats);
	return stats[stat];
}

void kct_assert_balanced(struct kct_wire *w, const char *name)
{
	uint64_t s[KCP_STAT_MAX + 1], sum = 0;

	statistics(w, name, s);
	for (int i = KCP_S_RECEIVED; i <= KCP_S_LOST_DAEMON; i++)
		sum += s[i];
	assert_int_equal(s[KCP_S_SENT], sum);
}
