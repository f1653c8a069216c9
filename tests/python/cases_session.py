# SPDX-License-Identifier: BSD-3-Clause
"""Sections 2, 5.1, 5.2 and 5.4: framing, HELLO, replies, the end of a session."""
import os
import socket

import kcoro_wire as wire
from harness import Mismatch, befores, case, data_of, equal, true
from kcoro_client import Closed, Session

HELLO = [('VERSION_MIN', 1), ('VERSION_MAX', 1)]


def request(kind, number, tlvs=(), seq=0):
    return wire.encode(wire.Frame('request', kind, number, seq, tlvs))


def ends_with_error(conn, why):
    """ERROR comes, then the end; the ERROR."""
    frames = conn.drain()
    equal([f.kind for f in frames], ['ERROR'], f'{why}: the daemon sends ERROR and closes')
    true(frames[0].result != 'OK', 'ERROR holds a RESULT')
    return frames[0]


@case('HELLO is answered with the version, a token and the limits')
def hello(t):
    s = t.session()
    w = s.welcome
    equal((w.get('VERSION_MIN'), w.get('VERSION_MAX')), (1, 1), 'section 6, HELLO: the version chosen')
    equal(w.get('FEATURES'), 0, 'section 6, HELLO: both feature masks are 0')
    equal(w.seq, 0, 'section 5.2: HELLO has seq 0')
    true(w.get('MAX_FRAME') >= 65536, 'section 12: MAX_FRAME 65,536 at least')
    true(w.get('REQUESTS_MAX') > 0 and w.get('GRACE_MS') > 0, 'section 6, HELLO')
    true(s.token != t.session().token, 'section 3: TOKEN names the session')


@case('HELLO with a range of versions that holds 1')
def hello_range(t):
    w = t.session(VERSION_MAX=3, MAX_FRAME=None, PROGRAM=None).welcome
    equal((w.get('VERSION_MIN'), w.get('VERSION_MAX')), (1, 1), 'section 6, HELLO: the version chosen')


@case('HELLO with versions that do not overlap')
def hello_version(t):
    conn = t.connection()
    conn.write(request('HELLO', 1, [('VERSION_MIN', 2), ('VERSION_MAX', 3)]))
    frames = conn.drain()
    equal([(f.form, f.kind, f.result) for f in frames], [('reply', 'HELLO', 'NOTSUP')],
          'section 6, HELLO: NOTSUP, and the daemon closes')
    equal((frames[0].get('VERSION_MIN'), frames[0].get('VERSION_MAX')), (1, 1),
          'section 6, HELLO: with its own VERSION_MIN and VERSION_MAX')


@case('HELLO with a feature that does not exist')
def hello_feature(t):
    conn = t.connection()
    conn.write(request('HELLO', 1, HELLO + [('FEATURES', 1 << 40)]))
    equal([(f.kind, f.result) for f in conn.drain()], [('HELLO', 'NOTSUP')],
          'section 6, HELLO: the daemon must have every feature')


@case('HELLO with a feature that the client could use')
def hello_offered(t):
    equal(t.session(FEATURES_OFFERED=1 << 40).welcome.get('FEATURES'), 0, 'section 6, HELLO')


@case('what is sent before the reply to HELLO is read after it')
def hello_pipelined(t):
    conn = t.connection()
    conn.write(request('HELLO', 1, HELLO) + request('PING', 2) + request('PING', 7))
    equal([(f.kind, f.id, f.result) for f in (conn.read(), conn.read(), conn.read())],
          [('HELLO', 1, 'OK'), ('PING', 2, 'OK'), ('PING', 7, 'OK')], 'section 5.1')


@case('a frame that comes byte by byte')
def slow_frame(t):
    conn = t.connection()
    for byte in request('HELLO', 1, HELLO) + request('PING', 2):
        conn.write(bytes([byte]))
    equal([conn.read().kind, conn.read().kind], ['HELLO', 'PING'], 'section 2: a stream')


@case('PING')
def ping(t):
    s = t.session()
    equal((s.must('PING').seq, s.must('PING').seq), (0, 0), 'section 5.2: PING has seq 0')


@case('a frame before HELLO')
def before_hello(t):
    conn = t.connection()
    conn.write(request('PING', 1))
    ends_with_error(conn, 'section 2, Framing: any frame before HELLO')


@case('a notice before HELLO')
def notice_before_hello(t):
    conn = t.connection()
    conn.write(wire.encode(wire.Frame('notice', 'CONFIRM', 0, 0, [])))
    ends_with_error(conn, 'section 2, Framing: any frame before HELLO')


@case('framing faults of the first frame of a connection')
def first_frame(t):
    payload = wire.encode_tlvs(HELLO)
    for what, fields in (('magic', {'magic': 0x4b43}), ('version', {'version': 2}), ('flags', {'flags': 2}),
                         ('reserved', {'reserved': 1}), ('reserved', {'reserved2': 1}),
                         ('length', {'length': 0xffffffff}), ('a reply', {'flags': 1})):
        conn = t.connection()
        conn.write(wire.pack_frame(1, 1, 0, payload, **fields))
        ends_with_error(conn, f'section 2, Framing: {what}')


@case('an id that does not rise')
def falling_id(t):
    for second in (5, 4, 1):
        s = t.session()
        s.next_id = 5
        s.must('PING')
        s.conn.write(request('PING', second))
        ends_with_error(s.conn, f'section 2, Framing: id {second} after 5')


@case('gaps between ids are allowed, up to the highest id there is')
def gaps(t):
    s = t.session()
    for number in (2, 10, 1 << 32, (1 << 64) - 1):
        s.next_id = number
        equal(s.must('PING').id, number, 'section 2: gaps are allowed')


@case('a session ends with a framing fault')
def fault_ends(t):
    s = t.session()
    s.make(t.name)
    s.conn.write(b'\0' * wire.HEADER.size)
    ends_with_error(s.conn, 'section 2, Framing')
    s.reconnect()
    s.send('request', 'RESUME', s.new_id(), [('TOKEN', s.token)])
    equal(s.conn.read().result, 'CONNRESET', 'section 2, Framing: the session ends')


@case('a fault in a notice ends the connection')
def fault_in_notice(t):
    for kind, payload in (('TAKEN', b''), ('RETURN', wire.TLV.pack(0x7ffe, 0, 0)), ('BYE', b'\0')):
        s = t.session()
        s.conn.write(wire.pack_frame(wire.TYPES[kind], 0, 0, payload))
        ends_with_error(s.conn, f'section 2, Shape: in a notice {kind}')
    s = t.session()
    s.conn.write(wire.pack_frame(79, 0, 0, b''))
    ends_with_error(s.conn, 'section 2, Unknown message type: in a notice')


@case('a fault in the shape of a request harms nothing else')
def fault_in_request(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'one')
    for number, payload in ((s.new_id(), wire.TLV.pack(0x7ffe, 0, 0)), (s.new_id(), b'x')):
        s.conn.write(wire.pack_frame(wire.TYPES['RECV'], number, s.seen, payload))
        reply = s.conn.read()
        equal((reply.id, reply.result), (number, 'PROTO'), 'section 2, Shape')
        true(reply.get('DETAIL'), 'section 2, Shape: and a DETAIL')
        s.seen = max(s.seen, reply.seq)
    equal(a.recv_data(), [b'one'], 'the channel is as before')


@case('a TLV that nobody knows: skipped if optional, refused if not')
def unknown_tlv(t):
    s = t.session()
    for number, result in ((0xfff0, 'OK'), (0x7ff0, 'PROTO')):
        payload = wire.encode_tlvs([('NAME', t.name + str(number)), ('KIND', 1)])
        payload += wire.TLV.pack(number, 0, 3) + b'abc'
        payload += wire.encode_tlvs([('ELEM_SIZE', 0), ('CAPACITY', 4), ('ROLES', 3)])
        s.conn.write(wire.pack_frame(wire.TYPES['CHAN_MAKE'], s.new_id(), s.seen, payload))
        reply = s.conn.read()
        s.seen = max(s.seen, reply.seq)
        equal(reply.result, result, f'section 3: TLV {number:#x}')


@case('the order of TLVs carries no meaning')
def tlv_order(t):
    s = t.session()
    s.must('CHAN_MAKE', ROLES=3, CAPACITY=4, ELEM_SIZE=8, KIND=1, NAME=t.name)
    a = s.attachments[1]
    reply = s.call('SEND', TIMEOUT_MS=0, ELEMENTS=bytes(16), ATTACH=a.number)
    equal((reply.result, reply.get('COUNT')), ('OK', 2), 'section 3')


@case('a frame as large as the daemon takes, and one byte more')
def largest_frame(t):
    s = t.session()
    limit = s.welcome.get('MAX_FRAME')
    a = s.make(t.name, MAX_MSG=limit - 65536, MAX_BYTES=2 * limit)
    message = bytes(limit - 65536)
    equal(a.send(message), 1, "section 12: the daemon's MAX_FRAME is its largest message and 65,536 more")
    equal(a.try_recv(TIMEOUT_MS=0).get('NEEDED'), len(message),
          'section 2: not more than the MAX_FRAME of the receiver') if limit > wire.DEFAULT_MAX_FRAME else \
        equal(len(a.recv_data(TIMEOUT_MS=0)[0]), len(message), 'the same message')
    s.conn.write(wire.pack_frame(4, s.new_id(), s.seen, b'', length=limit - 32 + 1))
    ends_with_error(s.conn, 'section 2, Framing: a frame too long')


@case("no frame is longer than the client's MAX_FRAME")
def small_client(t):
    s = t.session(MAX_FRAME=65536)
    s.conn.max_frame = 65536
    a = s.make(t.name, kind=wire.UNLIMITED)
    for _ in range(12):
        a.send(bytes(30000))
    count = 0
    while count < 12:
        count += len(a.recv(COUNT=12, TIMEOUT_MS=0))
    equal(count, 12, 'section 2: at most the MAX_FRAME exchanged')


@case('descriptors that a client sends are closed unread')
def descriptors(t):
    s = t.session()
    r, w = os.pipe2(os.O_CLOEXEC)
    socket.send_fds(s.conn.sock, [request('PING', s.new_id())], [w])
    os.close(w)
    equal(s.conn.read().kind, 'PING', 'section 2')
    with os.fdopen(r, 'rb') as pipe:
        os.set_blocking(pipe.fileno(), False)
        equal(pipe.read(), b'', 'section 2: the daemon closes them')


@case('requests under way are answered in any order, each exactly once')
def many_under_way(t):
    s = t.session()
    a = s.make(t.name)
    waits = [a.start_recv() for _ in range(5)]
    pings = [s.start('PING') for _ in range(5)]
    for number in pings:
        equal(s.wait(number).result, 'OK', 'section 2: many requests may be under way')
    a.send(*(bytes([i]) for i in range(5)))
    got = [a.deliveries(s.wait(number)) for number in waits]
    equal([d.data for [d] in got], [bytes([i]) for i in range(5)], 'section 8: receivers in their order')
    a.taken([d for [d] in got])


@case('seq rises from reply to reply')
def seq_rises(t):
    s = t.session()
    a = s.make(t.name)
    numbers = [s.call('CANCEL', REQUEST=1).seq for _ in range(3)]
    numbers += [a.try_recv(TIMEOUT_MS=0).seq, a.try_send(b'x').seq]
    true(all(0 < x < y for x, y in zip(numbers, numbers[1:])), f'section 5.2: {numbers} rise')


@case('more replies than the daemon keeps, confirmed as they come')
def confirmed(t):
    t.own_daemon('{"limits": {"requests": 128}}')
    s = t.session()
    equal(s.welcome.get('REQUESTS_MAX'), 128, 'the configuration')
    a = s.make(t.name)
    # 200 requests in one piece, none of which confirms anything of the others
    for _ in range(3):
        numbers = [s.new_id() for _ in range(100)]
        frames = [request('SEND', n, [('ATTACH', a.number), ('ELEMENTS', wire.pack_messages([b'x'])),
                                      ('TIMEOUT_MS', 0)], s.seen) for n in numbers]
        s.conn.write(b''.join(frames))
        replies = [s.conn.read() for _ in numbers]
        true(all(r.result in ('OK', 'AGAIN') for r in replies), 'section 5.2: within REQUESTS_MAX')
        s.seen = max(r.seq for r in replies)


@case('one request more than the daemon keeps')
def too_many(t):
    t.own_daemon('{"limits": {"requests": 128}}')
    s, other = t.session(), t.session()
    a = s.make(t.name)
    waits = [a.start_recv() for _ in range(128)]
    equal(a.try_recv(TIMEOUT_MS=0).result, 'DQUOT', 'section 5.2: one more is answered with DQUOT')
    equal(s.must('PING').result, 'OK', 'section 5.2: PING is not kept')
    other.attach(t.name).send(b'x')
    equal(data_of(a.deliveries(s.wait(waits[0]))), [b'x'], 'the requests kept are as before')


@case('BYE ends the session: what it held returns')
def bye(t):
    s, other = t.session(), t.session()
    a = s.make(t.name)
    b = other.attach(t.name)
    b.send(b'a', b'b', b'c')
    a.lease(COUNT=1)
    a.deliveries(a.try_recv())
    wait = b.start_recv(COUNT=3, TIMEOUT_MS=60000)
    got = b.deliveries(other.wait(wait))
    equal(data_of(got), [b'c'], 'the rest')
    s.bye()
    got = b.recv(COUNT=3, TIMEOUT_MS=60000)
    equal(data_of(got), [b'a', b'b'], 'section 5.4: leases and untaken deliveries return, in place')
    # both were given to s; c, sent after b, was given to another receiver meanwhile
    equal(befores(got), [1, 1], 'section 7.4: leased, and overtaken')
    equal(other.stats(t.name)['receivers attached'], 1, 'section 5.4: attachments are detached')
    s.reconnect()
    s.send('request', 'RESUME', s.new_id(), [('TOKEN', s.token)])
    equal(s.conn.read().result, 'CONNRESET', 'section 5.4: the session ends at once')


@case('the death of the process ends the session at once')
def death(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'a', b'b')

    def act(path):
        child = Session(path).attach(t.name)
        child.deliveries(child.try_recv(COUNT=2))

    child = t.child(act)
    wait = a.start_recv(COUNT=2)
    s.barrier()
    child.kill()
    got = a.deliveries(s.wait(wait))
    equal(data_of(got)[:1], [b'a'], 'section 5.4: untaken deliveries return')
    a.taken(got)


@case('an element taken last by a process that died is lost, and counted')
def lost(t):
    s = t.session()
    a = s.make(t.name, roles=wire.SENDER)
    watch = s.make(t.name + '-watch')
    watch.send(b'x')

    def act(path):
        session = Session(path)
        session.attach(t.name).recv(COUNT=2)
        held = session.attach(t.name + '-watch')
        held.deliveries(held.try_recv())

    a.send(b'a', b'b')
    child = t.child(act)
    wait = watch.start_recv()
    child.kill()
    watch.taken(watch.deliveries(s.wait(wait)))
    stats = s.stats(t.name)
    equal((stats['lost: consumer'], stats['received'], stats['queued']), (2, 0, 0),
          'section 7.2, without LEASE')


@case('an element taken before something else on the attachment is not lost')
def not_lost(t):
    s = t.session()
    a = s.make(t.name, roles=wire.SENDER)

    def act(path):
        child = Session(path).attach(t.name)
        child.recv(COUNT=1)
        child.deliveries(child.try_recv(COUNT=1))

    a.send(b'a', b'b')
    child = t.child(act)
    b = s.attach(t.name)
    wait = b.start_recv()
    child.kill()
    b.taken(b.deliveries(s.wait(wait)))
    stats = s.stats(t.name)
    equal((stats['lost: consumer'], stats['received']), (0, 2), 'section 7.2: followed by something more')


@case('HELLO twice, or a message only the daemon sends, is refused')
def wrong_turn(t):
    for kind in ('HELLO', 'ERROR', 'DELIVER', 'OFFER', 'RECALL'):
        s = t.session()
        tlvs = {'HELLO': HELLO, 'ERROR': [('RESULT', 1)], 'OFFER': [('REQUEST', 1)],
                'RECALL': [('ATTACH', 1), ('COUNT', 1)]}.get(kind, [])
        s.conn.write(request(kind, s.new_id(), tlvs))
        try:
            frame = s.conn.read()
        except Closed:
            raise Mismatch(f'{kind}: no answer at all') from None
        true(frame.result not in (None, 'OK'), f'{kind} from a client: got {frame!r}')
