/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon's configuration and command line: what is read, and what is said about errors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kcorod/config.h"
#include "kcorod/options.h"
#include "kcoro/error.h"
#include "tests/lib/kct.h"

static char why[KCD_CONFIG_WHY];

static int parse(const char *text, struct kcd_config *ret)
{
	why[0] = '\0';
	return kcd_config_parse("f.json", text, strlen(text), ret, why);
}

static void an_empty_object_is_all_defaults(void **state)
{
	struct kcd_config a, b;

	(void)state;
	kcd_config_init(&a);
	memset(&b, 0xff, sizeof(b));
	assert_int_equal(parse("{}", &b), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(a.grace_ms, 10000);
	assert_int_equal(a.message, 1048576);
	assert_int_equal(a.log_level, KCD_LOG_INFO);
	assert_true(a.socket_mode == KCD_CONFIG_MODE_AUTO);
	assert_string_equal(a.socket_path, "");
}

static void every_key_is_read(void **state)
{
	struct kcd_config c;

	(void)state;
	assert_int_equal(parse("{ \"socket\": { \"path\": \"/x/y\", \"mode\": \"0640\","
			       " \"group\": \"root\" },\n"
			       " \"log\": { \"level\": \"debug\" },"
			       " \"session\": { \"grace_ms\": 0 },"
			       " \"limits\": { \"connections\": 7, \"channels\": 8,"
			       " \"attachments\": 9, \"requests\": 100, \"descriptors\": 10,"
			       " \"message\": 2048,"
			       " \"channel_bytes\": 70000, \"bytes\": 2000000,"
			       " \"output_high\": 5000, \"output_max\": 66000 },"
			       " \"user_limits\": { \"connections\": 5, \"channels\": 6,"
			       " \"descriptors\": 11, \"bytes\": 77777, \"buffers\": 2000001 } }\n",
			       &c),
			 0);
	assert_string_equal(c.socket_path, "/x/y");
	assert_string_equal(c.socket_group, "root");
	assert_int_equal(c.socket_mode, 0640);
	assert_int_equal(c.log_level, KCD_LOG_DEBUG);
	assert_int_equal(c.grace_ms, 0);
	assert_int_equal(c.connections, 7);
	assert_int_equal(c.channels, 8);
	assert_int_equal(c.attachments, 9);
	assert_int_equal(c.requests, 100);
	assert_int_equal(c.descriptors, 10);
	assert_int_equal(c.message, 2048);
	assert_int_equal(c.channel_bytes, 70000);
	assert_int_equal(c.bytes, 2000000);
	assert_int_equal(c.output_high, 5000);
	assert_int_equal(c.output_max, 66000);
	assert_int_equal(c.user_connections, 5);
	assert_int_equal(c.user_channels, 6);
	assert_int_equal(c.user_descriptors, 11);
	assert_int_equal(c.user_bytes, 77777);
	assert_int_equal(c.user_buffers, 2000001);
}

static void errors_name_file_key_and_what_is_allowed(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "f.json:1: not JSON: it ends too early" },
		{ "{\n\"limits\": {\n", "f.json:3: not JSON: it ends too early" },
		{ "{}\n\nx", "f.json:3: not JSON: unexpected character" },
		{ "{\n'limits': {} }", "f.json:2: not JSON: strings stand in double quotes" },
		{ "{ \"log\": { \"level\": \"\\\"it's\" } }", "f.json: log.level: " },
		{ "[]", "f.json: must be an object with the keys socket, log, session, limits, "
			"user_limits" },
		{ "{ \"limit\": {} }", "f.json: limit: no such key; allowed: socket, log, " },
		{ "{ \"log\": 3 }", "f.json: log: must be an object with the keys level" },
		{ "{ \"log\": { \"lvl\": 3 } }", "f.json: log.lvl: no such key; allowed: level" },
		{ "{ \"log\": { \"level\": \"loud\" } }",
		  "f.json: log.level: \"loud\" is not allowed; allowed: one of \"error\", " },
		{ "{ \"session\": { \"grace_ms\": -1 } }",
		  "f.json: session.grace_ms: -1 is not allowed; allowed: a whole number from 0 to "
		  "3600000" },
		{ "{ \"session\": { \"grace_ms\": 1.5 } }", "f.json: session.grace_ms: 1.5 is not" },
		{ "{ \"session\": { \"grace_ms\": \"1\" } }", "f.json: session.grace_ms: \"1\" is" },
		{ "{ \"session\": { \"grace_ms\": null } }", "f.json: session.grace_ms: null is" },
		{ "{ \"limits\": { \"channels\": 99999999999999999999 } }",
		  "f.json: limits.channels: " },
		{ "{ \"socket\": { \"mode\": \"0800\" } }",
		  "f.json: socket.mode: \"0800\" is not allowed; allowed: a text of octal digits" },
		{ "{ \"socket\": { \"mode\": \"1777\" } }", "f.json: socket.mode: " },
		{ "{ \"socket\": { \"mode\": 640 } }", "f.json: socket.mode: 640 is not allowed" },
		{ "{ \"socket\": { \"path\": \"\" } }", "f.json: socket.path: \"\" is not allowed" },
		{ "{ \"socket\": { \"path\": \"a\\u0000b\" } }", "f.json: socket.path: " },
		{ "{ \"socket\": { \"group\": \"no such group\" } }",
		  "f.json: socket.group: \"no such group\" is not allowed; allowed: the name of an "
		  "existing group" },
		{ "{ \"limits\": { \"output_high\": 100000, \"output_max\": 70000 } }",
		  "f.json: limits.output_max: 70000 is not allowed; allowed: at least "
		  "limits.output_high, 100000" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kcd_config c, before;

		memset(&c, 0x5a, sizeof(c));
		before = c;
		assert_int_equal(parse(bad[i].text, &c), KC_EINVAL);
		if (strncmp(why, bad[i].why, strlen(bad[i].why)) != 0)
			fail_msg("%s\n  instead of\n%s", why, bad[i].why);
		assert_memory_equal(&c, &before, sizeof(c)); /* nothing took effect */
	}
}

static void what_follows_a_zero_byte_is_seen(void **state)
{
	struct kcd_config c;

	(void)state;
	assert_int_equal(kcd_config_parse("f.json", "{}\0\n{}", 6, &c, why), KC_EINVAL);
	assert_int_equal(kcd_config_parse("f.json", "{}\0", 3, &c, why), KC_EINVAL);
	assert_string_equal(why, "f.json:1: not JSON: something follows its end");
}

static void a_path_too_long_is_refused(void **state)
{
	struct kcd_config c;
	char text[512], path[200];

	(void)state;
	memset(path, 'p', sizeof(path));
	path[103] = '\0';
	snprintf(text, sizeof(text), "{ \"socket\": { \"path\": \"%s\" } }", path);
	assert_int_equal(parse(text, &c), 0);
	path[103] = 'p';
	path[104] = '\0';
	snprintf(text, sizeof(text), "{ \"socket\": { \"path\": \"%s\" } }", path);
	assert_int_equal(parse(text, &c), KC_EINVAL);
}

static void files_are_read_whole_or_refused(void **state)
{
	char path[64] = "/tmp/kct-config.XXXXXX", *big;
	struct kcd_config c;
	int fd = mkstemp(path);
	size_t n = ((size_t)1 << 20) + 100;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "{ \"session\": { \"grace_ms\": 5 } }", 32), 32);
	assert_int_equal(kcd_config_load(path, &c, why), 0);
	assert_int_equal(c.grace_ms, 5);
	big = malloc(n);
	assert_non_null(big);
	memset(big, ' ', n);
	assert_int_equal(write(fd, big, n), (long)n);
	free(big);
	assert_int_equal(kcd_config_load(path, &c, why), KC_EINVAL);
	assert_non_null(strstr(why, "longer than"));
	close(fd);
	unlink(path);
	assert_int_equal(kcd_config_load(path, &c, why), KC_ENOENT);
	assert_non_null(strstr(why, path));
	assert_int_equal(kcd_config_load("/tmp", &c, why), KC_EINVAL);
}

/* What is printed can be read again, and means the same. */
static void the_printed_configuration_is_one(void **state)
{
	struct kcd_config c, again;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	assert_non_null(f);
	assert_int_equal(parse("{ \"socket\": { \"path\": \"/x\", \"mode\": \"0600\" },"
			       " \"limits\": { \"channels\": 3 } }",
			       &c),
			 0);
	assert_int_equal(kcd_config_print(&c, f), 0);
	fclose(f);
	assert_int_equal(kcd_config_parse("printed", text, len, &again, why), 0);
	assert_memory_equal(&c, &again, sizeof(c));
	free(text);
}

/* ---- options ---------------------------------------------------------------- */

#define PARSE(...) parse_options((char *[]){ (char *)"kcorod", __VA_ARGS__, NULL })

static struct kcd_options options;

static int parse_options(char **argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	return kcd_options_parse(argc, argv, &options, why);
}

static void options_are_read_in_every_form(void **state)
{
	(void)state;
	assert_int_equal(PARSE((char *)"--socket", (char *)"/a"), 0);
	assert_string_equal(options.socket, "/a");
	assert_int_equal(PARSE((char *)"--socket=/b=c", (char *)"-c", (char *)"f"), 0);
	assert_string_equal(options.socket, "/b=c");
	assert_string_equal(options.config, "f");
	assert_int_equal(PARSE((char *)"-s", (char *)"-x", (char *)"--check-config"), 0);
	assert_string_equal(options.socket, "-x");
	assert_true(options.check_config);
	assert_int_equal(PARSE((char *)"-h", (char *)"-V", (char *)"--print-config"), 0);
	assert_true(options.help && options.version && options.print_config);
}

static void bad_options_are_named(void **state)
{
	(void)state;
	assert_int_equal(PARSE((char *)"--sock", (char *)"/a"), KC_EINVAL);
	assert_string_equal(why, "no such option: --sock");
	assert_int_equal(PARSE((char *)"-x"), KC_EINVAL);
	assert_int_equal(PARSE((char *)"-hV"), KC_EINVAL);
	assert_int_equal(PARSE((char *)"-"), KC_EINVAL);
	assert_int_equal(PARSE((char *)"word"), KC_EINVAL);
	assert_string_equal(why, "takes no such argument: word");
	assert_int_equal(PARSE((char *)"--socket"), KC_EINVAL);
	assert_string_equal(why, "--socket needs a value");
	assert_int_equal(PARSE((char *)"--socket="), KC_EINVAL);
	assert_int_equal(PARSE((char *)"--version=1"), KC_EINVAL);
	assert_string_equal(why, "--version takes no value");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(an_empty_object_is_all_defaults),
		KCT_TEST(every_key_is_read),
		KCT_TEST(errors_name_file_key_and_what_is_allowed),
		KCT_TEST(what_follows_a_zero_byte_is_seen),
		KCT_TEST(a_path_too_long_is_refused),
		KCT_TEST(files_are_read_whole_or_refused),
		KCT_TEST(the_printed_configuration_is_one),
		KCT_TEST(options_are_read_in_every_form),
		KCT_TEST(bad_options_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
