/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * garbage [--seconds N] [--connections N] [--seed N] [--tight 1] - a kcorod under hostile clients
 *
 * A private kcorod serves a well-behaved stream while crowds of connections send it
 * garbage of every kind (scripts.h), as another user when this runs as root. After a
 * warm-up of the same garbage the daemon is looked at; after the whole of it, and when
 * the crowds are gone, it must look the same. With --tight the crowds meet their limits all
 * the time, which as the stream's own user would be the stream's as well: for root. Prints TAP
 * and numbers.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kcoro.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/fault/crowd.h"
#include "tests/fault/stream.h"
#include "tests/fault/tap.h"
#include "tests/lib/daemon.h"
#include "tests/lib/kct.h"

#define CROWDS 4u
#define WARM_UP_MS 1000u /* at least */
#define REST_MS 2500 /* the daemon gives memory back a second after connections end */
#define ROUNDS 4u      /* at the end of each a crowd vanishes, and another comes */
#define CROWD_UID 60100u
#define BACK_MS 20000  /* for the daemon to notice who is gone */
#define IDS_MAX 4096u
#define NOISE_KIB 512u /* pages half in use, here or there; what counts is more than a tenth */

static const char config[] = "{ \"session\": { \"grace_ms\": 500 },"
			     "  \"limits\": { \"output_high\": 65536, \"output_max\": 1048576 },"
			     "  \"user_limits\": { \"buffers\": 67108864 } }";

static const char tight_config[] =
	"{ \"session\": { \"grace_ms\": 300 },"
	"  \"limits\": { \"output_high\": 4096, \"output_max\": 65536, \"requests\": 300,"
	"    \"attachments\": 5, \"channels\": 20, \"bytes\": 2000000, \"message\": 4096 },"
	"  \"user_limits\": { \"buffers\": 1048576, \"connections\": 30, \"channels\": 6,"
	"    \"bytes\": 300000 } }";

static struct {
	unsigned seconds, connections;
	uint64_t seed;
	bool tight;
} options = { .seconds = 60, .connections = 200 };

static struct kct_daemon kcorod;
static struct crowd crowds[CROWDS];
static struct crowd_count *count;
static kc_ipc_conn_t *admin;
static struct stream stream;

/* ---- the state of the daemon ------------------------------------------------ */

struct look {
	struct kc_ipc_daemon_stats stats;
	unsigned long rss_kib, anon_kib;
	int fds;
};

static unsigned long status_kib(const char *field)
{
	char path[64], line[256];
	unsigned long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)kcorod.pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
			kib = strtoul(line + strlen(field) + 1, NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

static void look(struct look *ret)
{
	int r = kc_ipc_stats(admin, &ret->stats);

	if (r < 0)
		bail("kcorod does not answer", r);
	ret->rss_kib = status_kib("VmRSS");
	ret->anon_kib = status_kib("RssAnon");
	ret->fds = kct_daemon_fds(&kcorod);
}

static void show(const char *when, const struct look *l)
{
	printf("# %s: VmRSS %lu KiB, RssAnon %lu KiB, %d descriptors, %llu connections, %llu "
	       "sessions, %llu channels, %llu bytes held, %llu frames in, %llu out, %llu resumes\n",
	       when, l->rss_kib, l->anon_kib, l->fds, (unsigned long long)l->stats.connections,
	       (unsigned long long)l->stats.sessions, (unsigned long long)l->stats.channels,
	       (unsigned long long)l->stats.bytes, (unsigned long long)l->stats.frames_in,
	       (unsigned long long)l->stats.frames_out, (unsigned long long)l->stats.resumes);
	fflush(stdout);
}

/* ---- what the crowds leave behind ------------------------------------------- */

static uint64_t junk[IDS_MAX];
static unsigned n_junk;

static int note_junk(const struct kc_ipc_chan_info *info, void *arg)
{
	(void)arg;
	if (strcmp(info->name, STREAM_NAME) != 0 && n_junk < IDS_MAX)
		junk[n_junk++] = info->id;
	return 0;
}

/* Channels outlive their makers. */
static void destroy_junk(void)
{
	struct kc_ipc_open_options o = KC_IPC_OPEN_OPTIONS_INIT;
	int r;

	n_junk = 0;
	r = kc_ipc_list(admin, note_junk, NULL);
	if (r < 0)
		bail("the channels could not be listed", r);
	o.roles = KC_OBSERVER;
	for (unsigned i = 0; i < n_junk; i++) {
		kc_chan_t *ch;

		r = kc_ipc_chan_open_id(admin, junk[i], &o, &ch);
		if (r < 0)
			bail("a channel could not be opened", r);
		r = kc_ipc_chan_destroy(ch);
		if (r < 0)
			bail("a channel could not be destroyed", r);
		kc_chan_destroy(ch);
	}
}

/* Ask until nobody is left but us: every answer is one turn of the daemon at least. */
static bool all_gone(void)
{
	uint64_t deadline = kci_deadline_from_ms(BACK_MS);
	struct look now;

	do {
		look(&now);
		if (now.stats.connections == 3 && now.stats.sessions == 3)
			return true;
	} while (kci_deadline_left(deadline) > 0);
	return false;
}

/* How it looks when it has had time to give back what it does not need. */
static void look_at_rest(const char *when, struct look *ret)
{
	if (kct_daemon_wait(&kcorod, REST_MS) != -ETIMEDOUT)
		bail("kcorod has ended", 0);
	look(ret);
	show(when, ret);
}

/* ---- garbage ---------------------------------------------------------------- */

static void start(unsigned i)
{
	struct crowd *c = &crowds[i];
	int r;

	c->uid = geteuid() == 0 ? CROWD_UID + i : 0;
	c->connections = options.connections / CROWDS + (i < options.connections % CROWDS);
	c->seed = kct_random(&options.seed);
	c->count = count;
	r = crowd_start(c, &kcorod);
	if (r < 0)
		bail(strerror(-r), 0);
}

static void vanish(unsigned i)
{
	if (crowd_kill(&crowds[i]) < 0)
		bail("a crowd has ended by itself", 0);
}

/* Garbage for so long; false: the stream has gone wrong, or the daemon has ended. */
static bool throw_garbage(unsigned ms)
{
	bool well = true;

	for (unsigned i = 0; i < CROWDS; i++)
		start(i);
	for (unsigned round = 0; round < ROUNDS && well; round++) {
		uint64_t end = kci_deadline_from_ms((long)(ms / ROUNDS));
		struct pollfd p = { .fd = kcorod.pidfd, .events = POLLIN };

		while (kci_deadline_left(end) > 0 && well)
			well = poll(&p, 1, kci_deadline_poll_ms(end)) == 0 &&
			       !stream_failed(&stream);
		if (well && round < ROUNDS - 1) {
			vanish(round % CROWDS);
			start(round % CROWDS);
		}
	}
	for (unsigned i = 0; i < CROWDS; i++)
		vanish(i);
	return well;
}

static void show_garbage(void)
{
	static const char *const names[SCRIPT_KINDS] = {
		"noise",   "truncated", "oversized", "headers", "disorder", "mutated",
		"busy",	   "deaf",	"vanish",    "resume",	"token",
	};

	printf("# garbage: %llu connections, %llu MiB, %llu ended by kcorod;",
	       (unsigned long long)count->opened, (unsigned long long)(count->bytes >> 20),
	       (unsigned long long)count->ended);
	for (int i = 0; i < SCRIPT_KINDS; i++)
		printf(" %s %llu", names[i], (unsigned long long)count->of[i]);
	printf("\n");
}

/* ---- all of it -------------------------------------------------------------- */

static bool sanitized(void)
{
	const char *flags = getenv("KC_SANITIZED");

	return flags && *flags;
}

static void judge(const struct look *before, const struct look *after)
{
	unsigned long more = before->rss_kib / 10 > NOISE_KIB ? before->rss_kib / 10 : NOISE_KIB;

	claim(after->fds == before->fds, "as many descriptors as before: %d and %d", before->fds,
	      after->fds);
	claim(after->stats.connections == before->stats.connections &&
		      after->stats.sessions == before->stats.sessions,
	      "as many connections and sessions as before");
	claim(after->stats.channels == before->stats.channels && after->stats.channels == 1,
	      "as many channels as before: %llu and %llu",
	      (unsigned long long)before->stats.channels,
	      (unsigned long long)after->stats.channels);
	if (sanitized())
		claim(true, "memory # SKIP a sanitizer keeps what is freed");
	else
		claim(after->rss_kib <= before->rss_kib + more,
		      "memory within %lu KiB of before: %lu KiB and %lu KiB", more,
		      before->rss_kib, after->rss_kib);
}

static void run(void)
{
	struct look before, after;
	unsigned ms = options.seconds * 1000;
	const char *fault;
	bool well;

	well = throw_garbage(ms > 10 * WARM_UP_MS ? ms / 10 : WARM_UP_MS);
	claim(well && all_gone(), "after the warm-up nobody is left");
	destroy_junk();
	look_at_rest("before", &before);
	well = throw_garbage(ms);
	show_garbage();
	claim(well && all_gone(), "after the garbage nobody is left");
	destroy_junk();
	look_at_rest("after", &after);
	fault = stream_finish(&stream);
	claim(!fault, "the stream has lost, doubled and reordered nothing: %llu elements%s%s%s",
	      (unsigned long long)stream.received, fault ? ": " : "", fault ? fault : "",
	      fault && stream.code ? kc_strerror(stream.code) : "");
	judge(&before, &after);
}

static bool number(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 0);
	return errno == 0 && *text && !*end;
}

static void parse(int argc, char **argv)
{
	uint64_t value = 0;
	bool good = argc % 2 == 1;

	if (kci_random(&options.seed, sizeof(options.seed)) < 0)
		bail("no random numbers", 0);
	for (int i = 1; i + 1 < argc && good; i += 2) {
		good = number(argv[i + 1], &value);
		if (strcmp(argv[i], "--seconds") == 0)
			options.seconds = (unsigned)value;
		else if (strcmp(argv[i], "--connections") == 0)
			options.connections = (unsigned)value;
		else if (strcmp(argv[i], "--seed") == 0)
			options.seed = value;
		else if (strcmp(argv[i], "--tight") == 0)
			options.tight = value;
		else
			good = false;
	}
	if (good && options.seconds > 0 && options.connections >= CROWDS)
		return;
	fprintf(stderr, "usage: garbage [--seconds N] [--connections N] [--seed N] "
			"[--tight 1]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	int r;

	parse(argc, argv);
	printf("# garbage --seconds %u --connections %u --seed 0x%llx --tight %d\n",
	       options.seconds, options.connections, (unsigned long long)options.seed,
	       options.tight);
	if (options.tight && geteuid() != 0) {
		printf("1..0 # SKIP the crowds must be other users: only root can do that\n");
		return 0;
	}
	count = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (count == MAP_FAILED)
		bail(strerror(errno), 0);
	r = kct_daemon_start(&kcorod, options.tight ? tight_config : config, NULL);
	if (r < 0)
		bail(strerror(-r), 0);
	r = kc_ipc_connect(&admin, kcorod.path);
	if (r == 0)
		r = stream_start(&stream, kcorod.path);
	if (r < 0)
		bail("the stream does not start", r);
	run();
	kc_ipc_disconnect(admin);
	claim(kct_daemon_stop(&kcorod) == 0, "kcorod lives, and ends when it is told to");
	munmap(count, sizeof(*count));
	return claims_end();
}
