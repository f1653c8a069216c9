/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lines of TAP, for programs that are no CMocka tests.
 */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>

/* A case that passes if what it says holds. */
__attribute__((format(printf, 2, 3))) void claim(bool holds, const char *fmt, ...);

/* It makes no sense to go on; code is one of KC_E*, or 0. */
__attribute__((noreturn)) void bail(const char *what, int code);

/* The plan; the exit status. */
int claims_end(void);

#endif
