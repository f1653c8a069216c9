# SPDX-License-Identifier: BSD-3-Clause
"""Sections 5.3 and 7: what becomes of elements when a connection breaks."""
import kcoro_wire as wire
from harness import balanced, befores, case, data_of, equal
from kcoro_wire import LEASE, OFFER, PROVISIONAL, RECEIVER, RENDEZVOUS, SENDER

LONG = 60000  # ms: a lease that does not lapse within a test


@case('a reply to RECV that was not read: its elements come again with it')
def recv_reply_lost(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    a.send(b'1', b'2', b'3')
    wait = a.start_recv(COUNT=2)
    lost = s.lose()
    equal((lost.kind, lost.get('COUNT')), ('RECV', 2), 'the reply that is lost')
    s.cut()
    equal(b.recv_data(TIMEOUT_MS=0), [b'3'], 'section 1: a delivery stays on the books')
    equal(s.resume(), [], 'section 5.3')
    reply = s.wait(wait)
    equal((reply.get('DELIVERY'), reply.get('ELEMENTS'), reply.seq),
          (1, lost.get('ELEMENTS'), lost.seq), 'section 5.3: the kept replies')
    a.taken(a.deliveries(reply))
    s.barrier()
    equal([k for k, _ in s.order if k == 'DELIVER'], [], 'section 5.3: unless their reply was among those')
    stats = s.stats(t.name)
    equal((stats['length'], stats['sent']), (0, 3), 'section 3')


@case('TAKEN that was lost with the connection is made good')
def taken_lost(t):
    s, other = t.session(), t.session()
    a = s.make(t.name)
    a.send(b'1', b'2')
    got = a.deliveries(a.try_recv(COUNT=2))
    # the program has it; the notice is lost
    a.untaken.clear()
    s.cut()
    s.resume()
    s.barrier()
    stats = s.stats(t.name)
    equal((len(got), stats['received'], stats['length']), (2, 2, 0), 'section 5.3: counts as TAKEN')
    other.attach(t.name)
    s.bye()
    stats = other.stats(t.name)
    equal((stats['received'], stats['queued']), (2, 0), 'section 5.3: and does not return')


@case('deliveries that were seen and are not taken stay given')
def untaken(t):
    s = t.session()
    a = s.make(t.name, roles=SENDER)
    b = s.attach(t.name, roles=RECEIVER, CREDIT=4)
    a.send(*(b'%d' % i for i in range(6)))
    b.ahead_data(4)
    b.take_ahead(1)
    b.ahead_data(4)
    s.cut()
    equal(s.resume(), [], 'section 5.3')
    s.barrier()
    equal(data_of(b.ahead), [b'1', b'2', b'3', b'4'], 'section 5.3: nothing is sent twice')
    stats = s.stats(t.name)
    equal((stats['received'], stats['length']), (1, 5), 'section 5.3: RANGES: not yet taken')
    equal([d.number for d in b.take_ahead(4)], [2, 3, 4, 5], 'section 5.3')
    equal(b.ahead_data(1), [b'5'], 'section 7.3: the credit is as before')


@case('deliveries that were not seen come again with their old numbers')
def delivers_lost(t):
    s = t.session()
    a = s.make(t.name, roles=SENDER)
    b = s.attach(t.name, roles=RECEIVER, CREDIT=3)
    a.send(b'0')
    b.ahead_data(1)
    number = a.start_send(b'1', b'2')
    lost = []
    while sum(f.get('COUNT') for f in lost if f.kind == 'DELIVER') < 2 or number not in [f.id for f in lost]:
        lost.append(s.lose())
    s.cut()
    equal(s.resume(), [], 'section 5.3')
    equal(s.wait(number).result, 'OK', 'section 5.3: the kept replies')
    equal(b.ahead_data(3), [b'0', b'1', b'2'], 'section 5.3: the deliveries above each DELIVERY')
    equal([d.number for d in b.ahead], [1, 2, 3], 'section 5.3: with their old numbers')
    b.take_ahead(3)
    stats = s.stats(t.name)
    equal((stats['received'], stats['length']), (3, 0), 'section 3')


@case('what comes again comes in rising order, so that the next cut loses nothing')
def rising(t):
    s = t.session()
    a = s.make(t.name, roles=SENDER)
    b = s.attach(t.name, roles=RECEIVER, CREDIT=1)
    send = a.start_send(b'1', b'2')
    b.start_recv()
    lost = [s.lose() for _ in range(3)]
    equal({f.kind: f.get('DELIVERY') for f in lost}, {'DELIVER': 1, 'SEND': None, 'RECV': 2}, 'section 7.1')
    s.cut()
    s.resume()
    s.wait(send)
    # of the two deliveries only one arrives, then the connection breaks again
    while not b.highest:
        s.pump()
    equal(b.highest, 1, "section 5.3: the numbers of each attachment's deliveries rise")
    s.cut()
    s.resume()
    while b.highest < 2:
        s.pump()
    stats = s.stats(t.name)
    equal(data_of(b.ahead), [b'1'], 'section 5.3: nothing lost')
    equal(stats['sent'] - stats['length'] - stats['received'], 0, 'section 3')


@case('an attachment whose reply was lost, with elements given ahead to it')
def open_lost(t):
    s, other = t.session(), t.session()
    other.make(t.name).send(b'1', b'2')
    wait = s.start('CHAN_OPEN', NAME=t.name, ROLES=RECEIVER, CREDIT=5)
    lost = s.lose()
    equal(lost.id, wait, 'the reply that is lost')
    s.cut()
    equal(s.resume(), [], 'section 5.3')
    reply = s.wait(wait)
    equal(reply.get('ATTACH'), lost.get('ATTACH'), 'section 5.3: the same attachment')
    a = s.attachments[reply.get('ATTACH')]
    equal(a.ahead_data(2), [b'1', b'2'], 'section 5.3: DELIVERY 0')
    equal(other.stats(t.name)['receivers attached'], 2, 'once')


@case('leases run on while there is no connection')
def leases(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    a.send(b'1', b'2')
    got = a.lease(COUNT=1, LEASE_MS=LONG)
    short = a.lease(COUNT=1, LEASE_MS=80)
    s.cut()
    again = b.recv()
    equal((data_of(again), befores(again)), ([b'2'], [1]), 'section 5.3: its leases run')
    s.resume()
    equal(a.settle('ACK', got).get('COUNT'), 1, 'section 5.3')
    equal(a.settle('ACK', short).result, 'NOENT', 'section 7.2: it lapsed')
    balanced(s.stats(t.name))


@case('an ACK whose reply was lost is not counted twice')
def ack_lost(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1', b'2')
    got = a.lease(COUNT=2, LEASE_MS=LONG)
    wait = s.start('ACK', ATTACH=a.number, RANGES=wire.to_ranges(d.number for d in got))
    s.lose()
    s.cut()
    s.resume()
    reply = s.wait(wait)
    equal((reply.result, reply.get('COUNT')), ('OK', 2), 'section 5.3: answered, not repeated')
    equal(s.stats(t.name)['received'], 2, 'once')


@case('channels are made once')
def make_lost(t):
    s = t.session()
    wait = s.start('CHAN_MAKE', NAME=t.name, KIND=1, ELEM_SIZE=0, CAPACITY=1, ROLES=3)
    s.lose()
    s.cut()
    s.resume()
    equal(s.wait(wait).get('FLAGS'), wire.CREATED, 'section 5.3: the kept reply')
    equal(s.stats(t.name)['senders attached'], 1, 'once')


@case('rendezvous: the receiver is cut before it confirms')
def rendezvous_cut(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, kind=RENDEZVOUS), other.attach(t.name)
    send = a.start_send(b'x')
    reply = b.try_recv()
    equal(reply.get('FLAGS'), PROVISIONAL, 'section 7.2')
    got = b.deliveries(reply)
    # the TAKEN request is lost on its way
    lost = other.promise('TAKEN', ATTACH=b.number, RANGES=wire.to_ranges(d.number for d in got))
    other.cut()
    equal(other.resume(), [lost.id], 'section 5.3: it never arrived')
    equal(other.wait(lost.id).result, 'OK', 'section 7.2')
    equal(s.wait(send).result, 'OK', 'section 8')
    stats = s.stats(t.name)
    equal((stats['sent'], stats['received']), (1, 1), 'section 3')


@case('rendezvous: the reply to TAKEN is lost')
def rendezvous_taken_lost(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, kind=RENDEZVOUS), other.attach(t.name)
    send = a.start_send(b'x')
    got = b.deliveries(b.try_recv())
    wait = other.start('TAKEN', ATTACH=b.number, RANGES=wire.to_ranges(d.number for d in got))
    equal(other.lose().kind, 'TAKEN', 'the reply that is lost')
    other.cut()
    equal(s.wait(send).result, 'OK', 'section 8')
    equal(other.resume(), [], 'section 5.3')
    equal(other.wait(wait).result, 'OK', 'section 5.3: the kept reply')


@case('rendezvous: the sender gives up while the receiver is cut')
def rendezvous_gone(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, kind=RENDEZVOUS), other.attach(t.name)
    send = a.start_send(b'x')
    got = b.deliveries(b.try_recv())
    other.cut()
    s.must('CANCEL', REQUEST=send)
    result = s.wait(send).result
    equal(result, 'CANCELED', 'section 8: the delivery is withdrawn')
    other.resume()
    equal(b.confirm(got).result, 'NOENT', 'section 7.2')
    stats = s.stats(t.name)
    equal((stats['sent'], stats['received']), (0, 0), 'section 3')


@case('an offer that is not settled is sent again')
def offer_again(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1')
    wait = a.start_recv(FLAGS=OFFER)
    equal(s.lose().kind, 'OFFER', 'the event that is lost')
    s.cut()
    equal(s.resume(), [], 'section 5.3')
    equal(s.event('OFFER').get('REQUEST'), wait, 'section 5.3: then unsettled OFFERs')
    equal(s.must('CLAIM', REQUEST=wait).result, 'OK', 'section 9')
    equal(data_of(a.deliveries(s.wait(wait))), [b'1'], 'section 9')


@case('a CLAIM whose reply was lost')
def claim_lost(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1')
    wait = a.start_recv(FLAGS=OFFER)
    s.event('OFFER')
    claim = s.start('CLAIM', REQUEST=wait)
    s.lose()
    s.lose()
    s.cut()
    equal(s.resume(), [], 'section 5.3')
    equal(s.wait(claim).result, 'OK', 'section 5.3')
    equal(data_of(a.deliveries(s.wait(wait))), [b'1'], 'section 5.3: both were kept')


@case('a stream that is cut again and again: nothing lost, nothing twice')
def stream(t):
    s, other = t.session(), t.session()
    a = s.make(t.name, CAPACITY=50, elem_size=4, roles=SENDER)
    b = other.attach(t.name, roles=RECEIVER, CREDIT=20)
    items = [i.to_bytes(4, 'little') for i in range(2000)]
    sent, got, step = 0, [], 0
    while len(got) < len(items):
        step += 1
        send = a.start_send(*items[sent:sent + 30]) if sent < len(items) else None
        if step % 3 == 0:
            # what was under way to us may have come or not
            s.conn.close()
            s.resume()
        b.ahead_data(1)
        got += data_of(b.take_ahead(1 + len(b.ahead) // 2))
        if step % 5 == 0:
            other.conn.close()
            other.resume()
        if send:
            sent += s.wait(send).get('COUNT')
    equal(got, items, 'section 5.3: nothing lost, nothing twice, in order')
    stats = s.stats(t.name)
    equal((stats['sent'], stats['received'], stats['length']), (2000, 2000, 0), 'section 3')


@case('deliveries of a session that was cut are leases as before')
def lease_again(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1')
    wait = a.start_recv(FLAGS=LEASE, LEASE_MS=LONG)
    s.lose()
    s.cut()
    s.resume()
    got = a.deliveries(s.wait(wait))
    equal(s.stats(t.name)['leased'], 1, 'section 7.2: with LEASE')
    equal(a.settle('ACK', got).get('COUNT'), 1, 'section 7.2')
