/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EXAMPLES_PRIVATE_DAEMON_H
#define EXAMPLES_PRIVATE_DAEMON_H

/*
 * Lets an example run on a machine where no kcorod was set up.
 *
 * If KCORO_SOCKET is set it returns: that daemon is used. Else the program
 * starts anew below `kcoroctl session --`, which gives it a kcorod of its own for as
 * long as it runs. Returns -1 if that cannot be done (the reason was printed).
 */
int ex_private_daemon(char **argv);

#endif
