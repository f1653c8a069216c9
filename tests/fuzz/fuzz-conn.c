/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole daemon inside the fuzzer: the input is what two clients write to it.
 *
 * Each piece of input goes to one of the two connections, then the daemon has a
 * turn and what it answers is read and thrown away. A piece is a byte of control
 * and a frame: the control's low bit says which connection; other bits cut a
 * connection, let time pass (leases lapse, offers expire, a grace ends), or send
 * the bytes as they are. Otherwise the frame's header is made right, so that
 * mutations reach the handlers instead of failing at the magic number: byte 0 of a
 * piece's body is the type, bytes 1 and 2 its length, then come the TLVs.
 *
 * After every input the books must balance and nothing may be left.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kcorod/conn.h"
#include "kcorod/daemon.h"
#include "kcorod/session.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/frame.h"
#include "proto/tlv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(what)                                                                                 \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

enum {
	CONTROL_SECOND = 1,  /* to the second connection */
	CONTROL_RAW = 2,     /* the bytes as they are */
	CONTROL_NOTICE = 4,  /* id 0 */
	CONTROL_OLD_ID = 8,  /* the id again */
	CONTROL_CONFIRM = 16,
	CONTROL_TIME = 32,   /* some time passes: as many ms as the length says */
	CONTROL_CUT = 64,    /* the connection is cut and begun again, with RESUME */
};

struct side {
	int fd;
	uint64_t id;
	uint8_t token[KCP_TOKEN_SIZE];
};

static struct kcd_daemon *d;
static struct side sides[2];

static void turns(void)
{
	for (int i = 0; i < 4; i++)
		MUST(kcd_daemon_turn(d, /* wait= */ false) == 0);
}

/* Read what the daemon said; the token of a reply to HELLO is worth keeping. */
static void drain(struct side *side)
{
	static uint8_t buf[1 << 16];
	ssize_t n;

	while (side->fd >= 0 && (n = recv(side->fd, buf, sizeof(buf), MSG_DONTWAIT)) != 0) {
		if (n < 0) {
			if (errno == EAGAIN)
				return;
			break;
		}
		if (n > 100 && buf[4] == KCP_HELLO && buf[3] == KCP_HF_REPLY) {
			/* RESULT, VERSION_MIN, VERSION_MAX, FEATURES, then TOKEN */
			const uint8_t *token = buf + KCP_HEADER_SIZE + 12 * 3 + 16 + 8;

			memcpy(side->token, token, KCP_TOKEN_SIZE);
		}
	}
	if (side->fd >= 0)
		close(side->fd);
	side->fd = -1;
}

static void put(struct side *side, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (side->fd >= 0 && len > 0) {
		ssize_t n = send(side->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
		turns();
		drain(side);
		if (n < 0 && errno != EAGAIN)
			break;
	}
	turns();
	drain(&sides[0]);
	drain(&sides[1]);
}

static void put_frame(struct side *side, uint8_t type, uint64_t id, uint64_t seq, const void *data,
		      size_t len)
{
	static uint8_t frame[KCP_HEADER_SIZE + UINT16_MAX];
	struct kcp_header header = { .type = type, .length = (uint32_t)len, .id = id, .seq = seq };

	kcp_header_encode(&header, frame);
	memcpy(frame + KCP_HEADER_SIZE, data, len);
	put(side, frame, KCP_HEADER_SIZE + len);
}

static void hello(struct side *side)
{
	const char *limit;
	struct kcd_conn *conn;
	struct kcp_buf buf;
	int fds[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	MUST(kcd_conn_new(d, fds[0], &conn, &limit) == 0);
	side->fd = fds[1];
	side->id++;
	kcp_buf_init(&buf, 256);
	kcp_put_u32(&buf, KCP_T_VERSION_MIN, 1);
	kcp_put_u32(&buf, KCP_T_VERSION_MAX, 1);
	put_frame(side, KCP_HELLO, side->id, 0, buf.data, buf.len);
	kcp_buf_done(&buf);
}

static void cut(struct side *side)
{
	uint8_t token[KCP_TOKEN_SIZE];
	struct kcp_buf buf;

	memcpy(token, side->token, sizeof(token));
	if (side->fd >= 0)
		close(side->fd);
	side->fd = -1;
	turns();
	hello(side);
	kcp_buf_init(&buf, 256);
	kcp_put_bytes(&buf, KCP_T_TOKEN, token, sizeof(token));
	side->id++;
	put_frame(side, KCP_RESUME, side->id, UINT64_MAX >> 8, buf.data, buf.len);
	kcp_buf_done(&buf);
	memcpy(side->token, token, sizeof(token));
}

/* The time of the timers is ours to set. */
static void pass_time(unsigned ms)
{
	kcd_timers_run(&d->timers, kci_clock_now() + ms * KC_NS_PER_MS);
	turns();
}

static void piece(uint8_t control, uint8_t type, const uint8_t *data, size_t len)
{
	struct side *side = &sides[control & CONTROL_SECOND];

	if (control & CONTROL_TIME)
		pass_time((unsigned)len);
	if (side->fd < 0)
		hello(side);
	if (control & CONTROL_CUT)
		cut(side);
	if (control & CONTROL_RAW) {
		put(side, data, len);
		return;
	}
	if (!(control & (CONTROL_NOTICE | CONTROL_OLD_ID)))
		side->id++;
	put_frame(side, type, control & CONTROL_NOTICE ? 0 : side->id,
		  control & CONTROL_CONFIRM ? UINT64_MAX >> 8 : 0, data, len);
}

static void check_books(void)
{
	struct kcd_totals t;
	const struct kc_ledger *l = &t.ledger;

	kcd_daemon_totals(d, &t);
	MUST(l->sent == l->received + l->queued + l->leased + l->conflated + l->dropped_oldest +
				l->dropped_newest + l->dropped_purged + l->dropped_destroyed +
				l->expired + l->lost_consumer + l->lost_daemon);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	struct kcd_config config;

	kcd_config_init(&config);
	config.bytes = config.user_bytes = 8 << 20;
	config.requests = 64;
	config.output_high = 65536;
	config.output_max = 1 << 20;
	kcd_log_init(KCD_LOG_ERROR);
	MUST(kcd_daemon_new(&config, &d) == 0);
	sides[0] = sides[1] = (struct side){ .fd = -1 };
	while (end - data >= 4) {
		size_t len = data[2] | (size_t)data[3] << 8;
		uint8_t control = data[0], type = data[1];

		data += 4;
		if (len > (size_t)(end - data))
			len = (size_t)(end - data);
		piece(control, type, data, len);
		data += len;
		check_books();
	}
	for (int i = 0; i < 2; i++)
		if (sides[i].fd >= 0)
			close(sides[i].fd);
	turns();
	check_books();
	pass_time(60000); /* the grace ends */
	MUST(d->sessions.n == 0);
	MUST(kcd_list_empty(&d->conns));
	MUST(d->connections == 0);
	MUST(d->descriptors == 0);
	check_books();
	d = kcd_daemon_free(d);
	return 0;
}
