/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checking of kc_chan_options, the same for every placement.
 */
#ifndef KCI_OPTIONS_H
#define KCI_OPTIONS_H

#include "kcoro/chan.h"

/* Check what does not depend on the placement and fill in the defaults: *ret has
 * max_msg, max_bytes and mode set as they will be in force (max_bytes stays 0 where
 * nothing is bounded by bytes). 0 or KC_EINVAL; the detail names the option. */
int kci_options_check(const struct kc_chan_options *opts, struct kc_chan_options *ret);

#endif
