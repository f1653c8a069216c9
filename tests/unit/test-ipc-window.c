/* SPDX-License-Identifier: BSD-3-Clause */
/* A sender with a window against a daemon that says, and writes, what the test wants. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/cursor.h"
#include "tests/unit/ipc-peer.h"

#define ATTACH 7u

struct opening {
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;
};

static long open_main(void *arg)
{
	struct opening *o = arg;
	struct kc_ipc_open_options options = KC_IPC_OPEN_OPTIONS_INIT;

	options.roles = KC_SENDER;
	options.window = 16;
	return kc_ipc_chan_open(o->conn, "jobs", &options, &o->ch);
}

/* A handle with a window, and its cursor as the daemon sees it. */
static struct kcp_cursor *attach(struct peer *p, kc_chan_t **ret)
{
	struct opening o = { .conn = peer_client(p) };
	struct kct_call call;
	int fd = memfd_create("kcoro-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct kcp_cursor *cursor;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, KCP_PAGE_SIZE), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	cursor = mmap(NULL, KCP_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(cursor != MAP_FAILED);

	kct_call_start(&call, open_main, &o);
	peer_get(p, KCP_CHAN_OPEN);
	peer_opened(p, ATTACH, sizeof(uint64_t));
	peer_get(p, KCP_CHAN_MAP);
	assert_int_equal(kcp_num(&p->args, KCP_T_WINDOW, 0), 16);
	assert_int_equal(kcp_stream_pass_fd(&p->stream, fd), 0);
	peer_begin(p, KCP_CHAN_MAP, KCP_HF_REPLY, p->header.id, 0);
	kcp_put_u32(&p->out, KCP_T_RESULT, KCP_OK);
	kcp_put_u32(&p->out, KCP_T_OFFSET, 0);
	peer_end(p);
	assert_int_equal(kct_call_join(&call), 0);
	*ret = o.ch;
	return cursor;
}

static long send_main(void *ch)
{
	const uint64_t values[] = { 1, 2, 3 };

	return kc_chan_send_many(ch, values, 3, -1, NULL);
}

static void answer(struct peer *p, uint32_t count)
{
	peer_begin_reply(p, KCP_SEND, p->header.id, KCP_OK);
	kcp_put_u32(&p->out, KCP_T_COUNT, count);
	peer_end(p);
}

static void what_is_covered_is_not_awaited(void **state)
{
	struct peer p;
	kc_chan_t *ch;
	struct kcp_cursor *cursor;

	cursor = attach(&p, &ch);
	atomic_store(&cursor->granted, 6);
	assert_int_equal(send_main(ch), 3);
	assert_int_equal(send_main(ch), 3);
	peer_get(&p, KCP_SEND);
	peer_get(&p, KCP_SEND);
	atomic_store(&cursor->accepted, p.header.id);
	peer_finish(&p, ch);
	munmap(cursor, KCP_PAGE_SIZE);
}

/* The daemon read the SEND while it had promised nothing, took one of three, and has promised
 * more since: GRANTED is as if nothing had happened. */
static void what_was_refused_is_awaited(void **state)
{
	struct peer p;
	kc_chan_t *ch;
	struct kcp_cursor *cursor;
	struct kct_call call;

	cursor = attach(&p, &ch);
	atomic_store(&cursor->granted, 6);
	atomic_store(&cursor->refused, UINT64_MAX);
	kct_call_start(&call, send_main, ch);
	peer_get(&p, KCP_SEND);
	answer(&p, 1);
	assert_int_equal(kct_call_join(&call), 1);
	/* What was refused has used up no promise. */
	atomic_store(&cursor->refused, p.header.id);
	assert_int_equal(send_main(ch), 3);
	assert_int_equal(send_main(ch), 3);
	peer_get(&p, KCP_SEND);
	peer_get(&p, KCP_SEND);
	atomic_store(&cursor->accepted, p.header.id);
	peer_finish(&p, ch);
	munmap(cursor, KCP_PAGE_SIZE);
}

static void what_is_not_covered_any_more_is_awaited(void **state)
{
	struct peer p;
	kc_chan_t *ch;
	struct kcp_cursor *cursor;
	struct kct_call call;

	cursor = attach(&p, &ch);
	atomic_store(&cursor->granted, 2);
	/* as much of it as is promised */
	assert_int_equal(send_main(ch), 2);
	peer_get(&p, KCP_SEND);
	atomic_store(&cursor->accepted, p.header.id);
	kct_call_start(&call, send_main, ch);
	peer_get(&p, KCP_SEND);
	answer(&p, 3);
	assert_int_equal(kct_call_join(&call), 3);
	peer_finish(&p, ch);
	munmap(cursor, KCP_PAGE_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(what_is_covered_is_not_awaited),
		KCT_TEST(what_was_refused_is_awaited),
		KCT_TEST(what_is_not_covered_any_more_is_awaited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
