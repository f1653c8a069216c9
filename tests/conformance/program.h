/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The main() of a named program: its tests within the placement's begin and end.
 */
#ifndef KCT_PROGRAM_H
#define KCT_PROGRAM_H

#include "tests/conformance/suite.h"

static int program_begin(void **state)
{
	(void)state;
	return kct_placement.begin();
}

static int program_end(void **state)
{
	(void)state;
	kct_placement.end();
	return 0;
}

#define KCT_PROGRAM(tests)                                                                         \
	static int run_program(void)                                                               \
	{                                                                                          \
		return cmocka_run_group_tests(tests, program_begin, program_end);                  \
	}                                                                                          \
                                                                                                   \
	int main(void)                                                                             \
	{                                                                                          \
		return kct_placement.run ? kct_placement.run(run_program) : run_program();         \
	}

#endif
