# SPDX-License-Identifier: BSD-3-Clause
"""A blocking client of kcorod: sessions, attachments, deliveries, credit, resume.

One thread drives one session: whoever waits for a reply reads all that comes. Nothing here waits
without a deadline: a daemon that does not answer makes the test fail instead of hang.
"""
import mmap
import os
import select
import socket
import time

import kcoro_wire as wire

PATIENCE = 10.0  # seconds until a wait on the socket counts as a failure
CONFIRM_AFTER = 64  # replies seen and not yet confirmed by a frame of ours (section 5.2)


class Late(Exception):
    """The deadline of a wait on the socket has passed."""


class Closed(Exception):
    """The daemon has closed the connection; `error` is its ERROR event, or None."""

    def __init__(self, error=None):
        super().__init__(f'the connection is closed ({error!r})')
        self.error = error


class Failed(Exception):
    """A request was answered with another result than the caller needs."""

    def __init__(self, reply):
        super().__init__(repr(reply))
        self.reply = reply


class Connection:
    """Whole frames over one socket."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(path)
        self.buffer = b''
        self.descriptors = []  # that came along with frames (section 2)
        self.blind = False  # give no room for them
        self.max_frame = wire.DEFAULT_MAX_FRAME

    def write(self, data):
        self.sock.settimeout(PATIENCE)
        try:
            self.sock.sendall(data)
        except TimeoutError:
            raise Late('the daemon does not read') from None
        except (BrokenPipeError, ConnectionResetError):
            raise Closed() from None

    def _fill(self, size, deadline):
        while len(self.buffer) < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Late('nothing came in time')
            self.sock.settimeout(left)
            try:
                data, fds, _, _ = socket.recv_fds(self.sock, 1 << 18, 0 if self.blind else 1,
                                                  socket.MSG_CMSG_CLOEXEC)
                self.descriptors += fds
            except TimeoutError:
                raise Late('nothing came in time') from None
            except ConnectionResetError:
                data = b''
            if not data:
                raise Closed()
            self.buffer += data

    def read(self, within=PATIENCE):
        """The next frame."""
        deadline = time.monotonic() + within
        self._fill(wire.HEADER.size, deadline)
        form, kind, length, number, seq = wire.decode_header(self.buffer[:wire.HEADER.size], False,
                                                             self.max_frame)
        size = wire.HEADER.size + length
        self._fill(size, deadline)
        payload, self.buffer = self.buffer[wire.HEADER.size:size], self.buffer[size:]
        name, tlvs = wire.decode_payload(form, kind, payload)
        return wire.Frame(form, name, number, seq, tlvs)

    def drain(self):
        """What still comes until the daemon closes."""
        frames = []
        try:
            while True:
                frames.append(self.read())
        except Closed:
            return frames

    def cut(self):
        """End the connection and wait until the daemon knows it; gives what came meanwhile.

        The daemon closes its side when it has read the end of ours: what is asked of it over
        another connection afterwards finds this one gone. Nothing has to be waited out.
        """
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the daemon was first
        frames = self.drain()
        self.close()
        return frames

    def close(self):
        self.sock.close()
        while self.descriptors:
            os.close(self.descriptors.pop())


class Bell:
    """A descriptor to wait on (section 8.1)."""

    def __init__(self, fd, rings):
        self.sock, self.taken = socket.socket(fileno=fd), rings

    def heard(self, within=PATIENCE):
        """Whether it is readable, or becomes so."""
        return bool(select.select([self.sock], [], [], within)[0])

    def silent(self):
        return not self.heard(0)

    def silence(self, reply):
        """Take out what rang before the daemon answered AGAIN."""
        rings = reply.get('RINGS')
        while self.taken < rings:
            data = self.sock.recv(rings - self.taken, socket.MSG_DONTWAIT)
            if not data:
                return
            self.taken += len(data)

    def waiting(self):
        """How many bytes lie in it."""
        try:
            return len(self.sock.recv(4096, socket.MSG_DONTWAIT | socket.MSG_PEEK))
        except BlockingIOError:
            return 0

    def hung_up(self, within=PATIENCE):
        poll = select.poll()
        poll.register(self.sock, 0)  # POLLHUP is always told
        return bool(poll.poll(within * 1000))

    def close(self):
        self.sock.close()


class Cursor:
    """A cursor in the memory of the session (section 7.5); windows (section 7.6).

    Python has no memory barriers of its own. The reads and writes here are of aligned words of
    8 bytes, and a system call lies between each write and the read that depends on it.
    """

    SIZE, MEMORY = 64, 4096
    WORDS = ['TAKEN', 'BEFORE', 'LISTEN', 'GRANTED', 'ACCEPTED', 'AWAITS', 'REFUSED']

    def __init__(self, memory, offset):
        self.words = memoryview(memory)[offset:offset + self.SIZE].cast('Q')
        self.used = 0  # elements sent with WINDOW

    def get(self, name):
        os.sched_yield()
        return self.words[self.WORDS.index(name)]

    def set(self, name, value):
        self.words[self.WORDS.index(name)] = value
        os.sched_yield()

    def all(self):
        os.sched_yield()
        return dict(zip(self.WORDS, self.words))


class Request:
    """A request under way, as it has to be sent again after RESUME if it never arrived."""

    def __init__(self, kind, number, tlvs, deadline):
        self.kind, self.id, self.tlvs, self.deadline = kind, number, tlvs, deadline

    def remaining(self):
        """Its TLVs, with the time that remains."""
        if self.deadline is None:
            return self.tlvs
        left = max(0, round((self.deadline - time.monotonic()) * 1000))
        return [(n, left if n == 'TIMEOUT_MS' and v else v) for n, v in self.tlvs]


class Session:
    """A session and the connection that serves it now."""

    def __init__(self, path, *, hello=True, **options):
        self.path = path
        self.conn = Connection(path)
        self.next_id = 1
        self.seen = 0  # highest reply number
        self.unconfirmed = 0
        self.open = {}  # id: Request not answered yet
        self.replies = {}  # id: Frame nobody has asked for yet
        self.events = []
        self.order = []  # (kind, id) of all that came, for tests that look at the order
        self.attachments = {}
        self.memory = None  # that of CHAN_MAP
        self.windowed = set()  # ids of SENDs that need not be answered
        self.token = self.fresh_token = self.welcome = None
        if hello:
            self.hello(**options)

    # ---- sending

    def new_id(self):
        self.next_id += 1
        return self.next_id - 1

    def send(self, form, kind, number, tlvs):
        self.unconfirmed = 0
        self.conn.write(wire.encode(wire.Frame(form, kind, number, self.seen, tlvs)))

    def start(self, kind, **tlvs):
        """Send a request; its id."""
        request = self.promise(kind, **tlvs)
        self.send('request', kind, request.id, request.tlvs)
        return request.id

    def promise(self, kind, **tlvs):
        """Note a request as under way without sending it: as if it had been lost on its way."""
        timeout = tlvs.get('TIMEOUT_MS')
        deadline = time.monotonic() + timeout / 1000 if timeout else None
        request = Request(kind, self.new_id(), list(tlvs.items()), deadline)
        self.open[request.id] = request
        return request

    def notice(self, kind, **tlvs):
        self.send('notice', kind, 0, list(tlvs.items()))

    # ---- receiving

    def pump(self, within=PATIENCE):
        """Read one frame and do what it asks for."""
        frame = self.conn.read(within)
        self.order.append((frame.kind, frame.id))
        if frame.form == 'reply':
            self._replied(frame)
        elif frame.kind == 'ERROR':
            raise Closed(frame)
        else:
            if frame.kind == 'DELIVER':
                self.attachments[frame.get('ATTACH')].given_ahead(frame)
            self.events.append(frame)
        return frame

    def _replied(self, frame):
        request = self.open.pop(frame.id, None)
        if request is None and frame.id in self.windowed:
            request = Request('SEND', frame.id, [], None)
        if request is None or request.kind != frame.kind:
            raise wire.FramingFault(f'a reply to no request: {frame!r}')
        self.replies[frame.id] = frame
        if frame.seq:
            if frame.seq <= self.seen:
                raise wire.FramingFault(f'seq falls: {frame!r} after {self.seen}')
            self.seen = frame.seq
            self.unconfirmed += 1
        if frame.kind in ('CHAN_MAKE', 'CHAN_OPEN') and frame.result == 'OK':
            attachment = Attachment(self, frame, dict(request.tlvs)['ROLES'])
            self.attachments[attachment.number] = attachment
        elif frame.kind == 'RECV' and frame.result == 'OK':
            self.attachments[dict(request.tlvs)['ATTACH']].seen_reply(frame)
        if self.unconfirmed >= CONFIRM_AFTER:
            self.notice('CONFIRM')

    def wait(self, number, within=PATIENCE):
        """The reply to a request."""
        deadline = time.monotonic() + within
        while number not in self.replies:
            self.pump(deadline - time.monotonic())
        return self.replies.pop(number)

    def call(self, kind, **tlvs):
        """Send a request and wait for its reply, whatever its result."""
        return self.wait(self.start(kind, **tlvs))

    def must(self, kind, **tlvs):
        reply = self.call(kind, **tlvs)
        if reply.result != 'OK':
            raise Failed(reply)
        return reply

    def event(self, kind, within=PATIENCE):
        """The oldest event of this kind, which may still have to come."""
        deadline = time.monotonic() + within
        while True:
            for event in self.events:
                if event.kind == kind:
                    self.events.remove(event)
                    return event
            self.pump(deadline - time.monotonic())

    def barrier(self):
        """All that the daemon had for us before this has come when it returns."""
        self.must('PING')

    def lose(self):
        """Read a frame and treat it as lost with the connection: the session does not see it."""
        return self.conn.read()

    # ---- the session

    def hello(self, **options):
        tlvs = {'VERSION_MIN': 1, 'VERSION_MAX': 1, 'MAX_FRAME': wire.DEFAULT_MAX_FRAME,
                'PROGRAM': 'kcoro python test', **options}
        self.welcome = self.must('HELLO', **{k: v for k, v in tlvs.items() if v is not None})
        self.token = self.welcome.get('TOKEN')

    def bye(self):
        """End the session; the daemon has done so when this returns."""
        self.notice('BYE')
        self.conn.cut()

    def cut(self):
        return self.conn.cut()

    def reconnect(self, *, max_frame=wire.DEFAULT_MAX_FRAME):
        """A new connection that has said HELLO; RESUME has to be its next frame."""
        self.conn.close()
        self.conn = Connection(self.path)
        number = self.new_id()
        # this HELLO begins a session of its own, in which no reply has been seen yet
        self.conn.write(wire.encode(wire.Frame('request', 'HELLO', number, 0, [
            ('VERSION_MIN', 1), ('VERSION_MAX', 1), ('MAX_FRAME', max_frame)])))
        reply = self.conn.read()
        if reply.kind != 'HELLO' or reply.id != number or reply.result != 'OK':
            raise Failed(reply)
        self.fresh_token = reply.get('TOKEN')
        return reply

    def resume_tlvs(self):
        """What RESUME says of this session."""
        tlvs = [('TOKEN', self.token)]
        if self.open:
            tlvs.append(('REQUESTS', sorted(self.open)))
        for attachment in self.attachments.values():
            if not attachment.roles & wire.RECEIVER:
                continue
            inner = [('ATTACH', attachment.number), ('DELIVERY', attachment.highest)]
            if attachment.untaken:
                inner.append(('RANGES', wire.to_ranges(attachment.untaken)))
            tlvs.append(('ATTACHMENT', inner))
        return tlvs

    def resume(self):
        """Connect again and go on; gives the ids that had to be sent again."""
        self.reconnect()
        tlvs = self.resume_tlvs()
        number = self.new_id()
        self.send('request', 'RESUME', number, tlvs)
        reply = self.conn.read()
        if reply.kind != 'RESUME' or reply.id != number:
            raise wire.FramingFault(f'not the reply to RESUME: {reply!r}')
        if reply.result != 'OK':
            self._begin_anew()
            raise Failed(reply)
        unknown = reply.get('REQUESTS', [])
        if set(unknown) - set(self.open):
            raise wire.FramingFault(f'asks for requests that are not under way: {unknown}')
        for number in unknown:
            request = self.open[number]
            self.send('request', request.kind, number, request.remaining())
        return unknown

    def _begin_anew(self):
        """RESUME was refused: the connection goes on as the session its HELLO began."""
        self.token, self.seen, self.unconfirmed = self.fresh_token, 0, 0
        for known in (self.open, self.replies, self.events, self.attachments):
            known.clear()

    # ---- channels

    def make(self, name, kind=wire.BUFFERED, elem_size=0, roles=wire.SENDER | wire.RECEIVER, **more):
        tlvs = {'NAME': name, 'KIND': kind, 'ELEM_SIZE': elem_size, **more, 'ROLES': roles}
        if kind == wire.BUFFERED:
            tlvs.setdefault('CAPACITY', 16)
        return self.attachments[self.must('CHAN_MAKE', **tlvs).get('ATTACH')]

    def attach(self, name=None, roles=wire.SENDER | wire.RECEIVER, **more):
        tlvs = {**({'NAME': name} if name else {}), 'ROLES': roles, **more}
        return self.attachments[self.must('CHAN_OPEN', **tlvs).get('ATTACH')]

    def info(self, name):
        """A channel's CHANNEL as a dictionary, its statistics by name."""
        return channel(self.must('CHAN_INFO', NAME=name).get('CHANNEL'))

    def stats(self, name):
        return self.info(name)['STATISTICS']


def statistics(numbers):
    """By name; what is absent is 0."""
    return {name: numbers.get(number, 0) for number, name in wire.STATISTICS.items()}


def channel(pairs):
    fields = dict(pairs)
    fields['STATISTICS'] = statistics(fields['STATISTICS'])
    return fields


def unbalanced(s):
    """How far the books are out: 0 when nothing moves (section 3)."""
    out = sum(s[name] for name in (
        'received', 'queued', 'leased', 'conflated', 'dropped: oldest', 'dropped: newest',
        'dropped: purged', 'dropped: destroyed', 'expired', 'lost: consumer', 'lost: daemon'))
    return s['sent'] - out


class Delivery:
    """One element as it came."""

    def __init__(self, number, data, before):
        self.number, self.data, self.before = number, data, before

    def __repr__(self):
        return f'{self.number}:{self.data!r}' + (f' (again, {self.before})' if self.before else '')


class Attachment:
    """An attachment of a session to a channel."""

    def __init__(self, session, reply, roles):
        self.session = session
        self.number = reply.get('ATTACH')
        self.chan_id = reply.get('CHAN_ID')
        self.name = reply.get('NAME')
        self.elem_size = reply.get('ELEM_SIZE')
        self.created = bool(reply.get('FLAGS', 0) & wire.CREATED)
        self.roles = roles
        self.highest = 0  # delivery number
        self.untaken = set()  # numbers seen and not yet taken, for RESUME
        self.ahead = []  # Deliveries given ahead, not taken

    # ---- what came

    def _note(self, frame):
        elements = wire.unpack_elements(self.elem_size, frame.get('ELEMENTS'))
        first, count = frame.get('DELIVERY'), frame.get('COUNT')
        before = frame.get('DELIVERED_BEFORE', [0] * count)
        if not count or len(elements) != count or len(before) != count:
            raise wire.ShapeFault(f'COUNT is not that of ELEMENTS: {frame!r}')
        if first < 1:
            raise wire.ShapeFault(f'DELIVERY 0: {frame!r}')
        self.highest = max(self.highest, first + count - 1)
        return [Delivery(first + i, e, b) for i, (e, b) in enumerate(zip(elements, before))]

    def given_ahead(self, frame):
        new = self._note(frame)
        if {d.number for d in new} & self.untaken:
            raise wire.ShapeFault(f'a delivery comes twice: {frame!r}')
        self.ahead += new
        self.untaken |= {d.number for d in new}

    def seen_reply(self, frame):
        self.untaken |= {d.number for d in self._note(frame)}

    # ---- calls

    def watch(self, role):
        """CHAN_WATCH: its Bell."""
        reply = self.session.must('CHAN_WATCH', ATTACH=self.number, ROLES=role)
        return Bell(self.session.conn.descriptors.pop(0), reply.get('RINGS'))

    def map(self, **more):
        """CHAN_MAP: its Cursor."""
        session = self.session
        reply = session.must('CHAN_MAP', ATTACH=self.number, **more)
        fd = session.conn.descriptors.pop(0)
        if session.memory is None:
            session.memory = mmap.mmap(fd, Cursor.MEMORY)
        os.close(fd)
        return Cursor(session.memory, reply.get('OFFSET'))

    def start_windowed(self, cursor, *items, flags=wire.WINDOW, **more):
        """A SEND with WINDOW: its id, and whether GRANTED covers it after it was written."""
        session = self.session
        number = self.start_send(*items, FLAGS=flags, **more)
        session.windowed.add(number)
        cursor.used += len(items)
        covered = cursor.used <= cursor.get('GRANTED') and cursor.get('REFUSED') < number
        if covered:
            del session.open[number]
        return number, covered

    def elements(self, items):
        return b''.join(items) if self.elem_size else wire.pack_messages(items)

    def start_send(self, *items, **more):
        return self.session.start('SEND', ATTACH=self.number, ELEMENTS=self.elements(items), **more)

    def try_send(self, *items, **more):
        """The reply, whatever it is."""
        return self.session.wait(self.start_send(*items, **more))

    def send(self, *items, **more):
        """How many were accepted."""
        reply = self.try_send(*items, **more)
        if reply.result != 'OK':
            raise Failed(reply)
        return reply.get('COUNT')

    def start_recv(self, **more):
        return self.session.start('RECV', ATTACH=self.number, **more)

    def try_recv(self, **more):
        return self.session.wait(self.start_recv(**more))

    def deliveries(self, reply):
        """Of a reply to RECV that was OK."""
        if reply.result != 'OK':
            raise Failed(reply)
        return self._note(reply)

    def recv(self, **more):
        """Elements that are the program's: TAKEN is said (and, if need be, answered) first."""
        while True:
            reply = self.try_recv(**more)
            got = self.deliveries(reply)
            if not reply.get('FLAGS', 0) & wire.PROVISIONAL:
                self.taken(got)
                return got
            if self.confirm(got).result == 'OK':
                return got

    def recv_data(self, **more):
        return [d.data for d in self.recv(**more)]

    def lease(self, **more):
        """Leased elements; the leases run."""
        return self.recv(FLAGS=wire.LEASE, **more)

    def ahead_data(self, count, within=PATIENCE):
        """Wait until so many are here that were given ahead; what they are."""
        deadline = time.monotonic() + within
        while len(self.ahead) < count:
            self.session.pump(deadline - time.monotonic())
        return [d.data for d in self.ahead]

    def take_ahead(self, count):
        """The first elements given ahead, as the program's."""
        got, self.ahead = self.ahead[:count], self.ahead[count:]
        self.taken(got)
        return got

    def taken(self, deliveries):
        """TAKEN as a notice."""
        numbers = [d.number for d in deliveries]
        self.session.notice('TAKEN', ATTACH=self.number, RANGES=wire.to_ranges(numbers))
        self.untaken -= set(numbers)

    def confirm(self, deliveries):
        """TAKEN as a request: its reply."""
        numbers = [d.number for d in deliveries]
        reply = self.session.call('TAKEN', ATTACH=self.number, RANGES=wire.to_ranges(numbers))
        self.untaken -= set(numbers)
        return reply

    def settle(self, kind, deliveries, **more):
        """ACK, NACK or EXTEND: its reply. They imply TAKEN."""
        numbers = [d.number for d in deliveries]
        reply = self.session.call(kind, ATTACH=self.number, RANGES=wire.to_ranges(numbers), **more)
        self.untaken -= set(numbers)
        return reply

    def give_back(self, count):
        """RETURN the newest elements given ahead, so many at most."""
        back = self.ahead[len(self.ahead) - count:] if count else []
        numbers = [d.number for d in back]
        self.ahead = self.ahead[:len(self.ahead) - len(back)]
        more = {'RANGES': wire.to_ranges(numbers)} if numbers else {}
        self.session.notice('RETURN', ATTACH=self.number, **more)
        self.untaken -= set(numbers)
        return numbers

    def detach(self):
        self.session.must('CHAN_DETACH', ATTACH=self.number)
        del self.session.attachments[self.number]
