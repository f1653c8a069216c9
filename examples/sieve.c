/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sieve: the first primes, by a chain of coroutines that grows as it runs.
 *
 *	sieve [--primes N]
 *
 * A generator sends 2, 3, 4, ... What comes out of the chain first is a prime, for
 * no filter before it has stopped it; so a filter that stops its multiples is added
 * to the end, and so on:
 *
 *	generator -> [not of 2] -> [not of 3] -> [not of 5] -> ...
 *
 * Each part is a producer in one scope: a job with a channel of its own, which is
 * closed when the job ends. None of them ever ends by itself. When there are primes
 * enough, one call cancels all of them, however long the chain is, and a scope that
 * has ended has no child left that could still use a channel. No daemon is needed.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "kcoro.h"

#define PRIMES_MAX 10000

struct filter {
	kc_chan_t *in;
	uint32_t prime;
};

static int failed(const char *what, int code)
{
	fprintf(stderr, "sieve: %s: %s (%s)\n", what, kc_strerror(code), kc_error_detail());
	return 1;
}

static long generate(kc_job_t *self, kc_chan_t *out, void *arg)
{
	uint32_t n = 2;
	int r;

	(void)arg;
	while ((r = kc_chan_send_c(out, &n, -1, kc_job_token(self))) == 0)
		n++;
	return r;
}

static long filter(kc_job_t *self, kc_chan_t *out, void *arg)
{
	const struct filter *f = arg;
	kc_cancel_t *token = kc_job_token(self);
	uint32_t n;
	int r;

	do {
		r = kc_chan_recv_c(f->in, &n, -1, token);
		if (r == 0 && n % f->prime != 0)
			r = kc_chan_send_c(out, &n, -1, token);
	} while (r == 0);
	return r;
}

/* Takes a prime out of the chain, which gets one part more. chain: the channels, of which there
 * are found + 1. */
static int find(kc_scope_t *scope, kc_chan_t **chain, struct filter *filters, int found)
{
	struct filter *f = &filters[found];
	int r;

	f->in = chain[found];
	r = kc_chan_recv(f->in, &f->prime, -1);
	if (r != 0)
		return failed("waiting for a prime", r);
	printf("%" PRIu32 "\n", f->prime);
	r = kc_scope_produce(scope, KC_BUFFERED, sizeof(uint32_t), 16, filter, f,
			     &chain[found + 1]);
	return r == 0 ? 0 : failed("adding a filter", r);
}

static int run(kc_scope_t *scope, kc_chan_t **chain, struct filter *filters, int primes)
{
	int bad = 0, r;

	r = kc_scope_produce(scope, KC_BUFFERED, sizeof(uint32_t), 16, generate, NULL, &chain[0]);
	if (r != 0)
		return failed("starting the generator", r);
	for (int found = 0; found < primes && !bad; found++)
		bad = find(scope, chain, filters, found);
	kc_scope_cancel(scope, 0);
	r = kc_scope_wait_all(scope, -1);
	if (r != 0)
		return failed("waiting for the end", r);
	if (!bad && (kc_scope_state(scope) != KC_STATE_CANCELLED || kc_scope_result(scope) != 0)) {
		fprintf(stderr, "sieve: a part failed\n");
		bad = 1;
	}
	return bad;
}

static int sieve(int primes)
{
	kc_chan_t **chain = calloc((size_t)primes + 1, sizeof(kc_chan_t *));
	struct filter *filters = calloc((size_t)primes, sizeof(*filters));
	kc_scope_t *scope = NULL;
	int bad, r;

	r = chain && filters ? kc_scope_init(&scope, NULL) : KC_ENOMEM;
	bad = r == 0 ? run(scope, chain, filters, primes) : failed("preparing", r);
	/* waits for those that were started, if something went wrong */
	kc_scope_destroy(scope);
	for (int i = 0; chain && i <= primes; i++)
		kc_chan_destroy(chain[i]);
	free(chain);
	free(filters);
	return bad;
}

static int usage(FILE *to, int status)
{
	fprintf(to,
		"usage: sieve [--primes N]\n"
		"\n"
		"  --primes N  how many, 1..%d (default 25)\n",
		PRIMES_MAX);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "primes", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	intmax_t primes = 25;
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			errno = 0;
			primes = strtoimax(optarg, &end, 10);
			if (errno || end == optarg || *end || primes < 1 || primes > PRIMES_MAX)
				return usage(stderr, 2);
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (optind != argc)
		return usage(stderr, 2);
	return sieve((int)primes);
}
