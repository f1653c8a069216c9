/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Traces to standard error, asked for with KCORO_DEBUG=ipc (or "all", or a list
 * with commas). Without it a trace costs one load.
 */
#ifndef KCI_DEBUG_H
#define KCI_DEBUG_H

#include <stdbool.h>

bool kci_debug_on(void);
void kci_debug_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define KCI_DEBUG(...)                                                                             \
	do {                                                                                       \
		if (kci_debug_on())                                                                \
			kci_debug_print(__VA_ARGS__);                                              \
	} while (0)

#endif
