/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors beside frames, over a real socket pair. */
#include "tests/unit/stream-pair.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

/* A descriptor that can be recognised: an eventfd that holds this number. */
static int numbered(unsigned n)
{
	int fd = eventfd(n, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

static void check_number(int fd, uint64_t n)
{
	uint64_t value = 0;

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(read(fd, &value, sizeof(value)), sizeof(value));
	assert_int_equal(value, n);
	close(fd);
}

/* Build a frame in the output, with a descriptor or without (0). */
static void put(struct kcp_stream *stream, uint64_t id, size_t len, unsigned number)
{
	if (number)
		assert_int_equal(kcp_stream_pass_fd(stream, numbered(number)), 0);
	make_frame(kcp_stream_out(stream), id, len);
}

/* Read until the next whole frame is there. */
static void get(struct kcp_stream *stream, uint64_t id)
{
	struct kcp_header header;
	const uint8_t *payload;
	int r;

	while ((r = kcp_stream_next(stream, &header, &payload, NULL)) == 0) {
		wait_for(stream->fd, POLLIN);
		assert_true(kcp_stream_fill(stream) > 0);
	}
	assert_int_equal(r, 1);
	check_frame(&header, payload, id);
}

static void it_arrives_with_its_frame(void **state)
{
	struct fixture *f = *state;
	struct kcp_stream b;

	kcp_stream_init(&b, f->b, FRAME_MAX, 0);
	kcp_stream_take_fds(&b, true);
	put(&f->a, 1, 100, 0);
	put(&f->a, 2, 100, 77);
	put(&f->a, 3, 100, 0);
	assert_int_equal(kcp_stream_flush(&f->a), 0);
	assert_int_equal(f->a.n_out_fds, 0);
	get(&b, 1);
	get(&b, 2);
	check_number(kcp_stream_fd(&b), 77);
	assert_int_equal(kcp_stream_fd(&b), KC_ENOENT);
	get(&b, 3);
	assert_int_equal(kcp_stream_fd(&b), KC_ENOENT);
	kcp_stream_done(&b);
}

static void each_frame_has_its_own(void **state)
{
	struct fixture *f = *state;
	struct kcp_stream b;

	kcp_stream_init(&b, f->b, FRAME_MAX, 0);
	kcp_stream_take_fds(&b, true);
	for (unsigned i = 0; i < KCP_STREAM_FDS; i++) {
		put(&f->a, 2 * i, i * 40, 0);
		put(&f->a, 2 * i + 1, i * 40, i + 1);
	}
	assert_int_equal(kcp_stream_flush(&f->a), 0);
	for (unsigned i = 0; i < KCP_STREAM_FDS; i++) {
		get(&b, 2 * i);
		get(&b, 2 * i + 1);
		check_number(kcp_stream_fd(&b), i + 1);
	}
	kcp_stream_done(&b);
}

/* A full socket cuts writes anywhere; reads begin anywhere. */
static void it_is_tied_to_its_frame_however_bytes_are_cut(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = kct_seed(), written = 0, seen = 0;
	unsigned passed[400] = { 0 };
	struct kcp_header header;
	const uint8_t *payload;
	struct kcp_stream b;
	int small = 4096, r;

	assert_int_equal(setsockopt(f->a.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	kcp_stream_init(&b, f->b, FRAME_MAX, 0);
	kcp_stream_take_fds(&b, true);
	while (seen < KC_ARRAY_SIZE(passed)) {
		while (written < KC_ARRAY_SIZE(passed) && kcp_stream_pending(&f->a) < 20000 &&
		       f->a.n_out_fds < KCP_STREAM_FDS) {
			if (kct_random(&seed) % 3 == 0)
				passed[written] = 1 + (unsigned)(kct_random(&seed) % 1000);
			put(&f->a, written, kct_random(&seed) % 3000, passed[written]);
			written++;
		}
		r = kcp_stream_flush(&f->a);
		assert_true(r == 0 || r == KC_EAGAIN);
		/* one read, and all frames it completed */
		wait_for(f->b, POLLIN);
		assert_true(kcp_stream_fill(&b) > 0);
		while ((r = kcp_stream_next(&b, &header, &payload, NULL)) > 0) {
			check_frame(&header, payload, seen);
			if (passed[seen])
				check_number(kcp_stream_fd(&b), passed[seen]);
			seen++;
		}
		assert_int_equal(r, 0);
	}
	kcp_stream_done(&b);
}

static void who_takes_none_gets_none(void **state)
{
	struct fixture *f = *state;
	struct kcp_stream b;
	int before = kct_fd_count();

	kcp_stream_init(&b, f->b, FRAME_MAX, 0);
	put(&f->a, 1, 10, 5);
	put(&f->a, 2, 10, 0);
	assert_int_equal(kcp_stream_flush(&f->a), 0);
	get(&b, 1);
	assert_int_equal(kcp_stream_fd(&b), KC_ENOENT);
	get(&b, 2);
	assert_int_equal(kct_fd_count(), before);
	kcp_stream_done(&b);
}

static void what_nobody_asked_for_is_closed(void **state)
{
	struct fixture *f = *state;
	struct kcp_stream b;
	int before = kct_fd_count();

	kcp_stream_init(&b, f->b, FRAME_MAX, 0);
	kcp_stream_take_fds(&b, true);
	put(&f->a, 1, 10, 5);
	put(&f->a, 2, 10, 6);
	put(&f->a, 3, 10, 7);
	assert_int_equal(kcp_stream_flush(&f->a), 0);
	get(&b, 1);
	get(&b, 2);
	/* the latest one alone is kept */
	check_number(kcp_stream_fd(&b), 6);
	get(&b, 3);
	assert_int_equal(kct_fd_count(), before + 1);
	kcp_stream_drop_fd(&b);
	assert_int_equal(kct_fd_count(), before);
	/* and with the stream go those that were not looked at, or not passed yet */
	put(&f->a, 4, 10, 8);
	assert_int_equal(kcp_stream_flush(&f->a), 0);
	get(&b, 4);
	put(&f->a, 5, 10, 9);
	kcp_stream_done(&b);
	kcp_stream_done(&f->a);
	assert_int_equal(kct_fd_count(), before);
}

/* Several with one byte, as no kcorod sends them. */
static void a_bunch_of_them_is_closed_but_one(void **state)
{
	struct fixture *f = *state;
	struct kcp_stream b;
	int fds[3] = { numbered(1), numbered(2), numbered(3) };
	union {
		char buf[CMSG_SPACE(sizeof(fds))];
		struct cmsghdr align;
	} room = { 0 };
	struct iovec iov = { .iov_base = (void *)"KC", .iov_len = 2 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = room.buf,
			      .msg_controllen = sizeof(room.buf) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int before;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	assert_int_equal(sendmsg(f->a.fd, &msg, MSG_NOSIGNAL), 2);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	before = kct_fd_count();
	kcp_stream_init(&b, f->b, FRAME_MAX, 0);
	kcp_stream_take_fds(&b, true);
	assert_int_equal(kcp_stream_fill(&b), 2);
	assert_int_equal(kct_fd_count(), before + 1);
	check_number(kcp_stream_fd(&b), 3);
	kcp_stream_done(&b);
	assert_int_equal(kct_fd_count(), before);
}

static void a_process_without_room_loses_it_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	struct rlimit saved, none;
	struct kcp_stream b;
	int lowest;

	kcp_stream_init(&b, f->b, FRAME_MAX, 0);
	kcp_stream_take_fds(&b, true);
	put(&f->a, 1, 10, 5);
	put(&f->a, 2, 10, 6);
	assert_int_equal(kcp_stream_flush(&f->a), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	lowest = fcntl(f->b, F_DUPFD_CLOEXEC, 0);
	close(lowest);
	none = saved;
	none.rlim_cur = (rlim_t)lowest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	get(&b, 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
	assert_int_equal(kcp_stream_fd(&b), KC_ENOENT);
	get(&b, 2);
	check_number(kcp_stream_fd(&b), 6);
	kcp_stream_done(&b);
}

static void too_many_that_wait_are_refused(void **state)
{
	struct fixture *f = *state;
	int fd = numbered(1);

	for (unsigned i = 0; i < KCP_STREAM_FDS; i++)
		put(&f->a, i, 10, i + 1);
	assert_int_equal(kcp_stream_pass_fd(&f->a, fd), KC_ENOMEM);
	check_number(fd, 1);
	assert_int_equal(kcp_stream_flush(&f->a), 0);
	put(&f->a, 9, 10, 9);
	assert_int_equal(kcp_stream_flush(&f->a), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(it_arrives_with_its_frame),
		STREAM_TEST(each_frame_has_its_own),
		STREAM_TEST(it_is_tied_to_its_frame_however_bytes_are_cut),
		STREAM_TEST(who_takes_none_gets_none),
		STREAM_TEST(what_nobody_asked_for_is_closed),
		STREAM_TEST(a_bunch_of_them_is_closed_but_one),
		STREAM_TEST(a_process_without_room_loses_it_and_nothing_else),
		STREAM_TEST(too_many_that_wait_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
