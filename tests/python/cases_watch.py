# SPDX-License-Identifier: BSD-3-Clause
"""Sections 6 (CHAN_WATCH) and 8.1: descriptors to wait on."""
from harness import case, data_of, equal, true
from kcoro_client import Bell, Closed
from kcoro_wire import BUFFERED, CONFLATED, RECEIVER, RENDEZVOUS, SENDER

NEVER_LESS = 'section 8.1: never unreadable while a try would not be answered AGAIN'
SILENT = 'section 8.1: silent again once the daemon has answered a try with AGAIN'


def found_nothing(bell, reply):
    equal(reply.result, 'AGAIN', 'section 4: a try found nothing to do')
    bell.silence(reply)
    true(bell.silent(), SILENT)


@case('the descriptor comes along with the reply, and with no other')
def comes_along(t):
    s = t.session()
    a = s.make(t.name)
    equal(len(s.conn.descriptors), 0, 'section 2: with nothing else')
    s.must('CHAN_WATCH', ATTACH=a.number, ROLES=SENDER)
    equal(len(s.conn.descriptors), 1, 'section 2: one along with each good reply')
    s.must('CHAN_WATCH', ATTACH=a.number, ROLES=RECEIVER)
    equal(len(s.conn.descriptors), 2, 'section 2')
    s.barrier()
    equal(len(s.conn.descriptors), 2, 'section 2')


@case('many CHAN_WATCH under way bring as many descriptors, in order')
def many_at_once(t):
    s = t.session()
    made = [s.make(f'{t.name}-{i}', CAPACITY=1) for i in range(6)]
    for a in made[::2]:
        a.send(b'x')
    ids = [s.start('CHAN_WATCH', ATTACH=a.number, ROLES=RECEIVER) for a in made]
    replies = [s.wait(number) for number in ids]
    bells = [Bell(fd, reply.get('RINGS')) for fd, reply in zip(s.conn.descriptors, replies)]
    s.conn.descriptors.clear()
    equal([bell.heard(0.01) for bell in bells], [True, False] * 3, 'section 2: in the same order')
    for bell in bells:
        bell.close()


@case('a receiver is rung for')
def receiver(t):
    s, other = t.session(), t.session()
    a = s.make(t.name)
    b = other.attach(t.name)
    bell = a.watch(RECEIVER)
    true(bell.silent(), 'section 8.1: rings when a try would find something')
    for _ in range(3):
        found_nothing(bell, a.try_recv(TIMEOUT_MS=0))
        b.send(b'1', b'2')
        true(bell.heard(), NEVER_LESS)
        equal(bell.waiting(), 1, 'section 8.1: sending one byte')
        b.send(b'3')
        equal(bell.waiting(), 1, 'section 8.1: it has rung')
        equal(a.recv_data(COUNT=2, TIMEOUT_MS=0), [b'1', b'2'], 'a try')
        true(bell.heard(0), NEVER_LESS)
        equal(a.recv_data(TIMEOUT_MS=0), [b'3'], 'a try')
    equal(a.try_recv(TIMEOUT_MS=1).result, 'TIME', 'no try')
    true(bell.heard(0), 'section 8.1: silent once a try was answered with AGAIN')
    found_nothing(bell, a.try_recv(TIMEOUT_MS=0))
    other.must('CHAN_CLOSE', NAME=t.name)
    true(bell.heard(), 'section 8.1: closed')
    equal(a.try_recv(TIMEOUT_MS=0).result, 'PIPE', 'section 10')
    bell.close()


@case('a sender is rung for, with room for what was refused last')
def sender(t):
    s, other = t.session(), t.session()
    a = s.make(t.name, MAX_MSG=100, MAX_BYTES=200, CAPACITY=100)
    b = other.attach(t.name)
    bell = a.watch(SENDER)
    true(bell.heard(), 'section 8.1: room')
    a.send(bytes(100), bytes(30), bytes(60))
    found_nothing(bell, a.try_send(bytes(80), TIMEOUT_MS=0))
    b.recv_data()
    true(bell.heard(), NEVER_LESS)
    equal(a.send(bytes(80), TIMEOUT_MS=0), 1, 'a try')
    found_nothing(bell, a.try_send(bytes(100), TIMEOUT_MS=0))
    b.recv_data()
    other.barrier()
    true(bell.silent(), 'section 8.1: room for an element as long as the one refused')
    found_nothing(bell, a.try_send(bytes(61), TIMEOUT_MS=0))
    b.recv_data()
    true(bell.heard(), NEVER_LESS)
    bell.close()


@case('RINGS counts, and a byte that came later stays')
def counts(t):
    s, other = t.session(), t.session()
    a = s.make(t.name)
    b = other.attach(t.name)
    bell = a.watch(RECEIVER)
    for rings in range(1, 7, 2):
        b.send(b'x')
        equal(a.recv_data(TIMEOUT_MS=0), [b'x'], 'a try')
        reply = a.try_recv(TIMEOUT_MS=0)
        equal(reply.get('RINGS'), rings, 'section 8.1: the number of bytes sent until then')
        # this ring comes between the answer and the client's taking out
        b.send(b'y')
        bell.silence(reply)
        equal(bell.waiting(), 1, 'section 8.1: bytes that came later stay')
        equal(a.recv_data(TIMEOUT_MS=0), [b'y'], 'a try')
        reply = a.try_recv(TIMEOUT_MS=0)
        equal(reply.get('RINGS'), rings + 1, 'section 8.1')
        bell.silence(reply)
        true(bell.silent(), SILENT)
    bell.close()


@case('elements given ahead ring')
def ahead(t):
    s, other = t.session(), t.session()
    other.make(t.name)
    a = s.attach(t.name, RECEIVER, CREDIT=4)
    bell = a.watch(RECEIVER)
    true(bell.silent(), 'nothing yet')
    other.attachments[1].send(b'1')
    true(bell.heard(), 'section 8.1: one given ahead to it included')
    equal(a.ahead_data(1), [b'1'], 'section 7.3')
    a.take_ahead(1)
    found_nothing(bell, a.try_recv(TIMEOUT_MS=0))
    bell.close()


@case('a rendezvous rings while the other side waits, but not for tries')
def rendezvous(t):
    s, other = t.session(), t.session()
    a = s.make(t.name, RENDEZVOUS)
    b = other.attach(t.name)
    tx, rx = a.watch(SENDER), b.watch(RECEIVER)
    for _ in range(3):
        found_nothing(tx, a.try_send(b'x', TIMEOUT_MS=0))
        true(rx.silent(), 'section 8.1: tries count as nobody waiting')
        found_nothing(rx, b.try_recv(TIMEOUT_MS=0))
        true(tx.silent(), 'section 8.1: tries count as nobody waiting')
    waiting = a.start_send(b'y')
    true(rx.heard(), 'section 8.1: the other side of a rendezvous waiting')
    equal(b.recv_data(TIMEOUT_MS=0), [b'y'], 'a try')
    equal(s.wait(waiting).result, 'OK', 'section 8')
    found_nothing(rx, b.try_recv(TIMEOUT_MS=0))
    waiting = b.start_recv()
    true(tx.heard(), 'section 8.1: the other side of a rendezvous waiting')
    number = a.start_send(b'z', TIMEOUT_MS=0)
    got = b.deliveries(other.wait(waiting))
    equal((data_of(got), b.confirm(got).result), ([b'z'], 'OK'), 'section 7.2')
    equal(s.wait(number).result, 'OK', 'section 8')
    tx.close()
    rx.close()


@case('a channel that never makes a send wait is always worth a try')
def never_waits(t):
    s = t.session()
    a = s.make(t.name, CONFLATED)
    bell = a.watch(SENDER)
    for _ in range(3):
        true(bell.heard(), NEVER_LESS)
        a.send(b'x', TIMEOUT_MS=0)
    bell.close()


@case('one role is asked for, and the attachment must have it')
def roles(t):
    s = t.session()
    s.make(t.name)
    a = s.attach(t.name, SENDER)
    for bad in (SENDER | RECEIVER, 4):
        equal(s.call('CHAN_WATCH', ATTACH=a.number, ROLES=bad).result, 'INVAL',
              'section 6, CHAN_WATCH: anything else')
    equal(s.call('CHAN_WATCH', ATTACH=a.number, ROLES=RECEIVER).result, 'ACCES',
          'section 6, CHAN_WATCH: a role the attachment does not have')
    equal(s.call('CHAN_WATCH', ATTACH=99, ROLES=RECEIVER).result, 'NOENT', 'section 4')
    equal(len(s.conn.descriptors), 0, 'section 2: along with each good reply')


@case('a new descriptor makes the earlier one hang up, and RINGS goes on')
def replaced(t):
    s = t.session()
    a = s.make(t.name)
    first = a.watch(RECEIVER)
    a.send(b'x')
    true(first.heard(), NEVER_LESS)
    equal(a.recv_data(), [b'x'], 'first in, first out')
    found_nothing(first, a.try_recv(TIMEOUT_MS=0))
    second = a.watch(RECEIVER)
    true(first.hung_up(), 'section 6, CHAN_WATCH: an earlier one hangs up')
    equal(second.taken, 1, 'section 8.1: the first byte has the number behind RINGS')
    a.send(b'y')
    true(second.heard(), NEVER_LESS)
    equal(a.recv_data(), [b'y'], 'first in, first out')
    found_nothing(second, a.try_recv(TIMEOUT_MS=0))
    first.close()
    second.close()


@case('it hangs up with its attachment and with its session')
def ends(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    mine, theirs = a.watch(RECEIVER), b.watch(RECEIVER)
    a.detach()
    true(mine.hung_up(), 'section 8.1: when the attachment has ended')
    true(theirs.silent(), 'another one has not')
    other.bye()
    true(theirs.hung_up(), 'section 8.1: when the session has ended')
    mine.close()
    theirs.close()


@case('it outlives the connection, and rings when that breaks')
def outlives(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    bell = a.watch(RECEIVER)
    found_nothing(bell, a.try_recv(TIMEOUT_MS=0))
    s.cut()
    true(bell.heard(), "section 8.1: rings when the session's connection has broken")
    b.send(b'x')
    s.resume()
    equal(a.recv_data(TIMEOUT_MS=0), [b'x'], 'section 5.3')
    found_nothing(bell, a.try_recv(TIMEOUT_MS=0))
    b.send(b'y')
    true(bell.heard(), NEVER_LESS)
    equal(a.recv_data(TIMEOUT_MS=0), [b'y'], 'a try')
    bell.close()


@case('a reply that was lost is asked for again')
def lost(t):
    s = t.session()
    a = s.make(t.name)
    number = s.start('CHAN_WATCH', ATTACH=a.number, ROLES=RECEIVER)
    s.lose()
    gone = Bell(s.conn.descriptors.pop(0), 0)
    s.cut()
    equal(s.resume(), [number], 'section 5.3: those the daemon does not know')
    reply = s.wait(number)
    equal(reply.result, 'OK', 'section 8.1: asked for again')
    bell = Bell(s.conn.descriptors.pop(0), reply.get('RINGS'))
    true(gone.hung_up(), 'section 8.1: what it held has hung up then')
    a.send(b'x')
    true(bell.heard(), NEVER_LESS)
    equal(a.recv_data(), [b'x'], 'first in, first out')
    found_nothing(bell, a.try_recv(TIMEOUT_MS=0))
    gone.close()
    bell.close()


@case('who never takes the bytes out is cut off')
def overflow(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    bell = a.watch(RECEIVER)
    error = None
    try:
        for _ in range(5000):
            equal(a.try_recv(TIMEOUT_MS=0).result, 'AGAIN', 'section 4: a try found nothing to do')
            b.send(b'x')
            b.recv_data()
    except Closed as closed:
        # what is written to a connection that was closed does not tell why that was
        error = closed.error or s.conn.read()
    true(error, 'section 8.1: cut off once no more go in')
    equal((error.kind, error.result), ('ERROR', 'DQUOT'), 'section 8.1')
    true(bell.hung_up(), 'section 8.1: when the session has ended')
    bell.close()


@case('descriptors are limited, and the limit is named')
def limits(t):
    t.own_daemon('{ "user_limits": { "descriptors": 2 } }')
    s = t.session()
    a = s.make(t.name)
    bells = [a.watch(SENDER), a.watch(RECEIVER)]
    # in place of one it has
    bells.append(a.watch(RECEIVER))
    b = s.attach(t.name)
    reply = s.call('CHAN_WATCH', ATTACH=b.number, ROLES=SENDER)
    equal((reply.result, 'user_limits.descriptors' in reply.get('DETAIL')), ('DQUOT', True),
          'section 6, CHAN_WATCH: DQUOT names the limit')
    a.detach()
    bells.append(b.watch(SENDER))
    for bell in bells:
        bell.close()


@case('a client that gives no room loses the descriptor and nothing else')
def no_room(t):
    s = t.session()
    a = s.make(t.name, BUFFERED)
    s.conn.blind = True
    s.must('CHAN_WATCH', ATTACH=a.number, ROLES=RECEIVER)
    equal(s.conn.descriptors, [], 'no room')
    a.send(b'x')
    equal(a.recv_data(), [b'x'], 'section 2: nothing else')
