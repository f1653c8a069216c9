/* SPDX-License-Identifier: BSD-3-Clause */
/* kcoroctl close: no more sends. */
#include "kcoroctl/cmd.h"

static long act(kc_chan_t *ch)
{
	return kc_chan_close(ch);
}

static enum cmd_exit run(struct cmd_call *call)
{
	return cmd_act(call, "close", act, NULL);
}

static const struct cmd_option options[] = { { NULL } };

const struct cmd cmd_close = {
	.name = "close",
	.usage = "NAME|@ID",
	.summary = "close a channel: no more sends",
	.help = "Later sends are refused. Receivers get what is still in the channel, then learn\n"
		"that it is closed. Closing again does nothing. Needs the right to send or to\n"
		"administer.\n"
		"\n"
		"  kcoroctl close jobs\n",
	.options = options,
	.operand = CMD_OPERAND_TARGET,
	.json = true,
	.run = run,
};
