/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Zero copy: the registry of backends, the built-in one, and the descriptor
 * calls.
 *
 * A descriptor channel is a local channel whose elements are struct kc_zdesc and
 * that has a backend; chan-wait.c lets the backend look at each descriptor on its
 * way in and out. What is here only composes descriptors.
 *
 * The registry only ever grows, and by one compare-and-swap per entry: no lock
 * that a fork could catch somebody inside.
 */
#include "kcoro/zref.h"

#include <string.h>

#include "kcoro/chan.h"
#include "kcoro/error.h"
#include "libkcoro-client/core/cancel.h"
#include "libkcoro-client/core/chan-call.h"
#include "libkcoro-client/core/chan-local.h"
#include "libkcoro-client/core/detail.h"

struct backend {
	char name[KC_ZCOPY_NAME_MAX + 1];
	const struct kc_zcopy_ops *ops;
};

/* ---- "zref": a pointer handed over inside the process -------------------- */

#define ZREF_ID 0

static int zref_attach(void **ret_state, const void *opts)
{
	(void)opts;
	*ret_state = NULL;
	return 0;
}

static int zref_send(void *state, struct kc_zdesc *desc)
{
	(void)state;
	if (desc->region_id || desc->offset || desc->flags)
		return kci_fail(KC_EINVAL, "zref knows no regions: region_id, offset and flags "
					   "must be 0");
	return 0;
}

static const struct kc_zcopy_ops zref_ops = {
	.attach = zref_attach,
	.send = zref_send,
};

static struct backend zref_backend = { .name = "zref", .ops = &zref_ops };

/* ---- registry ------------------------------------------------------------ */

/* Filled from the front; an entry that is set never changes. */
static _Atomic(struct backend *) backends[KC_ZCOPY_BACKENDS_MAX] = { &zref_backend };

static struct backend *backend_get(int id)
{
	if (id < 0 || id >= KC_ZCOPY_BACKENDS_MAX)
		return NULL;
	return atomic_load_explicit(&backends[id], memory_order_acquire);
}

int kc_zcopy_register(const char *name, const struct kc_zcopy_ops *ops)
{
	size_t len = name ? strnlen(name, KC_ZCOPY_NAME_MAX + 1) : 0;
	struct backend *b;

	if (len < 1 || len > KC_ZCOPY_NAME_MAX)
		return (int)kci_result(kci_fail(KC_EINVAL, "a backend's name has 1 to %d bytes",
						KC_ZCOPY_NAME_MAX));
	if (!ops || !ops->attach || !ops->send)
		return (int)kci_result(kci_fail(KC_EINVAL, "a backend needs attach and send"));
	b = KC_CALLOC(1, sizeof(*b));
	if (!b)
		return (int)kci_result(KC_ENOMEM);
	memcpy(b->name, name, len);
	b->ops = ops;
	for (int id = 0; id < KC_ZCOPY_BACKENDS_MAX; id++) {
		struct backend *there = NULL;

		if (atomic_compare_exchange_strong(&backends[id], &there, b))
			return id;
		if (strcmp(there->name, name) == 0) {
			KC_FREE(b);
			return (int)kci_result(kci_fail(KC_EEXIST, "backend \"%s\"", name));
		}
	}
	KC_FREE(b);
	return (int)kci_result(
		kci_fail(KC_EDQUOT, "%d backends are registered", KC_ZCOPY_BACKENDS_MAX));
}

int kc_zcopy_resolve(const char *name)
{
	if (!name)
		return (int)kci_result(KC_EINVAL);
	for (int id = 0; id < KC_ZCOPY_BACKENDS_MAX; id++) {
		const struct backend *b = backend_get(id);

		if (!b)
			break;
		if (strcmp(b->name, name) == 0)
			return id;
	}
	return (int)kci_result(kci_fail(KC_ENOENT, "no backend \"%s\"", name));
}

/* ---- making descriptor channels ------------------------------------------ */

static int check_unused(const struct kci_local *lc)
{
	if (lc->zcopy)
		return kci_fail(KC_EINVAL, "the channel carries descriptors already");
	if (lc->ledger.sent + lc->in.sent > 0 || !kci_list_empty(&lc->senders) ||
	    !kci_list_empty(&lc->receivers))
		return kci_fail(KC_EINVAL, "the channel was used already");
	if (lc->head.kind == KC_UNLIMITED && lc->max_bytes < sizeof(struct kc_zdesc))
		return kci_fail(KC_EINVAL, "max_bytes holds no descriptor");
	return 0;
}

static int bind_backend(struct kci_local *lc, const struct backend *b, const void *opts)
{
	void *state = NULL;
	int r;

	kci_local_lock(lc);
	r = check_unused(lc);
	kci_local_unlock(lc);
	if (r < 0)
		return r;
	r = b->ops->attach(&state, opts);
	if (r < 0)
		return r;
	kci_local_lock(lc);
	/* once more: attach ran without the lock */
	r = check_unused(lc);
	if (r == 0) {
		lc->zcopy = b->ops;
		lc->zcopy_state = state;
		lc->bare_desc = b == &zref_backend;
		if (lc->head.kind != KC_UNLIMITED)
			lc->max_bytes = 0;
		kci_queue_done(&lc->queue);
		kci_queue_init(&lc->queue, sizeof(struct kc_zdesc));
		lc->head.elem_size = sizeof(struct kc_zdesc);
		kci_local_shape(lc);
		lc->head.max_msg = 0;
		lc->head.capabilities &= ~KC_CHAN_CAP_MSG;
		lc->head.capabilities |= KC_CHAN_CAP_PTR | KC_CHAN_CAP_ZERO_COPY;
	}
	kci_local_unlock(lc);
	if (r < 0 && b->ops->detach)
		b->ops->detach(state);
	return r;
}

int kc_chan_enable_zero_copy(kc_chan_t *ch)
{
	return kc_chan_enable_zero_copy_backend(ch, ZREF_ID, NULL);
}

int kc_chan_enable_zero_copy_backend(kc_chan_t *ch, int backend, const void *opts)
{
	struct kci_local *lc;
	const struct backend *b;
	int r = kci_chan_enter(ch);

	if (r < 0)
		return (int)kci_result(r);
	lc = kci_local_get(ch);
	b = backend_get(backend);
	if (!lc)
		r = kci_fail(KC_ENOTSUP, "only local channels carry descriptors");
	else if (!b)
		r = kci_fail(KC_ENOENT, "no backend has the id %d", backend);
	else
		r = bind_backend(lc, b, opts);
	kci_chan_leave(ch);
	return (int)kci_result(r);
}

int kc_chan_make_ptr(kc_chan_t **ret, enum kc_kind kind, size_t capacity)
{
	kc_chan_t *ch;
	int r;

	if (!ret)
		return (int)kci_result(KC_EINVAL);
	r = kc_chan_make(&ch, kind, sizeof(struct kc_zdesc), capacity);
	if (r < 0)
		return r;
	r = kc_chan_enable_zero_copy(ch);
	if (r < 0) {
		kc_chan_destroy(ch);
		return r;
	}
	*ret = ch;
	return 0;
}

/* ---- sending and receiving ----------------------------------------------- */

/* What is wrong with a descriptor is for the long way to say. */
static inline bool is_bare(const struct kc_zdesc *desc)
{
	return desc && desc->addr && desc->len > 0 &&
	       !(desc->region_id | desc->offset | desc->flags);
}

static inline int send_desc(kc_chan_t *ch, const struct kc_zdesc *desc, long timeout_ms,
			    kc_cancel_t *token)
{
	bool fast = kci_is_fast(ch, KCI_FAST_DESC, token) && is_bare(desc);
	long r;

	if (fast && !token)
		return kci_fast_send_one(ch, desc, timeout_ms);
	r = fast ? kci_fast_send(ch, desc, 1, timeout_ms, /* bare= */ false) : 0;
	if (r <= 0)
		r = kci_send_rest(ch, KCI_DESC, desc, 1, timeout_ms, token, fast, r);
	return r < 0 ? (int)r : 0;
}

static inline int recv_desc(kc_chan_t *ch, struct kc_zdesc *ret_desc, long timeout_ms,
			    kc_cancel_t *token)
{
	bool fast = kci_is_fast(ch, KCI_FAST_DESC, token) && ret_desc;
	long r;

	if (fast && !token)
		return kci_fast_recv_one(ch, ret_desc, timeout_ms);
	r = fast ? kci_fast_recv(ch, ret_desc, 1, timeout_ms, /* bare= */ false) : 0;
	if (r <= 0)
		r = kci_recv_rest(ch, KCI_DESC, ret_desc, 1, timeout_ms, token, fast, r);
	return r < 0 ? (int)r : 0;
}

/* As many at once as need nothing but a ring; else one. */
long kc_chan_send_descs(kc_chan_t *ch, const struct kc_zdesc *descs, size_t n, long timeout_ms,
			kc_cancel_t *token)
{
	bool fast = n - 1 < KC_BATCH_MAX && kci_is_fast(ch, KCI_FAST_DESC, token) &&
		    is_bare(descs);
	size_t bare = 1;
	long r = 0;

	while (fast && bare < n && is_bare(&descs[bare]))
		bare++;
	if (fast)
		r = kci_fast_send(ch, descs, bare, timeout_ms, !token);
	return r > 0 ? r :
		       kci_send_rest(ch, KCI_DESC, descs, n - 1 < KC_BATCH_MAX ? 1 : n, timeout_ms,
				     token, fast, r);
}

long kc_chan_recv_descs(kc_chan_t *ch, struct kc_zdesc *ret_descs, size_t n, long timeout_ms,
			kc_cancel_t *token)
{
	bool fast = n - 1 < KC_BATCH_MAX && kci_is_fast(ch, KCI_FAST_DESC, token) && ret_descs;
	long r = fast ? kci_fast_recv(ch, ret_descs, n, timeout_ms, !token) : 0;

	return r > 0 ? r :
		       kci_recv_rest(ch, KCI_DESC, ret_descs, n - 1 < KC_BATCH_MAX ? 1 : n,
				     timeout_ms, token, fast, r);
}

int kc_chan_send_desc_c(kc_chan_t *ch, const struct kc_zdesc *desc, long timeout_ms,
			kc_cancel_t *token)
{
	return send_desc(ch, desc, timeout_ms, token);
}

int kc_chan_recv_desc_c(kc_chan_t *ch, struct kc_zdesc *ret_desc, long timeout_ms,
			kc_cancel_t *token)
{
	return recv_desc(ch, ret_desc, timeout_ms, token);
}

int kc_chan_send_desc(kc_chan_t *ch, const struct kc_zdesc *desc, long timeout_ms)
{
	return send_desc(ch, desc, timeout_ms, NULL);
}

int kc_chan_recv_desc(kc_chan_t *ch, struct kc_zdesc *ret_desc, long timeout_ms)
{
	return recv_desc(ch, ret_desc, timeout_ms, NULL);
}

static int send_ptr(kc_chan_t *ch, void *ptr, size_t len, long timeout_ms, kc_cancel_t *token)
{
	const struct kc_zdesc desc = { .addr = ptr, .len = len };

	return send_desc(ch, &desc, timeout_ms, token);
}

static int recv_ptr(kc_chan_t *ch, void **ret_ptr, size_t *ret_len, long timeout_ms,
		    kc_cancel_t *token)
{
	struct kc_zdesc desc;
	int r;

	if (!ret_ptr || !ret_len)
		return (int)kci_result(KC_EINVAL);
	r = recv_desc(ch, &desc, timeout_ms, token);
	if (r < 0)
		return r;
	*ret_ptr = desc.addr;
	*ret_len = desc.len;
	return 0;
}

int kc_chan_send_ptr(kc_chan_t *ch, void *ptr, size_t len, long timeout_ms)
{
	if (ptr && len > 0 && kci_is_fast(ch, KCI_FAST_DESC, NULL))
		return kci_fast_send_bare(ch, ptr, len, timeout_ms);
	return send_ptr(ch, ptr, len, timeout_ms, NULL);
}

int kc_chan_recv_ptr(kc_chan_t *ch, void **ret_ptr, size_t *ret_len, long timeout_ms)
{
	if (ret_ptr && ret_len && kci_is_fast(ch, KCI_FAST_DESC, NULL))
		return kci_fast_recv_bare(ch, ret_ptr, ret_len, timeout_ms);
	return recv_ptr(ch, ret_ptr, ret_len, timeout_ms, NULL);
}

int kc_chan_send_ptr_c(kc_chan_t *ch, void *ptr, size_t len, long timeout_ms, kc_cancel_t *token)
{
	return send_ptr(ch, ptr, len, timeout_ms, token);
}

int kc_chan_recv_ptr_c(kc_chan_t *ch, void **ret_ptr, size_t *ret_len, long timeout_ms,
		       kc_cancel_t *token)
{
	return recv_ptr(ch, ret_ptr, ret_len, timeout_ms, token);
}

int kc_chan_send_zref(kc_chan_t *ch, void *desc_addr, size_t len, uint64_t region_id,
		      uint64_t offset, long timeout_ms)
{
	struct kc_zdesc desc = {
		.addr = desc_addr,
		.len = len,
		.region_id = region_id,
		.offset = offset,
	};

	return send_desc(ch, &desc, timeout_ms, NULL);
}

int kc_chan_recv_zref(kc_chan_t *ch, void **ret_addr, size_t *ret_len, uint64_t *ret_region_id,
		      uint64_t *ret_offset, long timeout_ms)
{
	struct kc_zdesc desc;
	int r;

	if (!ret_addr || !ret_len)
		return (int)kci_result(KC_EINVAL);
	r = recv_desc(ch, &desc, timeout_ms, NULL);
	if (r < 0)
		return r;
	*ret_addr = desc.addr;
	*ret_len = desc.len;
	if (ret_region_id)
		*ret_region_id = desc.region_id;
	if (ret_offset)
		*ret_offset = desc.offset;
	return 0;
}
