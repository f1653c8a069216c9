# SPDX-License-Identifier: BSD-3-Clause
"""Section 5.3: connections that break."""
import time

import kcoro_wire as wire
from harness import balanced, case, data_of, equal, true
from kcoro_client import Failed, Session, statistics

LONG = 60000  # ms: a lease or a wait that does not end within a test


@case('a session continues on a new connection')
def simple(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1', b'2')
    equal(a.recv_data(), [b'1'], 'before')
    s.cut()
    equal(s.resume(), [], 'section 5.3: nothing was under way')
    equal(a.recv_data(), [b'2'], 'section 5.3: the attachment is the same')
    equal(a.send(b'3'), 1, 'section 5.3')
    stats = s.stats(t.name)
    equal((stats['senders attached'], stats['received']), (1, 2), 'section 5.3')


@case('a session continues many times')
def often(t):
    s = t.session()
    a = s.make(t.name, CAPACITY=100)
    before = statistics(s.must('STATS').get('STATISTICS'))['resumes']
    for i in range(20):
        wait = a.start_send(b'%d' % i)
        if i % 3:
            s.cut()
        else:
            s.conn.close()
        s.resume()
        equal(s.wait(wait).result, 'OK', 'section 5.3')
    equal(a.recv_data(COUNT=100), [b'%d' % i for i in range(20)], 'section 5.3: nothing lost, nothing twice')
    after = statistics(s.must('STATS').get('STATISTICS'))
    equal(after['resumes'] - before, 20, 'section 3, STATISTICS')


@case('a reply that was not read is sent again')
def reply_lost(t):
    s = t.session()
    a = s.make(t.name)
    wait = a.start_send(b'1', b'2')
    lost = s.lose()
    equal((lost.kind, lost.id), ('SEND', wait), 'the reply that is lost')
    s.cut()
    equal(s.resume(), [], 'section 5.3: the daemon knows it')
    reply = s.wait(wait)
    equal((reply.result, reply.get('COUNT'), reply.seq), ('OK', 2, lost.seq), 'section 5.3: the kept replies')
    equal(s.stats(t.name)['sent'], 2, 'not doubled')
    equal(a.recv_data(COUNT=9), [b'1', b'2'], 'not doubled')


@case('several replies that were not read come in their order')
def replies_lost(t):
    s = t.session()
    a = s.make(t.name, CAPACITY=3)
    ids = [a.start_send(b'%d' % i, TIMEOUT_MS=0) for i in range(5)] + [s.start('CANCEL', REQUEST=1)]
    lost = [s.lose() for _ in ids]
    s.cut()
    equal(s.resume(), [], 'section 5.3')
    equal([s.wait(i).result for i in ids], ['OK'] * 3 + ['AGAIN'] * 2 + ['OK'], 'section 5.3: as they were')
    equal(s.order[-6:], [(f.kind, f.id) for f in lost], 'section 5.3: in the order of seq')


@case('kept replies are sent again until they are confirmed')
def kept(t):
    s = t.session()
    a = s.make(t.name)
    wait = a.start_send(b'1')
    first = s.lose()
    for _ in range(3):
        s.cut()
        equal(s.resume(), [], 'section 5.2')
        again = s.lose()
        equal((again.kind, again.id, again.seq), ('SEND', wait, first.seq), 'section 5.2: until confirmed')
    s.cut()
    s.resume()
    equal(s.wait(wait).result, 'OK', 'section 5.2')
    s.cut()
    s.resume()
    s.barrier()
    equal(s.order[-1][0], 'PING', 'section 5.2: confirmed by the seq of RESUME')


@case('CONFIRM makes the daemon forget')
def confirm(t):
    s = t.session()
    a = s.make(t.name)
    wait = a.start_send(b'1')
    s.wait(wait)
    s.notice('CONFIRM')
    # the seq of RESUME must not be what confirms: as if the client had forgotten that it did
    s.seen = 0
    s.cut()
    s.reconnect()
    s.send('request', 'RESUME', s.new_id(), [('TOKEN', s.token), ('REQUESTS', [wait])])
    reply = s.conn.read()
    equal((reply.result, reply.get('REQUESTS')), ('OK', [wait]), 'section 5.2: confirmed, forgotten')


@case('a request that never arrived is sent again with its old id')
def never_arrived(t):
    s = t.session()
    a = s.make(t.name)
    first = a.start_send(b'1')
    lost = s.promise('SEND', ATTACH=a.number, ELEMENTS=a.elements([b'2'])).id
    second = s.promise('SEND', ATTACH=a.number, ELEMENTS=a.elements([b'3']), TIMEOUT_MS=LONG).id
    s.cut()
    equal(s.resume(), [lost, second], 'section 5.3: those the daemon does not know')
    equal([s.wait(n).result for n in (first, lost, second)], ['OK'] * 3, 'section 5.3')
    equal(a.send(b'4'), 1, 'ids go on')
    equal(a.recv_data(COUNT=9), [b'1', b'2', b'3', b'4'], 'section 5.3: in rising order')


@case('a request of which half arrived')
def half(t):
    s = t.session()
    a = s.make(t.name)
    request = s.promise('SEND', ATTACH=a.number, ELEMENTS=a.elements([b'1' * 1000]))
    data = wire.encode(wire.Frame('request', 'SEND', request.id, s.seen, request.tlvs))
    for size in (10, 32, 500, len(data) - 1):
        s.conn.write(data[:size])
        s.cut()
        s.reconnect()
        number = s.new_id()
        s.send('request', 'RESUME', number, s.resume_tlvs())
        equal(s.conn.read().get('REQUESTS'), [request.id], 'section 5.3: it never arrived')
    s.conn.write(data)
    equal(s.wait(request.id).result, 'OK', 'section 5.3')
    equal(s.stats(t.name)['sent'], 1, 'once')


@case('a request that repeats an id which the daemon did not ask for')
def repeat_unasked(t):
    s = t.session()
    a = s.make(t.name)
    done = a.start_send(b'1')
    s.wait(done)
    s.cut()
    s.resume()
    s.conn.write(wire.encode(wire.Frame('request', 'SEND', done, s.seen, [
        ('ATTACH', a.number), ('ELEMENTS', a.elements([b'1']))])))
    equal([f.kind for f in s.conn.drain()], ['ERROR'], 'section 2: an id that does not rise')


@case('the ids of HELLO and RESUME belong to the new connection')
def resume_ids(t):
    s = t.session()
    a = s.make(t.name)
    s.next_id = 100
    a.send(b'1')
    for number, result in ((101, 'PING'), (100, 'ERROR')):
        conn = t.connection()
        hello = [('VERSION_MIN', 1), ('VERSION_MAX', 1)]
        conn.write(wire.encode(wire.Frame('request', 'HELLO', 1, 0, hello)))
        conn.write(wire.encode(wire.Frame('request', 'RESUME', 2, s.seen, s.resume_tlvs())))
        equal([conn.read().result, conn.read().result], ['OK', 'OK'], 'section 5.3')
        conn.write(wire.encode(wire.Frame('request', 'PING', number, s.seen, [])))
        equal(conn.read().kind, result, 'section 5.3: those of the session go on from where they were')


@case('a RECV that waits when the connection breaks')
def waiting_recv(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    wait = a.start_recv()
    s.barrier()
    s.cut()
    b.send(b'1')
    equal(b.recv_data(TIMEOUT_MS=0), [b'1'], 'section 5.3: gains nothing, elements go to other receivers')
    b.send(b'2')
    equal(s.resume(), [], 'section 5.3: the daemon knows it')
    got = a.deliveries(s.wait(wait))
    equal((data_of(got), [d.number for d in got]), ([b'2'], [1]), 'section 5.3: waits on')


@case('a SEND that waits when the connection breaks stays where it is')
def waiting_send(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, CAPACITY=1), other.attach(t.name)
    a.send(b'1')
    wait = a.start_send(b'2')
    s.barrier()
    late = b.start_send(b'3')
    other.barrier()
    s.cut()
    equal(b.recv_data() + b.recv_data() + b.recv_data(), [b'1', b'2', b'3'],
          'section 5.3: stays in its place')
    equal(other.wait(late).result, 'OK', 'section 8')
    equal(s.resume(), [], 'section 5.3')
    equal(s.wait(wait).get('COUNT'), 1, 'section 5.3: its reply was kept')


@case('deadlines run on while there is no connection')
def deadline(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    wait = a.start_recv(TIMEOUT_MS=80)
    s.barrier()
    s.cut()
    equal(b.try_recv(TIMEOUT_MS=200).result, 'TIME', 'time passes')
    b.send(b'1')
    equal(s.resume(), [], 'section 5.3')
    equal(s.wait(wait).result, 'TIME', 'section 5.3: their deadlines run on')


@case('a timed request that never arrived is sent again with the time that remains')
def remaining(t):
    s = t.session()
    a = s.make(t.name)
    start = time.monotonic()
    lost = s.promise('RECV', ATTACH=a.number, TIMEOUT_MS=300)
    s.cut()
    equal(s.resume(), [lost.id], 'section 5.3')
    equal(s.wait(lost.id).result, 'TIME', 'section 5.3')
    seconds = time.monotonic() - start
    true(0.29 < seconds < 5, f'section 5.3: the time that remains, took {seconds:.3f}')


@case('RESUME takes the session from a connection that lives')
def takeover(t):
    s = t.session()
    a = s.make(t.name)
    wait = a.start_recv()
    old, s.conn = s.conn, t.connection()
    equal(s.resume(), [], 'section 5.3')
    true(all(f.kind == 'ERROR' for f in old.drain()), 'section 5.3: a successful RESUME closes the older one')
    old.close()
    a.send(b'1')
    equal(data_of(a.deliveries(s.wait(wait))), [b'1'], 'section 5.3')


def refused(s, result, why):
    try:
        s.resume()
    except Failed as failed:
        equal(failed.reply.result, result, why)
        return
    equal('OK', result, why)


@case('RESUME with a token that names nothing')
def no_session(t):
    s = t.session()
    a = s.make(t.name)
    s.cut()
    token, s.token = s.token, bytes(16)
    refused(s, 'CONNRESET', 'section 5.3: the token is unknown')
    equal(s.must('PING').result, 'OK', 'section 5.3: the connection continues as a new session')
    equal(s.make(t.name + '-2').send(b'x'), 1, 'section 5.3: the connection continues as a new session')
    s.cut()
    equal(s.resume(), [], 'the new session can be resumed in turn')
    s.bye()
    s.token, s.seen = token, 1
    s.attachments = {a.number: a}
    equal(s.resume(), [], 'the old session was not touched')
    equal(a.send(b'x'), 1, 'the old session was not touched')


@case('RESUME by another user')
def other_user(t):
    s = t.session()
    s.make(t.name)
    s.cut()
    with t.user(1000, 1000):
        s.reconnect()
    s.send('request', 'RESUME', s.new_id(), [('TOKEN', s.token)])
    equal(s.conn.read().result, 'ACCES', 'section 5.3: when another user asks')
    equal(s.must('PING').result, 'OK', 'section 5.3: the connection continues as a new session')
    s.cut()
    s.resume()
    equal(s.must('PING').result, 'OK', 'the session is as before')


@case('the grace ends: what the session held returns, its token is unknown')
def grace(t):
    t.own_daemon('{"session": {"grace_ms": 300}}')
    s, other = t.session(), t.session()
    equal(s.welcome.get('GRACE_MS'), 300, 'section 3, GRACE_MS')
    a, b = s.make(t.name), other.attach(t.name)
    b.send(b'1', b'2', b'3')
    a.lease(COUNT=1, LEASE_MS=LONG)
    a.deliveries(a.try_recv())
    s.must('CREDIT', ATTACH=a.number, CREDIT=1)
    a.ahead_data(1)
    recv = a.start_recv(COUNT=1)
    s.barrier()
    start = time.monotonic()
    s.cut()
    got = b.recv(COUNT=3)
    seconds = time.monotonic() - start
    while len(got) < 3:
        got += b.recv(COUNT=3)
    true(0.25 < seconds < 5, f'section 5.3: lives on for GRACE_MS, took {seconds:.3f}')
    equal((data_of(got), got[0].before), ([b'1', b'2', b'3'], 1),
          'section 5.3: is put back if the grace ends')
    true(recv not in s.replies, 'no reply')
    refused(s, 'CONNRESET', 'section 5.3: the grace is over')
    equal(other.stats(t.name)['receivers attached'], 1, 'section 5.4: attachments are detached')
    balanced(other.stats(t.name))


@case('a process that dies while it is not connected has no grace')
def death_without_connection(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1')

    def act(path):
        session = Session(path)
        session.attach(t.name).lease(LEASE_MS=LONG)
        session.cut()

    child = t.child(act)
    wait = a.start_recv()
    s.barrier()
    start = time.monotonic()
    child.kill()
    equal(data_of(a.deliveries(s.wait(wait))), [b'1'],
          'section 5.3: provided the process that connected lives')
    true(time.monotonic() - start < 5, 'section 5.4: at once')
