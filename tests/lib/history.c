/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The search for a linearization: try each call that may be next, go back from dead ends,
 * and never search twice from the same place (the calls that are explained, and what the
 * channel holds then).
 */
#include "tests/lib/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro/error.h"

#define WORDS	    (KCT_HISTORY_MAX / 64)
#define PLACES_MAX  (UINT32_C(1) << 19)
#define NOT_SENT    UINT16_MAX
#define STILL_UNDER UINT64_MAX /* the end of a call that was not over */

/* What a search goes back to. Bytes are compared: no padding may be left unset. */
struct place {
	uint64_t done[WORDS];
	uint8_t queue[KCT_HISTORY_QUEUE]; /* which sends */
	uint32_t len;
	uint32_t closed;
};

struct search {
	const struct kct_history *h;
	unsigned n;
	uint16_t source[KCT_HISTORY_MAX]; /* of a receive: the send of its value */
	struct place *places;		  /* a hash table; len == UINT32_MAX: free */
	uint32_t size, used;
	bool out_of_memory;
};

/* ---- recording ---------------------------------------------------------------- */

void kct_history_init(struct kct_history *h, enum kc_kind kind, size_t capacity,
		      enum kc_overflow overflow)
{
	h->kind = kind;
	h->capacity = kind == KC_CONFLATED ? 1 : capacity;
	h->overflow = overflow;
	atomic_store(&h->clock, 0);
	atomic_store(&h->n, 0);
	memset(h->deeds, 0, sizeof(h->deeds));
}

struct kct_deed *kct_history_begin(struct kct_history *h, unsigned who, enum kct_verb verb,
				   bool once, uint32_t value)
{
	unsigned i = atomic_fetch_add(&h->n, 1);
	struct kct_deed *deed = &h->deeds[i];

	if (i >= KCT_HISTORY_MAX)
		return NULL;
	*deed = (struct kct_deed){ .verb = verb, .once = once, .who = who, .value = value };
	deed->began = atomic_fetch_add(&h->clock, 1);
	return deed;
}

void kct_history_end(struct kct_history *h, struct kct_deed *deed, long result, uint32_t value)
{
	deed->ended = atomic_fetch_add(&h->clock, 1);
	deed->result = result;
	if (deed->verb == KCT_RECV && result == 0)
		deed->value = value;
}

unsigned kct_history_overlaps(const struct kct_history *h)
{
	unsigned n = atomic_load(&h->n), overlaps = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct kct_deed *a = &h->deeds[i], *b = h->deeds;

		while (b < h->deeds + n &&
		       (b->who == a->who || b->began > a->ended || b->ended < a->began))
			b++;
		overlaps += b < h->deeds + n;
	}
	return overlaps;
}

/* ---- what a channel promises ------------------------------------------------------ */

static bool took_place(const struct place *p, unsigned i)
{
	return p->done[i / 64] >> i % 64 & 1;
}

static void take_place(struct place *p, unsigned i)
{
	p->done[i / 64] |= UINT64_C(1) << i % 64;
}

static void queue_pop(struct place *p)
{
	p->len--;
	memmove(p->queue, p->queue + 1, p->len);
	p->queue[p->len] = 0;
}

static void queue_clear(struct place *p)
{
	memset(p->queue, 0, sizeof(p->queue));
	p->len = 0;
}

static bool send_goes(const struct kct_history *h, struct place *p, unsigned i)
{
	bool full = p->len == h->capacity;

	if (h->kind == KC_RENDEZVOUS)
		return false; /* only together with its receive */
	if (h->kind == KC_CONFLATED)
		queue_clear(p);
	else if (full && h->overflow == KC_OVERFLOW_DROP_NEWEST)
		return true;
	else if (full && h->overflow == KC_OVERFLOW_DROP_OLDEST)
		queue_pop(p);
	else if (full)
		return false;
	p->queue[p->len++] = (uint8_t)i;
	return true;
}

/* Could call i have been the next, from this place? Goes on to the place after it. */
static bool goes(const struct search *s, struct place *p, unsigned i)
{
	const struct kct_history *h = s->h;
	const struct kct_deed *d = &h->deeds[i];
	bool never_full = h->kind == KC_CONFLATED || h->overflow != KC_OVERFLOW_BLOCK;

	take_place(p, i);
	switch (d->verb) {
	case KCT_LEN:
		return d->result == (long)p->len;
	case KCT_PURGE:
		if (d->result != (long)p->len)
			return false;
		queue_clear(p);
		return true;
	case KCT_CLOSE:
		p->closed = 1;
		return d->result == 0;
	default:
		break;
	}
	switch (d->result) {
	case KC_EPIPE:
		return p->closed && (d->verb == KCT_SEND || p->len == 0);
	case KC_EAGAIN:
		if (!d->once || p->closed)
			return false;
		/* on a rendezvous nobody can tell who waits already */
		if (d->verb == KCT_SEND)
			return !never_full && p->len == h->capacity;
		return p->len == 0;
	case KC_ETIME:
		return !d->once && !(d->verb == KCT_SEND && never_full);
	case KC_ECANCELED:
		return true;
	case 0:
		break;
	default:
		return false;
	}
	if (d->verb == KCT_SEND)
		return !p->closed && send_goes(h, p, i);
	if (h->kind == KC_RENDEZVOUS || p->len == 0 || p->queue[0] != s->source[i])
		return false;
	queue_pop(p);
	return true;
}

/* Could they have met? Of two who only try, neither is there when the other one comes. */
static bool meet(const struct search *s, struct place *p, unsigned tx, unsigned rx)
{
	const struct kct_deed *a = &s->h->deeds[tx], *b = &s->h->deeds[rx];

	if (a->result != 0 || b->result != 0 || s->source[rx] != tx || p->closed ||
	    (a->once && b->once))
		return false;
	take_place(p, tx);
	take_place(p, rx);
	return true;
}

/* ---- the search ---------------------------------------------------------------------- */

static uint32_t place_hash(const struct place *p)
{
	const unsigned char *at = (const unsigned char *)p;
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < sizeof(*p); i++)
		hash = (hash ^ at[i]) * UINT64_C(1099511628211);
	return (uint32_t)(hash ^ hash >> 32);
}

static struct place *place_find(struct place *table, uint32_t size, const struct place *p)
{
	uint32_t i = place_hash(p) & (size - 1);

	while (table[i].len != UINT32_MAX && memcmp(&table[i], p, sizeof(*p)) != 0)
		i = (i + 1) & (size - 1);
	return &table[i];
}

static bool places_resize(struct search *s, uint32_t size)
{
	struct place *table;

	if (size > PLACES_MAX)
		return false;
	table = malloc(size * sizeof(*table));
	if (!table)
		return false;
	for (uint32_t i = 0; i < size; i++)
		table[i].len = UINT32_MAX;
	for (uint32_t i = 0; i < s->size; i++)
		if (s->places[i].len != UINT32_MAX)
			*place_find(table, size, &s->places[i]) = s->places[i];
	free(s->places);
	s->places = table;
	s->size = size;
	return true;
}

/* false: the search has been here, or there is no memory to remember it */
static bool place_is_new(struct search *s, const struct place *p)
{
	struct place *at;

	if (s->used >= s->size / 2 && !places_resize(s, s->size * 2)) {
		s->out_of_memory = true;
		return false;
	}
	at = place_find(s->places, s->size, p);
	if (at->len != UINT32_MAX)
		return false;
	*at = *p;
	s->used++;
	return true;
}

static bool explain(struct search *s, const struct place *p)
{
	const struct kct_deed *deeds = s->h->deeds;
	uint64_t first_end = STILL_UNDER;

	for (unsigned i = 0; i < s->n; i++)
		if (!took_place(p, i) && deeds[i].ended < first_end)
			first_end = deeds[i].ended;
	if (first_end == STILL_UNDER)
		return true; /* what is left need not have taken place */
	if (!place_is_new(s, p))
		return false;
	for (unsigned i = 0; i < s->n; i++) {
		struct place next = *p;

		/* what began after another had ended was not before it */
		if (took_place(p, i) || deeds[i].began > first_end)
			continue;
		if (goes(s, &next, i) && explain(s, &next))
			return true;
		if (s->h->kind != KC_RENDEZVOUS || deeds[i].verb != KCT_SEND)
			continue;
		for (unsigned j = 0; j < s->n; j++) {
			next = *p;
			if (deeds[j].verb == KCT_RECV && !took_place(p, j) &&
			    deeds[j].began < first_end && meet(s, &next, i, j) && explain(s, &next))
				return true;
		}
	}
	return false;
}

enum kct_verdict kct_history_check(const struct kct_history *h)
{
	struct search s = { .h = h, .n = atomic_load(&h->n) };
	struct place start;
	bool explained;

	if (s.n > KCT_HISTORY_MAX || h->capacity > KCT_HISTORY_QUEUE)
		return KCT_UNDECIDED;
	for (unsigned i = 0; i < s.n; i++) {
		s.source[i] = NOT_SENT;
		for (unsigned j = 0; h->deeds[i].verb == KCT_RECV && j < s.n; j++)
			if (h->deeds[j].verb == KCT_SEND && h->deeds[j].value == h->deeds[i].value)
				s.source[i] = (uint16_t)j;
	}
	if (!places_resize(&s, 1024))
		return KCT_UNDECIDED;
	memset(&start, 0, sizeof(start));
	explained = explain(&s, &start);
	free(s.places);
	if (explained)
		return KCT_LINEARIZABLE;
	return s.out_of_memory ? KCT_UNDECIDED : KCT_NOT_LINEARIZABLE;
}

/* ---- telling what is wrong --------------------------------------------------------- */

static bool is_bad(const struct kct_history *h)
{
	return kct_history_check(h) == KCT_NOT_LINEARIZABLE;
}

static void history_copy(struct kct_history *to, const struct kct_history *from)
{
	to->kind = from->kind;
	to->capacity = from->capacity;
	to->overflow = from->overflow;
	atomic_store(&to->n, atomic_load(&from->n));
	memcpy(to->deeds, from->deeds, sizeof(to->deeds));
}

/* What began up to a moment; what ended later was still under way. */
static void history_cut(struct kct_history *h, uint64_t moment)
{
	unsigned n = 0;

	for (unsigned i = 0; i < atomic_load(&h->n); i++) {
		if (h->deeds[i].began > moment)
			continue;
		h->deeds[n] = h->deeds[i];
		if (h->deeds[n].ended > moment)
			h->deeds[n].ended = STILL_UNDER;
		n++;
	}
	atomic_store(&h->n, n);
}

static void history_remove(struct kct_history *h, unsigned i)
{
	unsigned n = atomic_load(&h->n) - 1;

	memmove(&h->deeds[i], &h->deeds[i + 1], (n - i) * sizeof(h->deeds[0]));
	atomic_store(&h->n, n);
}

/* Of a history that can be explained, what is left without such calls can be, too; so
 * what remains bad was bad: calls without effect, and a send together with its receive
 * where nobody asked how full the channel was. */
static void history_thin(struct kct_history *h, struct kct_history *scratch)
{
	bool pairs = h->kind != KC_CONFLATED && h->overflow == KC_OVERFLOW_BLOCK;

	for (unsigned i = atomic_load(&h->n); i-- > 0;) {
		const struct kct_deed *d = &h->deeds[i];
		bool moved = (d->verb == KCT_SEND || d->verb == KCT_RECV) && d->result == 0;

		if (moved || (d->verb == KCT_PURGE && d->result != 0) || d->verb == KCT_CLOSE)
			continue;
		history_copy(scratch, h);
		history_remove(scratch, i);
		if (is_bad(scratch))
			history_copy(h, scratch);
	}
	for (unsigned i = 0; i < atomic_load(&h->n); i++) {
		const struct kct_deed *d = &h->deeds[i];

		if (d->verb == KCT_LEN || d->verb == KCT_PURGE ||
		    (d->verb == KCT_SEND && d->result == KC_EAGAIN))
			pairs = pairs && h->kind == KC_RENDEZVOUS;
	}
	for (unsigned i = atomic_load(&h->n); pairs && i-- > 0;) {
		unsigned j = 0;

		if (i >= atomic_load(&h->n) || h->deeds[i].verb != KCT_RECV ||
		    h->deeds[i].result != 0)
			continue;
		while (j < atomic_load(&h->n) &&
		       (h->deeds[j].verb != KCT_SEND || h->deeds[j].value != h->deeds[i].value))
			j++;
		if (j == atomic_load(&h->n))
			continue;
		history_copy(scratch, h);
		history_remove(scratch, i > j ? i : j);
		history_remove(scratch, i > j ? j : i);
		if (is_bad(scratch))
			history_copy(h, scratch);
	}
}

void kct_history_shrink(struct kct_history *h)
{
	struct kct_history *scratch = malloc(2 * sizeof(*scratch));
	uint64_t moment = UINT64_MAX;

	if (!scratch || !is_bad(h)) {
		free(scratch);
		return;
	}
	for (unsigned i = 0; i < atomic_load(&h->n); i++) {
		if (h->deeds[i].ended >= moment)
			continue;
		history_copy(scratch, h);
		history_cut(scratch, h->deeds[i].ended);
		if (is_bad(scratch))
			moment = h->deeds[i].ended;
	}
	if (moment != UINT64_MAX)
		history_cut(h, moment);
	history_thin(h, scratch);
	free(scratch);
}

void kct_history_print(const struct kct_history *h)
{
	static const char *const verbs[] = { "send", "recv", "len", "purge", "close" };
	unsigned n = atomic_load(&h->n);
	uint64_t after = 0;

	printf("# kind %d, capacity %zu, overflow %d, %u calls: who, when, what, result\n",
	       (int)h->kind, h->capacity, (int)h->overflow, n);
	for (unsigned k = 0; k < n && k < KCT_HISTORY_MAX; k++) {
		const struct kct_deed *d = NULL;

		for (unsigned i = 0; i < n; i++)
			if (h->deeds[i].began >= after && (!d || h->deeds[i].began < d->began))
				d = &h->deeds[i];
		if (!d)
			break;
		after = d->began + 1;
		printf("# %u: %" PRIu64 "..", d->who, d->began);
		if (d->ended != STILL_UNDER)
			printf("%" PRIu64, d->ended);
		printf(" %s%s", d->once ? "try " : "", verbs[d->verb]);
		if (d->verb == KCT_SEND || (d->verb == KCT_RECV && d->result == 0))
			printf(" %" PRIu32, d->value);
		printf(" = %ld\n", d->result);
	}
	fflush(stdout);
}
