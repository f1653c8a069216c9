/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kcoroctl list: the channels one has any right to.
 *
 * The table is printed while the list comes in; a first pass over the list finds
 * the width of its columns, so that no list, however long, is held in memory.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kcoroctl/cmd.h"
#include "kcoroctl/output.h"

struct list {
	size_t name_width;
	size_t id_width;
	bool json;
	bool any;
};

static int widths(const struct kc_ipc_chan_info *info, void *arg)
{
	struct list *list = arg;
	size_t name = strlen(info->name);
	size_t id = strlen(out_id(info->id).s);

	if (name > list->name_width)
		list->name_width = name;
	if (id > list->id_width)
		list->id_width = id;
	return 0;
}

static void header(const struct list *list)
{
	printf("%s%-*s  %-*s  %-10s  %9s  %9s  %-22s  %7s  %9s  %s%s\n", out_bold(stdout),
	       (int)list->name_width, "NAME", (int)list->id_width, "ID", "KIND", "LENGTH",
	       "CAPACITY", "ELEMENTS", "SENDERS", "RECEIVERS", "STATE", out_plain(stdout));
}

static int row(const struct kc_ipc_chan_info *info, void *arg)
{
	struct list *list = arg;
	char capacity[24] = "-";
	char elements[32];

	if (list->json) {
		out_json_list_item(info, !list->any);
		list->any = true;
		return 0;
	}
	if (!list->any)
		header(list);
	list->any = true;
	if (info->capacity)
		snprintf(capacity, sizeof(capacity), "%zu", info->capacity);
	if (info->elem_size)
		snprintf(elements, sizeof(elements), "%zu bytes", info->elem_size);
	else
		snprintf(elements, sizeof(elements), "messages <= %zu", info->max_msg);
	printf("%-*s  %-*s  %-10s  %9" PRIu64 "  %9s  %-22s  %7" PRIu32 "  %9" PRIu32 "  %s\n",
	       (int)list->name_width, info->name, (int)list->id_width, out_id(info->id).s,
	       out_kind(info->kind), info->len, capacity, elements, info->senders, info->receivers,
	       info->closed ? "closed" : "open");
	return 0;
}

static enum cmd_exit run(struct cmd_call *call)
{
	struct list list = { .name_width = 4, .id_width = 2, .json = call->json };
	enum cmd_exit status = cmd_connect(call);
	int result = 0;

	if (status != CMD_DONE)
		return status;
	if (!call->json)
		result = kc_ipc_list(call->conn, widths, &list);
	if (result == 0)
		result = kc_ipc_list(call->conn, row, &list);
	if (result != 0)
		return cmd_failed(call, "list the channels of", result);
	if (call->json)
		out_json_list_end(!list.any);
	else if (!list.any)
		fprintf(stderr, "no channels; to make one: "
				"kcoroctl make jobs --kind buffered --capacity 1024\n");
	return CMD_DONE;
}

static const struct cmd_option options[] = { { NULL } };

const struct cmd cmd_list = {
	.name = "list",
	.usage = "",
	.summary = "list the channels you have any right to",
	.help = "In the order of their names. With --json an array, a channel per line.\n"
		"\n"
		"  kcoroctl list\n"
		"  kcoroctl list --json | jq -r '.[].name'\n",
	.options = options,
	.operand = CMD_OPERAND_NONE,
	.json = true,
	.run = run,
};
