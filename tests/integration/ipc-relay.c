/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The relay: one thread, one poll().
 */
#include "tests/integration/ipc-relay.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int dial(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void drop_fd(struct relay_pipe *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

static void cut(struct relay_line *line)
{
	close(line->fd[0]);
	close(line->fd[1]);
	drop_fd(&line->pipe[0]);
	drop_fd(&line->pipe[1]);
	line->used = false;
}

static struct relay_line *free_line(struct relay *r)
{
	for (int i = 0; i < RELAY_LINES; i++)
		if (!r->lines[i].used)
			return &r->lines[i];
	return NULL;
}

static void take_call(struct relay *r)
{
	struct relay_line *line = free_line(r);
	int fd;

	fd = accept4(r->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0 || !line) {
		if (fd >= 0)
			close(fd);
		return;
	}
	line->fd[0] = fd;
	line->fd[1] = dial(r->daemon);
	if (line->fd[1] < 0) {
		close(fd);
		return;
	}
	for (int d = 0; d < 2; d++) {
		line->pipe[d].from = line->pipe[d].to = 0;
		line->pipe[d].fd = -1;
		line->pipe[d].left = UINT64_MAX;
	}
	if (r->cut_max) {
		uint64_t draw = kct_random(&r->random);

		/* short lives as often as long ones */
		line->pipe[draw & 1].left =
			1 + kct_random(&r->random) % (1 + kct_random(&r->random) % r->cut_max);
	}
	line->used = true;
}

/* Room for one descriptor; kcorod sends no more with one write. */
union one_fd {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static void along(struct msghdr *msg, union one_fd *room, int fd)
{
	memset(room, 0, sizeof(*room));
	room->align.cmsg_level = SOL_SOCKET;
	room->align.cmsg_type = SCM_RIGHTS;
	room->align.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&room->align), &fd, sizeof(fd));
	msg->msg_control = room->buf;
	msg->msg_controllen = sizeof(room->buf);
}

/* false: the connection is over. */
static bool read_some(struct relay_line *line, int d)
{
	struct relay_pipe *p = &line->pipe[d];
	struct iovec iov = { .iov_base = p->data, .iov_len = sizeof(p->data) };
	union one_fd room;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = room.buf,
			      .msg_controllen = sizeof(room.buf) };
	ssize_t n = recvmsg(line->fd[d], &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (CMSG_FIRSTHDR(&msg))
		memcpy(&p->fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(p->fd));
	p->from = 0;
	p->to = (size_t)n;
	return n > 0;
}

static bool write_some(struct relay *r, struct relay_line *line, int d)
{
	struct relay_pipe *p = &line->pipe[d];
	bool peace = atomic_load(&r->allowed) == 0;
	size_t len = p->to - p->from;
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union one_fd room;
	ssize_t n;

	if (len > p->left && !peace)
		len = (size_t)p->left;
	if (r->keeps_fds)
		drop_fd(p);
	if (p->fd >= 0)
		along(&msg, &room, p->fd);
	iov = (struct iovec){ .iov_base = p->data + p->from, .iov_len = len };
	n = sendmsg(line->fd[!d], &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	drop_fd(p);
	p->from += (size_t)n;
	if (peace)
		return true;
	p->left -= (uint64_t)n;
	if (p->left > 0)
		return true;
	atomic_fetch_sub(&r->allowed, 1);
	atomic_fetch_add(&r->cuts, 1);
	return false;
}

static bool is_empty(const struct relay_pipe *p)
{
	return p->from == p->to;
}

static void cut_all(struct relay *r)
{
	eventfd_t count;

	if (eventfd_read(r->cut_fd, &count) < 0)
		return;
	for (int i = 0; i < RELAY_LINES; i++)
		if (r->lines[i].used)
			cut(&r->lines[i]);
	kct_event_set(&r->was_cut);
}

static long relay_main(void *arg)
{
	struct pollfd p[3 + 2 * RELAY_LINES];
	struct relay *r = arg;

	p[0] = (struct pollfd){ .fd = r->stop_fd, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = r->listen_fd, .events = POLLIN };
	p[2] = (struct pollfd){ .fd = r->cut_fd, .events = POLLIN };
	for (;;) {
		for (int i = 0; i < RELAY_LINES; i++)
			for (int d = 0; d < 2; d++) {
				struct relay_line *line = &r->lines[i];
				struct pollfd *q = &p[3 + 2 * i + d];

				*q = (struct pollfd){ .fd = line->used ? line->fd[d] : -1 };
				if (line->used && is_empty(&line->pipe[d]))
					q->events |= POLLIN;
				if (line->used && !is_empty(&line->pipe[!d]))
					q->events |= POLLOUT;
			}
		if (poll(p, KC_ARRAY_SIZE(p), -1) < 0)
			continue;
		if (p[0].revents)
			return 0;
		if (p[2].revents) {
			cut_all(r);
			continue;
		}
		for (int i = 0; i < RELAY_LINES; i++)
			for (int d = 0; d < 2; d++) {
				struct relay_line *line = &r->lines[i];
				short got = p[3 + 2 * i + d].revents;
				bool ok = true;

				if (!line->used || !got)
					continue;
				if (is_empty(&line->pipe[d]) && got & (POLLIN | POLLHUP | POLLERR))
					ok = read_some(line, d);
				if (ok && !is_empty(&line->pipe[!d]) &&
				    got & (POLLOUT | POLLHUP | POLLERR))
					ok = write_some(r, line, !d);
				if (!ok)
					cut(line);
			}
		if (p[1].revents)
			take_call(r);
	}
}

void relay_start(struct relay *r, const char *daemon, uint64_t seed, uint64_t cut_max)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *dir = getenv("TMPDIR");

	memset(r, 0, sizeof(*r));
	r->daemon = daemon;
	r->random = seed;
	r->cut_max = cut_max;
	(void)snprintf(r->path, sizeof(r->path), "%s/relay.sock", dir ? dir : "/tmp");
	(void)unlink(r->path);
	memcpy(addr.sun_path, r->path, sizeof(r->path));
	r->stop_fd = eventfd(0, EFD_CLOEXEC);
	r->cut_fd = eventfd(0, EFD_CLOEXEC);
	r->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(r->stop_fd >= 0 && r->cut_fd >= 0 && r->listen_fd >= 0);
	assert_int_equal(bind(r->listen_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(r->listen_fd, RELAY_LINES), 0);
	kct_call_start(&r->thread, relay_main, r);
}

void relay_cut(struct relay *r)
{
	r->was_cut = (struct kct_event)KCT_EVENT_INIT;
	assert_int_equal(eventfd_write(r->cut_fd, 1), 0);
	kct_event_wait(&r->was_cut);
}

void relay_stop(struct relay *r)
{
	const uint64_t one = 1;

	assert_int_equal(write(r->stop_fd, &one, sizeof(one)), sizeof(one));
	(void)kct_call_join(&r->thread);
	for (int i = 0; i < RELAY_LINES; i++)
		if (r->lines[i].used)
			cut(&r->lines[i]);
	close(r->listen_fd);
	close(r->stop_fd);
	close(r->cut_fd);
	(void)unlink(r->path);
}
