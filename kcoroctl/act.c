/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What close, destroy and purge share: attach as an observer, do the one thing,
 * report.
 */
#include <stdio.h>

#include "kcoroctl/cmd.h"
#include "kcoroctl/output.h"

enum cmd_exit cmd_act(struct cmd_call *call, const char *doing, long (*act)(kc_chan_t *ch),
		      const char *member)
{
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;
	struct kc_ipc_chan_info info;
	enum cmd_exit status;
	kc_chan_t *ch;
	long result;

	how.roles = KC_OBSERVER;
	status = cmd_open(call, &how, &ch);
	if (status != CMD_DONE)
		return status;
	/* before the act: a channel that was destroyed tells nothing any more */
	result = kc_ipc_chan_info(ch, &info);
	if (result == 0)
		result = act(ch);
	if (result < 0) {
		status = cmd_failed(call, doing, (int)result);
	} else if (call->json) {
		out_json_done(&info, member, result);
	} else if (member) {
		printf("%ld %s dropped from %s\n", result, result == 1 ? "element" : "elements",
		       info.name);
	}
	kc_chan_destroy(ch);
	return status;
}
