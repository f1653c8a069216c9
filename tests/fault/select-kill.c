/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * select-kill [--rounds N] [--seed N] [--coroutine 1] - a select whose partners are killed
 *
 * One process selects over three channels of kcorod, two to receive from and one to send to, two
 * local ones and a tick, again and again. The partners at kcorod's are processes that are killed
 * at random moments and started anew. Elements are numbered for each sender and each of its
 * lives: none may come twice, late, or by a clause that did not win; none may be missing but the
 * one that a killed receiver took last. At the end kcorod's books say the same. Prints TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/fault/select-kill.h"
#include "tests/fault/tap.h"
#include "tests/lib/daemon.h"
#include "tests/lib/kct.h"

#define LOCAL	  2u
#define OUT	  (SENDERS + LOCAL) /* the clause that sends */
#define TICK	  (SENDERS + LOCAL + 1u)
#define CLAUSES	  (SENDERS + LOCAL + 2u)
#define CAPACITY  16u
#define ONE_IN	  12u /* ticks: a peer is killed */
#define STUCK_MS  30000
#define UNTOUCHED UINT64_MAX

static struct {
	uint64_t rounds, seed;
	bool coroutine;
} options = { .rounds = 50000 };

static struct kct_daemon kcorod;
static struct shared *shared;
static int shared_fd = -1;
static struct {
	pid_t pid;
	uint32_t life; /* of the next one */
} peers[PEERS];

/* ---- peers -------------------------------------------------------------------- */

/* This program again, which knows nothing of this process's threads and handles. */
static bool peer_start(unsigned which)
{
	char number[2] = { (char)('0' + which), '\0' }, life[16], fd[16];
	char *const argv[] = {
		(char *)"select-kill", (char *)"--peer", number, life, fd, kcorod.path, NULL
	};
	pid_t parent = getpid();

	if (peers[which].life == LIVES_MAX)
		return true; /* as often as there is room to note it */
	snprintf(life, sizeof(life), "%u", peers[which].life++);
	snprintf(fd, sizeof(fd), "%d", shared_fd);
	peers[which].pid = fork();
	if (peers[which].pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent || fcntl(shared_fd, F_SETFD, 0) < 0)
			_exit(126);
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	return peers[which].pid > 0;
}

static bool peer_kill(unsigned which)
{
	int status = 0;

	if (peers[which].pid <= 0)
		return true;
	kill(peers[which].pid, SIGKILL);
	while (waitpid(peers[which].pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	peers[which].pid = 0;
	return WIFSIGNALED(status);
}

/* ---- the local side -------------------------------------------------------------- */

struct feeder {
	kc_chan_t *ch[LOCAL];
	kc_cancel_t *stop;
	uint64_t sent[LOCAL];
	long result;
};

static long feed(void *arg)
{
	struct feeder *f = arg;
	struct kc_clause c[LOCAL];

	for (unsigned i = 0; i < LOCAL; i++)
		c[i] = kc_clause_send(f->ch[i], &f->sent[i]);
	for (;;) {
		int won = kc_select(c, LOCAL, 0, -1, f->stop);

		if (won < 0)
			return won == KC_ECANCELED ? 0 : won;
		if (c[won].result != 0)
			return c[won].result;
		f->sent[won]++;
	}
}

/* ---- the select ------------------------------------------------------------------- */

struct chooser {
	kc_ipc_conn_t *conns[2];
	kc_chan_t *in[SENDERS], *out;
	struct feeder *feeder;
	uint64_t random;
	/* what came of it */
	uint64_t won[CLAUSES], kills;
	uint32_t life[SENDERS]; /* of the elements that come */
	uint64_t next[SENDERS]; /* number in this life */
	uint64_t local[LOCAL];	/* number */
	uint64_t to_send;
	const char *fault;
	int64_t fault_value;
	uint64_t round;
};

static void fail_at(struct chooser *c, const char *what, int64_t value)
{
	if (c->fault)
		return;
	c->fault = what;
	c->fault_value = value;
}

/* Who was killed had sent at least what it was told of, and at most what it had begun. */
static bool life_ends(struct chooser *c, unsigned i)
{
	const struct ledger_of_peer *l = &shared->senders[i];
	uint32_t life = c->life[i];

	return c->next[i] >= atomic_load(&l->told[life]) &&
	       c->next[i] <= atomic_load(&l->begun[life]);
}

static void take_in(struct chooser *c, unsigned i, uint64_t element)
{
	while (c->life[i] < LIFE_OF(element)) {
		if (!life_ends(c, i))
			fail_at(c, "what a killed sender had sent is not what came", c->life[i]);
		c->life[i]++;
		c->next[i] = 0;
	}
	if (element != ELEMENT(c->life[i], c->next[i]))
		fail_at(c, "an element came twice, late or too early", (int64_t)element);
	c->next[i]++;
}

static void take_effect(struct chooser *c, unsigned won, uint64_t *rooms)
{
	for (unsigned i = 0; i < OUT; i++)
		if ((rooms[i] == UNTOUCHED) == (i == won))
			fail_at(c, "a clause's room is not as it should be", i);
	if (won < SENDERS) {
		take_in(c, won, rooms[won]);
	} else if (won < OUT) {
		if (rooms[won] != c->local[won - SENDERS]++)
			fail_at(c, "a local element is not the next", (int64_t)rooms[won]);
	} else if (won == OUT) {
		c->to_send++;
	}
	if (won < OUT)
		rooms[won] = UNTOUCHED;
}

static long choose(void *arg)
{
	struct chooser *c = arg;
	struct kc_clause clauses[CLAUSES];
	uint64_t rooms[OUT], kill_at = UINT64_MAX;
	unsigned victim = 0;

	for (unsigned i = 0; i < OUT; i++) {
		rooms[i] = UNTOUCHED;
		clauses[i] = kc_clause_recv(i < SENDERS ? c->in[i] : c->feeder->ch[i - SENDERS],
					    &rooms[i]);
	}
	clauses[OUT] = kc_clause_send(c->out, &c->to_send);
	clauses[TICK] = kc_clause_tick(1);
	for (c->round = 0; c->round < options.rounds && !c->fault; c->round++) {
		int won = kc_select(clauses, CLAUSES, 0, STUCK_MS, NULL);

		if (won < 0 || clauses[won].result != 0) {
			fail_at(c, "the select failed", won < 0 ? won : clauses[won].result);
			break;
		}
		c->won[won]++;
		take_effect(c, (unsigned)won, rooms);
		if (atomic_load(&shared->fault))
			fail_at(c, "a peer found a fault at line", atomic_load(&shared->fault));
		if (won == (int)TICK && kill_at == UINT64_MAX &&
		    kct_random(&c->random) % ONE_IN == 0) {
			victim = (unsigned)(kct_random(&c->random) % PEERS);
			kill_at = c->round + kct_random(&c->random) % 64;
		}
		/* most of the time what is here is not ready, and kcorod's is waited for */
		if (won == (int)TICK)
			for (unsigned i = SENDERS; i < OUT; i++)
				clauses[i].kind =
					kct_random(&c->random) % 4 ? KC_CLAUSE_OFF : KC_CLAUSE_RECV;
		if (c->round < kill_at)
			continue;
		kill_at = UINT64_MAX;
		c->kills++;
		if (!peer_kill(victim) || !peer_start(victim))
			fail_at(c, "a peer ended by itself, or cannot be started", victim);
	}
	return 0;
}

/* ---- the end ------------------------------------------------------------------------ */

static bool all_gone(kc_ipc_conn_t *ask, uint64_t connections)
{
	uint64_t deadline = kci_deadline_from_ms(STUCK_MS);
	struct kc_ipc_daemon_stats stats;

	/* each answer is one turn of the daemon at least */
	do {
		if (kc_ipc_stats(ask, &stats) < 0)
			return false;
		if (stats.connections == connections && stats.sessions == connections)
			return true;
	} while (kci_deadline_left(deadline) > 0);
	return false;
}

static void drain(struct chooser *c)
{
	struct kc_ipc_open_options open = KC_IPC_OPEN_OPTIONS_INIT;
	uint64_t element;
	kc_chan_t *ch;
	bool first = true;
	int r;

	for (unsigned i = 0; i < SENDERS; i++)
		while (kc_chan_recv(c->in[i], &element, 0) == 0) {
			take_in(c, i, element);
			c->won[i]++;
		}
	open.roles = KC_RECEIVER;
	r = kc_ipc_chan_open(c->conns[0], select_kill_names[RECEIVER], &open, &ch);
	if (r < 0)
		bail("the channel cannot be opened", r);
	for (; kc_chan_recv(ch, &element, 0) == 0; first = false)
		peer_take(shared, element, first);
	kc_chan_destroy(ch);
}

static void compare(struct chooser *c, const char *path)
{
	struct kc_ipc_open_options open = KC_IPC_OPEN_OPTIONS_INIT;
	uint64_t missing = c->to_send - atomic_load(&shared->received);
	kc_ipc_conn_t *conn;
	int r = kc_ipc_connect(&conn, path);

	open.roles = KC_OBSERVER;
	for (unsigned i = 0; i < PEERS && r == 0; i++) {
		struct kc_chan_snapshot snap;
		const struct kc_ledger *l = &snap.ledger;
		uint64_t count = i < SENDERS ? c->won[i] : c->to_send;
		kc_chan_t *ch;

		r = kc_ipc_chan_open(conn, select_kill_names[i], &open, &ch);
		if (r < 0)
			break;
		r = kc_chan_snapshot(ch, &snap);
		kc_chan_destroy(ch);
		claim(r == 0 && kc_ledger_balance(l) == 0 && snap.len == 0 && l->leased == 0 &&
			      l->sent == count && l->received + kc_ledger_lost(l) == count &&
			      (i == RECEIVER || kc_ledger_lost(l) == 0),
		      "%s: %llu by select, in the books %llu sent, %llu received, %llu lost",
		      select_kill_names[i], (unsigned long long)count, (unsigned long long)l->sent,
		      (unsigned long long)l->received, (unsigned long long)kc_ledger_lost(l));
	}
	claim(r == 0, "the books could be read");
	for (unsigned i = 0; i < SENDERS; i++)
		claim(life_ends(c, i), "%s: all of the last life came", select_kill_names[i]);
	/* the last of all may have been taken by a receiver that was killed */
	claim(missing >= atomic_load(&shared->gaps) && missing <= atomic_load(&shared->gaps) + 1 &&
		      missing <= c->kills + 1,
	      "of %llu sent %llu are missing, %llu where a receiver was killed",
	      (unsigned long long)c->to_send, (unsigned long long)missing,
	      (unsigned long long)atomic_load(&shared->gaps));
	kc_ipc_disconnect(conn);
}

/* ---- all of it ----------------------------------------------------------------------- */

static void open_all(struct chooser *c)
{
	struct kc_ipc_open_options open = KC_IPC_OPEN_OPTIONS_INIT;
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	int r = 0;

	o.elem_size = sizeof(uint64_t);
	o.capacity = CAPACITY;
	for (unsigned i = 0; i < 2 && r == 0; i++)
		r = kc_ipc_connect(&c->conns[i], kcorod.path);
	for (unsigned i = 0; i < PEERS && r == 0; i++) {
		open.roles = i == RECEIVER ? KC_SENDER : KC_RECEIVER;
		r = kc_ipc_chan_make(c->conns[i == 0], select_kill_names[i], &o, &open,
				     i == RECEIVER ? &c->out : &c->in[i]);
	}
	for (unsigned i = 0; i < LOCAL && r == 0; i++)
		r = kc_chan_make(&c->feeder->ch[i], i ? KC_BUFFERED : KC_RENDEZVOUS,
				 sizeof(uint64_t), i * 4);
	if (r == 0)
		r = kc_cancel_init(&c->feeder->stop);
	if (r < 0)
		bail("the channels cannot be made", r);
}

static void run(void)
{
	struct kc_sched_options so = KC_SCHED_OPTIONS_INIT;
	struct feeder feeder = { 0 };
	struct chooser c = { .feeder = &feeder, .random = options.seed };
	struct kct_call chooser, fed;
	kc_sched_t *sched = NULL;

	open_all(&c);
	for (unsigned i = 0; i < PEERS; i++)
		if (!peer_start(i))
			bail("a peer does not start", 0);
	so.workers = 2;
	if (options.coroutine && kc_sched_create(&sched, &so) < 0)
		bail("no scheduler", 0);
	kct_calls_in(sched);
	kct_call_start(&fed, feed, &feeder);
	kct_call_start(&chooser, choose, &c);
	(void)kct_call_join(&chooser);
	kc_cancel_trigger(feeder.stop);
	claim(kct_call_join(&fed) == 0, "who feeds the local channels had no fault");
	for (unsigned i = 0; i < PEERS; i++)
		(void)peer_kill(i);
	claim(all_gone(c.conns[0], 2), "nobody is left");
	drain(&c);
	if (atomic_load(&shared->fault))
		fail_at(&c, "a peer found a fault at line", atomic_load(&shared->fault));
	printf("# rounds %llu, kills %llu; in %llu %llu, local %llu %llu, out %llu, ticks %llu\n",
	       (unsigned long long)c.round, (unsigned long long)c.kills,
	       (unsigned long long)c.won[0], (unsigned long long)c.won[1],
	       (unsigned long long)c.won[2], (unsigned long long)c.won[3],
	       (unsigned long long)c.won[4], (unsigned long long)c.won[5]);
	claim(!c.fault, "nothing lost, doubled, or for a clause that lost%s%s (%lld, %lld)",
	      c.fault ? ": " : "", c.fault ? c.fault : "", (long long)c.fault_value,
	      (long long)atomic_load(&shared->fault_value));
	for (unsigned i = 0; i < LOCAL; i++) {
		uint64_t v;

		while (kc_chan_recv(feeder.ch[i], &v, 0) == 0)
			c.local[i] += v == c.local[i];
		claim(c.local[i] == feeder.sent[i], "local %u: %llu sent, %llu received", i,
		      (unsigned long long)feeder.sent[i], (unsigned long long)c.local[i]);
		kc_chan_destroy(feeder.ch[i]);
	}
	claim(c.won[0] && c.won[1] && c.won[2] && c.won[3] && c.won[4] && c.won[5],
	      "each clause has won");
	compare(&c, kcorod.path);
	for (unsigned i = 0; i < SENDERS; i++)
		kc_chan_destroy(c.in[i]);
	kc_chan_destroy(c.out);
	for (unsigned i = 0; i < 2; i++)
		kc_ipc_disconnect(c.conns[i]);
	kc_cancel_destroy(feeder.stop);
	kct_calls_in(NULL);
	kc_sched_destroy(sched);
}

static bool number(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 0);
	return errno == 0 && *text && !*end;
}

static int as_peer(char **argv)
{
	uint64_t which, life, fd;

	if (!number(argv[2], &which) || !number(argv[3], &life) || !number(argv[4], &fd) ||
	    which >= PEERS || life >= LIVES_MAX)
		return 2;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
	return shared == MAP_FAILED ? 2
				    : peer_main(shared, (unsigned)which, (uint32_t)life, argv[5]);
}

static void parse(int argc, char **argv)
{
	uint64_t value = 0;
	bool good = argc % 2 == 1;

	if (kci_random(&options.seed, sizeof(options.seed)) < 0)
		bail("no random numbers", 0);
	for (int i = 1; i + 1 < argc && good; i += 2) {
		good = number(argv[i + 1], &value);
		if (strcmp(argv[i], "--rounds") == 0)
			options.rounds = value;
		else if (strcmp(argv[i], "--seed") == 0)
			options.seed = value;
		else if (strcmp(argv[i], "--coroutine") == 0)
			options.coroutine = value;
		else
			good = false;
	}
	if (good && options.rounds > 0)
		return;
	fprintf(stderr, "usage: select-kill [--rounds N] [--seed N] [--coroutine 1]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	int r;

	if (argc == 6 && strcmp(argv[1], "--peer") == 0)
		return as_peer(argv);
	parse(argc, argv);
	printf("# select-kill --rounds %llu --seed 0x%llx --coroutine %d\n",
	       (unsigned long long)options.rounds, (unsigned long long)options.seed,
	       options.coroutine);
	shared_fd = memfd_create("select-kill", MFD_CLOEXEC);
	if (shared_fd < 0 || ftruncate(shared_fd, sizeof(*shared)) < 0)
		bail(strerror(errno), 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);
	if (shared == MAP_FAILED)
		bail(strerror(errno), 0);
	r = kct_daemon_start(&kcorod, NULL, NULL);
	if (r < 0)
		bail(strerror(-r), 0);
	run();
	claim(kct_daemon_stop(&kcorod) == 0, "kcorod lives, and ends when it is told to");
	return claims_end();
}
