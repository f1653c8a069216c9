/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket placement. One kcorod serves all cases of a program; each pair has
 * connections of its own, so that a case leaves no descriptor behind. A third
 * connection asks the daemon who waits.
 */
#include "tests/conformance/placement-socket.h"

#include <stdio.h>
#include <stdlib.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/daemon.h"
#include "tests/lib/kct.h"

struct own {
	kc_ipc_conn_t *tx; /* the same as rx, or another */
	kc_ipc_conn_t *rx;
	kc_ipc_conn_t *ask;
};

/* More than the channels of most cases have places for, and fewer than those of others. */
#define WINDOW 8
#define CREDIT 4

static struct kct_daemon kcorod;

/* The largest messages there can be, and room to send one. */
static const char config[] = "{ \"limits\": { \"message\": 16777216, \"output_max\": 67108864 } }";

int socket_begin(void)
{
	return kct_daemon_start(&kcorod, config, NULL);
}

void socket_end(void)
{
	(void)kct_daemon_stop(&kcorod);
}

int socket_warm_up(void)
{
	kc_ipc_conn_t *conn;
	int r = kc_ipc_connect(&conn, kcorod.path);

	if (r < 0)
		return r;
	r = kc_ipc_ping(conn);
	kc_ipc_disconnect(conn);
	return r;
}

int socket_begin_coro(void)
{
	int r = socket_begin();

	return r == 0 ? socket_warm_up() : r;
}

static void own_free(struct own *own)
{
	if (own->rx != own->tx)
		kc_ipc_disconnect(own->rx);
	kc_ipc_disconnect(own->tx);
	kc_ipc_disconnect(own->ask);
	free(own);
}

static int make(struct kct_pair *ret, const struct kc_chan_options *opts, bool apart,
		unsigned window, unsigned credit)
{
	struct kc_ipc_open_options tx = KC_IPC_OPEN_OPTIONS_INIT, rx = KC_IPC_OPEN_OPTIONS_INIT;
	static unsigned number;
	struct own *own = calloc(1, sizeof(*own));
	struct kct_pair pair = { .own = own };
	char name[32];
	int r;

	tx.window = window;
	rx.credit = credit;
	(void)snprintf(name, sizeof(name), "case/n%u", ++number);
	r = kc_ipc_connect(&own->tx, kcorod.path);
	if (r == 0 && apart)
		r = kc_ipc_connect(&own->rx, kcorod.path);
	else
		own->rx = own->tx;
	if (r == 0)
		r = kc_ipc_connect(&own->ask, kcorod.path);
	if (r == 0)
		r = kc_ipc_chan_make(own->tx, name, opts, &tx, &pair.tx);
	if (r == 0)
		r = kc_ipc_chan_open_id(own->rx, kc_ipc_chan_id(pair.tx), &rx, &pair.rx);
	if (r == 0) {
		*ret = pair;
		return 0;
	}
	kc_chan_destroy(pair.tx);
	own_free(own);
	return r;
}

int socket_make_together(struct kct_pair *ret, const struct kc_chan_options *opts, bool descriptors)
{
	return make(ret, opts, false, 0, 0);
}

int socket_make_apart(struct kct_pair *ret, const struct kc_chan_options *opts, bool descriptors)
{
	return make(ret, opts, true, 0, 0);
}

int socket_make_window(struct kct_pair *ret, const struct kc_chan_options *opts, bool descriptors)
{
	return make(ret, opts, true, WINDOW, 0);
}

int socket_make_window_together(struct kct_pair *ret, const struct kc_chan_options *opts,
				bool descriptors)
{
	return make(ret, opts, false, WINDOW, 0);
}

int socket_make_ahead(struct kct_pair *ret, const struct kc_chan_options *opts, bool descriptors)
{
	return make(ret, opts, true, WINDOW, CREDIT);
}

kc_chan_t *socket_reopen(struct kct_pair *pair)
{
	struct own *own = pair->own;
	kc_chan_t *ch;

	return kc_ipc_chan_open_id(own->rx, kc_ipc_chan_id(pair->tx), NULL, &ch) == 0 ? ch : NULL;
}

void socket_unmake(struct kct_pair *pair)
{
	if (kc_ipc_chan_destroy(pair->tx) < 0)
		print_error("destroy: %s\n", kc_error_detail());
	kc_chan_destroy(pair->tx);
	kc_chan_destroy(pair->rx);
	own_free(pair->own);
	*pair = (struct kct_pair){ 0 };
}

bool socket_wait_blocked(struct kct_pair *pair, unsigned senders, unsigned receivers)
{
	uint64_t deadline = kci_deadline_from_ms(KCT_PATIENCE_MS);
	struct own *own = pair->own;
	struct kc_ipc_chan_info info;

	/* each question waits for the daemon's answer, which comes after what it was asked
	 * before */
	do {
		if (kc_ipc_info(own->ask, NULL, kc_ipc_chan_id(pair->tx), &info) < 0)
			return false;
		if (info.waiting_senders >= senders && info.waiting_receivers >= receivers)
			return true;
	} while (kci_deadline_left(deadline) > 0);
	return false;
}
