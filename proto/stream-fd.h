/* SPDX-License-Identifier: BSD-3-Clause */
/* What stream.c and stream-fd.c share with each other and nobody else. */
#ifndef KCP_STREAM_FD_H
#define KCP_STREAM_FD_H

#include <sys/types.h>

#include "proto/stream.h"

/* Close all that came and was not asked for, and all that still was to be passed. */
void kcp_fds_done(struct kcp_stream *stream);

/* recvmsg() into iov, once; -1 with errno. */
ssize_t kcp_fds_read(struct kcp_stream *stream, struct iovec *iov);

/* sendmsg() of what waits, once, with the descriptor of the frame it begins with, and no
 * further than the next frame that has one. Only while n_out_fds is not 0. */
ssize_t kcp_fds_write(struct kcp_stream *stream, const void *data, size_t len);

#endif
