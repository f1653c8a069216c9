/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kcoroctl: channels of kcorod from the command line.
 *
 * A command is a struct cmd in a file of its own; this file only lists them and
 * calls the one that was named.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "kcoroctl/cmd.h"

static enum cmd_exit cmd_help_run(struct cmd_call *call)
{
	const struct cmd *cmd;

	if (!call->target) {
		cmd_help_all();
		return CMD_DONE;
	}
	cmd = cmd_find(call->target);
	if (!cmd)
		return cmd_usage(call, "there is no command '%s'", call->target);
	cmd_help(cmd);
	return CMD_DONE;
}

static const struct cmd_option no_options[] = { { NULL } };

static const struct cmd cmd_help_command = {
	.name = "help",
	.usage = "[COMMAND]",
	.summary = "explain a command",
	.help = "Without COMMAND: what commands there are.\n"
		"\n"
		"  kcoroctl help recv                     the same as kcoroctl recv --help\n",
	.options = no_options,
	.operand = CMD_OPERAND_WORD,
	.alone = true,
	.run = cmd_help_run,
};

/* clang-format off */
const struct cmd *const cmd_table[] = {
	&cmd_ping,
	&cmd_list,
	&cmd_info,
	&cmd_stats,
	&cmd_make,
	&cmd_send,
	&cmd_recv,
	&cmd_close,
	&cmd_destroy,
	&cmd_purge,
	&cmd_session,
	&cmd_complete,
	&cmd_help_command,
	NULL,
};
/* clang-format on */

const struct cmd *cmd_find(const char *name)
{
	for (size_t i = 0; cmd_table[i]; i++) {
		if (strcmp(cmd_table[i]->name, name) == 0)
			return cmd_table[i];
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct cmd_call call = { 0 };
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	enum cmd_exit result;

	(void)argc;
	/* a reader of our output that goes away is an error of write(), so that what was not
	 * printed can be given back */
	sigaction(SIGPIPE, &ignore, NULL);

	result = cmd_parse(&call, argv);
	if (result != CMD_DONE)
		return result;
	if (call.version)
		printf("kcoroctl %s\n", KC_VERSION_STRING);
	else if (!call.cmd)
		cmd_help_all();
	else if (call.help)
		cmd_help(call.cmd);
	else
		result = call.cmd->run(&call);
	kc_ipc_disconnect(call.conn);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		if (errno != EPIPE)
			cmd_error("cannot write the output: %s", strerror(errno));
		if (result == CMD_DONE)
			result = CMD_FAILED;
	}
	return result;
}
