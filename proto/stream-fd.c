/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors beside the frames of a stream: PROTOCOL.md section 2.
 *
 * The kernel ties a descriptor to the first byte of the write it went out with, and a
 * read never goes past the end of that write's bytes. So a write begins where a frame
 * with a descriptor begins, and carries one; what is read up to the end of that frame
 * has brought it.
 */
#include "proto/stream-fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

/* More than one is against the protocol; with room for some, all are seen and closed. */
#define READ_FDS 4

union fd_room {
	char buf[CMSG_SPACE(READ_FDS * sizeof(int))];
	struct cmsghdr align;
};

void kcp_fds_done(struct kcp_stream *stream)
{
	kcp_stream_drop_fd(stream);
	while (stream->n_out_fds > 0)
		(void)close(stream->out_fds[--stream->n_out_fds].fd);
}

/* ---- input ----------------------------------------------------------------- */

void kcp_stream_take_fds(struct kcp_stream *stream, bool take)
{
	stream->takes_fds = take;
}

int kcp_stream_fd(struct kcp_stream *stream)
{
	if (!stream->has_fd)
		return KC_ENOENT;
	stream->has_fd = false;
	return stream->in_fd;
}

void kcp_stream_drop_fd(struct kcp_stream *stream)
{
	if (stream->has_fd)
		(void)close(stream->in_fd);
	stream->has_fd = false;
}

/* The latest one counts; whatever else came along has no frame to belong to. */
static void keep_fds(struct kcp_stream *stream, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			kcp_stream_drop_fd(stream);
			memcpy(&stream->in_fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			stream->has_fd = true;
		}
	}
}

ssize_t kcp_fds_read(struct kcp_stream *stream, struct iovec *iov)
{
	/* without room for control messages the kernel closes descriptors sent along; so it
	 * does (MSG_CTRUNC) with those the process has no number left for */
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 1 };
	union fd_room room;
	ssize_t n;

	do {
		if (!stream->takes_fds) {
			n = recv(stream->fd, iov->iov_base, iov->iov_len, MSG_DONTWAIT);
			continue;
		}
		msg.msg_control = room.buf;
		msg.msg_controllen = sizeof(room.buf);
		n = recvmsg(stream->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n >= 0 && stream->takes_fds && msg.msg_controllen > 0)
		keep_fds(stream, &msg);
	return n;
}

/* ---- output ---------------------------------------------------------------- */

int kcp_stream_pass_fd(struct kcp_stream *stream, int fd)
{
	if (stream->n_out_fds == KCP_STREAM_FDS)
		return KC_ENOMEM;
	stream->out_fds[stream->n_out_fds++] =
		(struct kcp_out_fd){ .fd = fd, .ahead = kcp_stream_pending(stream) };
	return 0;
}

/* The first has gone, or cannot go. */
static void out_fd_pop(struct kcp_stream *stream)
{
	(void)close(stream->out_fds[0].fd);
	stream->n_out_fds--;
	memmove(stream->out_fds, stream->out_fds + 1,
		stream->n_out_fds * sizeof(stream->out_fds[0]));
}

ssize_t kcp_fds_write(struct kcp_stream *stream, const void *data, size_t len)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	bool along = stream->out_fds[0].ahead == 0;
	union fd_room room;
	size_t next = along;
	ssize_t n;

	/* up to the next frame that has one */
	if (next < stream->n_out_fds && len > stream->out_fds[next].ahead)
		iov.iov_len = stream->out_fds[next].ahead;
	if (along) {
		struct cmsghdr *c;

		memset(&room, 0, sizeof(room));
		msg.msg_control = room.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &stream->out_fds[0].fd, sizeof(int));
	}
	n = sendmsg(stream->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno == ETOOMANYREFS && along) {
		/* too many are under way in all: the frame goes alone, and says what it says */
		out_fd_pop(stream);
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
		along = false;
		n = sendmsg(stream->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	if (n <= 0)
		return n;
	if (along)
		out_fd_pop(stream);
	for (unsigned i = 0; i < stream->n_out_fds; i++)
		stream->out_fds[i].ahead -= (size_t)n;
	return n;
}
