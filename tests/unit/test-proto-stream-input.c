/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading frames from a real socket pair: cuts, growth, bounds, failures. */
#include "tests/unit/stream-pair.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/golden.h"

static void frames_arrive_whole_however_they_are_cut(void **state)
{
	static const size_t steps[] = { 1, 7, 31, 32, 33, 100, 4096, SIZE_MAX };
	struct fixture *f = *state;
	struct kct_golden golden = { 0 };

	assert_int_equal(kct_golden_load_all(&golden), 0);
	for (size_t s = 0; s < KC_ARRAY_SIZE(steps); s++) {
		struct kcp_buf all;
		size_t sent = 0, frames = 0;

		kcp_buf_init(&all, SIZE_MAX);
		for (size_t i = 0; i < golden.count; i++)
			kcp_buf_add(&all, golden.vectors[i].frame, golden.vectors[i].len);
		while (sent < all.len) {
			size_t n = all.len - sent < steps[s] ? all.len - sent : steps[s];
			struct kcp_header header;
			const uint8_t *payload;
			int r;

			write_all(f->b, all.data + sent, n);
			sent += n;
			while ((r = kcp_stream_fill(&f->a)) > 0) {
				while ((r = kcp_stream_next(&f->a, &header, &payload, NULL)) > 0) {
					const struct kct_vector *v = &golden.vectors[frames++];

					assert_int_equal(header.type, v->type);
					assert_int_equal(header.length + KCP_HEADER_SIZE, v->len);
					assert_memory_equal(payload, v->frame + KCP_HEADER_SIZE,
							    header.length);
				}
				assert_int_equal(r, 0);
			}
			assert_int_equal(r, KC_EAGAIN);
		}
		assert_int_equal(frames, golden.count);
		kcp_buf_done(&all);
	}
	kct_golden_done(&golden);
}

static void an_idle_stream_holds_nothing_and_a_fresh_one_little(void **state)
{
	struct fixture *f = *state;

	assert_null(f->a.in);
	assert_int_equal(kcp_stream_fill(&f->a), KC_EAGAIN);
	assert_int_equal(f->a.in_cap, 16384);
}

static void the_end_and_a_reset_are_told_apart(void **state)
{
	struct fixture *f = *state;
	struct kcp_buf buf;
	struct kcp_header header;
	const uint8_t *payload;

	kcp_buf_init(&buf, 4096);
	make_frame(&buf, 1, 8);
	write_all(f->b, buf.data, buf.len);
	shutdown(f->b, SHUT_WR);
	/* what came before the end is still delivered */
	assert_int_equal(kcp_stream_fill(&f->a), buf.len);
	assert_int_equal(kcp_stream_fill(&f->a), 0);
	assert_int_equal(kcp_stream_next(&f->a, &header, &payload, NULL), 1);
	assert_int_equal(kcp_stream_fill(&f->a), 0);
	/* closing with unread data in it resets the connection */
	write_all(f->a.fd, "x", 1);
	close(f->b);
	f->b = -1;
	assert_int_equal(kcp_stream_fill(&f->a), KC_ECONNRESET);
	kcp_buf_done(&buf);
}

static void a_frame_over_the_limit_costs_no_memory(void **state)
{
	struct fixture *f = *state;
	struct kcp_header header = { .type = KCP_PING, .length = FRAME_MAX - KCP_HEADER_SIZE + 1 };
	uint8_t bytes[KCP_HEADER_SIZE];
	const uint8_t *payload;
	const char *why = NULL;

	kcp_header_encode(&header, bytes);
	write_all(f->b, bytes, sizeof(bytes));
	assert_int_equal(kcp_stream_fill(&f->a), 32);
	assert_int_equal(kcp_stream_next(&f->a, &header, &payload, &why), KC_EMSGSIZE);
	assert_non_null(why);
	/* it stays so */
	assert_int_equal(kcp_stream_next(&f->a, &header, &payload, NULL), KC_EMSGSIZE);
	assert_int_equal(f->a.in_cap, 16384);
	/* the limit is the stream's at this moment */
	f->a.max_frame = FRAME_MAX + 1;
	assert_int_equal(kcp_stream_next(&f->a, &header, &payload, NULL), 0);
}

static void garbage_is_no_frame(void **state)
{
	struct fixture *f = *state;
	struct kcp_header header;
	const uint8_t *payload;
	const char *why = NULL;

	write_all(f->b, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 35);
	assert_int_equal(kcp_stream_fill(&f->a), 35);
	assert_int_equal(kcp_stream_next(&f->a, &header, &payload, &why), KC_EPROTO);
	assert_non_null(why);
}

static void a_large_frame_takes_its_size_and_gives_it_back(void **state)
{
	struct fixture *f = *state;
	struct kcp_buf buf;
	struct kcp_header header;
	const uint8_t *payload;
	size_t sent = 0;
	int r;

	kcp_buf_init(&buf, FRAME_MAX);
	make_frame(&buf, 5, FRAME_MAX - KCP_HEADER_SIZE - 8);
	assert_int_equal(buf.len, FRAME_MAX);
	do {
		ssize_t n = send(f->b, buf.data + sent, buf.len - sent, MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		while ((r = kcp_stream_fill(&f->a)) > 0) {
			assert_true(f->a.in_cap <= FRAME_MAX);
			r = kcp_stream_next(&f->a, &header, &payload, NULL);
			if (r)
				break;
		}
	} while (r == KC_EAGAIN);
	assert_int_equal(r, 1);
	assert_int_equal(f->a.in_cap, FRAME_MAX);
	check_frame(&header, payload, 5);
	assert_int_equal(kcp_stream_next(&f->a, &header, &payload, NULL), 0);
	assert_int_equal(f->a.in_cap, 0);

	/* another is expected to be as large, but costs nothing before it comes */
	assert_int_equal(kcp_stream_fill(&f->a), KC_EAGAIN);
	assert_int_equal(f->a.in_cap, 0);

	/* again, with the beginning of a small one behind it */
	kcp_buf_done(&buf);
	kcp_buf_init(&buf, FRAME_MAX);
	make_frame(&buf, 6, (size_t)300 << 10);
	make_frame(&buf, 7, 10);
	for (sent = 0, r = 0; r != 1;) {
		ssize_t n = send(f->b, buf.data + sent, buf.len - 1 - sent, MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		r = kcp_stream_fill(&f->a);
		assert_true(r > 0 || r == KC_EAGAIN);
		r = kcp_stream_next(&f->a, &header, &payload, NULL);
	}
	check_frame(&header, payload, 6);
	while (sent < buf.len) {
		ssize_t n = send(f->b, buf.data + sent, buf.len - sent, MSG_NOSIGNAL);

		assert_true(n > 0);
		sent += (size_t)n;
	}
	while (kcp_stream_next(&f->a, &header, &payload, NULL) != 1)
		assert_true(kcp_stream_fill(&f->a) > 0);
	check_frame(&header, payload, 7);
	/* when only small ones have come for long, no large one is expected any more */
	kcp_buf_clear(&buf);
	make_frame(&buf, 8, 10);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(send(f->b, buf.data, buf.len, MSG_NOSIGNAL), buf.len);
		while ((r = kcp_stream_next(&f->a, &header, &payload, NULL)) == 0)
			assert_true(kcp_stream_fill(&f->a) > 0);
		assert_int_equal(r, 1);
		check_frame(&header, payload, 8);
	}
	assert_int_equal(f->a.in_cap, 16384);
	kcp_buf_done(&buf);
}

/* A large frame's memory can be kept, whatever was read behind it; and be given back. */
static void the_memory_of_a_frame_can_be_taken(void **state)
{
	struct fixture *f = *state;
	struct kcp_header header;
	const uint8_t *payload;
	struct kcp_buf buf;
	uint8_t *taken;
	size_t cap;
	int r;

	kcp_buf_init(&buf, FRAME_MAX);
	assert_null(kcp_stream_take_buffer(&f->a, &cap));
	for (uint64_t id = 1; id < 5; id++) {
		kcp_buf_clear(&buf);
		make_frame(&buf, id, (size_t)40 << 10);
		make_frame(&buf, 100 + id, 100);
		assert_int_equal(send(f->b, buf.data, buf.len, MSG_NOSIGNAL), buf.len);
		while ((r = kcp_stream_next(&f->a, &header, &payload, NULL)) == 0)
			assert_true(kcp_stream_fill(&f->a) > 0);
		assert_int_equal(r, 1);
		taken = kcp_stream_take_buffer(&f->a, &cap);
		assert_non_null(taken);
		assert_true(payload > taken && payload + header.length <= taken + cap);
		/* the one behind it comes all the same, into other memory */
		while ((r = kcp_stream_next(&f->a, &header, &payload, NULL)) == 0)
			assert_true(kcp_stream_fill(&f->a) > 0);
		assert_int_equal(r, 1);
		check_frame(&header, payload, 100 + id);
		assert_true(payload < taken || payload >= taken + cap);
		KC_FREE(taken);
	}
	kcp_buf_done(&buf);
}

static void memory_given_is_read_into_if_it_has_the_size(void **state)
{
	struct fixture *f = *state;
	struct kcp_header header;
	const uint8_t *payload;
	struct kcp_buf buf;
	uint8_t *taken;
	size_t cap, wrong;

	kcp_buf_init(&buf, FRAME_MAX);
	make_frame(&buf, 1, (size_t)60 << 10);
	assert_int_equal(send(f->b, buf.data, buf.len, MSG_NOSIGNAL), buf.len);
	while (kcp_stream_next(&f->a, &header, &payload, NULL) == 0)
		assert_true(kcp_stream_fill(&f->a) > 0);
	taken = kcp_stream_take_buffer(&f->a, &cap);
	assert_non_null(taken);
	wrong = 10 * cap;
	kcp_stream_give_buffer(&f->a, KC_ALLOC(wrong), wrong);
	assert_int_equal(f->a.in_cap, 0);
	kcp_stream_give_buffer(&f->a, taken, cap);
	assert_ptr_equal(f->a.in, taken);
	assert_int_equal(send(f->b, buf.data, buf.len, MSG_NOSIGNAL), buf.len);
	while (kcp_stream_next(&f->a, &header, &payload, NULL) == 0)
		assert_true(kcp_stream_fill(&f->a) > 0);
	assert_ptr_equal(f->a.in, taken);
	check_frame(&header, payload, 1);
	kcp_buf_done(&buf);
}

static void many_small_frames_are_read_in_gulps_and_few_shrink_it(void **state)
{
	struct fixture *f = *state;
	struct kcp_stream *a = &f->a;
	struct kcp_buf buf;
	struct kcp_header header;
	const uint8_t *payload;
	uint64_t next = 0;
	unsigned fills = 0;
	int r;

	kcp_buf_init(&buf, 1 << 20);
	for (uint64_t id = 0; id < 1500; id++)
		make_frame(&buf, id, 30);
	write_all(f->b, buf.data, buf.len);
	while ((r = kcp_stream_fill(a)) > 0) {
		fills++;
		while (kcp_stream_next(a, &header, &payload, NULL) > 0)
			check_frame(&header, payload, next++);
	}
	assert_int_equal(next, 1500);
	assert_int_equal(a->in_cap, 65536);
	/* 105,000 bytes: 16, 64 and 23 KiB */
	assert_int_equal(fills, 3);
	for (unsigned i = 0; i < 100; i++) {
		write_all(f->b, buf.data, 70);
		assert_int_equal(kcp_stream_fill(a), 70);
		assert_int_equal(kcp_stream_next(a, &header, &payload, NULL), 1);
		check_frame(&header, payload, 0);
		assert_int_equal(kcp_stream_next(a, &header, &payload, NULL), 0);
	}
	assert_int_equal(a->in_cap, 16384);
	kcp_buf_done(&buf);
}

static void without_memory_for_gulps_small_reads_go_on(void **state)
{
	struct fixture *f = *state;
	struct kcp_buf buf;
	struct kcp_header header;
	const uint8_t *payload;
	uint64_t next = 0;
	int r;

	kcp_buf_init(&buf, 1 << 20);
	for (uint64_t id = 0; id < 1500; id++)
		make_frame(&buf, id, 30);
	write_all(f->b, buf.data, buf.len);
	assert_int_equal(kcp_stream_fill(&f->a), 16384);
	kct_alloc_fail_from(1);
	do {
		while (kcp_stream_next(&f->a, &header, &payload, NULL) > 0)
			check_frame(&header, payload, next++);
	} while ((r = kcp_stream_fill(&f->a)) > 0);
	assert_true(kct_alloc_fail_end() > 0);
	assert_int_equal(r, KC_EAGAIN);
	assert_int_equal(next, 1500);
	assert_int_equal(f->a.in_cap, 16384);
	kcp_buf_done(&buf);
}

static void frames_nobody_takes_do_not_make_it_grow(void **state)
{
	struct fixture *f = *state;
	struct kcp_buf buf;
	uint64_t next = 0;
	struct kcp_header header;
	const uint8_t *payload;
	int r;

	kcp_buf_init(&buf, 1 << 20);
	for (uint64_t id = 0; id < 2000; id++)
		make_frame(&buf, id, 30);
	write_all(f->b, buf.data, buf.len);
	while ((r = kcp_stream_fill(&f->a)) > 0)
		;
	assert_int_equal(r, KC_EINVAL);
	assert_int_equal(f->a.in_cap, 65536);
	do {
		while ((r = kcp_stream_next(&f->a, &header, &payload, NULL)) > 0)
			check_frame(&header, payload, next++);
		assert_int_equal(r, 0);
	} while ((r = kcp_stream_fill(&f->a)) > 0);
	assert_int_equal(next, 2000);
	kcp_buf_done(&buf);
}

static void descriptors_sent_along_are_closed(void **state)
{
	struct fixture *f = *state;
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = (char[]){ "K" }, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int before = kct_fd_count();
	int pipe_fds[2];
	char byte;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &pipe_fds[1], sizeof(int));
	assert_int_equal(sendmsg(f->b, &msg, MSG_NOSIGNAL), 1);
	close(pipe_fds[1]);
	/* the descriptor on its way keeps the pipe open */
	assert_int_equal(read(pipe_fds[0], &byte, 1), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(kcp_stream_fill(&f->a), 1);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 0);
	close(pipe_fds[0]);
	assert_int_equal(kct_fd_count(), before);
}

static void without_memory_reading_can_be_tried_again(void **state)
{
	struct fixture *f = *state;
	struct kcp_buf buf;
	struct kcp_header header;
	const uint8_t *payload;

	kcp_buf_init(&buf, 1 << 20);
	make_frame(&buf, 9, 50000);
	write_all(f->b, buf.data, buf.len);
	kct_alloc_fail_from(1);
	assert_int_equal(kcp_stream_fill(&f->a), KC_ENOMEM);
	assert_true(kct_alloc_fail_end() > 0);
	assert_int_equal(kcp_stream_fill(&f->a), 16384);
	assert_int_equal(kcp_stream_next(&f->a, &header, &payload, NULL), 0);
	kct_alloc_fail_from(1);
	assert_int_equal(kcp_stream_fill(&f->a), KC_ENOMEM);
	assert_true(kct_alloc_fail_end() > 0);
	while (kcp_stream_next(&f->a, &header, &payload, NULL) == 0)
		assert_true(kcp_stream_fill(&f->a) > 0);
	check_frame(&header, payload, 9);
	kcp_buf_done(&buf);
}

/* Only what holds nothing is given back, and what comes next is read as before. */
static void buffers_that_hold_nothing_are_given_back(void **state)
{
	struct fixture *f = *state;
	struct kcp_buf buf;
	struct kcp_header header;
	const uint8_t *payload;

	kcp_buf_init(&buf, 1 << 20);
	make_frame(&buf, 1, 1000);
	write_all(f->b, buf.data, buf.len - 1);
	assert_int_equal(kcp_stream_fill(&f->a), buf.len - 1);
	assert_int_equal(kcp_stream_next(&f->a, &header, &payload, NULL), 0);
	kcp_buf_add(kcp_stream_out(&f->a), "waits", 5);
	assert_true(kcp_stream_release(&f->a) >= buf.len - 1 + 5);

	write_all(f->b, buf.data + buf.len - 1, 1);
	assert_int_equal(kcp_stream_fill(&f->a), 1);
	assert_int_equal(kcp_stream_next(&f->a, &header, &payload, NULL), 1);
	check_frame(&header, payload, 1);
	assert_int_equal(kcp_stream_flush(&f->a), 0);
	assert_int_equal(kcp_stream_release(&f->a), 0);
	assert_null(f->a.in);
	assert_null(f->a.out.data);

	write_all(f->b, buf.data, buf.len);
	assert_int_equal(kcp_stream_fill(&f->a), buf.len);
	assert_int_equal(kcp_stream_next(&f->a, &header, &payload, NULL), 1);
	check_frame(&header, payload, 1);
	kcp_buf_add(kcp_stream_out(&f->a), "goes on", 7);
	assert_int_equal(kcp_stream_flush(&f->a), 0);
	kcp_buf_done(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(frames_arrive_whole_however_they_are_cut),
		STREAM_TEST(an_idle_stream_holds_nothing_and_a_fresh_one_little),
		STREAM_TEST(the_end_and_a_reset_are_told_apart),
		STREAM_TEST(a_frame_over_the_limit_costs_no_memory),
		STREAM_TEST(garbage_is_no_frame),
		STREAM_TEST(a_large_frame_takes_its_size_and_gives_it_back),
		STREAM_TEST(the_memory_of_a_frame_can_be_taken),
		STREAM_TEST(memory_given_is_read_into_if_it_has_the_size),
		STREAM_TEST(many_small_frames_are_read_in_gulps_and_few_shrink_it),
		STREAM_TEST(without_memory_for_gulps_small_reads_go_on),
		STREAM_TEST(frames_nobody_takes_do_not_make_it_grow),
		STREAM_TEST(descriptors_sent_along_are_closed),
		STREAM_TEST(without_memory_reading_can_be_tried_again),
		STREAM_TEST(buffers_that_hold_nothing_are_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
