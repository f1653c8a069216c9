/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kcoroctl session: a private kcorod for the life of one command.
 *
 * The listening socket is made here and handed to the daemon as an activated
 * descriptor (LISTEN_FDS), so the command may connect at once: the kernel queues
 * its connections until the daemon accepts them, and nobody has to ask whether it
 * is ready. Everything lies in a folder of its own that is removed at the end.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kcoroctl/cmd.h"
#include "kcoroctl/session.h"

enum { OPT_CONFIG };

static const struct cmd_option options[] = {
	[OPT_CONFIG] = { "config", 'c', CMD_FILE, "FILE", "configuration of the daemon" },
	{ NULL },
};

#define LISTEN_FD	3     /* where a daemon looks for the first activated descriptor */
#define DAEMON_END_MS	10000 /* for the daemon to end, once it was asked to */
#define LOG_SHOWN	8192  /* bytes of the end of the daemon's log, shown if it fails */
#define NOT_FOUND	127   /* exit status of a command that is not there, as of a shell */
#define NOT_EXECUTABLE	126
#define ENDED_BY_SIGNAL 128

struct session {
	char dir[64];
	struct sockaddr_un address;
	char program[PROGRAM_PATH_MAX];
	const char *config;
	int listen_fd;
	int log_fd; /* the daemon's standard error, unless KCORO_DEBUG wants it seen */
	int signal_fd;
	sigset_t before;
	pid_t daemon, command; /* 0 = none, or ended */
	int daemon_status, command_status;
	bool ending; /* the daemon was asked to end */
	bool failed; /* it ended in another way */
};

static enum cmd_exit cannot(const char *what)
{
	cmd_error("cannot %s: %s", what, strerror(errno));
	return CMD_FAILED;
}

static enum cmd_exit folder_make(struct session *s)
{
	static const char name[] = "/kcoro-XXXXXX";
	const char *base = getenv("TMPDIR");
	int n = -1;

	/* a socket's path is short: a deep TMPDIR does not do */
	if (base && *base == '/')
		n = snprintf(s->dir, sizeof(s->dir), "%s%s", base, name);
	if (n < 0 || (size_t)n >= sizeof(s->dir))
		snprintf(s->dir, sizeof(s->dir), "/tmp%s", name);
	if (!mkdtemp(s->dir)) {
		s->dir[0] = '\0';
		return cannot("make a temporary folder");
	}
	s->address.sun_family = AF_UNIX;
	snprintf(s->address.sun_path, sizeof(s->address.sun_path), "%s/kcorod.sock", s->dir);
	return CMD_DONE;
}

static enum cmd_exit socket_make(struct session *s)
{
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->listen_fd < 0 ||
	    bind(s->listen_fd, (struct sockaddr *)&s->address, sizeof(s->address)) < 0 ||
	    listen(s->listen_fd, SOMAXCONN) < 0)
		return cannot("make a socket for the daemon");
	return CMD_DONE;
}

static enum cmd_exit log_make(struct session *s)
{
	char path[sizeof(s->dir) + 16];

	if (getenv("KCORO_DEBUG"))
		return CMD_DONE;
	snprintf(path, sizeof(path), "%s/kcorod.log", s->dir);
	s->log_fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return s->log_fd < 0 ? cannot("make the daemon's log") : CMD_DONE;
}

static enum cmd_exit signals_take(struct session *s)
{
	static const int wanted[] = { SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		sigaddset(&set, wanted[i]);
	sigprocmask(SIG_BLOCK, &set, &s->before);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? cannot("wait for signals") : CMD_DONE;
}

/* In a child: what kcoroctl changed for itself becomes what its own starter had set. */
static void child_reset(const struct session *s)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };

	sigaction(SIGPIPE, &plain, NULL);
	sigprocmask(SIG_SETMASK, &s->before, NULL);
}

/* In the daemon's process, up to the exec. Returns only on failure, with errno. */
static void daemon_exec(const struct session *s, pid_t parent)
{
	char pid[16];
	char *argv[] = { (char *)"kcorod", NULL, NULL, NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int err = s->log_fd >= 0 ? s->log_fd : STDERR_FILENO;

	/* a group of its own: Ctrl-C is for the command; and it dies with kcoroctl, however that
	 * dies */
	if (null < 0 || setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		return;
	if (getppid() != parent) {
		errno = ECHILD;
		return;
	}
	if (dup2(null, STDIN_FILENO) < 0 || dup2(err, STDOUT_FILENO) < 0 ||
	    dup2(err, STDERR_FILENO) < 0)
		return;
	if (s->listen_fd == LISTEN_FD ? fcntl(LISTEN_FD, F_SETFD, 0) < 0
				      : dup2(s->listen_fd, LISTEN_FD) < 0)
		return;
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	if (setenv("LISTEN_PID", pid, 1) < 0 || setenv("LISTEN_FDS", "1", 1) < 0)
		return;
	/* the surroundings of kcoroctl are not the daemon's */
	unsetenv("LISTEN_FDNAMES");
	unsetenv("NOTIFY_SOCKET");
	if (s->config) {
		argv[1] = (char *)"--config";
		argv[2] = (char *)s->config;
	}
	child_reset(s);
	execv(s->program, argv);
}

/* Starts the daemon and waits until its program has begun, or learns why it has not. */
static enum cmd_exit daemon_start(struct session *s)
{
	pid_t parent = getpid();
	int fds[2], error = 0;
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return cannot("make a pipe");
	s->daemon = fork();
	if (s->daemon == 0) {
		daemon_exec(s, parent);
		error = errno;
		n = write(fds[1], &error, sizeof(error));
		_exit(n < 0 ? NOT_FOUND : NOT_EXECUTABLE);
	}
	close(fds[1]);
	do {
		n = read(fds[0], &error, sizeof(error));
	} while (n < 0 && errno == EINTR);
	close(fds[0]);
	/* the daemon's alone from now on: if it dies, connecting fails instead of waiting */
	close(s->listen_fd);
	s->listen_fd = -1;
	if (s->daemon > 0 && n == 0)
		return CMD_DONE;
	if (s->daemon < 0) {
		s->daemon = 0;
		return cannot("start a process");
	}
	waitpid(s->daemon, NULL, 0);
	s->daemon = 0;
	cmd_error("cannot start %s: %s", s->program, strerror(error));
	return CMD_NO_DAEMON;
}

static enum cmd_exit command_start(struct session *s, char **argv)
{
	int error;

	s->command = fork();
	if (s->command < 0) {
		s->command = 0;
		return cannot("start a process");
	}
	if (s->command > 0)
		return CMD_DONE;
	child_reset(s);
	if (setenv("KCORO_SOCKET", s->address.sun_path, 1) == 0)
		execvp(argv[0], argv);
	error = errno;
	cmd_error("cannot run %s: %s", argv[0], strerror(error));
	_exit(error == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

static void log_show(const struct session *s)
{
	char text[LOG_SHOWN];
	struct stat st;
	off_t from;
	ssize_t n;

	if (s->log_fd < 0 || fstat(s->log_fd, &st) < 0)
		return;
	from = st.st_size > (off_t)sizeof(text) ? st.st_size - (off_t)sizeof(text) : 0;
	n = pread(s->log_fd, text, sizeof(text), from);
	if (n <= 0)
		return;
	cmd_hint("its last words:");
	fwrite(text, 1, (size_t)n, stderr);
}

/* The daemon has ended: well, if it was asked to and did so in its own way, or had not learned to
 * yet (a command may be over at once). Else its end is told now, before the command fails because
 * of it. */
static void daemon_judge(struct session *s)
{
	int status = s->daemon_status;

	if (s->ending && (status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM)))
		return;
	s->failed = true;
	if (WIFSIGNALED(status))
		cmd_error("kcorod was ended by signal %d", WTERMSIG(status));
	else
		cmd_error("kcorod ended with exit status %d%s", WEXITSTATUS(status),
			  s->ending ? "" : " before the command did");
	log_show(s);
}

/* Collects those of our two children that have ended. */
static void children_collect(struct session *s)
{
	if (s->command && waitpid(s->command, &s->command_status, WNOHANG) == s->command)
		s->command = 0;
	if (s->daemon && waitpid(s->daemon, &s->daemon_status, WNOHANG) == s->daemon) {
		s->daemon = 0;
		daemon_judge(s);
	}
}

static void signals_read(struct session *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			children_collect(s);
		/* what the terminal sent has reached the command already */
		else if (info.ssi_code != SI_KERNEL && s->command)
			kill(s->command, (int)info.ssi_signo);
	}
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits until *child has ended, at most `limit_ms` (< 0: without bound). */
static bool child_wait(struct session *s, const pid_t *child, int64_t limit_ms)
{
	struct pollfd fd = { .fd = s->signal_fd, .events = POLLIN };
	int64_t end = now_ms() + limit_ms;

	while (*child) {
		int64_t left = limit_ms < 0 ? -1 : end - now_ms();

		if (limit_ms >= 0 && left <= 0)
			return false;
		if (poll(&fd, 1, (int)left) > 0)
			signals_read(s);
	}
	return true;
}

static void daemon_stop(struct session *s)
{
	s->ending = true;
	if (!s->daemon)
		return;
	kill(s->daemon, SIGTERM);
	if (child_wait(s, &s->daemon, DAEMON_END_MS))
		return;
	cmd_error("kcorod does not end within %d s; killing it", DAEMON_END_MS / 1000);
	kill(s->daemon, SIGKILL);
	child_wait(s, &s->daemon, -1);
}

static void folder_remove(const struct session *s)
{
	DIR *dir = s->dir[0] ? opendir(s->dir) : NULL;
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.' || strlen(entry->d_name) > 2)
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
	rmdir(s->dir);
}

static int status_of(int wait_status)
{
	return WIFSIGNALED(wait_status) ? ENDED_BY_SIGNAL + WTERMSIG(wait_status)
					: WEXITSTATUS(wait_status);
}

static enum cmd_exit run(struct cmd_call *call)
{
	struct session s = { .listen_fd = -1, .log_fd = -1, .signal_fd = -1 };
	enum cmd_exit status = session_program(s.program);

	if (status != CMD_DONE)
		return status;
	if (call->opt[OPT_CONFIG].set)
		s.config = call->opt[OPT_CONFIG].text;
	/* in this order: signals are held before there is anything they could leave behind */
	status = signals_take(&s);
	if (status == CMD_DONE)
		status = folder_make(&s);
	if (status == CMD_DONE)
		status = socket_make(&s);
	if (status == CMD_DONE)
		status = log_make(&s);
	if (status == CMD_DONE)
		status = daemon_start(&s);
	if (status == CMD_DONE)
		status = command_start(&s, call->rest);
	if (status == CMD_DONE) {
		child_wait(&s, &s.command, -1);
		status = (enum cmd_exit)status_of(s.command_status);
	}
	daemon_stop(&s);
	if (status == CMD_DONE && s.failed)
		status = CMD_FAILED;
	folder_remove(&s);
	if (s.listen_fd >= 0)
		close(s.listen_fd);
	if (s.log_fd >= 0)
		close(s.log_fd);
	if (s.signal_fd >= 0)
		close(s.signal_fd);
	sigprocmask(SIG_SETMASK, &s.before, NULL);
	return status;
}

const struct cmd cmd_session = {
	.name = "session",
	.usage = "[--config FILE] -- COMMAND [ARGUMENT]...",
	.summary = "run a command with a kcorod of its own",
	.help = "Starts a private kcorod in a temporary folder, runs COMMAND with KCORO_SOCKET "
		"set\n"
		"for it, and ends the daemon when the command has ended. The exit status is the\n"
		"command's (128 + N if signal N ended it); it is 1 if the command succeeded but\n"
		"the daemon did not, and 3 if there is no daemon to start.\n"
		"\n"
		"The daemon is the program named in KCOROD, else the one installed or built\n"
		"together with this kcoroctl, else the one in PATH. Its log is shown if it fails;\n"
		"with KCORO_DEBUG set it goes to standard error.\n"
		"\n"
		"  kcoroctl session -- sh\n"
		"  kcoroctl session -- sh -c 'kcoroctl make a --kind unlimited; kcoroctl list'\n",
	.options = options,
	.operand = CMD_OPERAND_COMMAND,
	.alone = true,
	.run = run,
};
