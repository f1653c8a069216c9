/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon's small parts: maps, pools, registry, rights, quotas, log lines. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kcorod/access.h"
#include "kcorod/log.h"
#include "kcorod/map.h"
#include "kcorod/pool.h"
#include "kcorod/registry.h"
#include "kcoro/error.h"
#include "tests/lib/kct.h"

/* ---- maps and pools --------------------------------------------------------- */

struct item {
	struct kcd_map_node node;
};

static void a_map_finds_what_was_put_in(void **state)
{
	static struct item items[5000];
	struct kcd_map map;

	(void)state;
	memset(items, 0, sizeof(items));
	kcd_map_init(&map);
	assert_null(kcd_map_find(&map, 1));
	assert_null(kcd_map_any(&map));
	for (uint64_t i = 0; i < 5000; i++)
		assert_int_equal(kcd_map_add(&map, &items[i].node, i << 40), 0);
	for (uint64_t i = 0; i < 5000; i += 2)
		kcd_map_remove(&map, &items[i].node);
	for (uint64_t i = 0; i < 5000; i++)
		assert_ptr_equal(kcd_map_find(&map, i << 40), i % 2 ? &items[i].node : NULL);
	assert_int_equal(map.n, 2500);
	while (kcd_map_any(&map))
		kcd_map_remove(&map, kcd_map_any(&map));
	assert_int_equal(map.n, 0);
	kcd_map_done(&map);
}

static void a_map_without_memory_says_so_or_goes_on(void **state)
{
	struct item items[100] = { 0 };
	struct kcd_map map;

	(void)state;
	kcd_map_init(&map);
	kct_alloc_fail_from(1);
	assert_int_equal(kcd_map_add(&map, &items[0].node, 1), KC_ENOMEM);
	kct_alloc_fail_end();
	assert_int_equal(kcd_map_add(&map, &items[0].node, 1), 0);
	kct_alloc_fail_from(1); /* cannot grow: slower, not wrong */
	for (uint64_t i = 1; i < 100; i++)
		assert_int_equal(kcd_map_add(&map, &items[i].node, i + 1), 0);
	kct_alloc_fail_end();
	for (uint64_t i = 0; i < 100; i++)
		assert_ptr_equal(kcd_map_find(&map, i + 1), &items[i].node);
	for (int i = 0; i < 100; i++)
		kcd_map_remove(&map, &items[i].node);
	kcd_map_done(&map);
}

/* A map that once held many is not that large for ever, and finds everything all the while. */
static void a_map_shrinks(void **state)
{
	enum { N = 10000 };
	static struct item many[N];
	struct kcd_map map;

	(void)state;
	kcd_map_init(&map);
	for (uint64_t i = 0; i < N; i++)
		assert_int_equal(kcd_map_add(&map, &many[i].node, i), 0);
	for (uint64_t i = 0; i < N - 10; i++) {
		kcd_map_remove(&map, &many[i].node);
		assert_null(kcd_map_find(&map, i));
		assert_ptr_equal(kcd_map_find(&map, N - 1 - i % 10), &many[N - 1 - i % 10].node);
	}
	assert_true(map.bits <= 8);
	for (uint64_t i = N - 10; i < N; i++)
		kcd_map_remove(&map, &many[i].node);
	assert_int_equal(map.n, 0);
	kcd_map_done(&map);
}

/* Keys of bytes: all of them count, and where two are equal both are found. */
static void a_map_of_equal_keys(void **state)
{
	static const char *const names[] = { "", "a", "b", "ab", "ba", "abcdefgh", "abcdefgi",
					     "abcdefghi", "bbcdefgh", "abcdefghabcdefgh" };
	struct item first, second, other;
	struct kcd_map_node *one, *two;
	struct kcd_map map;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		uint64_t key = kcd_map_key(names[i], strlen(names[i]));

		assert_true(kcd_map_key(names[i], strlen(names[i])) == key);
		for (size_t k = 0; k < i; k++)
			assert_true(kcd_map_key(names[k], strlen(names[k])) != key);
	}
	assert_true(kcd_map_key("a", 1) != kcd_map_key("a", 2));
	kcd_map_init(&map);
	assert_int_equal(kcd_map_add(&map, &first.node, 7), 0);
	for (uint64_t i = 8; i < 12; i++)
		assert_null(kcd_map_find(&map, i));
	assert_int_equal(kcd_map_add(&map, &other.node, 8), 0);
	assert_int_equal(kcd_map_add(&map, &second.node, 7), 0);
	one = kcd_map_find(&map, 7);
	two = kcd_map_again(one);
	assert_true((one == &first.node && two == &second.node) ||
		    (one == &second.node && two == &first.node));
	assert_null(kcd_map_again(two));
	assert_null(kcd_map_again(&other.node));
	kcd_map_remove(&map, one);
	assert_ptr_equal(kcd_map_find(&map, 7), two);
	kcd_map_remove(&map, two);
	kcd_map_remove(&map, &other.node);
	kcd_map_done(&map);
}

static void a_pool_gives_the_same_memory_again(void **state)
{
	struct kcd_pool pool;
	void *pieces[4];

	(void)state;
	kcd_pool_init(&pool, 100, 2);
	for (int i = 0; i < 4; i++) {
		pieces[i] = kcd_pool_get(&pool);
		assert_non_null(pieces[i]);
		memset(pieces[i], i, 100);
	}
	for (int i = 0; i < 4; i++)
		kcd_pool_put(&pool, pieces[i]);
	assert_int_equal(pool.n, 2); /* no more than it keeps */
	kct_alloc_fail_from(1);
	assert_ptr_equal(kcd_pool_get(&pool), pieces[1]);
	assert_ptr_equal(kcd_pool_get(&pool), pieces[0]);
	assert_null(kcd_pool_get(&pool));
	kct_alloc_fail_end();
	kcd_pool_put(&pool, pieces[0]);
	kcd_pool_put(&pool, pieces[1]);
	kcd_pool_put(&pool, NULL);
	kcd_pool_done(&pool);
}

static void buffers_come_in_every_size(void **state)
{
	static const size_t sizes[] = { 0, 1, 256, 257, 4096, 4097, 65536, 65537, 1000000 };
	struct kcd_bufs bufs;

	(void)state;
	kcd_bufs_init(&bufs);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			void *buf = kcd_bufs_get(&bufs, sizes[i]);

			assert_non_null(buf);
			memset(buf, 1, sizes[i]);
			kcd_bufs_put(&bufs, buf, sizes[i]);
		}
	}
	kcd_bufs_done(&bufs);
}

/* ---- registry --------------------------------------------------------------- */

static struct kcd_config config;
static struct kcd_users users;
static struct kcd_registry registry;
static struct kcd_timers timers;
static struct kcd_budget budget = { .max = UINT64_MAX };

static int registry_begin(void **state)
{
	int r = kct_setup(state);

	kcd_config_init(&config);
	kcd_users_init(&users, &config);
	kcd_timers_init(&timers);
	return r < 0 ? r : kcd_registry_init(&registry);
}

static int registry_end(void **state)
{
	kcd_registry_done(&registry);
	kcd_users_done(&users);
	kcd_timers_done(&timers);
	return kct_teardown(state);
}

static struct kcd_channel *add(const char *name)
{
	static const struct kcd_channel_ops ops; /* none of them is called here */
	struct kcd_channel_options opts = { .kind = KCP_KIND_UNLIMITED, .elem_size = 4 };
	struct kcd_user *user = kcd_users_get(&users, 1);
	struct kcd_channel *ch;
	const char *why;

	assert_int_equal(kcd_channel_options_check(&opts, &why), 0);
	ch = kcd_channel_new(&opts, &ops, &timers, &budget, &user->bytes);
	assert_non_null(ch);
	assert_int_equal(kcd_registry_add(&registry, ch, name, strlen(name), user), 0);
	kcd_user_unref(user);
	return ch;
}

static void drop(struct kcd_channel *ch)
{
	kcd_registry_unname(&registry, ch);
	kcd_registry_free(&registry, kcd_registry_entry(&registry, ch));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Thousands of names, put in and taken out in any order, always listed in theirs. */
static void names_are_found_and_listed_in_order(void **state)
{
	enum { N = 3000 };
	static struct kcd_channel *chs[N];
	static char names[N][16], *sorted[N];
	uint64_t seed = kct_seed();
	const struct kcd_channel *before = NULL;
	const char *last = "";
	size_t n = 0;

	(void)state;
	for (int i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "n%llx",
			 (unsigned long long)(kct_random(&seed) % 100000000));
		if (kcd_registry_by_name(&registry, names[i], strlen(names[i])))
			names[i][0] = 'm'; /* the same number twice */
		chs[i] = add(names[i]);
	}
	for (int i = 0; i < N; i += 3) {
		drop(chs[i]);
		chs[i] = NULL;
	}
	for (int i = 0; i < N; i++) {
		struct kcd_channel *ch =
			kcd_registry_by_name(&registry, names[i], strlen(names[i]));

		if (chs[i]) {
			assert_ptr_equal(ch, chs[i]);
			assert_ptr_equal(kcd_registry_by_id(&registry, ch->id), ch);
			sorted[n++] = names[i];
		} else {
			assert_null(ch);
		}
	}
	qsort(sorted, n, sizeof(sorted[0]), by_name);
	for (size_t i = 0; i < n; i++) {
		struct kcd_channel *ch = kcd_registry_after(&registry, last, strlen(last));

		assert_non_null(ch);
		assert_string_equal(ch->name, sorted[i]);
		if (i > 0)
			assert_ptr_equal(kcd_registry_next(&registry, before), ch);
		before = ch;
		last = ch->name;
	}
	assert_null(kcd_registry_next(&registry, before));
	assert_null(kcd_registry_after(&registry, last, strlen(last)));
	for (int i = 0; i < N; i++)
		if (chs[i])
			drop(chs[i]);
	assert_int_equal(registry.n, 0);
}

static void ids_do_not_come_again(void **state)
{
	struct kcd_channel *ch = add("x"), *other;
	uint64_t first = ch->id, second;

	(void)state;
	assert_true(first != 0);
	drop(ch);
	assert_null(kcd_registry_by_id(&registry, first));
	ch = add("x");
	second = ch->id;
	assert_true(second != first);
	assert_null(kcd_registry_by_id(&registry, first));
	assert_null(kcd_registry_by_id(&registry, 0));
	assert_null(kcd_registry_by_id(&registry, second + 1));
	/* without its name it is still there, until it is destroyed */
	kcd_registry_unname(&registry, ch);
	assert_null(kcd_registry_by_name(&registry, "x", 1));
	assert_ptr_equal(kcd_registry_by_id(&registry, second), ch);
	ch->destroyed = true;
	assert_null(kcd_registry_by_id(&registry, second));
	other = add("x");
	assert_ptr_equal(kcd_registry_by_name(&registry, "x", 1), other);
	kcd_registry_free(&registry, kcd_registry_entry(&registry, ch));
	drop(other);
	/* a prefix is another name */
	ch = add("a/b");
	assert_null(kcd_registry_by_name(&registry, "a", 1));
	assert_null(kcd_registry_by_name(&registry, "a/bc", 4));
	assert_ptr_equal(kcd_registry_after(&registry, "a", 1), ch);
	drop(ch);
}

/* ---- rights and quotas ------------------------------------------------------ */

static void the_first_class_that_fits_decides(void **state)
{
	static gid_t groups[] = { 7, 20 };
	static const struct {
		uid_t uid;
		gid_t gid;
		uint32_t mode, rights;
	} cases[] = {
		{ 0, 0, 0000, 7 },	 { 10, 99, 0700, 7 }, { 10, 20, 0070, 0 },
		{ 10, 20, 0420, 4 },	 { 11, 20, 0070, 7 }, { 11, 20, 0700, 0 },
		{ 11, 20, 0007, 0 },	 { 11, 21, 0007, 0 }, /* 20 is a supplementary group */
		{ 11, 21, 0070, 7 },	 { 12, 21, 0741, 4 },
	};
	struct kcd_channel ch = { .uid = 10, .gid = 20 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kcd_peer peer = { .uid = cases[i].uid,
					 .gid = cases[i].gid,
					 .groups = groups,
					 .n_groups = 2 };

		ch.opts.mode = cases[i].mode;
		assert_int_equal(kcd_access_rights(&peer, &ch), cases[i].rights);
	}
	{
		struct kcd_peer other = { .uid = 12, .gid = 12 };
		struct kcd_peer nobody = { .uid = 65534, .gid = 65534 };

		ch.opts.mode = 0705;
		assert_int_equal(kcd_access_rights(&other, &ch), 5);
		ch.uid = 65534; /* who cannot be mapped is nobody's owner */
		assert_int_equal(kcd_access_rights(&nobody, &ch), 5);
		assert_true(kcd_access_may_own(&other));
		assert_false(kcd_access_may_own(&nobody));
	}
	assert_string_equal(kcd_access_name(KCP_RIGHT_RECV | KCP_RIGHT_SEND), "receive");
	assert_string_equal(kcd_access_name(KCP_RIGHT_SEND | KCP_RIGHT_ADMIN), "send");
	assert_string_equal(kcd_access_name(KCP_RIGHT_ADMIN), "administer");
}

static void budgets_are_charged_whole_or_not_at_all(void **state)
{
	struct kcd_budget all = { .max = 100, .name = "all" };
	struct kcd_budget one = { .max = 60, .name = "one" };
	const char *limit = NULL;
	uint64_t n = 1;

	(void)state;
	assert_int_equal(kcd_budgets_take(&all, &one, 50, &limit), 0);
	assert_int_equal(kcd_budgets_take(&all, &one, 20, &limit), KC_EDQUOT);
	assert_string_equal(limit, "one");
	assert_int_equal(all.used, 50);
	assert_int_equal(one.used, 50);
	one.max = 1000;
	assert_int_equal(kcd_budgets_take(&all, &one, UINT64_MAX, &limit), KC_EDQUOT);
	assert_string_equal(limit, "all");
	assert_int_equal(kcd_budgets_take(&all, &one, 50, &limit), 0);
	kcd_budgets_give(&all, &one, 100);
	assert_int_equal(all.used + one.used, 0);
	assert_int_equal(kcd_count_take(&n, 2, "n", &limit), 0);
	assert_int_equal(kcd_count_take(&n, 2, "n", &limit), KC_EDQUOT);
	assert_string_equal(limit, "n");
	assert_int_equal(n, 2);
}

static void users_live_as_long_as_somebody_cares(void **state)
{
	struct kcd_user *a, *b;

	(void)state;
	a = kcd_users_get(&users, 5);
	b = kcd_users_get(&users, 5);
	assert_ptr_equal(a, b);
	kcd_user_unref(a);
	assert_int_equal(users.map.n, 1);
	assert_int_equal(b->bytes.max, config.user_bytes);
	kcd_user_unref(b);
	kcd_user_unref(NULL);
	assert_int_equal(users.map.n, 0);
}

/* ---- peers ------------------------------------------------------------------ */

static void the_end_of_a_peer_is_seen_either_way(void **state)
{
	struct kcd_peer *peer;
	struct pollfd p = { .events = POLLIN };
	int fds[2], block[2];
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(pipe(block), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char byte;

		close(block[1]);
		_exit(read(block[0], &byte, 1) != 0);
	}
	/* by the socket: both its ends are ours */
	assert_int_equal(kcd_peer_new(fds[0], &users, &peer), 0);
	assert_int_equal(peer->pid, getpid());
	assert_int_equal(peer->uid, geteuid());
	assert_true(kcd_peer_lives(peer));
	kcd_peer_free(peer);
	/* by number */
	p.fd = kcd_peer_pidfd_by_number(pid, geteuid());
	assert_true(p.fd >= 0);
	assert_int_equal(kcd_peer_pidfd_by_number(pid, geteuid() + 1), -1);
	assert_int_equal(kcd_peer_pidfd_by_number(0, 0), -1);
	assert_int_equal(poll(&p, 1, 0), 0);
	close(block[0]);
	close(block[1]);
	assert_int_equal(poll(&p, 1, KCT_PATIENCE_MS), 1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(kcd_peer_pidfd_by_number(pid, geteuid()), -1);
	close(p.fd);
	close(fds[0]);
	close(fds[1]);
}

/* ---- log -------------------------------------------------------------------- */

static void log_lines_name_channel_and_client(void **state)
{
	struct kcd_log_about about = { .channel = "a/b", .pid = 12, .uid = 34 };
	char line[256], tiny[16];
	enum kcd_log_level level;

	(void)state;
	kcd_log_format(line, sizeof(line), KCD_LOG_WARNING, &about, "text");
	assert_string_equal(line, "kcorod: warning: text channel=a/b pid=12 uid=34");
	about.channel = NULL;
	kcd_log_format(line, sizeof(line), KCD_LOG_INFO, &about, "text");
	assert_string_equal(line, "kcorod: info: text pid=12 uid=34");
	kcd_log_format(line, sizeof(line), KCD_LOG_ERROR, NULL, "text");
	assert_string_equal(line, "kcorod: error: text");
	assert_int_equal(kcd_log_format(tiny, sizeof(tiny), KCD_LOG_ERROR, &about, "a long text"),
			 15);
	assert_string_equal(tiny, "kcorod: error: ");
	assert_true(kcd_log_level_parse("notice", &level));
	assert_int_equal(level, KCD_LOG_NOTICE);
	assert_false(kcd_log_level_parse("Notice", &level));
}

static void debug_categories_are_chosen_by_name(void **state)
{
	(void)state;
	assert_int_equal(setenv("KCORO_DEBUG", "nonsense,chan,frames,session", 1), 0);
	kcd_log_init(KCD_LOG_INFO);
	assert_true(kcd_debugging(KCD_DEBUG_CHAN));
	assert_true(kcd_debugging(KCD_DEBUG_SESSION));
	assert_false(kcd_debugging(KCD_DEBUG_FRAME));
	assert_int_equal(setenv("KCORO_DEBUG", "all", 1), 0);
	kcd_log_init(KCD_LOG_INFO);
	assert_true(kcd_debugging(KCD_DEBUG_FRAME));
	assert_int_equal(unsetenv("KCORO_DEBUG"), 0);
	kcd_log_init(KCD_LOG_INFO);
	assert_false(kcd_debugging(KCD_DEBUG_CONN));
}

#define REGISTRY_TEST(fn) cmocka_unit_test_setup_teardown(fn, registry_begin, registry_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(a_map_finds_what_was_put_in),
		KCT_TEST(a_map_without_memory_says_so_or_goes_on),
		KCT_TEST(a_map_shrinks),
		KCT_TEST(a_map_of_equal_keys),
		KCT_TEST(a_pool_gives_the_same_memory_again),
		KCT_TEST(buffers_come_in_every_size),
		REGISTRY_TEST(names_are_found_and_listed_in_order),
		REGISTRY_TEST(ids_do_not_come_again),
		KCT_TEST(the_first_class_that_fits_decides),
		KCT_TEST(budgets_are_charged_whole_or_not_at_all),
		REGISTRY_TEST(users_live_as_long_as_somebody_cares),
		REGISTRY_TEST(the_end_of_a_peer_is_seen_either_way),
		KCT_TEST(log_lines_name_channel_and_client),
		KCT_TEST(debug_categories_are_chosen_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
