/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of scopes share. */
#include "tests/unit/scope-child.h"

kc_scope_t *scope_make(kc_scope_t *parent, unsigned flags, kc_sched_t *sched)
{
	struct kc_scope_options o = KC_SCOPE_OPTIONS_INIT;
	kc_scope_t *s = NULL;

	o.parent = parent;
	o.flags = flags;
	o.sched = sched;
	assert_int_equal(kc_scope_init_ex(&s, &o), 0);
	return s;
}

kc_sched_t *sched_make(void)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_sched_t *s = NULL;

	o.flags = KC_SCHED_DETERMINISTIC;
	o.seed = 1;
	assert_int_equal(kc_sched_create(&s, &o), 0);
	return s;
}

long child(kc_job_t *self, void *arg)
{
	struct child *c = arg;
	uint64_t v;
	int r = kc_chan_recv_c(c->gate, &v, -1, kc_job_token(self));

	c->ends++;
	return r == KC_EPIPE ? c->result : r;
}

void child_init(struct child *c, long result)
{
	*c = (struct child){ .result = result };
	assert_int_equal(kc_chan_make(&c->gate, KC_RENDEZVOUS, sizeof(uint64_t), 0), 0);
}

kc_job_t *scope_launch(kc_scope_t *scope, kc_job_fn fn, void *arg)
{
	kc_job_t *job = NULL;

	assert_int_equal(kc_scope_launch(scope, fn, arg, &job), 0);
	return job;
}

long give(kc_job_t *self, void *arg)
{
	(void)self;
	return *(long *)arg;
}

void job_expect(kc_job_t *job, int state, long result, long reason)
{
	assert_int_equal(kc_job_state(job), state);
	assert_int_equal(kc_job_result(job), result);
	assert_int_equal(kc_job_reason(job), reason);
	kc_job_release(job);
}

void scope_expect(kc_scope_t *scope, int state, long result, long reason)
{
	assert_int_equal(kc_scope_state(scope), state);
	assert_int_equal(kc_scope_result(scope), result);
	assert_int_equal(kc_scope_reason(scope), reason);
}
