/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kcoroctl recv: a channel to standard output.
 *
 * Elements are taken in batches and each batch is written at once. With --lease
 * they are acknowledged only when they have been written; what could not be
 * written returns to the channel when the handle detaches.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kcoroctl/cmd.h"
#include "kcoroctl/stop.h"

enum { OPT_COUNT, OPT_FOLLOW, OPT_LEASE, OPT_RAW, OPT_ZERO, OPT_TIMEOUT };

static const struct cmd_option options[] = {
	[OPT_COUNT] = { "count", 'n', CMD_NUMBER, "N", "receive N elements (default 1)", 1,
			UINT64_MAX },
	[OPT_FOLLOW] = { "follow", 'f', CMD_FLAG, NULL,
			 "go on until the channel is closed and drained (or N\n"
			 "elements came); that is exit code 0" },
	[OPT_LEASE] = { "lease", 'l', CMD_FLAG, NULL,
			"take each element under a lease and acknowledge it once\n"
			"it is written: none is lost if this program dies" },
	[OPT_RAW] = { "raw", 0, CMD_FLAG, NULL, "write nothing after an element" },
	[OPT_ZERO] = { "zero", '0', CMD_FLAG, NULL, "write a zero byte after each, not a newline" },
	[OPT_TIMEOUT] = { "timeout", 't', CMD_NUMBER, "MS",
			  "give up when nothing comes for so long\n"
			  "(milliseconds; 0 = only what is there)",
			  0, INT32_MAX },
	{ NULL },
};

#define RECV_BATCH    4096    /* elements per call */
#define RECV_BYTES    1048576 /* bytes per call, unless one message may have more */
#define RECV_CREDIT   4096    /* elements given ahead with --follow */
#define RECV_GRACE_MS 1000    /* for a reader of our output, once a signal came */
#define PIPE_PIECE    4096    /* a pipe that is ready takes so much without blocking */

struct sink {
	struct cmd_call *call;
	struct cmd_stop stop;
	kc_chan_t *ch;
	struct kc_ipc_chan_info info;
	bool lease;
	bool has_end;
	bool waits; /* writing may wait for a reader: a pipe, a socket, a terminal */
	char end;   /* written after each element */
	long timeout;
	uint64_t received;
	uint64_t wanted;
	size_t batch;
	char *buf;
	size_t buf_size;
	char *out;
	struct kc_msg *msgs;
	struct kc_lease *leases;
};

static long take(struct sink *s)
{
	size_t left =
		s->wanted - s->received < s->batch ? (size_t)(s->wanted - s->received) : s->batch;
	long n;

	if (s->lease)
		return kc_chan_recv_leases(s->ch, s->buf, s->buf_size, s->msgs, s->leases, left,
					   s->timeout, s->stop.token);
	if (!s->info.elem_size)
		return kc_chan_recv_msgs(s->ch, s->buf, s->buf_size, s->msgs, left, s->timeout,
					 s->stop.token);
	n = kc_chan_recv_many(s->ch, s->buf, left, s->timeout, s->stop.token);
	for (long i = 0; i < n; i++)
		s->msgs[i] = (struct kc_msg){ s->buf + (size_t)i * s->info.elem_size,
					      s->info.elem_size };
	return n;
}

/* How many bytes were written: all, unless the reader went away or a signal came and the reader
 * does not read. errno says why, 0 for the signal. */
static size_t put(struct sink *s, const char *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t piece = len - done;
		ssize_t n;

		if (s->waits) {
			if (!cmd_stop_wait(&s->stop, STDOUT_FILENO, POLLOUT, RECV_GRACE_MS)) {
				errno = 0;
				return done;
			}
			if (piece > PIPE_PIECE)
				piece = PIPE_PIECE;
		}
		n = write(STDOUT_FILENO, data + done, piece);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return done;
		if (n > 0)
			done += (size_t)n;
	}
	return done;
}

/* What cannot be written is an error; a reader that has seen enough is none worth words. */
static enum cmd_exit unwritten(const struct sink *s, int error, size_t count)
{
	if (error == EPIPE)
		return CMD_FAILED;
	if (error == 0)
		cmd_error("interrupted while nobody reads the output");
	else
		cmd_error("cannot write the output: %s", strerror(error));
	if (s->lease)
		cmd_hint("what was not written returns to '%s'", s->info.name);
	else
		cmd_hint("%zu elements that had been received were not written (with --lease they "
			 "would return)",
			 count);
	return CMD_FAILED;
}

static enum cmd_exit acknowledge(const struct sink *s, size_t n)
{
	long done = n > 0 ? kc_chan_ack_many(s->ch, s->leases, n) : 0;

	if (done < 0)
		return cmd_failed(s->call, "acknowledge what was received from", (int)done);
	if ((size_t)done < n) {
		cmd_error("%zu elements were written after their leases had ended",
			  n - (size_t)done);
		cmd_hint("they will be delivered once more, marked as redelivered");
	}
	return CMD_DONE;
}

/* Writes a batch with one end after each element, and acknowledges what was written. */
static enum cmd_exit write_out(struct sink *s, size_t n)
{
	const char *data = s->buf;
	size_t len = 0, wrote, whole = 0, at = 0;
	enum cmd_exit status = CMD_DONE;
	int error;

	if (s->has_end) {
		for (size_t i = 0; i < n; i++) {
			memcpy(s->out + len, s->msgs[i].data, s->msgs[i].len);
			len += s->msgs[i].len;
			s->out[len++] = s->end;
		}
		data = s->out;
	} else {
		for (size_t i = 0; i < n; i++)
			len += s->msgs[i].len;
	}
	wrote = put(s, data, len);
	error = errno;
	if (wrote == len)
		whole = n;
	else {
		for (; whole < n; whole++) {
			at += s->msgs[whole].len + s->has_end;
			if (at > wrote)
				break;
		}
		status = unwritten(s, error, n - whole);
	}
	if (s->lease) {
		enum cmd_exit acked = acknowledge(s, whole);

		if (status == CMD_DONE)
			status = acked;
	}
	return status;
}

static enum cmd_exit ended(const struct sink *s, int code)
{
	bool follow = s->call->opt[OPT_FOLLOW].set;

	switch (code) {
	case KC_ECANCELED: /* the signal says it */
		return CMD_FAILED;
	case KC_EPIPE:
		if (follow)
			return CMD_DONE;
		cmd_error("'%s' is closed and drained%s", s->info.name,
			  s->received ? " before all came" : "");
		cmd_hint("a closed channel stays closed; to use the name again: kcoroctl destroy %s",
			 s->info.name);
		break;
	case KC_EAGAIN:
	case KC_ETIME:
		cmd_error("nothing came from '%s' in the time given", s->info.name);
		cmd_hint("see who sends:            kcoroctl info %s", s->info.name);
		cmd_hint("to wait without bound, leave --timeout away");
		break;
	case KC_ENOTSUP:
		cmd_error("'%s' hands out elements only under a lease", s->info.name);
		cmd_hint("kcoroctl recv %s --lease", s->call->target);
		return CMD_FAILED;
	default:
		return cmd_failed(s->call, "receive from", code);
	}
	if (s->call->opt[OPT_COUNT].set)
		cmd_hint("%" PRIu64 " of %" PRIu64 " elements were received", s->received,
			 s->wanted);
	return code == KC_EPIPE ? CMD_CLOSED : CMD_TIMED_OUT;
}

static enum cmd_exit pump(struct sink *s)
{
	while (s->received < s->wanted) {
		enum cmd_exit status;
		long n = take(s);

		if (n < 0)
			return ended(s, (int)n);
		s->received += (uint64_t)n;
		status = write_out(s, (size_t)n);
		if (status != CMD_DONE)
			return status;
	}
	return CMD_DONE;
}

static bool buffers_make(struct sink *s)
{
	size_t longest = s->info.elem_size ? s->info.elem_size : s->info.max_msg;

	s->batch = s->wanted < RECV_BATCH ? (size_t)s->wanted : RECV_BATCH;
	s->buf_size = longest;
	if (s->batch > 1 && longest < RECV_BYTES)
		s->buf_size = RECV_BYTES;
	if (s->info.elem_size && s->batch > s->buf_size / longest)
		s->batch = s->buf_size / longest;
	s->buf = malloc(s->buf_size);
	s->out = s->has_end ? malloc(s->buf_size + s->batch) : NULL;
	s->msgs = calloc(s->batch, sizeof(*s->msgs));
	s->leases = s->lease ? calloc(s->batch, sizeof(*s->leases)) : NULL;
	return s->buf && (s->out || !s->has_end) && s->msgs && (s->leases || !s->lease);
}

static enum cmd_exit drain(struct sink *s)
{
	enum cmd_exit status = CMD_FAILED;
	struct stat st;
	int result = cmd_stop_init(&s->stop);

	if (result != 0)
		return cmd_failed(s->call, "wait for signals while receiving from", result);
	s->waits = fstat(STDOUT_FILENO, &st) == 0 &&
		   (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || isatty(STDOUT_FILENO));
	if (buffers_make(s))
		status = pump(s);
	else
		cmd_error("out of memory");
	/* in good order before a signal may end the process: leases return at once */
	kc_chan_destroy(s->ch);
	s->ch = NULL;
	kc_ipc_disconnect(s->call->conn);
	s->call->conn = NULL;
	free(s->leases);
	free(s->msgs);
	free(s->out);
	free(s->buf);
	cmd_stop_done(&s->stop);
	return status;
}

static enum cmd_exit run(struct cmd_call *call)
{
	const struct cmd_value *opt = call->opt;
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;
	struct sink s = { .call = call, .has_end = true, .end = '\n', .timeout = -1, .wanted = 1 };
	enum cmd_exit status;
	int result;

	if (opt[OPT_RAW].set && opt[OPT_ZERO].set)
		return cmd_usage(call, "--raw and --zero exclude each other");
	if (opt[OPT_COUNT].set)
		s.wanted = opt[OPT_COUNT].number;
	else if (opt[OPT_FOLLOW].set)
		s.wanted = UINT64_MAX;
	if (opt[OPT_RAW].set)
		s.has_end = false;
	if (opt[OPT_ZERO].set)
		s.end = '\0';
	if (opt[OPT_TIMEOUT].set)
		s.timeout = (long)opt[OPT_TIMEOUT].number;
	s.lease = opt[OPT_LEASE].set;
	how.roles = KC_RECEIVER;
	/* only where all that comes is wanted: what is given ahead and not used has to return */
	if (s.wanted == UINT64_MAX) {
		how.credit = RECV_CREDIT;
		how.lease = s.lease;
	}
	status = cmd_open(call, &how, &s.ch);
	if (status != CMD_DONE)
		return status;
	result = kc_ipc_chan_info(s.ch, &s.info);
	status = result == 0 ? drain(&s) : cmd_failed(call, "look at", result);
	kc_chan_destroy(s.ch);
	return status;
}

const struct cmd cmd_recv = {
	.name = "recv",
	.usage = "NAME|@ID [-n N] [--follow] [--lease] [--raw | --zero] [--timeout MS]",
	.summary = "receive elements and write them to standard output",
	.help = "Receives one element, or N, or with --follow all there will ever be, and writes\n"
		"each with a newline after it; nothing else is written to standard output.\n"
		"\n"
		"  kcoroctl recv jobs                     the next one, waiting for it\n"
		"  kcoroctl recv jobs -n 10 --timeout 500\n"
		"  kcoroctl recv jobs --follow > FILE     until somebody closes the channel\n"
		"  kcoroctl recv pictures --raw > cat.png\n"
		"\n"
		"Exit code 4 if --timeout passed, 5 if the channel is closed and drained (but 0\n"
		"with --follow). Without --lease an element is gone once it was received, even if\n"
		"it then cannot be written.\n",
	.options = options,
	.operand = CMD_OPERAND_TARGET,
	.run = run,
};
