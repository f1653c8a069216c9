/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kcoroctl send: standard input into a channel.
 *
 * What one read() returned is split where it lies and handed over in batches;
 * only the beginning of an unfinished line is ever moved. So a line typed by hand
 * goes out at once, and a file goes out in as few calls as possible.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kcoroctl/cmd.h"
#include "kcoroctl/stop.h"

enum { OPT_RAW, OPT_ZERO, OPT_TIMEOUT };

static const struct cmd_option options[] = {
	[OPT_RAW] = { "raw", 0, CMD_FLAG, NULL, "the whole input is one element" },
	[OPT_ZERO] = { "zero", '0', CMD_FLAG, NULL,
		       "elements end with a zero byte, not a newline" },
	[OPT_TIMEOUT] = { "timeout", 't', CMD_NUMBER, "MS",
			  "give up when the channel stays full for so long\n"
			  "(milliseconds; 0 = do not wait at all)",
			  0, INT32_MAX },
	{ NULL },
};

#define SEND_BATCH 2048	  /* elements per call */
#define SEND_READ  262144 /* bytes per read() */

struct feed {
	struct cmd_call *call;
	struct cmd_stop stop;
	kc_chan_t *ch;
	struct kc_ipc_chan_info info;
	const char *unit; /* what an element of the input is called */
	char delimiter;
	long timeout;
	uint64_t sent; /* elements; the next one is number sent + 1 */
	size_t limit;  /* longest element */
	char *buf;
	size_t size, have;
	struct kc_msg *batch;
	size_t n;
	char *packed; /* fixed elements: those of the batch, one after the other */
};

static void sent_so_far(const struct feed *f)
{
	cmd_hint("%" PRIu64 " %s%s sent before that", f->sent, f->unit,
		 f->sent == 1 ? " was" : "s were");
}

static enum cmd_exit refuse_size(const struct feed *f, size_t len, bool at_least)
{
	const char *more = at_least ? "more than " : "";

	if (f->info.elem_size)
		cmd_error("%s %" PRIu64
			  " has %s%zu bytes, but every element of '%s' has exactly %zu",
			  f->unit, f->sent + 1, more, len, f->info.name, f->info.elem_size);
	else
		cmd_error("%s %" PRIu64 " has %s%zu bytes, but '%s' takes messages of at most %zu",
			  f->unit, f->sent + 1, more, len, f->info.name, f->limit);
	sent_so_far(f);
	if (f->info.elem_size)
		cmd_hint("a channel made without --elem-size takes messages of any length");
	else
		cmd_hint("longer ones need a channel made with a larger --max-msg (at most %u)",
			 KC_MSG_MAX);
	return CMD_FAILED;
}

static enum cmd_exit refused(const struct feed *f, int code)
{
	enum cmd_exit status;

	switch (code) {
	case KC_ECANCELED:
		cmd_error("interrupted");
		sent_so_far(f);
		return CMD_FAILED;
	case KC_EAGAIN:
	case KC_ETIME:
		if (f->info.kind == KC_RENDEZVOUS)
			cmd_error("nobody received from '%s' in the time given", f->info.name);
		else
			cmd_error("'%s' is full and nobody made room in the time given",
				  f->info.name);
		sent_so_far(f);
		cmd_hint("see who receives:         kcoroctl info %s", f->info.name);
		cmd_hint("to wait without bound, leave --timeout away");
		return CMD_TIMED_OUT;
	case KC_EPIPE:
		cmd_error("'%s' is closed", f->info.name);
		sent_so_far(f);
		cmd_hint(
			"a closed channel stays closed; to use the name again: kcoroctl destroy %s",
			f->info.name);
		return CMD_CLOSED;
	default:
		status = cmd_failed(f->call, "send to", code);
		sent_so_far(f);
		return status;
	}
}

/* Everything in the batch, however many calls it takes. */
static enum cmd_exit batch_send(struct feed *f)
{
	size_t done = 0;

	while (done < f->n) {
		long n;

		if (f->info.elem_size)
			n = kc_chan_send_many(f->ch, f->packed + done * f->info.elem_size,
					      f->n - done, f->timeout, f->stop.token);
		else
			n = kc_chan_send_msgs(f->ch, f->batch + done, f->n - done, f->timeout,
					      f->stop.token);
		if (n < 0)
			return refused(f, (int)n);
		done += (size_t)n;
		f->sent += (uint64_t)n;
	}
	f->n = 0;
	return CMD_DONE;
}

/* Sends when the batch is full. */
static enum cmd_exit element_add(struct feed *f, const char *data, size_t len)
{
	enum cmd_exit status;

	if (f->info.elem_size ? len != f->info.elem_size : len > f->limit) {
		status = batch_send(f);
		return status == CMD_DONE ? refuse_size(f, len, false) : status;
	}
	if (f->info.elem_size)
		memcpy(f->packed + f->n * len, data, len);
	f->batch[f->n++] = (struct kc_msg){ data, len };
	return f->n < SEND_BATCH ? CMD_DONE : batch_send(f);
}

/* All whole elements that lie in the buffer; what remains moves to its front. */
static enum cmd_exit buffer_split(struct feed *f)
{
	const char *p = f->buf, *end = f->buf + f->have, *stop;
	enum cmd_exit status = CMD_DONE;

	while (status == CMD_DONE && (stop = memchr(p, f->delimiter, (size_t)(end - p)))) {
		status = element_add(f, p, (size_t)(stop - p));
		p = stop + 1;
	}
	if (status == CMD_DONE)
		status = batch_send(f);
	f->have = (size_t)(end - p);
	memmove(f->buf, p, f->have);
	return status;
}

/* One read(); 0 in *ret_n is the end. */
static enum cmd_exit buffer_fill(struct feed *f, size_t *ret_n)
{
	size_t room = f->size - f->have;
	ssize_t n;

	if (!cmd_stop_wait(&f->stop, STDIN_FILENO, POLLIN, 0))
		return refused(f, KC_ECANCELED);
	do {
		n = read(STDIN_FILENO, f->buf + f->have, room < SEND_READ ? room : SEND_READ);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		cmd_error("cannot read standard input: %s", strerror(errno));
		sent_so_far(f);
		return CMD_FAILED;
	}
	f->have += (size_t)n;
	*ret_n = (size_t)n;
	return CMD_DONE;
}

static enum cmd_exit feed_lines(struct feed *f)
{
	enum cmd_exit status;
	size_t n;

	for (;;) {
		status = buffer_fill(f, &n);
		if (status != CMD_DONE)
			return status;
		if (n == 0)
			break;
		status = buffer_split(f);
		if (status != CMD_DONE)
			return status;
		if (f->have > f->limit)
			return refuse_size(f, f->limit, true);
	}
	/* a last line without its newline counts */
	if (f->have > 0)
		status = element_add(f, f->buf, f->have);
	return status == CMD_DONE ? batch_send(f) : status;
}

static enum cmd_exit feed_raw(struct feed *f)
{
	enum cmd_exit status;
	size_t n;

	do {
		status = buffer_fill(f, &n);
		if (status != CMD_DONE)
			return status;
		if (f->have > f->limit)
			return refuse_size(f, f->limit, true);
	} while (n > 0);
	status = element_add(f, f->buf, f->have);
	return status == CMD_DONE ? batch_send(f) : status;
}

static enum cmd_exit feed(struct feed *f)
{
	bool raw = f->call->opt[OPT_RAW].set;
	enum cmd_exit status = CMD_FAILED;
	int result = cmd_stop_init(&f->stop);

	if (result != 0)
		return cmd_failed(f->call, "wait for signals while sending to", result);
	f->limit = f->info.elem_size ? f->info.elem_size : f->info.max_msg;
	/* one byte more than the longest, to see that an element is too long */
	f->size = f->limit + 1 + (raw ? 0 : SEND_READ);
	f->buf = malloc(f->size);
	f->batch = calloc(SEND_BATCH, sizeof(*f->batch));
	if (f->info.elem_size)
		f->packed = malloc(SEND_BATCH * f->info.elem_size);
	if (!f->buf || !f->batch || (f->info.elem_size && !f->packed))
		cmd_error("out of memory");
	else
		status = raw ? feed_raw(f) : feed_lines(f);
	free(f->packed);
	free(f->batch);
	free(f->buf);
	/* before a signal may end the process: detach in good order */
	kc_chan_destroy(f->ch);
	f->ch = NULL;
	kc_ipc_disconnect(f->call->conn);
	f->call->conn = NULL;
	cmd_stop_done(&f->stop);
	return status;
}

static enum cmd_exit run(struct cmd_call *call)
{
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;
	struct feed f = { .call = call, .unit = "line", .delimiter = '\n', .timeout = -1 };
	enum cmd_exit status;
	int result;

	if (call->opt[OPT_RAW].set && call->opt[OPT_ZERO].set)
		return cmd_usage(call, "--raw and --zero exclude each other");
	if (call->opt[OPT_RAW].set || call->opt[OPT_ZERO].set)
		f.unit = "element";
	if (call->opt[OPT_ZERO].set)
		f.delimiter = '\0';
	if (call->opt[OPT_TIMEOUT].set)
		f.timeout = (long)call->opt[OPT_TIMEOUT].number;
	how.roles = KC_SENDER;
	status = cmd_open(call, &how, &f.ch);
	if (status != CMD_DONE)
		return status;
	result = kc_ipc_chan_info(f.ch, &f.info);
	status = result == 0 ? feed(&f) : cmd_failed(call, "look at", result);
	kc_chan_destroy(f.ch);
	return status;
}

const struct cmd cmd_send = {
	.name = "send",
	.usage = "NAME|@ID [--raw | --zero] [--timeout MS]",
	.summary = "send standard input, an element per line",
	.help = "Each line of standard input becomes an element (without its newline; an empty\n"
		"line is an empty message). Waits while the channel is full. Where elements have\n"
		"a fixed size each line must have it.\n"
		"\n"
		"  kcoroctl send jobs < FILE\n"
		"  find . -print0 | kcoroctl send jobs --zero\n"
		"  kcoroctl send pictures --raw < cat.png\n"
		"\n"
		"Exit code 4 if --timeout passed, 5 if the channel is closed; what was sent "
		"before\n"
		"is told, and stays sent.\n",
	.options = options,
	.operand = CMD_OPERAND_TARGET,
	.run = run,
};
