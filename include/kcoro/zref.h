/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCORO_ZREF_H
#define KCORO_ZREF_H

#include <stddef.h>
#include <stdint.h>

#include "kcoro/types.h"
#include "kcoro/version.h"

/*
 * Zero copy: channels whose elements are descriptors of memory.
 *
 * A descriptor names a block; sending one moves the block's ownership to the
 * channel, receiving one moves it to the receiver. On failure the sender still
 * owns it. A descriptor that is never delivered (dropped by policy, purged, or
 * left in a channel that goes away) reaches the channel's on-drop hook, whose
 * job it then is to free it. Nobody touches the bytes on the way.
 *
 * Descriptor channels come from kc_chan_make_ptr(), or from an unused byte
 * channel by kc_chan_enable_zero_copy(). All kinds work, rendezvous included.
 * The descriptor calls are canonical; `_ptr` and `_zref` only compose one.
 *
 *	kc_chan_t *ch;
 *	kc_chan_make_ptr(&ch, KC_BUFFERED, 64);
 *	kc_chan_send_ptr(ch, block, 512, -1);         // block is the channel's now
 *	void *p; size_t len;
 *	kc_chan_recv_ptr(ch, &p, &len, -1);           // p is ours
 *
 * Backends. What a descriptor may name is decided by the channel's backend:
 * "zref" (built in) hands pointers over inside one process. Further ones are
 * registered by name.
 */
struct kc_zdesc {
	void *addr;         /* the block, in this process */
	size_t len;         /* bytes, at least 1 */
	uint64_t region_id; /* region the block lies in; 0 for zref */
	uint64_t offset;    /* where in the region; 0 for zref */
	uint32_t flags;     /* the backend's; 0 for zref */
};

/*
 * What a backend does. Calls come from the threads that use the channel, several
 * at once, with no lock of the library held. `state` is what attach stored.
 */
struct kc_zcopy_ops {
	/* Bind to one channel. 0 or KC_E*; a failure leaves the channel as it was. */
	int (*attach)(void **ret_state, const void *opts);
	/* The channel goes away. May be NULL. */
	void (*detach)(void *state);
	/* Check and, if need be, rewrite a descriptor on its way in. 0, or a code the
	 * sender gets (KC_EINVAL: not a block of mine; KC_ENOTSUP). */
	int (*send)(void *state, struct kc_zdesc *desc);
	/* The same on its way out; failing here is not possible. May be NULL. */
	void (*recv)(void *state, struct kc_zdesc *desc);
};

#define KC_ZCOPY_BACKENDS_MAX 16 /* registered at one time, built-in ones included */
#define KC_ZCOPY_NAME_MAX 31     /* bytes of a backend's name */

KC_BEGIN_DECLS

/**
 * kc_zcopy_register() - add a backend under a name
 * @name:          1..KC_ZCOPY_NAME_MAX bytes; copied
 * @ops:           kept by reference; must live as long as the process uses it
 *
 * Returns: the backend's id, 0 or more, or
 *          KC_EINVAL   bad name, or attach or send missing
 *          KC_ENOMEM   no memory
 *          KC_EEXIST   the name is taken
 *          KC_EDQUOT   KC_ZCOPY_BACKENDS_MAX are registered
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_zcopy_register(const char *name, const struct kc_zcopy_ops *ops);

/**
 * kc_zcopy_resolve() - find a backend by name
 * @name:          as given to kc_zcopy_register(); "zref" is always there
 *
 * Returns: the backend's id, 0 or more, or
 *          KC_EINVAL   name is NULL
 *          KC_ENOENT   no such backend
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_zcopy_resolve(const char *name);

/**
 * kc_chan_enable_zero_copy() - make an unused local channel carry descriptors ("zref")
 * @ch:            a local channel nothing was sent to yet
 *
 * Returns: 0, or
 *          KC_EINVAL   NULL, or the channel was used already
 *          KC_ENOTSUP  not a local channel
 *          KC_ENOMEM   no memory
 *          KC_EFORKED  the handle came through a fork
 * Thread:  any, before the channel is shared.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_enable_zero_copy(kc_chan_t *ch);

/**
 * kc_chan_enable_zero_copy_backend() - the same with a backend of one's choice
 * @ch:            a local channel nothing was sent to yet
 * @backend:       id from kc_zcopy_register() or kc_zcopy_resolve()
 * @opts:          handed to the backend's attach as it is; may be NULL
 *
 * Returns: as kc_chan_enable_zero_copy(), or
 *          KC_ENOENT   no backend has this id
 *          any code the backend's attach gives
 * Thread:  any, before the channel is shared.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_enable_zero_copy_backend(kc_chan_t *ch, int backend,
							     const void *opts);

/**
 * kc_chan_send_desc() - move a block into a channel
 * @ch:            a descriptor channel
 * @desc:          names the block; copied
 * @timeout_ms:    0 = try once, < 0 = without bound, > 0 = at most so long
 *
 * Returns: 0 (the block is the channel's), or
 *          KC_EAGAIN   timeout 0 and full (rendezvous: no receiver waits)
 *          KC_ETIME    deadline passed
 *          KC_EPIPE    closed
 *          KC_EINVAL   no descriptor channel, addr NULL or len 0, or the backend refused
 *          KC_ENOTSUP  the backend cannot hand over such a block
 *          KC_ENOMEM   no memory
 *          KC_EFORKED  the handle came through a fork
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_send_desc(kc_chan_t *ch, const struct kc_zdesc *desc,
					      long timeout_ms);

/**
 * kc_chan_recv_desc() - take a block out of a channel
 * @ch:            a descriptor channel
 * @ret_desc:      written on success; the block is the caller's
 * @timeout_ms:    0 = try once, < 0 = without bound, > 0 = at most so long
 *
 * Returns: 0, or
 *          KC_EAGAIN   timeout 0 and empty
 *          KC_ETIME    deadline passed
 *          KC_EPIPE    closed and drained
 *          KC_EINVAL   NULL, or no descriptor channel
 *          KC_EFORKED  the handle came through a fork
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_recv_desc(kc_chan_t *ch, struct kc_zdesc *ret_desc,
					      long timeout_ms);

/**
 * kc_chan_send_desc_c() - kc_chan_send_desc() that a token can end
 * @ch:            a descriptor channel
 * @desc:          names the block; copied
 * @timeout_ms:    as kc_chan_send_desc()
 * @token:         may be NULL
 *
 * Returns: as kc_chan_send_desc(), or KC_ECANCELED
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_send_desc_c(kc_chan_t *ch, const struct kc_zdesc *desc,
						long timeout_ms, kc_cancel_t *token);

/**
 * kc_chan_recv_desc_c() - kc_chan_recv_desc() that a token can end
 * @ch:            a descriptor channel
 * @ret_desc:      written on success
 * @timeout_ms:    as kc_chan_recv_desc()
 * @token:         may be NULL
 *
 * Returns: as kc_chan_recv_desc(), or KC_ECANCELED
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_recv_desc_c(kc_chan_t *ch, struct kc_zdesc *ret_desc,
						long timeout_ms, kc_cancel_t *token);

/**
 * kc_chan_send_descs() - move several blocks into a channel at once
 * @ch:            a descriptor channel
 * @descs:         n of them; copied
 * @n:             1 to KC_BATCH_MAX
 * @timeout_ms:    as kc_chan_send_desc()
 * @token:         may be NULL
 *
 * Waits only until the first has gone; not atomic. It stops at a descriptor that is to be
 * refused, which the next call then reports if it begins with it. With a backend other than
 * "zref" it moves one.
 *
 * Returns: how many blocks, from the first one on, are the channel's (at least 1), or a code
 *          as kc_chan_send_desc_c(), and none is; KC_EINVAL also if n is out of range
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK long kc_chan_send_descs(kc_chan_t *ch, const struct kc_zdesc *descs,
						size_t n, long timeout_ms, kc_cancel_t *token);

/**
 * kc_chan_recv_descs() - take several blocks out of a channel at once
 * @ch:            a descriptor channel
 * @ret_descs:     room for n; as many written as the call returns
 * @n:             1 to KC_BATCH_MAX
 * @timeout_ms:    as kc_chan_recv_desc()
 * @token:         may be NULL
 *
 * Waits only until there is one. With a backend other than "zref" it takes one.
 *
 * Returns: how many blocks are the caller's (at least 1), or a code as
 *          kc_chan_recv_desc_c(); KC_EINVAL also if n is out of range
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK long kc_chan_recv_descs(kc_chan_t *ch, struct kc_zdesc *ret_descs,
						size_t n, long timeout_ms, kc_cancel_t *token);

/**
 * kc_chan_send_ptr() - kc_chan_send_desc() of {ptr, len}
 * @ch:            a descriptor channel
 * @ptr:           the block
 * @len:           its bytes, at least 1
 * @timeout_ms:    as kc_chan_send_desc()
 *
 * Returns: as kc_chan_send_desc()
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_send_ptr(kc_chan_t *ch, void *ptr, size_t len, long timeout_ms);

/**
 * kc_chan_recv_ptr() - kc_chan_recv_desc() into a pointer and a length
 * @ch:            a descriptor channel
 * @ret_ptr:       written on success; the block is the caller's
 * @ret_len:       written on success
 * @timeout_ms:    as kc_chan_recv_desc()
 *
 * Returns: as kc_chan_recv_desc()
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_recv_ptr(kc_chan_t *ch, void **ret_ptr, size_t *ret_len,
					     long timeout_ms);

/**
 * kc_chan_send_ptr_c() - kc_chan_send_ptr() that a token can end
 * @ch:            a descriptor channel
 * @ptr:           the block
 * @len:           its bytes, at least 1
 * @timeout_ms:    as kc_chan_send_desc()
 * @token:         may be NULL
 *
 * Returns: as kc_chan_send_desc_c()
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_send_ptr_c(kc_chan_t *ch, void *ptr, size_t len,
					       long timeout_ms, kc_cancel_t *token);

/**
 * kc_chan_recv_ptr_c() - kc_chan_recv_ptr() that a token can end
 * @ch:            a descriptor channel
 * @ret_ptr:       written on success
 * @ret_len:       written on success
 * @timeout_ms:    as kc_chan_recv_desc()
 * @token:         may be NULL
 *
 * Returns: as kc_chan_recv_desc_c()
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_recv_ptr_c(kc_chan_t *ch, void **ret_ptr, size_t *ret_len,
					       long timeout_ms, kc_cancel_t *token);

/**
 * kc_chan_send_zref() - send a block inside a region the backend knows
 * @ch:            a descriptor channel
 * @desc_addr:     the block
 * @len:           its bytes, at least 1
 * @region_id:     the backend's region, 0 for "zref"
 * @offset:        where in the region, 0 for "zref"
 * @timeout_ms:    as kc_chan_send_desc()
 *
 * Returns: as kc_chan_send_desc()
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_send_zref(kc_chan_t *ch, void *desc_addr, size_t len,
					      uint64_t region_id, uint64_t offset, long timeout_ms);

/**
 * kc_chan_recv_zref() - receive a block with the region it lies in
 * @ch:            a descriptor channel
 * @ret_addr:      written on success; the block is the caller's
 * @ret_len:       written on success
 * @ret_region_id: written on success; may be NULL
 * @ret_offset:    written on success; may be NULL
 * @timeout_ms:    as kc_chan_recv_desc()
 *
 * Returns: as kc_chan_recv_desc()
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_recv_zref(kc_chan_t *ch, void **ret_addr, size_t *ret_len,
					      uint64_t *ret_region_id, uint64_t *ret_offset,
					      long timeout_ms);

KC_END_DECLS

#endif
