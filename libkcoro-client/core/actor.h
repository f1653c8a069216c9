/* SPDX-License-Identifier: BSD-3-Clause */
/* What scopes need of actors. */
#ifndef KCI_ACTOR_H
#define KCI_ACTOR_H

#include "kcoro/types.h"

/* The scope of the actor whose function runs here; NULL: none runs, or it has none. */
kc_scope_t *kci_actor_scope(void);

#endif
