/* SPDX-License-Identifier: BSD-3-Clause */
/* Writing frames to a real socket pair: what waits, its bound, failures, both halves at once. */
#include "tests/unit/stream-pair.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/tlv.h"

static int send_frame(struct kcp_stream *stream, uint64_t id, size_t len)
{
	struct iovec iov[2];
	struct kcp_buf buf;
	size_t at;
	void *data = malloc(len);
	int r;

	assert_non_null(data);
	memset(data, (int)(id & 0xff), len);
	kcp_buf_init(&buf, 256);
	at = kcp_frame_begin(&buf, KCP_PING, 0, id, 0);
	kcp_put_head(&buf, 0xfff0, len);
	assert_int_equal(kcp_frame_end_extra(&buf, at, len), 0);
	iov[0] = (struct iovec){ .iov_base = buf.data, .iov_len = buf.len };
	iov[1] = (struct iovec){ .iov_base = data, .iov_len = len };
	r = kcp_stream_send(stream, iov, 2);
	kcp_buf_done(&buf);
	free(data);
	return r;
}

static int send_bytes(struct kcp_stream *stream, const char *data, size_t len)
{
	const struct iovec iov = { .iov_base = (void *)data, .iov_len = len };

	return kcp_stream_send(stream, &iov, 1);
}

static void a_frame_is_written_at_once_when_nothing_waits(void **state)
{
	struct fixture *f = *state;
	struct kcp_stream reader = { .fd = -1 };
	uint64_t next = 1;

	assert_int_equal(send_frame(&f->a, 1, 100), 0);
	assert_int_equal(kcp_stream_pending(&f->a), 0);
	assert_null(f->a.out.data);
	assert_int_equal(drain(f->b, &reader, &next), 1);
	assert_int_equal(kcp_stream_send(&f->a, NULL, 0), 0);
	kcp_stream_done(&reader);
}

static void what_the_socket_does_not_take_waits_within_the_bound(void **state)
{
	struct fixture *f = *state;
	struct kcp_stream reader = { .fd = -1 };
	uint64_t id = 0, next = 0;
	size_t most = 0;
	int r;

	/* three times full, three times empty */
	for (int round = 0; round < 3; round++) {
		while ((r = send_frame(&f->a, id, 1000 + id % 7000)) == 0) {
			id++;
			assert_true(kcp_stream_pending(&f->a) <= OUT_MAX);
			if (kcp_stream_pending(&f->a) > most)
				most = kcp_stream_pending(&f->a);
		}
		assert_int_equal(r, KC_EDQUOT);
		/* the bound is used, not only kept */
		assert_true(most > OUT_MAX - 9000);
		while (kcp_stream_pending(&f->a)) {
			assert_int_equal(kcp_stream_flush(&f->a), KC_EAGAIN);
			assert_true(drain(f->b, &reader, &next) > 0);
			wait_for(f->a.fd, POLLOUT);
			r = kcp_stream_flush(&f->a);
			assert_true(r == 0 || r == KC_EAGAIN);
			/* new ones go behind the waiting ones */
			if (round == 1 && send_frame(&f->a, id, 100) == 0)
				id++;
			if (round == 1 && id % 50 == 0)
				round = 2;
		}
		drain(f->b, &reader, &next);
		assert_int_equal(next, id);
		/* a buffer that was large is not kept */
		assert_true(f->a.out.cap <= (size_t)256 << 10);
	}
	assert_int_equal(reader.in_end - reader.in_start, 0);
	kcp_stream_done(&reader);
}

static void output_that_never_runs_dry_takes_no_more_than_twice_its_bound(void **state)
{
	struct fixture *f = *state;
	struct kcp_stream reader = { .fd = -1 };
	uint64_t id = 0, next = 0;
	int r;

	/* 100 MB pass, and something waits all the time */
	while (id < 10000) {
		while ((r = send_frame(&f->a, id, 10000)) == 0)
			id++;
		assert_int_equal(r, KC_EDQUOT);
		assert_true(drain(f->b, &reader, &next) > 0);
		assert_int_equal(kcp_stream_flush(&f->a), KC_EAGAIN);
		assert_true(kcp_stream_pending(&f->a) > 0);
		assert_true(f->a.out.cap <= 2 * OUT_MAX);
	}
	while (kcp_stream_flush(&f->a) == KC_EAGAIN)
		drain(f->b, &reader, &next);
	drain(f->b, &reader, &next);
	assert_int_equal(next, id);
	kcp_stream_done(&reader);
}

static void what_can_never_fit_is_told_apart_from_what_does_not_fit_now(void **state)
{
	struct fixture *f = *state;
	struct kcp_stream reader = { .fd = -1 };
	uint64_t next = 1;
	struct iovec wrap[2] = { { .iov_base = (char[]){ "x" }, .iov_len = SIZE_MAX },
				 { .iov_base = (char[]){ "x" }, .iov_len = 2 } };

	assert_int_equal(send_frame(&f->a, 1, OUT_MAX - 39), KC_EMSGSIZE);
	assert_int_equal(kcp_stream_pending(&f->a), 0);
	assert_int_equal(kcp_stream_send(&f->a, wrap, 2), KC_EMSGSIZE);
	assert_int_equal(send_bytes(&f->a, "x", OUT_MAX + 1), KC_EMSGSIZE);
	assert_int_equal(send_frame(&f->a, 1, OUT_MAX - 40), 0);
	while (kcp_stream_flush(&f->a) == KC_EAGAIN)
		drain(f->b, &reader, &next);
	drain(f->b, &reader, &next);
	assert_int_equal(next, 2);
	kcp_stream_done(&reader);
}

static void queued_frames_go_out_in_one_write(void **state)
{
	struct fixture *f = *state;
	struct kcp_stream reader = { .fd = -1 };
	struct kcp_buf *out = kcp_stream_out(&f->a);
	uint64_t next = 1;
	char byte;

	make_frame(out, 1, 50);
	make_frame(out, 2, 60);
	make_frame(out, 3, 70);
	assert_int_equal(kcp_stream_pending(&f->a), 3 * 40 + 180);
	assert_int_equal(recv(f->b, &byte, 1, MSG_PEEK), -1);
	assert_int_equal(errno, EAGAIN);
	/* a send goes behind them and does not write either */
	assert_int_equal(send_frame(&f->a, 4, 80), 0);
	assert_int_equal(recv(f->b, &byte, 1, MSG_PEEK), -1);
	assert_int_equal(kcp_stream_flush(&f->a), 0);
	assert_int_equal(drain(f->b, &reader, &next), 4);
	kcp_stream_done(&reader);
}

static void frames_built_in_place_keep_the_bound_to_the_byte(void **state)
{
	struct fixture *f = *state;
	struct kcp_stream reader = { .fd = -1 };
	struct kcp_buf *out = kcp_stream_out(&f->a);
	uint64_t id = 0, next = 0;
	size_t at;

	/* some of what waits gets written, so that the bound has to move with it */
	for (; id < 100; id++)
		make_frame(out, id, 9960);
	assert_int_equal(kcp_stream_flush(&f->a), KC_EAGAIN);
	assert_true(kcp_stream_pending(&f->a) < 1000000);
	while (kcp_stream_pending(&f->a) <= OUT_MAX - 1000)
		make_frame(out, id++, 960);
	make_frame(out, id++, OUT_MAX - kcp_stream_pending(&f->a) - 40);
	assert_int_equal(kcp_stream_pending(&f->a), OUT_MAX);
	at = kcp_frame_begin(out, KCP_PING, 0, 1, 0);
	assert_int_equal(kcp_frame_end(out, at), KC_EMSGSIZE);
	assert_int_equal(kcp_stream_pending(&f->a), OUT_MAX);
	assert_int_equal(send_bytes(&f->a, "x", 1), KC_EDQUOT);
	while (kcp_stream_flush(&f->a) == KC_EAGAIN)
		drain(f->b, &reader, &next);
	drain(f->b, &reader, &next);
	assert_int_equal(next, id);
	kcp_stream_done(&reader);
}

static void more_pieces_than_the_kernel_takes_arrive_all(void **state)
{
	struct fixture *f = *state;
	struct iovec iov[3000];
	uint8_t bytes[3000], got[3000];
	size_t len = 0;

	for (size_t i = 0; i < KC_ARRAY_SIZE(iov); i++) {
		bytes[i] = (uint8_t)(i % 251);
		iov[i] = (struct iovec){ .iov_base = &bytes[i], .iov_len = i % 10 ? 1 : 0 };
	}
	assert_int_equal(kcp_stream_send(&f->a, iov, KC_ARRAY_SIZE(iov)), 0);
	assert_int_equal(kcp_stream_flush(&f->a), 0);
	while (len < 2700) {
		ssize_t n = recv(f->b, got + len, sizeof(got) - len, 0);

		assert_true(n > 0);
		len += (size_t)n;
	}
	assert_int_equal(len, 2700);
	for (size_t i = 0, j = 0; i < KC_ARRAY_SIZE(bytes); i++) {
		if (i % 10)
			assert_int_equal(got[j++], bytes[i]);
	}
}

static void count_done(void *arg)
{
	++*(unsigned *)arg;
}

/* Frames whose bytes lie elsewhere, between others, through a socket that is mostly full. */
static void what_is_inserted_arrives_in_its_place(void **state)
{
	struct fixture *f = *state;
	struct kcp_stream reader = { .fd = -1 };
	struct kcp_buf *out = kcp_stream_out(&f->a);
	uint64_t id = 0, next = 0;
	unsigned done = 0;
	uint8_t *lent = malloc(50000);

	assert_non_null(lent);
	for (; id < 200; id++) {
		size_t len = 1000 + id * 37, value, at;

		if (id % 3 == 0) {
			make_frame(out, id, len);
			continue;
		}
		/* all frames hold the byte make_frame() fills them with */
		at = kcp_frame_begin(out, KCP_PING, 0, id, 0);
		value = kcp_tlv_begin(out, 0xfff0);
		for (size_t i = 0; i < len / 2; i++)
			kcp_buf_add(out, &(uint8_t){ (uint8_t)id }, 1);
		memset(lent, (int)(id & 0xff), len - len / 2);
		assert_int_equal(kcp_stream_insert(&f->a, lent, len - len / 2, count_done, &done),
				 0);
		kcp_tlv_end_extra(out, value, len - len / 2);
		assert_true(kcp_stream_frame_end(&f->a, at) > 0);
		while (kcp_stream_flush(&f->a) == KC_EAGAIN)
			drain(f->b, &reader, &next);
		assert_int_equal(done, id - id / 3);
	}
	drain(f->b, &reader, &next);
	assert_int_equal(next, id);
	kcp_stream_done(&reader);
	free(lent);
}

static void many_inserts_may_wait_and_are_let_go_at_the_end(void **state)
{
	struct fixture *f = *state;
	struct kcp_stream reader = { .fd = -1 };
	struct kcp_buf *out = kcp_stream_out(&f->a);
	static uint8_t lent[256][3000];
	uint64_t id = 0, next = 0;
	unsigned done = 0;
	size_t at;

	for (; id < 256; id++) {
		memset(lent[id], (int)id, sizeof(lent[id]));
		at = kcp_frame_begin(out, KCP_PING, 0, id, 0);
		kcp_put_head(out, 0xfff0, sizeof(lent[id]));
		assert_int_equal(kcp_stream_insert(&f->a, lent[id], sizeof(lent[id]), count_done,
						   &done), 0);
		assert_true(kcp_stream_frame_end(&f->a, at) > 0);
	}
	assert_int_equal(kcp_stream_pending(&f->a), 256 * (32 + 8 + 3000));
	/* a frame that fails takes what was inserted in it away, and nothing else */
	at = kcp_frame_begin(out, KCP_PING, 0, id, 0);
	assert_int_equal(kcp_stream_insert(&f->a, lent[0], 3000, count_done, &done), 0);
	out->failed = KC_ENOMEM;
	assert_int_equal(kcp_stream_frame_end(&f->a, at), KC_ENOMEM);
	assert_int_equal(done, 1);
	assert_int_equal(kcp_stream_pending(&f->a), 256 * (32 + 8 + 3000));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(kcp_stream_flush(&f->a), KC_EAGAIN);
		drain(f->b, &reader, &next);
	}
	assert_true(done > 1 && done < 257);
	kcp_stream_done(&f->a);
	assert_int_equal(done, 257);
	kcp_stream_done(&reader);
}

static void what_is_lent_is_not_copied_until_it_has_to_be(void **state)
{
	struct fixture *f = *state;
	struct kcp_stream reader = { .fd = -1 };
	static uint8_t big[900000];
	struct kcp_buf head;
	struct iovec iov[2];
	uint64_t next = 77;
	size_t at;

	memset(big, 77, sizeof(big));
	kcp_buf_init(&head, 256);
	at = kcp_frame_begin(&head, KCP_PING, 0, 77, 0);
	kcp_put_head(&head, 0xfff0, sizeof(big));
	assert_int_equal(kcp_frame_end_extra(&head, at, sizeof(big)), 0);
	iov[0] = (struct iovec){ .iov_base = head.data, .iov_len = head.len };
	iov[1] = (struct iovec){ .iov_base = big, .iov_len = sizeof(big) };
	assert_int_equal(kcp_stream_lend(&f->a, iov, 2), 0);
	assert_true(kcp_stream_pending(&f->a) > 100000);
	assert_null(f->a.out.data);
	drain(f->b, &reader, &next);
	assert_int_equal(kcp_stream_flush(&f->a), KC_EAGAIN);
	kcp_stream_keep_lent(&f->a);
	memset(big, 0, sizeof(big));
	while (kcp_stream_flush(&f->a) == KC_EAGAIN)
		drain(f->b, &reader, &next);
	drain(f->b, &reader, &next);
	assert_int_equal(next, 78);
	kcp_buf_done(&head);
	kcp_stream_done(&reader);
}

static void a_peer_that_is_gone_is_an_error_and_no_signal(void **state)
{
	struct fixture *f = *state;

	close(f->b);
	f->b = -1;
	assert_int_equal(send_frame(&f->a, 1, 10), KC_ECONNRESET);
	assert_int_equal(kcp_stream_pending(&f->a), 0);
	assert_int_equal(send_frame(&f->a, 1, 10), KC_ECONNRESET);
	assert_int_equal(send_bytes(&f->a, "x", 1), KC_ECONNRESET);
	assert_int_equal(kcp_stream_flush(&f->a), KC_ECONNRESET);
}

static void without_memory_a_whole_frame_is_refused_and_a_half_one_ends_it(void **state)
{
	struct fixture *f = *state;
	size_t pending;
	int r;

	/* something waits, and fills its buffer: refused, with nothing changed */
	while (!kcp_stream_pending(&f->a))
		assert_int_equal(send_frame(&f->a, 1, 60000), 0);
	pending = kcp_stream_pending(&f->a);
	kct_alloc_fail_from(1);
	do {
		pending = kcp_stream_pending(&f->a);
		r = send_bytes(&f->a, "0123456789", 10);
	} while (!r);
	assert_true(kct_alloc_fail_end() > 0);
	assert_int_equal(r, KC_ENOMEM);
	assert_int_equal(kcp_stream_pending(&f->a), pending);
	assert_int_equal(send_bytes(&f->a, "0123456789", 10), 0);
	assert_int_equal(kcp_stream_flush(&f->a), KC_EAGAIN);
}

static void a_half_frame_without_memory_for_the_rest_is_the_end(void **state)
{
	struct fixture *f = *state;
	void *data = calloc(1, OUT_MAX);
	struct iovec iov = { .iov_base = data, .iov_len = OUT_MAX };

	assert_non_null(data);
	kct_alloc_fail_from(1);
	assert_int_equal(kcp_stream_send(&f->a, &iov, 1), KC_ENOMEM);
	assert_true(kct_alloc_fail_end() > 0);
	assert_int_equal(kcp_stream_pending(&f->a), 0);
	assert_int_equal(send_bytes(&f->a, "x", 1), KC_ENOMEM);
	assert_int_equal(kcp_stream_flush(&f->a), KC_ENOMEM);
	free(data);
}

/* ---- both halves at once --------------------------------------------------------- */

#define ECHO_FRAMES 20000

/* Sends ECHO_FRAMES frames; 0, or what failed. */
static long send_many(void *arg)
{
	struct kcp_stream *stream = arg;
	struct pollfd p = { .fd = stream->fd, .events = POLLOUT };
	struct kcp_buf buf;
	long r = 0;

	kcp_buf_init(&buf, 4096);
	for (uint64_t id = 0; id < ECHO_FRAMES && !r;) {
		const struct iovec *iov = &(struct iovec){ .iov_base = NULL };
		size_t at;

		kcp_buf_clear(&buf);
		at = kcp_frame_begin(&buf, KCP_PING, 0, id + 1, 0);
		r = kcp_frame_end(&buf, at);
		iov = &(struct iovec){ .iov_base = buf.data, .iov_len = buf.len };
		if (!r)
			r = kcp_stream_send(stream, iov, 1);
		if (!r) {
			id++;
		} else if (r == KC_EDQUOT) {
			poll(&p, 1, KCT_PATIENCE_MS);
			r = kcp_stream_flush(stream);
			if (r == KC_EAGAIN)
				r = 0;
		}
	}
	while (!r && (r = kcp_stream_flush(stream)) == KC_EAGAIN) {
		poll(&p, 1, KCT_PATIENCE_MS);
		r = 0;
	}
	kcp_buf_done(&buf);
	return r;
}

/* Sends back every byte until the end of the stream; the bytes, or -1. */
static long echo_bytes(void *arg)
{
	int fd = *(int *)arg;
	long total = 0;
	char bytes[65536];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n, done = 0;

		poll(&p, 1, KCT_PATIENCE_MS);
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n <= 0)
			return n ? -1 : total;
		total += n;
		while (done < n) {
			ssize_t w = send(fd, bytes + done, (size_t)(n - done), MSG_NOSIGNAL);

			if (w > 0) {
				done += w;
				continue;
			}
			if (errno != EAGAIN)
				return -1;
			p.events = POLLOUT;
			poll(&p, 1, KCT_PATIENCE_MS);
		}
	}
}

static void two_threads_may_drive_one_half_each(void **state)
{
	struct fixture *f = *state;
	struct kct_call sender, echo;
	struct kcp_header header;
	const uint8_t *payload;
	uint64_t next = 1;
	int r = 0;

	f->a.out_max = 4096;
	f->a.out.max = 4096;
	kct_call_start(&echo, echo_bytes, &f->b);
	kct_call_start(&sender, send_many, &f->a);
	while (next <= ECHO_FRAMES && r >= 0) {
		r = kcp_stream_next(&f->a, &header, &payload, NULL);
		if (r == 1) {
			/* judged after the threads have ended */
			if (header.id == next)
				next++;
			else
				r = KC_EPROTO;
		} else if (r == 0) {
			struct pollfd p = { .fd = f->a.fd, .events = POLLIN };

			r = kcp_stream_fill(&f->a);
			if (r == KC_EAGAIN)
				r = poll(&p, 1, KCT_PATIENCE_MS) == 1 ? 0 : KC_ETIME;
			else if (r == 0)
				r = KC_ECONNRESET;
		}
	}
	shutdown(f->a.fd, SHUT_RDWR);
	assert_int_equal(kct_call_join(&sender), 0);
	assert_int_equal(kct_call_join(&echo), (long)ECHO_FRAMES * 32);
	assert_int_equal(next, ECHO_FRAMES + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(a_frame_is_written_at_once_when_nothing_waits),
		STREAM_TEST(what_the_socket_does_not_take_waits_within_the_bound),
		STREAM_TEST(output_that_never_runs_dry_takes_no_more_than_twice_its_bound),
		STREAM_TEST(what_can_never_fit_is_told_apart_from_what_does_not_fit_now),
		STREAM_TEST(queued_frames_go_out_in_one_write),
		STREAM_TEST(frames_built_in_place_keep_the_bound_to_the_byte),
		STREAM_TEST(more_pieces_than_the_kernel_takes_arrive_all),
		STREAM_TEST(what_is_inserted_arrives_in_its_place),
		STREAM_TEST(many_inserts_may_wait_and_are_let_go_at_the_end),
		STREAM_TEST(what_is_lent_is_not_copied_until_it_has_to_be),
		STREAM_TEST(a_peer_that_is_gone_is_an_error_and_no_signal),
		STREAM_TEST(without_memory_a_whole_frame_is_refused_and_a_half_one_ends_it),
		STREAM_TEST(a_half_frame_without_memory_for_the_rest_is_the_end),
		STREAM_TEST(two_threads_may_drive_one_half_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
