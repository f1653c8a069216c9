# SPDX-License-Identifier: BSD-3-Clause
"""Sections 7.2 and 8: rendezvous channels, and requests that are cancelled."""
import time

from harness import balanced, befores, case, data_of, equal, one_of, true
from kcoro_wire import PROVISIONAL, RENDEZVOUS


@case('rendezvous: SEND is answered when the receiver confirms')
def rendezvous(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, kind=RENDEZVOUS), other.attach(t.name)
    for receiver_first in (True, False):
        if receiver_first:
            recv = b.start_recv()
            other.barrier()
        send = a.start_send(b'x')
        s.barrier()
        if not receiver_first:
            recv = b.start_recv()
        reply = other.wait(recv)
        equal(reply.get('FLAGS'), PROVISIONAL, 'section 7.2: all those of rendezvous channels')
        s.barrier()
        true(send not in s.replies, 'section 8: answered when the receiver confirms')
        equal(b.confirm(b.deliveries(reply)).result, 'OK',
              "section 7.2: the client's once that is answered OK")
        equal(s.wait(send).get('COUNT'), 1, 'section 8')
    stats = s.stats(t.name)
    equal((stats['sent'], stats['received'], stats['length']), (2, 2, 0), 'section 3')


@case('rendezvous: a batch moves element by element')
def rendezvous_batch(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, kind=RENDEZVOUS, elem_size=1), other.attach(t.name)
    send = a.start_send(b'1', b'2', b'3')
    reply = b.try_recv(COUNT=3)
    got = b.deliveries(reply)
    equal(b.confirm(got).result, 'OK', 'section 7.2')
    equal(s.wait(send).get('COUNT'), len(got), 'section 6, SEND: answered as soon as any was accepted')
    equal(data_of(got), [b'1', b'2', b'3'][:len(got)], 'in order')


@case('rendezvous: a try succeeds only if the other side waits')
def rendezvous_try(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, kind=RENDEZVOUS), other.attach(t.name)
    equal(a.try_send(b'x', TIMEOUT_MS=0).result, 'AGAIN', 'section 8')
    equal(b.try_recv(TIMEOUT_MS=0).result, 'AGAIN', 'section 8')
    send = a.start_send(b'x')
    s.barrier()
    equal(data_of(b.recv(TIMEOUT_MS=0)), [b'x'], 'section 8: the other side waits already')
    equal(s.wait(send).result, 'OK', 'section 8')
    recv = b.start_recv()
    other.barrier()
    send = a.start_send(b'y', TIMEOUT_MS=0)
    equal(b.confirm(b.deliveries(other.wait(recv))).result, 'OK', 'section 7.2')
    equal(s.wait(send).result, 'OK', 'section 8: the other side waits already')


@case('rendezvous: withdrawn by CANCEL of the sender')
def rendezvous_cancel(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, kind=RENDEZVOUS), other.attach(t.name)
    send = a.start_send(b'x')
    got = b.deliveries(b.try_recv())
    s.must('CANCEL', REQUEST=send)
    equal(s.wait(send).result, 'CANCELED', 'section 8: the delivery is withdrawn')
    equal(b.confirm(got).result, 'NOENT', 'section 7.2: with NOENT the element never was')
    wait = b.start_recv()
    a.start_send(b'y')
    got = b.deliveries(other.wait(wait))
    equal(data_of(got), [b'y'], 'section 7.2: the client asks again')
    equal(b.confirm(got).result, 'OK', 'section 7.2')
    equal(s.stats(t.name)['sent'], 1, 'what was withdrawn was not sent')


@case("rendezvous: withdrawn by the sender's deadline")
def rendezvous_deadline(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, kind=RENDEZVOUS), other.attach(t.name)
    send = a.start_send(b'x', TIMEOUT_MS=400)
    got = b.deliveries(b.try_recv())
    equal(s.wait(send).result, 'TIME', 'section 8')
    equal(b.confirm(got).result, 'NOENT', 'section 7.2')


@case('rendezvous: withdrawn by a close')
def rendezvous_close(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, kind=RENDEZVOUS), other.attach(t.name)
    send = a.start_send(b'x')
    got = b.deliveries(b.try_recv())
    s.must('CHAN_CLOSE', NAME=t.name)
    equal(s.wait(send).result, 'PIPE', 'section 8: answered accordingly')
    equal(b.confirm(got).result, 'NOENT', 'section 7.2')


@case('rendezvous: a try waits for its confirmation at most one second')
def rendezvous_second(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, kind=RENDEZVOUS), other.attach(t.name)
    recv = b.start_recv()
    other.barrier()
    start = time.monotonic()
    send = a.start_send(b'x', TIMEOUT_MS=0)
    got = b.deliveries(other.wait(recv))
    one_of(s.wait(send).result, ('AGAIN', 'TIME'), 'section 8')
    seconds = time.monotonic() - start
    true(0.5 < seconds < 5, f'section 8: at most one second, took {seconds:.3f}')
    equal(b.confirm(got).result, 'NOENT', 'section 7.2')


@case('rendezvous: a receiver that goes away leaves the sender waiting')
def rendezvous_gone(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, kind=RENDEZVOUS), other.attach(t.name)
    send = a.start_send(b'x')
    b.deliveries(b.try_recv())
    other.bye()
    s.barrier()
    true(send not in s.replies, 'section 1: completes once a live receiver has confirmed')
    third = t.session()
    equal(data_of(third.attach(t.name).recv()), [b'x'], 'section 5.4')
    equal(s.wait(send).result, 'OK', 'section 8')


@case('rendezvous: an element that is leased and returned')
def rendezvous_lease(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, kind=RENDEZVOUS), other.attach(t.name)
    send = a.start_send(b'x')
    got = b.lease()
    equal(s.wait(send).result, 'OK', 'section 8: the receiver has confirmed')
    equal(s.stats(t.name)['leased'], 1, 'section 7.2: with LEASE')
    equal(b.settle('NACK', got).get('COUNT'), 1, 'section 7.2')
    equal(s.stats(t.name)['queued'], 1, 'section 12: counts what was returned')
    got = b.lease()
    equal((data_of(got), befores(got)), ([b'x'], [1]), 'section 7.4')
    equal(b.settle('ACK', got).get('COUNT'), 1, 'section 7.2')
    balanced(s.stats(t.name))


# ---- CANCEL

@case('CANCEL ends a RECV and a SEND that wait')
def cancel(t):
    s = t.session()
    a = s.make(t.name, CAPACITY=1)
    recv = a.start_recv()
    number = s.start('CANCEL', REQUEST=recv)
    equal(s.wait(number).result, 'OK', 'section 8')
    equal(s.wait(recv).result, 'CANCELED', 'section 8')
    equal(s.order[-2:], [('RECV', recv), ('CANCEL', number)],
          'section 8: the reply of the request named is sent before that of CANCEL')
    a.send(b'x')
    send = a.start_send(b'y')
    s.must('CANCEL', REQUEST=send)
    equal(s.wait(send).result, 'CANCELED', 'section 8')
    equal(a.recv_data(COUNT=5), [b'x'], 'no effect')


@case('CANCEL of a request that is finished or never was')
def cancel_nothing(t):
    s = t.session()
    a = s.make(t.name)
    done = a.start_send(b'x')
    equal(s.must('CANCEL', REQUEST=done).result, 'OK', 'section 8')
    equal(s.wait(done).result, 'OK', 'section 8: else its normal one')
    for number in (done, 1 << 40, (1 << 64) - 1):
        equal(s.must('CANCEL', REQUEST=number).result, 'OK', 'section 8: CANCEL itself always succeeds')


@case('CANCEL does not reach into another session')
def cancel_other(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    other.next_id = 50
    wait = b.start_recv()
    other.barrier()
    s.must('CANCEL', REQUEST=wait)
    a.send(b'x')
    equal(data_of(b.deliveries(other.wait(wait))), [b'x'], 'section 2: ids are those of a session')
