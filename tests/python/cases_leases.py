# SPDX-License-Identifier: BSD-3-Clause
"""Section 7: deliveries, leases, what is given ahead, what returns."""
from harness import balanced, befores, case, data_of, equal, one_of, true
from kcoro_wire import CONFLATED, LEASE, LEASES_ONLY, RECEIVER, RENDEZVOUS, SENDER

LONG = 60000  # ms: a lease that does not lapse within a test


@case('a lease that is acknowledged')
def ack(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1', b'2', b'3')
    got = a.lease(COUNT=2, LEASE_MS=LONG)
    stats = s.stats(t.name)
    equal((stats['leased'], stats['received'], stats['queued']), (2, 0, 1), 'section 7.2, with LEASE')
    equal(a.settle('ACK', got).get('COUNT'), 2, 'section 7.2: for how many this was possible')
    reply = a.settle('ACK', got)
    equal(reply.result, 'NOENT', 'section 7.2: with none at all the result is NOENT')
    stats = s.stats(t.name)
    equal((stats['leased'], stats['received']), (0, 2), 'section 7.2: ACK makes the element received')
    balanced(stats)


@case('ACK counts only what was possible')
def ack_some(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1', b'2', b'3', b'4')
    got = a.lease(COUNT=4)
    equal(a.settle('ACK', got[1:2]).get('COUNT'), 1, 'section 7.2')
    reply = s.call('ACK', ATTACH=a.number, RANGES=[(1, 3), (77, 5)])
    equal((reply.result, reply.get('COUNT')), ('OK', 2), 'section 7.2: acknowledged before, or unknown')
    reply = s.call('ACK', ATTACH=a.number, RANGES=[(1, 1 << 63)])
    equal((reply.result, reply.get('COUNT')), ('OK', 1), 'section 7.2: a range may be long')


@case('ACK without TAKEN before it')
def ack_implies(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1', b'2')
    got = a.deliveries(a.try_recv(COUNT=2, FLAGS=LEASE, LEASE_MS=LONG))
    equal(a.settle('ACK', got[:1]).get('COUNT'), 1, 'section 7.2: ACK, NACK and EXTEND imply TAKEN')
    equal(a.settle('NACK', got[1:]).get('COUNT'), 1, 'section 7.2')
    equal(befores(a.recv()), [1], 'section 7.4: marked')


@case('NACK returns elements to their place')
def nack(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1', b'2', b'3', b'4')
    got = a.lease(COUNT=3)
    equal(a.settle('NACK', [got[2]]).get('COUNT'), 1, 'section 7.2')
    equal(a.settle('NACK', [got[0]]).get('COUNT'), 1, 'section 7.2')
    again = a.lease(COUNT=9)
    equal((data_of(again), befores(again)), ([b'1', b'3', b'4'], [1, 1, 0]),
          'section 7.4: in front of everything sent after it; marked')
    a.settle('NACK', again[:1])
    equal(befores(a.lease()), [2], 'section 3, DELIVERED_BEFORE: deliveries before this one')
    equal(s.stats(t.name)['redelivered'] >= 2, True, 'section 3, STATISTICS')


@case('a lease that lapses returns its element')
def lapse(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    a.send(b'1', b'2')
    got = a.lease(COUNT=2, LEASE_MS=60)
    again = b.recv(COUNT=2)
    while len(again) < 2:
        again += b.recv(COUNT=2)
    equal((data_of(again), befores(again)), ([b'1', b'2'], [1, 1]), 'section 7.2: a lease that lapses')
    for kind, more in (('ACK', {}), ('NACK', {}), ('EXTEND', {'LEASE_MS': 10})):
        equal(a.settle(kind, got, **more).result, 'NOENT', f'section 7.2: {kind} of a lease that lapsed')
    balanced(s.stats(t.name))


@case('a leased element that is not TAKEN lapses as well')
def lapse_untaken(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    a.send(b'1')
    a.deliveries(a.try_recv(FLAGS=LEASE, LEASE_MS=60))
    equal(data_of(b.recv()), [b'1'], 'section 7.2')


@case('EXTEND starts a lease anew')
def extend(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    a.send(b'1', b'2')
    got = a.lease(COUNT=2, LEASE_MS=400)
    equal(a.settle('EXTEND', got[:1], LEASE_MS=LONG).get('COUNT'), 1, 'section 7.2')
    equal(data_of(b.recv()), [b'2'], 'the other lapses')
    equal(b.try_recv(TIMEOUT_MS=500).result, 'TIME', 'section 7.2: EXTEND starts the lease anew')
    reply = a.settle('EXTEND', got, LEASE_MS=1)
    equal(reply.get('COUNT'), 1, 'section 7.2: those that lapsed are not counted')
    equal(data_of(b.recv()), [b'1'], 'and shorter')


@case("an attachment's leases have the length it was opened with")
def lease_length(t):
    s, other = t.session(), t.session()
    s.make(t.name, roles=SENDER).send(b'1', b'2')
    a = s.attach(t.name, roles=RECEIVER, LEASE_MS=50)
    b = other.attach(t.name)
    a.lease(COUNT=1)
    kept = a.lease(COUNT=1, LEASE_MS=LONG)
    equal(data_of(b.recv()), [b'1'], "section 6, RECV: default: the attachment's")
    equal(a.settle('ACK', kept).get('COUNT'), 1, 'section 6, RECV: for LEASE_MS')


@case('bounds of a lease')
def lease_bounds(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1')
    for ms in (0, 86400001):
        one_of(a.try_recv(FLAGS=LEASE, LEASE_MS=ms, TIMEOUT_MS=0).result, ('INVAL', 'MSGSIZE'), 'section 12')
    got = a.lease(LEASE_MS=86400000)
    equal(a.settle('EXTEND', got, LEASE_MS=86400000).get('COUNT'), 1, 'section 12')


@case('a channel or an attachment that demands leases')
def leases_only(t):
    s = t.session()
    a = s.make(t.name, CHAN_FLAGS=LEASES_ONLY)
    b = s.make(t.name + '-2')
    c = s.attach(t.name + '-2', FLAGS=LEASE)
    for sender, receiver in ((a, a), (b, c)):
        sender.send(b'1')
        reply = receiver.try_recv(TIMEOUT_MS=0)
        true(reply.result not in ('OK', 'AGAIN'), f'sections 3 and 6: leases only; got {reply!r}')
        equal(receiver.settle('ACK', receiver.lease(LEASE_MS=LONG)).get('COUNT'), 1, 'a lease is fine')


@case('the end of a session returns its leases')
def lease_bye(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    a.send(b'1', b'2')
    b.lease(COUNT=2, LEASE_MS=LONG)
    other.bye()
    got = a.recv(COUNT=2)
    equal((data_of(got), befores(got)), ([b'1', b'2'], [1, 1]), 'section 7.2: so does the end of the session')


@case('a returned element lifts the length above the capacity')
def above_capacity(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, CAPACITY=2), other.attach(t.name)
    a.send(b'1', b'2')
    got = b.lease(COUNT=2, LEASE_MS=LONG)
    a.send(b'3', b'4')
    b.settle('NACK', got)
    stats = s.stats(t.name)
    equal((stats['length'], stats['leased']), (4, 0), 'section 7.4')
    equal(a.try_send(b'5', TIMEOUT_MS=0).result, 'AGAIN', 'section 7.4: senders then wait')
    wait = a.start_send(b'5')
    equal(b.recv_data(COUNT=2), [b'1', b'2'], 'section 7.4: in front')
    s.barrier()
    true(wait not in s.replies, 'section 7.4: still at its capacity')
    equal(b.recv_data(), [b'3'], 'in order')
    equal(s.wait(wait).result, 'OK', 'room again')


@case('an element only given is unmarked if nothing overtook it')
def unmarked(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name, roles=RECEIVER)
    a.send(b'1', b'2')
    b.deliveries(b.try_recv(COUNT=1))
    b.detach()
    got = a.recv(COUNT=9)
    equal((data_of(got), befores(got)), ([b'1', b'2'], [0, 0]), 'section 7.4')


@case('an element only given is marked if one sent after it was given to another')
def overtaken(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name, roles=RECEIVER)
    a.send(b'1', b'2', b'3')
    b.deliveries(b.try_recv(COUNT=1))
    equal(a.recv_data(), [b'2'], 'given to another receiver meanwhile')
    b.detach()
    got = a.recv(COUNT=9)
    equal((data_of(got), befores(got)), ([b'1', b'3'], [1, 0]), 'section 7.4')


@case('unknown deliveries are left alone')
def unknown(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1')
    s.notice('TAKEN', ATTACH=a.number, RANGES=[(1, 1), (50, 3)])
    s.notice('RETURN', ATTACH=a.number, RANGES=[(1, 1)])
    s.notice('RETURN', ATTACH=a.number)
    for kind, more in (('ACK', {}), ('NACK', {}), ('EXTEND', {'LEASE_MS': 10}), ('TAKEN', {})):
        reply = s.call(kind, ATTACH=a.number, RANGES=[(1, 1)], **more)
        equal(reply.result, 'NOENT', f'section 7.2: {kind}')
    got = a.recv()
    equal((data_of(got), [d.number for d in got]), ([b'1'], [1]), 'section 7.2: no effect')


# ---- given ahead

@case('CREDIT gives ahead, as many as it says')
def credit(t):
    s = t.session()
    a = s.make(t.name)
    b = s.attach(t.name, roles=RECEIVER, CREDIT=3)
    a.send(*(b'%d' % i for i in range(6)))
    equal(b.ahead_data(3), [b'0', b'1', b'2'], 'section 7.3: while it has fewer than n given and untaken')
    s.barrier()
    equal(len(b.ahead), 3, 'section 7.3: at one time')
    stats = s.stats(t.name)
    equal((stats['length'], stats['queued']), (6, 6),
          "section 7.3: counts in the channel's length until TAKEN")
    equal([d.number for d in b.take_ahead(2)], [1, 2], 'section 7.1')
    equal(b.ahead_data(3), [b'2', b'3', b'4'], 'section 7.3: TAKEN makes room for more')
    stats = s.stats(t.name)
    equal((stats['length'], stats['received']), (4, 2), 'section 7.3')
    balanced(stats)


@case('CREDIT is set, raised and lowered by the message of that name')
def credit_set(t):
    s = t.session()
    a = s.make(t.name)
    a.send(*(b'%d' % i for i in range(6)))
    equal(s.must('CREDIT', ATTACH=a.number, CREDIT=2).result, 'OK', 'section 6, CREDIT')
    equal(a.ahead_data(2), [b'0', b'1'], 'section 7.3')
    s.must('CREDIT', ATTACH=a.number, CREDIT=3)
    equal(a.ahead_data(3), [b'0', b'1', b'2'], 'section 7.3')
    s.must('CREDIT', ATTACH=a.number, CREDIT=0)
    a.take_ahead(3)
    s.barrier()
    equal(a.ahead, [], 'section 7.3: up to none')
    equal(a.recv_data(COUNT=9), [b'3', b'4', b'5'], 'the rest')
    one_of(s.call('CREDIT', ATTACH=a.number, CREDIT=65537).result, ('INVAL', 'MSGSIZE'), 'section 12')


@case('elements given ahead occupy their places')
def credit_capacity(t):
    s = t.session()
    a = s.make(t.name, CAPACITY=2, roles=SENDER)
    b = s.attach(t.name, roles=RECEIVER, CREDIT=8)
    a.send(b'1', b'2')
    b.ahead_data(2)
    equal(a.try_send(b'3', TIMEOUT_MS=0).result, 'AGAIN', 'section 7.3: counts in the capacity until TAKEN')
    wait = a.start_send(b'3')
    b.take_ahead(1)
    equal(s.wait(wait).result, 'OK', 'section 7.3: until it is TAKEN')
    equal(b.ahead_data(2), [b'2', b'3'], 'section 7.3')


@case('a RECV that waits comes before what is given ahead')
def recv_first(t):
    s, other = t.session(), t.session()
    a = s.make(t.name, roles=SENDER)
    b = other.attach(t.name, roles=RECEIVER)
    wait = b.start_recv()
    other.barrier()
    c = s.attach(t.name, roles=RECEIVER, CREDIT=4)
    a.send(b'1')
    equal(data_of(b.deliveries(other.wait(wait))), [b'1'], 'section 7.3: RECV requests that wait come first')
    s.barrier()
    equal(c.ahead, [], 'section 7.3')


@case('CREDIT has no effect on rendezvous and conflated channels')
def credit_none(t):
    s = t.session()
    for kind in (RENDEZVOUS, CONFLATED):
        a = s.make(f'{t.name}-{kind}', kind=kind, CREDIT=5)
        s.must('CREDIT', ATTACH=a.number, CREDIT=4)
        a.start_send(b'x')
        s.barrier()
        equal(a.ahead, [], 'section 6, CREDIT')
        equal(data_of(a.recv()), [b'x'], 'RECV works')


@case('RECALL: another receiver gets what was given ahead')
def recall(t):
    s, other = t.session(), t.session()
    a = s.make(t.name, roles=SENDER)
    b = s.attach(t.name, roles=RECEIVER, CREDIT=10)
    c = other.attach(t.name, roles=RECEIVER)
    a.send(b'1', b'2', b'3')
    b.ahead_data(3)
    wait = c.start_recv()
    event = s.event('RECALL')
    equal(event.get('ATTACH'), b.number, 'section 7.3')
    true(event.get('COUNT') >= 1, 'section 7.3: COUNT elements are wanted')
    equal(b.give_back(1), [3], 'section 7.3: the highest ones')
    got = c.deliveries(other.wait(wait))
    equal((data_of(got), befores(got)), ([b'3'], [0]), 'section 7.4: unmarked, nothing overtook it')
    c.taken(got)
    equal(data_of(b.take_ahead(2)), [b'1', b'2'], 'what was kept')
    stats = s.stats(t.name)
    equal((stats['received'], stats['length']), (3, 0), 'section 3')


@case('RECALL that finds nothing to spare; nothing more ahead while others wait')
def recall_none(t):
    s, other = t.session(), t.session()
    a = s.make(t.name, roles=SENDER)
    b = s.attach(t.name, roles=RECEIVER, CREDIT=10)
    c = other.attach(t.name, roles=RECEIVER)
    a.send(b'1')
    b.ahead_data(1)
    waits = [c.start_recv(), c.start_recv()]
    s.event('RECALL')
    a.send(b'2')
    equal(data_of(c.deliveries(other.wait(waits[0]))), [b'2'], 'section 7.3: RECV comes first')
    b.give_back(0)
    s.barrier()
    true(waits[1] not in other.replies, 'section 7.3: it has none to spare')
    b.take_ahead(1)
    a.send(b'3')
    equal(data_of(c.deliveries(other.wait(waits[1]))), [b'3'],
          'section 7.3: while others wait, nothing either')
    s.barrier()
    equal(b.ahead, [], 'section 7.3')
    a.send(b'4')
    equal(b.ahead_data(1), [b'4'], 'section 7.3: nobody waits any more')


@case('nothing more is given ahead until RECALL is answered')
def recall_unanswered(t):
    s, other = t.session(), t.session()
    a = s.make(t.name, roles=SENDER)
    b = s.attach(t.name, roles=RECEIVER, CREDIT=10)
    c = other.attach(t.name, roles=RECEIVER)
    a.send(b'1')
    b.ahead_data(1)
    wait = c.start_recv()
    s.event('RECALL')
    a.send(b'2')
    equal(data_of(c.deliveries(other.wait(wait))), [b'2'], 'section 7.3: RECV comes first')
    a.send(b'3')
    s.barrier()
    equal(len(b.ahead), 1, 'section 7.3: until it has, it is given nothing more ahead')
    b.give_back(0)
    equal(b.ahead_data(2), [b'1', b'3'], 'section 7.3: and afterwards it is')


@case('RETURN unasked')
def return_unasked(t):
    s, other = t.session(), t.session()
    a = s.make(t.name, roles=SENDER)
    b = s.attach(t.name, roles=RECEIVER, CREDIT=10)
    c = other.attach(t.name, roles=RECEIVER)
    a.send(b'1', b'2', b'3')
    b.ahead_data(3)
    s.must('CREDIT', ATTACH=b.number, CREDIT=0)
    equal(b.give_back(2), [2, 3], 'section 7.3: it may send RETURN unasked as well')
    s.barrier()
    got = c.recv(COUNT=9)
    equal((data_of(got), befores(got)), ([b'2', b'3'], [0, 0]), 'section 7.4')
    equal(b.ahead_data(1), [b'1'], 'what was kept')


@case('what is given ahead as leases')
def credit_lease(t):
    s = t.session()
    a = s.make(t.name, roles=SENDER)
    b = s.attach(t.name, roles=RECEIVER, FLAGS=LEASE, CREDIT=4, LEASE_MS=LONG)
    a.send(b'1', b'2', b'3')
    b.ahead_data(3)
    got = b.take_ahead(3)
    stats = s.stats(t.name)
    equal((stats['leased'], stats['received']), (3, 0), 'section 6, CHAN_OPEN: given as leases')
    equal(b.settle('ACK', got[:1]).get('COUNT'), 1, 'section 7.2')
    equal(b.settle('NACK', got[1:2]).get('COUNT'), 1, 'section 7.2')
    equal(b.ahead_data(1), [b'2'], 'a returned element is given ahead again')
    equal((b.ahead[0].before, b.ahead[0].number), (1, 4), 'sections 7.1 and 7.4')
    balanced(s.stats(t.name))


@case('elements given ahead return when their attachment is detached')
def credit_detach(t):
    s = t.session()
    a = s.make(t.name)
    b = s.attach(t.name, roles=RECEIVER, CREDIT=4)
    a.send(b'1', b'2', b'3')
    b.ahead_data(3)
    b.take_ahead(1)
    b.detach()
    got = a.recv(COUNT=9)
    equal((data_of(got), befores(got)), ([b'2', b'3'], [0, 0]), 'section 7.2: given elements return')


@case('a closed channel: what was given ahead is drained, then PIPE')
def credit_close(t):
    s = t.session()
    a = s.make(t.name, roles=SENDER)
    b = s.attach(t.name, roles=RECEIVER, CREDIT=1)
    a.send(b'1', b'2')
    b.ahead_data(1)
    s.must('CHAN_CLOSE', NAME=t.name)
    equal(data_of(b.take_ahead(1)), [b'1'], 'section 10: receivers drain what is given ahead')
    equal(b.ahead_data(1), [b'2'], 'section 10: and what is queued')
    b.take_ahead(1)
    equal(b.try_recv().result, 'PIPE', 'section 10: then PIPE')


@case('deliveries that come ahead and with RECV are numbered together')
def numbers_together(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1', b'2', b'3', b'4')
    s.must('CREDIT', ATTACH=a.number, CREDIT=2)
    a.ahead_data(2)
    got = a.recv(COUNT=2)
    equal(([d.number for d in a.ahead], [d.number for d in got]), ([1, 2], [3, 4]), 'section 7.1')
