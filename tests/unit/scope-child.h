/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of scopes share: children that wait, and what is expected of an end.
 */
#ifndef SCOPE_CHILD_H
#define SCOPE_CHILD_H

#include "kcoro.h"
#include "tests/lib/kct.h"

kc_scope_t *scope_make(kc_scope_t *parent, unsigned flags, kc_sched_t *sched);
/* A deterministic one. */
kc_sched_t *sched_make(void);

/* Waits until the gate is closed, then gives the result, or until its token is set. */
struct child {
	kc_chan_t *gate;
	long result;
	_Atomic int ends; /* of all that use this */
};

long child(kc_job_t *self, void *arg);
void child_init(struct child *c, long result);
/* Gives *(long *)arg. */
long give(kc_job_t *self, void *arg);

kc_job_t *scope_launch(kc_scope_t *scope, kc_job_fn fn, void *arg);

/* How a job that has ended did that; the handle goes. */
void job_expect(kc_job_t *job, int state, long result, long reason);
void scope_expect(kc_scope_t *scope, int state, long result, long reason);

#endif
