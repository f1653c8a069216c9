/* SPDX-License-Identifier: BSD-3-Clause */
/* kcorod: options, configuration, run. Everything else is in the library. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kcorod/config.h"
#include "kcorod/daemon.h"
#include "kcorod/log.h"
#include "kcorod/options.h"
#include "kcorod/sd.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

enum { DONE = 0, FAILED = 1, USAGE = 2 };

#define MEMORY_KEPT ((size_t)64 << 20) /* free and not given back while there is traffic */

/* File first, command line over it. 0, or the exit status. */
static int configure(const struct kcd_options *o, struct kcd_config *config)
{
	char why[KCD_CONFIG_WHY];
	enum kcd_log_level level;

	kcd_config_init(config);
	if (o->config && kcd_config_load(o->config, config, why) < 0) {
		fprintf(stderr, "kcorod: %s\n", why);
		return USAGE;
	}
	if (o->log_level) {
		if (!kcd_log_level_parse(o->log_level, &level)) {
			fprintf(stderr,
				"kcorod: --log-level %s: must be error, warning, notice, info or "
				"debug\n",
				o->log_level);
			return USAGE;
		}
		config->log_level = level;
	}
	if (o->socket) {
		if (strlen(o->socket) >= KCD_ENDPOINT_PATH) {
			fprintf(stderr, "kcorod: --socket: longer than %d bytes: %s\n",
				KCD_ENDPOINT_PATH - 1, o->socket);
			return USAGE;
		}
		memcpy(config->socket_path, o->socket, strlen(o->socket) + 1);
	}
	return 0;
}

/* Take the sockets that were passed, or bind one. False: said why. */
static bool open_sockets(struct kcd_daemon *d)
{
	char why[KCD_ENDPOINT_WHY];
	int n = kcd_sd_listen_fds();

	for (int fd = KCD_SD_FDS_START; fd < KCD_SD_FDS_START + n; fd++) {
		if (!kcd_sd_is_listening(fd)) {
			kcd_log(KCD_LOG_ERROR, NULL,
				"descriptor %d, passed with LISTEN_FDS, is no listening Unix "
				"stream socket",
				fd);
			return false;
		}
		if (kcd_listener_add(&d->listener, fd) < 0) {
			kcd_log(KCD_LOG_ERROR, NULL, "too many sockets passed with LISTEN_FDS");
			return false;
		}
	}
	if (n > 0) {
		kcd_log(KCD_LOG_NOTICE, NULL, "kcorod " PACKAGE_VERSION
					      " serves %d passed socket%s",
			n, n > 1 ? "s" : "");
		return true;
	}
	if (n < 0) {
		kcd_log(KCD_LOG_ERROR, NULL, "LISTEN_FDS makes no sense");
		return false;
	}
	if (kcd_listener_bind(&d->listener, why) < 0) {
		kcd_log(KCD_LOG_ERROR, NULL, "%s", why);
		return false;
	}
	kcd_log(KCD_LOG_NOTICE, NULL, "kcorod " PACKAGE_VERSION " serves %s",
		d->listener.endpoint.path);
	return true;
}

static int serve(const struct kcd_config *config)
{
	struct kcd_daemon *d;
	int r = kcd_daemon_new(config, &d);

	if (r == 0 && !open_sockets(d)) {
		kcd_daemon_free(d);
		return FAILED;
	}
	if (r == 0) {
		r = kcd_daemon_run(d);
		kcd_daemon_free(d);
	}
	if (r < 0)
		kcd_log(KCD_LOG_ERROR, NULL, "%s",
			r == KC_ENOMEM ? "no memory" : "the kernel gives no random numbers");
	else
		kcd_log(KCD_LOG_NOTICE, NULL, "done");
	return r < 0 ? FAILED : DONE;
}

/* The daemon outlives whoever reads its log: a pipe that was closed, a file at its limit. And no
 * socket gets the number of a standard stream that was closed, to be written to as the log. */
static void guard_streams(void)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };

	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigaction(SIGXFSZ, &ignore, NULL);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)!open("/dev/null", O_RDWR | O_CLOEXEC); /* the lowest that is free */
}

int main(int argc, char **argv)
{
	char why[KCD_OPTIONS_WHY];
	struct kcd_options options;
	struct kcd_config config;
	int r;

	guard_streams();
	if (kcd_options_parse(argc, argv, &options, why) < 0) {
		fprintf(stderr, "kcorod: %s (kcorod --help says what there is)\n", why);
		return USAGE;
	}
	if (options.help) {
		kcd_options_help(stdout);
		return DONE;
	}
	if (options.version) {
		printf("kcorod " PACKAGE_VERSION "\n");
		return DONE;
	}
	r = configure(&options, &config);
	if (r > 0)
		return r;
	if (options.print_config)
		return kcd_config_print(&config, stdout) < 0 ? FAILED : DONE;
	if (options.check_config) {
		printf("%s: the configuration is good\n", options.config ? options.config
									 : "kcorod");
		return DONE;
	}
	kcd_log_init((enum kcd_log_level)config.log_level);
	kci_memory_keep(MEMORY_KEPT);
	return serve(&config);
}
