/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration: see config.h. One table says for every key where it goes,
 * what is allowed and how it is printed; json-c does not leave this file.
 */
#include "kcorod/config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/wire.h"

#define FILE_MAX ((size_t)1 << 20)
#define DEPTH_MAX 4
#define MIB ((uint64_t)1 << 20)
#define TIB ((uint64_t)1 << 40)

enum form { NUMBER, TEXT, GROUP, MODE, LEVEL };

struct field {
	const char *section, *key;
	enum form form;
	size_t offset;
	uint64_t lo, hi, value; /* bounds (of a text: of its length) and the default */
};

#define AT(member) offsetof(struct kcd_config, member)

static const struct field fields[] = {
	{ "socket", "path", TEXT, AT(socket_path), 1, 103, 0 },
	{ "socket", "mode", MODE, AT(socket_mode), 0, 0777, KCD_CONFIG_MODE_AUTO },
	{ "socket", "group", GROUP, AT(socket_group), 1, 63, 0 },
	{ "log", "level", LEVEL, AT(log_level), 0, 0, KCD_LOG_INFO },
	{ "session", "grace_ms", NUMBER, AT(grace_ms), 0, 3600000, 10000 },
	{ "limits", "connections", NUMBER, AT(connections), 1, 1000000, 4096 },
	{ "limits", "channels", NUMBER, AT(channels), 1, 1000000, 65536 },
	{ "limits", "attachments", NUMBER, AT(attachments), 1, 1000000, 4096 },
	{ "limits", "requests", NUMBER, AT(requests), 16, KCP_REQUESTS_MAX, 4096 },
	{ "limits", "descriptors", NUMBER, AT(descriptors), 0, 1000000, 4096 },
	{ "limits", "message", NUMBER, AT(message), 1024, KCP_MSG_MAX, MIB },
	{ "limits", "channel_bytes", NUMBER, AT(channel_bytes), 65536, TIB, 256 * MIB },
	{ "limits", "bytes", NUMBER, AT(bytes), MIB, TIB, 1024 * MIB },
	{ "limits", "output_high", NUMBER, AT(output_high), 4096, 1024 * MIB, MIB },
	{ "limits", "output_max", NUMBER, AT(output_max), 65536, 1024 * MIB, 16 * MIB },
	{ "user_limits", "connections", NUMBER, AT(user_connections), 1, 1000000, 1024 },
	{ "user_limits", "channels", NUMBER, AT(user_channels), 1, 1000000, 16384 },
	{ "user_limits", "descriptors", NUMBER, AT(user_descriptors), 0, 1000000, 1024 },
	{ "user_limits", "bytes", NUMBER, AT(user_bytes), 65536, TIB, 512 * MIB },
	{ "user_limits", "buffers", NUMBER, AT(user_buffers), MIB, TIB, 256 * MIB },
};

static uint64_t *number_at(struct kcd_config *c, const struct field *f)
{
	return (uint64_t *)(void *)((char *)c + f->offset);
}

static char *text_at(struct kcd_config *c, const struct field *f)
{
	return (char *)c + f->offset;
}

static bool is_text(const struct field *f)
{
	return f->form == TEXT || f->form == GROUP;
}

void kcd_config_init(struct kcd_config *config)
{
	memset(config, 0, sizeof(*config));
	for (size_t i = 0; i < KC_ARRAY_SIZE(fields); i++)
		if (!is_text(&fields[i]))
			*number_at(config, &fields[i]) = fields[i].value;
}

/* ---- reading one value ------------------------------------------------------ */

static bool octal_parse(const char *text, uint64_t *ret)
{
	uint64_t value = 0;

	if (!*text || strlen(text) > 6)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '7')
			return false;
		value = value * 8 + (uint64_t)(*text - '0');
	}
	*ret = value;
	return true;
}

/* What may stand there, in words. */
static void allowed(const struct field *f, char *buf, size_t size)
{
	switch (f->form) {
	case NUMBER:
		snprintf(buf, size, "a whole number from %" PRIu64 " to %" PRIu64, f->lo, f->hi);
		break;
	case TEXT:
		snprintf(buf, size, "a text of %" PRIu64 " to %" PRIu64 " bytes", f->lo, f->hi);
		break;
	case GROUP:
		snprintf(buf, size, "the name of an existing group");
		break;
	case MODE:
		snprintf(buf, size, "a text of octal digits from \"0\" to \"0777\"");
		break;
	case LEVEL:
		snprintf(buf, size,
			 "one of \"error\", \"warning\", \"notice\", \"info\", \"debug\"");
		break;
	}
}

static bool set_number(struct kcd_config *c, const struct field *f, struct json_object *value)
{
	int64_t n;

	if (!json_object_is_type(value, json_type_int))
		return false;
	n = json_object_get_int64(value);
	if (n < 0 || (uint64_t)n < f->lo || (uint64_t)n > f->hi)
		return false;
	*number_at(c, f) = (uint64_t)n;
	return true;
}

static bool set_value(struct kcd_config *c, const struct field *f, struct json_object *value)
{
	enum kcd_log_level level;
	const char *text;
	uint64_t mode;
	size_t len;

	if (f->form == NUMBER)
		return set_number(c, f, value);
	if (!json_object_is_type(value, json_type_string))
		return false;
	text = json_object_get_string(value);
	len = (size_t)json_object_get_string_len(value);
	if (strlen(text) != len) /* a zero byte inside */
		return false;
	switch (f->form) {
	case MODE:
		if (!octal_parse(text, &mode) || mode > f->hi)
			return false;
		*number_at(c, f) = mode;
		return true;
	case LEVEL:
		if (!kcd_log_level_parse(text, &level))
			return false;
		*number_at(c, f) = level;
		return true;
	case GROUP:
		if (!getgrnam(text))
			return false;
		break;
	default:
		break;
	}
	if (len < f->lo || len > f->hi)
		return false;
	memcpy(text_at(c, f), text, len + 1);
	return true;
}

/* ---- the whole file --------------------------------------------------------- */

/* Names of the keys of a section, or of the sections (NULL). */
static void list_keys(const char *section, char *buf, size_t size)
{
	const char *last = "";
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < KC_ARRAY_SIZE(fields) && n < size; i++) {
		const char *word = section ? fields[i].key : fields[i].section;

		if ((section && strcmp(section, fields[i].section) != 0) || strcmp(word, last) == 0)
			continue;
		n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "", word);
		last = word;
	}
}

static int read_section(const char *name, const char *section, struct json_object *object,
			struct kcd_config *c, char *why)
{
	char words[256];

	json_object_object_foreach(object, key, value)
	{
		const struct field *f = NULL;

		for (size_t i = 0; i < KC_ARRAY_SIZE(fields); i++)
			if (strcmp(fields[i].section, section) == 0 &&
			    strcmp(fields[i].key, key) == 0)
				f = &fields[i];
		if (!f) {
			list_keys(section, words, sizeof(words));
			snprintf(why, KCD_CONFIG_WHY, "%s: %s.%.64s: no such key; allowed: %s",
				 name, section, key, words);
			return KC_EINVAL;
		}
		if (!set_value(c, f, value)) {
			allowed(f, words, sizeof(words));
			snprintf(why, KCD_CONFIG_WHY, "%s: %s.%s: %.64s is not allowed; allowed: %s",
				 name, section, key, json_object_to_json_string(value), words);
			return KC_EINVAL;
		}
	}
	return 0;
}

static int read_all(const char *name, struct json_object *root, struct kcd_config *c, char *why)
{
	char words[256];
	int r;

	list_keys(NULL, words, sizeof(words));
	if (!json_object_is_type(root, json_type_object)) {
		snprintf(why, KCD_CONFIG_WHY, "%s: must be an object with the keys %s", name,
			 words);
		return KC_EINVAL;
	}
	json_object_object_foreach(root, key, value)
	{
		bool known = false;

		for (size_t i = 0; i < KC_ARRAY_SIZE(fields); i++)
			known |= strcmp(fields[i].section, key) == 0;
		if (!known) {
			snprintf(why, KCD_CONFIG_WHY, "%s: %.64s: no such key; allowed: %s", name,
				 key, words);
			return KC_EINVAL;
		}
		if (!json_object_is_type(value, json_type_object)) {
			list_keys(key, words, sizeof(words));
			snprintf(why, KCD_CONFIG_WHY, "%s: %s: must be an object with the keys %s",
				 name, key, words);
			return KC_EINVAL;
		}
		r = read_section(name, key, value, c, why);
		if (r < 0)
			return r;
	}
	if (c->output_max < c->output_high) {
		snprintf(why, KCD_CONFIG_WHY,
			 "%s: limits.output_max: %" PRIu64
			 " is not allowed; allowed: at least limits.output_high, %" PRIu64,
			 name, c->output_max, c->output_high);
		return KC_EINVAL;
	}
	return 0;
}

static void put_object(struct json_object **object)
{
	json_object_put(*object);
}

static void free_tokener(struct json_tokener **tokener)
{
	if (*tokener)
		json_tokener_free(*tokener);
}

static unsigned line_of(const char *text, size_t at)
{
	unsigned line = 1;

	for (size_t i = 0; i < at; i++)
		line += text[i] == '\n';
	return line;
}

/* json-c takes strings in single quotes even when it is to be strict. Where the first one
 * begins, or `len`. */
static size_t find_single_quote(const char *text, size_t len)
{
	bool inside = false;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			inside = !inside;
		else if (inside && text[i] == '\\')
			i++;
		else if (!inside && text[i] == '\'')
			return i;
	}
	return len;
}

int kcd_config_parse(const char *name, const char *text, size_t len, struct kcd_config *ret,
		     char why[KCD_CONFIG_WHY])
{
	KC_CLEANUP(free_tokener) struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	KC_CLEANUP(put_object) struct json_object *root = NULL;
	struct kcd_config config;
	enum json_tokener_error e;
	size_t end;
	int r;

	if (!tokener) {
		snprintf(why, KCD_CONFIG_WHY, "%s: no memory", name);
		return KC_ENOMEM;
	}
	if (len > FILE_MAX) {
		snprintf(why, KCD_CONFIG_WHY, "%s: longer than %zu bytes", name, FILE_MAX);
		return KC_EINVAL;
	}
	end = find_single_quote(text, len);
	if (end < len) {
		snprintf(why, KCD_CONFIG_WHY, "%s:%u: not JSON: strings stand in double quotes",
			 name, line_of(text, end));
		return KC_EINVAL;
	}
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	root = json_tokener_parse_ex(tokener, text, (int)len);
	e = json_tokener_get_error(tokener);
	end = json_tokener_get_parse_end(tokener);
	if (e != json_tokener_success) {
		snprintf(why, KCD_CONFIG_WHY, "%s:%u: not JSON: %s", name, line_of(text, end),
			 e == json_tokener_continue ? "it ends too early" :
						      json_tokener_error_desc(e));
		return KC_EINVAL;
	}
	for (size_t i = end; i < len; i++) {
		if (!strchr(" \t\r\n", text[i]) || text[i] == '\0') {
			snprintf(why, KCD_CONFIG_WHY, "%s:%u: not JSON: something follows its end",
				 name, line_of(text, i));
			return KC_EINVAL;
		}
	}
	kcd_config_init(&config);
	r = read_all(name, root, &config, why);
	if (r == 0)
		*ret = config;
	return r;
}

int kcd_config_load(const char *path, struct kcd_config *ret, char why[KCD_CONFIG_WHY])
{
	KC_CLEANUP(kci_freep) char *text = NULL;
	struct stat st;
	size_t len = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), r = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		snprintf(why, KCD_CONFIG_WHY, "%s: cannot be read: %s", path, strerror(errno));
		r = errno == EACCES ? KC_EACCES : KC_ENOENT;
	} else if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode)) {
		snprintf(why, KCD_CONFIG_WHY, "%s: is no file", path);
		r = KC_EINVAL;
	} else if (!(text = KC_ALLOC(FILE_MAX + 1))) {
		snprintf(why, KCD_CONFIG_WHY, "%s: no memory", path);
		r = KC_ENOMEM;
	}
	while (r == 0 && len <= FILE_MAX) {
		ssize_t n = read(fd, text + len, FILE_MAX + 1 - len);

		if (n == 0)
			break;
		if (n < 0 && errno != EINTR) {
			snprintf(why, KCD_CONFIG_WHY, "%s: cannot be read: %s", path,
				 strerror(errno));
			r = KC_EINVAL;
		}
		len += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		close(fd);
	return r < 0 ? r : kcd_config_parse(path, text, len, ret, why);
}

/* ---- printing --------------------------------------------------------------- */

static struct json_object *value_object(const struct kcd_config *config, const struct field *f)
{
	struct kcd_config *c = (struct kcd_config *)(uintptr_t)config;
	char octal[16];

	switch (f->form) {
	case NUMBER:
		return json_object_new_int64((int64_t)*number_at(c, f));
	case LEVEL:
		return json_object_new_string(
			kcd_log_level_name((enum kcd_log_level) * number_at(c, f)));
	case MODE:
		snprintf(octal, sizeof(octal), "%04o", (unsigned)*number_at(c, f));
		return json_object_new_string(octal);
	default:
		return json_object_new_string(text_at(c, f));
	}
}

int kcd_config_print(const struct kcd_config *config, FILE *out)
{
	KC_CLEANUP(put_object) struct json_object *root = json_object_new_object();
	struct json_object *section = NULL;
	const char *last = "";

	if (!root)
		return KC_ENOMEM;
	for (size_t i = 0; i < KC_ARRAY_SIZE(fields); i++) {
		const struct field *f = &fields[i];
		struct kcd_config *c = (struct kcd_config *)(uintptr_t)config;

		if (strcmp(f->section, last) != 0) {
			section = json_object_new_object();
			if (!section || json_object_object_add(root, f->section, section) < 0)
				return KC_ENOMEM;
			last = f->section;
		}
		/* what has no value is left to the daemon's own choice */
		if (is_text(f) ? !text_at(c, f)[0] : *number_at(c, f) == KCD_CONFIG_MODE_AUTO)
			continue;
		if (json_object_object_add(section, f->key, value_object(config, f)) < 0)
			return KC_ENOMEM;
	}
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
							     JSON_C_TO_STRING_SPACED |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
	return 0;
}
