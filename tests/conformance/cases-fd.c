/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors to wait on: readable when a try would find something, never less, and
 * unreadable after a try that found nothing until something changes.
 */
#include "tests/conformance/suite.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static const enum kc_kind kinds[] = { KC_RENDEZVOUS, KC_BUFFERED, KC_CONFLATED, KC_UNLIMITED };

static int poll_ms(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;

	do {
		n = poll(&p, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	return n;
}

static bool is_readable(int fd)
{
	return poll_ms(fd, 0) == 1;
}

/* What a call that has returned brought about is there at once; what is told by a notice
 * follows soon. */
static void becomes_readable(int fd)
{
	assert_int_equal(poll_ms(fd, KCT_PATIENCE_MS), 1);
}

static int descriptor(kc_chan_t *ch, unsigned direction)
{
	int fd = kc_chan_fd(ch, direction);

	assert_true(fd >= 0);
	/* the same each time */
	assert_int_equal(kc_chan_fd(ch, direction), fd);
	return fd;
}

/* A try finds nothing, and that is known. */
static void nothing_to_receive(struct kct_case *c, int fd)
{
	for (int i = 0; i < 2; i++) {
		assert_int_equal(case_recv(c, 0, NULL), KC_EAGAIN);
		assert_false(is_readable(fd));
	}
}

static void nothing_to_send(struct kct_case *c, int fd)
{
	for (int i = 0; i < 2; i++) {
		assert_int_equal(case_send(c, 99, 0, NULL), KC_EAGAIN);
		assert_false(is_readable(fd));
	}
}

static void readable_while_there_is_something_to_receive(void **state)
{
	for (enum kct_family f = KCT_FIXED; f <= KCT_DESC; f++) {
		for (size_t k = 0; k < 4; k++) {
			struct kct_case c;
			int fd;

			if (f == KCT_DESC && !(kct_placement.traits & KCT_HAS_DESCRIPTORS))
				continue;
			case_start(&c, f, kinds[k], 2);
			fd = descriptor(c.pair.rx, KC_RECEIVER);
			assert_false(is_readable(fd));
			for (uint32_t i = 0; i < 3; i++) {
				struct kct_op op;

				nothing_to_receive(&c, fd);
				if (kinds[k] == KC_RENDEZVOUS)
					op_start_blocked(&op, &c, true, i, 1);
				else
					assert_int_equal(case_send(&c, i, 0, NULL), 0);
				becomes_readable(fd);
				/* it stays so, whoever looks how often */
				assert_true(is_readable(fd));
				assert_int_equal(case_recv(&c, 0, NULL), i);
				if (kinds[k] == KC_RENDEZVOUS)
					assert_int_equal(op_join(&op), 0);
			}
			nothing_to_receive(&c, fd);
			case_end(&c);
		}
	}
}

static void readable_for_what_was_there_before(void **state)
{
	struct kct_case c;
	int fd;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 2);
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	fd = descriptor(c.pair.rx, KC_RECEIVER);
	becomes_readable(fd);
	assert_int_equal(case_recv(&c, 0, NULL), 1);
	nothing_to_receive(&c, fd);
	case_end(&c);
}

static void taking_one_of_many_leaves_it_readable(void **state)
{
	struct kct_case c;
	int fd;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 8);
	fd = descriptor(c.pair.rx, KC_RECEIVER);
	nothing_to_receive(&c, fd);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(case_send(&c, i, 0, NULL), 0);
	for (uint32_t i = 0; i < 8; i++) {
		becomes_readable(fd);
		assert_int_equal(case_recv(&c, 0, NULL), i);
	}
	nothing_to_receive(&c, fd);
	case_end(&c);
}

static void readable_while_there_is_room(void **state)
{
	static const enum kc_kind bounded[] = { KC_BUFFERED, KC_UNLIMITED };

	for (enum kct_family f = KCT_FIXED; f <= KCT_DESC; f++) {
		for (size_t k = 0; k < 2; k++) {
			struct kct_case c;
			int fd;

			if (f == KCT_DESC && !(kct_placement.traits & KCT_HAS_DESCRIPTORS))
				continue;
			case_start(&c, f, bounded[k], 2);
			fd = descriptor(c.pair.tx, KC_SENDER);
			becomes_readable(fd);
			assert_int_equal(case_send(&c, 0, 0, NULL), 0);
			assert_true(is_readable(fd));
			assert_int_equal(case_send(&c, 1, 0, NULL), 0);
			nothing_to_send(&c, fd);
			for (uint32_t i = 0; i < 3; i++) {
				assert_int_equal(case_recv(&c, 0, NULL), i);
				becomes_readable(fd);
				assert_true(is_readable(fd));
				assert_int_equal(case_send(&c, i + 2, 0, NULL), 0);
				nothing_to_send(&c, fd);
			}
			assert_int_equal(kc_chan_purge(c.pair.rx), 2);
			c.dropped_purged = 2;
			becomes_readable(fd);
			assert_int_equal(case_send(&c, 9, 0, NULL), 0);
			case_end(&c);
		}
	}
}

static void readable_while_a_receiver_waits_on_a_rendezvous(void **state)
{
	struct kct_op op;
	struct kct_case c;
	int fd;

	case_start(&c, KCT_FIXED, KC_RENDEZVOUS, 0);
	fd = descriptor(c.pair.tx, KC_SENDER);
	assert_false(is_readable(fd));
	for (uint32_t i = 0; i < 3; i++) {
		nothing_to_send(&c, fd);
		op_start_blocked(&op, &c, false, 0, 1);
		becomes_readable(fd);
		assert_true(is_readable(fd));
		assert_int_equal(case_send(&c, i, 0, NULL), 0);
		assert_int_equal(op_join(&op), i);
	}
	nothing_to_send(&c, fd);
	case_end(&c);
}

static void two_who_only_try_do_not_wake_each_other(void **state)
{
	struct kct_case c;
	int tx, rx;

	case_start(&c, KCT_FIXED, KC_RENDEZVOUS, 0);
	tx = descriptor(c.pair.tx, KC_SENDER);
	rx = descriptor(c.pair.rx, KC_RECEIVER);
	for (int i = 0; i < 3; i++) {
		nothing_to_send(&c, tx);
		assert_false(is_readable(rx));
		nothing_to_receive(&c, rx);
		assert_false(is_readable(tx));
	}
	case_end(&c);
}

static void always_readable_where_a_send_never_waits(void **state)
{
	for (int way = 0; way < 3; way++) {
		struct kc_chan_options o =
			case_options(KCT_FIXED, way ? KC_BUFFERED : KC_CONFLATED, way ? 2 : 0);
		struct kct_case c;
		int fd;

		if (way)
			o.overflow = way == 1 ? KC_OVERFLOW_DROP_OLDEST : KC_OVERFLOW_DROP_NEWEST;
		case_make(&c, KCT_FIXED, &o);
		fd = descriptor(c.pair.tx, KC_SENDER);
		for (uint32_t i = 0; i < 5; i++) {
			becomes_readable(fd);
			assert_int_equal(case_send(&c, i, 0, NULL), 0);
		}
		assert_true(is_readable(fd));
		c.conflated = way == 0 ? 4 : 0;
		c.dropped_oldest = way == 1 ? 3 : 0;
		c.dropped_newest = way == 2 ? 3 : 0;
		case_end(&c);
	}
}

static void close_makes_both_readable_for_good(void **state)
{
	for (size_t k = 0; k < 4; k++) {
		struct kct_case c;
		int tx, rx;

		case_start(&c, KCT_FIXED, kinds[k], 1);
		tx = descriptor(c.pair.tx, KC_SENDER);
		rx = descriptor(c.pair.rx, KC_RECEIVER);
		if (kinds[k] != KC_CONFLATED) {
			if (kinds[k] != KC_RENDEZVOUS)
				while (case_send(&c, 7, 0, NULL) == 0)
					;
			nothing_to_send(&c, tx);
		} else {
			assert_int_equal(case_send(&c, 7, 0, NULL), 0);
		}
		while (case_recv(&c, 0, NULL) == 7)
			;
		nothing_to_receive(&c, rx);
		assert_int_equal(kc_chan_close(c.pair.tx), 0);
		becomes_readable(tx);
		becomes_readable(rx);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(case_send(&c, 1, 0, NULL), KC_EPIPE);
			assert_int_equal(case_recv(&c, 0, NULL), KC_EPIPE);
			assert_true(is_readable(tx));
			assert_true(is_readable(rx));
		}
		case_end(&c);
	}
}

static void a_closed_channel_gives_one_that_is_readable(void **state)
{
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 2);
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	assert_int_equal(kc_chan_close(c.pair.tx), 0);
	becomes_readable(descriptor(c.pair.rx, KC_RECEIVER));
	becomes_readable(descriptor(c.pair.tx, KC_SENDER));
	assert_int_equal(case_recv(&c, 0, NULL), 1);
	assert_int_equal(case_recv(&c, 0, NULL), KC_EPIPE);
	assert_true(is_readable(kc_chan_fd(c.pair.rx, KC_RECEIVER)));
	case_end(&c);
}

/* ---- messages of several lengths, and others in front ------------------------- */

static int send_bytes(struct kct_case *c, size_t len)
{
	static const char bytes[KCT_MSG_MAX];
	int r = kc_chan_send_msg(c->pair.tx, bytes, len, 0);

	c->sent += r == 0;
	return r;
}

static void recv_bytes(struct kct_case *c, size_t expected)
{
	char buf[KCT_MSG_MAX];
	size_t len;

	assert_int_equal(kc_chan_recv_msg(c->pair.rx, buf, sizeof(buf), &len, 0), 0);
	assert_int_equal(len, expected);
	c->received++;
}

static void room_is_for_the_message_refused_last(void **state)
{
	struct kc_chan_options o = case_options(KCT_MSG, KC_UNLIMITED, 0);
	struct kct_case c;
	int fd;

	o.max_bytes = 2 * KCT_MSG_MAX;
	case_make(&c, KCT_MSG, &o);
	fd = descriptor(c.pair.tx, KC_SENDER);
	assert_int_equal(send_bytes(&c, 60), 0);
	assert_int_equal(send_bytes(&c, 20), 0);
	assert_int_equal(send_bytes(&c, 30), 0);
	assert_true(is_readable(fd));
	/* 18 bytes are left: none of these fits, however often it is tried */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(send_bytes(&c, 64), KC_EAGAIN);
		assert_false(is_readable(fd));
	}
	/* none, then 60, then 80 */
	assert_int_equal(send_bytes(&c, 18), 0);
	assert_int_equal(send_bytes(&c, 64), KC_EAGAIN);
	assert_false(is_readable(fd));
	recv_bytes(&c, 60);
	assert_false(is_readable(fd));
	recv_bytes(&c, 20);
	becomes_readable(fd);
	assert_int_equal(send_bytes(&c, 64), 0);
	/* a short one refused needs less */
	assert_int_equal(send_bytes(&c, 17), KC_EAGAIN);
	assert_false(is_readable(fd));
	recv_bytes(&c, 30);
	becomes_readable(fd);
	assert_int_equal(send_bytes(&c, 17), 0);
	case_end(&c);
}

static void who_gives_up_waiting_makes_way(void **state)
{
	struct kc_chan_options o = case_options(KCT_MSG, KC_UNLIMITED, 0);
	static const char bytes[KCT_MSG_MAX];
	kc_cancel_t *token;
	struct kct_case c;
	struct kct_op op;
	int fd;

	/* room for 3 bytes; the message of 8 waits, and holds up the one of 1 */
	o.max_msg = 10;
	o.max_bytes = 20;
	assert_int_equal(kc_cancel_init(&token), 0);
	case_make(&c, KCT_MSG, &o);
	fd = descriptor(c.pair.tx, KC_SENDER);
	assert_int_equal(kc_chan_send_msg(c.pair.tx, bytes, 9, 0), 0);
	assert_int_equal(kc_chan_send_msg(c.pair.tx, bytes, 8, 0), 0);
	c.sent += 2;
	op_start_blocked_c(&op, &c, true, 1, 1, token);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(send_bytes(&c, 1), KC_EAGAIN);
		assert_false(is_readable(fd));
	}
	kc_cancel_trigger(token);
	assert_int_equal(op_join(&op), KC_ECANCELED);
	becomes_readable(fd);
	assert_int_equal(send_bytes(&c, 1), 0);
	kc_cancel_destroy(token);
	case_end(&c);
}

/* ---- batches, threads, handles ------------------------------------------------- */

static void batches_count_as_tries(void **state)
{
	uint64_t v[6] = { 1, 2, 3, 4, 5, 6 };
	struct kct_case c;
	int tx, rx;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 4);
	tx = descriptor(c.pair.tx, KC_SENDER);
	rx = descriptor(c.pair.rx, KC_RECEIVER);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(kc_chan_recv_many(c.pair.rx, v, 6, 0, NULL), KC_EAGAIN);
		assert_false(is_readable(rx));
		assert_int_equal(kc_chan_send_many(c.pair.tx, v, 6, 0, NULL), 4);
		becomes_readable(rx);
		assert_int_equal(kc_chan_send_many(c.pair.tx, v, 6, 0, NULL), KC_EAGAIN);
		assert_false(is_readable(tx));
		assert_int_equal(kc_chan_recv_many(c.pair.rx, v, 3, 0, NULL), 3);
		becomes_readable(tx);
		assert_true(is_readable(rx));
		assert_int_equal(kc_chan_recv_many(c.pair.rx, v, 6, 0, NULL), 1);
		c.sent += 4;
		c.received += 4;
	}
	case_end(&c);
}

struct poller {
	int fd;
	struct kct_call call;
};

static long poll_main(void *arg)
{
	return poll_ms(((struct poller *)arg)->fd, KCT_PATIENCE_MS);
}

static void who_is_in_poll_is_woken(void **state)
{
	for (int i = 0; i < 20; i++) {
		struct poller tx, rx;
		struct kct_case c;

		case_start(&c, KCT_FIXED, KC_BUFFERED, 1);
		rx.fd = descriptor(c.pair.rx, KC_RECEIVER);
		kct_call_start(&rx.call, poll_main, &rx);
		assert_int_equal(case_send(&c, 1, 0, NULL), 0);
		assert_int_equal(kct_call_join(&rx.call), 1);
		tx.fd = descriptor(c.pair.tx, KC_SENDER);
		nothing_to_send(&c, tx.fd);
		kct_call_start(&tx.call, poll_main, &tx);
		assert_int_equal(case_recv(&c, 0, NULL), 1);
		assert_int_equal(kct_call_join(&tx.call), 1);
		case_end(&c);
	}
}

static void a_timed_receive_leaves_the_descriptor_alone(void **state)
{
	struct kct_case c;
	int fd;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 2);
	fd = descriptor(c.pair.rx, KC_RECEIVER);
	nothing_to_receive(&c, fd);
	assert_int_equal(case_recv(&c, KCT_SHORT_MS, NULL), KC_ETIME);
	assert_false(is_readable(fd));
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	becomes_readable(fd);
	assert_int_equal(case_recv(&c, -1, NULL), 1);
	/* once too often at most */
	nothing_to_receive(&c, fd);
	case_end(&c);
}

static void directions_are_checked(void **state)
{
	static const unsigned bad[] = { 0, KC_SENDER | KC_RECEIVER, 4, ~0u };
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(kc_chan_fd(c.pair.tx, bad[i]), KC_EINVAL);
		assert_non_null(strstr(kc_error_detail(), "KC_SENDER or KC_RECEIVER"));
	}
	assert_int_equal(kc_chan_fd(NULL, KC_SENDER), KC_EINVAL);
	/* nothing came of it */
	assert_true(kc_chan_fd(c.pair.tx, KC_SENDER) >= 0);
	case_end(&c);
}

static int use_in_child(void *arg)
{
	struct kct_case *c = arg;

	return kc_chan_fd(c->pair.rx, KC_RECEIVER) == KC_EFORKED ? 0 : 1;
}

static void a_forked_child_has_no_use_of_it(void **state)
{
	struct kct_case c;
	int fd;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 2);
	fd = descriptor(c.pair.rx, KC_RECEIVER);
	nothing_to_receive(&c, fd);
	assert_int_equal(kct_in_child(use_in_child, &c), 0);
	assert_false(is_readable(fd));
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	becomes_readable(fd);
	assert_int_equal(case_recv(&c, 0, NULL), 1);
	nothing_to_receive(&c, fd);
	case_end(&c);
}

static void each_handle_has_its_own(void **state)
{
	struct kct_case c;
	kc_chan_t *other;
	int mine, others;
	uint64_t v;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 4);
	other = kct_placement.reopen(&c.pair);
	assert_non_null(other);
	mine = descriptor(c.pair.rx, KC_RECEIVER);
	others = descriptor(other, KC_RECEIVER);
	assert_true(mine != others);
	nothing_to_receive(&c, mine);
	assert_int_equal(kc_chan_try_recv(other, &v), KC_EAGAIN);
	assert_false(is_readable(others));
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	becomes_readable(mine);
	becomes_readable(others);
	assert_int_equal(case_recv(&c, 0, NULL), 1);
	nothing_to_receive(&c, mine);
	/* the other one has not tried yet */
	assert_true(is_readable(others));
	assert_int_equal(kc_chan_try_recv(other, &v), KC_EAGAIN);
	assert_false(is_readable(others));
	/* one handle's end is nothing to the other */
	kc_chan_destroy(other);
	assert_false(is_readable(mine));
	assert_int_equal(case_send(&c, 2, 0, NULL), 0);
	becomes_readable(mine);
	case_end(&c);
}

const struct CMUnitTest *fd_tests(size_t *ret_n)
{
	static const struct CMUnitTest tests[] = {
		KCT_TEST(readable_while_there_is_something_to_receive),
		KCT_TEST(readable_for_what_was_there_before),
		KCT_TEST(taking_one_of_many_leaves_it_readable),
		KCT_TEST(readable_while_there_is_room),
		KCT_TEST(readable_while_a_receiver_waits_on_a_rendezvous),
		KCT_TEST(two_who_only_try_do_not_wake_each_other),
		KCT_TEST(always_readable_where_a_send_never_waits),
		KCT_TEST(close_makes_both_readable_for_good),
		KCT_TEST(a_closed_channel_gives_one_that_is_readable),
		KCT_TEST(room_is_for_the_message_refused_last),
		KCT_TEST(who_gives_up_waiting_makes_way),
		KCT_TEST(batches_count_as_tries),
		KCT_TEST(who_is_in_poll_is_woken),
		KCT_TEST(a_timed_receive_leaves_the_descriptor_alone),
		KCT_TEST(directions_are_checked),
		KCT_TEST(a_forked_child_has_no_use_of_it),
		/* last: only where a channel has more than one handle */
		KCT_TEST(each_handle_has_its_own),
	};

	*ret_n = sizeof(tests) / sizeof(tests[0]) - (kct_placement.reopen == NULL);
	return tests;
}
