/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors: their owners, the backends, and every way round a channel. */
#include <stdio.h>
#include <string.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"

static const enum kc_kind kinds[] = { KC_RENDEZVOUS, KC_BUFFERED, KC_CONFLATED, KC_UNLIMITED };

static kc_chan_t *make(enum kc_kind kind)
{
	kc_chan_t *ch = NULL;

	assert_int_equal(kc_chan_make_ptr(&ch, kind, kind == KC_BUFFERED ? 4 : 0), 0);
	return ch;
}

static void end(kc_chan_t *ch)
{
	struct kc_chan_snapshot snap;

	assert_int_equal(kc_chan_snapshot(ch, &snap), 0);
	assert_int_equal(kc_ledger_balance(&snap.ledger), 0);
	kc_chan_destroy(ch);
}

/* ---- moving blocks ------------------------------------------------------- */

static void a_block_moves_by_pointer(void **state)
{
	char *block = KC_ALLOC(512);
	kc_chan_t *ch = make(KC_BUFFERED);
	struct kc_chan_snapshot snap;
	void *ptr = NULL;
	size_t len = 0;

	memcpy(block, "hello", 6);
	assert_int_equal(kc_chan_send_ptr(ch, block, 512, -1), 0);
	assert_int_equal(kc_chan_len(ch), 1);
	assert_int_equal(kc_chan_recv_ptr(ch, &ptr, &len, -1), 0);
	assert_ptr_equal(ptr, block);
	assert_int_equal(len, 512);
	assert_string_equal(ptr, "hello");
	/* the bytes counted are those of the block */
	assert_int_equal(kc_chan_snapshot(ch, &snap), 0);
	assert_int_equal(snap.bytes_sent, 512);
	assert_int_equal(snap.bytes_received, 512);
	KC_FREE(ptr);
	end(ch);
}

static void each_spelling_meets_each_other(void **state)
{
	char block[8];
	kc_chan_t *ch = make(KC_UNLIMITED);
	struct kc_zdesc desc = { .addr = block, .len = 8 };
	struct kc_zdesc got;
	uint64_t region = 9, offset = 9;
	void *ptr;
	size_t len;

	assert_int_equal(kc_chan_send_desc(ch, &desc, 0), 0);
	assert_int_equal(kc_chan_send_ptr(ch, block, 8, 0), 0);
	assert_int_equal(kc_chan_send_zref(ch, block, 8, 0, 0, 0), 0);
	assert_int_equal(kc_chan_send_desc_c(ch, &desc, 0, NULL), 0);
	assert_int_equal(kc_chan_send_ptr_c(ch, block, 8, 0, NULL), 0);
	assert_int_equal(kc_chan_recv_zref(ch, &ptr, &len, &region, &offset, 0), 0);
	assert_ptr_equal(ptr, block);
	assert_int_equal(len, 8);
	assert_int_equal(region, 0);
	assert_int_equal(offset, 0);
	assert_int_equal(kc_chan_recv_desc(ch, &got, 0), 0);
	assert_ptr_equal(got.addr, block);
	assert_int_equal(kc_chan_recv_ptr(ch, &ptr, &len, 0), 0);
	assert_int_equal(kc_chan_recv_zref(ch, &ptr, &len, NULL, NULL, 0), 0);
	assert_int_equal(kc_chan_recv_ptr_c(ch, &ptr, &len, 0, NULL), 0);
	assert_int_equal(kc_chan_recv_desc_c(ch, &got, 0, NULL), KC_EAGAIN);
	end(ch);
}

static long recv_block(void *arg)
{
	void *ptr;
	size_t len;
	int r = kc_chan_recv_ptr(arg, &ptr, &len, -1);

	return r < 0 ? r : (long)(uintptr_t)ptr;
}

static void many_blocks_move_at_once(void **state)
{
	static char blocks[8][16];
	struct kc_zdesc in[8] = { 0 }, out[8];
	struct kc_chan_snapshot snap;
	kc_chan_t *ch = make(KC_BUFFERED);

	(void)state;
	for (size_t i = 0; i < 8; i++)
		in[i] = (struct kc_zdesc){ .addr = blocks[i], .len = i + 1 };
	/* the first makes the ring, so it may go alone; four there is room for */
	for (long n = 0, r; n < 4; n += r) {
		r = kc_chan_send_descs(ch, in + n, 8 - (size_t)n, 0, NULL);
		assert_in_range(r, 1, 4 - n);
	}
	assert_int_equal(kc_chan_send_descs(ch, in + 4, 4, 0, NULL), KC_EAGAIN);
	memset(out, 0x55, sizeof(out));
	assert_int_equal(kc_chan_recv_descs(ch, out, 8, -1, NULL), 4);
	for (size_t i = 0; i < 4; i++) {
		assert_ptr_equal(out[i].addr, blocks[i]);
		assert_int_equal(out[i].len, i + 1);
		assert_int_equal(out[i].region_id | out[i].offset | out[i].flags, 0);
	}
	/* now in one go: there is a ring */
	assert_int_equal(kc_chan_send_descs(ch, in + 4, 4, -1, NULL), 4);
	assert_int_equal(kc_chan_recv_descs(ch, out, 3, 0, NULL), 3);
	assert_int_equal(kc_chan_recv_descs(ch, out, 3, 0, NULL), 1);
	assert_ptr_equal(out[0].addr, blocks[7]);
	assert_int_equal(kc_chan_recv_descs(ch, out, 3, 0, NULL), KC_EAGAIN);
	assert_int_equal(kc_chan_snapshot(ch, &snap), 0);
	assert_int_equal(snap.bytes_sent, 36);
	assert_int_equal(snap.bytes_received, 36);
	assert_int_equal(kc_chan_close(ch), 0);
	assert_int_equal(kc_chan_recv_descs(ch, out, 3, -1, NULL), KC_EPIPE);
	assert_int_equal(kc_chan_send_descs(ch, in, 3, -1, NULL), KC_EPIPE);
	end(ch);
}

/* It stops before one that is refused, and says so when that comes first. */
static void a_batch_stops_at_what_is_refused(void **state)
{
	char block[8];
	struct kc_zdesc in[3] = { { .addr = block, .len = 8 }, { .addr = block, .len = 8 } };
	struct kc_zdesc out[3];
	kc_chan_t *ch = make(KC_BUFFERED);
	kc_cancel_t *set;

	(void)state;
	assert_int_equal(kc_chan_send_ptr(ch, block, 8, 0), 0);
	assert_int_equal(kc_chan_recv_descs(ch, out, 1, 0, NULL), 1);
	in[1].region_id = 3;
	assert_int_equal(kc_chan_send_descs(ch, in, 3, 0, NULL), 1);
	assert_int_equal(kc_chan_send_descs(ch, in + 1, 2, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_send_descs(ch, in + 2, 1, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_send_descs(ch, in, 0, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_send_descs(ch, in, KC_BATCH_MAX + 1, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_send_descs(ch, NULL, 1, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_send_descs(NULL, in, 1, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_recv_descs(ch, out, 0, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_recv_descs(ch, out, KC_BATCH_MAX + 1, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_recv_descs(ch, NULL, 1, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_recv_descs(NULL, out, 1, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_cancel_init(&set), 0);
	kc_cancel_trigger(set);
	assert_int_equal(kc_chan_send_descs(ch, in, 1, -1, set), KC_ECANCELED);
	assert_int_equal(kc_chan_recv_descs(ch, out, 1, -1, set), KC_ECANCELED);
	kc_cancel_destroy(set);
	assert_int_equal(kc_chan_recv_descs(ch, out, 3, 0, NULL), 1);
	end(ch);
}

static long send_three(void *arg)
{
	static char block[8];
	struct kc_zdesc in[3];

	for (size_t i = 0; i < 3; i++)
		in[i] = (struct kc_zdesc){ .addr = block, .len = i + 1 };
	for (long n = 0, r; n < 3; n += r) {
		r = kc_chan_send_descs(arg, in + n, 3 - (size_t)n, KCT_PATIENCE_MS, NULL);
		if (r < 0)
			return r;
	}
	return 3;
}

/* Where there is no ring they go one by one, in order. */
static void batches_go_over_every_kind(void **state)
{
	(void)state;
	for (size_t k = 0; k < KC_ARRAY_SIZE(kinds); k++) {
		kc_chan_t *ch = make(kinds[k]);
		struct kc_zdesc out[3] = { 0 };
		struct kct_call call;
		uint64_t last = 0;

		if (kinds[k] == KC_CONFLATED) {
			kc_chan_destroy(ch);
			continue;
		}
		kct_call_start(&call, send_three, ch);
		for (long n = 0, r; n < 3; n += r) {
			r = kc_chan_recv_descs(ch, out, 3, KCT_PATIENCE_MS, NULL);
			assert_in_range(r, 1, 3 - n);
			for (long i = 0; i < r; i++)
				assert_int_equal(out[i].len, ++last);
		}
		assert_int_equal(kct_call_join(&call), 3);
		end(ch);
	}
}

static void a_block_moves_over_every_kind(void **state)
{
	static char block[4];

	for (size_t k = 0; k < 4; k++) {
		kc_chan_t *ch = make(kinds[k]);
		struct kct_call call;

		kct_call_start(&call, recv_block, ch);
		assert_int_equal(kc_chan_send_ptr(ch, block, sizeof(block), -1), 0);
		assert_int_equal(kct_call_join(&call), (uintptr_t)block);
		end(ch);
	}
}

static void on_failure_the_block_stays_with_the_sender(void **state)
{
	char *block = KC_ALLOC(16);
	kc_chan_t *ch = make(KC_RENDEZVOUS);
	kc_cancel_t *token;
	void *ptr = NULL;
	size_t len = 77;

	assert_int_equal(kc_cancel_init(&token), 0);
	kc_cancel_trigger(token);
	assert_int_equal(kc_chan_send_ptr(ch, block, 16, 0), KC_EAGAIN);
	assert_int_equal(kc_chan_send_ptr(ch, block, 16, 1), KC_ETIME);
	assert_int_equal(kc_chan_send_ptr_c(ch, block, 16, -1, token), KC_ECANCELED);
	assert_int_equal(kc_chan_recv_ptr_c(ch, &ptr, &len, -1, token), KC_ECANCELED);
	assert_int_equal(kc_chan_close(ch), 0);
	assert_int_equal(kc_chan_send_ptr(ch, block, 16, -1), KC_EPIPE);
	assert_int_equal(kc_chan_recv_ptr(ch, &ptr, &len, -1), KC_EPIPE);
	assert_null(ptr);
	assert_int_equal(len, 77);
	/* still ours: freed once, here */
	KC_FREE(block);
	kc_cancel_destroy(token);
	end(ch);
}

static void free_block(void *arg, const void *elem, size_t len, enum kc_drop_reason reason)
{
	const struct kc_zdesc *desc = elem;

	(void)reason;
	(*(int *)arg) += len == sizeof(*desc);
	KC_FREE(desc->addr);
}

static void what_is_not_delivered_reaches_the_hook(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	int freed = 0;
	kc_chan_t *ch;

	o.elem_size = 1;
	o.capacity = 2;
	o.overflow = KC_OVERFLOW_DROP_OLDEST;
	o.on_drop = free_block;
	o.on_drop_arg = &freed;
	assert_int_equal(kc_chan_make_ex(&ch, &o), 0);
	assert_int_equal(kc_chan_enable_zero_copy(ch), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(kc_chan_send_ptr(ch, KC_ALLOC(10), 10, -1), 0);
	assert_int_equal(freed, 3);
	end(ch);
	assert_int_equal(freed, 5); /* and the leak checker agrees */
}

/* ---- making -------------------------------------------------------------- */

static void an_unused_byte_channel_becomes_one_of_descriptors(void **state)
{
	for (int messages = 0; messages < 2; messages++) {
		struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
		kc_chan_t *ch;
		char block[1];

		o.elem_size = messages ? 0 : 4;
		o.capacity = 3;
		assert_int_equal(kc_chan_make_ex(&ch, &o), 0);
		assert_int_equal(kc_chan_capabilities(ch), messages ? KC_CHAN_CAP_MSG : 0);
		assert_int_equal(kc_chan_enable_zero_copy(ch), 0);
		assert_int_equal(kc_chan_capabilities(ch), KC_CHAN_CAP_PTR | KC_CHAN_CAP_ZERO_COPY);
		for (int i = 0; i < 3; i++)
			assert_int_equal(kc_chan_send_ptr(ch, block, 1, 0), 0);
		assert_int_equal(kc_chan_send_ptr(ch, block, 1, 0), KC_EAGAIN);
		end(ch);
	}
}

static void a_used_channel_stays_what_it_is(void **state)
{
	kc_chan_t *ch;
	int v = 1;

	assert_int_equal(kc_chan_make(&ch, KC_BUFFERED, sizeof(v), 1), 0);
	assert_int_equal(kc_chan_send(ch, &v, 0), 0);
	assert_int_equal(kc_chan_recv(ch, &v, 0), 0);
	assert_int_equal(kc_chan_enable_zero_copy(ch), KC_EINVAL);
	assert_int_equal(kc_chan_capabilities(ch), 0);
	assert_int_equal(kc_chan_send(ch, &v, 0), 0);
	kc_chan_destroy(ch);
	ch = make(KC_BUFFERED);
	assert_int_equal(kc_chan_enable_zero_copy(ch), KC_EINVAL);
	end(ch);
	assert_int_equal(kc_chan_enable_zero_copy(NULL), KC_EINVAL);
	assert_int_equal(kc_chan_make_ptr(NULL, KC_BUFFERED, 1), KC_EINVAL);
}

static void an_unlimited_channel_needs_room_for_a_descriptor(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	char block[1];
	kc_chan_t *ch;

	o.kind = KC_UNLIMITED;
	o.elem_size = 1;
	o.max_bytes = sizeof(struct kc_zdesc) - 1;
	assert_int_equal(kc_chan_make_ex(&ch, &o), 0);
	assert_int_equal(kc_chan_enable_zero_copy(ch), KC_EINVAL);
	kc_chan_destroy(ch);
	o.max_bytes = 2 * sizeof(struct kc_zdesc);
	assert_int_equal(kc_chan_make_ex(&ch, &o), 0);
	assert_int_equal(kc_chan_enable_zero_copy(ch), 0);
	assert_int_equal(kc_chan_send_ptr(ch, block, 1, 0), 0);
	assert_int_equal(kc_chan_send_ptr(ch, block, 1, 0), 0);
	assert_int_equal(kc_chan_send_ptr(ch, block, 1, 0), KC_EAGAIN);
	end(ch);
}

static void descriptors_of_nothing_are_refused(void **state)
{
	kc_chan_t *ch = make(KC_BUFFERED);
	struct kc_zdesc desc = { 0 };
	char block[1];
	void *ptr;
	size_t len;

	assert_int_equal(kc_chan_send_desc(ch, &desc, -1), KC_EINVAL);
	assert_int_equal(kc_chan_send_ptr(ch, NULL, 1, -1), KC_EINVAL);
	assert_int_equal(kc_chan_send_ptr(ch, block, 0, -1), KC_EINVAL);
	assert_int_equal(kc_chan_send_zref(ch, block, 1, 5, 0, -1), KC_EINVAL);
	assert_string_not_equal(kc_error_detail(), "");
	assert_int_equal(kc_chan_send_zref(ch, block, 1, 0, 5, -1), KC_EINVAL);
	desc = (struct kc_zdesc){ .addr = block, .len = 1, .flags = 1 };
	assert_int_equal(kc_chan_send_desc(ch, &desc, -1), KC_EINVAL);
	assert_int_equal(kc_chan_send_desc(ch, NULL, -1), KC_EINVAL);
	assert_int_equal(kc_chan_recv_desc(ch, NULL, -1), KC_EINVAL);
	assert_int_equal(kc_chan_recv_ptr(ch, NULL, &len, -1), KC_EINVAL);
	assert_int_equal(kc_chan_recv_ptr(ch, &ptr, NULL, -1), KC_EINVAL);
	assert_int_equal(kc_chan_recv_zref(ch, NULL, &len, NULL, NULL, -1), KC_EINVAL);
	assert_int_equal(kc_chan_len(ch), 0);
	end(ch);
}

/* ---- backends ------------------------------------------------------------ */

struct arena {
	char bytes[64];
	int attached;
	int detached;
};

static int arena_attach(void **ret_state, const void *opts)
{
	if (!opts)
		return KC_EBROKEN;
	*ret_state = (void *)(uintptr_t)opts;
	((struct arena *)*ret_state)->attached++;
	return 0;
}

static void arena_detach(void *state)
{
	((struct arena *)state)->detached++;
}

/* On its way an arena's block is an offset, no pointer. */
static int arena_send(void *state, struct kc_zdesc *desc)
{
	struct arena *a = state;
	uintptr_t at = (uintptr_t)desc->addr - (uintptr_t)a->bytes;

	if (at >= sizeof(a->bytes) || desc->len > sizeof(a->bytes) - at)
		return KC_EINVAL;
	desc->addr = NULL;
	desc->offset = at;
	desc->region_id = 1;
	return 0;
}

static void arena_recv(void *state, struct kc_zdesc *desc)
{
	desc->addr = ((struct arena *)state)->bytes + desc->offset;
}

static const struct kc_zcopy_ops arena_ops = {
	.attach = arena_attach,
	.detach = arena_detach,
	.send = arena_send,
	.recv = arena_recv,
};

static void a_backend_rewrites_on_the_way_in_and_out(void **state)
{
	int id = kc_zcopy_register("arena", &arena_ops);
	struct arena arena = { .attached = 0 };
	char elsewhere[4];
	kc_chan_t *ch;
	uint64_t region, offset;
	void *ptr;
	size_t len;

	assert_true(id > 0);
	assert_int_equal(kc_zcopy_resolve("arena"), id);
	assert_int_equal(kc_chan_make(&ch, KC_BUFFERED, 1, 4), 0);
	/* an attach that fails leaves the channel as it was */
	assert_int_equal(kc_chan_enable_zero_copy_backend(ch, id, NULL), KC_EBROKEN);
	assert_int_equal(kc_chan_capabilities(ch), 0);
	assert_int_equal(kc_chan_enable_zero_copy_backend(ch, id + 1, &arena), KC_ENOENT);
	assert_int_equal(kc_chan_enable_zero_copy_backend(ch, -1, &arena), KC_ENOENT);
	assert_int_equal(kc_chan_enable_zero_copy_backend(ch, 1 << 20, &arena), KC_ENOENT);
	assert_int_equal(kc_chan_enable_zero_copy_backend(ch, id, &arena), 0);
	assert_int_equal(arena.attached, 1);

	assert_int_equal(kc_chan_send_ptr(ch, elsewhere, sizeof(elsewhere), -1), KC_EINVAL);
	assert_int_equal(kc_chan_send_ptr(ch, arena.bytes + 60, 5, -1), KC_EINVAL);
	assert_int_equal(kc_chan_send_ptr(ch, arena.bytes + 8, 5, -1), 0);
	assert_int_equal(kc_chan_recv_zref(ch, &ptr, &len, &region, &offset, -1), 0);
	assert_ptr_equal(ptr, arena.bytes + 8);
	assert_int_equal(region, 1);
	assert_int_equal(offset, 8);
	assert_int_equal(arena.detached, 0);
	end(ch);
	assert_int_equal(arena.detached, 1);
}

static void note_addr(void *arg, const void *elem, size_t len, enum kc_drop_reason reason)
{
	(void)len;
	(void)reason;
	*(void **)arg = ((const struct kc_zdesc *)elem)->addr;
}

static void the_hook_sees_what_a_receiver_would(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct arena arena = { .attached = 0 };
	void *seen = NULL;
	kc_chan_t *ch;

	o.elem_size = 1;
	o.capacity = 1;
	o.overflow = KC_OVERFLOW_DROP_NEWEST;
	o.on_drop = note_addr;
	o.on_drop_arg = &seen;
	assert_int_equal(kc_chan_make_ex(&ch, &o), 0);
	assert_int_equal(kc_chan_enable_zero_copy_backend(ch, kc_zcopy_resolve("arena"), &arena),
			 0);
	assert_int_equal(kc_chan_send_ptr(ch, arena.bytes, 1, -1), 0);
	assert_int_equal(kc_chan_send_ptr(ch, arena.bytes + 3, 1, -1), 0);
	assert_ptr_equal(seen, arena.bytes + 3);
	end(ch);
	assert_ptr_equal(seen, arena.bytes);
}

static void names_and_tables_are_checked(void **state)
{
	static const struct kc_zcopy_ops no_send = { .attach = arena_attach };
	static const struct kc_zcopy_ops no_attach = { .send = arena_send };
	char name[KC_ZCOPY_NAME_MAX + 2];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(kc_zcopy_register(NULL, &arena_ops), KC_EINVAL);
	assert_int_equal(kc_zcopy_register("", &arena_ops), KC_EINVAL);
	assert_int_equal(kc_zcopy_register(name, &arena_ops), KC_EINVAL);
	assert_int_equal(kc_zcopy_register("x", NULL), KC_EINVAL);
	assert_int_equal(kc_zcopy_register("x", &no_send), KC_EINVAL);
	assert_int_equal(kc_zcopy_register("x", &no_attach), KC_EINVAL);
	assert_int_equal(kc_zcopy_register("zref", &arena_ops), KC_EEXIST);
	assert_int_equal(kc_zcopy_register("arena", &arena_ops), KC_EEXIST);
	kct_alloc_fail_from(1);
	assert_int_equal(kc_zcopy_register("y", &arena_ops), KC_ENOMEM);
	assert_int_equal(kct_alloc_fail_end(), 1);
	assert_int_equal(kc_zcopy_resolve("y"), KC_ENOENT);
	assert_true(kc_zcopy_resolve("zref") >= 0);
	assert_int_equal(kc_zcopy_resolve("x"), KC_ENOENT);
	assert_int_equal(kc_zcopy_resolve(NULL), KC_EINVAL);
}

static long register_all(void *arg)
{
	long n = 0;

	for (int i = 0; i < KC_ZCOPY_BACKENDS_MAX; i++) {
		char name[16];
		int r;

		(void)snprintf(name, sizeof(name), "race-%d", i);
		r = kc_zcopy_register(name, arg);
		if (r >= 0)
			n++;
		else if (r != KC_EEXIST && r != KC_EDQUOT)
			return -1;
	}
	return n;
}

static void a_name_is_given_once_and_the_table_is_bounded(void **state)
{
	struct kct_call calls[4];
	long n = 0;

	for (int i = 0; i < 4; i++)
		kct_call_start(&calls[i], register_all, (void *)(uintptr_t)&arena_ops);
	for (int i = 0; i < 4; i++) {
		long r = kct_call_join(&calls[i]);

		assert_true(r >= 0);
		n += r;
	}
	/* "zref" and "arena" were there */
	assert_int_equal(n, KC_ZCOPY_BACKENDS_MAX - 2);
	for (int i = 0; i < KC_ZCOPY_BACKENDS_MAX - 2; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "race-%d", i);
		assert_true(kc_zcopy_resolve(name) >= 0);
	}
	assert_int_equal(kc_zcopy_register("one more", &arena_ops), KC_EDQUOT);
}

int main(void)
{
	/* the last three build on the backends registered before them */
	const struct CMUnitTest tests[] = {
		KCT_TEST(a_block_moves_by_pointer),
		KCT_TEST(each_spelling_meets_each_other),
		KCT_TEST(many_blocks_move_at_once),
		KCT_TEST(a_batch_stops_at_what_is_refused),
		KCT_TEST(batches_go_over_every_kind),
		KCT_TEST(a_block_moves_over_every_kind),
		KCT_TEST(on_failure_the_block_stays_with_the_sender),
		KCT_TEST(what_is_not_delivered_reaches_the_hook),
		KCT_TEST(an_unused_byte_channel_becomes_one_of_descriptors),
		KCT_TEST(a_used_channel_stays_what_it_is),
		KCT_TEST(an_unlimited_channel_needs_room_for_a_descriptor),
		KCT_TEST(descriptors_of_nothing_are_refused),
		KCT_TEST(a_backend_rewrites_on_the_way_in_and_out),
		KCT_TEST(the_hook_sees_what_a_receiver_would),
		KCT_TEST(names_and_tables_are_checked),
		KCT_TEST(a_name_is_given_once_and_the_table_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
