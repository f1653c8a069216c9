# SPDX-License-Identifier: BSD-3-Clause
"""Section 9: requests that are offered first."""
import time

from harness import balanced, befores, case, data_of, equal, true
from kcoro_wire import OFFER, PROVISIONAL, RECEIVER, RENDEZVOUS, SENDER


def offered(session, number):
    equal(session.event('OFFER').get('REQUEST'), number, 'section 9: the daemon sends OFFER')


def claim(session, number):
    """CLAIM of an offer that stands: the request's reply."""
    claimed = session.start('CLAIM', REQUEST=number)
    equal(session.wait(claimed).result, 'OK', 'section 9: the reply to CLAIM is OK')
    return session.wait(number)


@case('RECV offered and claimed')
def recv_claim(t):
    s = t.session()
    a = s.make(t.name)
    wait = a.start_recv(FLAGS=OFFER)
    s.barrier()
    equal(s.events, [], 'section 9: when it could take effect')
    a.send(b'1')
    offered(s, wait)
    stats = s.stats(t.name)
    equal((stats['queued'], stats['length']), (1, 1), 'section 9: an offered element counts as queued')
    claimed = s.start('CLAIM', REQUEST=wait)
    equal(s.wait(claimed).result, 'OK', 'section 9')
    equal(s.order[-2:], [('RECV', wait), ('CLAIM', claimed)],
          "section 9: the request's reply is sent before that of CLAIM")
    got = a.deliveries(s.wait(wait))
    equal(data_of(got), [b'1'], 'section 9: its normal reply')
    a.taken(got)
    balanced(s.stats(t.name))


@case('RECV offered and declined: the element returns unmarked')
def recv_decline(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    a.send(b'1', b'2')
    wait = a.start_recv(FLAGS=OFFER)
    offered(s, wait)
    equal(data_of(b.recv()), [b'2'], 'section 9: the element is reserved')
    equal(s.must('DECLINE', REQUEST=wait).result, 'OK', 'section 9')
    equal(s.wait(wait).result, 'CANCELED', 'section 9: it is answered with CANCELED')
    got = b.recv()
    equal((data_of(got), befores(got)), ([b'1'], [0]), 'section 9: returns to its place, unmarked')


@case('CANCEL of a request that is offered')
def recv_cancel(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1')
    wait = a.start_recv(FLAGS=OFFER)
    offered(s, wait)
    s.must('CANCEL', REQUEST=wait)
    equal(s.wait(wait).result, 'CANCELED', 'section 9')
    equal(a.recv_data(), [b'1'], 'section 9')


@case('an offer that is not settled is withdrawn')
def withdrawn(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    a.send(b'1')
    wait = a.start_recv(FLAGS=OFFER)
    offered(s, wait)
    start = time.monotonic()
    equal(data_of(b.recv()), [b'1'], 'section 9: as if the request had just begun to wait')
    seconds = time.monotonic() - start
    true(0.5 < seconds < 5, f'section 9: within one second, took {seconds:.3f}')
    equal(s.call('CLAIM', REQUEST=wait).result, 'AGAIN', 'section 9: a CLAIM that comes later')
    a.send(b'2')
    offered(s, wait)
    equal(data_of(a.deliveries(claim(s, wait))), [b'2'], 'section 9: the request waits on')


@case('SEND offered and claimed')
def send_claim(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, CAPACITY=1), other.attach(t.name)
    wait = a.start_send(b'1', FLAGS=OFFER)
    offered(s, wait)
    equal(b.try_send(b'2', TIMEOUT_MS=0).result, 'AGAIN', 'section 9: the place is reserved')
    equal(b.try_recv(TIMEOUT_MS=0).result, 'AGAIN', 'section 9: it does not take effect by itself')
    equal(claim(s, wait).get('COUNT'), 1, 'section 9: its normal reply')
    equal(b.recv_data(), [b'1'], 'section 9: carried out')


@case('SEND offered when there is room, and declined')
def send_decline(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, CAPACITY=1), other.attach(t.name)
    b.send(b'1')
    wait = a.start_send(b'2', FLAGS=OFFER)
    s.barrier()
    equal(s.events, [], 'section 9: when it could take effect')
    b.recv()
    offered(s, wait)
    s.must('DECLINE', REQUEST=wait)
    equal(s.wait(wait).result, 'CANCELED', 'section 9')
    equal(b.send(b'3', TIMEOUT_MS=0), 1, 'section 9: what was reserved returns')
    equal(b.recv_data(COUNT=9), [b'3'], 'what was declined was not sent')
    balanced(s.stats(t.name))


@case('an OFFER request that cannot proceed, with TIMEOUT_MS 0')
def offer_try(t):
    s = t.session()
    a = s.make(t.name, CAPACITY=1)
    equal(a.try_recv(FLAGS=OFFER, TIMEOUT_MS=0).result, 'AGAIN', 'section 9: AGAIN at once')
    a.send(b'x')
    equal(a.try_send(b'y', FLAGS=OFFER, TIMEOUT_MS=0).result, 'AGAIN', 'section 9: AGAIN at once')


@case('the deadline of an OFFER request')
def offer_deadline(t):
    s = t.session()
    a = s.make(t.name)
    equal(a.try_recv(FLAGS=OFFER, TIMEOUT_MS=40).result, 'TIME', 'section 8')


@case('OFFER takes one element')
def offer_one(t):
    s = t.session()
    a = s.make(t.name)
    for reply in (a.try_send(b'1', b'2', FLAGS=OFFER), a.try_recv(COUNT=2, FLAGS=OFFER)):
        equal(reply.result, 'INVAL', 'section 9: OFFER takes ELEMENTS of one element, or COUNT 1')


@case('a group: one clause is offered at a time')
def group(t):
    s = t.session()
    a, b = s.make(t.name), s.make(t.name + '-2')
    first = a.start_recv(FLAGS=OFFER, GROUP=9)
    second = b.start_recv(FLAGS=OFFER, GROUP=9)
    a.send(b'1')
    b.send(b'2')
    event = s.event('OFFER')
    s.barrier()
    equal(s.events, [], 'section 9: at most one of them is offered at a time')
    offer = event.get('REQUEST')
    true(offer in (first, second), 'section 9')
    other = second if offer == first else first
    s.must('DECLINE', REQUEST=offer)
    equal(s.wait(offer).result, 'CANCELED', 'section 9')
    offered(s, other)
    got = claim(s, other)
    equal(data_of((b if other == second else a).deliveries(got)), [b'2' if other == second else b'1'],
          'section 9: its normal reply')
    equal((a if other == second else b).recv_data(), [b'1' if other == second else b'2'], 'it is still there')


@case('a group: the client cancels the others')
def group_cancel(t):
    s = t.session()
    a, b = s.make(t.name), s.make(t.name + '-2', CAPACITY=1)
    b.send(b'x')
    recv = a.start_recv(FLAGS=OFFER, GROUP=1)
    send = b.start_send(b'y', FLAGS=OFFER, GROUP=1)
    a.send(b'1')
    offered(s, recv)
    a.taken(a.deliveries(claim(s, recv)))
    s.must('CANCEL', REQUEST=send)
    equal(s.wait(send).result, 'CANCELED', 'section 9')
    equal(b.recv_data(COUNT=9), [b'x'], 'section 9: no effect')
    for name in (t.name, t.name + '-2'):
        balanced(s.stats(name))


@case('groups of two sessions have nothing to do with each other')
def group_sessions(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.make(t.name + '-2')
    first = a.start_recv(FLAGS=OFFER, GROUP=5)
    second = b.start_recv(FLAGS=OFFER, GROUP=5)
    a.send(b'1')
    b.send(b'2')
    offered(s, first)
    offered(other, second)


def meet(t, **flags):
    """A sender and a receiver of a rendezvous channel, each with FLAGS of its own: who wait."""
    s, other = t.session(), t.session()
    a = s.make(t.name, kind=RENDEZVOUS, roles=SENDER)
    b = other.attach(t.name, roles=RECEIVER)
    send = a.start_send(b'x', FLAGS=flags['send'])
    s.barrier()
    recv = b.start_recv(FLAGS=flags['recv'])
    other.barrier()
    return s, other, b, send, recv


def carry_out(session, attachment, reply):
    """The receiver's side: what is provisional is confirmed."""
    got = attachment.deliveries(reply)
    if reply.get('FLAGS', 0) & PROVISIONAL:
        equal(attachment.confirm(got).result, 'OK', 'section 7.2')
    else:
        attachment.taken(got)
    equal(data_of(got), [b'x'], 'section 9: its normal reply')


@case('both sides of a rendezvous are offers, and both claim')
def both_claim(t):
    s, other, b, send, recv = meet(t, send=OFFER, recv=OFFER)
    offered(s, send)
    offered(other, recv)
    first = s.start('CLAIM', REQUEST=send)
    s.barrier()
    true(first not in s.replies, 'section 9: a CLAIM is answered once both have claimed')
    carry_out(other, b, claim(other, recv))
    equal(s.wait(first).result, 'OK', 'section 9')
    equal(s.wait(send).get('COUNT'), 1, 'section 9')
    stats = s.stats(t.name)
    equal((stats['sent'], stats['received'], stats['queued']), (1, 1, 0), 'section 3')


@case('both sides of a rendezvous are offers, and the receiver declines')
def receiver_declines(t):
    s, other, b, send, recv = meet(t, send=OFFER, recv=OFFER)
    offered(s, send)
    offered(other, recv)
    first = s.start('CLAIM', REQUEST=send)
    s.barrier()
    other.must('DECLINE', REQUEST=recv)
    equal(other.wait(recv).result, 'CANCELED', 'section 9')
    equal(s.wait(first).result, 'AGAIN', 'section 9: with AGAIN if the other declined')
    recv = b.start_recv(FLAGS=OFFER)
    offered(s, send)
    offered(other, recv)
    first = s.start('CLAIM', REQUEST=send)
    carry_out(other, b, claim(other, recv))
    equal((s.wait(first).result, s.wait(send).result), ('OK', 'OK'), 'section 9: the request waits on')


@case('both sides of a rendezvous are offers, and the sender declines')
def sender_declines(t):
    s, other, b, send, recv = meet(t, send=OFFER, recv=OFFER)
    offered(s, send)
    offered(other, recv)
    first = other.start('CLAIM', REQUEST=recv)
    other.barrier()
    s.must('DECLINE', REQUEST=send)
    equal(s.wait(send).result, 'CANCELED', 'section 9')
    equal(other.wait(first).result, 'AGAIN', 'section 9: with AGAIN if the other declined')
    other.must('CANCEL', REQUEST=recv)
    equal(other.wait(recv).result, 'CANCELED', 'section 8')
    equal(s.stats(t.name)['sent'], 0, 'nothing was sent')


@case('a rendezvous of an offered SEND and a RECV that waits')
def send_offer_recv(t):
    s, other, b, send, recv = meet(t, send=OFFER, recv=0)
    offered(s, send)
    claimed = s.start('CLAIM', REQUEST=send)
    carry_out(other, b, other.wait(recv))
    equal((s.wait(claimed).result, s.wait(send).get('COUNT')), ('OK', 1), 'section 9')


@case('a rendezvous of a SEND that waits and an offered RECV')
def send_recv_offer(t):
    s, other, b, send, recv = meet(t, send=0, recv=OFFER)
    offered(other, recv)
    s.barrier()
    true(send not in s.replies, 'section 9: it does not take effect by itself')
    carry_out(other, b, claim(other, recv))
    equal(s.wait(send).get('COUNT'), 1, 'section 8')


@case('the other side of a rendezvous goes away while it is offered')
def goes_away(t):
    s, other, b, send, recv = meet(t, send=0, recv=OFFER)
    offered(other, recv)
    s.must('CANCEL', REQUEST=send)
    equal(s.wait(send).result, 'CANCELED', 'section 8')
    equal(other.call('CLAIM', REQUEST=recv).result, 'AGAIN', 'section 9: the other side went away')
    true(recv not in other.replies, 'section 9: the request waits on')


@case('offers end with their session')
def offer_bye(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    a.send(b'1')
    offered(other, b.start_recv(FLAGS=OFFER))
    other.bye()
    got = a.recv(TIMEOUT_MS=0)
    equal((data_of(got), befores(got)), ([b'1'], [0]),
          'sections 5.4 and 7.4: unmarked if it was only offered')
