/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Select: check the clauses, try them in an order that is fair, wait for the first.
 */
#include "kcoro/select.h"

#include "kcoro/error.h"
#include "libkcoro-client/core/cancel.h"
#include "libkcoro-client/core/chan-call.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/core/select.h"

#define FLAGS (KC_SELECT_PRIORITY | KC_SELECT_READY)

/* ---- checking ----------------------------------------------------------------------- */

static enum kci_family family_of(const kc_chan_t *ch)
{
	if (ch->capabilities & KC_CHAN_CAP_PTR)
		return KCI_DESC;
	return ch->elem_size == 0 ? KCI_MSG : KCI_FIXED;
}

static int clause_fault(const struct kci_select *s, const struct kc_clause *c, int code,
			const char *why)
{
	return kci_fail(code, "clause %zu: %s", (size_t)(c - s->clauses), why);
}

/* The clause goes by the channel's backend, if that has an opinion. */
static int check_desc(struct kci_select *s, struct kc_clause *c)
{
	int r = c->kind == KC_CLAUSE_SEND_DESC ? kci_local_clause_desc(c) : 0;

	if (r > 0) {
		s->n_descs++;
		return 0;
	}
	return r == KC_EINVAL ? clause_fault(s, c, r, "no descriptor for this channel") : r;
}

/* What is not as it mostly is. */
static int __attribute__((noinline)) check_other(struct kci_select *s, struct kc_clause *c)
{
	static const enum kci_family wants[] = {
		[KC_CLAUSE_RECV] = KCI_FIXED,	  [KC_CLAUSE_SEND] = KCI_FIXED,
		[KC_CLAUSE_RECV_MSG] = KCI_MSG,	  [KC_CLAUSE_SEND_MSG] = KCI_MSG,
		[KC_CLAUSE_RECV_DESC] = KCI_DESC, [KC_CLAUSE_SEND_DESC] = KCI_DESC,
		[KC_CLAUSE_RECV_LEASE] = KCI_LEASE,
	};
	bool sends = kci_clause_sends(c);

	if (c->kind <= KC_CLAUSE_OFF || c->kind >= KC_CLAUSE_TIMER)
		return clause_fault(s, c, KC_EINVAL, "of unknown kind");
	if (!kci_process_is(c->ch->process))
		return KC_EFORKED;
	if (c->kind == KC_CLAUSE_RECV_LEASE) {
		if (!(c->ch->capabilities & KC_CHAN_CAP_LEASE))
			return clause_fault(s, c, KC_ENOTSUP,
					    "leases exist on a daemon's channels only");
		if (!c->lease || (!c->buf && c->size > 0))
			return clause_fault(s, c, KC_EINVAL, "no room for the lease");
		return 0;
	}
	if (wants[c->kind] != family_of(c->ch))
		return clause_fault(s, c, KC_EINVAL, "the channel takes other calls");
	if (!(sends ? (const void *)c->elem : c->buf) &&
	    (wants[c->kind] != KCI_MSG || c->size > 0))
		return clause_fault(s, c, KC_EINVAL, sends ? "nothing to send" : "no room");
	if (c->kind == KC_CLAUSE_SEND_MSG && c->size > c->ch->max_msg)
		return clause_fault(s, c, KC_EMSGSIZE, "longer than the channel takes");
	return wants[c->kind] == KCI_DESC ? check_desc(s, c) : 0;
}

static int check_clauses(struct kci_select *s)
{
	size_t off = 0;

	for (struct kc_clause *c = s->clauses; c < s->clauses + s->n; c++) {
		int r;

		if (kci_clause_is_usual(c))
			continue;
		if (kci_clause_is_off(c)) {
			off++;
			continue;
		}
		if (c->kind == KC_CLAUSE_TIMER) {
			s->n_timers++;
			off += c->due_ns == KC_NEVER;
			continue;
		}
		r = check_other(s, c);
		if (r < 0)
			return r;
		if (c->ch->ops->select) {
			s->n_remote++;
			s->remote = c;
		}
	}
	s->n_active = s->n - off;
	return 0;
}

/* ---- timers --------------------------------------------------------------------------- */

static bool timer_try(struct kc_clause *c, uint64_t now)
{
	if (!kci_timer_is_due(c, now))
		return false;
	c->result = 0;
	if (c->period_ns == 0)
		c->due_ns = KC_NEVER;
	else
		c->due_ns += ((now - c->due_ns) / c->period_ns + 1) * c->period_ns;
	return true;
}

static uint64_t earliest(const struct kci_select *s, uint64_t deadline)
{
	for (size_t i = 0; i < s->n && s->n_timers > 0; i++)
		if (s->clauses[i].kind == KC_CLAUSE_TIMER && s->clauses[i].due_ns < deadline)
			deadline = s->clauses[i].due_ns;
	return deadline;
}

/* ---- trying ---------------------------------------------------------------------------- */

static bool try_clause(struct kci_select *s, struct kc_clause *c, uint64_t now, bool ask)
{
	if (kci_clause_is_local(c))
		return kci_local_try_clause(s, c);
	if (c->kind == KC_CLAUSE_TIMER)
		return timer_try(c, now);
	return !kci_clause_is_off(c) && c->ch->ops->select->try_clause(s, c, ask);
}

static bool peek_clause(struct kci_select *s, struct kc_clause *c, uint64_t now)
{
	if (kci_clause_is_local(c))
		return kci_local_peek_clause(s, c);
	if (c->kind == KC_CLAUSE_TIMER)
		return kci_timer_is_due(c, now);
	return !kci_clause_is_off(c) && c->ch->ops->select->is_ready(c);
}

/* Any of those that are ready, of what is seen without asking anybody. */
static struct kc_clause *any_ready(struct kci_select *s, uint64_t now)
{
	struct kc_clause *chosen = NULL;
	size_t n_ready = 0;

	for (struct kc_clause *c = s->clauses; c < s->clauses + s->n; c++)
		if (peek_clause(s, c, now) && (++n_ready == 1 || kci_select_takes_over(n_ready)))
			chosen = c;
	return chosen;
}

/* Something else is ready; but it may be the turn of who has to be asked. */
static struct kc_clause *ask_due(struct kci_select *s)
{
	for (struct kc_clause *c = s->clauses; c < s->clauses + s->n; c++) {
		if (!kci_clause_is_remote(c) || !c->ch->ops->select->is_due(c))
			continue;
		kci_choice_begin(&s->choice);
		return c->ch->ops->select->ask(s);
	}
	return NULL;
}

/* Carry one out, or none: NULL. */
static struct kc_clause *try_all(struct kci_select *s, uint64_t now)
{
	bool priority = s->flags & KC_SELECT_PRIORITY;
	struct kc_clause *won = NULL, *chosen = priority ? NULL : any_ready(s, now);
	size_t first = priority ? 0 : kci_select_draw(s->n);

	if (chosen && s->n_remote > 0)
		won = ask_due(s);
	if (won)
		return won;
	if (chosen && try_clause(s, chosen, now, /* ask= */ false))
		return chosen;
	/* none, or somebody was faster */
	for (size_t k = 0; k < s->n; k++) {
		struct kc_clause *c = &s->clauses[(first + k) % s->n];

		if (try_clause(s, c, now, s->tries || priority))
			return c;
	}
	return NULL;
}

/* ---- waiting ----------------------------------------------------------------------------- */

/* With all seats taken. No frame of its own, nor has act_on(): a coroutine that comes back goes
 * through each. */
static inline struct kc_clause *__attribute__((always_inline))
wait_seated(struct kci_select *s, uint64_t deadline, int *ret_code)
{
	struct kci_waiter *waiter = &s->choice.op.waiter;
	struct kc_clause *won;

	*ret_code = kci_waiter_park(waiter, deadline, s->token);
	won = kci_local_stand(s);
	/* claimed while it woke up: that wins */
	if (won && *ret_code != 0)
		kci_waiter_await(waiter);
	if (won)
		kci_choice_finish(&s->choice, won);
	return won;
}

/* What is to be done after a look at clauses that are all local or timers: NULL with KC_EAGAIN, and
 * all are to be tried again. */
static inline struct kc_clause *__attribute__((always_inline))
act_on(struct kci_select *s, enum kci_sat look, struct kc_clause *ready, uint64_t now,
       uint64_t deadline, int *ret_code)
{
	struct kc_clause *won;

	*ret_code = KC_EAGAIN;
	if (look == KCI_READY && try_clause(s, ready, now, /* ask= */ false))
		return ready;
	if (look != KCI_SAT) {
		won = try_all(s, now);
		if (won || s->tries)
			return won;
		kci_choice_begin(&s->choice);
		if (!kci_local_sit(s))
			return NULL;
	} else if (s->tries) {
		return NULL;
	}
	return wait_seated(s, earliest(s, deadline), ret_code);
}

static struct kc_clause *once_local(struct kci_select *s, uint64_t deadline, int *ret_code)
{
	uint64_t now = s->n_timers > 0 ? kci_clock_now() : 0;
	struct kc_clause *ready = NULL;
	enum kci_sat look = kci_local_look(s, now, &ready);

	return act_on(s, look, ready, now, deadline, ret_code);
}

static struct kc_clause *once_remote(struct kci_select *s, uint64_t deadline, int *ret_code)
{
	uint64_t now = s->n_timers > 0 ? kci_clock_now() : 0;
	struct kc_clause *won = try_all(s, now);

	*ret_code = KC_EAGAIN;
	kci_choice_begin(&s->choice);
	/* who only wants to know has asked nobody yet */
	if (won || (s->tries && !s->choice.probe))
		return won;
	won = s->remote->ch->ops->select->wait(s, earliest(s, deadline), ret_code);
	/* it may have been on its way to a clause when that was asked */
	return won || !s->tries ? won : try_all(s, now);
}

/* `won` and `r` are what came of the first time. */
static int run_on(struct kci_select *s, uint64_t deadline, struct kc_clause *won, int r)
{
	while (!won) {
		if (s->tries)
			return KC_EAGAIN;
		/* what was ready when the time was up is tried once more; so is a timer */
		if (r == KC_ETIME && kci_deadline_left(deadline) == 0) {
			won = try_all(s, kci_clock_now());
			return won ? (int)(won - s->clauses) : KC_ETIME;
		}
		if (r != KC_EAGAIN && r != KC_ETIME)
			return r;
		won = s->n_remote > 0 ? once_remote(s, deadline, &r) : once_local(s, deadline, &r);
	}
	return (int)(won - s->clauses);
}

static inline uint64_t deadline_of(long timeout_ms)
{
	return timeout_ms > 0 ? kci_deadline_from_ms(timeout_ms) : KC_NEVER;
}

static int run(struct kci_select *s, long timeout_ms)
{
	uint64_t deadline = deadline_of(timeout_ms);
	struct kc_clause *won;
	int r;

	won = s->n_remote > 0 ? once_remote(s, deadline, &r) : once_local(s, deadline, &r);
	return run_on(s, deadline, won, r);
}

static bool never_ends(const struct kci_select *s, long timeout_ms)
{
	return s->n_active == 0 && timeout_ms < 0 && !s->token;
}

/* Whoever asks others may be away for long between two looks at a channel. */
static int run_remote(struct kci_select *s, long timeout_ms)
{
	int r;

	for (size_t i = 0; i < s->n; i++)
		if (kci_clause_has_channel(&s->clauses[i]))
			(void)!kci_chan_enter(s->clauses[i].ch); /* checked before */
	r = run(s, timeout_ms);
	for (size_t i = 0; i < s->n; i++)
		if (kci_clause_has_channel(&s->clauses[i]))
			kci_chan_leave(s->clauses[i].ch);
	/* words of what was tried in vain; those of the clause's own failure stay */
	if (r >= 0 && s->clauses[r].result == 0)
		kci_detail_clear();
	else if (r >= 0)
		(void)kci_result(s->clauses[r].result);
	return r;
}

int kc_select(struct kc_clause *clauses, size_t n, unsigned flags, long timeout_ms,
	      kc_cancel_t *token)
{
	static struct kc_clause none;
	enum kci_sat look = KCI_NOT_OURS;
	struct kc_clause *ready = NULL;
	struct kci_select s;
	int r;

	if ((!clauses && n > 0) || n > KC_SELECT_MAX)
		return (int)kci_result(kci_fail(KC_EINVAL, "%zu clauses; at most %u", n,
						KC_SELECT_MAX));
	if (flags & ~FLAGS)
		return (int)kci_result(kci_fail(KC_EINVAL, "flags %#x: unknown", flags));
	/* to count from; there need be no array where there is no clause */
	s.clauses = n > 0 ? clauses : &none;
	s.n = n;
	s.n_remote = 0;
	s.n_timers = 0;
	s.n_descs = 0;
	s.flags = flags;
	s.tries = timeout_ms == 0;
	s.seen = false;
	s.token = token;
	s.choice.probe = flags & KC_SELECT_READY;
	if (n > 0 && (!token || kci_cancel_check(token) == 0))
		look = kci_local_look_unchecked(&s, &ready);
	/* the commonest case goes through no more than it needs */
	if (look == KCI_READY && s.seen && kci_local_try_clause(&s, ready))
		return (int)(ready - s.clauses);
	r = s.seen ? 0 : check_clauses(&s);
	if (r == 0 && look != KCI_NOT_OURS && s.n_remote + s.n_timers + s.n_descs == 0) {
		uint64_t deadline = deadline_of(timeout_ms);
		struct kc_clause *won = act_on(&s, look, ready, 0, deadline, &r);

		return (int)kci_result(run_on(&s, deadline, won, r));
	}
	if (r == 0)
		r = kci_cancel_check(token);
	if (r == 0 && never_ends(&s, timeout_ms))
		r = kci_fail(KC_EINVAL, "all clauses are off, and nothing else would end it");
	if (r == 0)
		r = s.n_remote > 0 ? run_remote(&s, timeout_ms) : run(&s, timeout_ms);
	if (s.n_descs > 0)
		kci_local_clauses_done(&s);
	return (int)kci_result(r);
}
