/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's side of a call: connect, and find the channel it names.
 */
#include "kcoroctl/cmd.h"

enum cmd_exit cmd_connect(struct cmd_call *call)
{
	int result = kc_ipc_connect(&call->conn, call->socket);

	return result == 0 ? CMD_DONE : cmd_unreachable(call, result);
}

enum cmd_exit cmd_open(struct cmd_call *call, const struct kc_ipc_open_options *how,
		       kc_chan_t **ret)
{
	const char *doing = how->roles == KC_SENDER	? "send to"
			    : how->roles == KC_RECEIVER ? "receive from"
							: "use";
	enum cmd_exit status = cmd_connect(call);
	int result;

	if (status != CMD_DONE)
		return status;
	result = call->name ? kc_ipc_chan_open(call->conn, call->name, how, ret)
			    : kc_ipc_chan_open_id(call->conn, call->id, how, ret);
	return result == 0 ? CMD_DONE : cmd_failed(call, doing, result);
}

enum cmd_exit cmd_look(struct cmd_call *call, struct kc_ipc_chan_info *ret)
{
	enum cmd_exit status = cmd_connect(call);
	int result;

	if (status != CMD_DONE)
		return status;
	result = kc_ipc_info(call->conn, call->name, call->id, ret);
	return result == 0 ? CMD_DONE : cmd_failed(call, "look at", result);
}
