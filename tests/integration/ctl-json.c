/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ctl-json: JSON for shell tests, parsed strictly.
 *
 *	ctl-json POINTER < JSON     print the value at a JSON pointer ("" = all)
 *	ctl-json balance < JSON     exit 0 if the ledger in it adds up, reasons included
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <json-c/json_pointer.h>

#define INPUT_MAX (16u << 20)

static struct json_object *parse(void)
{
	struct json_tokener *tok = json_tokener_new();
	char *text = malloc(INPUT_MAX);
	size_t n = text ? fread(text, 1, INPUT_MAX, stdin) : 0;
	struct json_object *o = NULL;

	if (!tok || !text || n == INPUT_MAX) {
		fprintf(stderr, "ctl-json: no memory, or too much input\n");
	} else {
		json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
		o = json_tokener_parse_ex(tok, text, (int)n);
		/* only white space may follow */
		for (size_t i = json_tokener_get_parse_end(tok); o && i < n; i++) {
			if (!strchr(" \n", text[i])) {
				json_object_put(o);
				o = NULL;
			}
		}
		if (!o)
			fprintf(stderr, "ctl-json: no JSON: %s\n",
				json_tokener_error_desc(json_tokener_get_error(tok)));
	}
	free(text);
	json_tokener_free(tok);
	return o;
}

static bool number(struct json_object *o, const char *pointer, uint64_t *ret)
{
	struct json_object *value;

	if (json_pointer_get(o, pointer, &value) != 0 ||
	    !json_object_is_type(value, json_type_int)) {
		fprintf(stderr, "ctl-json: no number at %s\n", pointer);
		return false;
	}
	*ret = json_object_get_uint64(value);
	return true;
}

/* the numbers at `parts` add up to the one at `whole` */
static bool adds_up(struct json_object *o, const char *whole, const char *const *parts)
{
	uint64_t want, sum = 0, n;

	if (!number(o, whole, &want))
		return false;
	for (; *parts; parts++) {
		if (!number(o, *parts, &n))
			return false;
		sum += n;
	}
	if (sum != want)
		fprintf(stderr, "ctl-json: %s is %" PRIu64 ", its parts are %" PRIu64 "\n", whole,
			want, sum);
	return sum == want;
}

static bool balances(struct json_object *o)
{
	static const char *const sent[] = { "/received", "/queued",  "/leased", "/conflated",
					    "/dropped",	 "/expired", "/lost",	NULL };
	static const char *const dropped[] = { "/dropped_by/oldest", "/dropped_by/newest",
					       "/dropped_by/purged", "/dropped_by/destroyed",
					       NULL };
	static const char *const lost[] = { "/lost_by/consumer", "/lost_by/daemon", NULL };

	return adds_up(o, "/sent", sent) && adds_up(o, "/dropped", dropped) &&
	       adds_up(o, "/lost", lost);
}

int main(int argc, char **argv)
{
	struct json_object *o = argc == 2 ? parse() : NULL, *value;
	int status = 1;

	if (!o)
		return 2;
	if (strcmp(argv[1], "balance") == 0) {
		status = !balances(o);
	} else if (json_pointer_get(o, argv[1], &value) == 0) {
		printf("%s\n", json_object_get_string(value));
		status = 0;
	} else {
		fprintf(stderr, "ctl-json: nothing at %s\n", argv[1]);
	}
	json_object_put(o);
	return status;
}
