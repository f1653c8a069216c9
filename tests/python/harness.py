# SPDX-License-Identifier: BSD-3-Clause
"""What the cases share: a private kcorod, TAP, and what is checked with which sentence in mind."""
import contextlib
import ctypes
import os
import signal
import socket
import sys
import tempfile
import traceback

import kcoro_client
import kcoro_wire as wire

CASES = []
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Mismatch(Exception):
    """The daemon does not do what the document says."""


class Skip(Exception):
    """The case cannot be tried here."""


def case(title):
    """The function is a test case of this title; it gets a Context."""
    def add(function):
        CASES.append((title, function))
        return function
    return add


def equal(got, want, why):
    """`why` names the sentence of the document that says so."""
    if got != want:
        raise Mismatch(f'{why}\nexpected {want!r}\ngot      {got!r}')


def one_of(got, wanted, why):
    if got not in wanted:
        raise Mismatch(f'{why}\nexpected one of {wanted!r}\ngot      {got!r}')


def true(what, why):
    if not what:
        raise Mismatch(f'{why}\nexpected to be true')


def data_of(deliveries):
    return [d.data for d in deliveries]


def befores(deliveries):
    return [d.before for d in deliveries]


def balanced(stats):
    equal(kcoro_client.unbalanced(stats), 0, f'section 3: sent = received + queued + ...: {stats}')


class Daemon:
    """A private kcorod that listens from before it runs: nobody has to wait for it."""

    def __init__(self, folder, config=None):
        os.makedirs(folder)
        os.chmod(folder, 0o711)
        # relative, so that its length is bounded and a user who may not see the folder gets there
        self.path = os.path.join(os.path.relpath(folder), 'sock')
        self.log = os.path.join(folder, 'log')
        program = os.path.join(os.environ['KC_BUILDDIR'], 'kcorod', 'kcorod')
        args = [program]
        if config is not None:
            name = os.path.join(folder, 'config.json')
            with open(name, 'w', encoding='utf-8') as file:
                file.write(config)
            args += ['--config', name]
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        listener.bind(self.path)
        os.chmod(self.path, 0o666)
        listener.listen(64)
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.pid = os.fork()
        if not self.pid:
            try:
                _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                env = {k: v for k, v in os.environ.items() if k != 'NOTIFY_SOCKET'}
                env.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
                os.dup2(log, 1)
                os.dup2(log, 2)
                if listener.fileno() == 3:
                    os.set_inheritable(3, True)
                else:
                    os.dup2(listener.fileno(), 3)
                os.execve(program, args, env)
            finally:
                os._exit(127)
        os.close(log)
        listener.close()

        self.status = None

    def ended(self):
        """How it ended if it did, without waiting."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status

    def stop(self):
        """End it if it still runs; its exit status."""
        if self.ended() is None:
            os.kill(self.pid, signal.SIGTERM)
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def log_tail(self):
        with open(self.log, encoding='utf-8', errors='replace') as file:
            return file.read()[-6000:]


class Child:
    """Another process that talks to the daemon until it is killed."""

    def __init__(self, act, path):
        told, tell = os.pipe()
        self.hold, wait = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            try:
                # this end is the child's only way to learn that the test is over
                self.hold.close()
                os.close(told)
                act(path)
                os.write(tell, b'1')
                wait.recv(1)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(tell)
        wait.close()
        ready = os.read(told, 1)
        os.close(told)
        if not ready:
            self.kill()
            raise Mismatch('the other process failed')

    def kill(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
            self.hold.close()


class Context:
    """What a case works with; all of it is gone when the case ends."""

    def __init__(self, daemon, number, folder):
        self.path = daemon.path
        self.name = f'case{number}'  # of a channel, this case's own
        self.folder = os.path.join(folder, self.name)
        self.sessions, self.connections, self.children, self.daemons = [], [], [], []

    def session(self, **options):
        self.sessions.append(kcoro_client.Session(self.path, **options))
        return self.sessions[-1]

    def connection(self):
        """A connection that has said nothing yet."""
        self.connections.append(kcoro_client.Connection(self.path))
        return self.connections[-1]

    def child(self, act):
        self.children.append(Child(act, self.path))
        return self.children[-1]

    def own_daemon(self, config):
        """From now on this case talks to a daemon of its own with this configuration."""
        self.daemons.append(Daemon(f'{self.folder}-{len(self.daemons)}', config))
        self.path = self.daemons[-1].path
        return self.daemons[-1]

    @contextlib.contextmanager
    def user(self, uid, gid):
        """Who connects within this block is another user."""
        if os.geteuid():
            raise Skip('only root can be another user')
        os.setegid(gid)
        os.seteuid(uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)

    def clean(self):
        for child in self.children:
            child.kill()
        for session in self.sessions:
            with contextlib.suppress(OSError, kcoro_client.Closed, kcoro_client.Late):
                session.notice('BYE')
            session.conn.close()
        for connection in self.connections:
            connection.close()
        for daemon in self.daemons:
            equal(daemon.stop(), 0,
                  f'the exit status of a daemon of its own, which logged:\n{daemon.log_tail()}')


def diagnostics(text):
    for line in text.splitlines():
        print(f'#   {line}')


def run_case(number, title, function, daemon, folder):
    """One line of TAP; whether it passed."""
    context = Context(daemon, number, folder)
    problem = None
    try:
        try:
            function(context)
        finally:
            context.clean()
    except Skip as reason:
        print(f'ok {number} - {title} # SKIP {reason}')
        return True
    except Mismatch as mismatch:
        problem = str(mismatch)
    except (kcoro_client.Late, kcoro_client.Closed, kcoro_client.Failed, wire.FramingFault,
            wire.ShapeFault, wire.UnknownMessage, OSError, LookupError, TypeError):
        problem = traceback.format_exc()
    print(f'{"not ok" if problem else "ok"} {number} - {title}')
    if problem:
        diagnostics(problem)
    sys.stdout.flush()
    return problem is None


def main():
    """Run all cases, or those whose title or number was given, against one daemon."""
    chosen = [(i, title, function) for i, (title, function) in enumerate(CASES, 1)
              if not sys.argv[1:] or any(a in title or a == str(i) for a in sys.argv[1:])]
    failed = 0
    print(f'1..{len(chosen) + 1}')
    with tempfile.TemporaryDirectory(prefix='kcpy.') as folder:
        os.chmod(folder, 0o711)
        os.chdir(folder)
        daemon = Daemon(os.path.join(folder, 'main'))
        crashes = 0
        try:
            for place, (_, title, function) in enumerate(chosen, 1):
                failed += not run_case(place, title, function, daemon, folder)
                status = daemon.ended()
                if status is not None:
                    diagnostics(f'the daemon ended with {status}:\n{daemon.log_tail()}')
                    crashes += 1
                    daemon = Daemon(os.path.join(folder, f'main{crashes}'))
        finally:
            status = daemon.stop()
        good = not crashes and status == 0
        print(f'{"ok" if good else "not ok"} {len(chosen) + 1} - the daemon lives through it and ends with 0')
        if not good:
            diagnostics(f'{crashes} crashes, exit status {status}\n{daemon.log_tail()}')
        os.chdir('/')
    return 1 if failed or not good else 0
