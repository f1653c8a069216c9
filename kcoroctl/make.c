/* SPDX-License-Identifier: BSD-3-Clause */
/* kcoroctl make: create a channel, or see that it exists as wanted. */
#include <stdio.h>

#include "kcoroctl/cmd.h"
#include "kcoroctl/output.h"

enum {
	OPT_KIND,
	OPT_CAPACITY,
	OPT_ELEM_SIZE,
	OPT_MAX_MSG,
	OPT_BYTES,
	OPT_OVERFLOW,
	OPT_MODE,
	OPT_AUTO_CLOSE,
};

static const struct cmd_word kinds[] = {
	{ "rendezvous", KC_RENDEZVOUS },
	{ "buffered", KC_BUFFERED },
	{ "conflated", KC_CONFLATED },
	{ "unlimited", KC_UNLIMITED },
	{ NULL },
};

static const struct cmd_word policies[] = {
	{ "block", KC_OVERFLOW_BLOCK },
	{ "drop-oldest", KC_OVERFLOW_DROP_OLDEST },
	{ "drop-newest", KC_OVERFLOW_DROP_NEWEST },
	{ "drop_oldest", KC_OVERFLOW_DROP_OLDEST, true },
	{ "drop_newest", KC_OVERFLOW_DROP_NEWEST, true },
	{ NULL },
};

static const struct cmd_option options[] = {
	[OPT_KIND] = { "kind", 'k', CMD_WORD, "KIND", "what sort of channel, one of",
		       .words = kinds },
	[OPT_CAPACITY] = { "capacity", 'c', CMD_NUMBER, "N",
			   "elements it holds, exactly (buffered only)", 1, KC_CAPACITY_MAX },
	[OPT_ELEM_SIZE] = { "elem-size", 0, CMD_SIZE, "N",
			    "each element has exactly N bytes; without this an\n"
			    "element is a message of any length",
			    1, KC_ELEM_MAX },
	[OPT_MAX_MSG] = { "max-msg", 0, CMD_SIZE, "N", "longest message, bytes (default 64K)", 1,
			  KC_MSG_MAX },
	[OPT_BYTES] = { "bytes", 0, CMD_SIZE, "N",
			"bytes it holds, at least two of the longest message\n"
			"(default 1M; messages, and the unlimited kind)",
			1, SIZE_MAX },
	[OPT_OVERFLOW] = { "overflow", 0, CMD_WORD, "POLICY",
			   "what a send does while the channel is full, one of",
			   .words = policies },
	[OPT_MODE] = { "mode", 'm', CMD_MODE, "MODE",
		       "rights as for chmod: 4 receive, 2 send, 1 administer\n"
		       "for owner, group, others (default 700)",
		       1, 0777 },
	[OPT_AUTO_CLOSE] = { "auto-close", 0, CMD_FLAG, NULL,
			     "close by itself when its last sender leaves" },
	{ NULL },
};

static enum cmd_exit check(const struct cmd_call *call)
{
	const struct cmd_value *opt = call->opt;
	bool buffered = opt[OPT_KIND].word == KC_BUFFERED;

	if (!opt[OPT_KIND].set)
		return cmd_usage(call, "which kind? --kind buffered, rendezvous, conflated or "
				       "unlimited");
	if (buffered && !opt[OPT_CAPACITY].set)
		return cmd_usage(call, "a buffered channel needs --capacity N, 1 to %u",
				 KC_CAPACITY_MAX);
	if (!buffered && opt[OPT_CAPACITY].set)
		return cmd_usage(call, "only a buffered channel has a --capacity");
	if (opt[OPT_ELEM_SIZE].set && opt[OPT_MAX_MSG].set)
		return cmd_usage(call, "--elem-size and --max-msg exclude each other: elements are "
				       "of one size, or messages");
	return CMD_DONE;
}

static enum cmd_exit run(struct cmd_call *call)
{
	const struct cmd_value *opt = call->opt;
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;
	struct kc_ipc_chan_info info;
	enum cmd_exit status = check(call);
	kc_chan_t *ch;
	int result;

	if (status != CMD_DONE)
		return status;
	status = cmd_connect(call);
	if (status != CMD_DONE)
		return status;
	o.kind = (enum kc_kind)opt[OPT_KIND].word;
	o.capacity = opt[OPT_CAPACITY].number;
	o.elem_size = opt[OPT_ELEM_SIZE].number;
	o.max_msg = opt[OPT_MAX_MSG].number;
	o.max_bytes = opt[OPT_BYTES].number;
	o.overflow = (enum kc_overflow)opt[OPT_OVERFLOW].word;
	o.mode = (unsigned)opt[OPT_MODE].number;
	o.flags = opt[OPT_AUTO_CLOSE].set ? KC_CHAN_AUTO_CLOSE : 0;
	/* not a sender: its leaving would close a channel that closes by itself */
	how.roles = KC_OBSERVER;
	result = kc_ipc_chan_make(call->conn, call->name, &o, &how, &ch);
	if (result != 0)
		return cmd_failed(call, "make", result);
	result = kc_ipc_chan_info(ch, &info);
	kc_chan_destroy(ch);
	if (result != 0)
		return cmd_failed(call, "look at", result);
	if (call->json)
		out_json_chan(&info, OUT_CHANNEL);
	else
		printf("%s %s\n", info.name, out_id(info.id).s);
	return CMD_DONE;
}

const struct cmd cmd_make = {
	.name = "make",
	.usage = "NAME --kind KIND [--capacity N] [--elem-size N | --max-msg N] [--bytes N]\n"
		 "                           [--overflow POLICY] [--mode MODE] [--auto-close]",
	.summary = "make a channel, or open it if it exists",
	.help = "Prints the channel's name and id. If the channel exists its kind, bounds and\n"
		"overflow policy must be those asked for; its mode stays as it was.\n"
		"\n"
		"  rendezvous   a send waits until somebody receives\n"
		"  buffered     holds --capacity elements; a send waits while it is full\n"
		"  conflated    holds the newest value only; a send never waits\n"
		"  unlimited    holds what --bytes allow\n"
		"\n"
		"A name has parts of letters, digits, _ - and ., joined by /; a part begins with\n"
		"a letter or _.\n"
		"\n"
		"  kcoroctl make jobs --kind buffered --capacity 1024\n"
		"  kcoroctl make weather/oslo --kind conflated --mode 744\n"
		"  kcoroctl make samples --kind buffered --capacity 64 --elem-size 8 "
		"--overflow drop-oldest\n",
	.options = options,
	.operand = CMD_OPERAND_NAME,
	.json = true,
	.run = run,
};
