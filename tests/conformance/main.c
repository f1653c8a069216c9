/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The conformance suite over one placement: one list of cases, so that every
 * placement answers for the same.
 */
#include "tests/conformance/suite.h"

#include <stdlib.h>
#include <string.h>

/* as cmocka_run_group_tests() calls it; exported for arrays made at run time */
static const struct CMUnitTest *(*const parts[])(size_t *) = {
	matrix_tests, bound_tests,  order_tests,       message_tests,
	batch_tests,  close_tests,  argument_tests,    drop_tests,
	fd_tests,     select_tests, select_many_tests, select_use_tests,
};

#define N_PARTS (sizeof(parts) / sizeof(parts[0]))

static int group_setup(void **state)
{
	(void)state;
	return kct_placement.begin();
}

static int group_teardown(void **state)
{
	(void)state;
	kct_placement.end();
	return 0;
}

static int run_all(void)
{
	struct CMUnitTest *all = NULL;
	size_t n_all = 0;
	int failed;

	for (size_t i = 0; i < N_PARTS; i++) {
		size_t n;
		const struct CMUnitTest *tests = parts[i](&n);

		all = realloc(all, (n_all + n) * sizeof(*all));
		if (!all)
			return 99;
		memcpy(all + n_all, tests, n * sizeof(*tests));
		n_all += n;
	}
	failed = _cmocka_run_group_tests(kct_placement.name, all, n_all, group_setup,
					 group_teardown);
	free(all);
	return failed;
}

int main(void)
{
	return kct_placement.run ? kct_placement.run(run_all) : run_all();
}
