/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * event_loop: channels in a program that has an event loop of its own (libevent).
 *
 *	event_loop OUT IN
 *
 * Sends each line of its standard input to the channel OUT, and prints what arrives on
 * the channel IN; two of them with the names the other way round talk to each other. It
 * closes OUT at the end of its input, and on SIGINT and SIGTERM; it ends by itself when
 * IN is closed and drained.
 *
 * Nothing here blocks on a channel. The loop waits on four things alike: standard input,
 * a signal, and kc_chan_fd() of both channels. The pattern with those two is the same:
 *
 * - wait for the descriptor to be readable (EV_READ, for sending too), and never do
 *   anything else with it;
 * - then call with timeout 0 until KC_EAGAIN. Only that makes it unreadable again. Who
 *   stops earlier, to give others a turn, is simply called again.
 *
 * While OUT is full this program does not read its input, so that whoever writes there is
 * held up in turn, and no queue grows in between.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "kcoro.h"

#define LINE_SIZE 4096 /* a longer line goes in pieces */
#define TURN 64	       /* elements received before the loop sees to the rest */

struct program {
	struct event_base *base;
	kc_ipc_conn_t *conn;
	kc_chan_t *out;
	kc_chan_t *in;
	struct event *on_input;	  /* standard input has something */
	struct event *on_room;	  /* OUT has room */
	struct event *on_arrival; /* IN has something */
	struct event *on_signal[2];
	char text[LINE_SIZE]; /* input that was not sent yet */
	size_t len;
	int input_over; /* nothing more will be read */
	int status;
};

static int failed(const char *what, int code)
{
	fprintf(stderr, "event_loop: %s: %s (%s)\n", what, kc_strerror(code), kc_error_detail());
	return 1;
}

/* Something is wrong beyond repair: the loop ends after this callback. */
static void give_up(struct program *p, const char *what, int code)
{
	p->status = failed(what, code);
	event_base_loopbreak(p->base);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* How much of the text is the next message: a line, what is left at the end, or as much as
 * there is room for here. 0: not even that. *ret_used includes the newline. */
static int next_message(const struct program *p, size_t *ret_len, size_t *ret_used)
{
	const char *newline = memchr(p->text, '\n', p->len);

	*ret_len = newline ? (size_t)(newline - p->text) : p->len;
	*ret_used = *ret_len + (newline != NULL);
	return newline || p->len == sizeof(p->text) || (p->input_over && p->len > 0);
}

/* Send what can be sent now, and choose what to wait for: room, or more input. */
static void send_lines(struct program *p)
{
	size_t len, used;
	int r = 0;

	while (next_message(p, &len, &used)) {
		r = kc_chan_send_msg(p->out, p->text, len, 0);
		if (r != 0)
			break;
		p->len -= used;
		memmove(p->text, p->text + used, p->len);
	}
	if (r == KC_EAGAIN) {
		/* Full: from here on it is room that is waited for. */
		event_del(p->on_input);
		event_add(p->on_room, NULL);
		return;
	}
	event_del(p->on_room);
	if (r == KC_EPIPE) {
		fprintf(stderr, "event_loop: nobody takes lines any more\n");
		event_del(p->on_input);
	} else if (r != 0) {
		give_up(p, "sending", r);
	} else if (p->input_over) {
		/* All of it is in the channel, and will be received before the end is seen. */
		r = kc_chan_close(p->out);
		if (r != 0)
			give_up(p, "closing", r);
	} else {
		event_add(p->on_input, NULL);
	}
}

static void input_callback(evutil_socket_t fd, short what, void *arg)
{
	struct program *p = arg;
	/* There is always room: a full buffer is a message, and has been sent. */
	ssize_t n = read(fd, p->text + p->len, sizeof(p->text) - p->len);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		p->len += (size_t)n;
	} else {
		p->input_over = 1;
		event_del(p->on_input);
	}
	send_lines(p);
}

static void room_callback(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	send_lines(arg);
}

/* Ctrl-C ends the input; the rest follows from that. */
static void signal_callback(evutil_socket_t signo, short what, void *arg)
{
	struct program *p = arg;

	(void)signo;
	(void)what;
	if (p->input_over)
		return;
	p->input_over = 1;
	event_del(p->on_input);
	send_lines(p);
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void arrival_callback(evutil_socket_t fd, short what, void *arg)
{
	struct program *p = arg;
	char line[LINE_SIZE];
	size_t len;
	int r = 0;

	(void)fd;
	(void)what;
	for (int i = 0; i < TURN && r == 0; i++) {
		r = kc_chan_recv_msg(p->in, line, sizeof(line), &len, 0);
		if (r == 0)
			printf("%.*s\n", (int)len, line);
	}
	fflush(stdout);
	if (r == KC_EPIPE)
		event_base_loopbreak(p->base); /* closed, and this was the last of it */
	else if (r != 0 && r != KC_EAGAIN)
		give_up(p, "receiving", r);
}

/* ---- setting up ------------------------------------------------------------------------------ */

static int channel(struct program *p, const char *name, unsigned role, kc_chan_t **ret)
{
	struct kc_chan_options opts = KC_CHAN_OPTIONS_INIT;
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;

	opts.capacity = 64;
	opts.max_msg = LINE_SIZE;
	/* closed also when the one who sends does not end in good order */
	opts.flags = KC_CHAN_AUTO_CLOSE;
	how.roles = role;
	return kc_ipc_chan_make(p->conn, name, &opts, &how, ret);
}

/* An event for a channel: its descriptor is the handle's, which outlives the event. */
static struct event *channel_event(struct program *p, kc_chan_t *ch, unsigned direction,
				   event_callback_fn callback)
{
	int fd = kc_chan_fd(ch, direction);

	if (fd < 0) {
		failed("a descriptor to wait on", fd);
		return NULL;
	}
	return event_new(p->base, fd, EV_READ | EV_PERSIST, callback, p);
}

static struct event_base *base_new(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	/* Standard input may be a file, which epoll does not take. */
	if (config && event_config_require_features(config, EV_FEATURE_FDS) == 0)
		base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	return base;
}

static int run(struct program *p)
{
	p->base = base_new();
	if (!p->base)
		return failed("libevent", KC_ENOMEM);
	p->on_input = event_new(p->base, STDIN_FILENO, EV_READ | EV_PERSIST, input_callback, p);
	p->on_signal[0] = evsignal_new(p->base, SIGINT, signal_callback, p);
	p->on_signal[1] = evsignal_new(p->base, SIGTERM, signal_callback, p);
	p->on_room = channel_event(p, p->out, KC_SENDER, room_callback);
	p->on_arrival = channel_event(p, p->in, KC_RECEIVER, arrival_callback);
	if (!p->on_input || !p->on_signal[0] || !p->on_signal[1] || !p->on_room || !p->on_arrival)
		return failed("events", KC_ENOMEM);
	/* on_room is added only while there is something to send that found none */
	if (event_add(p->on_input, NULL) < 0 || event_add(p->on_arrival, NULL) < 0 ||
	    event_add(p->on_signal[0], NULL) < 0 || event_add(p->on_signal[1], NULL) < 0 ||
	    event_base_dispatch(p->base) < 0)
		return failed("the loop", KC_ENOMEM);
	return p->status;
}

static void event_done(struct event *event)
{
	if (event)
		event_free(event);
}

int main(int argc, char **argv)
{
	struct program p = { 0 };
	int r, status;

	if (argc != 3) {
		fprintf(stderr, "usage: event_loop OUT IN\n");
		return 2;
	}
	r = kc_ipc_connect(&p.conn, NULL);
	if (r != 0)
		return failed("connecting", r);
	r = channel(&p, argv[1], KC_SENDER, &p.out);
	if (r == 0)
		r = channel(&p, argv[2], KC_RECEIVER, &p.in);
	status = r == 0 ? run(&p) : failed("making the channels", r);

	/* events first: they know the channels' descriptors */
	event_done(p.on_input);
	event_done(p.on_signal[0]);
	event_done(p.on_signal[1]);
	event_done(p.on_room);
	event_done(p.on_arrival);
	if (p.base)
		event_base_free(p.base);
	/* whoever has read all of a channel takes it down, so that the name is free again */
	if (status == 0) {
		r = kc_ipc_chan_destroy(p.in);
		if (r != 0 && r != KC_ENOENT)
			status = failed("destroying", r);
	}
	kc_chan_destroy(p.in);
	kc_chan_destroy(p.out);
	kc_ipc_disconnect(p.conn);
	return status;
}
