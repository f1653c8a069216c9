/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What went wrong, and what to do about it.
 *
 * The first line says which step failed on which channel and why; indented
 * lines below it say what helps. A code that tells more when the daemon is
 * asked once more (who owns the channel?) has that asked here.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kcoroctl/cmd.h"
#include "kcoroctl/output.h"

void cmd_error(const char *format, ...)
{
	va_list args;

	/* what was reported so far comes first, also where both go to one terminal */
	fflush(stdout);
	fprintf(stderr, "%skcoroctl:%s ", out_red(stderr), out_plain(stderr));
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void cmd_hint(const char *format, ...)
{
	va_list args;

	fputs("  ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static enum cmd_exit no_daemon(const struct cmd_call *call, const char *detail)
{
	const char *env = getenv("KCORO_SOCKET");
	const char *path = call->socket ? call->socket : env && *env ? env : NULL;

	if (path)
		cmd_error("no kcorod answers at %s (%s)", path,
			  call->socket ? "given with --socket" : "from KCORO_SOCKET");
	else
		cmd_error("no kcorod answers: %s", *detail ? detail : "/run/kcorod/kcorod.sock");
	cmd_hint("start the system's daemon:       systemctl start kcorod");
	cmd_hint("or one of your own:              kcorod --socket /tmp/kcorod.sock &");
	cmd_hint("                                 export KCORO_SOCKET=/tmp/kcorod.sock");
	cmd_hint("or one for a single command:     kcoroctl session -- COMMAND");
	return CMD_NO_DAEMON;
}

static enum cmd_exit no_right_to_connect(const struct cmd_call *call, const char *detail)
{
	const char *env = getenv("KCORO_SOCKET");
	const char *path = call->socket ? call->socket : env && *env ? env : NULL;
	struct stat st;

	if (!path)
		path = *detail ? detail : "/run/kcorod/kcorod.sock";
	cmd_error("no right to connect to %s", path);
	if (stat(path, &st) == 0) {
		cmd_hint("the socket belongs to %s and group %s, its mode is %04o",
			 out_user(st.st_uid).s, out_group(st.st_gid).s,
			 (unsigned)st.st_mode & 07777);
		cmd_hint("ask the administrator to add you to that group, or start a daemon of");
	} else {
		cmd_hint("a folder on the way is closed to you; ask its owner, or start a daemon "
			 "of");
	}
	cmd_hint("your own: kcorod --socket /tmp/kcorod.sock");
	return CMD_FAILED;
}

enum cmd_exit cmd_unreachable(const struct cmd_call *call, int code)
{
	const char *detail = kc_error_detail();

	switch (code) {
	case KC_ENOENT:
	case KC_ECONNRESET:
		return no_daemon(call, detail);
	case KC_EACCES:
		return no_right_to_connect(call, detail);
	case KC_ENAMETOOLONG:
		cmd_error("the socket's path is too long: %s", detail);
		cmd_hint(
			"Linux allows 107 bytes; give a shorter one with --socket or KCORO_SOCKET");
		return CMD_FAILED;
	case KC_EPROTO:
		cmd_error("whoever answers there is no kcorod this kcoroctl can talk to%s%s",
			  *detail ? ": " : "", detail);
		cmd_hint("kcoroctl %s speaks version 1 of the protocol; `kcorod --version` "
			 "tells about the daemon",
			 KC_VERSION_STRING);
		return CMD_FAILED;
	default:
		cmd_error("cannot connect to kcorod: %s%s%s", kc_strerror(code),
			  *detail ? ": " : "", detail);
		return CMD_FAILED;
	}
}

static enum cmd_exit no_such_channel(const struct cmd_call *call)
{
	if (call->name) {
		cmd_error("there is no channel '%s'", call->name);
		if (geteuid() != 0)
			cmd_hint("(none, or one that you have no right to: those are not shown)");
		cmd_hint("those you may use:  kcoroctl list");
		cmd_hint("to make it:         kcoroctl make %s --kind buffered --capacity 1024",
			 call->name);
	} else {
		cmd_error("there is no channel %s (any more: an id names one channel for good)",
			  call->target);
		cmd_hint("those you may use:  kcoroctl list");
	}
	return CMD_FAILED;
}

static enum cmd_exit no_right(const struct cmd_call *call, const char *doing, const char *detail)
{
	struct kc_ipc_chan_info info;

	/* the detail is worth reading where it tells more than that */
	if (strncmp(detail, "no right to ", 12) == 0)
		detail = "";
	cmd_error("no right to %s '%s'%s%s", doing, call->target, *detail ? ": " : "", detail);
	if (call->conn && kc_ipc_info(call->conn, call->name, call->id, &info) == 0) {
		cmd_hint("it belongs to %s and group %s", out_user(info.uid).s,
			 out_group(info.gid).s);
		cmd_hint("its mode is %04o: %s", info.mode & 0777, out_rights(info.mode).s);
		cmd_hint("its owner or root may do it, or make it anew with another --mode");
	} else {
		cmd_hint("only its owner (or root) may; rights are given when a channel is made,");
		cmd_hint("for example to send for everybody:  kcoroctl make NAME ... --mode 722");
	}
	return CMD_FAILED;
}

enum cmd_exit cmd_failed(const struct cmd_call *call, const char *doing, int code)
{
	/* the library's text is replaced by its next failing call, which may be made below */
	char detail[512];

	snprintf(detail, sizeof(detail), "%s", kc_error_detail());
	switch (code) {
	case KC_ENOENT:
		return no_such_channel(call);
	case KC_EACCES:
		return no_right(call, doing, detail);
	case KC_EPIPE:
		cmd_error("cannot %s '%s': the channel is closed", doing, call->target);
		return CMD_CLOSED;
	case KC_ETIME:
	case KC_EAGAIN:
		cmd_error("cannot %s '%s': not possible in the time given", doing, call->target);
		return CMD_TIMED_OUT;
	case KC_ECONNRESET:
		cmd_error("cannot %s '%s': kcorod has gone away and did not come back", doing,
			  call->target ? call->target : "kcorod");
		cmd_hint("what was under way may or may not have happened");
		return CMD_NO_DAEMON;
	case KC_EEXIST:
		cmd_error("channel '%s' exists with other options%s%s", call->target,
			  *detail ? ": " : "", detail);
		cmd_hint("what it is:       kcoroctl info %s", call->target);
		cmd_hint("to make it anew:  kcoroctl destroy %s", call->target);
		return CMD_FAILED;
	case KC_EDQUOT:
		cmd_error("cannot %s '%s': a limit is reached%s%s", doing,
			  call->target ? call->target : "kcorod", *detail ? ": " : "", detail);
		cmd_hint("the limits are set in the configuration of kcorod");
		cmd_hint("those without one:  kcorod --print-config");
		return CMD_FAILED;
	case KC_ENOTSUP:
		cmd_error("cannot %s '%s': %s", doing, call->target,
			  *detail ? detail : kc_strerror(code));
		return CMD_FAILED;
	default:
		cmd_error("cannot %s '%s': %s", doing, call->target ? call->target : "kcorod",
			  *detail ? detail : kc_strerror(code));
		return CMD_FAILED;
	}
}
