/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Allocation, with one hook so that tests can make the Nth one fail.
 */
#include "libkcoro-client/port/kcoro_port.h"

#include <limits.h>
#include <malloc.h>
#include <stdlib.h>

static _Atomic(kci_alloc_hook_fn) alloc_hook;

void kci_alloc_set_hook(kci_alloc_hook_fn hook)
{
	atomic_store(&alloc_hook, hook);
}

static bool must_fail(size_t size)
{
	kci_alloc_hook_fn hook = atomic_load_explicit(&alloc_hook, memory_order_acquire);

	return hook && hook(size);
}

void *kci_alloc(size_t size)
{
	return must_fail(size) ? NULL : malloc(size);
}

void *kci_calloc(size_t n, size_t size)
{
	size_t bytes;

	/* calloc() would see the overflow as well, but a sanitizer's ends the process */
	if (__builtin_mul_overflow(n, size, &bytes) || must_fail(bytes))
		return NULL;
	return calloc(n, size);
}

void *kci_realloc(void *ptr, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes) || must_fail(bytes))
		return NULL;
	/* never 0: realloc(ptr, 0) would free */
	return realloc(ptr, bytes ? bytes : 1);
}

void kci_free(void *ptr)
{
	free(ptr);
}

void kci_memory_trim(void)
{
	(void)malloc_trim(0);
}

void kci_freep(void *ptr_to_ptr)
{
	free(*(void **)ptr_to_ptr);
}

void kci_memory_keep(size_t bytes)
{
	/* what mallopt() refuses stays as it was, which is only slower */
	(void)mallopt(M_MMAP_THRESHOLD, 16 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, bytes > INT_MAX ? INT_MAX : (int)bytes);
}
