/* SPDX-License-Identifier: BSD-3-Clause */
/* CHAN_MAP. */
#include <fcntl.h>
#include <unistd.h>

#include "kcorod/dispatch.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/tlv.h"

/* A cursor for the attachment, in the session's page, which is made for the first. */
static struct kcp_cursor *find_cursor(struct kcd_call *call)
{
	struct kcd_session *session = call->session;
	struct kcp_cursor *cursor = call->att->attach.cursor;

	if (cursor)
		return cursor;
	if (!session->page)
		session->page = kcd_page_new();
	cursor = session->page ? kcd_page_take(session->page) : NULL;
	if (cursor)
		kcd_attach_cursor(&call->att->attach, cursor);
	return cursor;
}

void kcd_do_chan_map(struct kcd_call *call)
{
	struct kcp_cursor *cursor = find_cursor(call);
	struct kcd_page *page = call->session->page;
	struct kcp_buf *buf;
	int fd;

	if (!cursor) {
		kcd_call_reply(call, page ? KC_EDQUOT : KC_ENOMEM,
			       page ? "a session has 64 cursors" : "no memory to share");
		return;
	}
	fd = fcntl(page->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0) {
		kcd_call_reply(call, KC_ENOMEM, "kcorod has no descriptor left");
		return;
	}
	buf = kcd_call_begin(call, 0);
	kcp_put_u32(buf, KCP_T_OFFSET, kcd_page_offset(page, cursor));
	if (buf->failed || kcd_conn_pass(call->conn, fd) < 0) {
		close(fd);
		kcd_call_reply(call, KC_ENOMEM, "too many descriptors wait to be read");
		return;
	}
	kcd_call_end(call);
	kcd_window_open(&call->att->attach, (uint32_t)kcp_num(call->args, KCP_T_WINDOW, 0));
}
