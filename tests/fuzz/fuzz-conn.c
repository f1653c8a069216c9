/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole daemon inside the fuzzer: the input is what three clients do to it, two of one
 * user and one of another.
 *
 * The input is a row of pieces. A piece is four bytes (control, type, length as u16) and a
 * body of that length; bit 7 of the type means the third client, bit 0 of control the second
 * one. By its control bits a piece is
 *
 *	TIME | RAW   the length-th allocation of the daemon from now on fails (no body)
 *	TIME         length milliseconds pass: leases lapse, offers expire, a grace ends (no body)
 *	RAW          bytes as they are
 *	none         a frame of this type with the body as its TLVs and a header that is right,
 *	             so that mutations reach the handlers instead of failing at the magic number
 *
 * and before that the client's connection may be CUT, or its process may die (CUT of type
 * DIE), and what comes then may resume its session: CUT of type RESUME puts the body behind
 * the session's own token. A DEAF client reads nothing until it has to.
 *
 * After every piece the books must balance, and at the end nothing may be left.
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
	CONTROL_SECOND = 1,  /* to the second client */
	CONTROL_RAW = 2,
	CONTROL_NOTICE = 4,  /* id 0 */
	CONTROL_OLD_ID = 8,  /* the id again */
	CONTROL_CONFIRM = 16, /* all replies have been seen; else none */
	CONTROL_TIME = 32,
	CONTROL_CUT = 64,
	CONTROL_DEAF = 128,
};

#define THIRD 0x80 /* of the type */
#define DIE 0x7f
#define SEEN_ALL (UINT64_MAX >> 8)
#define SIDES 3
#define REST 100000 /* turns in which all that was said before a hang-up has been read */
#define UID 1000u /* of the first two; the third has the next one */

struct side {
	int fd;
	bool deaf;
	uint64_t id;
	uint8_t token[KCP_TOKEN_SIZE];
};

static struct kcd_daemon *d;
static struct side sides[SIDES];
static unsigned long fail_in; /* allocations until one fails; 0: none does */

static bool on_alloc(size_t size)
{
	(void)size;
	return fail_in > 0 && --fail_in == 0;
}

/* Only the daemon's own allocations fail, not those around it. */
static void turn_once(void)
{
	kci_alloc_set_hook(on_alloc);
	MUST(kcd_daemon_turn(d, /* wait= */ false) == 0);
	kci_alloc_set_hook(NULL);
}

static void turns(void)
{
	for (int i = 0; i < 4; i++)
		turn_once();
}

/* Read what the daemon said; the token of a reply to HELLO is worth keeping. */
static void drain(struct side *side)
{
	static uint8_t buf[1 << 16];
	ssize_t n;

	if (side->deaf)
		return;
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

static void hang_up(struct side *side)
{
	if (side->fd >= 0)
		close(side->fd);
	side->fd = -1;
	side->deaf = false;
}

static void put(struct side *side, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (side->fd >= 0 && len > 0) {
		ssize_t n = send(side->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else {
			side->deaf = false; /* nor would the daemon read on */
		}
		turns();
		drain(side);
		if (n < 0 && errno != EAGAIN)
			break;
	}
	turns();
	for (int i = 0; i < SIDES; i++)
		drain(&sides[i]);
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
	int fds[2], small = 4096;

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	/* A client that does not read is noticed after a few frames. */
	MUST(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
	MUST(kcd_conn_new(d, fds[0], &conn, &limit) == 0);
	conn->peer->uid = conn->peer->gid = UID + (side == &sides[2]);
	side->fd = fds[1];
	side->id++;
	kcp_buf_init(&buf, 256);
	kcp_put_u32(&buf, KCP_T_VERSION_MIN, 1);
	kcp_put_u32(&buf, KCP_T_VERSION_MAX, 1);
	put_frame(side, KCP_HELLO, side->id, 0, buf.data, buf.len);
	kcp_buf_done(&buf);
}

/* The connection ends without a word, and another one resumes the session. */
static void cut(struct side *side, uint64_t seq, const void *tlvs, size_t len)
{
	uint8_t token[KCP_TOKEN_SIZE];
	struct kcp_buf buf;

	memcpy(token, side->token, sizeof(token));
	hang_up(side);
	turns();
	hello(side);
	kcp_buf_init(&buf, UINT16_MAX);
	kcp_put_bytes(&buf, KCP_T_TOKEN, token, sizeof(token));
	kcp_buf_add(&buf, tlvs, len);
	side->id++;
	if (!buf.failed)
		put_frame(side, KCP_RESUME, side->id, seq, buf.data, buf.len);
	kcp_buf_done(&buf);
	memcpy(side->token, token, sizeof(token));
}

/* The kernel says that the client's process is dead. */
static void die(struct side *side)
{
	struct kcd_session *session = kcd_session_find(d, side->token);

	if (session && !session->peer->dead) {
		session->peer->dead = true;
		session->peer->died(session->peer->arg);
	}
	turns();
	hang_up(side);
	turns();
}

/* The time of the timers is ours to set. */
static void pass_time(unsigned ms)
{
	kci_alloc_set_hook(on_alloc);
	kcd_timers_run(&d->timers, kci_clock_now() + ms * KC_NS_PER_MS);
	turns();
}

static void piece(uint8_t control, uint8_t type, const uint8_t *data, size_t len)
{
	struct side *side = &sides[type & THIRD ? 2 : control & CONTROL_SECOND];
	uint64_t seq = control & CONTROL_CONFIRM ? SEEN_ALL : 0;

	type &= (uint8_t)~THIRD;
	if ((control & CONTROL_CUT) && type == DIE) {
		die(side);
		return;
	}
	if (side->fd < 0)
		hello(side);
	if ((control & CONTROL_CUT) && type == KCP_RESUME) {
		cut(side, seq, data, len);
		return;
	}
	if (control & CONTROL_CUT)
		cut(side, seq, NULL, 0);
	side->deaf = control & CONTROL_DEAF;
	if (control & CONTROL_RAW) {
		put(side, data, len);
		return;
	}
	if (!(control & (CONTROL_NOTICE | CONTROL_OLD_ID)))
		side->id++;
	put_frame(side, type, control & CONTROL_NOTICE ? 0 : side->id, seq, data, len);
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

/* Without clients nothing is held but what channels hold. */
static void check_nothing_left(void)
{
	uint64_t held = 0;

	MUST(d->sessions.n == 0);
	MUST(kcd_list_empty(&d->conns));
	MUST(d->connections == 0);
	MUST(d->descriptors == 0);
	MUST(d->timers.n == 0);
	for (size_t i = 0; i < d->registry.n_slots; i++) {
		const struct kcd_entry *entry = d->registry.slots[i];

		if (!entry)
			continue;
		held += entry->channel->elements.held;
		MUST(entry->channel->n_attached == 0 && entry->channel->n_given == 0);
		MUST(entry->owner->connections == 0 && entry->owner->buffers.used == 0);
	}
	MUST(d->bytes.used == held);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	struct kcd_config config;

	kcd_config_init(&config);
	config.bytes = config.user_bytes = 1 << 20;
	config.requests = 64;
	config.attachments = 16;
	config.channels = 16;
	config.output_high = 4096;
	config.output_max = 65536;
	kcd_log_init(KCD_LOG_ERROR);
	MUST(kcd_daemon_new(&config, &d) == 0);
	fail_in = 0;
	for (int i = 0; i < SIDES; i++)
		sides[i] = (struct side){ .fd = -1 };
	while (end - data >= 4) {
		size_t len = data[2] | (size_t)data[3] << 8;
		uint8_t control = data[0], type = data[1];

		data += 4;
		if (control & CONTROL_TIME) {
			if (control & CONTROL_RAW)
				fail_in = len;
			else
				pass_time((unsigned)len);
		} else {
			if (len > (size_t)(end - data))
				len = (size_t)(end - data);
			piece(control, type, data, len);
			data += len;
		}
		check_books();
	}
	fail_in = 0;
	for (int i = 0; i < SIDES; i++)
		hang_up(&sides[i]);
	for (int i = 0; i < REST && !kcd_list_empty(&d->conns); i++)
		turn_once();
	check_books();
	pass_time(60000); /* the grace ends */
	pass_time(60000); /* and what is due after that is done */
	check_books();
	check_nothing_left();
	d = kcd_daemon_free(d);
	return 0;
}
