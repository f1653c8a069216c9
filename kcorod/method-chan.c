/* SPDX-License-Identifier: BSD-3-Clause */
/* CHAN_MAKE, _OPEN, _DETACH, _CLOSE, _DESTROY, _PURGE. */
#include <stdio.h>
#include <string.h>

#include "kcorod/access.h"
#include "kcorod/dispatch.h"
#include "kcorod/output.h"
#include "kcoro/error.h"
#include "proto/name.h"
#include "proto/tlv.h"

/* The rights that roles need: each of them, or (observer) any at all. */
static bool roles_allowed(struct kcd_call *call, const struct kcd_channel *ch, uint32_t roles)
{
	uint32_t have = kcd_access_rights(call->session->peer, ch), need = 0;

	if (roles & KCP_ROLE_RECEIVER)
		need |= KCP_RIGHT_RECV;
	if (roles & KCP_ROLE_SENDER)
		need |= KCP_RIGHT_SEND;
	if (need & ~have) {
		kcd_call_replyf(call, KC_EACCES, "no right to %s", kcd_access_name(need & ~have));
		return false;
	}
	if (have)
		return true;
	kcd_call_reply(call, KC_EACCES, "no right of any kind");
	return false;
}

/* How the client wants to attach. False: answered. */
static bool attach_options(struct kcd_call *call, const struct kcd_channel *ch,
			   struct kcd_attach *ret, uint32_t *ret_credit)
{
	uint32_t flags = (uint32_t)kcp_num(call->args, KCP_T_FLAGS, 0);

	ret->roles = (uint32_t)kcp_num(call->args, KCP_T_ROLES, 0);
	ret->lease = flags & KCP_F_LEASE;
	ret->lease_ms = (uint32_t)kcp_num(call->args, KCP_T_LEASE_MS, KCP_LEASE_DEFAULT_MS);
	*ret_credit = (uint32_t)kcp_num(call->args, KCP_T_CREDIT, 0);
	if (!(ret->roles & KCP_ROLE_RECEIVER))
		*ret_credit = 0;
	if (*ret_credit && !kcd_output_can_give(call->session, ch)) {
		kcd_call_reply(call, KC_EMSGSIZE,
			       "MAX_FRAME is smaller than the channel's largest element");
		return false;
	}
	if (*ret_credit && !ret->lease && (ch->opts.flags & KCP_CHAN_LEASE_ONLY)) {
		kcd_call_reply(call, KC_ENOTSUP, "this channel gives elements as leases only");
		return false;
	}
	return true;
}

/* Attach to a channel that is there, and answer. */
static void attach(struct kcd_call *call, struct kcd_channel *ch, struct kcd_attachment *att,
		   bool created)
{
	const struct kcd_channel_options *o = &ch->opts;
	struct kcd_log_about about = kcd_peer_about(call->session->peer, ch->name);
	uint32_t credit = 0;
	struct kcp_buf *buf;

	(void)attach_options(call, ch, &att->attach, &credit); /* has been asked before */
	kcd_attach_init(&att->attach, ch);
	kcd_debug(KCD_DEBUG_CHAN, &about, "%s, attachment %u, roles %u",
		  created ? "made" : "opened", att->number, att->attach.roles);
	buf = kcd_call_begin(call, 0);
	kcp_put_u64(buf, KCP_T_CHAN_ID, ch->id);
	kcp_put_bytes(buf, KCP_T_NAME, ch->name, strlen(ch->name));
	kcp_put_u32(buf, KCP_T_ATTACH, att->number);
	kcp_put_u32(buf, KCP_T_KIND, o->kind);
	kcp_put_u32(buf, KCP_T_ELEM_SIZE, o->elem_size);
	kcp_put_u32(buf, KCP_T_CAPACITY, o->capacity);
	kcp_put_u32(buf, KCP_T_MAX_MSG, o->max_msg);
	kcp_put_u64(buf, KCP_T_MAX_BYTES, o->max_bytes);
	kcp_put_u32(buf, KCP_T_OVERFLOW, o->overflow);
	kcp_put_u32(buf, KCP_T_CHAN_FLAGS, o->flags);
	if (created)
		kcp_put_u32(buf, KCP_T_FLAGS, KCP_F_CREATED);
	kcd_call_end(call);
	if (credit)
		kcd_attach_credit(&att->attach, credit);
}

static void open_channel(struct kcd_call *call, struct kcd_channel *ch)
{
	struct kcd_attachment *att;
	struct kcd_attach wanted;
	const char *limit;
	uint32_t credit;
	int r;

	if (!roles_allowed(call, ch, (uint32_t)kcp_num(call->args, KCP_T_ROLES, 0)) ||
	    !attach_options(call, ch, &wanted, &credit))
		return;
	r = kcd_attachment_new(call->session, &att, &limit);
	if (r == KC_EDQUOT)
		kcd_call_over_limit(call, limit);
	else if (r < 0)
		kcd_call_reply(call, r, NULL);
	else
		attach(call, ch, att, /* created= */ false);
}

void kcd_do_chan_open(struct kcd_call *call)
{
	open_channel(call, call->channel);
}

/* What an existing channel has otherwise than asked for, in words; false: nothing. */
static bool differs(const struct kcd_channel_options *have, const struct kcd_channel_options *want,
		    char *buf, size_t size)
{
	static const char *const kinds[] = { "rendezvous", "buffered", "conflated", "unlimited" };
	static const char *const policies[] = { "block", "drop oldest", "drop newest" };
	const struct {
		const char *name;
		uint64_t have, want;
		const char *const *words; /* NULL: the number itself */
	} parts[] = {
		{ "kind", have->kind, want->kind, kinds },
		{ "element size", have->elem_size, want->elem_size, NULL },
		{ "capacity", have->capacity, want->capacity, NULL },
		{ "largest message", have->max_msg, want->max_msg, NULL },
		{ "byte bound", have->max_bytes, want->max_bytes, NULL },
		{ "overflow policy", have->overflow, want->overflow, policies },
	};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && n < size; i++) {
		const char *sep = n ? "; " : "";

		if (parts[i].have == parts[i].want)
			continue;
		if (parts[i].words)
			n += (size_t)snprintf(buf + n, size - n, "%s%s is %s, not %s", sep,
					      parts[i].name, parts[i].words[parts[i].have],
					      parts[i].words[parts[i].want]);
		else
			n += (size_t)snprintf(buf + n, size - n, "%s%s is %llu, not %llu", sep,
					      parts[i].name, (unsigned long long)parts[i].have,
					      (unsigned long long)parts[i].want);
	}
	return n > 0;
}

/* What the configuration allows beyond the protocol. NULL, or the limit's name. */
static const char *over_limits(const struct kcd_config *c, const struct kcd_channel_options *o)
{
	if (o->max_msg > c->message)
		return "limits.message";
	if (o->max_bytes > c->channel_bytes ||
	    (o->elem_size && (uint64_t)o->elem_size * o->capacity > c->channel_bytes))
		return "limits.channel_bytes";
	return NULL;
}

/* A new channel of the caller's. NULL: answered. */
static struct kcd_channel *create(struct kcd_call *call, const struct kcd_channel_options *opts)
{
	struct kcd_daemon *d = call->daemon;
	struct kcd_peer *peer = call->session->peer;
	const struct kcp_arg *name = kcp_get(call->args, KCP_T_NAME);
	struct kcd_channel *ch;
	const char *limit = NULL;
	uint64_t n = d->registry.n;

	if (!kcd_access_may_own(peer)) {
		kcd_call_replyf(call, KC_EACCES, "uid %u cannot own channels",
				(unsigned)peer->uid);
		return NULL;
	}
	limit = over_limits(&d->config, opts);
	if (limit) {
		kcd_call_replyf(call, KC_EDQUOT, "more than %s allows", limit);
		return NULL;
	}
	kcd_turns_spend(&d->turns, KCD_COST_OBJECT);
	if (kcd_count_take(&n, d->config.channels, "limits.channels", &limit) < 0 ||
	    kcd_count_take(&peer->user->channels, d->config.user_channels, "user_limits.channels",
			   &limit) < 0) {
		kcd_call_over_limit(call, limit);
		return NULL;
	}
	ch = kcd_channel_new(opts, &kcd_session_ops, &d->timers, &d->bytes, &peer->user->bytes);
	if (ch) {
		ch->uid = peer->uid;
		ch->gid = peer->gid;
		/* What MODE denies its own maker is denied before the channel exists. */
		if (roles_allowed(call, ch, (uint32_t)kcp_num(call->args, KCP_T_ROLES, 0))) {
			if (kcd_registry_add(&d->registry, ch, (const char *)name->data, name->len,
					     peer->user) == 0)
				return ch;
			kcd_call_reply(call, KC_ENOMEM, NULL);
		}
	} else {
		kcd_call_reply(call, KC_ENOMEM, NULL);
	}
	peer->user->channels--;
	kcd_channel_free(ch);
	return NULL;
}

/* CHAN_MAKE of a name that is not taken. */
static void make_channel(struct kcd_call *call, const struct kcd_channel_options *opts)
{
	struct kcd_channel plain = { .opts = *opts }, *ch;
	struct kcd_attachment *att;
	struct kcd_attach wanted;
	const char *limit;
	uint32_t credit;
	int r;

	/* All that can fail comes before the channel is made. */
	if (!attach_options(call, &plain, &wanted, &credit))
		return;
	r = kcd_attachment_new(call->session, &att, &limit);
	if (r == KC_EDQUOT)
		kcd_call_over_limit(call, limit);
	else if (r < 0)
		kcd_call_reply(call, r, NULL);
	if (r < 0)
		return;
	ch = create(call, opts);
	if (ch)
		attach(call, ch, att, /* created= */ true);
	else
		kcd_attachment_free(att);
}

void kcd_do_chan_make(struct kcd_call *call)
{
	const struct kcp_arg *name = kcp_get(call->args, KCP_T_NAME);
	struct kcd_channel_options opts = {
		.kind = (enum kcp_kind)kcp_num(call->args, KCP_T_KIND, 0),
		.elem_size = (uint32_t)kcp_num(call->args, KCP_T_ELEM_SIZE, 0),
		.capacity = (uint32_t)kcp_num(call->args, KCP_T_CAPACITY, 0),
		.max_msg = (uint32_t)kcp_num(call->args, KCP_T_MAX_MSG, 0),
		.max_bytes = kcp_num(call->args, KCP_T_MAX_BYTES, 0),
		.overflow = (enum kcp_overflow)kcp_num(call->args, KCP_T_OVERFLOW, 0),
		.mode = (uint32_t)kcp_num(call->args, KCP_T_MODE, 0700),
		.flags = (uint32_t)kcp_num(call->args, KCP_T_CHAN_FLAGS, 0),
	};
	struct kcd_channel *ch;
	char text[KCP_DETAIL_MAX + 1];
	const char *why;

	if (kcp_name_check((const char *)name->data, name->len, &why) < 0) {
		kcd_call_replyf(call, KC_EINVAL, "NAME: %s", why);
		return;
	}
	if (kcd_channel_options_check(&opts, &why) < 0) {
		kcd_call_reply(call, KC_EINVAL, why);
		return;
	}
	ch = kcd_registry_by_name(&call->daemon->registry, (const char *)name->data, name->len);
	if (!ch)
		make_channel(call, &opts);
	else if (!roles_allowed(call, ch, (uint32_t)kcp_num(call->args, KCP_T_ROLES, 0)))
		return;
	else if (differs(&ch->opts, &opts, text, sizeof(text)))
		kcd_call_reply(call, KC_EEXIST, text);
	else
		open_channel(call, ch);
}

void kcd_do_chan_detach(struct kcd_call *call)
{
	kcd_attachment_end(call->att, KC_ECANCELED, /* died= */ false);
	kcd_call_reply(call, 0, NULL);
}

static void log_event(struct kcd_call *call, const char *what)
{
	struct kcd_log_about about = kcd_peer_about(call->session->peer, call->channel->name);

	kcd_debug(KCD_DEBUG_CHAN, &about, "%s", what);
}

/* Until ops->settled. */
static void wait_settled(struct kcd_call *call)
{
	struct kcd_request *req = call->req;

	req->waiting = true;
	kcd_list_append(&call->session->waiting, &req->link);
	kcd_list_append(&call->channel->askers, &req->of_attachment);
}

bool kcd_call_settle(struct kcd_call *call)
{
	if (!kcd_channel_withdraw(call->channel))
		return true;
	/* no memory: then it is answered as well as can be */
	if (!call->req && kcd_request_new(call->session, call->header->id, call->header->type,
					  &call->req) < 0)
		return true;
	wait_settled(call);
	return false;
}

/* Close, and answer once that is so. */
static void close_soon(struct kcd_call *call)
{
	/* also if who asked for it is gone by then */
	call->channel->destroying |= call->header->type == KCP_CHAN_DESTROY;
	if (kcd_channel_close_soon(call->channel)) {
		if (call->channel->destroying)
			kcd_channel_destroy(call->channel);
		kcd_call_reply(call, 0, NULL);
		return;
	}
	wait_settled(call);
}

void kcd_do_chan_close(struct kcd_call *call)
{
	log_event(call, "closed");
	close_soon(call);
}

void kcd_do_chan_destroy(struct kcd_call *call)
{
	log_event(call, "destroyed");
	kcd_registry_unname(&call->daemon->registry, call->channel);
	close_soon(call);
}

static void purge(struct kcd_call *call)
{
	uint64_t n = kcd_channel_purge(call->channel);
	struct kcp_buf *buf = kcd_call_begin(call, 0);

	kcd_turns_spend(&call->daemon->turns, n * KCD_COST_ELEMENT);
	log_event(call, "purged");
	kcp_put_u32(buf, KCP_T_COUNT, n > UINT32_MAX ? UINT32_MAX : (uint32_t)n);
	kcd_call_end(call);
}

void kcd_do_chan_purge(struct kcd_call *call)
{
	if (kcd_call_settle(call))
		purge(call);
}

void kcd_chan_settled(struct kcd_request *req, struct kcd_channel *ch)
{
	struct kcp_header header = { .type = req->type, .id = req->node.key };
	struct kcd_call call = {
		.daemon = req->session->daemon,
		.conn = req->session->conn,
		.session = req->session,
		.header = &header,
		.req = req,
		.channel = ch,
	};

	switch (req->type) {
	case KCP_CHAN_PURGE:
		purge(&call);
		break;
	case KCP_CHAN_INFO:
		/* a reply that is not kept: without a connection it is asked for again */
		call.req = NULL;
		kcd_request_drop(req);
		if (call.conn)
			kcd_chan_tell(&call);
		break;
	default:
		kcd_call_reply(&call, 0, NULL);
	}
}
