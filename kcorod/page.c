/* SPDX-License-Identifier: BSD-3-Clause */
/* The page of a session: see page.h. */
#include "kcorod/page.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libkcoro-client/port/kcoro_port.h"

_Static_assert(KCP_PAGE_CURSORS == 64, "a bit for each");

/* Sealed: a client that could make it smaller could end the daemon with SIGBUS. */
static bool page_map(struct kcd_page *page)
{
	void *at;

	page->fd = memfd_create("kcoro-session", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (page->fd < 0 || ftruncate(page->fd, KCP_PAGE_SIZE) < 0 ||
	    fcntl(page->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return false;
	at = mmap(NULL, KCP_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, page->fd, 0);
	if (at == MAP_FAILED)
		return false;
	page->cursors = at;
	return true;
}

struct kcd_page *kcd_page_new(void)
{
	struct kcd_page *page = KC_CALLOC(1, sizeof(*page));

	if (!page)
		return NULL;
	return page_map(page) ? page : kcd_page_free(page);
}

struct kcd_page *kcd_page_free(struct kcd_page *page)
{
	if (!page)
		return NULL;
	if (page->cursors)
		munmap(page->cursors, KCP_PAGE_SIZE);
	if (page->fd >= 0)
		close(page->fd);
	KC_FREE(page);
	return NULL;
}

struct kcp_cursor *kcd_page_take(struct kcd_page *page)
{
	struct kcp_cursor *cursor;
	int i;

	if (page->used == UINT64_MAX)
		return NULL;
	i = __builtin_ctzll(~page->used);
	page->used |= UINT64_C(1) << i;
	cursor = &page->cursors[i];
	memset(cursor, 0, sizeof(*cursor));
	return cursor;
}

void kcd_page_give(struct kcd_page *page, struct kcp_cursor *cursor)
{
	page->used &= ~(UINT64_C(1) << (cursor - page->cursors));
}

uint32_t kcd_page_offset(const struct kcd_page *page, const struct kcp_cursor *cursor)
{
	return (uint32_t)((cursor - page->cursors) * sizeof(*cursor));
}
