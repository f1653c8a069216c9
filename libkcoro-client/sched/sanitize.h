/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the sanitizers and valgrind are told about stacks and switches, through the
 * hooks they publish; nothing in a build without them.
 */
#ifndef KCI_SANITIZE_H
#define KCI_SANITIZE_H

#include <stddef.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define KCI_ASAN 1
#else
#define KCI_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define KCI_TSAN 1
#else
#define KCI_TSAN 0
#endif

#if KCI_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define KCI_ASAN_UNPOISON(at, size) __asan_unpoison_memory_region((at), (size))
#else
#define KCI_ASAN_UNPOISON(at, size) ((void)(at), (void)(size))
#endif

#if KCI_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#ifdef HAVE_VALGRIND_VALGRIND_H
#include <valgrind/valgrind.h>
#define KCI_VALGRIND_REGISTER(low, high) VALGRIND_STACK_REGISTER((low), (high))
#define KCI_VALGRIND_DEREGISTER(id)	 VALGRIND_STACK_DEREGISTER(id)
#else
#define KCI_VALGRIND_REGISTER(low, high) ((void)(low), (void)(high), 0u)
#define KCI_VALGRIND_DEREGISTER(id)	 ((void)(id))
#endif

/* Always: ThreadSanitizer counts calls and returns per context, and a switch within a
 * function of its own would return in another one. */
#define KCI_FIBER_INLINE static inline __attribute__((always_inline))

/* What one context needs for it; of a coroutine, or of the thread a worker began on. */
struct kci_fiber {
#if KCI_ASAN
	void *fake;	    /* its fake frames, while it is away */
	const void *bottom; /* its stack */
	size_t size;
#endif
#if KCI_TSAN
	void *tsan;
#endif
	char unused; /* an empty struct is no C */
};

/* A coroutine's, with its stack. */
KCI_FIBER_INLINE void kci_fiber_make(struct kci_fiber *f, const void *bottom, size_t size)
{
#if KCI_ASAN
	f->fake = NULL;
	f->bottom = bottom;
	f->size = size;
#endif
#if KCI_TSAN
	f->tsan = __tsan_create_fiber(0);
#endif
	(void)f;
	(void)bottom;
	(void)size;
}

KCI_FIBER_INLINE void kci_fiber_done(struct kci_fiber *f)
{
#if KCI_TSAN
	__tsan_destroy_fiber(f->tsan);
#endif
	(void)f;
}

/* The running thread's own: its stack becomes known at the first kci_fiber_enter(). */
KCI_FIBER_INLINE void kci_fiber_adopt(struct kci_fiber *f)
{
#if KCI_TSAN
	f->tsan = __tsan_get_current_fiber();
#endif
	(void)f;
}

/* Just before a switch; ends: from will never come back. */
KCI_FIBER_INLINE void kci_fiber_leave(struct kci_fiber *from, struct kci_fiber *to, int ends)
{
#if KCI_ASAN
	__sanitizer_start_switch_fiber(ends ? NULL : &from->fake, to->bottom, to->size);
#endif
#if KCI_TSAN
	__tsan_switch_to_fiber(to->tsan, 0);
#endif
	(void)from;
	(void)to;
	(void)ends;
}

/* Just after one: self is running now, origin is where the worker's thread began. */
KCI_FIBER_INLINE void kci_fiber_enter(struct kci_fiber *self, struct kci_fiber *origin,
				      int from_origin)
{
#if KCI_ASAN
	const void *bottom;
	size_t size;

	__sanitizer_finish_switch_fiber(self->fake, &bottom, &size);
	if (from_origin) {
		origin->bottom = bottom;
		origin->size = size;
	}
#endif
	(void)self;
	(void)origin;
	(void)from_origin;
}

#endif
