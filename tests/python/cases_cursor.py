# SPDX-License-Identifier: BSD-3-Clause
"""Sections 6 (CHAN_MAP) and 7.5: cursors."""
import os
import random

from harness import balanced, case, equal, true
from kcoro_client import Cursor, Late, Session
from kcoro_wire import BUFFERED, RECEIVER, RENDEZVOUS, SENDER

ZERO = dict.fromkeys(Cursor.WORDS, 0)


def taken_of(t, s):
    """What the ledger counts as received, length, and lost."""
    stats = s.stats(t.name)
    balanced(stats)
    return stats['received'], stats['length'], stats['lost: consumer']


def ahead_pair(t, *, capacity=16, credit=8, **more):
    """A sender's attachment, a receiver's with credit, and its cursor, in two sessions."""
    s, other = t.session(), t.session()
    b = other.make(t.name, CAPACITY=capacity, **more)
    a = s.attach(t.name, RECEIVER, CREDIT=credit)
    return a, a.map(), b


def take(a, cursor, number):
    """TAKEN by the cursor up to this delivery, and by a frame too if that is asked for."""
    gone = [d for d in a.ahead if d.number <= number]
    cursor.set('TAKEN', number)
    if cursor.get('LISTEN'):
        a.taken(gone)
    a.ahead = [d for d in a.ahead if d.number > number]
    a.untaken = {n for n in a.untaken if n > number}
    return gone


@case('CHAN_MAP gives memory of one size, all 0, and each attachment a place of its own')
def mapping(t):
    s = t.session()
    a, b = s.make(t.name), s.attach(t.name)
    first, second = a.map(), b.map()
    equal((first.all(), second.all()), (ZERO, ZERO), 'section 7.5: all are 0 at first')
    first.set('AWAITS', 7)
    equal(second.all(), ZERO, 'section 7.5: each attachment has its own cursor')
    equal(a.map().get('AWAITS'), 7, 'section 6, CHAN_MAP: the cursor stays the same')
    equal(s.memory.size(), 4096, 'section 7.5: 4,096 bytes')
    for size in (1, 8192):
        try:
            s.memory.resize(size)
        except (OSError, SystemError, ValueError, BufferError):
            continue
        true(False, 'section 7.5: cannot change its size')
    equal(s.call('CHAN_MAP', ATTACH=99).result, 'NOENT', 'section 4')
    equal(s.call('CHAN_MAP', ATTACH=a.number, WINDOW=65537).result, 'INVAL', 'section 2: bounds')
    equal(len(s.conn.descriptors), 0, 'section 2: along with each good reply')
    equal(a.send(b'x'), 1, 'section 6')
    equal(a.recv_data(), [b'x'], 'section 6')


@case('the size of the memory is sealed')
def sealed(t):
    s = t.session()
    a = s.make(t.name)
    s.must('CHAN_MAP', ATTACH=a.number)
    with open(s.conn.descriptors.pop(0), 'r+b', buffering=0) as file:
        for size in (0, 4095, 4097):
            try:
                file.truncate(size)
                true(False, 'section 7.5: cannot change its size')
            except OSError:
                pass


@case('a session has 64 cursors, and those of attachments that ended are free again')
def limit(t):
    s = t.session()
    a = s.make(t.name)
    others = [s.attach(t.name) for _ in range(64)]
    cursors = [b.map() for b in others]
    offsets = {bytes(c.words) for c in cursors}
    equal(offsets, {bytes(64)}, 'section 7.5: all are 0 at first')
    reply = s.call('CHAN_MAP', ATTACH=a.number)
    equal((reply.result, bool(reply.get('DETAIL'))), ('DQUOT', True), 'section 6, CHAN_MAP')
    equal(len(s.conn.descriptors), 0, 'section 2: along with each good reply')
    for cursor in cursors:
        cursor.set('TAKEN', 1 << 63)
    others[17].detach()
    fresh = a.map()
    equal(fresh.all(), ZERO, 'section 7.5: all are 0 at first')
    other = t.session()
    b = other.attach(t.name)
    equal(b.map().all(), ZERO, 'section 6: a session of its own')


@case('without room for the descriptor nothing else is lost')
def blind(t):
    s = t.session()
    a = s.make(t.name)
    s.conn.blind = True
    s.must('CHAN_MAP', ATTACH=a.number)
    equal(s.conn.descriptors, [], 'no room')
    s.conn.blind = False
    equal(a.map().all(), ZERO, 'section 6: may be made again')


@case('TAKEN by the cursor is counted')
def counted(t):
    a, cursor, b = ahead_pair(t)
    b.send(*[b'%d' % i for i in range(5)])
    equal(a.ahead_data(5), [b'0', b'1', b'2', b'3', b'4'], 'section 7.3')
    equal(taken_of(t, b.session), (0, 5, 0), 'section 7.3: counts in the length until TAKEN')
    equal(cursor.get('LISTEN'), 0, 'section 7.5: nobody needs to be told')
    take(a, cursor, 2)
    equal(taken_of(t, b.session), (2, 3, 0), 'section 7.5: taken up to this number')
    take(a, cursor, 5)
    equal(taken_of(t, b.session), (5, 0, 0), 'section 7.5: taken up to this number')
    totals = dict(b.session.must('STATS').tlvs)['STATISTICS']
    true(totals[2] >= 5, 'section 6, STATS: the sums of all ledgers')


@case('credit that was used up is free again with TAKEN by the cursor')
def credit(t):
    a, cursor, b = ahead_pair(t, credit=2, capacity=64)
    for i in range(40):
        b.send(b'%d' % i)
    got = []
    while len(got) < 40:
        a.ahead_data(1)
        got += take(a, cursor, a.highest)
    equal([d.data for d in got], [b'%d' % i for i in range(40)], 'section 7.3: in order')
    equal(taken_of(t, b.session), (40, 0, 0), 'section 7.5')


@case('LISTEN is set while a sender waits for the places')
def sender_waits(t):
    a, cursor, b = ahead_pair(t, capacity=4)
    b.send(*[b'x'] * 4)
    a.ahead_data(4)
    equal(cursor.get('LISTEN'), 0, 'section 7.5: nobody waits')
    number = b.start_send(b'y')
    b.session.barrier()
    true(cursor.get('LISTEN'), 'section 7.5: what is taken has to be said in frames')
    take(a, cursor, 1)
    equal(b.session.wait(number).result, 'OK', 'section 7.3: a place until it is TAKEN')
    a.ahead_data(4)
    take(a, cursor, 2)
    a.session.barrier()
    equal(cursor.get('LISTEN'), 0, 'section 7.5: nobody waits any more')
    # taken before it is asked for: seen without a frame
    cursor.set('TAKEN', 3)
    equal(b.send(b'z', b'z', b'z'), 2, 'section 7.5: the daemon reads TAKEN')


@case('LISTEN is set while a receiver waits for the end of a closed channel')
def closed(t):
    a, cursor, b = ahead_pair(t)
    b.send(b'1', b'2')
    a.ahead_data(2)
    number = b.start_recv()
    # asked back first: there is none to spare
    equal(a.session.event('RECALL').get('ATTACH'), a.number, 'section 7.3')
    a.give_back(0)
    b.session.must('CHAN_CLOSE', NAME=t.name)
    true(cursor.get('LISTEN'), 'section 10: not drained, the receiver waits')
    take(a, cursor, 2)
    equal(b.session.wait(number).result, 'PIPE', 'section 10: drained')


@case('a try finds the places of what was taken by the cursor')
def tries(t):
    a, cursor, b = ahead_pair(t, capacity=3)
    b.send(b'1', b'2', b'3')
    a.ahead_data(3)
    cursor.set('TAKEN', 2)
    equal(b.send(b'4', b'5', b'6', TIMEOUT_MS=0), 2, 'section 7.5: capacity is exact')
    equal(b.try_send(b'6', TIMEOUT_MS=0).result, 'AGAIN', 'section 7.3: not taken')
    a.ahead_data(5)
    take(a, cursor, 3)
    a.session.barrier()
    equal(b.send(b'6', b'7', TIMEOUT_MS=0), 1, 'section 7.5: capacity is exact')


@case('numbers that were never given are not counted')
def never_given(t):
    a, cursor, b = ahead_pair(t)
    b.send(b'1', b'2')
    a.ahead_data(2)
    for number in (3, 1000, (1 << 64) - 1):
        cursor.set('TAKEN', number)
        cursor.set('BEFORE', number)
        equal(taken_of(t, b.session), (2, 0, 0), 'section 7.5: not counted')
    b.send(b'3')
    a.ahead_data(3)
    equal(taken_of(t, b.session), (3, 0, 0), 'section 7.5: given meanwhile')
    cursor.set('TAKEN', 1)
    b.send(b'4')
    a.session.barrier()
    equal(taken_of(t, b.session), (3, 1, 0), 'section 7.5: what is taken stays taken')


@case('RETURN of what the cursor has taken has no effect')
def returned(t):
    a, cursor, b = ahead_pair(t)
    b.send(b'1', b'2', b'3')
    a.ahead_data(3)
    cursor.set('TAKEN', 1)
    a.session.notice('RETURN', ATTACH=a.number, RANGES=[(1, 3)])
    a.session.barrier()
    equal(taken_of(t, b.session)[0], 1, 'section 7.2: unknown deliveries have no effect')
    stats = b.session.stats(t.name)
    equal((stats['sent'], stats['queued']), (3, 2), 'section 7.2: the others are back')


@case('lost: consumer is what was taken since the program came back')
def lost(t):
    s = t.session()
    b = s.make(t.name)
    b.send(*[b'x'] * 6)

    def act(path):
        session = Session(path)
        a = session.attach(t.name, RECEIVER, CREDIT=6)
        cursor = a.map()
        a.ahead_data(6)
        cursor.set('TAKEN', 3)
        cursor.set('BEFORE', 3)
        cursor.set('TAKEN', 5)
    t.child(act).kill()
    # the one that was given and not taken is back
    equal(b.recv_data(), [b'x'], 'section 5.4')
    received, length, gone = taken_of(t, s)
    equal((received, length, gone), (4, 0, 2), 'section 7.5: the elements taken since')


@case('a program that came back for more has lost nothing')
def not_lost(t):
    s = t.session()
    b = s.make(t.name)
    b.send(*[b'x'] * 4)

    def act(path):
        session = Session(path)
        a = session.attach(t.name, RECEIVER, CREDIT=4)
        cursor = a.map()
        a.ahead_data(4)
        cursor.set('TAKEN', 4)
        cursor.set('BEFORE', 4)
    t.child(act).kill()
    # waits until the daemon knows: nobody else is left then
    b.session.barrier()
    while s.stats(t.name)['receivers attached'] > 1:
        pass
    equal(taken_of(t, s), (4, 0, 0), 'section 7.5')


@case('LISTEN is set when the session ends, and when the attachment does')
def ends(t):
    s, other = t.session(), t.session()
    b = other.make(t.name)
    a, c = s.attach(t.name, RECEIVER, CREDIT=4), s.attach(t.name, RECEIVER)
    cursors = [a.map(), c.map()]
    b.send(b'1', b'2')
    a.ahead_data(2)
    cursors[0].set('TAKEN', 1)
    c.detach()
    true(cursors[1].get('LISTEN'), 'section 7.5')
    s.bye()
    true(cursors[0].get('LISTEN'), 'section 7.5: when the session ends')
    equal(b.recv_data(COUNT=9), [b'2'], 'section 5.4: untaken ones return')
    equal(taken_of(t, other), (2, 0, 0), 'section 7.5')


@case('the memory outlives the connection')
def outlives(t):
    a, cursor, b = ahead_pair(t)
    s = a.session
    b.send(b'1', b'2', b'3', b'4')
    a.ahead_data(4)
    take(a, cursor, 1)
    s.cut()
    # a client without a connection may go on with what it has
    take(a, cursor, 2)
    s.resume()
    equal(taken_of(t, b.session)[0], 2, 'section 5.3: taken while there was no connection')
    equal([d.data for d in a.ahead], [b'3', b'4'], 'section 5.3: still given')
    take(a, cursor, 4)
    equal(taken_of(t, b.session), (4, 0, 0), 'section 7.5')
    b.send(b'5')
    equal(a.ahead_data(1), [b'5'], 'section 7.3')


@case('leases given ahead start by the cursor, and return')
def leased(t):
    s, other = t.session(), t.session()
    b = other.make(t.name)
    a = s.attach(t.name, RECEIVER, CREDIT=4, FLAGS=1, LEASE_MS=60000)
    cursor = a.map()
    b.send(b'1', b'2')
    a.ahead_data(2)
    cursor.set('TAKEN', 1)
    equal(a.settle('ACK', a.ahead[:1]).result, 'OK', 'section 7.2: the lease runs')
    equal(taken_of(t, other)[0], 1, 'section 7.2: ACK makes it received')


@case('a cursor on a rendezvous confirms nothing by itself')
def rendezvous(t):
    s, other = t.session(), t.session()
    b = other.make(t.name, RENDEZVOUS)
    a = s.attach(t.name, RECEIVER)
    cursor = a.map()
    number = b.start_send(b'x')
    got = a.deliveries(a.try_recv())
    cursor.set('TAKEN', got[0].number)
    other.must('CANCEL', REQUEST=number)
    equal(other.wait(number).result in ('OK', 'CANCELED'), True, 'section 8')
    s.barrier()
    balanced(other.stats(t.name))


@case('scribbled cursors harm nobody else')
def scribbled(t):
    rng = random.Random(t.name)
    s = t.session()
    honest, partner = t.session(), t.session()
    b = honest.make(t.name, BUFFERED, CAPACITY=8)
    fine = partner.make(f'{t.name}-fine', CAPACITY=8)
    c = honest.attach(f'{t.name}-fine', RECEIVER, CREDIT=4)
    fair = c.map()
    wild = [s.attach(t.name, roles, **more).map(**extra) for roles, more, extra in (
        (RECEIVER, {'CREDIT': 4}, {}), (SENDER, {}, {'WINDOW': 3}), (RECEIVER, {'CREDIT': 1}, {}))]
    values = [0, 1, 2, 3, 7, 100, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1]
    sent = 0
    for turn in range(300):
        cursor = rng.choice(wild)
        cursor.set(rng.choice(Cursor.WORDS), rng.choice(values))
        if b.try_send(b'x', TIMEOUT_MS=0).result == 'OK':
            sent += 1
        if turn % 7 == 0:
            number = list(s.attachments)[1]
            s.start('SEND', ATTACH=number, ELEMENTS=s.attachments[number].elements([b'w']),
                    FLAGS=32, TIMEOUT_MS=0)
        fine.send(b'%d' % turn)
        equal(c.ahead_data(1), [b'%d' % turn], 'section 7.5: nobody else')
        take(c, fair, c.highest)
        stats = honest.stats(t.name)
        balanced(stats)
        true(stats['length'] <= 8, 'section 6: capacity is exact')
    true(sent > 0, 'something moved')
    s.cut()
    s.conn.close()
    equal(honest.stats(f'{t.name}-fine')['received'], 300, 'section 7.5: nobody else')


@case('a cursor may be mapped and remapped without end')
def remap(t):
    s = t.session()
    a = s.make(t.name)
    offsets = set()
    for _ in range(200):
        offsets.add(s.must('CHAN_MAP', ATTACH=a.number, WINDOW=4).get('OFFSET'))
        for fd in s.conn.descriptors:
            os.close(fd)
        s.conn.descriptors.clear()
    equal(len(offsets), 1, 'section 6: the cursor stays the same')
    equal(s.stats(t.name)['length'], 0, 'nothing happened')
    try:
        s.conn.read(0.01)
        true(False, 'nothing else comes')
    except Late:
        pass
