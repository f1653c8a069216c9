/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors between threads: see bench_desc_stream.h. */
#include "tests/bench/bench_desc_stream.h"

#include <errno.h>
#include <stdatomic.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/bench/bench_coro_stream.h"

#define CAPACITY 1024u
#define BATCH	 64u

struct slot {
	void *addr;
	size_t len;
};

struct stream {
	unsigned long count;
	kc_chan_t *ch;
	long result; /* of the sender */

	/* the bare ring: a side each */
	struct slot slots[CAPACITY];
	_Atomic unsigned long tail __attribute__((aligned(64)));
	_Atomic unsigned long head __attribute__((aligned(64)));
};

static char block[BENCH_BLOCK];

/* ---- the reference ------------------------------------------------------------ */

static void *bare_send(void *arg)
{
	struct stream *s = arg;
	struct slot out[BATCH];
	unsigned long tail = 0;

	for (unsigned i = 0; i < BATCH; i++)
		out[i] = (struct slot){ block, sizeof(block) };
	while (tail < s->count) {
		unsigned long n = s->count - tail < BATCH ? s->count - tail : BATCH;

		while (tail + n - atomic_load_explicit(&s->head, memory_order_acquire) > CAPACITY)
			kci_relax();
		for (unsigned long i = 0; i < n; i++)
			s->slots[(tail + i) % CAPACITY] = out[i];
		__asm__ volatile("" : : "r"(out) : "memory");
		tail += n;
		atomic_store_explicit(&s->tail, tail, memory_order_release);
	}
	return NULL;
}

static unsigned long bare_recv(struct stream *s)
{
	unsigned long head = 0, right = 0;
	struct slot got[BATCH];

	while (head < s->count) {
		unsigned long n = atomic_load_explicit(&s->tail, memory_order_acquire) - head;

		n = n < BATCH ? n : BATCH;
		if (n == 0)
			kci_relax();
		for (unsigned long i = 0; i < n; i++)
			got[i] = s->slots[(head + i) % CAPACITY];
		__asm__ volatile("" : : "r"(got) : "memory");
		right += n > 0 && got[n - 1].addr == block ? n : 0;
		head += n;
		atomic_store_explicit(&s->head, head, memory_order_release);
	}
	return right;
}

/* ---- ours --------------------------------------------------------------------- */

static void *send_descs(void *arg)
{
	struct stream *s = arg;
	struct kc_zdesc descs[BATCH];
	unsigned long done = 0;
	long r = 0;

	for (unsigned i = 0; i < BATCH; i++)
		descs[i] = (struct kc_zdesc){ .addr = block, .len = sizeof(block) };
	while (done < s->count && r >= 0) {
		unsigned long n = s->count - done < BATCH ? s->count - done : BATCH;

		r = kc_chan_send_descs(s->ch, descs, n, -1, NULL);
		done += r > 0 ? (unsigned long)r : 0;
	}
	s->result = r;
	(void)kc_chan_close(s->ch);
	return NULL;
}

static unsigned long recv_descs(struct stream *s)
{
	struct kc_zdesc got[BATCH];
	unsigned long n = 0;
	long r;

	while ((r = kc_chan_recv_descs(s->ch, got, BATCH, -1, NULL)) > 0)
		n += got[r - 1].addr == block ? (unsigned long)r : 0;
	return n;
}

static int run(struct stream *s, void *(*send)(void *), unsigned long (*recv)(struct stream *),
	       double *ret)
{
	uint64_t begin = kci_clock_now();
	KC_THREAD_T sender;
	unsigned long n;
	int r = kci_thread_start(&sender, send, s);

	if (r < 0)
		return bench_why(r, "cannot start a thread");
	n = recv(s);
	begin = kci_clock_now() - begin;
	kci_thread_join(sender);
	if (n != s->count)
		return bench_why(-EIO, "%lu descriptors arrived, not %lu", n, s->count);
	*ret = (double)n * 1e9 / (double)begin;
	return 0;
}

int bench_desc_stream(const struct bench_figure *f, struct bench_pair *ret)
{
	static struct stream s;
	int r;

	s = (struct stream){ .count = *(const unsigned long *)f->arg };
	r = run(&s, bare_send, bare_recv, &ret->reference);
	if (r < 0)
		return r;
	r = kc_chan_make_ptr(&s.ch, KC_BUFFERED, CAPACITY);
	if (r < 0)
		return bench_why(r, "kc_chan_make_ptr: %s", kc_error_name(r));
	r = run(&s, send_descs, recv_descs, &ret->ours);
	kc_chan_destroy(s.ch);
	return r;
}
