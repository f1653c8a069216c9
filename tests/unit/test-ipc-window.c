/* SPDX-License-Identifier: BSD-3-Clause */
/* A sender with a window against a daemon that says, and writes, what the test wants. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/cursor.h"
#include "tests/unit/ipc-peer.h"

#define ATTACH 7u

/* A handle with a window, and its cursor as the daemon sees it. */
struct scene {
	struct peer peer;
	kc_chan_t *ch;
	struct kcp_cursor *cursor;
};

static long open_main(void *arg)
{
	struct scene *s = arg;
	struct kc_ipc_open_options options = KC_IPC_OPEN_OPTIONS_INIT;

	options.roles = KC_SENDER;
	options.window = 16;
	return kc_ipc_chan_open(s->peer.conn, "jobs", &options, &s->ch);
}

static void scene_begin(struct scene *s)
{
	struct peer *p = &s->peer;
	struct kct_call call;
	int fd = memfd_create("kcoro-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	peer_client(p);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, KCP_PAGE_SIZE), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	s->cursor = mmap(NULL, KCP_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(s->cursor != MAP_FAILED);

	kct_call_start(&call, open_main, s);
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
}

static void scene_end(struct scene *s)
{
	peer_finish(&s->peer, s->ch);
	munmap(s->cursor, KCP_PAGE_SIZE);
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
	struct scene s;

	scene_begin(&s);
	atomic_store(&s.cursor->granted, 6);
	assert_int_equal(send_main(s.ch), 3);
	assert_int_equal(send_main(s.ch), 3);
	peer_get(&s.peer, KCP_SEND);
	peer_get(&s.peer, KCP_SEND);
	atomic_store(&s.cursor->accepted, s.peer.header.id);
	scene_end(&s);
}

/* The daemon read the SEND while it had promised nothing, took one of three, and has promised
 * more since: GRANTED is as if nothing had happened. */
static void what_was_refused_is_awaited(void **state)
{
	struct scene s;
	struct kct_call call;

	scene_begin(&s);
	atomic_store(&s.cursor->granted, 6);
	atomic_store(&s.cursor->refused, UINT64_MAX);
	kct_call_start(&call, send_main, s.ch);
	peer_get(&s.peer, KCP_SEND);
	answer(&s.peer, 1);
	assert_int_equal(kct_call_join(&call), 1);
	/* What was refused has used up no promise. */
	atomic_store(&s.cursor->refused, s.peer.header.id);
	assert_int_equal(send_main(s.ch), 3);
	assert_int_equal(send_main(s.ch), 3);
	peer_get(&s.peer, KCP_SEND);
	peer_get(&s.peer, KCP_SEND);
	atomic_store(&s.cursor->accepted, s.peer.header.id);
	scene_end(&s);
}

static void what_is_not_covered_any_more_is_awaited(void **state)
{
	struct scene s;
	struct kct_call call;

	scene_begin(&s);
	atomic_store(&s.cursor->granted, 2);
	/* as much of it as is promised */
	assert_int_equal(send_main(s.ch), 2);
	peer_get(&s.peer, KCP_SEND);
	atomic_store(&s.cursor->accepted, s.peer.header.id);
	kct_call_start(&call, send_main, s.ch);
	peer_get(&s.peer, KCP_SEND);
	answer(&s.peer, 3);
	assert_int_equal(kct_call_join(&call), 3);
	scene_end(&s);
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
