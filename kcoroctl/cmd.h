/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCOROCTL_CMD_H
#define KCOROCTL_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kcoro.h"

/*
 * What every command of kcoroctl shares: exit codes, the description of a
 * command and its options (from which both the parser and the help are driven),
 * and the call that is being carried out.
 */
enum cmd_exit {
	CMD_DONE = 0,
	CMD_FAILED = 1,
	CMD_USAGE = 2,
	CMD_NO_DAEMON = 3,
	CMD_TIMED_OUT = 4,
	CMD_CLOSED = 5,
};

enum cmd_type {
	CMD_FLAG,   /* takes no argument */
	CMD_FILE,   /* the path of a file */
	CMD_NUMBER, /* decimal, min..max */
	CMD_SIZE,   /* bytes: decimal with K, M or G behind it, min..max */
	CMD_MODE,   /* octal, min..max */
	CMD_WORD,   /* one of `words` */
};

struct cmd_word {
	const char *word; /* NULL ends the list */
	long value;
	bool alias; /* understood, not shown */
};

struct cmd_option {
	const char *name; /* without dashes; NULL ends the list */
	char letter;	  /* one-letter form, 0 = none */
	enum cmd_type type;
	const char *what; /* what help calls the argument */
	const char *help;
	uint64_t min, max;
	const struct cmd_word *words;
};

#define CMD_OPTIONS_MAX 8

struct cmd_value {
	bool set;
	const char *text;
	uint64_t number; /* CMD_NUMBER, CMD_SIZE, CMD_MODE */
	long word;	 /* CMD_WORD */
};

enum cmd_operand {
	CMD_OPERAND_NONE,
	CMD_OPERAND_MAY,     /* NAME or @ID, may be absent */
	CMD_OPERAND_TARGET,  /* NAME or @ID */
	CMD_OPERAND_NAME,    /* a name that need not exist */
	CMD_OPERAND_WORD,    /* a word that is no channel, may be absent */
	CMD_OPERAND_COMMAND, /* the rest of the line is a command */
	CMD_OPERAND_LINE,    /* the rest of the line is one of kcoroctl's own */
};

struct cmd_call;

struct cmd {
	const char *name;
	const char *usage;   /* what follows the name */
	const char *summary; /* one line */
	const char *help;    /* paragraphs and examples */
	const struct cmd_option *options;
	enum cmd_operand operand;
	bool json;  /* --json has a meaning */
	bool alone; /* --socket has none: no daemon that runs is asked */
	enum cmd_exit (*run)(struct cmd_call *call);
};

/* One run of kcoroctl. */
struct cmd_call {
	const struct cmd *cmd;
	const char *socket; /* --socket; NULL = where kc_ipc_connect() looks */
	bool json;
	bool help;
	bool version;
	struct cmd_value opt[CMD_OPTIONS_MAX]; /* in the order of cmd->options */
	const char *target;		       /* the operand, NULL if there is none */
	const char *name;		       /* of the target; NULL if it is an id */
	uint64_t id;			       /* of the target if name is NULL */
	char **rest;			       /* of the command line: COMMAND, LINE */
	kc_ipc_conn_t *conn;
};

extern const struct cmd cmd_ping, cmd_list, cmd_info, cmd_stats, cmd_make, cmd_send, cmd_recv,
	cmd_close, cmd_destroy, cmd_purge, cmd_session, cmd_complete;

/* main.c: the commands, NULL at the end */
extern const struct cmd *const cmd_table[];
const struct cmd *cmd_find(const char *name);

/* options.c: fills call from argv; on CMD_USAGE the fault has been told */
enum cmd_global { CMD_GLOBAL_SOCKET, CMD_GLOBAL_JSON, CMD_GLOBAL_HELP, CMD_GLOBAL_VERSION };
extern const struct cmd_option cmd_globals[];
enum cmd_exit cmd_parse(struct cmd_call *call, char **argv);
/* the first word that is no option begins something that kcoroctl does not read */
bool cmd_takes_rest(const struct cmd *cmd);
/* whether a common option has a meaning for cmd; NULL: no command in particular */
bool cmd_has_global(const struct cmd *cmd, enum cmd_global global);
/* strictly decimal, min..max; *ret is written on success */
bool cmd_number(const char *s, uint64_t min, uint64_t max, uint64_t *ret);

/* A word that begins with a dash, taken apart. */
struct cmd_named {
	const struct cmd_option *option; /* NULL: there is none */
	bool global;			 /* of every command, not of this one */
	size_t len;			 /* of its name, dashes included */
	const char *text;		 /* the argument within the same word, or NULL */
};
void cmd_option_named(const struct cmd *cmd, const char *arg, struct cmd_named *ret);
/* tells a fault in the command line and where to read on; returns CMD_USAGE */
enum cmd_exit cmd_usage(const struct cmd_call *call, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* help.c */
void cmd_help_all(void);
void cmd_help(const struct cmd *cmd);

/* client.c: the daemon's side of a call; what returns an exit code has told the fault */
enum cmd_exit cmd_connect(struct cmd_call *call);
enum cmd_exit cmd_open(struct cmd_call *call, const struct kc_ipc_open_options *how,
		       kc_chan_t **ret);
enum cmd_exit cmd_look(struct cmd_call *call, struct kc_ipc_chan_info *ret);

/* act.c: attaches as an observer and makes one call, which returns a count or a code; the count is
 * reported under the name `member`, if that is not NULL */
enum cmd_exit cmd_act(struct cmd_call *call, const char *doing, long (*act)(kc_chan_t *ch),
		      const char *member);

/* failure.c: what went wrong and what to do about it, on standard error. `doing` reads as in
 * "cannot send to 'jobs'"; the exit code that fits is returned. */
enum cmd_exit cmd_failed(const struct cmd_call *call, const char *doing, int code);
enum cmd_exit cmd_unreachable(const struct cmd_call *call, int code);
void cmd_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cmd_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
