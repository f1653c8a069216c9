/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The switch where there is none in assembly: swapcontext(), which also saves the
 * signal mask, by a system call each time.
 */
#include "libkcoro-client/sched/switch.h"

#include <stdint.h>
#include <ucontext.h>

#include "libkcoro-client/port/kcoro_port.h"

struct context {
	ucontext_t uc;
	void *pass;
	void (*entry)(void *pass); /* of one that has not begun */
};

void *kci_switch(void **from, void *to, void *pass)
{
	struct context self;
	struct context *other = to;

	other->pass = pass;
	*from = &self;
	/* fails only for want of memory, which it does not take */
	(void)swapcontext(&self.uc, &other->uc);
	return self.pass;
}

void kci_switch_end(void *to, void *pass)
{
	struct context *other = to;

	other->pass = pass;
	for (;;)
		(void)setcontext(&other->uc);
}

/* makecontext() hands on nothing but int */
static void start(unsigned high, unsigned low)
{
	struct context *c = (struct context *)(uintptr_t)((uint64_t)high << 32 | low);

	c->entry(c->pass);
}

void *kci_switch_make(void *top, void (*entry)(void *pass))
{
	/* it lies above the stack proper, in the room that begins below top */
	uintptr_t at = ((uintptr_t)top - sizeof(struct context)) & ~(uintptr_t)63;
	struct context *c = (struct context *)at;
	uint64_t number = at;

	c->entry = entry;
	(void)getcontext(&c->uc);
	c->uc.uc_link = NULL;
	/* makecontext() builds downwards from the end of this, and looks at nothing else */
	c->uc.uc_stack.ss_sp = (void *)(at - 4096);
	c->uc.uc_stack.ss_size = 4096;
	makecontext(&c->uc, (void (*)(void))start, 2, (unsigned)(number >> 32), (unsigned)number);
	return c;
}

bool kci_switch_usable(void)
{
	return true;
}
