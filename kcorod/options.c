/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kcorod's command line. Parsed by hand because getopt keeps its state in globals
 * and prints its own messages.
 */
#include "kcorod/options.h"

#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

static const struct option {
	const char *name;
	char letter;
	bool value;
	size_t offset;
} options[] = {
	{ "socket", 's', true, offsetof(struct kcd_options, socket) },
	{ "config", 'c', true, offsetof(struct kcd_options, config) },
	{ "log-level", 'l', true, offsetof(struct kcd_options, log_level) },
	{ "check-config", '\0', false, offsetof(struct kcd_options, check_config) },
	{ "print-config", '\0', false, offsetof(struct kcd_options, print_config) },
	{ "version", 'V', false, offsetof(struct kcd_options, version) },
	{ "help", 'h', false, offsetof(struct kcd_options, help) },
};

static const struct option *find_long(const char *name, size_t len)
{
	for (size_t i = 0; i < KC_ARRAY_SIZE(options); i++)
		if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
			return &options[i];
	return NULL;
}

static const struct option *find_letter(char letter)
{
	for (size_t i = 0; i < KC_ARRAY_SIZE(options); i++)
		if (letter && options[i].letter == letter)
			return &options[i];
	return NULL;
}

int kcd_options_parse(int argc, char **argv, struct kcd_options *ret, char why[KCD_OPTIONS_WHY])
{
	struct kcd_options parsed = { 0 };

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *value = NULL;
		const struct option *o = NULL;

		if (arg[0] == '-' && arg[1] == '-') {
			size_t len = strcspn(arg + 2, "=");

			o = find_long(arg + 2, len);
			if (arg[2 + len] == '=')
				value = arg + 2 + len + 1;
		} else if (arg[0] == '-' && arg[1] && !arg[2]) {
			o = find_letter(arg[1]);
		}
		if (!o) {
			snprintf(why, KCD_OPTIONS_WHY, "%s: %.100s",
				 arg[0] == '-' ? "no such option" : "takes no such argument", arg);
			return KC_EINVAL;
		}
		if (!o->value) {
			if (value) {
				snprintf(why, KCD_OPTIONS_WHY, "--%s takes no value", o->name);
				return KC_EINVAL;
			}
			*(bool *)(void *)((char *)&parsed + o->offset) = true;
			continue;
		}
		if (!value && i + 1 < argc)
			value = argv[++i];
		if (!value || !*value) {
			snprintf(why, KCD_OPTIONS_WHY, "--%s needs a value", o->name);
			return KC_EINVAL;
		}
		*(const char **)(void *)((char *)&parsed + o->offset) = value;
	}
	*ret = parsed;
	return 0;
}

void kcd_options_help(FILE *out)
{
	fputs("Usage: kcorod [OPTION...]\n"
	      "Own named channels and serve them on a Unix socket.\n"
	      "\n"
	      "  -s, --socket PATH     where to listen; default: /run/kcorod/kcorod.sock for root,\n"
	      "                        else $XDG_RUNTIME_DIR/kcorod/kcorod.sock\n"
	      "  -c, --config FILE     read a configuration (JSON)\n"
	      "  -l, --log-level LEVEL error, warning, notice, info (default) or debug\n"
	      "      --check-config    check the configuration, say what is wrong, and end\n"
	      "      --print-config    print the configuration with all defaults, and end\n"
	      "  -V, --version         print the version, and end\n"
	      "  -h, --help            print this, and end\n"
	      "\n"
	      "A listening socket passed by systemd (LISTEN_FDS) is used instead of --socket.\n"
	      "Signals: SIGTERM and SIGINT send out what waits and end; SIGUSR1 logs the state;\n"
	      "SIGHUP changes nothing, the configuration is read at the start only.\n"
	      "Environment: KCORO_DEBUG=conn,session,chan,frame or all logs more.\n"
	      "Exit status: 0 done, 1 failed, 2 usage or configuration.\n",
	      out);
}
