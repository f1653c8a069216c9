/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * echo: questions and answers over two channels.
 *
 *	echo server            answers until somebody closes the channel echo/requests
 *	echo client TEXT...    sends each TEXT, prints each answer
 *	echo stop              closes the channel
 *
 * All requests travel through one channel, whoever asks. Answers must reach the
 * one who asked, so every client makes a channel of its own for them and names it
 * at the head of each request: "NAME\nTEXT". Any number of clients and of servers
 * may run at once; a request goes to one of the servers.
 *
 * It does not matter who starts first: kc_ipc_chan_make() creates the channel or
 * opens the one that is there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kcoro.h"

#define TEXT_MAX 4096

static int failed(const char *what, int code)
{
	fprintf(stderr, "echo: %s: %s (%s)\n", what, kc_strerror(code), kc_error_detail());
	return 1;
}

static int channel(kc_ipc_conn_t *conn, const char *name, unsigned roles, kc_chan_t **ret)
{
	struct kc_chan_options opts = KC_CHAN_OPTIONS_INIT;
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;

	opts.kind = KC_BUFFERED;
	opts.capacity = 64;
	opts.max_msg = TEXT_MAX;
	how.roles = roles;
	return kc_ipc_chan_make(conn, name, &opts, &how, ret);
}

/* ---- server ---------------------------------------------------------------------------------- */

/* Whatever is wrong with one request, or with whoever sent it, is no reason to stop serving. */
static void answer(kc_ipc_conn_t *conn, char *request, size_t len)
{
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;
	char *text = memchr(request, '\n', len);
	kc_chan_t *replies;
	int r;

	if (!text) {
		fprintf(stderr, "echo: a request without the name of a channel was dropped\n");
		return;
	}
	*text++ = '\0';
	how.roles = KC_SENDER;
	r = kc_ipc_chan_open(conn, request, &how, &replies);
	if (r != 0) {
		failed("opening the channel for an answer", r);
		return;
	}
	/* not without bound: a client that went away must not hold up the others */
	r = kc_chan_send_msg(replies, text, len - (size_t)(text - request), 1000);
	if (r != 0)
		failed("answering", r);
	kc_chan_destroy(replies);
}

static int serve(kc_ipc_conn_t *conn)
{
	char request[TEXT_MAX];
	kc_chan_t *requests;
	size_t len;
	int r;

	r = channel(conn, "echo/requests", KC_RECEIVER, &requests);
	if (r != 0)
		return failed("making echo/requests", r);
	while ((r = kc_chan_recv_msg(requests, request, sizeof(request), &len, -1)) == 0)
		answer(conn, request, len);
	/* closed, and every request answered: the name can be used again */
	if (r == KC_EPIPE) {
		r = kc_ipc_chan_destroy(requests);
		if (r == KC_ENOENT) /* another server was faster */
			r = 0;
	}
	kc_chan_destroy(requests);
	return r == 0 ? 0 : failed("serving", r);
}

/* ---- client ---------------------------------------------------------------------------------- */

static int ask(kc_chan_t *requests, kc_chan_t *replies, const char *name, const char *text)
{
	char buf[TEXT_MAX];
	size_t len;
	int n = snprintf(buf, sizeof(buf), "%s\n%s", name, text), r;

	if (n < 0 || (size_t)n >= sizeof(buf))
		return failed("the text is too long", KC_EMSGSIZE);
	r = kc_chan_send_msg(requests, buf, (size_t)n, -1);
	if (r != 0)
		return failed("asking", r);
	r = kc_chan_recv_msg(replies, buf, sizeof(buf), &len, 10000);
	if (r != 0)
		return failed("waiting for the answer", r);
	printf("%.*s\n", (int)len, buf);
	return 0;
}

static int ask_all(kc_ipc_conn_t *conn, char **texts)
{
	kc_chan_t *requests, *replies;
	char name[64];
	int r, bad = 0;

	r = channel(conn, "echo/requests", KC_SENDER, &requests);
	if (r != 0)
		return failed("making echo/requests", r);
	snprintf(name, sizeof(name), "echo/replies-%ld", (long)getpid());
	r = channel(conn, name, KC_RECEIVER, &replies);
	if (r == 0) {
		for (; *texts && !bad; texts++)
			bad = ask(requests, replies, name, *texts);
		r = kc_ipc_chan_destroy(replies); /* nobody else will use it */
		kc_chan_destroy(replies);
	}
	kc_chan_destroy(requests);
	return r == 0 ? bad : failed("the channel for answers", r);
}

static int stop(kc_ipc_conn_t *conn)
{
	kc_chan_t *requests;
	int r = channel(conn, "echo/requests", KC_SENDER, &requests);

	if (r != 0)
		return failed("making echo/requests", r);
	r = kc_chan_close(requests);
	kc_chan_destroy(requests);
	return r == 0 ? 0 : failed("closing", r);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	kc_ipc_conn_t *conn;
	int r;

	if (!(strcmp(what, "server") == 0 && argc == 2) &&
	    !(strcmp(what, "stop") == 0 && argc == 2) &&
	    !(strcmp(what, "client") == 0 && argc > 2)) {
		fprintf(stderr, "usage: echo server | echo client TEXT... | echo stop\n");
		return 2;
	}
	r = kc_ipc_connect(&conn, NULL);
	if (r != 0)
		return failed("connecting", r);
	if (strcmp(what, "server") == 0)
		r = serve(conn);
	else if (strcmp(what, "stop") == 0)
		r = stop(conn);
	else
		r = ask_all(conn, argv + 2);
	kc_ipc_disconnect(conn);
	return r;
}
