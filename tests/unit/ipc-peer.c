/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The scripted daemon.
 */
#include "tests/unit/ipc-peer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "kcoro/error.h"

#define TOKEN "sixteen bytes...."

static void wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	uint64_t deadline = kci_deadline_from_ms(KCT_PATIENCE_MS);

	while (poll(&p, 1, kci_deadline_poll_ms(deadline)) <= 0)
		assert_true(kci_deadline_left(deadline) > 0);
}

void peer_open(struct peer *p)
{
	const char *dir = getenv("TMPDIR");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	memset(p, 0, sizeof(*p));
	p->grace_ms = PEER_GRACE_MS;
	kcp_buf_init(&p->out, KCP_FRAME_DEFAULT);
	(void)snprintf(p->path, sizeof(p->path), "%s/peer.sock", dir ? dir : "/tmp");
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/peer.new", dir ? dir : "/tmp");
	p->fd = -1;
	p->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(p->listen_fd >= 0);
	assert_int_equal(bind(p->listen_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(p->listen_fd, 16), 0);
	/* as kcorod does: what is there listens */
	assert_int_equal(rename(addr.sun_path, p->path), 0);
}

void peer_hang_up(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	kcp_stream_done(&p->stream);
}

void peer_close(struct peer *p)
{
	peer_hang_up(p);
	if (p->listen_fd >= 0)
		close(p->listen_fd);
	p->listen_fd = -1;
	(void)unlink(p->path);
	kcp_buf_done(&p->out);
}

static long connect_main(void *arg)
{
	struct peer *p = arg;

	return kc_ipc_connect(&p->conn, p->path);
}

void peer_start_connect(struct peer *p)
{
	kct_call_start(&p->connecting, connect_main, p);
}

kc_ipc_conn_t *peer_connected(struct peer *p)
{
	assert_int_equal(kct_call_join(&p->connecting), 0);
	return p->conn;
}

void peer_accept(struct peer *p)
{
	assert_int_equal(p->fd, -1);
	wait_for(p->listen_fd, POLLIN);
	p->fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(p->fd >= 0);
	kcp_stream_init(&p->stream, p->fd, KCP_FRAME_DEFAULT, KCP_FRAME_DEFAULT);
}

void peer_hello(struct peer *p)
{
	peer_accept(p);
	peer_get(p, KCP_HELLO);
	peer_begin(p, KCP_HELLO, KCP_HF_REPLY, p->header.id, 0);
	kcp_put_u32(&p->out, KCP_T_RESULT, KCP_OK);
	kcp_put_u32(&p->out, KCP_T_VERSION_MIN, 1);
	kcp_put_u32(&p->out, KCP_T_VERSION_MAX, 1);
	kcp_put_u64(&p->out, KCP_T_FEATURES, 0);
	kcp_put_bytes(&p->out, KCP_T_TOKEN, TOKEN, KCP_TOKEN_SIZE);
	kcp_put_u32(&p->out, KCP_T_MAX_FRAME, KCP_FRAME_DEFAULT);
	kcp_put_u32(&p->out, KCP_T_GRACE_MS, p->grace_ms);
	kcp_put_u32(&p->out, KCP_T_REQUESTS_MAX, PEER_REQUESTS_MAX);
	peer_end(p);
}

kc_ipc_conn_t *peer_client(struct peer *p)
{
	peer_open(p);
	peer_start_connect(p);
	peer_hello(p);
	return peer_connected(p);
}

/* 1: a frame; 0: the client has closed. */
static int next_frame(struct peer *p)
{
	const uint8_t *payload;
	const char *why = "";
	int r;

	while ((r = kcp_stream_next(&p->stream, &p->header, &payload, &why)) == 0) {
		wait_for(p->fd, POLLIN);
		r = kcp_stream_fill(&p->stream);
		if (r == 0 || r == KC_ECONNRESET)
			return 0;
		assert_true(r > 0 || r == KC_EAGAIN);
	}
	if (r < 0)
		print_error("frame: %s\n", why);
	assert_int_equal(r, 1);
	assert_int_equal(kcp_args_parse(&p->args, payload, p->header.length, NULL), 0);
	return 1;
}

/* A handle with credit asks for a cursor; this daemon has none, unless a test is about it. */
static void refuse_map(struct peer *p)
{
	peer_begin(p, KCP_CHAN_MAP, KCP_HF_REPLY, p->header.id, 0);
	kcp_put_u32(&p->out, KCP_T_RESULT, KCP_NOTSUP);
	peer_end(p);
}

void peer_get(struct peer *p, uint16_t type)
{
	const struct kcp_message *msg;
	const char *why = "";
	int form;

	for (;;) {
		assert_int_equal(next_frame(p), 1);
		if (p->header.type != KCP_CHAN_MAP || type == KCP_CHAN_MAP)
			break;
		refuse_map(p);
	}
	if (p->header.type != type)
		print_error("%s instead of %s\n", kcp_message_name(p->header.type),
			    kcp_message_name(type));
	assert_int_equal(p->header.type, type);
	form = kcp_header_form(&p->header, true);
	assert_true(form > 0);
	msg = kcp_message_find(type);
	assert_non_null(msg);
	if (kcp_message_check(msg, &p->args, (enum kcp_form)form, &why) < 0)
		fail_msg("%s", why);
}

void peer_get_end(struct peer *p)
{
	assert_int_equal(next_frame(p), 0);
}

void peer_begin(struct peer *p, uint16_t type, uint8_t flags, uint64_t id, uint64_t seq)
{
	kcp_buf_clear(&p->out);
	p->at = kcp_frame_begin(&p->out, type, flags, id, seq);
}

void peer_raw(struct peer *p, const void *data, size_t len)
{
	const struct iovec iov = { .iov_base = (void *)data, .iov_len = len };

	assert_int_equal(kcp_stream_send(&p->stream, &iov, 1), 0);
	while (kcp_stream_flush(&p->stream) == KC_EAGAIN)
		wait_for(p->fd, POLLOUT);
}

void peer_end(struct peer *p)
{
	assert_int_equal(kcp_frame_end(&p->out, p->at), 0);
	peer_raw(p, p->out.data, p->out.len);
}

void peer_begin_reply(struct peer *p, uint16_t type, uint64_t id, uint32_t result)
{
	peer_begin(p, type, KCP_HF_REPLY, id, ++p->seq);
	kcp_put_u32(&p->out, KCP_T_RESULT, result);
}

void peer_result(struct peer *p, uint32_t result)
{
	peer_begin_reply(p, p->header.type, p->header.id, result);
	peer_end(p);
}

void peer_ok(struct peer *p)
{
	peer_result(p, KCP_OK);
}

void peer_opened(struct peer *p, uint32_t attach, uint32_t elem_size)
{
	peer_begin_reply(p, p->header.type, p->header.id, KCP_OK);
	kcp_put_u64(&p->out, KCP_T_CHAN_ID, 0x100000000u + attach);
	kcp_put_text(&p->out, KCP_T_NAME, "jobs");
	kcp_put_u32(&p->out, KCP_T_ATTACH, attach);
	kcp_put_u32(&p->out, KCP_T_KIND, KCP_KIND_BUFFERED);
	kcp_put_u32(&p->out, KCP_T_ELEM_SIZE, elem_size);
	kcp_put_u32(&p->out, KCP_T_CAPACITY, 16);
	kcp_put_u32(&p->out, KCP_T_MAX_MSG, elem_size ? 0 : KCP_MSG_DEFAULT);
	kcp_put_u64(&p->out, KCP_T_MAX_BYTES, elem_size ? 0 : KCP_BYTES_DEFAULT);
	kcp_put_u32(&p->out, KCP_T_OVERFLOW, 0);
	kcp_put_u32(&p->out, KCP_T_CHAN_FLAGS, 0);
	peer_end(p);
}

void peer_elements(struct peer *p, uint64_t delivery, uint64_t value, uint32_t n)
{
	size_t at;

	kcp_put_u32(&p->out, KCP_T_COUNT, n);
	kcp_put_u64(&p->out, KCP_T_DELIVERY, delivery);
	at = kcp_tlv_begin(&p->out, KCP_T_ELEMENTS);
	for (uint32_t i = 0; i < n; i++)
		kcp_buf_add_u64(&p->out, value + i);
	kcp_tlv_end(&p->out, at);
}

void peer_received(struct peer *p, uint64_t id, uint64_t delivery, uint64_t value, uint32_t n,
		   uint32_t flags)
{
	peer_begin_reply(p, KCP_RECV, id, KCP_OK);
	peer_elements(p, delivery, value, n);
	if (flags)
		kcp_put_u32(&p->out, KCP_T_FLAGS, flags);
	peer_end(p);
}

void peer_deliver(struct peer *p, uint32_t attach, uint64_t delivery, uint64_t value, uint32_t n)
{
	peer_begin(p, KCP_DELIVER, 0, 0, 0);
	kcp_put_u32(&p->out, KCP_T_ATTACH, attach);
	peer_elements(p, delivery, value, n);
	peer_end(p);
}

void peer_check_ranges(struct peer *p, uint32_t n, const struct kcp_range *expected)
{
	struct kcp_ranges ranges;

	assert_int_equal(kcp_ranges_parse(&ranges, &p->args, NULL), 0);
	assert_int_equal(ranges.count, n);
	for (uint32_t i = 0; i < n; i++) {
		struct kcp_range range = kcp_ranges_at(&ranges, i);

		assert_int_equal(range.first, expected[i].first);
		assert_int_equal(range.count, expected[i].count);
	}
}

struct opening {
	kc_ipc_conn_t *conn;
	const struct kc_ipc_open_options *open;
	kc_chan_t *ch;
};

static long open_main(void *arg)
{
	struct opening *o = arg;

	return kc_ipc_chan_open(o->conn, "jobs", o->open, &o->ch);
}

kc_chan_t *peer_channel(struct peer *p, uint32_t attach, uint32_t elem_size,
			const struct kc_ipc_open_options *open)
{
	struct opening o = { .conn = p->conn, .open = open };
	struct kct_call call;

	kct_call_start(&call, open_main, &o);
	peer_get(p, KCP_CHAN_OPEN);
	peer_opened(p, attach, elem_size);
	if (open && open->credit > 0 && !open->lease) {
		peer_get(p, KCP_CHAN_MAP);
		refuse_map(p);
	}
	assert_int_equal(kct_call_join(&call), 0);
	return o.ch;
}

long peer_ping_main(void *conn)
{
	return kc_ipc_ping(conn);
}

long peer_destroy_main(void *ch)
{
	kc_chan_destroy(ch);
	return 0;
}

void peer_destroy(struct peer *p, kc_chan_t *ch)
{
	struct kct_call call;

	kct_call_start(&call, peer_destroy_main, ch);
	peer_get(p, KCP_CHAN_DETACH);
	peer_ok(p);
	(void)kct_call_join(&call);
}

void peer_disconnect(struct peer *p, bool live)
{
	kc_ipc_disconnect(p->conn);
	p->conn = NULL;
	if (!live)
		return;
	peer_get(p, KCP_BYE);
	peer_get_end(p);
}

kc_chan_t *peer_attached(struct peer *p, uint32_t attach, unsigned credit, int lease)
{
	struct kc_ipc_open_options o = KC_IPC_OPEN_OPTIONS_INIT;

	o.credit = credit;
	o.lease = lease;
	(void)peer_client(p);
	return peer_channel(p, attach, 8, &o);
}

void peer_finish(struct peer *p, kc_chan_t *ch)
{
	peer_destroy(p, ch);
	peer_disconnect(p, true);
	peer_close(p);
}
