/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One line is one statement, so the reader is a table of words and functions. It
 * trusts the files no further than a typing error: every line must be understood
 * to its end.
 */
#include "tests/lib/golden.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "proto/tlv.h"

#define DEPTH_MAX 2

struct reader {
	struct kct_golden *golden;
	struct kct_vector *vector; /* the block we are in; NULL between blocks */
	unsigned depth;            /* of containers that are open */
	const char *fault;
};

static void *grow(void *ptr, size_t n, size_t size)
{
	void *p = reallocarray(ptr, n, size);

	if (!p)
		abort();
	return p;
}

static bool fault(struct reader *reader, const char *what)
{
	reader->fault = what;
	return false;
}

/* ---- pieces of a line ------------------------------------------------------- */

static bool read_number(struct reader *reader, const char **pos, uint64_t *ret)
{
	char *end;

	if (!isdigit((unsigned char)**pos))
		return fault(reader, "a number is expected");
	errno = 0;
	*ret = strtoull(*pos, &end, 10);
	if (errno)
		return fault(reader, "the number is too large");
	*pos = end;
	return true;
}

static bool read_end(struct reader *reader, const char *pos)
{
	return *pos ? fault(reader, "the line goes on where it should end") : true;
}

static bool read_only_number(struct reader *reader, const char *pos, uint64_t *ret)
{
	return read_number(reader, &pos, ret) && read_end(reader, pos);
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static bool read_hex(struct reader *reader, const char *pos, uint8_t **data, size_t *len)
{
	size_t n = strlen(pos);

	if (n % 2)
		return fault(reader, "an odd number of hexadecimal digits");
	*data = grow(*data, *len + n / 2 + 1, 1);
	for (; *pos; pos += 2) {
		int high = hex_digit(pos[0]), low = hex_digit(pos[1]);

		if (high < 0 || low < 0)
			return fault(reader, "no hexadecimal digit (0-9, a-f)");
		(*data)[(*len)++] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static void field_add_number(struct kct_field *field, uint64_t value)
{
	field->list = grow(field->list, field->count + 1, sizeof(*field->list));
	field->list[field->count++] = value;
}

/* Numbers with a separator in front of each but the first: " 1 2 3", or "1+2" pairs. */
static bool read_list(struct reader *reader, const char *pos, struct kct_field *field, bool pairs)
{
	uint64_t value;

	while (*pos) {
		if (!read_number(reader, &pos, &value))
			return false;
		field_add_number(field, value);
		if (pairs) {
			if (*pos++ != '+')
				return fault(reader, "a range is FIRST+COUNT");
			if (!read_number(reader, &pos, &value))
				return false;
			field_add_number(field, value);
		}
		if (*pos == ' ')
			pos++;
		else if (*pos)
			return fault(reader, "numbers are separated by one blank");
	}
	return true;
}

static bool read_text(struct reader *reader, const char *pos, struct kct_field *field)
{
	size_t len = strlen(pos);

	if (len < 2 || pos[0] != '"' || strchr(pos + 1, '"') != pos + len - 1)
		return fault(reader, "a text stands in one pair of quotes");
	field->len = len - 2;
	field->data = grow(NULL, field->len + 1, 1);
	memcpy(field->data, pos + 1, field->len);
	return true;
}

static bool read_value(struct reader *reader, const char *pos, struct kct_field *field)
{
	uint64_t value;

	switch (field->form) {
	case KCP_FORM_U32:
	case KCP_FORM_U64:
		if (!read_only_number(reader, pos, &value))
			return false;
		field_add_number(field, value);
		return true;
	case KCP_FORM_TEXT:
		return read_text(reader, pos, field);
	case KCP_FORM_BYTES:
		return read_hex(reader, pos, &field->data, &field->len);
	case KCP_FORM_U32S:
	case KCP_FORM_U64S:
		return read_list(reader, pos, field, false);
	case KCP_FORM_PAIRS:
		return read_list(reader, pos, field, true);
	default:
		if (strcmp(pos, "{") || reader->depth == DEPTH_MAX)
			return fault(reader, "a container begins with {, at most two deep");
		reader->depth++;
		return true;
	}
}

/* ---- statements -------------------------------------------------------------- */

static struct kct_field *field_add(struct reader *reader)
{
	struct kct_vector *v = reader->vector;

	v->fields = grow(v->fields, v->n_fields + 1, sizeof(*v->fields));
	v->fields[v->n_fields] = (struct kct_field){ .depth = reader->depth };
	return &v->fields[v->n_fields++];
}

static bool do_tlv(struct reader *reader, const char *pos)
{
	size_t len = strcspn(pos, " ");
	struct kct_field *field = field_add(reader);

	for (unsigned n = 1; n <= KCP_TLV_KNOWN_MAX; n++) {
		const struct kcp_tlv_info *info = kcp_tlv_info((uint16_t)n);

		if (!info)
			info = kcp_tlv_info((uint16_t)(n | KCP_TLV_OPTIONAL));
		if (!info || strlen(info->name) != len || strncmp(info->name, pos, len))
			continue;
		field->type = info->type;
		field->form = info->form;
		return read_value(reader, pos + len + (pos[len] == ' '), field);
	}
	return fault(reader, "no such TLV");
}

static bool do_stat(struct reader *reader, const char *pos)
{
	struct kct_field *field = field_add(reader);
	uint64_t number, value;

	if (!reader->depth || !read_number(reader, &pos, &number) || *pos++ != ' ' ||
	    !read_only_number(reader, pos, &value) || number > UINT16_MAX)
		return fault(reader, "inside STATISTICS: stat NUMBER VALUE");
	field->type = (uint16_t)number;
	field->form = KCP_FORM_U64;
	field_add_number(field, value);
	return true;
}

static bool do_close(struct reader *reader, const char *pos)
{
	if (!reader->depth)
		return fault(reader, "no container is open");
	reader->depth--;
	return read_end(reader, pos);
}

static bool do_form(struct reader *reader, const char *pos)
{
	static const struct {
		const char *name;
		unsigned form;
	} forms[] = { { "request", KCP_REQUEST },
		      { "notice", KCP_NOTICE },
		      { "event", KCP_EVENT },
		      { "reply", KCP_REPLY } };

	for (size_t i = 0; i < KC_ARRAY_SIZE(forms); i++) {
		if (!strcmp(pos, forms[i].name)) {
			reader->vector->form = forms[i].form;
			return true;
		}
	}
	return fault(reader, "a form is request, notice, event or reply");
}

static bool do_type(struct reader *reader, const char *pos)
{
	uint64_t number;

	if (!read_number(reader, &pos, &number))
		return false;
	if (number > UINT16_MAX || *pos != ' ' ||
	    strcmp(kcp_message_name((uint16_t)number), pos + 1))
		return fault(reader, "no message of this number and name");
	reader->vector->type = (uint16_t)number;
	return true;
}

static bool do_id(struct reader *reader, const char *pos)
{
	return read_only_number(reader, pos, &reader->vector->id);
}

static bool do_seq(struct reader *reader, const char *pos)
{
	return read_only_number(reader, pos, &reader->vector->seq);
}

static bool do_hex(struct reader *reader, const char *pos)
{
	return read_hex(reader, pos, &reader->vector->frame, &reader->vector->len);
}

static bool do_expect(struct reader *reader, const char *pos)
{
	if (!*pos || strlen(pos) >= sizeof(reader->vector->expect))
		return fault(reader, "expect what?");
	strcpy(reader->vector->expect, pos);
	return true;
}

static bool do_vector(struct reader *reader, const char *pos)
{
	struct kct_golden *golden = reader->golden;

	if (!*pos || strlen(pos) >= sizeof(reader->vector->name))
		return fault(reader, "a name has 1 to 47 characters");
	if (kct_golden_find(golden, pos))
		return fault(reader, "a vector of this name exists already");
	golden->vectors = grow(golden->vectors, golden->count + 1, sizeof(*golden->vectors));
	reader->vector = &golden->vectors[golden->count++];
	*reader->vector = (struct kct_vector){ 0 };
	strcpy(reader->vector->name, pos);
	return true;
}

static bool read_line(struct reader *reader, const char *line)
{
	static const struct {
		const char *word;
		bool (*fn)(struct reader *, const char *);
	} words[] = { { "form", do_form }, { "type", do_type }, { "id", do_id },
		      { "seq", do_seq },   { "tlv", do_tlv },   { "stat", do_stat },
		      { "hex", do_hex },   { "}", do_close },   { "expect", do_expect } };
	size_t len;

	line += strspn(line, "\t");
	len = strcspn(line, " ");
	if (*line == '#')
		return true;
	if (!*line) {
		if (reader->depth)
			return fault(reader, "a container is still open");
		reader->vector = NULL;
		return true;
	}
	if (!reader->vector) {
		if (strncmp(line, "vector ", 7))
			return fault(reader, "a block begins with: vector NAME");
		return do_vector(reader, line + 7);
	}
	for (size_t i = 0; i < KC_ARRAY_SIZE(words); i++) {
		if (strlen(words[i].word) == len && !strncmp(words[i].word, line, len))
			return words[i].fn(reader, line + len + (line[len] == ' '));
	}
	return fault(reader, "no such word");
}

/* ---- files --------------------------------------------------------------------- */

int kct_golden_load(struct kct_golden *golden, const char *file)
{
	const char *srcdir = getenv("KC_SRCDIR");
	struct reader reader = { .golden = golden };
	char path[4096];
	char line[4096];
	unsigned n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/golden/%s", srcdir ? srcdir : ".", file);
	f = fopen(path, "re");
	if (!f) {
		fprintf(stderr, "%s: %s (is KC_SRCDIR set?)\n", path, strerror(errno));
		return -1;
	}
	while (!reader.fault && fgets(line, sizeof(line), f)) {
		size_t len = strlen(line);

		n++;
		if (!len || line[len - 1] != '\n') {
			fault(&reader, "the line is too long or not ended");
			break;
		}
		line[len - 1] = '\0';
		read_line(&reader, line);
	}
	if (!reader.fault && (ferror(f) || reader.depth))
		fault(&reader, "the file ends too early");
	fclose(f);
	if (reader.fault) {
		fprintf(stderr, "%s:%u: %s\n", path, n, reader.fault);
		return -1;
	}
	return 0;
}

int kct_golden_load_all(struct kct_golden *golden)
{
	static const char *const files[] = { "session.txt", "channels.txt", "elements.txt",
					     "select.txt", "daemon.txt" };

	for (size_t i = 0; i < KC_ARRAY_SIZE(files); i++) {
		if (kct_golden_load(golden, files[i]))
			return -1;
	}
	return 0;
}

void kct_golden_done(struct kct_golden *golden)
{
	for (size_t i = 0; i < golden->count; i++) {
		struct kct_vector *v = &golden->vectors[i];

		for (size_t j = 0; j < v->n_fields; j++) {
			free(v->fields[j].data);
			free(v->fields[j].list);
		}
		free(v->fields);
		free(v->frame);
	}
	free(golden->vectors);
	*golden = (struct kct_golden){ 0 };
}

const struct kct_vector *kct_golden_find(const struct kct_golden *golden, const char *name)
{
	for (size_t i = 0; i < golden->count; i++) {
		if (!strcmp(golden->vectors[i].name, name))
			return &golden->vectors[i];
	}
	return NULL;
}
