# SPDX-License-Identifier: BSD-3-Clause
"""Section 7.6: windows."""
import kcoro_wire as wire
from harness import balanced, case, equal, true
from kcoro_client import Session
from kcoro_wire import (BUFFERED, CONFLATED, DROP_NEWEST, DROP_OLDEST, OFFER, PROMISED, RECEIVER,
                        RENDEZVOUS, SENDER, UNLIMITED, WINDOW)

FREE = 'section 7.6: accepted without fail and not answered'
EXACT = 'section 7.6: counts in the channel\'s capacity'


def windowed(t, window, *, capacity=8, **more):
    """A sender's attachment with a window, its cursor, and an attachment of another session."""
    s, other = t.session(), t.session()
    b = other.make(t.name, CAPACITY=capacity, **more)
    a = s.attach(t.name, SENDER)
    return a, a.map(WINDOW=window), b


def left(cursor):
    """How many elements may be sent without awaiting."""
    return cursor.get('GRANTED') - cursor.used


def flow(a, cursor, *items):
    """Send what has to be covered."""
    number, covered = a.start_windowed(cursor, *items)
    true(covered, 'section 7.6: still covered')
    return number


def silent(s):
    """No reply came to anything but the PING itself."""
    before = len(s.order)
    s.barrier()
    equal([kind for kind, _ in s.order[before:]], ['PING'], 'section 7.6: not answered')


@case('GRANTED is what was promised, at most WINDOW and the places there are')
def granted(t):
    a, cursor, b = windowed(t, 3)
    equal(left(cursor), 3, 'section 7.6: up to WINDOW elements')
    equal(a.session.stats(t.name)['length'], 0, 'section 7.6: not in its length')
    cursor = a.map(WINDOW=100)
    equal(left(cursor), 8, 'section 7.6: places')
    equal(b.send(b'x'), 1, 'section 7.6: withdrawn for somebody else')
    true(left(cursor) <= 7, 'section 7.6: nobody else\'s place')


@case('a covered SEND is accepted unanswered, and ACCEPTED tells')
def covered(t):
    a, cursor, b = windowed(t, 4)
    ids = [flow(a, cursor, b'%d' % i) for i in range(3)]
    ids.append(flow(a, cursor, b'3'))
    silent(a.session)
    equal(cursor.get('ACCEPTED'), ids[-1], 'section 7.6: its id')
    equal(b.recv_data(COUNT=9), [b'0', b'1', b'2', b'3'], 'section 1: first in, first out')
    balanced(b.session.stats(t.name))


@case('GRANTED rises as places become free')
def rises(t):
    a, cursor, b = windowed(t, 4, capacity=4)
    flow(a, cursor, b'0', b'1', b'2', b'3')
    silent(a.session)
    equal(left(cursor), 0, EXACT)
    b.recv_data(COUNT=3)
    b.session.barrier()
    equal(left(cursor), 3, 'section 7.6: rises as places become free')
    got = 1
    for i in range(4, 50):
        while left(cursor) == 0:
            got += len(b.recv_data(COUNT=4))
            b.session.barrier()
        flow(a, cursor, b'%d' % i)
        a.session.barrier()
    equal(b.session.stats(t.name)['sent'], 50, FREE)


@case('a SEND that is not covered is answered like any other')
def uncovered(t):
    a, cursor, b = windowed(t, 2, capacity=2)
    flow(a, cursor, b'1', b'2')
    number, is_covered = a.start_windowed(cursor, b'3', TIMEOUT_MS=0)
    equal(is_covered, False, 'section 7.6')
    equal(a.session.wait(number).result, 'AGAIN', 'section 4: a try')
    true(cursor.get('ACCEPTED') < number, 'section 7.6: accepted only')
    waiting, _ = a.start_windowed(cursor, b'4')
    a.session.barrier()
    true(waiting in a.session.open, 'section 8: waits')
    equal(b.recv_data(), [b'1'], 'first in, first out')
    equal(a.session.wait(waiting).get('COUNT'), 1, 'section 7.6: and answered')
    equal(b.recv_data(COUNT=9), [b'2', b'4'], 'first in, first out')


@case('REFUSED tells of a SEND that was not covered, also where GRANTED has risen since')
def refused_id(t):
    a, cursor, b = windowed(t, 4, capacity=4)
    equal(b.send(b'1', b'2', b'3', b'4'), 4, 'section 7.6: withdrawn for somebody else')
    b.recv_data(COUNT=2)
    b.session.barrier()
    number, is_covered = a.start_windowed(cursor, b'5', b'6', b'7')
    equal(is_covered, False, 'section 7.6: at most GRANTED')
    count = a.session.wait(number).get('COUNT')
    true(count < 3, 'section 6, SEND: as many as fit are accepted')
    equal(b.recv_data(COUNT=9), [b'3', b'4', b'5', b'6'][:2 + count], 'first in, first out')
    b.session.barrier()
    true(cursor.get('GRANTED') >= cursor.used, 'section 7.6: rises as places become free')
    equal(cursor.get('REFUSED'), number, 'section 7.6: its id')
    true(cursor.get('ACCEPTED') < number, 'section 7.6: accepted only')


@case('a SEND that was refused does not eat promises')
def refused(t):
    a, cursor, b = windowed(t, 2, capacity=2)
    flow(a, cursor, b'1', b'2')
    for _ in range(6):
        number, _ = a.start_windowed(cursor, b'3', TIMEOUT_MS=0)
        equal(a.session.wait(number).result, 'AGAIN', 'section 4: a try')
        # it was answered and is not in ACCEPTED: not one of those that count
        cursor.used -= 1
    b.recv_data(COUNT=2)
    b.session.barrier()
    equal(left(cursor), 2, 'section 7.6: rises as places become free')
    flow(a, cursor, b'4', b'5')
    silent(a.session)
    equal(b.recv_data(COUNT=9), [b'4', b'5'], 'first in, first out')


@case('more elements than are left in one SEND are not covered at all')
def too_many(t):
    a, cursor, b = windowed(t, 2, capacity=4)
    number, is_covered = a.start_windowed(cursor, b'1', b'2', b'3')
    equal(is_covered, False, 'section 7.6: at most GRANTED')
    count = a.session.wait(number).get('COUNT')
    true(1 <= count <= 3, 'section 6, SEND: as many as fit are accepted')
    equal(b.recv_data(COUNT=9), [b'1', b'2', b'3'][:count], 'first in, first out')


@case('a message longer than MAX_MSG is never covered')
def too_long(t):
    a, cursor, b = windowed(t, 4, MAX_MSG=4)
    number, _ = a.start_windowed(cursor, b'good', b'worse', b'lost')
    equal(a.session.wait(number).get('COUNT'), 1, 'section 6, SEND: ends the batch in front of it')
    number, _ = a.start_windowed(cursor, b'worse')
    equal(a.session.wait(number).result, 'MSGSIZE', 'section 6, SEND')
    equal(b.recv_data(COUNT=9), [b'good'], 'section 6, SEND')
    stats = b.session.stats(t.name)
    balanced(stats)
    equal((stats['sent'], stats['lost: daemon']), (1, 0), 'section 6, SEND')


@case('AWAITS makes a covered SEND answered')
def awaits(t):
    a, cursor, b = windowed(t, 4)
    cursor.set('AWAITS', 1)
    number, _ = a.start_windowed(cursor, b'1', b'2')
    reply = a.session.wait(number)
    equal((reply.result, reply.get('COUNT')), ('OK', 2), 'section 7.6: answered all the same')
    equal(cursor.get('ACCEPTED'), number, 'section 7.6: and accepted')
    cursor.set('AWAITS', 0)
    flow(a, cursor, b'3')
    silent(a.session)
    equal(b.recv_data(COUNT=9), [b'1', b'2', b'3'], 'first in, first out')


@case('promises are withdrawn for a sender that waits')
def withdrawn(t):
    a, cursor, b = windowed(t, 4, capacity=4)
    equal(left(cursor), 4, 'section 7.6')
    equal(b.send(b'x'), 1, 'section 7.6: withdrawn when somebody else has to wait')
    true(left(cursor) <= 3, EXACT)
    for _ in range(3):
        b.send(b'y')
    equal(left(cursor), 0, EXACT)
    number = b.start_send(b'z')
    b.session.barrier()
    true(number in b.session.open, 'section 1: waits while there are CAPACITY elements')
    equal(b.recv_data(), [b'x'], 'first in, first out')
    equal(b.session.wait(number).result, 'OK', 'section 8')


@case('a try finds every place, and not one more')
def tries(t):
    for used in range(5):
        name = f'{t.name}-{used}'
        s, other = t.session(), t.session()
        b = other.make(name, CAPACITY=4)
        a = s.attach(name, SENDER)
        cursor = a.map(WINDOW=4)
        for i in range(used):
            flow(a, cursor, b'%d' % i)
        # what was written counts even if the daemon has not read it
        accepted = 0
        while b.try_send(b'x', TIMEOUT_MS=0).result == 'OK':
            accepted += 1
        equal(accepted, 4 - used, 'section 6: capacity is exact')
        equal(left(cursor), 0, EXACT)
        equal(len(b.recv_data(COUNT=9)), 4, 'nothing lost')
        balanced(other.stats(name))


@case('what was written before a close is drained, then PIPE')
def closing(t):
    for kind in ('CHAN_CLOSE', 'CHAN_DESTROY'):
        name = f'{t.name}-{kind}'
        s, other = t.session(), t.session()
        b = other.make(name, CAPACITY=64, MAX_MSG=8)
        a = s.attach(name, SENDER)
        cursor = a.map(WINDOW=64)
        for i in range(20):
            flow(a, cursor, b'%d' % i)
        other.must(kind, NAME=name)
        equal(left(cursor), 0, 'section 7.6: withdrawn before the channel closes')
        number, is_covered = a.start_windowed(cursor, b'late')
        equal(is_covered, False, 'section 7.6: withdrawn')
        equal(s.wait(number).result, 'PIPE', 'section 10: later SENDs')
        equal(b.recv_data(COUNT=99), [b'%d' % i for i in range(20)], 'section 7.6: drained')
        equal(b.try_recv().result, 'PIPE', 'section 10: drained')
        # again, and by several at once: each is answered
        if kind == 'CHAN_CLOSE':
            equal(other.call(kind, NAME=name).result, 'OK', 'section 10: idempotent')


@case('several that close at once are all answered')
def closers(t):
    a, cursor, b = windowed(t, 8)
    flow(a, cursor, b'1')
    sessions = [t.session() for _ in range(4)]
    ids = [(s, s.start('CHAN_CLOSE', NAME=t.name)) for s in sessions for _ in range(2)]
    equal([s.wait(number).result for s, number in ids], ['OK'] * 8, 'section 10')
    equal(b.recv_data(COUNT=9), [b'1'], 'section 7.6')
    equal(b.try_recv().result, 'PIPE', 'section 10')


@case('who destroys a channel and goes has destroyed it')
def destroyed(t):
    t.own_daemon('{}')
    a, cursor, b = windowed(t, 8)
    flow(a, cursor, b'1')
    s = t.session()
    number = s.promise('CHAN_DESTROY', NAME=t.name).id
    s.conn.write(wire.encode(wire.Frame('request', 'CHAN_DESTROY', number, 0, [('NAME', t.name)])) +
                 wire.encode(wire.Frame('notice', 'BYE', 0, 0, [])))
    s.conn.drain()
    before = dict(b.session.must('STATS').tlvs)['STATISTICS'].get(27)
    equal(b.recv_data(), [b'1'], 'section 10: may be drained')
    b.detach()
    a.detach()
    after = dict(b.session.must('STATS').tlvs)['STATISTICS'].get(27, 0)
    equal(before - after, 1, 'section 10: gone with the last that was attached')


@case('its own session closes the channel')
def own_close(t):
    a, cursor, b = windowed(t, 8)
    flow(a, cursor, b'1', b'2')
    a.session.must('CHAN_CLOSE', NAME=t.name)
    equal(b.recv_data(COUNT=9), [b'1', b'2'], 'section 7.6')
    equal(b.try_recv().result, 'PIPE', 'section 10')


@case('what was sent before BYE, DETACH or the end of the socket is the channel\'s')
def ends(t):
    a, cursor, b = windowed(t, 8, capacity=20)
    flow(a, cursor, b'1')
    a.detach()
    equal(b.recv_data(COUNT=9), [b'1'], FREE)
    for end in (lambda s: s.bye(), lambda s: s.conn.cut(), None):
        s = t.session()
        a = s.attach(t.name, SENDER)
        cursor = a.map(WINDOW=4)
        flow(a, cursor, b'2')
        flow(a, cursor, b'3')
        if end:
            end(s)
        equal(b.recv(TIMEOUT_MS=5000)[0].data, b'2', FREE)
        equal(b.recv(TIMEOUT_MS=5000)[0].data, b'3', FREE)


@case('places that were promised to who ends are free again')
def ends_free(t):
    other = t.session()
    b = other.make(t.name, CAPACITY=4)
    for end in (Session.bye, Session.cut, lambda s: s.attachments[1].detach(),
                lambda s: s.attachments[1].map(WINDOW=0)):
        s = t.session()
        a = s.attach(t.name, SENDER)
        cursor = a.map(WINDOW=4)
        true(left(cursor) > 0, 'section 7.6')
        end(s)
        accepted = 0
        while b.try_send(b'x', TIMEOUT_MS=0).result == 'OK':
            accepted += 1
        equal(accepted, 4, 'section 6: capacity is exact')
        equal(len(b.recv_data(COUNT=9)), 4, 'nothing else')


@case('windows share what there is')
def shares(t):
    other = t.session()
    b = other.make(t.name, CAPACITY=8)
    senders = []
    for _ in range(3):
        a = t.session().attach(t.name, SENDER)
        senders.append((a, a.map(WINDOW=8)))
    true(sum(left(c) for _, c in senders) <= 8, EXACT)
    for turn in range(20):
        for a, cursor in senders:
            if left(cursor):
                flow(a, cursor, b'x')
                a.session.barrier()
        stats = other.stats(t.name)
        true(stats['length'] + sum(left(c) for _, c in senders) <= 8, EXACT)
        if stats['length']:
            b.recv_data(COUNT=4)
    used = [cursor.used for _, cursor in senders]
    true(min(used) > 0, f'section 7.6: nobody is left out: {used}')


@case('WINDOW means nothing where a send never waits, where places are none, or to receivers')
def no_window(t):
    s = t.session()
    for i, (kind, more) in enumerate(((RENDEZVOUS, {}), (CONFLATED, {}),
                                      (BUFFERED, {'OVERFLOW': DROP_OLDEST}),
                                      (BUFFERED, {'OVERFLOW': DROP_NEWEST}))):
        a = s.make(f'{t.name}-{i}', kind, **more)
        equal(a.map(WINDOW=4).get('GRANTED'), 0, 'section 7.6: buffered or unlimited, OVERFLOW 0')
        if kind != RENDEZVOUS:
            equal(a.send(b'x', FLAGS=WINDOW), 1, 'section 7.6: answered')
    s.make(t.name)
    equal(s.attach(t.name, RECEIVER).map(WINDOW=4).get('GRANTED'), 0, 'section 7.6: that sends')


@case('an unlimited channel promises within its bytes')
def unlimited(t):
    s, other = t.session(), t.session()
    b = other.make(t.name, UNLIMITED, MAX_MSG=100, MAX_BYTES=250)
    a = s.attach(t.name, SENDER)
    cursor = a.map(WINDOW=10)
    equal(left(cursor), 2, EXACT)
    flow(a, cursor, bytes(100), bytes(100))
    s.barrier()
    equal(left(cursor), 0, EXACT)
    equal(b.try_send(bytes(51), TIMEOUT_MS=0).result, 'AGAIN', 'section 1: waits at MAX_BYTES')
    equal(b.send(bytes(50), TIMEOUT_MS=0), 1, 'section 1')
    b.recv_data(COUNT=9)
    other.barrier()
    equal(left(cursor), 2, 'section 7.6: rises as places become free')


@case('fixed elements')
def fixed(t):
    s, other = t.session(), t.session()
    b = other.make(t.name, elem_size=3)
    a = s.attach(t.name, SENDER)
    cursor = a.map(WINDOW=4)
    flow(a, cursor, b'abc', b'def')
    silent(a.session)
    equal(b.recv_data(COUNT=9), [b'abc', b'def'], 'section 1')
    number = a.session.start('SEND', ATTACH=a.number, ELEMENTS=b'abcd', FLAGS=WINDOW)
    equal(a.session.wait(number).result, 'INVAL', 'section 6, SEND: no whole number')


@case('an OFFER with WINDOW is a SEND like any other')
def offered(t):
    a, cursor, b = windowed(t, 4)
    number = a.start_send(b'x', FLAGS=WINDOW | OFFER)
    equal(a.session.event('OFFER').get('REQUEST'), number, 'section 9')
    a.session.must('CLAIM', REQUEST=number)
    equal(a.session.wait(number).get('COUNT'), 1, 'section 9')
    equal(b.recv_data(), [b'x'], 'section 9')


# ---- when the connection breaks

def lose(a, cursor, *items, flags=WINDOW, **more):
    """A SEND that is lost on its way."""
    request = a.session.promise('SEND', ATTACH=a.number, ELEMENTS=a.elements(items), FLAGS=flags,
                                **more)
    cursor.used += len(items)
    return request


@case('after RESUME what was lost is accepted as promised, over the capacity if need be')
def promised(t):
    a, cursor, b = windowed(t, 3, capacity=4)
    s = a.session
    flow(a, cursor, b'1')
    s.barrier()
    window = left(cursor)
    requests = [lose(a, cursor, b'lost %d' % i) for i in range(window + 1)]
    s.cut()
    # others take all places meanwhile
    while b.try_send(b'other', TIMEOUT_MS=0).result == 'OK':
        pass
    for request in requests:
        request.tlvs = [(n, v | PROMISED if n == 'FLAGS' else v) for n, v in request.tlvs]
        request.tlvs.append(('TIMEOUT_MS', 0))
    equal(s.resume(), [r.id for r in requests], 'section 5.3: those it does not know')
    results = [s.wait(r.id).result for r in requests]
    equal(results, ['OK'] * window + ['AGAIN'],
          'section 7.6: within what was promised, and no further')
    got = b.recv_data(COUNT=99)
    equal([d for d in got if d.startswith(b'lost')], [b'lost %d' % i for i in range(window)],
          'section 7.6')
    equal(len(got), 4 + window, 'section 7.6: over the capacity')
    balanced(b.session.stats(t.name))


@case('after RESUME an id that ACCEPTED has reached is not sent again')
def accepted(t):
    a, cursor, b = windowed(t, 4)
    s = a.session
    number = flow(a, cursor, b'1')
    s.cut()
    equal(cursor.get('ACCEPTED'), number, 'section 7.6: read before the end')
    s.resume()
    equal(b.recv_data(COUNT=9), [b'1'], 'once')
    equal(left(cursor), 4, 'section 7.6: promises are made anew')
    flow(a, cursor, b'2')
    silent(s)
    equal(b.recv_data(COUNT=9), [b'2'], 'section 7.6')


@case('promised elements reach a channel that has closed meanwhile, and count where it is gone')
def promised_closed(t):
    for kind in ('CHAN_CLOSE', 'CHAN_DESTROY'):
        name = f'{t.name}-{kind}'
        s, other = t.session(), t.session()
        b = other.make(name, CAPACITY=4)
        a = s.attach(name, SENDER)
        cursor = a.map(WINDOW=2)
        request = lose(a, cursor, b'1', flags=WINDOW | PROMISED)
        plain = lose(a, cursor, b'2')
        s.cut()
        before = dict(other.must('STATS').tlvs)['STATISTICS'].get(9, 0)
        other.must(kind, NAME=name)
        equal(s.resume(), [request.id, plain.id], 'section 5.3')
        equal(s.wait(request.id).result, 'OK', 'section 7.6: also if the channel has closed')
        equal(s.wait(plain.id).result, 'PIPE', 'section 10')
        if kind == 'CHAN_CLOSE':
            equal(b.recv_data(), [b'1'], 'section 7.6: can be drained')
            balanced(other.stats(name))
        else:
            after = dict(other.must('STATS').tlvs)['STATISTICS'].get(9, 0)
            equal(after - before, 1, 'section 7.6: dropped: destroyed')
        equal(b.try_recv().result, 'PIPE', 'section 10')


@case('PROMISED without a promise is nothing')
def unpromised(t):
    s, other = t.session(), t.session()
    b = other.make(t.name, CAPACITY=1)
    a = s.attach(t.name, SENDER)
    b.send(b'x')
    for flags in (PROMISED, PROMISED | WINDOW):
        equal(a.try_send(b'y', FLAGS=flags, TIMEOUT_MS=0).result, 'AGAIN', 'section 7.6: within')
    cursor = a.map(WINDOW=4)
    equal(a.try_send(b'y', FLAGS=PROMISED | WINDOW, TIMEOUT_MS=0).result, 'AGAIN', 'section 7.6')
    equal(cursor.get('GRANTED'), 0, EXACT)
    other.must('CHAN_CLOSE', NAME=t.name)
    equal(a.try_send(b'y', FLAGS=PROMISED | WINDOW).result, 'PIPE', 'section 10')


@case('what was promised before the break can be claimed once')
def promised_once(t):
    a, cursor, b = windowed(t, 2, capacity=2)
    s = a.session
    s.cut()
    s.resume()
    equal(left(cursor), 2, 'section 7.6: made anew')
    # places were promised anew meanwhile, and these come out of those
    for item in (b'1', b'2'):
        a.start_windowed(cursor, item, flags=WINDOW | PROMISED)
    s.barrier()
    equal(a.try_send(b'3', FLAGS=WINDOW | PROMISED, TIMEOUT_MS=0).result, 'AGAIN', EXACT)
    equal(len(b.recv_data(COUNT=9)), 2, EXACT)


@case('what was promised is owed until it came, however often the connection breaks')
def promised_twice(t):
    a, cursor, b = windowed(t, 3, capacity=3)
    s = a.session
    requests = [lose(a, cursor, b'lost %d' % i, flags=WINDOW | PROMISED) for i in range(3)]
    for _ in range(3):
        s.cut()
        while b.try_send(b'other', TIMEOUT_MS=0).result == 'OK':
            pass
        # asked for again, and lost once more
        s.reconnect()
        number = s.new_id()
        s.send('request', 'RESUME', number, s.resume_tlvs())
        equal(s.lose().get('REQUESTS'), [r.id for r in requests], 'section 5.3')
    s.cut()
    equal(s.resume(), [r.id for r in requests], 'section 5.3')
    equal([s.wait(r.id).result for r in requests], ['OK'] * 3, 'section 7.6: as promised')
    equal(b.recv_data(COUNT=9), [b'other'] * 3 + [b'lost %d' % i for i in range(3)], 'section 7.6')


@case('a sender that dies after its SENDs were written loses nothing')
def dies(t):
    s = t.session()
    # so short that 32 places are promised at once: nobody awaits the daemon then
    b = s.make(t.name, CAPACITY=64, MAX_MSG=8)

    def act(path):
        session = Session(path)
        a = session.attach(t.name, SENDER)
        cursor = a.map(WINDOW=32)
        for i in range(32):
            flow(a, cursor, b'%d' % i)
    t.child(act).kill()
    got = []
    while len(got) < 32:
        got += b.recv_data(COUNT=64, TIMEOUT_MS=5000)
    equal(got, [b'%d' % i for i in range(32)], FREE)
    stats = s.stats(t.name)
    balanced(stats)
    equal((stats['sent'], stats['received']), (32, 32), 'section 3')
