/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Help, written from the tables of commands and options, so that it cannot
 * name what the parser does not know.
 */
#include <stdio.h>
#include <string.h>

#include "kcoroctl/cmd.h"
#include "kcoroctl/output.h"

#define HELP_COLUMN 26

static const char about[] =
	"kcoroctl uses the channels of kcorod: several programs send to a channel, several\n"
	"receive from it, and each element goes to one of them.\n";

static const char footer[] =
	"A channel is given by its NAME, or as @ID with the id that `kcoroctl list` shows.\n"
	"\n"
	"Try it, with a kcorod that lives as long as the shell:\n"
	"  kcoroctl session -- sh\n"
	"  kcoroctl make jobs --kind buffered --capacity 1024\n"
	"  kcoroctl recv jobs --follow &\n"
	"  seq 1 5 | kcoroctl send jobs\n"
	"  kcoroctl stats jobs\n"
	"  kcoroctl close jobs\n"
	"\n";

static const char exit_codes[] =
	"Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no daemon, 4 timed out,\n"
	"5 closed (recv: and drained).\n";

static void option_print(const struct cmd_option *o)
{
	char left[80];
	const char *text = o->help;
	int n = snprintf(left, sizeof(left), "  %c%c%c--%s%s%s", o->letter ? '-' : ' ',
			 o->letter ? o->letter : ' ', ' ', o->name, o->what ? " " : "",
			 o->what ? o->what : "");

	if (n > HELP_COLUMN - 1)
		printf("%s\n%*s", left, HELP_COLUMN, "");
	else
		printf("%-*s", HELP_COLUMN, left);
	for (;;) {
		size_t line = strcspn(text, "\n");

		printf("%.*s\n", (int)line, text);
		if (!text[line])
			break;
		text += line + 1;
		printf("%*s", HELP_COLUMN, "");
	}
	if (o->type == CMD_WORD) {
		printf("%*s", HELP_COLUMN, "");
		for (const struct cmd_word *w = o->words; w->word; w++) {
			if (!w->alias)
				printf("%s%s", w == o->words ? "" : ", ", w->word);
		}
		printf("\n");
	}
}

static void globals_print(const struct cmd *cmd)
{
	printf("%sfor every command:%s\n", out_bold(stdout), out_plain(stdout));
	for (int i = 0; cmd_globals[i].name; i++) {
		if (cmd_has_global(cmd, (enum cmd_global)i))
			option_print(&cmd_globals[i]);
	}
}

void cmd_help(const struct cmd *cmd)
{
	printf("%susage:%s kcoroctl %s%s%s\n\n", out_bold(stdout), out_plain(stdout), cmd->name,
	       *cmd->usage ? " " : "", cmd->usage);
	printf("%s\n", cmd->help);
	if (cmd->options->name) {
		printf("%soptions:%s\n", out_bold(stdout), out_plain(stdout));
		for (const struct cmd_option *o = cmd->options; o->name; o++)
			option_print(o);
		printf("\n");
	}
	globals_print(cmd);
	/* a session ends as its command does, which its own text explains */
	if (cmd->operand != CMD_OPERAND_COMMAND)
		printf("\n%s", exit_codes);
}

void cmd_help_all(void)
{
	printf("%susage:%s kcoroctl [--socket PATH] [--json] COMMAND ...\n\n", out_bold(stdout),
	       out_plain(stdout));
	printf("%s\n%scommands:%s\n", about, out_bold(stdout), out_plain(stdout));
	for (size_t i = 0; cmd_table[i]; i++)
		printf("  %-10s %s\n", cmd_table[i]->name, cmd_table[i]->summary);
	printf("\n");
	globals_print(NULL);
	printf("\n%s%s", footer, exit_codes);
	printf("\n`kcoroctl COMMAND --help` explains a command.\n");
}
