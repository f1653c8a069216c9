/* SPDX-License-Identifier: BSD-3-Clause */
/* kcoroctl info: what a channel is, and who is at it. */
#include <inttypes.h>
#include <stdio.h>

#include "kcoroctl/cmd.h"
#include "kcoroctl/output.h"

static void people(const struct kc_ipc_chan_info *i)
{
	printf("%s%s%s %s\n", out_bold(stdout), i->name, out_plain(stdout), out_id(i->id).s);
	printf("  kind       %s", out_kind(i->kind));
	if (i->capacity)
		printf(", capacity %zu", i->capacity);
	if (i->max_bytes)
		printf(", at most %zu bytes", i->max_bytes);
	printf("\n  when full  %s\n", out_overflow(i->overflow));
	printf("  elements   %s\n", out_elements(i).s);
	printf("  state      %s%s%s\n", i->closed ? "closed" : "open",
	       i->flags & KC_CHAN_AUTO_CLOSE ? ", closes with its last sender" : "",
	       i->flags & KC_CHAN_LEASE_ONLY ? ", leases only" : "");
	printf("  length     %" PRIu64 " elements, %" PRIu64 " bytes\n", i->len, i->bytes);
	printf("  attached   %" PRIu32 " senders, %" PRIu32 " receivers\n", i->senders,
	       i->receivers);
	printf("  waiting    %" PRIu32 " senders, %" PRIu32 " receivers\n", i->waiting_senders,
	       i->waiting_receivers);
	printf("  owner      %s, group %s\n", out_user(i->uid).s, out_group(i->gid).s);
	printf("  mode       %04o (%s)\n", i->mode & 0777, out_rights(i->mode).s);
}

static enum cmd_exit run(struct cmd_call *call)
{
	struct kc_ipc_chan_info info;
	enum cmd_exit status = cmd_look(call, &info);

	if (status != CMD_DONE)
		return status;
	if (call->json)
		out_json_chan(&info, OUT_CHANNEL | OUT_LEDGER);
	else
		people(&info);
	return CMD_DONE;
}

static const struct cmd_option options[] = { { NULL } };

const struct cmd cmd_info = {
	.name = "info",
	.usage = "NAME|@ID",
	.summary = "say what a channel is",
	.help = "Kind, bounds, what it holds, who is attached, who owns it and who may what.\n"
		"With --json also its ledger (see `kcoroctl stats --help`).\n"
		"\n"
		"  kcoroctl info jobs\n"
		"  kcoroctl info jobs --json | jq .length\n",
	.options = options,
	.operand = CMD_OPERAND_TARGET,
	.json = true,
	.run = run,
};
