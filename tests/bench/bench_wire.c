/* SPDX-License-Identifier: BSD-3-Clause */
/* A client made of frames: see bench_wire.h. */
#include "tests/bench/bench_wire.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/message.h"
#include "proto/result.h"
#include "proto/values.h"
#include "tests/bench/bench_report.h"

#define OUT_MAX ((size_t)64 << 20)
#define READ_MIN 4096u
#define WAIT_MS 60000

/* ---- connections ------------------------------------------------------------ */

int bench_wire_open(struct bench_wire *w, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	*w = (struct bench_wire){ .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	kcp_buf_init(&w->out, OUT_MAX);
	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	if (w->fd < 0 || connect(w->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int r = bench_why(-errno, "connect: %s", strerror(errno));

		bench_wire_close(w);
		return r;
	}
	bench_wire_begin(w, KCP_HELLO);
	kcp_put_u32(&w->out, KCP_T_VERSION_MIN, KCP_VERSION);
	kcp_put_u32(&w->out, KCP_T_VERSION_MAX, KCP_VERSION);
	bench_wire_end(w);
	return bench_wire_collect(w, 1, KCP_OK, NULL);
}

void bench_wire_close(struct bench_wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	kcp_buf_done(&w->out);
	free(w->in);
	w->in = NULL;
	w->in_start = w->in_end = w->in_cap = 0;
}

/* ---- writing ---------------------------------------------------------------- */

uint64_t bench_wire_begin(struct bench_wire *w, uint16_t type)
{
	w->at = kcp_frame_begin(&w->out, type, 0, ++w->id, w->seq);
	return w->id;
}

void bench_wire_notice(struct bench_wire *w, uint16_t type)
{
	w->at = kcp_frame_begin(&w->out, type, 0, 0, w->seq);
}

void bench_wire_end(struct bench_wire *w)
{
	/* without memory what follows waits for a reply that does not come, and says so */
	(void)kcp_frame_end(&w->out, w->at);
}

int bench_wire_push(struct bench_wire *w)
{
	const uint8_t *p = w->out.data;
	size_t left = w->out.len;

	while (left > 0) {
		ssize_t n = send(w->fd, p, left, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return bench_why(-errno, "send: %s", strerror(errno));
		p += n > 0 ? n : 0;
		left -= n > 0 ? (size_t)n : 0;
	}
	kcp_buf_clear(&w->out);
	return 0;
}

/* ---- reading ---------------------------------------------------------------- */

/* At least n bytes from in_start on. */
static int fill(struct bench_wire *w, size_t n)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };

	if (w->in_start > 0) {
		memmove(w->in, w->in + w->in_start, w->in_end - w->in_start);
		w->in_end -= w->in_start;
		w->in_start = 0;
	}
	if (n + READ_MIN > w->in_cap) {
		uint8_t *in = realloc(w->in, n + READ_MIN);

		if (!in)
			return bench_why(-ENOMEM, "no memory to read");
		w->in = in;
		w->in_cap = n + READ_MIN;
	}
	while (w->in_end < n) {
		ssize_t got;

		if (poll(&p, 1, WAIT_MS) == 0)
			return bench_why(-ETIMEDOUT, "kcorod is silent");
		got = recv(w->fd, w->in + w->in_end, w->in_cap - w->in_end, 0);
		if (got == 0)
			return bench_why(-ECONNRESET, "kcorod has hung up");
		if (got < 0 && errno != EINTR)
			return bench_why(-errno, "recv: %s", strerror(errno));
		w->in_end += got > 0 ? (size_t)got : 0;
	}
	return 0;
}

int bench_wire_next(struct bench_wire *w, struct kcp_header *ret_header, struct kcp_args *ret)
{
	const char *why = "";
	size_t size = KCP_HEADER_SIZE;
	int r = 0;

	if (w->in_end - w->in_start < size)
		r = fill(w, size);
	if (r < 0)
		return r;
	if (kcp_header_decode(w->in + w->in_start, UINT32_MAX, ret_header, &why) < 0)
		return bench_why(-EPROTO, "kcorod: %s", why);
	size += ret_header->length;
	if (w->in_end - w->in_start < size)
		r = fill(w, size);
	if (r < 0)
		return r;
	if (kcp_args_parse(ret, w->in + w->in_start + KCP_HEADER_SIZE, ret_header->length, &why) < 0)
		return bench_why(-EPROTO, "kcorod: %s", why);
	w->in_start += size;
	if (ret_header->seq > w->seq)
		w->seq = ret_header->seq;
	return 0;
}

int bench_wire_collect(struct bench_wire *w, unsigned n, uint32_t result,
		       struct kcp_args *ret_last)
{
	struct kcp_header header;
	struct kcp_args args;
	int r = bench_wire_push(w);

	while (r == 0 && n > 0) {
		uint32_t got;

		r = bench_wire_next(w, &header, &args);
		if (r < 0 || !(header.flags & KCP_HF_REPLY))
			continue; /* what was given ahead */
		got = (uint32_t)kcp_num(&args, KCP_T_RESULT, KCP_OK);
		if (got != result)
			r = bench_why(-EIO, "%s: %s, not %s", kcp_message_name(header.type),
				      kcp_result_name(got), kcp_result_name(result));
		n--;
	}
	if (r == 0 && ret_last)
		*ret_last = args;
	return r;
}

/* ---- the messages ----------------------------------------------------------- */

void bench_wire_make(struct bench_wire *w, const char *name, uint32_t capacity)
{
	bench_wire_begin(w, KCP_CHAN_MAKE);
	kcp_put_text(&w->out, KCP_T_NAME, name);
	kcp_put_u32(&w->out, KCP_T_KIND, KCP_KIND_BUFFERED);
	kcp_put_u32(&w->out, KCP_T_ELEM_SIZE, 0);
	kcp_put_u32(&w->out, KCP_T_CAPACITY, capacity);
	kcp_put_u32(&w->out, KCP_T_MAX_MSG, KCP_MSG_DEFAULT);
	kcp_put_u32(&w->out, KCP_T_ROLES, KCP_ROLE_SENDER | KCP_ROLE_RECEIVER);
	bench_wire_end(w);
}

void bench_wire_attach(struct bench_wire *w, const char *name, uint32_t roles, uint32_t credit)
{
	bench_wire_begin(w, KCP_CHAN_OPEN);
	kcp_put_text(&w->out, KCP_T_NAME, name);
	kcp_put_u32(&w->out, KCP_T_ROLES, roles);
	if (credit)
		kcp_put_u32(&w->out, KCP_T_CREDIT, credit);
	bench_wire_end(w);
}

void bench_wire_named(struct bench_wire *w, uint16_t type, const char *name)
{
	bench_wire_begin(w, type);
	kcp_put_text(&w->out, KCP_T_NAME, name);
	bench_wire_end(w);
}

void bench_wire_list(struct bench_wire *w, const char *after, uint32_t count)
{
	bench_wire_begin(w, KCP_CHAN_LIST);
	kcp_put_text(&w->out, KCP_T_NAME, after);
	kcp_put_u32(&w->out, KCP_T_COUNT, count);
	bench_wire_end(w);
}

void bench_wire_send(struct bench_wire *w, uint32_t attach, const void *data, uint32_t len)
{
	size_t at;

	bench_wire_begin(w, KCP_SEND);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	at = kcp_tlv_begin(&w->out, KCP_T_ELEMENTS);
	kcp_put_message(&w->out, data, len);
	kcp_tlv_end(&w->out, at);
	bench_wire_end(w);
}

uint64_t bench_wire_recv(struct bench_wire *w, uint32_t attach, uint32_t count)
{
	uint64_t id = bench_wire_begin(w, KCP_RECV);

	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	kcp_put_u32(&w->out, KCP_T_COUNT, count);
	bench_wire_end(w);
	return id;
}

void bench_wire_taken(struct bench_wire *w, uint32_t attach, uint64_t delivery)
{
	size_t at;

	bench_wire_notice(w, KCP_TAKEN);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	at = kcp_tlv_begin(&w->out, KCP_T_RANGES);
	kcp_put_range(&w->out, delivery, 1);
	kcp_tlv_end(&w->out, at);
	bench_wire_end(w);
}

void bench_wire_plain(struct bench_wire *w, uint16_t type, uint32_t attach)
{
	bench_wire_begin(w, type);
	if (attach)
		kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	bench_wire_end(w);
}
