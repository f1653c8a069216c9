/* SPDX-License-Identifier: BSD-3-Clause */
/* The message table: what belongs to which message, in which form, within which bounds. */
#include "tests/lib/kct.h"

#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/message.h"
#include "proto/values.h"
#include "tests/lib/golden.h"

static struct kct_golden golden;

static int load_golden(void **state)
{
	return kct_golden_load_all(&golden);
}

static int free_golden(void **state)
{
	kct_golden_done(&golden);
	return 0;
}

static struct kcp_args args_of(const struct kct_vector *v)
{
	struct kcp_args args;

	assert_int_equal(kcp_args_parse(&args, v->frame + KCP_HEADER_SIZE, v->len - KCP_HEADER_SIZE,
					NULL),
			 0);
	return args;
}

static void every_message_in_every_form_has_a_vector(void **state)
{
	unsigned messages = 0;

	for (unsigned type = 0; type <= UINT16_MAX; type++) {
		const struct kcp_message *msg = kcp_message_find((uint16_t)type);
		unsigned forms = 0;

		if (!msg)
			continue;
		messages++;
		assert_int_equal(msg->type, type);
		for (size_t i = 0; i < golden.count; i++) {
			if (golden.vectors[i].type == type)
				forms |= golden.vectors[i].form;
		}
		if (forms != msg->forms)
			fail_msg("%s: forms 0x%x, vectors for 0x%x", msg->name, msg->forms, forms);
	}
	assert_int_equal(messages, 31);
}

static void every_allowed_tlv_occurs_in_a_vector(void **state)
{
	for (unsigned type = 0; type <= KCP_STATS; type++) {
		const struct kcp_message *msg = kcp_message_find((uint16_t)type);
		uint64_t sent = 0, reply = 0;

		if (!msg)
			continue;
		for (size_t i = 0; i < golden.count; i++) {
			if (golden.vectors[i].type != type)
				continue;
			*(golden.vectors[i].form == KCP_REPLY ? &reply : &sent) |=
				args_of(&golden.vectors[i]).present;
		}
		assert_true((msg->sent.required | msg->sent.optional | msg->sent.one_of) == sent);
		assert_true((msg->reply.required | msg->reply.optional) ==
			    (reply & ~(KCP_TLV_BIT(KCP_T_RESULT) | KCP_TLV_BIT(KCP_T_DETAIL))));
	}
}

static void a_missing_tlv_is_named(void **state)
{
	unsigned tried = 0;

	for (size_t i = 0; i < golden.count; i++) {
		const struct kct_vector *v = &golden.vectors[i];
		const struct kcp_message *msg = kcp_message_find(v->type);
		struct kcp_args args = args_of(v);
		uint64_t required = msg->sent.required | (args.present & msg->sent.one_of);

		if (v->form == KCP_REPLY) {
			required = KCP_TLV_BIT(KCP_T_RESULT);
			if (kcp_num(&args, KCP_T_RESULT, 0) == KCP_OK)
				required |= msg->reply.required;
		}
		assert_int_equal(kcp_message_check(msg, &args, v->form, NULL), 0);
		for (unsigned bit = 0; bit < 64; bit++) {
			const char *why = NULL;

			if (!(required & (UINT64_C(1) << bit)))
				continue;
			args = args_of(v);
			args.present &= ~(UINT64_C(1) << bit);
			assert_int_equal(kcp_message_check(msg, &args, v->form, &why), KC_EPROTO);
			assert_non_null(strstr(why, "is missing in"));
			assert_non_null(strstr(why, msg->name));
			tried++;
		}
	}
	assert_true(tried > 100);
}

static void a_tlv_out_of_place_is_named(void **state)
{
	for (size_t i = 0; i < golden.count; i++) {
		const struct kct_vector *v = &golden.vectors[i];
		const struct kcp_message *msg = kcp_message_find(v->type);
		const struct kcp_shape *shape = v->form == KCP_REPLY ? &msg->reply : &msg->sent;
		uint64_t allowed = shape->required | shape->optional | shape->one_of;

		if (v->form == KCP_REPLY)
			allowed |= KCP_TLV_BIT(KCP_T_RESULT);
		for (uint16_t type = 1; type <= KCP_TLV_KNOWN_MAX; type++) {
			struct kcp_args args = args_of(v);
			const char *why = NULL;
			int r;

			if (allowed & KCP_TLV_BIT(type))
				continue;
			args.present |= KCP_TLV_BIT(type);
			args.arg[type].num = 0;
			r = kcp_message_check(msg, &args, v->form, &why);
			/* three are optional to know, so they may stand anywhere */
			if (!kcp_tlv_info(type)) {
				assert_int_equal(r, 0);
				continue;
			}
			assert_int_equal(r, KC_EPROTO);
			assert_ptr_equal(strstr(why, kcp_tlv_name(type)), why);
			assert_non_null(strstr(why, "has no place in"));
		}
	}
}

static void a_form_a_message_does_not_have_is_refused(void **state)
{
	static const unsigned forms[] = { KCP_REQUEST, KCP_NOTICE, KCP_EVENT, KCP_REPLY };

	for (unsigned type = 0; type <= KCP_STATS; type++) {
		const struct kcp_message *msg = kcp_message_find((uint16_t)type);

		for (size_t i = 0; msg && i < KC_ARRAY_SIZE(forms); i++) {
			struct kcp_args args = { 0 };
			const char *why = NULL;

			if (msg->forms & forms[i])
				continue;
			assert_int_equal(kcp_message_check(msg, &args, forms[i], &why), KC_EPROTO);
			assert_non_null(strstr(why, "cannot be"));
		}
	}
}

static void one_of_name_and_id_is_asked_for(void **state)
{
	static const uint16_t types[] = { KCP_CHAN_OPEN, KCP_CHAN_INFO, KCP_CHAN_CLOSE,
					  KCP_CHAN_DESTROY, KCP_CHAN_PURGE };

	for (size_t i = 0; i < KC_ARRAY_SIZE(types); i++) {
		const struct kcp_message *msg = kcp_message_find(types[i]);
		struct kcp_args args = { .present = msg->sent.required };
		const char *why;

		args.arg[KCP_T_ROLES].num = KCP_ROLE_SENDER;
		args.arg[KCP_T_CHAN_ID].num = 1;
		assert_int_equal(kcp_message_check(msg, &args, KCP_REQUEST, &why), KC_EPROTO);
		assert_non_null(strstr(why, "NAME"));
		args.present |= KCP_TLV_BIT(KCP_T_NAME);
		assert_int_equal(kcp_message_check(msg, &args, KCP_REQUEST, &why), 0);
		args.present |= KCP_TLV_BIT(KCP_T_CHAN_ID);
		assert_int_equal(kcp_message_check(msg, &args, KCP_REQUEST, &why), KC_EPROTO);
		args.present &= ~KCP_TLV_BIT(KCP_T_NAME);
		assert_int_equal(kcp_message_check(msg, &args, KCP_REQUEST, &why), 0);
	}
}

static void numbers_stay_within_their_bounds(void **state)
{
	static const struct {
		const char *vector;
		uint16_t tlv;
		uint64_t value;
		int expected;
	} cases[] = {
		{ "chan-make-all", KCP_T_KIND, 3, 0 },
		{ "chan-make-all", KCP_T_KIND, 4, KC_EINVAL },
		{ "chan-make-all", KCP_T_ELEM_SIZE, 65536, 0 },
		{ "chan-make-all", KCP_T_ELEM_SIZE, 65537, KC_EINVAL },
		{ "chan-make-all", KCP_T_CAPACITY, 1048576, 0 },
		{ "chan-make-all", KCP_T_CAPACITY, 1048577, KC_EINVAL },
		{ "chan-make-all", KCP_T_MAX_MSG, 16777216, 0 },
		{ "chan-make-all", KCP_T_MAX_MSG, 16777217, KC_EINVAL },
		{ "chan-make-all", KCP_T_MAX_BYTES, UINT64_MAX, 0 },
		{ "chan-make-all", KCP_T_OVERFLOW, 2, 0 },
		{ "chan-make-all", KCP_T_OVERFLOW, 3, KC_EINVAL },
		{ "chan-make-all", KCP_T_MODE, 0777, 0 },
		{ "chan-make-all", KCP_T_MODE, 01000, KC_EINVAL },
		{ "chan-make-all", KCP_T_CHAN_FLAGS, 3, 0 },
		{ "chan-make-all", KCP_T_CHAN_FLAGS, 4, KC_EINVAL },
		{ "chan-make-all", KCP_T_ROLES, 0, KC_EINVAL },
		{ "chan-make-all", KCP_T_ROLES, 3, 0 },
		{ "chan-make-all", KCP_T_ROLES, 4, 0 },
		{ "chan-make-all", KCP_T_ROLES, 5, KC_EINVAL },
		{ "chan-make-all", KCP_T_ROLES, 8, KC_EINVAL },
		{ "chan-make-all", KCP_T_CREDIT, 65536, 0 },
		{ "chan-make-all", KCP_T_CREDIT, 65537, KC_EINVAL },
		{ "chan-make-all", KCP_T_LEASE_MS, 0, KC_EINVAL },
		{ "chan-make-all", KCP_T_LEASE_MS, 86400000, 0 },
		{ "chan-make-all", KCP_T_LEASE_MS, 86400001, KC_EINVAL },
		{ "chan-make-all", KCP_T_FLAGS, KCP_F_LEASE, 0 },
		{ "chan-make-all", KCP_T_FLAGS, KCP_F_LEASE | KCP_F_OFFER, KC_EINVAL },
		{ "chan-open-id", KCP_T_CHAN_ID, 0, KC_EINVAL },
		{ "chan-detach", KCP_T_ATTACH, 0, KC_EINVAL },
		{ "chan-detach", KCP_T_ATTACH, UINT32_MAX, 0 },
		{ "send-offer", KCP_T_FLAGS, KCP_F_OFFER, 0 },
		{ "send-offer", KCP_T_FLAGS, 0, 0 },
		{ "send-offer", KCP_T_FLAGS, KCP_F_LEASE, KC_EINVAL },
		{ "send-offer", KCP_T_TIMEOUT_MS, UINT64_C(1) << 62, 0 },
		{ "send-offer", KCP_T_TIMEOUT_MS, (UINT64_C(1) << 62) + 1, KC_EINVAL },
		{ "recv-lease", KCP_T_FLAGS, KCP_F_LEASE | KCP_F_OFFER, 0 },
		{ "recv-lease", KCP_T_FLAGS, KCP_F_PROVISIONAL, KC_EINVAL },
		{ "recv-lease", KCP_T_FLAGS, 1u << 31, KC_EINVAL },
		{ "recv-reply-provisional", KCP_T_FLAGS, KCP_F_CREATED, KC_EINVAL },
		{ "chan-make-reply", KCP_T_FLAGS, KCP_F_MORE, KC_EINVAL },
		{ "chan-list-reply", KCP_T_FLAGS, KCP_F_MORE, 0 },
		{ "hello", KCP_T_MAX_FRAME, 65535, KC_EINVAL },
		{ "hello", KCP_T_MAX_FRAME, UINT32_MAX, 0 },
	};

	for (size_t i = 0; i < KC_ARRAY_SIZE(cases); i++) {
		const struct kct_vector *v = kct_golden_find(&golden, cases[i].vector);
		const char *why = NULL;
		struct kcp_args args;
		int r;

		assert_non_null(v);
		args = args_of(v);
		assert_true(kcp_has(&args, cases[i].tlv));
		args.arg[cases[i].tlv].num = cases[i].value;
		r = kcp_message_check(kcp_message_find(v->type), &args, v->form, &why);
		if (r != cases[i].expected)
			fail_msg("%s, %s: %d", v->name, kcp_tlv_name(cases[i].tlv), r);
		if (r)
			assert_ptr_equal(strstr(why, kcp_tlv_name(cases[i].tlv)), why);
	}
}

static void a_reply_that_failed_need_not_tell_more(void **state)
{
	struct kcp_args args = { .present = KCP_TLV_BIT(KCP_T_RESULT) };
	const struct kcp_message *msg = kcp_message_find(KCP_RECV);

	args.arg[KCP_T_RESULT].num = KCP_PIPE;
	assert_int_equal(kcp_message_check(msg, &args, KCP_REPLY, NULL), 0);
	args.arg[KCP_T_RESULT].num = 99999;
	assert_int_equal(kcp_message_check(msg, &args, KCP_REPLY, NULL), 0);
	args.arg[KCP_T_RESULT].num = KCP_OK;
	assert_int_equal(kcp_message_check(msg, &args, KCP_REPLY, NULL), KC_EPROTO);
}

static void the_header_tells_the_form(void **state)
{
	struct kcp_header h = { .id = 5 };

	assert_int_equal(kcp_header_form(&h, true), KCP_REQUEST);
	assert_int_equal(kcp_header_form(&h, false), KC_EPROTO);
	h.flags = KCP_HF_REPLY;
	assert_int_equal(kcp_header_form(&h, true), KC_EPROTO);
	assert_int_equal(kcp_header_form(&h, false), KCP_REPLY);
	h.id = 0;
	assert_int_equal(kcp_header_form(&h, true), KC_EPROTO);
	assert_int_equal(kcp_header_form(&h, false), KC_EPROTO);
	h.flags = 0;
	assert_int_equal(kcp_header_form(&h, true), KCP_NOTICE);
	assert_int_equal(kcp_header_form(&h, false), KCP_EVENT);
}

static void containers_are_checked_like_messages(void **state)
{
	struct kcp_args args = { .present = KCP_TLV_BIT(KCP_T_ATTACH) };
	const char *why;

	args.arg[KCP_T_ATTACH].num = 1;
	args.arg[KCP_T_DELIVERY].num = 0;
	assert_int_equal(kcp_container_check(KCP_T_ATTACHMENT, &args, &why), KC_EPROTO);
	assert_non_null(strstr(why, "DELIVERY is missing in ATTACHMENT"));
	args.present |= KCP_TLV_BIT(KCP_T_DELIVERY);
	assert_int_equal(kcp_container_check(KCP_T_ATTACHMENT, &args, NULL), 0);
	args.arg[KCP_T_ATTACH].num = 0;
	assert_int_equal(kcp_container_check(KCP_T_ATTACHMENT, &args, NULL), KC_EINVAL);
	args.arg[KCP_T_ATTACH].num = 1;
	args.present |= KCP_TLV_BIT(KCP_T_CREDIT);
	assert_int_equal(kcp_container_check(KCP_T_ATTACHMENT, &args, NULL), KC_EPROTO);
	assert_int_equal(kcp_container_check(KCP_T_CHANNEL, &args, NULL), KC_EPROTO);
	/* no container */
	assert_int_equal(kcp_container_check(KCP_T_NAME, &args, NULL), KC_EPROTO);
}

static void unknown_types_have_no_entry(void **state)
{
	static const uint16_t types[] = { 0, 8, 15, 26, 31, 42, 47, 51, 63, 65, 80, 127, 65535 };

	for (size_t i = 0; i < KC_ARRAY_SIZE(types); i++) {
		assert_null(kcp_message_find(types[i]));
		assert_string_equal(kcp_message_name(types[i]), "?");
	}
	assert_string_equal(kcp_message_name(KCP_STATS), "STATS");
}

/* What a daemon finds in a frame by shape alone, in the order of PROTOCOL.md section 2. */
static const char *judge(const struct kct_vector *v)
{
	const uint8_t *payload = v->frame + KCP_HEADER_SIZE;
	const struct kcp_message *msg;
	struct kcp_header header;
	struct kcp_tlv_iter iter = { 0 };
	struct kcp_ranges ranges;
	struct kcp_tlv tlv;
	struct kcp_args args, inner;
	struct kcp_ids ids;
	const char *why = NULL;
	int form, r;

	if (kcp_header_decode(v->frame, KCP_FRAME_DEFAULT, &header, &why))
		return "framing";
	form = kcp_header_form(&header, true);
	if (form < 0)
		return "framing";
	assert_int_equal(form, KCP_REQUEST);
	msg = kcp_message_find(header.type);
	if (!msg)
		return "notsup";
	r = kcp_args_parse(&args, payload, header.length, &why);
	if (!r)
		r = kcp_message_check(msg, &args, (enum kcp_form)form, &why);
	if (!r)
		r = kcp_ranges_parse(&ranges, &args, &why);
	if (!r)
		r = kcp_ids_parse(&ids, &args, &why);
	while (!r && kcp_args_each(&args, &iter, KCP_T_ATTACHMENT, &tlv)) {
		r = kcp_args_parse(&inner, tlv.data, tlv.len, &why);
		if (!r)
			r = kcp_container_check(KCP_T_ATTACHMENT, &inner, &why);
	}
	assert_true((r != 0) == (why != NULL));
	return !r ? "ok" : r == KC_EPROTO ? "proto" : r == KC_EINVAL ? "inval" : "?";
}

static void bad_vectors_are_refused_as_they_say(void **state)
{
	struct kct_golden bad = { 0 };
	unsigned kinds = 0;

	assert_int_equal(kct_golden_load(&bad, "bad.txt"), 0);
	for (size_t i = 0; i < bad.count; i++) {
		const struct kct_vector *v = &bad.vectors[i];
		const char *found = judge(v);

		if (strcmp(found, v->expect))
			fail_msg("%s: %s, not %s", v->name, found, v->expect);
		kinds |= 1u << (v->expect[0] - 'a');
	}
	/* framing, inval, notsup, ok, proto */
	assert_int_equal(kinds, 1u << 5 | 1u << 8 | 1u << 13 | 1u << 14 | 1u << 15);
	kct_golden_done(&bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_in_every_form_has_a_vector),
		cmocka_unit_test(every_allowed_tlv_occurs_in_a_vector),
		cmocka_unit_test(a_missing_tlv_is_named),
		cmocka_unit_test(a_tlv_out_of_place_is_named),
		cmocka_unit_test(a_form_a_message_does_not_have_is_refused),
		cmocka_unit_test(one_of_name_and_id_is_asked_for),
		cmocka_unit_test(numbers_stay_within_their_bounds),
		cmocka_unit_test(a_reply_that_failed_need_not_tell_more),
		cmocka_unit_test(the_header_tells_the_form),
		cmocka_unit_test(containers_are_checked_like_messages),
		cmocka_unit_test(unknown_types_have_no_entry),
		cmocka_unit_test(bad_vectors_are_refused_as_they_say),
	};

	return cmocka_run_group_tests(tests, load_golden, free_golden);
}
