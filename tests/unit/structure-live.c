/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random trees of scopes, jobs, producers and actors in a deterministic scheduler: they fail, are
 * cancelled, have deadlines, launch more; everything is noted. A seed decides all of it, the order
 * of the coroutines included.
 */
#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"
#include "tests/unit/structure.h"

#define DEPTH_MAX 3

struct live {
	kc_scope_t *scope; /* NULL once destroyed */
	kc_job_t *job;	   /* kept until all is over */
	kc_actor_t *actor;
	kc_chan_t *product;
	int depth;
	int process_left; /* actors: elements until it ends with result */
	int result;
};

static struct {
	struct history h; /* what is told of it */
	struct live live[NODES_MAX];
	uint64_t random;
	kc_sched_t *sched;
	kc_chan_t *never; /* nothing ever comes from it */
	bool over;	  /* the roots have ended */
	int broken;	  /* a call gave what it must not: the line */
} w;

static unsigned draw(unsigned n)
{
	return (unsigned)(kct_random(&w.random) % n);
}

static void note(enum event_kind kind, int node, long a, long b, long c)
{
	if (w.h.n_events == EVENTS_MAX) {
		w.broken = __LINE__;
		return;
	}
	w.h.events[w.h.n_events++] = (struct event){
		.kind = kind,
		.node = node,
		.a = a,
		.b = b,
		.c = c,
		.ms = kc_sched_now() / KC_NS_PER_MS,
	};
}

static void must(int line, long r, long want)
{
	if (r != want && !w.broken)
		w.broken = line;
}
#define MUST(call, want) must(__LINE__, (call), (want))

static int node_new(enum node_kind kind, int scope, int above, int depth)
{
	int i = w.h.n_nodes++;

	w.h.nodes[i] = (struct node){ .kind = kind, .scope = scope, .above = above };
	w.live[i] = (struct live){ .depth = depth };
	return i;
}

static bool room(void)
{
	return w.h.n_nodes < NODES_MAX - 8;
}

static bool is_below(int node, int top)
{
	while (node >= 0 && node != top)
		node = w.h.nodes[node].above;
	return node == top;
}

static void look(int i)
{
	if (w.live[i].scope)
		note(STATE, i, kc_scope_state(w.live[i].scope), 0, 0);
	else if (w.live[i].job)
		note(STATE, i, kc_job_state(w.live[i].job), 0, 0);
}

static void cancel(int top)
{
	look(top);
	note(CANCEL, top, 0, 0, 0);
	if (w.live[top].scope)
		kc_scope_cancel(w.live[top].scope, draw(2) ? 77 : 0);
	else
		kc_job_cancel(w.live[top].job, draw(2) ? 78 : 0);
	note(CANCELLED, top, 0, 0, 0);
	for (int i = 0; i < w.h.n_nodes; i++) {
		if (!is_below(i, top))
			continue;
		if (w.live[i].scope)
			note(TOKEN, i, kc_cancel_is_set(kc_scope_token(w.live[i].scope)), 0, 0);
		else if (w.live[i].job)
			note(TOKEN, i, kc_cancel_is_set(kc_job_token(w.live[i].job)), 0, 0);
	}
}

/* ---- what runs --------------------------------------------------------------- */

static void scope_live(int scope, kc_job_t *self);
static void child_new(int scope, kc_job_t *self);
static int scope_new(int parent, int above, int depth, kc_cancel_t *token);

static long leave(int node, kc_job_t *self, long result)
{
	note(RETURNED, node, result, kc_job_state(self), 0);
	return result;
}

static long some_result(void)
{
	return draw(3) ? (long)draw(3) : -(long)(200 + draw(50));
}

/* A scope of its own: below the one it is in, or only below its token. */
static long with_scope(int node, kc_job_t *self)
{
	const struct node *n = &w.h.nodes[node];
	bool nested = n->scope >= 0 && draw(3);
	int scope = scope_new(nested ? n->scope : -1, nested ? n->scope : node,
			      w.live[node].depth + 1, nested ? NULL : kc_job_token(self));

	if (scope < 0)
		return KC_ECANCELED;
	w.h.nodes[node].waits = nested;
	scope_live(scope, self);
	return draw(4) ? 0 : some_result();
}

static long job_main(kc_job_t *self, void *arg)
{
	int node = (int)(intptr_t)arg;
	const struct node *n = &w.h.nodes[node];
	long ms = (long)draw(40);
	uint64_t v;
	long r;

	switch (draw(w.live[node].depth < DEPTH_MAX && room() ? 9 : 6)) {
	case 0: /* waits for what never comes, perhaps for much longer than all the others */
		r = kc_chan_recv_c(w.never, &v, draw(2) ? 20 : LONG_WAIT_MS, kc_job_token(self));
		if (r == KC_ETIME)
			r = 0;
		break;
	case 1: /* deaf */
		MUST(kc_sleep_ms(ms), 0);
		r = some_result();
		break;
	case 2: /* cancels somebody */
		r = kc_sleep_ms_c(ms, kc_job_token(self));
		for (unsigned i = 0; i < 4; i++) {
			int who = (int)draw((unsigned)w.h.n_nodes);

			if (w.live[who].scope || w.live[who].job) {
				cancel(who);
				break;
			}
		}
		break;
	case 3: /* launches siblings */
		r = kc_sleep_ms_c(ms, kc_job_token(self));
		if (n->scope >= 0 && room())
			child_new(n->scope, self);
		break;
	case 4:
	case 5:
		r = kc_sleep_ms_c(ms, kc_job_token(self));
		if (r == 0)
			r = some_result();
		break;
	default:
		r = with_scope(node, self);
		break;
	}
	return leave(node, self, r);
}

static long produce(kc_job_t *self, kc_chan_t *ch, void *arg)
{
	int node = (int)(intptr_t)arg;
	long r = 0;

	for (uint64_t v = 0; v < 4 && r == 0; v++) {
		r = kc_sleep_ms_c((long)draw(10), kc_job_token(self));
		if (r == 0)
			r = kc_chan_send_c(ch, &v, -1, kc_job_token(self));
	}
	return leave(node, self, r == 0 && !draw(6) ? -99 : r);
}

static int process(const void *msg, size_t len, void *user)
{
	struct live *l = user;

	(void)msg;
	(void)len;
	return --l->process_left > 0 ? 0 : l->result;
}

static void on_done(kc_actor_t *actor, int result, void *arg)
{
	(void)actor;
	note(RETURNED, (int)(intptr_t)arg, result, 0, 0);
}

static long close_late(kc_job_t *self, void *arg)
{
	int node = (int)(intptr_t)arg, actor = node - 1;
	long r = kc_sleep_ms_c((long)draw(60), kc_job_token(self));

	MUST(kc_chan_close(kc_actor_mailbox(w.live[actor].actor)), 0);
	return leave(node, self, r);
}

/* The actor ends by an element, by a close, or with its scope. */
static int actor_new(int scope)
{
	struct kc_chan_options box = KC_CHAN_OPTIONS_INIT;
	struct kc_restart_options again = KC_RESTART_OPTIONS_INIT;
	int node = node_new(AN_ACTOR, scope, scope, 0), closer, r;
	struct live *l = &w.live[node];
	struct kc_actor_ctx ctx = {
		.timeout_ms = draw(2) ? -1 : 5,
		.process = process,
		.user = l,
		.sched = w.sched,
		.mailbox = &box,
		.restart = &again,
	};
	uint64_t v = 0;

	box.elem_size = sizeof(v);
	box.capacity = 8;
	again.policy = (enum kc_restart)draw(3);
	again.max_restarts = 1 + draw(3);
	again.window_ms = (long)draw(30);
	again.backoff_ms = (long)draw(20);
	l->process_left = 1 + (int)draw(4);
	l->result = draw(3) ? 1 : -(200 + (int)draw(50));
	r = kc_scope_actor(w.live[scope].scope, &ctx, &l->actor);
	if (r < 0)
		return r;
	note(BEGUN, node, 0, 0, 0);
	MUST(kc_actor_on_done(l->actor, on_done, (void *)(intptr_t)node), 0);
	for (unsigned i = draw(8); i > 0; i--)
		MUST(kc_chan_send(kc_actor_mailbox(l->actor), &v, 0), 0);
	closer = node_new(A_JOB, scope, scope, 0);
	r = kc_scope_launch(w.live[scope].scope, close_late, (void *)(intptr_t)closer,
			    &w.live[closer].job);
	MUST(r, 0);
	note(BEGUN, closer, 0, 0, 0);
	return 0;
}

static void child_new(int scope, kc_job_t *self)
{
	int depth = w.live[scope].depth, node, r;
	kc_scope_t *s = w.live[scope].scope;
	void *arg;

	(void)self;
	switch (draw(8)) {
	case 0:
		r = actor_new(scope);
		break;
	case 1:
		node = node_new(A_PRODUCER, scope, scope, depth);
		r = kc_scope_produce(s, KC_BUFFERED, sizeof(uint64_t), 4, produce,
				     (void *)(intptr_t)node, &w.live[node].product);
		if (r == 0)
			note(BEGUN, node, 0, 0, 0);
		break;
	case 2: /* nobody waits for this one */
		node = node_new(A_JOB, -1, scope, depth);
		r = kc_job_launch(&w.live[node].job, w.sched, kc_scope_token(s), job_main,
				  (void *)(intptr_t)node);
		note(BEGUN, node, 0, 0, 0);
		break;
	default:
		node = node_new(A_JOB, scope, scope, depth);
		arg = (void *)(intptr_t)node;
		r = kc_scope_launch(s, job_main, arg, &w.live[node].job);
		if (r == 0)
			note(BEGUN, node, 0, 0, 0);
		break;
	}
	if (r < 0)
		MUST(r, KC_ECANCELED);
}

static int scope_new(int parent, int above, int depth, kc_cancel_t *token)
{
	struct kc_scope_options o = KC_SCOPE_OPTIONS_INIT;
	int node = node_new(A_SCOPE, parent, above, depth), r;
	struct node *n = &w.h.nodes[node];

	n->supervisor = !draw(3);
	n->deadline_ms = draw(4) ? 0 : 1 + (long)draw(50);
	o.parent = parent >= 0 ? w.live[parent].scope : NULL;
	o.token = token;
	o.sched = w.sched;
	o.flags = n->supervisor ? KC_SCOPE_SUPERVISOR : 0;
	o.deadline_ms = n->deadline_ms;
	r = kc_scope_init_ex(&w.live[node].scope, &o);
	if (r < 0) {
		MUST(r, KC_ECANCELED);
		return -1;
	}
	note(BEGUN, node, 0, 0, 0);
	return node;
}

/* Everything about the children of a scope whose end has been waited for. */
static void look_below(int scope)
{
	for (int i = 0; i < w.h.n_nodes; i++) {
		struct live *l = &w.live[i];
		uint64_t v;
		int r;

		if (w.h.nodes[i].scope != scope)
			continue;
		look(i);
		if (l->job)
			note(RESULT, i, kc_job_result(l->job), 0, 0);
		if (l->product) {
			while ((r = kc_chan_try_recv(l->product, &v)) == 0)
				;
			note(PRODUCT, i, r, 0, 0);
			kc_chan_destroy(KC_STEAL(l->product));
		}
	}
}

/* Fills a scope, sees it to its end, destroys it. self: the job that does so, if any. */
static void scope_live(int scope, kc_job_t *self)
{
	kc_scope_t *s = w.live[scope].scope;
	int r;

	for (unsigned n = 1 + draw(5); n > 0 && room(); n--)
		child_new(scope, self);
	switch (draw(4)) {
	case 0: /* not any longer than that */
		r = kc_scope_wait_all(s, (long)draw(50));
		break;
	case 1: /* as long as itself is wanted */
		r = kc_scope_wait_all_c(s, -1, self ? kc_job_token(self) : NULL);
		break;
	case 2:
		MUST(kc_sleep_ms((long)draw(50)), 0);
		cancel(scope);
		r = kc_scope_wait_all(s, -1);
		break;
	default:
		r = kc_scope_wait_all(s, -1);
		break;
	}
	if (r < 0 && draw(2)) {
		cancel(scope);
		r = kc_scope_wait_all(s, -1);
	}
	if (r == 0) {
		look(scope);
		look_below(scope);
		note(ENDED, scope, kc_scope_state(s), kc_scope_result(s), kc_scope_reason(s));
		w.live[scope].scope = NULL;
		MUST(kc_scope_destroy(s), 0);
		return;
	}
	/* destroying does all of that */
	note(CANCEL, scope, 0, 0, 0);
	MUST(kc_scope_destroy(s), 0);
	w.live[scope].scope = NULL;
	look_below(scope);
	note(ENDED, scope, -1, 0, 0);
}

static long root_main(void *arg)
{
	int scope = scope_new(-1, -1, 0, NULL);

	(void)arg;
	scope_live(scope, NULL);
	w.over = true;
	return 0;
}

/* Sees what others see in between. */
static long observe(void *arg)
{
	(void)arg;
	for (unsigned turn = 1; !w.over; turn++) {
		for (int i = 0; i < w.h.n_nodes && w.h.n_events < EVENTS_MAX / 2; i++)
			look(i);
		MUST(kc_sleep_ms(1 + (long)draw(turn)), 0);
	}
	return 0;
}

struct history *structure_live(uint64_t seed, int *ret_broken)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;

	w.h.n_nodes = w.h.n_events = 0;
	w.random = seed;
	w.over = false;
	w.broken = 0;
	o.flags = KC_SCHED_DETERMINISTIC;
	o.seed = seed;
	assert_int_equal(kc_sched_create(&w.sched, &o), 0);
	assert_int_equal(kc_chan_make(&w.never, KC_RENDEZVOUS, sizeof(uint64_t), 0), 0);
	assert_int_equal(kc_spawn(NULL, w.sched, root_main, NULL), 0);
	assert_int_equal(kc_spawn(NULL, w.sched, observe, NULL), 0);
	if (kc_sched_run(w.sched) != 0)
		w.broken = __LINE__;
	*ret_broken = w.broken;
	return &w.h;
}

void structure_end(void)
{
	for (int i = 0; i < w.h.n_nodes; i++) {
		look(i);
		kc_job_release(w.live[i].job);
		if (w.live[i].actor)
			(void)kc_actor_stop(w.live[i].actor);
	}
	kc_chan_destroy(w.never);
	assert_int_equal(kc_sched_destroy(w.sched), 0);
}
