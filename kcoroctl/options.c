/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command line.
 *
 * Every command describes its options in a table; one parser reads them all, so
 * that every fault is told in the same words: what was wrong, and what is
 * allowed. Numbers are parsed strictly: "12x" is no number.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kcoroctl/cmd.h"

const struct cmd_option cmd_globals[] = {
	[CMD_GLOBAL_SOCKET] = { "socket", 0, CMD_FILE, "PATH",
			    "the daemon's socket (else KCORO_SOCKET, else\n"
			    "$XDG_RUNTIME_DIR/kcorod/kcorod.sock if it answers, else\n"
			    "/run/kcorod/kcorod.sock)" },
	[CMD_GLOBAL_JSON] = { "json", 0, CMD_FLAG, NULL, "report in JSON" },
	[CMD_GLOBAL_HELP] = { "help", 'h', CMD_FLAG, NULL, "explain the command" },
	[CMD_GLOBAL_VERSION] = { "version", 'V', CMD_FLAG, NULL, "say the version" },
	{ NULL },
};

enum cmd_exit cmd_usage(const struct cmd_call *call, const char *format, ...)
{
	const char *name = call->cmd ? call->cmd->name : NULL;
	va_list args;

	fprintf(stderr, "kcoroctl%s%s: ", name ? " " : "", name ? name : "");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	if (name) {
		fprintf(stderr, "  usage: kcoroctl %s%s%s\n", name, *call->cmd->usage ? " " : "",
			call->cmd->usage);
		fprintf(stderr, "  more:  kcoroctl %s --help\n", name);
	} else {
		fprintf(stderr, "  more:  kcoroctl --help\n");
	}
	return CMD_USAGE;
}

/* Digits of a base below 11 and nothing else; returns what follows them, NULL if there are none
 * or the number does not fit. */
static const char *digits_parse(const char *s, unsigned base, uint64_t *ret)
{
	uint64_t n = 0;
	const char *p = s;

	for (; *p >= '0' && *p < (char)('0' + base); p++) {
		if (__builtin_mul_overflow(n, (uint64_t)base, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return NULL;
	}
	if (p == s)
		return NULL;
	*ret = n;
	return p;
}

static bool number_parse(const struct cmd_option *o, const char *s, uint64_t *ret)
{
	uint64_t n;
	const char *end = digits_parse(s, o->type == CMD_MODE ? 8 : 10, &n);
	uint64_t unit = 1;

	if (!end)
		return false;
	if (o->type == CMD_SIZE && *end) {
		switch (*end++) {
		case 'K':
			unit = UINT64_C(1) << 10;
			break;
		case 'M':
			unit = UINT64_C(1) << 20;
			break;
		case 'G':
			unit = UINT64_C(1) << 30;
			break;
		default:
			return false;
		}
	}
	if (*end || __builtin_mul_overflow(n, unit, &n) || n < o->min || n > o->max)
		return false;
	*ret = n;
	return true;
}

bool cmd_number(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	struct cmd_option o = { .type = CMD_NUMBER, .min = min, .max = max };

	return number_parse(&o, s, ret);
}

/* "@" and hexadecimal digits: an id, never 0 */
static bool id_parse(const char *s, uint64_t *ret)
{
	static const char hex[] = "0123456789abcdef";
	uint64_t id = 0;
	const char *p = s + 1;

	for (; *p; p++) {
		const char *digit = strchr(hex, *p >= 'A' && *p <= 'F' ? *p + 'a' - 'A' : *p);

		if (!digit || p - s > 16)
			return false;
		id = id << 4 | (uint64_t)(digit - hex);
	}
	*ret = id;
	return id != 0;
}

/* "-n N, --follow, ..." into text */
static void options_name(const struct cmd_option *options, char *text, size_t size)
{
	size_t used = 0;

	*text = '\0';
	for (const struct cmd_option *o = options; o->name; o++) {
		int n = snprintf(text + used, size - used, "%s--%s%s%s", used ? ", " : "", o->name,
				 o->what ? " " : "", o->what ? o->what : "");

		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

static enum cmd_exit value_set(const struct cmd_call *call, const struct cmd_option *o,
			       const char *dashes, const char *text, struct cmd_value *ret)
{
	struct cmd_value value = { .set = true, .text = text };
	char allowed[256] = "";
	size_t used = 0;

	switch (o->type) {
	case CMD_FLAG:
	case CMD_FILE:
		*ret = value;
		return CMD_DONE;
	case CMD_NUMBER:
	case CMD_SIZE:
		if (!number_parse(o, text, &value.number))
			return cmd_usage(call,
					 "'%s' does not fit %s: a number from %" PRIu64
					 " to %" PRIu64 "%s is allowed",
					 text, dashes, o->min, o->max,
					 o->type == CMD_SIZE ? " (K, M or G may follow)" : "");
		*ret = value;
		return CMD_DONE;
	case CMD_MODE:
		if (!number_parse(o, text, &value.number))
			return cmd_usage(call,
					 "'%s' does not fit %s: octal digits as for chmod are "
					 "allowed, %" PRIo64 " to %" PRIo64,
					 text, dashes, o->min, o->max);
		*ret = value;
		return CMD_DONE;
	case CMD_WORD:
		for (const struct cmd_word *w = o->words; w->word; w++) {
			int n;

			if (strcmp(w->word, text) == 0) {
				value.word = w->value;
				*ret = value;
				return CMD_DONE;
			}
			if (w->alias)
				continue;
			n = snprintf(allowed + used, sizeof(allowed) - used, "%s%s",
				     used ? ", " : "", w->word);
			if (n > 0 && (size_t)n < sizeof(allowed) - used)
				used += (size_t)n;
		}
		return cmd_usage(call, "'%s' does not fit %s: allowed are %s", text, dashes,
				 allowed);
	}
	return CMD_USAGE;
}

static const struct cmd_option *option_find(const struct cmd_option *options, const char *name,
					    size_t len, bool letter)
{
	for (const struct cmd_option *o = options; o && o->name; o++) {
		if (letter ? o->letter == name[0]
			   : strlen(o->name) == len && memcmp(o->name, name, len) == 0)
			return o;
	}
	return NULL;
}

void cmd_option_named(const struct cmd *cmd, const char *arg, struct cmd_named *ret)
{
	bool letter = arg[1] != '-';
	const char *name = letter ? arg + 1 : arg + 2;
	size_t len = letter ? 1 : strcspn(name, "=");

	ret->len = (size_t)(name - arg) + len;
	ret->text = name[len] ? name + len + !letter : NULL;
	ret->option = option_find(cmd_globals, name, len, letter);
	ret->global = ret->option != NULL;
	if (!ret->option && cmd)
		ret->option = option_find(cmd->options, name, len, letter);
}

/* One word that begins with a dash, and the next if it is its argument. */
static enum cmd_exit option_parse(struct cmd_call *call, char **argv, size_t *at)
{
	const char *arg = argv[*at], *text;
	const struct cmd_option *own = call->cmd ? call->cmd->options : NULL, *o;
	struct cmd_value value, *into = &value;
	struct cmd_named named;
	char dashes[64];
	enum cmd_exit result;

	cmd_option_named(call->cmd, arg, &named);
	o = named.option;
	text = named.text;
	if (!o) {
		char allowed[400];

		if (own && own->name) {
			options_name(own, allowed, sizeof(allowed));
			return cmd_usage(call, "unknown option %s; allowed are %s", arg, allowed);
		}
		options_name(cmd_globals, allowed, sizeof(allowed));
		return cmd_usage(call, "unknown option %s; allowed here are %s", arg, allowed);
	}
	if (!named.global)
		into = &call->opt[o - own];
	snprintf(dashes, sizeof(dashes), "%.*s", (int)named.len, arg);
	if (o->type == CMD_FLAG && text)
		return cmd_usage(call, "%s takes no argument", dashes);
	if (o->type != CMD_FLAG && !text) {
		text = argv[*at + 1];
		if (!text)
			return cmd_usage(call, "%s needs its argument %s", dashes, o->what);
		(*at)++;
	}
	result = value_set(call, o, dashes, text, into);
	if (result != CMD_DONE || into != &value)
		return result;
	switch (o - cmd_globals) {
	case CMD_GLOBAL_SOCKET:
		if (!*text)
			return cmd_usage(call, "--socket needs a path");
		call->socket = text;
		break;
	case CMD_GLOBAL_JSON:
		call->json = true;
		break;
	case CMD_GLOBAL_HELP:
		call->help = true;
		break;
	default:
		call->version = true;
		break;
	}
	return CMD_DONE;
}

static enum cmd_exit operand_check(struct cmd_call *call)
{
	switch (call->cmd->operand) {
	case CMD_OPERAND_NONE:
	case CMD_OPERAND_WORD:
		return CMD_DONE;
	case CMD_OPERAND_COMMAND:
		if (!call->rest || !call->rest[0])
			return cmd_usage(call, "which command? It follows --");
		return CMD_DONE;
	case CMD_OPERAND_LINE:
		if (!call->rest || !call->rest[0])
			return cmd_usage(call, "which words? They follow --");
		return CMD_DONE;
	case CMD_OPERAND_MAY:
		if (!call->target)
			return CMD_DONE;
		break;
	case CMD_OPERAND_TARGET:
		if (!call->target)
			return cmd_usage(call, "which channel? Its NAME or @ID is missing; "
					       "`kcoroctl list` shows them");
		break;
	case CMD_OPERAND_NAME:
		if (!call->target)
			return cmd_usage(call, "what shall the channel be called? NAME is missing");
		if (call->target[0] == '@')
			return cmd_usage(call, "'%s' is an id; a new channel needs a name",
					 call->target);
		break;
	}
	if (call->target[0] != '@')
		call->name = call->target;
	else if (!id_parse(call->target, &call->id))
		return cmd_usage(call, "'%s' is no id: an id is @ and up to 16 hexadecimal digits",
				 call->target);
	return CMD_DONE;
}

static enum cmd_exit word_parse(struct cmd_call *call, char *word)
{
	if (!call->cmd) {
		call->cmd = cmd_find(word);
		return call->cmd ? CMD_DONE : cmd_usage(call, "there is no command '%s'", word);
	}
	if (call->cmd->operand == CMD_OPERAND_NONE || call->target)
		return cmd_usage(call, "'%s' is one word too many", word);
	call->target = word;
	return CMD_DONE;
}

bool cmd_has_global(const struct cmd *cmd, enum cmd_global global)
{
	return !cmd || ((global != CMD_GLOBAL_JSON || cmd->json) &&
			(global != CMD_GLOBAL_SOCKET || !cmd->alone));
}

bool cmd_takes_rest(const struct cmd *cmd)
{
	return cmd->operand == CMD_OPERAND_COMMAND || cmd->operand == CMD_OPERAND_LINE;
}

enum cmd_exit cmd_parse(struct cmd_call *call, char **argv)
{
	bool only_words = false;

	for (size_t i = 1; argv[0] && argv[i]; i++) {
		bool command = call->cmd && cmd_takes_rest(call->cmd);
		enum cmd_exit result;

		if (!only_words && strcmp(argv[i], "--") == 0) {
			if (command) {
				call->rest = argv + i + 1;
				break;
			}
			only_words = true;
			continue;
		}
		if (!only_words && argv[i][0] == '-' && argv[i][1]) {
			result = option_parse(call, argv, &i);
		} else if (command) {
			call->rest = argv + i;
			break;
		} else {
			result = word_parse(call, argv[i]);
		}
		if (result != CMD_DONE)
			return result;
	}
	if (call->help || call->version)
		return CMD_DONE;
	if (!call->cmd)
		return cmd_usage(call, "which command? `kcoroctl --help` lists them");
	if (call->json && !cmd_has_global(call->cmd, CMD_GLOBAL_JSON))
		return cmd_usage(call, "%s reports nothing that --json could change",
				 call->cmd->name);
	if (call->socket && !cmd_has_global(call->cmd, CMD_GLOBAL_SOCKET))
		return cmd_usage(call, "%s asks no daemon that runs, so --socket would do nothing",
				 call->cmd->name);
	return operand_check(call);
}
