/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * systemd: readiness, status, the watchdog, sockets passed at the start. Built
 * without libsystemd only passed sockets remain; the rest does nothing. Run by
 * anything but systemd all of it does nothing.
 */
#ifndef KCD_SD_H
#define KCD_SD_H

#include <stdint.h>

/* How many sockets were passed, from descriptor KCD_SD_FDS_START on (CLOEXEC after this);
 * or KC_EINVAL. The environment's word about them is taken away. */
#define KCD_SD_FDS_START 3
int kcd_sd_listen_fds(void);

/* Is this descriptor a listening AF_UNIX stream socket? */
int kcd_sd_is_listening(int fd);

void kcd_sd_ready(const char *status);
void kcd_sd_stopping(void);

/* How often the watchdog wants to hear from us, in ns; 0: not at all. */
uint64_t kcd_sd_watchdog_ns(void);
void kcd_sd_watchdog_ping(void);

#endif
