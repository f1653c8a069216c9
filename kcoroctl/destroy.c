/* SPDX-License-Identifier: BSD-3-Clause */
/* kcoroctl destroy: end a channel and free its name. */
#include "kcoroctl/cmd.h"

static long act(kc_chan_t *ch)
{
	return kc_ipc_chan_destroy(ch);
}

static enum cmd_exit run(struct cmd_call *call)
{
	return cmd_act(call, "destroy", act, NULL);
}

static const struct cmd_option options[] = { { NULL } };

const struct cmd cmd_destroy = {
	.name = "destroy",
	.usage = "NAME|@ID",
	.summary = "destroy a channel and free its name",
	.help = "Closes the channel and frees its name at once. Receivers that are attached may\n"
		"still get what is in it; what is left when the last of them leaves is dropped.\n"
		"Needs the right to administer.\n"
		"\n"
		"  kcoroctl destroy jobs\n",
	.options = options,
	.operand = CMD_OPERAND_TARGET,
	.json = true,
	.run = run,
};
