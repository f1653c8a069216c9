/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether an actor that ended runs again, and when: arithmetic on the times of its last restarts.
 * Its owner tells the time and does the waiting.
 */
#ifndef KCI_SUPERVISOR_H
#define KCI_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "kcoro/actor.h"

struct kci_supervisor {
	struct kc_restart_options how;
	uint64_t *times; /* a ring of the last how.max_restarts restarts */
	unsigned n;	 /* of them there are */
	unsigned next;	 /* place */
};

/* how may be NULL: never. 0, KC_EINVAL or KC_ENOMEM. */
int kci_supervisor_init(struct kci_supervisor *s, const struct kc_restart_options *how);
void kci_supervisor_done(struct kci_supervisor *s);

/* May one that ended, by a failure or not, run again? And after how many milliseconds? */
bool kci_supervisor_allows(const struct kci_supervisor *s, bool failed, uint64_t now,
			   long *ret_delay_ms);
/* It does run again, from now on. */
void kci_supervisor_restarted(struct kci_supervisor *s, uint64_t now);

#endif
