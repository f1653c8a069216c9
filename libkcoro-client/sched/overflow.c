/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reporter of overflows: a handler that runs on a stack of its own, says in one
 * line which coroutine has used up its stack, and leaves the rest to whoever had the
 * signal before.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/sched/engine.h"

/* What the kernel writes for a signal takes some kilobytes with large vectors; the
 * handler that was there before runs here too. */
#define SIGNAL_STACK 65536u

static const int faults[] = { SIGSEGV, SIGBUS };
static struct sigaction before[KC_ARRAY_SIZE(faults)];
static _Atomic bool installed;

struct line {
	char text[256];
	size_t n;
};

static void add(struct line *l, const char *text)
{
	size_t n = strlen(text);

	if (n > sizeof(l->text) - l->n)
		n = sizeof(l->text) - l->n;
	memcpy(l->text + l->n, text, n);
	l->n += n;
}

static void add_number(struct line *l, size_t number)
{
	char digits[24];
	char *at = digits + sizeof(digits) - 1;

	*at = '\0';
	do
		*--at = (char)('0' + number % 10);
	while (number /= 10);
	add(l, at);
}

static void report(const struct kc_coro *co)
{
	struct line l = { .n = 0 };

	add(&l, "kcoro: stack overflow: coroutine \"");
	add(&l, co->named ? co->name : "");
	add(&l, "\" has used up its stack of ");
	add_number(&l, co->sched->stacks.size);
	add(&l, " bytes (kc_sched_options.stack_size)\n");
	(void)!write(STDERR_FILENO, l.text, l.n);
}

static bool is_overflow(const struct kc_coro *co, const void *at)
{
	const char *bottom = kci_stack_bottom(&co->sched->stacks, co->stack);

	return (const char *)at < bottom && (const char *)at >= bottom - co->sched->stacks.page;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	const struct sigaction *old = &before[sig == SIGSEGV ? 0 : 1];
	const struct kc_coro *co;
	int saved = errno;

	co = kci_coro_current();
	if (co && is_overflow(co, info->si_addr))
		report(co);
	errno = saved;
	if (old->sa_flags & SA_SIGINFO)
		old->sa_sigaction(sig, info, context);
	else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN)
		old->sa_handler(sig);
	else
		/* the instruction faults again, and then nobody is asked */
		(void)sigaction(sig, old, NULL);
}

int kc_sched_report_overflow(void)
{
	struct sigaction act = { .sa_flags = SA_SIGINFO | SA_ONSTACK };

	if (atomic_exchange(&installed, true))
		return (int)kci_result(kci_fail(KC_EEXIST, "it is installed already"));
	act.sa_sigaction = on_fault;
	(void)sigemptyset(&act.sa_mask);
	for (size_t i = 0; i < KC_ARRAY_SIZE(faults); i++)
		if (sigaction(faults[i], &act, &before[i]) < 0)
			return (int)kci_result(
				kci_fail(KC_ENOMEM, "sigaction: %s", strerror(errno)));
	return 0;
}

int kci_overflow_prepare(struct kci_worker *w)
{
	if (!atomic_load(&installed))
		return 0;
	w->signal_stack = KC_ALLOC(SIGNAL_STACK);
	return w->signal_stack ? 0 : KC_ENOMEM;
}

void kci_overflow_enter(struct kci_worker *w)
{
	stack_t st = { .ss_sp = w->signal_stack, .ss_size = SIGNAL_STACK };

	/* fails only on such a stack, where no worker begins */
	if (w->signal_stack)
		(void)sigaltstack(&st, &w->signal_before);
}

void kci_overflow_leave(struct kci_worker *w)
{
	if (w->signal_stack)
		(void)sigaltstack(&w->signal_before, NULL);
	KC_FREE(KC_STEAL(w->signal_stack));
}
