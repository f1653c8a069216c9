/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which process is this?
 *
 * getpid() costs a system call and repeats itself, pthread_atfork() misses a raw
 * clone. So the identity lies in a page that the kernel hands to a child as
 * zeros (MADV_WIPEONFORK): whoever finds 0 there is a new process and takes the
 * next number. The counter behind it is ordinary memory and goes through forks,
 * so a child's number is higher than that of any ancestor; cousins may share
 * one, but neither can hold an object of the other.
 *
 * No lock and no pthread_once: a fork may come while another thread is in here.
 * Where the kernel refuses the advice a pthread_atfork() handler wipes the page.
 */
#include "libkcoro-client/port/kcoro_port.h"

#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

_Atomic(_Atomic uint64_t *) kci_process_page;
static _Atomic uint64_t id_last;

/* Only where there is no page at all (no memory for one): the identity itself. */
static _Atomic uint64_t id_plain;

static void wipe_in_child(void)
{
	_Atomic uint64_t *page = atomic_load(&kci_process_page);

	if (page)
		atomic_store(page, 0);
}

static _Atomic uint64_t *page_get(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	_Atomic uint64_t *expected = NULL;
	_Atomic uint64_t *page;

	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED) {
		page = &id_plain;
		(void)pthread_atfork(NULL, NULL, wipe_in_child);
	} else if (madvise(page, size, MADV_WIPEONFORK) < 0) {
		(void)pthread_atfork(NULL, NULL, wipe_in_child);
	}
	if (!atomic_compare_exchange_strong(&kci_process_page, &expected, page)) {
		if (page != &id_plain)
			(void)munmap(page, size);
		page = expected;
	}
	return page;
}

uint64_t kci_process_id(void)
{
	_Atomic uint64_t *page = atomic_load_explicit(&kci_process_page, memory_order_acquire);
	uint64_t id, next;

	if (!page)
		page = page_get();
	id = atomic_load_explicit(page, memory_order_relaxed);
	if (id)
		return id;
	next = atomic_fetch_add(&id_last, 1) + 1;
	/* on failure id becomes what a faster thread took */
	return atomic_compare_exchange_strong(page, &id, next) ? next : id;
}
