/* SPDX-License-Identifier: BSD-3-Clause */
/* A kcorod with a population: see bench_place.h. */
#include "tests/bench/bench_place.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/bench/bench_kc.h"
#include "tests/bench/bench_report.h"

#define CAPACITY 64u
#define USED 4u /* messages through each channel */
#define STILL_MS 1500 /* so long without a wake-up is still */
#define STILL_TRIES 20
#define CONFIG                                                                                     \
	"{ \"limits\": { \"attachments\": 16384 },"                                                \
	" \"user_limits\": { \"connections\": 2048, \"channels\": 32768 } }"

void bench_place_name(char name[BENCH_NAME_SIZE], unsigned channel)
{
	snprintf(name, BENCH_NAME_SIZE, "place/c%06u", channel);
}

/* ---- the population --------------------------------------------------------- */

/* Make every n-th channel, and put something through it. The attachments of a session are
 * numbered from 1. */
static int populate(struct bench_place *p, unsigned conn)
{
	struct bench_wire *w = &p->conns[conn];
	uint8_t *message = calloc(1, p->message);
	uint32_t attach = 0;
	int r = message ? 0 : bench_why(-ENOMEM, "no memory for a message");

	for (unsigned c = conn; r == 0 && c < p->n_channels; c += p->n_conns) {
		char name[BENCH_NAME_SIZE];

		bench_place_name(name, c);
		bench_wire_make(w, name, CAPACITY);
		attach++;
		for (unsigned i = 0; i < USED; i++)
			bench_wire_send(w, attach, message, p->message);
		for (unsigned i = 0; i < USED; i++) {
			bench_wire_recv(w, attach, 1);
			bench_wire_taken(w, attach, i + 1);
		}
		r = bench_wire_collect(w, 1 + 2 * USED, KCP_OK, NULL);
	}
	free(message);
	/* Its reply is not kept, and what was kept is confirmed with it. */
	bench_wire_plain(w, KCP_PING, 0);
	return r < 0 ? r : bench_wire_collect(w, 1, KCP_OK, NULL);
}

static int descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

int bench_place_start(struct bench_place *p)
{
	int r = descriptors();

	p->conns = calloc(p->n_conns, sizeof(*p->conns));
	if (!p->conns)
		return bench_why(-ENOMEM, "no memory for %u connections", p->n_conns);
	for (unsigned i = 0; i < p->n_conns; i++)
		p->conns[i].fd = -1;
	r = r < 0 ? r : bench_kc_daemon(&p->daemon, CONFIG);
	if (r < 0)
		return bench_why(r, "cannot start kcorod: %s", strerror(-r));
	if (clock_getcpuclockid(p->daemon.pid, &p->clock) != 0)
		return bench_why(-ENOTSUP, "no processor clock of another process");
	for (unsigned i = 0; r == 0 && i < p->n_conns; i++)
		r = bench_wire_open(&p->conns[i], p->daemon.path);
	for (unsigned i = 0; r == 0 && i < p->n_conns; i++)
		r = populate(p, i);
	return r;
}

int bench_place_stop(struct bench_place *p)
{
	int r = 0;

	for (unsigned i = 0; p->conns && i < p->n_conns; i++)
		bench_wire_close(&p->conns[i]);
	free(p->conns);
	p->conns = NULL;
	if (p->daemon.pid > 0)
		r = kct_daemon_stop(&p->daemon);
	return r;
}

int bench_place_use(struct bench_place *p, uint32_t message)
{
	uint8_t *data = calloc(1, message);
	int r = data ? 0 : bench_why(-ENOMEM, "no memory for a message");

	for (unsigned i = 0; r == 0 && i < p->n_conns; i++) {
		struct bench_wire *w = &p->conns[i];
		struct kcp_args args;
		char name[BENCH_NAME_SIZE];
		uint32_t attach;

		snprintf(name, sizeof(name), "use/c%u", i);
		bench_wire_begin(w, KCP_CHAN_MAKE);
		kcp_put_text(&w->out, KCP_T_NAME, name);
		kcp_put_u32(&w->out, KCP_T_KIND, KCP_KIND_BUFFERED);
		kcp_put_u32(&w->out, KCP_T_ELEM_SIZE, 0);
		kcp_put_u32(&w->out, KCP_T_CAPACITY, 1);
		kcp_put_u32(&w->out, KCP_T_MAX_MSG, message);
		kcp_put_u32(&w->out, KCP_T_ROLES, KCP_ROLE_SENDER | KCP_ROLE_RECEIVER);
		bench_wire_end(w);
		r = bench_wire_collect(w, 1, KCP_OK, &args);
		if (r < 0)
			break;
		attach = (uint32_t)kcp_num(&args, KCP_T_ATTACH, 0);
		bench_wire_send(w, attach, data, message);
		bench_wire_recv(w, attach, 1);
		bench_wire_taken(w, attach, 1);
		bench_wire_named(w, KCP_CHAN_DESTROY, name);
		bench_wire_plain(w, KCP_CHAN_DETACH, attach);
		r = bench_wire_collect(w, 4, KCP_OK, NULL);
		bench_wire_plain(w, KCP_PING, 0);
		r = r < 0 ? r : bench_wire_collect(w, 1, KCP_OK, NULL);
	}
	free(data);
	return r;
}

/* ---- what it costs ---------------------------------------------------------- */

uint64_t bench_place_cpu(const struct bench_place *p)
{
	struct timespec t = { 0 };

	clock_gettime(p->clock, &t);
	return (uint64_t)t.tv_sec * KC_NS_PER_SEC + (uint64_t)t.tv_nsec;
}

/* The sum of the numbers behind these keys in a file of "Key: number" lines; -1: none. */
static long read_numbers(const char *path, const char *const *keys)
{
	FILE *f = fopen(path, "re");
	char line[256];
	long sum = -1;

	while (f && fgets(line, sizeof(line), f)) {
		for (const char *const *key = keys; *key; key++) {
			size_t n = strlen(*key);

			if (strncmp(line, *key, n) != 0 || line[n] != ':')
				continue;
			sum = (sum < 0 ? 0 : sum) + strtol(line + n + 1, NULL, 10);
		}
	}
	if (f)
		fclose(f);
	return sum;
}

long bench_place_status(const struct bench_place *p, const char *key)
{
	const char *const keys[] = { key, NULL };
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)p->daemon.pid);
	return read_numbers(path, keys);
}

long bench_place_switches(const struct bench_place *p)
{
	static const char *const keys[] = { "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches",
					    NULL };
	char path[384];
	struct dirent *e;
	long sum = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)p->daemon.pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		long n;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)p->daemon.pid,
			 e->d_name);
		n = read_numbers(path, keys);
		sum += n > 0 ? n : 0;
	}
	if (dir)
		closedir(dir);
	return sum;
}

int bench_place_settle(struct bench_place *p)
{
	long before, now = bench_place_switches(p);

	for (int i = 0; i < STILL_TRIES; i++) {
		struct pollfd alive = { .fd = p->daemon.pidfd, .events = POLLIN };

		if (poll(&alive, 1, STILL_MS) != 0)
			return bench_why(-ECHILD, "kcorod has ended");
		before = now;
		now = bench_place_switches(p);
		if (now == before)
			return 0;
	}
	return bench_why(-EBUSY, "kcorod does not come to rest");
}
