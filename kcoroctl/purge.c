/* SPDX-License-Identifier: BSD-3-Clause */
/* kcoroctl purge: drop what is queued. */
#include "kcoroctl/cmd.h"

static enum cmd_exit run(struct cmd_call *call)
{
	return cmd_act(call, "purge", kc_chan_purge, "purged");
}

static const struct cmd_option options[] = { { NULL } };

const struct cmd cmd_purge = {
	.name = "purge",
	.usage = "NAME|@ID",
	.summary = "drop what is queued in a channel",
	.help = "Says how many elements were dropped. Those that somebody holds under a lease\n"
		"stay with their holder. Needs the right to administer.\n"
		"\n"
		"  kcoroctl purge jobs\n",
	.options = options,
	.operand = CMD_OPERAND_TARGET,
	.json = true,
	.run = run,
};
