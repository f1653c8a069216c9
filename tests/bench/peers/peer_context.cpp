/* SPDX-License-Identifier: BSD-3-Clause */
/* peer_context - from one stack to another with Boost.Context. */
#include <boost/context/fiber.hpp>
#include <boost/version.hpp>

#include "peer.h"

namespace context = boost::context;

static double take_switch(const struct peer_figure *, unsigned long n)
{
	bool stop = false;
	context::fiber other([&stop](context::fiber &&back) {
		while (!stop)
			back = std::move(back).resume();
		return std::move(back);
	});
	uint64_t start;
	double ns;

	other = std::move(other).resume();
	start = peer_now();
	for (unsigned long i = 0; i < n; i++)
		other = std::move(other).resume();
	ns = peer_each(start, 2.0 * (double)n);
	stop = true;
	other = std::move(other).resume();
	return ns;
}

int main(int argc, char **argv)
{
	static const struct peer_figure figures[] = {
		{ "switch", "ns", take_switch, 5000000, 0, 0 },
	};

	return peer_run(argc, argv, "Boost.Context " BOOST_LIB_VERSION, figures,
			sizeof(figures) / sizeof(figures[0]));
}
