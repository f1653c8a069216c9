/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kcoroctl complete: what may come next on a command line.
 *
 * The completions of bash, zsh and fish ask this command, so that they offer what
 * the parser knows, from the same tables, and each of them only has to say it in
 * its shell's way.
 *
 * Nobody waits at a prompt: the daemon has a moment to name its channels, then
 * the process ends as if there were none. A timer does that, since connecting
 * and listing have no deadline of their own.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "kcoroctl/cmd.h"
#include "kcoroctl/output.h"

#define ANSWER_MS     300 /* for the daemon, unless KCORO_COMPLETE_MS says otherwise */
#define ANSWER_MS_MAX 60000

/* What the words before the last one amount to. */
struct line {
	const struct cmd *cmd;
	const char *socket;
	const struct cmd_option *awaits; /* the option whose argument comes next */
	bool only_words;		 /* after -- */
	bool target;			 /* the operand is there */
	bool unknown;			 /* no such command or option: nothing fits any more */
};

/* An option, or the beginning of one: what it is where it is the last word. */
static bool has_dash(const struct line *l, const char *word)
{
	return !l->only_words && word[0] == '-';
}

/* "-" alone, as in a list of files, is none. */
static bool is_option(const struct line *l, const char *word)
{
	return has_dash(l, word) && word[1];
}

/* From a word that is no option on, the line is not kcoroctl's any more. */
static bool ends_before(const struct line *l, bool option)
{
	return l->cmd && !l->awaits && cmd_takes_rest(l->cmd) && !option;
}

static void argument_take(struct line *l, const struct cmd_option *o, const char *text)
{
	if (o == &cmd_globals[CMD_GLOBAL_SOCKET] && *text)
		l->socket = text;
}

static void word_take(struct line *l, const char *word)
{
	struct cmd_named named;

	if (l->awaits) {
		argument_take(l, l->awaits, word);
		l->awaits = NULL;
	} else if (!is_option(l, word)) {
		l->target = l->cmd != NULL;
		if (!l->cmd)
			l->cmd = cmd_find(word);
		if (!l->cmd)
			l->unknown = true;
	} else if (strcmp(word, "--") == 0) {
		l->only_words = true;
	} else {
		cmd_option_named(l->cmd, word, &named);
		if (!named.option)
			l->unknown = true;
		else if (named.option->type == CMD_FLAG)
			return;
		else if (named.text)
			argument_take(l, named.option, named.text);
		else
			l->awaits = named.option;
	}
}

/* A line of the answer: the word, and what it means on the same line. */
static void offer(const char *prefix, int prefix_len, const char *dashes, const char *word,
		  const char *meaning)
{
	printf("%.*s%s%s\t", prefix_len, prefix, dashes, word);
	for (; *meaning; meaning++)
		putchar(*meaning == '\n' ? ' ' : *meaning);
	putchar('\n');
}

/* The argument of an option; `prefix` is what of the word stands before it. */
static void offer_argument(const struct cmd_option *o, const char *prefix, int prefix_len)
{
	if (o->type == CMD_FILE)
		printf(":files\t%.*s\n", prefix_len, prefix);
	if (o->type != CMD_WORD)
		return;
	for (const struct cmd_word *w = o->words; w->word; w++) {
		if (!w->alias)
			offer(prefix, prefix_len, "", w->word, "");
	}
}

static void offer_options(const struct cmd *cmd)
{
	for (const struct cmd_option *o = cmd ? cmd->options : NULL; o && o->name; o++)
		offer("", 0, "--", o->name, o->help);
	for (int i = 0; cmd_globals[i].name; i++) {
		if (cmd_has_global(cmd, (enum cmd_global)i))
			offer("", 0, "--", cmd_globals[i].name, cmd_globals[i].help);
	}
}

static void offer_commands(void)
{
	for (size_t i = 0; cmd_table[i]; i++)
		offer("", 0, "", cmd_table[i]->name, cmd_table[i]->summary);
}

static int offer_name(const struct kc_ipc_chan_info *info, void *arg)
{
	(void)arg;
	printf("%s\t%s, %" PRIu64 " elements%s\n", info->name, out_kind(info->kind), info->len,
	       info->closed ? ", closed" : "");
	return 0;
}

static int offer_id(const struct kc_ipc_chan_info *info, void *arg)
{
	(void)arg;
	printf("%s\t%s\n", out_id(info->id).s, info->name);
	return 0;
}

static void too_late(int signo)
{
	(void)signo;
	_exit(CMD_DONE);
}

static void deadline_set(void)
{
	struct sigaction end = { .sa_handler = too_late };
	struct itimerval timer = { 0 };
	const char *wanted = getenv("KCORO_COMPLETE_MS");
	uint64_t ms = ANSWER_MS;
	sigset_t set;

	if (wanted && !cmd_number(wanted, 1, ANSWER_MS_MAX, &ms))
		ms = ANSWER_MS;
	timer.it_value.tv_sec = (time_t)(ms / 1000);
	timer.it_value.tv_usec = (suseconds_t)(ms % 1000 * 1000);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigaction(SIGALRM, &end, NULL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* Whatever is wrong with the daemon is for the command to tell, once it runs. */
static void offer_channels(struct cmd_call *call, const char *socket, bool ids)
{
	int result;

	/* the process may end at any time from now on: what was printed must be whole lines */
	setvbuf(stdout, NULL, _IOLBF, 0);
	deadline_set();
	if (kc_ipc_connect(&call->conn, socket ? socket : call->socket) != 0)
		return;
	result = kc_ipc_list(call->conn, ids ? offer_id : offer_name, NULL);
	(void)result;
}

static void offer_operand(struct cmd_call *call, const struct line *l, const char *word)
{
	switch (l->cmd->operand) {
	case CMD_OPERAND_MAY:
	case CMD_OPERAND_TARGET:
		offer_channels(call, l->socket, word[0] == '@');
		break;
	case CMD_OPERAND_WORD:
		offer_commands();
		break;
	case CMD_OPERAND_NONE:
	case CMD_OPERAND_NAME: /* a new one */
	case CMD_OPERAND_COMMAND:
	case CMD_OPERAND_LINE:
		break;
	}
}

static enum cmd_exit run(struct cmd_call *call)
{
	char **words = call->rest;
	struct line l = { 0 };
	const char *last;
	size_t i;

	for (i = 0; words[i + 1] && !ends_before(&l, is_option(&l, words[i])); i++)
		word_take(&l, words[i]);
	last = words[i];
	if (l.unknown)
		return CMD_DONE;
	if (ends_before(&l, has_dash(&l, last))) {
		if (l.cmd->operand == CMD_OPERAND_COMMAND)
			printf(":command\t%zu\n", i);
	} else if (l.awaits) {
		offer_argument(l.awaits, "", 0);
	} else if (has_dash(&l, last)) {
		struct cmd_named named = { 0 };

		if (last[1])
			cmd_option_named(l.cmd, last, &named);
		if (named.option && named.text)
			offer_argument(named.option, last, (int)(named.text - last));
		else
			offer_options(l.cmd);
	} else if (!l.cmd) {
		offer_commands();
	} else if (!l.target) {
		offer_operand(call, &l, last);
	}
	return CMD_DONE;
}

static const struct cmd_option options[] = { { NULL } };

const struct cmd cmd_complete = {
	.name = "complete",
	.usage = "-- WORD...",
	.summary = "say what may come next on a command line",
	.help = "The completions of bash, zsh and fish ask this. The WORDs are those that follow\n"
		"`kcoroctl`, up to the cursor; the last one, which may be empty, is to be\n"
		"completed. Each line of the answer is something that may stand in its place, a\n"
		"tab, and what it means; whether it begins like the last WORD is for the shell to\n"
		"see. Two lines stand for what the shell knows better (fields end with a tab):\n"
		"\n"
		"  :files PREFIX   a path, with PREFIX in front of it\n"
		"  :command N      what completes the command that begins with WORD N, from 0\n"
		"\n"
		"kcorod is asked for its channels. It has 300 milliseconds, or as many as\n"
		"KCORO_COMPLETE_MS says; without an answer none are named, and nothing is told.\n"
		"\n"
		"  kcoroctl complete -- make jobs --kind ''\n"
		"  kcoroctl complete -- recv ''\n",
	.options = options,
	.operand = CMD_OPERAND_LINE,
	.run = run,
};
