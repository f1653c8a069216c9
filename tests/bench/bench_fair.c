/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one user's flood costs another user.
 *
 * Two processes of one user keep a stream, or a ball, going through kcorod for a
 * while; beside them one process of another user, or nine, do all they can. The
 * reference is the same beside as many that only burn processor time, which nobody can
 * be kept from: what the daemon is to answer for is the rest. Everything shares two
 * CPUs.
 */
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "kcoro/ipc.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/bench/bench_crew.h"
#include "tests/bench/bench_kc.h"
#include "tests/bench/bench_report.h"
#include "tests/bench/bench_wire.h"

#define UID_STREAM 54321u
#define UID_FLOOD 54322u
#define MANY 9u
#define SOCKET_NAME "kcorod.sock" /* in the daemon's folder */

#define ELEM 64u
#define BATCH 64u
#define CAPACITY 1024u
#define WINDOW 256u     /* requests that wait for their answers */
#define WINDOW_LIST 16u /* pages that do */
#define OWN_CHANNELS 32u /* of each neighbour, so that there is something to list */

static struct kct_daemon middle;
static uint64_t duration_ns;
static unsigned phases; /* each has channels of its own */

enum neighbour { BURN, PINGS, SENDS, LISTS, MIX };

struct scene {
	enum neighbour neighbour;
	bool ball;
	unsigned index; /* of the process that is being made */
};

/* ---- users ------------------------------------------------------------------ */

/* From here on as this user, in the daemon's folder, which is all it can see. */
static int become(uid_t uid)
{
	if (chdir(middle.dir) < 0 || setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		return -errno;
	/* forgotten with the old user */
	return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
}

/* ---- those who are measured -------------------------------------------------- */

static int failed(struct bench_worker *worker, const char *what, int code)
{
	return bench_worker_fails(worker, "%s: %s %s", what, kc_error_name(code),
				  kc_error_detail());
}

static int make(kc_ipc_conn_t *conn, char letter, unsigned roles, kc_chan_t **ret)
{
	struct kc_chan_options options = KC_CHAN_OPTIONS_INIT;
	struct kc_ipc_open_options open = KC_IPC_OPEN_OPTIONS_INIT;
	char name[32];

	options.kind = KC_BUFFERED;
	options.capacity = CAPACITY;
	options.elem_size = ELEM;
	options.flags = KC_CHAN_AUTO_CLOSE;
	open.roles = roles;
	open.credit = roles & KC_RECEIVER ? CAPACITY / 2 : 0;
	snprintf(name, sizeof(name), "fair/c%u%c", phases, letter);
	return kc_ipc_chan_make(conn, name, &options, &open, ret);
}

/* Send or receive, and with a ball the other of it too, until the time is over. */
static long move(const struct scene *scene, kc_chan_t *out, kc_chan_t *in)
{
	char buf[BATCH * ELEM] = { 0 };
	long n = scene->ball ? 1 : BATCH;

	if (scene->ball && scene->index == 0) {
		n = kc_chan_send(out, buf, -1);
		n = n < 0 ? n : kc_chan_recv(in, buf, -1);
		return n < 0 ? n : 1;
	}
	if (scene->ball) {
		n = kc_chan_recv(in, buf, -1);
		n = n < 0 ? n : kc_chan_send(out, buf, -1);
		return n < 0 ? n : 1;
	}
	return out ? kc_chan_send_many(out, buf, BATCH, -1, NULL)
		   : kc_chan_recv_many(in, buf, BATCH, -1, NULL);
}

static int measured(struct bench_worker *worker, void *arg)
{
	const struct scene *scene = arg;
	bool first = scene->index == 0;
	kc_chan_t *out = NULL, *in = NULL;
	kc_ipc_conn_t *conn;
	uint64_t end;
	long n = 1;
	int r = become(UID_STREAM);

	if (r < 0)
		return bench_worker_fails(worker, "another user: %s", strerror(-r));
	r = kc_ipc_connect(&conn, SOCKET_NAME);
	if (r == 0 && (first || scene->ball))
		r = make(conn, first ? 'a' : 'b', KC_SENDER, &out);
	if (r == 0 && (!first || scene->ball))
		r = make(conn, first ? 'b' : 'a', KC_RECEIVER, &in);
	if (r < 0)
		return failed(worker, "attach", r);
	if (bench_worker_ready(worker) < 0)
		return -EIO;
	end = worker->result->begin_ns + duration_ns;
	/* The first one says when it is over, by detaching; the second sees the end. */
	while (n > 0 && (!first || kci_clock_now() < end)) {
		n = move(scene, out, in);
		if (n > 0 && kci_clock_now() < end)
			worker->result->elements += (uint64_t)n;
	}
	kc_chan_destroy(out);
	kc_chan_destroy(in);
	kc_ipc_disconnect(conn);
	return n > 0 || (!first && n == KC_EPIPE) ? 0 : failed(worker, "move", (int)n);
}

/* ---- their neighbours -------------------------------------------------------- */

static int prepare(struct bench_wire *w, unsigned index, uint32_t *ret_attach)
{
	struct kcp_args args;
	char name[32];
	int r = bench_wire_open(w, SOCKET_NAME);

	for (unsigned i = 0; r == 0 && i < OWN_CHANNELS; i++) {
		snprintf(name, sizeof(name), "flood/c%ux%u", index, i);
		bench_wire_make(w, name, 1);
		r = bench_wire_collect(w, 1, KCP_OK, NULL);
	}
	if (r < 0)
		return r;
	bench_wire_begin(w, KCP_CHAN_MAKE);
	kcp_put_text(&w->out, KCP_T_NAME, "flood/drop");
	kcp_put_u32(&w->out, KCP_T_KIND, KCP_KIND_BUFFERED);
	kcp_put_u32(&w->out, KCP_T_ELEM_SIZE, 8);
	kcp_put_u32(&w->out, KCP_T_CAPACITY, 1);
	kcp_put_u32(&w->out, KCP_T_OVERFLOW, KCP_OVERFLOW_DROP_NEWEST);
	kcp_put_u32(&w->out, KCP_T_ROLES, KCP_ROLE_SENDER);
	bench_wire_end(w);
	r = bench_wire_collect(w, 1, KCP_OK, &args);
	*ret_attach = r < 0 ? 0 : (uint32_t)kcp_num(&args, KCP_T_ATTACH, 0);
	return r;
}

static void put(struct bench_wire *w, enum neighbour what, uint32_t attach)
{
	size_t at;

	switch (what) {
	case LISTS:
		bench_wire_list(w, "flood", 256);
		break;
	case SENDS:
		bench_wire_begin(w, KCP_SEND);
		kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
		at = kcp_tlv_begin(&w->out, KCP_T_ELEMENTS);
		kcp_buf_add_u64(&w->out, 0);
		kcp_tlv_end(&w->out, at);
		bench_wire_end(w);
		break;
	default:
		bench_wire_plain(w, KCP_PING, 0);
	}
}

/* Always as many under way as the window holds. */
static int flood(struct bench_wire *w, enum neighbour what, uint32_t attach, uint64_t end)
{
	unsigned window = what == LISTS ? WINDOW_LIST : WINDOW, under_way = 0;
	int r = 0;

	while (r == 0 && kci_clock_now() < end) {
		for (unsigned i = 0; i < window; i++)
			put(w, what, attach);
		r = bench_wire_collect(w, under_way, KCP_OK, NULL);
		under_way = window;
	}
	return r;
}

static int neighbour(struct bench_worker *worker, void *arg)
{
	static const enum neighbour mix[] = { PINGS, SENDS, LISTS };
	const struct scene *scene = arg;
	enum neighbour what = scene->neighbour == MIX ? mix[scene->index % 3] : scene->neighbour;
	struct bench_wire w;
	uint32_t attach = 0;
	uint64_t end;
	int r = become(UID_FLOOD);

	if (r < 0)
		return bench_worker_fails(worker, "another user: %s", strerror(-r));
	if (what != BURN && prepare(&w, scene->index, &attach) < 0)
		return bench_worker_fails(worker, "cannot prepare the flood");
	if (bench_worker_ready(worker) < 0)
		return -EIO;
	end = worker->result->begin_ns + duration_ns;
	if (what != BURN)
		r = flood(&w, what, attach, end);
	while (what == BURN && kci_clock_now() < end)
		;
	return r < 0 ? bench_worker_fails(worker, "the flood ended: %s", strerror(-r)) : 0;
}

/* ---- a measurement ----------------------------------------------------------- */

/* What the second of the two has got in a second. */
static int run(bool ball, unsigned neighbours, enum neighbour what, double *ret)
{
	struct scene scene = { .neighbour = what, .ball = ball };
	struct bench_crew crew;
	int r = bench_crew_begin(&crew);

	phases++;
	for (scene.index = 0; r == 0 && scene.index < 2; scene.index++)
		r = bench_crew_add(&crew, measured, &scene, BENCH_CPU_ANY);
	for (scene.index = 0; r == 0 && scene.index < neighbours; scene.index++)
		r = bench_crew_add(&crew, neighbour, &scene, BENCH_CPU_ANY);
	if (r == 0)
		r = bench_crew_run(&crew, NULL);
	if (r == 0)
		*ret = (double)crew.result[1].elements * 1e9 / (double)duration_ns;
	bench_crew_end(&crew);
	return r;
}

struct pair {
	bool ball;
	unsigned neighbours;
	enum neighbour neighbour;
};

static int take(const struct bench_figure *f, struct bench_pair *ret)
{
	const struct pair *pair = f->arg;
	int r;

	if (geteuid() != 0)
		return bench_why(-ENOTSUP, "two users need root");
	r = run(pair->ball, pair->neighbours, BURN, &ret->reference);
	return r < 0 ? r : run(pair->ball, pair->neighbours, pair->neighbour, &ret->ours);
}

/* Two CPUs for all, the daemon included. */
static int start(void)
{
	cpu_set_t all, two;
	int r;

	CPU_ZERO(&two);
	if (sched_getaffinity(0, sizeof(all), &all) == 0) {
		for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&two) < 2; cpu++)
			if (CPU_ISSET(cpu, &all))
				CPU_SET(cpu, &two);
		(void)sched_setaffinity(0, sizeof(two), &two);
	}
	r = bench_kc_daemon(&middle, NULL);
	if (r == 0 && chmod(middle.dir, 0711) < 0)
		r = -errno;
	return r;
}

static int stop(void)
{
	return kct_daemon_stop(&middle);
}

#define FIGURE(label, with_ball, n, what)                                                             \
	{                                                                                          \
		.name = label, .unit = "1/s", .reference = "beside_burners", .take = take,         \
		.arg = &(const struct pair){ with_ball, n, what }                                     \
	}

static struct bench_figure figures[] = {
	FIGURE("fair_stream_64_beside_pings", false, MANY, PINGS),
	FIGURE("fair_stream_64_beside_sends", false, MANY, SENDS),
	FIGURE("fair_stream_64_beside_lists", false, MANY, LISTS),
	FIGURE("fair_stream_64_beside_mix", false, MANY, MIX),
	FIGURE("fair_trips_64_beside_mix", true, MANY, MIX),
	FIGURE("fair_stream_64_beside_one_pings", false, 1, PINGS),
	FIGURE("fair_stream_64_beside_one_sends", false, 1, SENDS),
	FIGURE("fair_stream_64_beside_one_lists", false, 1, LISTS),
	FIGURE("fair_trips_64_beside_one_pings", true, 1, PINGS),
};

int main(int argc, char **argv)
{
	bench_arguments(argc, argv, "", NULL, NULL, 0);
	duration_ns = bench_scaled(1500, 400) * KC_NS_PER_MS;
	return bench_run(figures, KC_ARRAY_SIZE(figures), start, stop);
}
