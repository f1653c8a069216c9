/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PROTOCOL.md against the code. The document is what clients in other languages
 * are written from, so its tables and its examples in bytes must be what the codec
 * does: this test reads them out of the text and compares.
 */
#include "tests/lib/kct.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/bytes.h"
#include "proto/message.h"
#include "proto/result.h"
#include "tests/lib/golden.h"

#define LINE_MAX_SIZE 1024
#define CELLS 9

static char *document;

static int load_document(void **state)
{
	const char *srcdir = getenv("KC_SRCDIR");
	char path[4096];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proto/PROTOCOL.md", srcdir ? srcdir : ".");
	f = fopen(path, "re");
	document = calloc(1, 1 << 20);
	if (!f || !document)
		return -1;
	len = fread(document, 1, (1 << 20) - 1, f);
	fclose(f);
	return len > 10000 ? 0 : -1;
}

static int free_document(void **state)
{
	free(document);
	return 0;
}

/* ---- reading markdown ------------------------------------------------------------ */

/* The lines of one section, by its heading. */
struct lines {
	const char *pos;
	const char *end;
	char line[LINE_MAX_SIZE];
};

static struct lines section(const char *heading)
{
	struct lines lines = { .pos = strstr(document, heading) };

	assert_non_null(lines.pos);
	lines.pos += strlen(heading);
	lines.end = strstr(lines.pos, "\n## ");
	if (!lines.end)
		lines.end = lines.pos + strlen(lines.pos);
	return lines;
}

static bool next_line(struct lines *lines)
{
	size_t len = strcspn(lines->pos, "\n");

	if (lines->pos + len >= lines->end)
		return false;
	assert_true(len < sizeof(lines->line));
	memcpy(lines->line, lines->pos, len);
	lines->line[len] = '\0';
	lines->pos += len + 1;
	return true;
}

static char *trim(char *text)
{
	size_t len;

	while (*text == ' ')
		text++;
	len = strlen(text);
	while (len && text[len - 1] == ' ')
		text[--len] = '\0';
	return text;
}

/* The cells of the next table row whose first cell is a number; NULL for what is absent. */
static bool next_row(struct lines *lines, char *cell[CELLS])
{
	while (next_line(lines)) {
		char *rest = lines->line;

		if (*rest++ != '|')
			continue;
		for (size_t i = 0; i < CELLS; i++) {
			char *text = strsep(&rest, "|");

			cell[i] = text ? trim(text) : NULL;
		}
		if (isdigit((unsigned char)cell[0][0]))
			return true;
	}
	return false;
}

/* ---- tables ------------------------------------------------------------------------ */

static void tlvs_are_those_of_the_document(void **state)
{
	struct lines lines = section("\n## 3 TLVs\n");
	unsigned known = 0, rows = 0;
	char *cell[CELLS];

	for (unsigned n = 0; n <= UINT16_MAX; n++)
		known += kcp_tlv_info((uint16_t)n) != NULL;
	while (next_row(&lines, cell)) {
		unsigned long type = strtoul(cell[0], NULL, 0);
		const struct kcp_tlv_info *info = kcp_tlv_info((uint16_t)type);
		unsigned lo, hi;

		/* the header's and the statistics' tables have other numbers */
		if (strncmp(cell[0], "0x", 2))
			continue;
		rows++;
		if (!info)
			fail_msg("TLV %s is not in tlvs.def", cell[0]);
		assert_string_equal(cell[1], info->name);
		if (sscanf(cell[2], "text, %u..%u bytes", &lo, &hi) == 2) {
			assert_int_equal(info->form, KCP_FORM_TEXT);
			assert_int_equal(info->lo, lo);
			assert_int_equal(info->hi, hi);
		} else if (!strcmp(cell[2], "16 bytes")) {
			assert_int_equal(info->form, KCP_FORM_BYTES);
			assert_int_equal(info->lo, 16);
			assert_int_equal(info->hi, 16);
		} else {
			static const struct {
				const char *text;
				unsigned form;
			} forms[] = { { "u32", KCP_FORM_U32 },
				      { "u64", KCP_FORM_U64 },
				      { "bytes", KCP_FORM_BYTES },
				      { "TLVs", KCP_FORM_TLVS },
				      { "n x u32", KCP_FORM_U32S },
				      { "n x u64", KCP_FORM_U64S },
				      { "n x (u64 first, u64 count)", KCP_FORM_PAIRS } };
			size_t i = 0;

			while (i < KC_ARRAY_SIZE(forms) && strcmp(forms[i].text, cell[2]))
				i++;
			if (i == KC_ARRAY_SIZE(forms))
				fail_msg("%s: value %s", cell[1], cell[2]);
			assert_int_equal(info->form, forms[i].form);
		}
		assert_int_equal(info->repeated, !strncmp(cell[3], "*repeated*", 10));
	}
	assert_int_equal(rows, known);
}

static void results_are_those_of_the_document(void **state)
{
	static const struct {
		const char *name;
		int code;
	} codes[] = {
#define CODE(name) { #name, name }
		{ "0", 0 },       CODE(KC_EAGAIN), CODE(KC_ETIME),      CODE(KC_ECANCELED),
		CODE(KC_EPIPE),   CODE(KC_EINVAL), CODE(KC_EMSGSIZE),   CODE(KC_ENOENT),
		CODE(KC_EEXIST),  CODE(KC_EACCES), CODE(KC_EDQUOT),     CODE(KC_ENOMEM),
		CODE(KC_ENOTSUP), CODE(KC_EPROTO), CODE(KC_ECONNRESET), CODE(KC_EBROKEN),
#undef CODE
	};
	struct lines lines = section("\n## 4 Results\n");
	uint32_t rows = 0;
	char *cell[CELLS];

	while (next_row(&lines, cell)) {
		size_t i = 0;

		assert_int_equal(strtoul(cell[0], NULL, 10), rows);
		assert_string_equal(cell[1], kcp_result_name(rows));
		while (i < KC_ARRAY_SIZE(codes) && strcmp(codes[i].name, cell[2]))
			i++;
		assert_true(i < KC_ARRAY_SIZE(codes));
		assert_int_equal(kcp_result_to_code(rows), codes[i].code);
		rows++;
	}
	assert_int_equal(rows, KC_ARRAY_SIZE(codes));
	assert_string_equal(kcp_result_name(rows), "?");
}

static void statistics_are_those_of_the_document(void **state)
{
	static const char *const names[KCP_STAT_MAX + 1] = {
		[KCP_S_SENT] = "sent",
		[KCP_S_RECEIVED] = "received",
		[KCP_S_QUEUED] = "queued",
		[KCP_S_LEASED] = "leased",
		[KCP_S_CONFLATED] = "conflated",
		[KCP_S_DROPPED_OLDEST] = "dropped: oldest",
		[KCP_S_DROPPED_NEWEST] = "dropped: newest",
		[KCP_S_DROPPED_PURGED] = "dropped: purged",
		[KCP_S_DROPPED_DESTROYED] = "dropped: destroyed",
		[KCP_S_EXPIRED] = "expired",
		[KCP_S_LOST_CONSUMER] = "lost: consumer",
		[KCP_S_LOST_DAEMON] = "lost: daemon",
		[KCP_S_BYTES_SENT] = "bytes sent",
		[KCP_S_BYTES_RECEIVED] = "bytes received",
		[KCP_S_LENGTH] = "length",
		[KCP_S_BYTES] = "bytes held",
		[KCP_S_CLOSED] = "closed (0 or 1)",
		[KCP_S_SENDERS] = "senders attached",
		[KCP_S_RECEIVERS] = "receivers attached",
		[KCP_S_WAITING_SENDERS] = "waiting senders",
		[KCP_S_WAITING_RECEIVERS] = "waiting receivers",
		[KCP_S_REDELIVERED] = "redelivered",
		[KCP_S_PID] = "pid of the daemon",
		[KCP_S_UPTIME_MS] = "milliseconds since start",
		[KCP_S_CONNECTIONS] = "connections",
		[KCP_S_SESSIONS] = "sessions",
		[KCP_S_CHANNELS] = "channels",
		[KCP_S_FRAMES_IN] = "frames in",
		[KCP_S_FRAMES_OUT] = "frames out",
		[KCP_S_RESUMES] = "resumes",
	};
	struct lines lines = section("\n## 3 TLVs\n");
	unsigned found = 0;
	char *cell[CELLS];

	while (next_row(&lines, cell)) {
		/* three numbers beside each other: number, name, nothing, number ... */
		for (size_t i = 0; cell[7] && i < CELLS; i += 3) {
			unsigned long n = strtoul(cell[i], NULL, 10);

			assert_in_range(n, 1, KCP_STAT_MAX);
			assert_string_equal(cell[i + 1], names[n]);
			found++;
		}
	}
	assert_int_equal(found, KCP_STAT_MAX);
}

/* The bits named in "(LEASE, OFFER)". */
static uint32_t flags_of(const char *text)
{
	static const struct {
		const char *name;
		uint32_t bit;
	} names[] = { { "LEASE", KCP_F_LEASE },
		      { "OFFER", KCP_F_OFFER },
		      { "PROVISIONAL", KCP_F_PROVISIONAL },
		      { "CREATED", KCP_F_CREATED },
		      { "MORE", KCP_F_MORE },
		      { "WINDOW", KCP_F_WINDOW },
		      { "PROMISED", KCP_F_PROMISED } };
	uint32_t flags = 0;

	for (size_t i = 0; i < KC_ARRAY_SIZE(names); i++) {
		if (strstr(text, names[i].name))
			flags |= names[i].bit;
	}
	return flags;
}

static uint64_t bit_of(const char *name)
{
	for (uint16_t n = 1; n <= KCP_TLV_KNOWN_MAX; n++) {
		if (!strcmp(kcp_tlv_name(n), name) ||
		    !strcmp(kcp_tlv_name(n | KCP_TLV_OPTIONAL), name))
			return KCP_TLV_BIT(n);
	}
	fail_msg("the table of messages names %s, which is no TLV", name);
	return 0;
}

/* "NAME?", "FLAGS? (LEASE, OFFER)", "NAME or CHAN_ID", "with MSGSIZE: NEEDED" */
static void add_token(struct kcp_shape *shape, char *token)
{
	char *inside = strchr(token, '(');
	bool optional = false, repeated = false;
	char *other;

	if (inside) {
		*inside++ = '\0';
		repeated = !strcmp(inside, "repeated)");
		token = trim(token);
	}
	other = strstr(token, " or ");
	if (other) {
		*other = '\0';
		shape->one_of = bit_of(token) | bit_of(other + 4);
		return;
	}
	if (!strncmp(token, "with ", 5)) {
		token = strstr(token, ": ") + 2;
		optional = true;
	}
	if (token[strlen(token) - 1] == '?') {
		token[strlen(token) - 1] = '\0';
		optional = true;
	}
	/* repeated is any number of times, so none, too */
	*(optional || repeated ? &shape->optional : &shape->required) |= bit_of(token);
	if (!strcmp(token, "FLAGS")) {
		assert_non_null(inside);
		shape->flags |= flags_of(inside);
	}
}

static void parse_shape(struct kcp_shape *shape, const char *cell)
{
	char text[LINE_MAX_SIZE];
	unsigned depth = 0;
	char *token = text;

	snprintf(text, sizeof(text), "%s,", cell);
	for (char *p = text; *p; p++) {
		depth += (*p == '(') - (*p == ')');
		if (depth || (*p != ',' && *p != ';'))
			continue;
		*p = '\0';
		token = trim(token);
		if (!strcmp(token, "as CHAN_OPEN"))
			shape->required |= kcp_message_find(KCP_CHAN_OPEN)->reply.required;
		else if (*token)
			add_token(shape, token);
		token = p + 1;
	}
}

static void compare_shapes(const char *name, const struct kcp_shape *doc,
			   const struct kcp_shape *code)
{
	if (doc->required != code->required || doc->optional != code->optional ||
	    doc->one_of != code->one_of || doc->flags != code->flags)
		fail_msg("%s differs: required %lx %lx, optional %lx %lx, one of %lx %lx, flags %x "
			 "%x",
			 name, (unsigned long)doc->required, (unsigned long)code->required,
			 (unsigned long)doc->optional, (unsigned long)code->optional,
			 (unsigned long)doc->one_of, (unsigned long)code->one_of, doc->flags,
			 code->flags);
}

static void messages_are_those_of_the_document(void **state)
{
	struct lines lines = section("\n## 6 Messages\n");
	unsigned known = 0, rows = 0;
	char *cell[CELLS];

	for (unsigned n = 0; n <= UINT16_MAX; n++)
		known += kcp_message_find((uint16_t)n) != NULL;
	while (next_row(&lines, cell)) {
		const struct kcp_message *msg =
			kcp_message_find((uint16_t)strtoul(cell[0], NULL, 10));
		struct kcp_shape sent = { 0 }, reply = { 0 };
		unsigned forms = 0;

		rows++;
		if (!msg)
			fail_msg("message %s is not in messages.def", cell[0]);
		assert_string_equal(cell[1], msg->name);
		if (strchr(cell[2], 'C'))
			forms |= KCP_REQUEST | KCP_REPLY;
		if (strchr(cell[2], 'N'))
			forms |= KCP_NOTICE;
		if (strchr(cell[2], 'E'))
			forms |= KCP_EVENT;
		assert_int_equal(msg->forms, forms);
		parse_shape(&sent, cell[3]);
		parse_shape(&reply, cell[4]);
		compare_shapes(msg->name, &sent, &msg->sent);
		compare_shapes(msg->name, &reply, &msg->reply);
	}
	assert_int_equal(rows, known);
}

/* ---- examples in bytes ---------------------------------------------------------------- */

static int hex_pair(const char *text)
{
	const char *digits = "0123456789abcdef";
	const char *high = strchr(digits, text[0]), *low = strchr(digits, text[1]);

	return text[0] && text[1] && high && low ? (int)((high - digits) << 4 | (low - digits))
						 : -1;
}

/* One line: "hex hex ... | explanation". Returns the number of bytes. */
static size_t read_bytes(char *line, uint8_t *ret, char **ret_text)
{
	char *bar = strchr(line, '|');
	size_t n = 0;

	assert_non_null(bar);
	*bar = '\0';
	*ret_text = trim(bar + 1);
	for (char *p = trim(line); *p; p += p[2] ? 3 : 2) {
		int byte = hex_pair(p);

		assert_true(byte >= 0 && (p[2] == ' ' || !p[2]));
		ret[n++] = (uint8_t)byte;
	}
	assert_in_range(n, 1, 16);
	return n;
}

/* Explanations that repeat a number must repeat the right one. Returns 1 if it did. */
static unsigned check_text(const uint8_t *bytes, const char *text)
{
	char name[64];
	unsigned long n;

	if (sscanf(text, "type %lu, %63s", &n, name) == 2) {
		assert_int_equal(n, kcp_load_u16(bytes));
		assert_string_equal(name, kcp_message_name((uint16_t)n));
	} else if (sscanf(text, "length: %lu", &n) == 1) {
		assert_int_equal(n, kcp_load_u32(bytes));
	} else if (sscanf(text, "id %lu", &n) == 1 || sscanf(text, "seq %lu", &n) == 1) {
		assert_int_equal(n, kcp_load_u64(bytes));
	} else if (sscanf(text, "%63[A-Z_], %lu bytes", name, &n) == 2) {
		assert_string_equal(name, kcp_tlv_name(kcp_load_u16(bytes)));
		assert_int_equal(n, kcp_load_u32(bytes + 4));
	} else {
		return 0;
	}
	return 1;
}

static void check_example(const struct kct_golden *golden, const char *title, const uint8_t *frame,
			  size_t len)
{
	struct kcp_header header;
	struct kcp_args args;
	const char *why = "";
	size_t i = 0;

	if (kcp_header_decode(frame, KCP_FRAME_DEFAULT, &header, &why))
		fail_msg("%s: %s", title, why);
	assert_int_equal(header.length, len - KCP_HEADER_SIZE);
	if (kcp_args_parse(&args, frame + KCP_HEADER_SIZE, header.length, &why))
		fail_msg("%s: %s", title, why);
	assert_non_null(strstr(title, kcp_message_name(header.type)));
	while (i < golden->count &&
	       (golden->vectors[i].len != len || memcmp(golden->vectors[i].frame, frame, len)))
		i++;
	if (i == golden->count)
		fail_msg("%s: these bytes are no golden vector", title);
	if (kcp_message_check(kcp_message_find(header.type), &args, golden->vectors[i].form, &why))
		fail_msg("%s: %s", title, why);
}

static void examples_are_frames_and_golden_vectors(void **state)
{
	struct lines lines = section("\n## 13 Examples in bytes\n");
	struct kct_golden golden = { 0 };
	char title[LINE_MAX_SIZE] = "";
	unsigned examples = 0, checked = 0;
	uint8_t frame[4096];
	size_t len = 0;
	bool inside = false;

	assert_int_equal(kct_golden_load_all(&golden), 0);
	while (next_line(&lines)) {
		if (!strncmp(lines.line, "### ", 4)) {
			strcpy(title, lines.line);
		} else if (!strncmp(lines.line, "```", 3)) {
			if (inside) {
				check_example(&golden, title, frame, len);
				examples++;
			}
			inside = !inside;
			len = 0;
		} else if (inside) {
			uint8_t *place = frame + len;
			char *text;

			assert_true(len + 16 <= sizeof(frame));
			len += read_bytes(lines.line, place, &text);
			checked += check_text(place, text);
		}
	}
	assert_false(inside);
	assert_true(examples >= 14);
	assert_true(checked >= 4 * examples);
	kct_golden_done(&golden);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tlvs_are_those_of_the_document),
		cmocka_unit_test(results_are_those_of_the_document),
		cmocka_unit_test(statistics_are_those_of_the_document),
		cmocka_unit_test(messages_are_those_of_the_document),
		cmocka_unit_test(examples_are_frames_and_golden_vectors),
	};

	return cmocka_run_group_tests(tests, load_document, free_document);
}
