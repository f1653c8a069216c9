# SPDX-License-Identifier: BSD-3-Clause
"""A shell at a terminal: what its completion makes of a line.

    completion-pty.py bash|zsh RCFILE

For each line of standard input: types it into the shell, has all completions inserted, and prints
what the line has become. RCFILE gives the shell a prompt that ends in "ready:", binds Ctrl-X a to
insert all completions, and Ctrl-X p to print the line as <<LINE>>.
"""
import os
import pty
import re
import select
import sys
import time

LIMIT = 60  # seconds for each answer: a hang becomes an error


class Shell:
    def __init__(self, name, rcfile):
        args = {
            "bash": ["bash", "--noprofile", "--rcfile", rcfile, "-i"],
            "zsh": ["zsh", "-d", "-i"],
        }[name]
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="dumb", COLUMNS="2000")
            if name == "zsh":
                os.environ["ZDOTDIR"] = os.path.dirname(rcfile)
            os.execvp(args[0], args)

    def read(self, what, text, end):
        """More of what the shell writes; nothing once it has closed its end."""
        left = end - time.monotonic()
        if left <= 0 or not select.select([self.fd], [], [], left)[0]:
            raise SystemExit(f"no {what} in {text!r}")
        try:
            return os.read(self.fd, 65536)
        except OSError:
            return b""

    def read_until(self, pattern):
        """What matches; everything up to it is forgotten."""
        text, end = b"", time.monotonic() + LIMIT
        while True:
            found = re.search(pattern, text, re.S)
            if found:
                return found
            data = self.read(pattern, text, end)
            if not data:
                raise SystemExit(f"the shell ended after {text!r}")
            text += data

    def type(self, keys):
        os.write(self.fd, keys)

    def end(self):
        end = time.monotonic() + LIMIT
        self.type(b"exit\n")
        while self.read("end", b"", end):
            pass
        os.waitpid(self.pid, 0)


def main():
    shell = Shell(sys.argv[1], sys.argv[2])
    shell.read_until(rb"ready:")
    for line in sys.stdin:
        shell.type(line.rstrip("\n").encode() + b"\x18a\x18p")
        found = shell.read_until(rb"<<([^\r\n]*)>>.*?ready:")
        print(found.group(1).decode(), flush=True)
        shell.type(b"\x15")  # forgets the line
    shell.end()


main()
