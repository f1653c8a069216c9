/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The processes of line_relay that do the work: producers and consumers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "examples/line_relay.h"

#define CAPACITY 16384	 /* elements in the channel */
#define BATCH	 1024	 /* elements per call */
#define CREDIT	 4096	 /* elements given ahead to a consumer */
#define BUFFER	 1048576 /* bytes per call, unless a line has more */
/* What a consumer that is to be killed takes under leases, and is given ahead. */
#define HOLD_LEASED 16
#define HOLD_CREDIT 64

const char *lr_role = "line_relay";

int lr_fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", lr_role);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return 1;
}

int lr_fail_kc(const char *what, long code)
{
	return lr_fail("%s: %s (%s)", what, kc_strerror((int)code), kc_error_detail());
}

/* Create-or-open: it does not matter which process comes first. */
int lr_join(const struct lr_job *job, const struct kc_ipc_open_options *how, kc_ipc_conn_t **conn,
	    kc_chan_t **ret)
{
	struct kc_chan_options opts = KC_CHAN_OPTIONS_INIT;
	int result = kc_ipc_connect(conn, NULL);

	if (result != 0)
		return lr_fail_kc("connecting", result);
	opts.kind = KC_BUFFERED;
	opts.capacity = CAPACITY;
	opts.max_msg = job->longest > KC_MSG_DEFAULT ? job->longest : KC_MSG_DEFAULT;
	opts.max_bytes = opts.max_msg > BUFFER ? 2 * opts.max_msg : 2 * BUFFER;
	result = kc_ipc_chan_make(*conn, job->channel, &opts, how, ret);
	return result == 0 ? 0 : lr_fail_kc("making the channel", result);
}

/* ---- producer -------------------------------------------------------------------------------- */

/* Where the share of producer i begins: a line belongs to who owns its first byte. */
static size_t share_begin(const struct lr_job *job, int i)
{
	size_t at = (size_t)((unsigned __int128)job->size * (unsigned)i / (unsigned)job->producers);
	const char *newline;

	if (i == 0 || at == 0)
		return 0;
	newline = memchr(job->data + at - 1, '\n', job->size - at + 1);
	return newline ? (size_t)(newline - job->data) + 1 : job->size;
}

static int send_all(kc_chan_t *ch, const struct kc_msg *batch, size_t n)
{
	while (n > 0) {
		long sent = kc_chan_send_msgs(ch, batch, n, -1, NULL);

		if (sent < 0)
			return lr_fail_kc("sending", sent);
		batch += sent;
		n -= (size_t)sent;
	}
	return 0;
}

int lr_produce(const struct lr_job *job, int i)
{
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;
	const char *p = job->data + share_begin(job, i);
	const char *end = job->data + share_begin(job, i + 1);
	struct kc_msg batch[BATCH];
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;
	size_t n = 0;
	int bad;

	how.roles = KC_SENDER;
	if (lr_join(job, &how, &conn, &ch) != 0)
		return 1;
	for (bad = 0; p < end && !bad;) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((newline ? newline : end) - p);

		/* the bytes are sent from where they lie in the file */
		batch[n++] = (struct kc_msg){ p, len };
		p += len + 1;
		if (n == BATCH || p >= end) {
			bad = send_all(ch, batch, n);
			n = 0;
		}
	}
	kc_chan_destroy(ch);
	kc_ipc_disconnect(conn);
	return bad;
}

/* ---- consumer -------------------------------------------------------------------------------- */

struct consumer {
	kc_chan_t *ch;
	int lines, redelivered; /* files */
	char *buf, *out, *again;
	size_t size;
	struct kc_msg *msgs;
	struct kc_lease *leases;
};

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return lr_fail("writing: %s", strerror(errno));
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int keep(struct consumer *c, size_t n)
{
	size_t len = 0, again = 0;

	for (size_t i = 0; i < n; i++) {
		memcpy(c->out + len, c->msgs[i].data, c->msgs[i].len);
		c->out[len + c->msgs[i].len] = '\n';
		if (c->leases[i].redelivered) {
			memcpy(c->again + again, c->out + len, c->msgs[i].len + 1);
			again += c->msgs[i].len + 1;
		}
		len += c->msgs[i].len + 1;
	}
	return write_all(c->redelivered, c->again, again) || write_all(c->lines, c->out, len);
}

static int result_open(const struct lr_job *job, const char *what, int i)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/%s.%d", job->folder, what, i), fd;

	if (n < 0 || (size_t)n >= sizeof(path))
		return -1;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		lr_fail("%s: %s", path, strerror(errno));
	return fd;
}

int lr_consume(const struct lr_job *job, int i, enum lr_end end)
{
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;
	struct consumer c = { .size = job->longest > BUFFER ? job->longest : BUFFER };
	size_t batch = end == LR_LIVES ? BATCH : HOLD_LEASED;
	kc_ipc_conn_t *conn;
	bool told = false;
	long n;

	c.lines = result_open(job, "lines", i);
	c.redelivered = result_open(job, "redelivered", i);
	c.buf = malloc(c.size);
	c.out = malloc(c.size + BATCH);
	c.again = malloc(c.size + BATCH);
	c.msgs = calloc(BATCH, sizeof(*c.msgs));
	c.leases = calloc(BATCH, sizeof(*c.leases));
	if (c.lines < 0 || c.redelivered < 0 || !c.buf || !c.out || !c.again || !c.msgs ||
	    !c.leases)
		return lr_fail("no files or no memory");
	how.roles = KC_RECEIVER;
	how.credit = end == LR_LIVES ? CREDIT : HOLD_CREDIT;
	how.lease = 1; /* what is given ahead is leased, too */
	if (lr_join(job, &how, &conn, &c.ch) != 0)
		return 1;
	for (;;) {
		if (!told && end != LR_DIES_HOLDING) {
			if (write_all(job->ready_fd, "r", 1) != 0)
				return 1;
			told = true;
		}
		n = kc_chan_recv_leases(c.ch, c.buf, c.size, c.msgs, c.leases, batch, -1, NULL);
		if (n < 0)
			break;
		/* written first, acknowledged then: a death in between doubles lines, loses none */
		if (keep(&c, (size_t)n) != 0)
			return 1;
		if (end == LR_DIES_HOLDING) {
			if (write_all(job->ready_fd, "h", 1) != 0)
				return 1;
			for (;;)
				pause(); /* with the leases, until it is killed */
		}
		n = kc_chan_ack_many(c.ch, c.leases, (size_t)n);
		/* a lease that ended meanwhile only means that its line will come once more */
		if (n < 0 && n != KC_ENOENT)
			return lr_fail_kc("acknowledging", n);
	}
	if (n != KC_EPIPE) /* closed and drained */
		return lr_fail_kc("receiving", n);
	kc_chan_destroy(c.ch);
	kc_ipc_disconnect(conn);
	free(c.leases);
	free(c.msgs);
	free(c.again);
	free(c.out);
	free(c.buf);
	close(c.redelivered);
	close(c.lines);
	return 0;
}
