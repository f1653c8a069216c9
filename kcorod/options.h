/* SPDX-License-Identifier: BSD-3-Clause */
/* kcorod's command line. */
#ifndef KCD_OPTIONS_H
#define KCD_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

struct kcd_options {
	const char *socket; /* borrowed from argv; NULL: not given */
	const char *config;
	const char *log_level;
	bool check_config;
	bool print_config;
	bool version;
	bool help;
};

#define KCD_OPTIONS_WHY 256

/* 0, or KC_EINVAL with a sentence in `why`. */
int kcd_options_parse(int argc, char **argv, struct kcd_options *ret, char why[KCD_OPTIONS_WHY]);

void kcd_options_help(FILE *out);

#endif
