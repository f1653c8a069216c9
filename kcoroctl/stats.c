/* SPDX-License-Identifier: BSD-3-Clause */
/* kcoroctl stats: where every element went, in one channel or in all. */
#include <inttypes.h>
#include <stdio.h>

#include "kcoroctl/cmd.h"
#include "kcoroctl/output.h"

static enum cmd_exit of_daemon(struct cmd_call *call)
{
	struct kc_ipc_daemon_stats s;
	enum cmd_exit status = cmd_connect(call);
	int result;

	if (status != CMD_DONE)
		return status;
	result = kc_ipc_stats(call->conn, &s);
	if (result != 0)
		return cmd_failed(call, "read the statistics of", result);
	if (call->json) {
		out_json_daemon(&s);
		return CMD_DONE;
	}
	printf("%skcorod %s%s, process %" PRIu64 ", up for %" PRIu64 ".%03" PRIu64 " s\n",
	       out_bold(stdout), s.version, out_plain(stdout), s.pid, s.uptime_ms / 1000,
	       s.uptime_ms % 1000);
	printf("  %" PRIu64 " connections, %" PRIu64 " sessions (%" PRIu64 " resumed), %" PRIu64
	       " channels holding %" PRIu64 " bytes\n",
	       s.connections, s.sessions, s.resumes, s.channels, s.bytes);
	printf("  %" PRIu64 " frames in, %" PRIu64 " frames out\n", s.frames_in, s.frames_out);
	printf("elements of all channels, destroyed ones included\n");
	out_ledger(&s.ledger);
	return CMD_DONE;
}

static enum cmd_exit of_channel(struct cmd_call *call)
{
	struct kc_ipc_chan_info info;
	enum cmd_exit status = cmd_look(call, &info);

	if (status != CMD_DONE)
		return status;
	if (call->json) {
		out_json_chan(&info, OUT_LEDGER);
		return CMD_DONE;
	}
	printf("%s%s%s %s\n", out_bold(stdout), info.name, out_plain(stdout), out_id(info.id).s);
	out_ledger(&info.ledger);
	printf("  %" PRIu64 " bytes sent, %" PRIu64 " bytes received, %" PRIu64 " redelivered\n",
	       info.bytes_sent, info.bytes_received, info.redelivered);
	return CMD_DONE;
}

static enum cmd_exit run(struct cmd_call *call)
{
	return call->target ? of_channel(call) : of_daemon(call);
}

static const struct cmd_option options[] = { { NULL } };

const struct cmd cmd_stats = {
	.name = "stats",
	.usage = "[NAME|@ID]",
	.summary = "say where every element went",
	.help = "The ledger of a channel; without NAME that of all channels together, and what\n"
		"the daemon knows of itself. Always, within what is in flight:\n"
		"\n"
		"  sent = received + queued + leased + conflated + dropped + expired + lost\n"
		"\n"
		"The JSON has these names; dropped_by and lost_by hold the reasons, balance is\n"
		"what is missing in the sum.\n"
		"\n"
		"  kcoroctl stats jobs                    one channel\n"
		"  kcoroctl stats                         all, and the daemon\n"
		"  kcoroctl stats jobs --json | jq .received\n",
	.options = options,
	.operand = CMD_OPERAND_MAY,
	.json = true,
	.run = run,
};
