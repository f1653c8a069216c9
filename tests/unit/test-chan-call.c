/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What core/chan.c does on behalf of every placement, seen from a placement: a
 * false one that notes what it is asked and answers as it is told.
 */
#include "kcoro.h"
#include "libkcoro-client/core/chan-ops.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"

struct fake {
	struct kc_chan head;
	struct kci_send send; /* as last seen */
	struct kci_recv recv;
	int sends;
	int recvs;
	size_t acks;
	int nacks;
	unsigned extended_ms;
	long answer;
	size_t needed;
	struct kct_event entered;
	struct kct_event go;
	bool blocks;
};

static struct fake *fake_of(kc_chan_t *ch)
{
	return KC_CONTAINER_OF(ch, struct fake, head);
}

static long fake_send(kc_chan_t *ch, const struct kci_send *op)
{
	struct fake *f = fake_of(ch);

	f->sends++;
	f->send = *op;
	return f->answer;
}

static long fake_recv(kc_chan_t *ch, struct kci_recv *op)
{
	struct fake *f = fake_of(ch);

	f->recvs++;
	f->recv = *op;
	op->needed = f->needed;
	if (f->blocks) {
		kct_event_set(&f->entered);
		kct_event_wait(&f->go);
	}
	for (long i = 0; i < f->answer; i++) {
		if (op->msgs)
			op->msgs[i] = (struct kc_msg){ op->buf, 3 };
		if (op->leases)
			op->leases[i] = (struct kc_lease){ .id = 40 + (uint64_t)i };
	}
	return f->answer;
}

static int fake_close(kc_chan_t *ch)
{
	return kci_fail(KC_EACCES, "no right to close %d", (int)fake_of(ch)->answer);
}

static long fake_number(kc_chan_t *ch)
{
	return fake_of(ch)->answer;
}

static int fake_snapshot(kc_chan_t *ch, struct kc_chan_snapshot *ret)
{
	ret->id = 99;
	return (int)fake_of(ch)->answer;
}

static void fake_destroy(kc_chan_t *ch)
{
	struct fake *f = fake_of(ch);

	if (f->blocks)
		kct_event_set(&f->go);
	kci_chan_wait_idle(ch);
	KC_FREE(f);
}

static long fake_ack(kc_chan_t *ch, const struct kc_lease *leases, size_t n)
{
	(void)leases;
	fake_of(ch)->acks += n;
	return fake_of(ch)->answer;
}

static int fake_nack(kc_chan_t *ch, const struct kc_lease *lease)
{
	(void)lease;
	fake_of(ch)->nacks++;
	return (int)fake_of(ch)->answer;
}

static int fake_extend(kc_chan_t *ch, const struct kc_lease *lease, unsigned lease_ms)
{
	(void)lease;
	fake_of(ch)->extended_ms = lease_ms;
	return (int)fake_of(ch)->answer;
}

static const struct kci_chan_ops fake_ops = {
	.send = fake_send,
	.recv = fake_recv,
	.close = fake_close,
	.purge = fake_number,
	.len = fake_number,
	.snapshot = fake_snapshot,
	.destroy = fake_destroy,
	.ack = fake_ack,
	.nack = fake_nack,
	.extend = fake_extend,
};

static struct fake *make(size_t elem_size)
{
	struct fake *f = KC_CALLOC(1, sizeof(*f));

	assert_non_null(f);
	f->entered = (struct kct_event)KCT_EVENT_INIT;
	f->go = (struct kct_event)KCT_EVENT_INIT;
	kci_chan_init(&f->head, &fake_ops, KC_BUFFERED, elem_size, elem_size ? 0 : 10,
		      KC_CHAN_CAP_REMOTE | KC_CHAN_CAP_LEASE | (elem_size ? 0 : KC_CHAN_CAP_MSG));
	f->answer = 1;
	return f;
}

static void a_placement_sees_valid_calls_only(void **state)
{
	struct fake *f = make(8);
	kc_cancel_t *token;
	uint64_t v = 0;

	assert_int_equal(kc_cancel_init(&token), 0);
	kc_cancel_trigger(token);
	assert_int_equal(kc_chan_send(&f->head, NULL, 0), KC_EINVAL);
	assert_int_equal(kc_chan_send_msg(&f->head, "x", 1, 0), KC_EINVAL);
	assert_int_equal(kc_chan_send_c(&f->head, &v, 0, token), KC_ECANCELED);
	assert_int_equal(kc_chan_send_many(&f->head, &v, 0, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_recv_c(&f->head, &v, 0, token), KC_ECANCELED);
	assert_int_equal(kc_chan_recv_many(&f->head, &v, KC_BATCH_MAX + 1, 0, NULL), KC_EINVAL);
	assert_int_equal(f->sends, 0);
	assert_int_equal(f->recvs, 0);
	assert_int_equal(kc_chan_send(&f->head, &v, 77), 0);
	assert_int_equal(f->send.timeout_ms, 77);
	assert_ptr_equal(f->send.elems, &v);
	assert_int_equal(kc_chan_recv(&f->head, &v, 78), 0);
	assert_int_equal(f->recv.timeout_ms, 78);
	assert_int_equal(f->recv.cap, 8);
	kc_cancel_destroy(token);
	kc_chan_destroy(&f->head);
}

static void a_batch_is_cut_at_the_first_that_is_too_long(void **state)
{
	struct kc_msg msgs[] = { { "a", 1 }, { NULL, 0 }, { "0123456789a", 11 }, { NULL, 1 } };
	struct fake *f = make(0);

	f->answer = 2;
	assert_int_equal(kc_chan_send_msgs(&f->head, msgs, 4, 0, NULL), 2);
	assert_int_equal(f->send.n, 2);
	assert_int_equal(kc_chan_send_msgs(&f->head, msgs + 2, 2, 0, NULL), KC_EMSGSIZE);
	assert_int_equal(kc_chan_send_msgs(&f->head, msgs + 3, 1, 0, NULL), KC_EINVAL);
	assert_int_equal(f->sends, 1);
	kc_chan_destroy(&f->head);
}

static void lease_calls_come_with_all_they_need(void **state)
{
	struct fake *f = make(8);
	struct kc_lease leases[4];
	struct kc_msg msgs[4];
	uint64_t buf[4];
	size_t len = 0;

	assert_int_equal(kc_chan_recv_lease(&f->head, buf, 8, &len, &leases[0], 5, NULL), 0);
	assert_int_equal(leases[0].id, 40);
	assert_int_equal(len, 3);
	assert_int_equal(f->recv.n, 1);
	assert_non_null(f->recv.msgs);
	/* room for three of four */
	f->answer = 3;
	assert_int_equal(kc_chan_recv_leases(&f->head, buf, 31, msgs, leases, 4, 0, NULL), 3);
	assert_int_equal(f->recv.n, 3);
	assert_int_equal(leases[2].id, 42);
	/* and for none */
	f->recvs = 0;
	leases[0].id = 7;
	assert_int_equal(kc_chan_recv_lease(&f->head, buf, 7, &len, &leases[0], 0, NULL),
			 KC_EMSGSIZE);
	assert_int_equal(len, 8);
	assert_int_equal(leases[0].id, 7);
	assert_int_equal(f->recvs, 0);
	assert_int_equal(kc_chan_recv_lease(&f->head, buf, 8, NULL, leases, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_recv_lease(&f->head, buf, 8, &len, NULL, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_recv_leases(&f->head, buf, 8, NULL, leases, 1, 0, NULL),
			 KC_EINVAL);
	assert_int_equal(kc_chan_recv_leases(&f->head, buf, 8, msgs, NULL, 1, 0, NULL), KC_EINVAL);
	kc_chan_destroy(&f->head);
}

static void acknowledging_is_handed_on(void **state)
{
	struct fake *f = make(8);
	struct kc_lease leases[3] = { { 0 } };

	assert_int_equal(kc_chan_ack(&f->head, leases), 0);
	f->answer = 0;
	assert_int_equal(kc_chan_ack(&f->head, leases), KC_ENOENT);
	assert_int_equal(kc_chan_ack_many(&f->head, leases, 3), 0);
	assert_int_equal(f->acks, 5);
	assert_int_equal(kc_chan_nack(&f->head, leases), 0);
	assert_int_equal(f->nacks, 1);
	assert_int_equal(kc_chan_extend(&f->head, leases, KC_LEASE_MAX_MS), 0);
	assert_int_equal(f->extended_ms, KC_LEASE_MAX_MS);
	assert_int_equal(kc_chan_ack(&f->head, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_ack_many(&f->head, leases, 0), KC_EINVAL);
	assert_int_equal(kc_chan_ack_many(&f->head, leases, KC_BATCH_MAX + 1), KC_EINVAL);
	assert_int_equal(kc_chan_nack(&f->head, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_extend(&f->head, leases, 0), KC_EINVAL);
	assert_int_equal(kc_chan_extend(&f->head, leases, KC_LEASE_MAX_MS + 1), KC_EINVAL);
	assert_int_equal(kc_chan_ack(NULL, leases), KC_EINVAL);
	assert_int_equal(f->acks, 5);
	kc_chan_destroy(&f->head);
}

static void failures_are_counted_for_it(void **state)
{
	static const long codes[] = { KC_EAGAIN, KC_ETIME, KC_EPIPE, KC_ECANCELED, KC_EACCES };
	struct fake *f = make(8);
	struct kc_chan_snapshot snap;
	uint64_t v = 0;

	for (size_t i = 0; i < KC_ARRAY_SIZE(codes); i++) {
		f->answer = codes[i];
		for (size_t k = 0; k <= i; k++)
			assert_int_equal(kc_chan_send(&f->head, &v, 0), codes[i]);
		assert_int_equal(kc_chan_recv(&f->head, &v, 0), codes[i]);
	}
	f->answer = 0;
	assert_int_equal(kc_chan_snapshot(&f->head, &snap), 0);
	assert_int_equal(snap.id, 99);
	assert_int_equal(snap.kind, KC_BUFFERED);
	assert_int_equal(snap.elem_size, 8);
	assert_int_equal(snap.capabilities, KC_CHAN_CAP_REMOTE | KC_CHAN_CAP_LEASE);
	assert_int_equal(snap.send_failures.eagain, 1);
	assert_int_equal(snap.send_failures.etime, 2);
	assert_int_equal(snap.send_failures.epipe, 3);
	assert_int_equal(snap.send_failures.ecanceled, 4);
	assert_int_equal(snap.recv_failures.eagain, 1);
	assert_int_equal(snap.recv_failures.etime, 1);
	assert_int_equal(snap.recv_failures.epipe, 1);
	assert_int_equal(snap.recv_failures.ecanceled, 1);
	kc_chan_destroy(&f->head);
}

static void a_failed_snapshot_writes_nothing(void **state)
{
	struct fake *f = make(8);
	struct kc_chan_snapshot snap = { .id = 5 };

	f->answer = KC_ECONNRESET;
	assert_int_equal(kc_chan_snapshot(&f->head, &snap), KC_ECONNRESET);
	assert_int_equal(snap.id, 5);
	kc_chan_destroy(&f->head);
}

static void results_and_words_come_through(void **state)
{
	struct fake *f = make(8);

	f->answer = 12;
	assert_int_equal(kc_chan_close(&f->head), KC_EACCES);
	assert_string_equal(kc_error_detail(), "no right to close 12");
	assert_int_equal(kc_chan_purge(&f->head), 12);
	assert_int_equal(kc_chan_len(&f->head), 12);
	f->answer = KC_ENOENT;
	assert_int_equal(kc_chan_purge(&f->head), KC_ENOENT);
	assert_string_equal(kc_error_detail(), "");
	assert_int_equal(kc_chan_len(&f->head), KC_ENOENT);
	/* only local channels carry descriptors */
	assert_int_equal(kc_chan_enable_zero_copy(&f->head), KC_ENOTSUP);
	kc_chan_destroy(&f->head);
}

static long recv_main(void *arg)
{
	struct fake *f = arg;
	uint64_t v;

	return kc_chan_recv(&f->head, &v, -1);
}

static void destroy_waits_for_the_calls_in_progress(void **state)
{
	/* freed too early, the call's way out would touch freed memory */
	for (int round = 0; round < 100; round++) {
		struct fake *f = make(8);
		struct kct_call call;

		f->blocks = true;
		f->answer = KC_EPIPE;
		kct_call_start(&call, recv_main, f);
		kct_event_wait(&f->entered);
		kc_chan_destroy(&f->head);
		assert_int_equal(kct_call_join(&call), KC_EPIPE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(a_placement_sees_valid_calls_only),
		KCT_TEST(a_batch_is_cut_at_the_first_that_is_too_long),
		KCT_TEST(lease_calls_come_with_all_they_need),
		KCT_TEST(acknowledging_is_handed_on),
		KCT_TEST(failures_are_counted_for_it),
		KCT_TEST(a_failed_snapshot_writes_nothing),
		KCT_TEST(results_and_words_come_through),
		KCT_TEST(destroy_waits_for_the_calls_in_progress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
