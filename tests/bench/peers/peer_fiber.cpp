/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peer_fiber - Boost.Fiber, everything on one thread.
 *
 * Stacks come from Boost's pool, so that they are used again as ours are.
 */
#include <boost/fiber/all.hpp>
#include <boost/version.hpp>
#include <vector>

#include "peer.h"

namespace fibers = boost::fibers;

#define BATCH 1000u
#define STACK 65536u /* as ours by default */

static fibers::pooled_fixedsize_stack &stacks()
{
	static fibers::pooled_fixedsize_stack pool(STACK);

	return pool;
}

template <typename Fn> static fibers::fiber spawn(Fn fn)
{
	return fibers::fiber(fibers::launch::post, std::allocator_arg, stacks(), fn);
}

static double fails(const char *why)
{
	fprintf(stderr, "%s\n", why);
	return -1;
}

static double take_yield(const struct peer_figure *, unsigned long n)
{
	double ns = 0;
	auto other = [n] {
		for (unsigned long i = 0; i < n; i++)
			boost::this_fiber::yield();
	};
	fibers::fiber first = spawn([n, &ns, &other] {
		fibers::fiber second = spawn(other);
		uint64_t start = peer_now();

		other();
		ns = peer_each(start, 2.0 * (double)n);
		second.join();
	});

	first.join();
	return ns;
}

static double spawn_batches(unsigned long batches)
{
	std::vector<fibers::fiber> all(BATCH);
	std::vector<unsigned long> results(BATCH);
	unsigned long sum = 0;
	uint64_t start = 0;
	double ns;

	/* the first batch makes the stacks */
	for (unsigned long i = 0; i <= batches; i++) {
		if (i == 1)
			start = peer_now();
		for (unsigned long k = 0; k < BATCH; k++) {
			unsigned long *result = &results[k];

			all[k] = spawn([result, k] { *result = k; });
		}
		for (unsigned long k = 0; k < BATCH; k++) {
			all[k].join();
			sum += results[k];
		}
	}
	ns = peer_each(start, (double)batches * BATCH);
	return sum == (batches + 1) * (BATCH - 1) * BATCH / 2 ? ns : fails("a result is missing");
}

static double take_spawn(const struct peer_figure *, unsigned long batches)
{
	double ns = 0;
	fibers::fiber first = spawn([&ns, batches] { ns = spawn_batches(batches); });

	first.join();
	return ns;
}

static double take_rtt(const struct peer_figure *, unsigned long n)
{
	typedef fibers::unbuffered_channel<uint64_t> channel;
	const auto success = fibers::channel_op_status::success;
	unsigned long warm = n / 10 + 1;
	channel ping, pong;
	bool bad = false;
	double ns = 0;
	fibers::fiber echo = spawn([&] {
		uint64_t ball;

		while (ping.pop(ball) == success)
			bad |= pong.push(ball) != success;
	});
	fibers::fiber first = spawn([&] {
		uint64_t start = 0, ball = 1;

		for (unsigned long i = 0; i < warm + n; i++) {
			if (i == warm)
				start = peer_now();
			bad |= ping.push(ball) != success || pong.pop(ball) != success;
		}
		ns = peer_each(start, (double)n);
		ping.close();
	});

	first.join();
	echo.join();
	return bad ? fails("a channel failed") : ns;
}

/* Elements a second. A channel of 64 holds 63. */
static double take_stream(const struct peer_figure *f, unsigned long count)
{
	typedef fibers::buffered_channel<uint64_t> channel;
	const auto success = fibers::channel_op_status::success;
	unsigned long share = count / f->sides + 1;
	channel ch(f->capacity);
	std::vector<fibers::fiber> senders, receivers;
	uint64_t start = 0, end = 0, sent = 0, received = 0, arrived = 0;
	bool bad = false;

	for (unsigned i = 0; i < f->sides; i++)
		senders.push_back(spawn([&] {
			start = start ? start : peer_now();
			for (uint64_t left = share; left > 0; left--) {
				bad |= ch.push(left) != success;
				sent += left;
			}
		}));
	for (unsigned i = 0; i < f->sides; i++)
		receivers.push_back(spawn([&] {
			uint64_t value, sum = 0, n = 0;

			for (; ch.pop(value) == success; n++)
				sum += value;
			received += sum;
			arrived += n;
			end = peer_now();
		}));
	for (auto &sender : senders)
		sender.join();
	ch.close();
	for (auto &receiver : receivers)
		receiver.join();
	if (bad || sent != received || arrived != share * f->sides)
		return fails("not all arrived as it was sent");
	return (double)arrived * 1e9 / (double)(end > start ? end - start : 1);
}

int main(int argc, char **argv)
{
	static const struct peer_figure figures[] = {
		{ "yield", "ns", take_yield, 2000000, 0, 0 },
		{ "spawn_join_1000", "ns", take_spawn, 300, 0, 0 },
		{ "coro_rendezvous_rtt", "ns", take_rtt, 1000000, 0, 0 },
		{ "coro_1x1_cap64_8", "1/s", take_stream, 2000000, 1, 64 },
		{ "coro_4x4_cap64_8", "1/s", take_stream, 2000000, 4, 64 },
	};

	return peer_run(argc, argv, "Boost.Fiber " BOOST_LIB_VERSION, figures,
			sizeof(figures) / sizeof(figures[0]));
}
