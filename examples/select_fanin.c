/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * select_fanin: several sources, one loop.
 *
 *	select_fanin [--readings N] [--sensors N] [--quiet-ms MS]
 *
 * A collector waits, in one select, for
 *
 *   readings that other processes (the sensors) send through a channel in kcorod,
 *   remarks of a coroutine of its own, through a local channel,
 *   a clock that ticks, and
 *   a time after which nothing more is expected.
 *
 * Each sensor sends its readings and ends; the coroutine remarks on every tenth reading that
 * the collector hands it, by a clause that sends. When the last sensor has detached, the
 * channel in kcorod closes by itself, and that clause is switched off. At the end the channel's
 * books are printed: what was sent has been received, and nothing was taken for a clause
 * that lost.
 *
 * Without KCORO_SOCKET in the environment a private kcorod is started for the run.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "examples/private_daemon.h"
#include "kcoro.h"

#define SENSORS_MAX  16
#define READINGS_MAX 100000
#define TICK_MS	     50
#define QUIET_MS     10000
#define QUIET_MAX_MS 3600000

struct reading {
	uint32_t sensor;
	uint32_t number;
};

struct remark {
	char text[48];
};

struct collector {
	kc_chan_t *readings;	   /* from the sensors; kcorod's */
	kc_chan_t *notable;	   /* to the coroutine */
	kc_chan_t *remarks;	   /* from it */
	struct reading reading;	   /* received last */
	struct reading to_be_told; /* waits to be sent to the coroutine */
	struct remark remark;
	unsigned received, remarked, ticks;
};

static int failed(const char *what, int code)
{
	fprintf(stderr, "select_fanin: %s: %s (%s)\n", what, kc_strerror(code), kc_error_detail());
	return 1;
}

/* ---- a sensor: a process of its own --------------------------------------------- */

static int run_sensor(const char *name, uint32_t sensor, uint32_t n)
{
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;
	int r = kc_ipc_connect(&conn, NULL);

	if (r < 0)
		return failed("sensor: connecting", r);
	how.roles = KC_SENDER;
	r = kc_ipc_chan_open(conn, name, &how, &ch);
	for (uint32_t i = 1; r == 0 && i <= n; i++) {
		struct reading reading = { .sensor = sensor, .number = i };

		r = kc_chan_send(ch, &reading, -1);
		if (i == n || r < 0)
			kc_chan_destroy(ch);
	}
	kc_ipc_disconnect(conn);
	return r < 0 ? failed("sensor", r) : 0;
}

static bool start_sensors(const char *name, unsigned sensors, uint32_t n)
{
	for (unsigned s = 1; s <= sensors; s++) {
		pid_t pid = fork();

		if (pid < 0) {
			fprintf(stderr, "select_fanin: fork: %s\n", strerror(errno));
			return false;
		}
		if (pid == 0)
			_exit(run_sensor(name, s, n));
	}
	return true;
}

/* ---- the coroutine ---------------------------------------------------------------- */

static long remark_on(void *arg)
{
	struct collector *c = arg;
	struct reading reading;
	struct remark remark;

	while (kc_chan_recv(c->notable, &reading, -1) == 0) {
		snprintf(remark.text, sizeof(remark.text), "sensor %" PRIu32 " has sent %" PRIu32,
			 reading.sensor, reading.number);
		if (kc_chan_send(c->remarks, &remark, -1) < 0)
			break;
	}
	return kc_chan_close(c->remarks);
}

/* ---- the collector ----------------------------------------------------------------- */

enum { READING, NOTABLE, REMARK, TICK, QUIET, CLAUSES };

/* A clause took effect. Returns false at the end. */
static bool handle(struct collector *c, struct kc_clause *clauses, int which, long quiet_ms)
{
	struct kc_clause *clause = &clauses[which];

	switch (which) {
	case READING:
		if (clause->result < 0) {
			/* KC_EPIPE: the last sensor has left, and everything is here */
			clause->kind = KC_CLAUSE_OFF;
			break;
		}
		c->received++;
		clauses[QUIET] = kc_clause_after(quiet_ms);
		if (c->reading.number % 10 == 0) {
			/* one at a time: no further reading until this one is told */
			c->to_be_told = c->reading;
			clauses[NOTABLE].kind = KC_CLAUSE_SEND;
			clause->kind = KC_CLAUSE_OFF;
		}
		break;
	case NOTABLE:
		clause->kind = KC_CLAUSE_OFF;
		clauses[READING].kind = KC_CLAUSE_RECV;
		break;
	case REMARK:
		if (clause->result < 0)
			return false; /* the coroutine has ended */
		printf("%s\n", c->remark.text);
		c->remarked++;
		break;
	case TICK:
		c->ticks++;
		break;
	default:
		fprintf(stderr, "select_fanin: nothing for %ld ms\n", quiet_ms);
		return false;
	}
	/* nothing more will be told: let the coroutine end, which ends the loop */
	if (clauses[READING].kind == KC_CLAUSE_OFF && clauses[NOTABLE].kind == KC_CLAUSE_OFF)
		(void)kc_chan_close(c->notable);
	return true;
}

static int collect(struct collector *c, long quiet_ms)
{
	struct kc_clause clauses[CLAUSES] = {
		[READING] = kc_clause_recv(c->readings, &c->reading),
		[NOTABLE] = kc_clause_send(c->notable, &c->to_be_told),
		[REMARK] = kc_clause_recv(c->remarks, &c->remark),
		[TICK] = kc_clause_tick(TICK_MS),
		[QUIET] = kc_clause_after(quiet_ms),
	};
	int which;

	clauses[NOTABLE].kind = KC_CLAUSE_OFF;
	do {
		which = kc_select(clauses, CLAUSES, 0, -1, NULL);
		if (which < 0)
			return failed("waiting", which);
	} while (handle(c, clauses, which, quiet_ms));
	return which == QUIET;
}

static int print_books(kc_chan_t *ch, unsigned received)
{
	struct kc_chan_snapshot snap;
	int r = kc_chan_snapshot(ch, &snap);

	if (r < 0)
		return failed("the books", r);
	printf("kcorod: sent %" PRIu64 " = received %" PRIu64 " + queued %" PRIu64 "\n",
	       snap.ledger.sent, snap.ledger.received, snap.ledger.queued);
	return kc_ledger_balance(&snap.ledger) != 0 || snap.ledger.received != received;
}

static int run(unsigned sensors, uint32_t n, long quiet_ms)
{
	struct kc_chan_options opts = KC_CHAN_OPTIONS_INIT;
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;
	struct collector c = { 0 };
	kc_ipc_conn_t *conn;
	char name[48];
	int r, status, bad;

	snprintf(name, sizeof(name), "readings/p%ld", (long)getpid());
	opts.kind = KC_BUFFERED;
	opts.capacity = 16;
	opts.elem_size = sizeof(struct reading);
	opts.flags = KC_CHAN_AUTO_CLOSE; /* when the last sensor has left */
	how.roles = KC_RECEIVER;
	r = kc_ipc_connect(&conn, NULL);
	if (r < 0)
		return failed("connecting", r);
	r = kc_ipc_chan_make(conn, name, &opts, &how, &c.readings);
	if (r == 0)
		r = kc_chan_make(&c.notable, KC_RENDEZVOUS, sizeof(struct reading), 0);
	if (r == 0)
		r = kc_chan_make(&c.remarks, KC_BUFFERED, sizeof(struct remark), 8);
	if (r < 0)
		return failed("making channels", r);
	/* before there are threads: a child does not get them */
	if (!start_sensors(name, sensors, n))
		return 1;
	r = kc_spawn(NULL, NULL, remark_on, &c);
	if (r < 0)
		return failed("spawning", r);
	bad = collect(&c, quiet_ms);
	printf("%u readings, %u remarks\n", c.received, c.remarked);
	bad |= print_books(c.readings, c.received);
	while (wait(&status) > 0)
		bad |= status != 0;
	r = kc_ipc_chan_destroy(c.readings);
	if (r < 0)
		bad = failed("destroying the channel", r);
	kc_chan_destroy(c.readings);
	kc_chan_destroy(c.notable);
	kc_chan_destroy(c.remarks);
	kc_ipc_disconnect(conn);
	return bad ? 1 : 0;
}

static int usage(FILE *to, int code)
{
	fprintf(to, "usage: select_fanin [--readings N] [--sensors N] [--quiet-ms MS]\n"
		    "  --readings N   of each sensor, 1 to 100000 (20)\n"
		    "  --sensors N    processes, 1 to 16 (3)\n"
		    "  --quiet-ms MS  give up when nothing comes for so long (10000)\n");
	return code;
}

/* A whole number from 1 to max; 0: none. */
static long count_parse(const char *text, long max)
{
	long n = 0;

	for (const char *at = text; *at; at++) {
		if (*at < '0' || *at > '9' || n > max)
			return 0;
		n = n * 10 + (*at - '0');
	}
	return n <= max ? n : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "readings", required_argument, NULL, 'r' },
		{ "sensors", required_argument, NULL, 's' },
		{ "quiet-ms", required_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	long readings = 20, sensors = 3, quiet_ms = QUIET_MS;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'r':
			readings = count_parse(optarg, READINGS_MAX);
			break;
		case 's':
			sensors = count_parse(optarg, SENSORS_MAX);
			break;
		case 'q':
			quiet_ms = count_parse(optarg, QUIET_MAX_MS);
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (!readings || !sensors || !quiet_ms || optind < argc)
		return usage(stderr, 2);
	if (ex_private_daemon(argv) < 0)
		return 1;
	return run((unsigned)sensors, (uint32_t)readings, quiet_ms);
}
