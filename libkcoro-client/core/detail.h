/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The words behind kc_error_detail().
 *
 * Whoever finds the fault describes it just before returning the code; every
 * public call passes its result through kci_result() on the way out. That keeps
 * the promise that the text belongs to the last failing call, and costs nothing
 * where nothing fails.
 */
#ifndef KCI_DETAIL_H
#define KCI_DETAIL_H

/* Describe the failure that is about to be returned. */
void kci_detail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same and return code, for `return kci_fail(KC_EINVAL, "capacity %zu", n);` */
int kci_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The result of another public call is about to be returned: what that one said stands. Returns
 * code. */
int kci_pass(int code);

/* Take back what kci_detail() said: the failure was dealt with. */
void kci_detail_clear(void);

/* The way out of every public call: a failure nobody described gets "". Returns r. */
long kci_result(long r);

#endif
