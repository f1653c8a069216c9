/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cursors: see cursor.h.
 */
#include "libkcoro-client/ipc/cursor.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/ipc/chan-socket.h"

/* The first descriptor is mapped; later ones are of the same memory. */
static int page_map(kc_ipc_conn_t *conn, int fd)
{
	struct stat st;
	void *at;

	if (conn->page)
		return 0;
	/* beyond the end of a file there would be SIGBUS */
	if (fstat(fd, &st) < 0 || st.st_size < (off_t)KCP_PAGE_SIZE)
		return KC_EPROTO;
	at = mmap(NULL, KCP_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return KC_ENOMEM;
	/* a child has no part in the session */
	(void)madvise(at, KCP_PAGE_SIZE, MADV_DONTFORK);
	conn->page = at;
	return 0;
}

static int on_mapped(struct kci_call *call, struct kcp_args *args, int code)
{
	struct kci_schan *sc = call->arg;
	uint64_t offset = kcp_num(args, KCP_T_OFFSET, 0);
	int fd, r;

	if (code < 0)
		return 0;
	if (offset > KCP_PAGE_SIZE - sizeof(struct kcp_cursor) ||
	    offset % sizeof(struct kcp_cursor))
		return KC_EPROTO;
	fd = kcp_stream_fd(&call->conn->stream);
	if (fd < 0)
		return KC_ENOMEM;
	r = page_map(call->conn, fd);
	(void)close(fd);
	if (r == 0)
		sc->cursor = &call->conn->page[offset / sizeof(struct kcp_cursor)];
	return r;
}

void kci_cursor_map(struct kci_schan *sc, uint32_t window)
{
	kc_ipc_conn_t *conn = sc->conn;
	int saved = kci_conn_lock_fd(conn);
	struct kci_call call;

	kci_call_init(&call, conn, KCP_CHAN_MAP);
	kcp_put_u32(&call.head, KCP_T_ATTACH, sc->attach);
	if (window)
		kcp_put_u32(&call.head, KCP_T_WINDOW, window);
	call.on_reply = on_mapped;
	call.arg = sc;
	(void)kci_call_run_fd(&call);
	kci_call_done(&call);
	kci_detail_clear();
	kci_conn_unlock_fd(conn, saved);
}

void kci_page_done(kc_ipc_conn_t *conn)
{
	if (conn->page)
		(void)munmap(conn->page, KCP_PAGE_SIZE);
}

void kci_cursor_back(struct kci_schan *sc)
{
	if (sc->cursor)
		atomic_store_explicit(&sc->cursor->before, sc->taken, memory_order_release);
}

bool kci_cursor_taken(struct kci_schan *sc, uint64_t n)
{
	uint64_t last;

	kci_ahead_prune(&sc->ahead, sc->conn->answered);
	/* What was given back lies below what is taken now: kcorod has to have read of that
	 * before it reads the cursor. */
	if (!sc->cursor || sc->lease || sc->ahead.n_back > 0 ||
	    !kci_ahead_last_given(&sc->ahead, n, &last))
		return false;
	sc->taken = last;
	atomic_store_explicit(&sc->cursor->taken, last, memory_order_release);
	/* kcorod writes `listen` and then reads `taken`: either it sees this, or we that */
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(&sc->cursor->listen, memory_order_relaxed) == 0;
}
