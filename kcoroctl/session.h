/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCOROCTL_SESSION_H
#define KCOROCTL_SESSION_H

#include "kcoroctl/cmd.h"

#define PROGRAM_PATH_MAX 4096

/* program.c: the kcorod a session starts. CMD_DONE, or CMD_NO_DAEMON when the fault was told. */
enum cmd_exit session_program(char ret[PROGRAM_PATH_MAX]);

#endif
