/* SPDX-License-Identifier: BSD-3-Clause */
/* kcoroctl ping: does kcorod answer, and how fast? */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "kcoroctl/cmd.h"
#include "kcoroctl/output.h"

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static enum cmd_exit run(struct cmd_call *call)
{
	struct kc_ipc_daemon_stats stats;
	enum cmd_exit status = cmd_connect(call);
	double start, took;
	int result;

	if (status != CMD_DONE)
		return status;
	start = now_us();
	result = kc_ipc_ping(call->conn);
	took = now_us() - start;
	if (result == 0)
		result = kc_ipc_stats(call->conn, &stats);
	if (result != 0)
		return cmd_failed(call, "ping", result);
	if (call->json)
		out_json_ping(stats.version, stats.pid, took);
	else
		printf("kcorod %s (process %" PRIu64 ") answers in %.0f microseconds\n",
		       stats.version, stats.pid, took);
	return CMD_DONE;
}

static const struct cmd_option options[] = { { NULL } };

const struct cmd cmd_ping = {
	.name = "ping",
	.usage = "",
	.summary = "ask whether kcorod answers",
	.help = "Makes one round trip to the daemon, and says how long it took.\n"
		"\n"
		"  kcoroctl ping || systemctl start kcorod\n",
	.options = options,
	.operand = CMD_OPERAND_NONE,
	.json = true,
	.run = run,
};
