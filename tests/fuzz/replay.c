/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main() for the fuzz targets of a plain build: feeds each file of the target's
 * corpus to LLVMFuzzerTestOneInput() once, one TAP case per file. A crash, a
 * sanitizer report or a hang is then this test's failure, so what a fuzzer once
 * found stays found without a fuzzer at hand.
 *
 * The corpus is $KC_SRCDIR/tests/fuzz/corpus/NAME for the program fuzz-NAME;
 * files named on the command line are replayed instead.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* what libFuzzer takes by default at most, with room */
#define INPUT_MAX ((size_t)1 << 20)

static int replay_file(unsigned long n, const char *path)
{
	FILE *f = fopen(path, "rbe");
	uint8_t *data;
	size_t len;
	int bad;

	if (!f) {
		printf("not ok %lu - %s: cannot be opened\n", n, path);
		return 1;
	}
	/* one byte past the limit shows that a file is over it */
	data = malloc(INPUT_MAX + 1);
	if (!data) {
		fclose(f);
		printf("not ok %lu - %s: no memory\n", n, path);
		return 1;
	}
	len = fread(data, 1, INPUT_MAX + 1, f);
	bad = ferror(f) || len > INPUT_MAX;
	fclose(f);
	if (!bad) {
		/* an exact copy, so that reading one byte too many is seen by a sanitizer */
		uint8_t *exact = malloc(len ? len : 1);

		if (exact) {
			memcpy(exact, data, len);
			LLVMFuzzerTestOneInput(exact, len);
			free(exact);
		} else {
			bad = 1;
		}
	}
	free(data);
	printf("%s %lu - %s\n", bad ? "not ok" : "ok", n, path);
	fflush(stdout);
	return bad;
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int replay_corpus(const char *program)
{
	const char *srcdir = getenv("KC_SRCDIR");
	const char *name = strstr(program, "fuzz-");
	struct dirent **list;
	char dir[4096];
	char path[4096 + 256];
	int n, failed = 0;

	/* the last "fuzz-": a folder above may be called so too */
	for (const char *p = name; p; p = strstr(p + 1, "fuzz-"))
		name = p;
	if (!srcdir || !name) {
		printf("Bail out! KC_SRCDIR is not set, or the program is not called fuzz-NAME\n");
		return 1;
	}
	snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%s", srcdir, name + strlen("fuzz-"));
	n = scandir(dir, &list, visible, alphasort);
	if (n <= 0) {
		printf("Bail out! no corpus in %s\n", dir);
		return 1;
	}
	printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name);
		failed += replay_file((unsigned long)i + 1, path);
		free(list[i]);
	}
	free(list);
	return failed != 0;
}

int main(int argc, char **argv)
{
	int failed = 0;

	if (argc < 2)
		return replay_corpus(argv[0]);
	printf("1..%d\n", argc - 1);
	for (int i = 1; i < argc; i++)
		failed += replay_file((unsigned long)i, argv[i]);
	return failed != 0;
}
