# SPDX-License-Identifier: BSD-3-Clause
"""Sections 1, 6 and 8: sending and receiving on all kinds of channels."""
import time

import kcoro_wire as wire
from harness import balanced, case, data_of, equal, one_of, true
from kcoro_wire import BLOCK, BUFFERED, CONFLATED, DROP_NEWEST, DROP_OLDEST, RENDEZVOUS, UNLIMITED


def took(seconds, least, why):
    true(seconds >= least, f'{why}: after {seconds:.3f} s, not before {least} s')


@case('SEND and RECV of one message')
def one(t):
    s = t.session()
    a = s.make(t.name)
    equal(a.send(b'hello'), 1, 'section 6, SEND: COUNT says how many')
    reply = a.try_recv()
    equal((reply.get('COUNT'), reply.get('DELIVERY'), reply.get('ELEMENTS')),
          (1, 1, b'\x05\0\0\0hello'), 'section 6, RECV')
    equal(reply.get('FLAGS', 0), 0, 'section 7.2: not PROVISIONAL')
    true(not any(reply.get('DELIVERED_BEFORE', [0])), 'section 3: all 0')
    a.taken(a.deliveries(reply))
    stats = s.stats(t.name)
    equal((stats['sent'], stats['received'], stats['bytes sent'], stats['bytes received']), (1, 1, 5, 5),
          'section 7.2: TAKEN makes the element received')


@case('a message of no bytes, and one of MAX_MSG')
def extremes(t):
    s = t.session()
    a = s.make(t.name, MAX_MSG=1000, MAX_BYTES=2000)
    equal(a.send(b'', bytes(1000), b''), 3, 'section 1: messages of 0..MAX_MSG bytes')
    equal(a.recv_data(COUNT=9), [b'', bytes(1000), b''], 'first in, first out')


@case('batches of messages, in order')
def batch(t):
    s = t.session()
    a = s.make(t.name, CAPACITY=1000)
    items = [b'%d' % i * (i % 7) for i in range(1000)]
    equal(a.send(*items), 1000, 'section 6, SEND')
    got, numbers = [], []
    while len(got) < 1000:
        for d in a.recv(COUNT=65536):
            got.append(d.data)
            numbers.append(d.number)
    equal(got, items, 'section 1: first in, first out')
    equal(numbers, list(range(1, 1001)), 'section 7.1: numbered from 1')


@case('batches of fixed elements')
def batch_fixed(t):
    s = t.session()
    for size in (1, 8, 65536):
        a = s.make(f'{t.name}-{size}', elem_size=size, CAPACITY=3)
        items = [bytes([i]) * size for i in range(5)]
        equal(a.send(*items), 3, 'section 6, SEND: as many as fit are accepted from the front')
        equal(a.recv_data(COUNT=2), items[:2], 'section 6, RECV: at most COUNT')
        equal(a.recv_data(), items[2:3], 'section 6, RECV: default 1')


@case('RECV gives no more than COUNT and never none')
def recv_count(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1', b'2', b'3')
    equal(len(a.recv(COUNT=2)), 2, 'section 6, RECV')
    equal(a.recv_data(COUNT=65536), [b'3'], 'section 6, RECV')
    equal(a.try_recv(COUNT=0, TIMEOUT_MS=0).result, 'INVAL', 'section 6, RECV: at least one')
    one_of(a.try_recv(COUNT=65537, TIMEOUT_MS=0).result, ('INVAL', 'MSGSIZE'),
           'section 6, RECV: limit 65,536')


@case('a try on a full channel, and on an empty one')
def tries(t):
    s = t.session()
    a = s.make(t.name, CAPACITY=1)
    equal(a.try_recv(TIMEOUT_MS=0).result, 'AGAIN', 'section 4: a try found nothing to do')
    a.send(b'x')
    equal(a.try_send(b'y', TIMEOUT_MS=0).result, 'AGAIN', 'section 4: a try found nothing to do')
    equal(a.recv_data(TIMEOUT_MS=0), [b'x'], 'a try that finds something')


@case('a deadline that passes')
def deadlines(t):
    s = t.session()
    a = s.make(t.name, CAPACITY=1)
    start = time.monotonic()
    equal(a.try_recv(TIMEOUT_MS=60).result, 'TIME', 'section 4: deadline passed')
    took(time.monotonic() - start, 0.059, 'section 8: TIMEOUT_MS bounds the wait')
    a.send(b'x')
    start = time.monotonic()
    equal(a.try_send(b'y', TIMEOUT_MS=60).result, 'TIME', 'section 4: deadline passed')
    took(time.monotonic() - start, 0.059, 'section 8: TIMEOUT_MS bounds the wait')
    equal(s.stats(t.name)['sent'], 1, 'the sender keeps its element')


@case('deadlines of very different lengths')
def deadlines_mixed(t):
    s = t.session()
    a = s.make(t.name)
    times = [1 << 62, 300, 1000000, 100, 200]
    ids = [a.start_recv(TIMEOUT_MS=ms) for ms in times]
    equal([s.wait(ids[i]).result for i in (3, 4, 1)], ['TIME'] * 3, 'section 8')
    equal(s.order[-3:], [('RECV', ids[i]) for i in (3, 4, 1)], 'the shorter first')
    a.send(b'x')
    equal(data_of(a.deliveries(s.wait(ids[0]))), [b'x'], 'section 3: at most 2^62')


@case('a SEND that waits is answered as soon as any was accepted')
def send_waits(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, CAPACITY=2), other.attach(t.name)
    equal(a.send(b'1', b'2', b'3'), 2, 'section 6, SEND: COUNT')
    wait = a.start_send(b'3', b'4')
    s.barrier()
    true(wait not in s.replies, 'section 8: waits while it cannot proceed')
    equal(b.recv_data(), [b'1'], 'first in, first out')
    equal(s.wait(wait).get('COUNT'), 1, 'section 6, SEND: answered as soon as any was accepted')
    equal(b.recv_data(COUNT=9), [b'2', b'3'], 'what was not accepted is not there')


@case('senders wait in the order in which they came')
def sender_order(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, CAPACITY=1), other.attach(t.name)
    a.send(b'0')
    first = a.start_send(b'1')
    s.barrier()
    second = b.start_send(b'2')
    other.barrier()
    third = a.start_send(b'3')
    s.barrier()
    equal(b.try_send(b'4', TIMEOUT_MS=0).result, 'AGAIN', 'a try does not overtake who waits')
    got = [b.recv_data()[0] for _ in range(4)]
    equal(got, [b'0', b'1', b'2', b'3'], 'section 8: senders in the order in which they came')
    equal([s.wait(first).result, other.wait(second).result, s.wait(third).result], ['OK'] * 3, 'section 8')


@case('receivers wait in the order in which they came')
def receiver_order(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name), other.attach(t.name)
    first = a.start_recv()
    s.barrier()
    second = b.start_recv()
    other.barrier()
    third = a.start_recv()
    s.barrier()
    a.send(b'1', b'2', b'3')
    equal([data_of(a.deliveries(s.wait(first))), data_of(b.deliveries(other.wait(second))),
           data_of(a.deliveries(s.wait(third)))], [[b'1'], [b'2'], [b'3']], 'section 8: receivers likewise')


@case('a message longer than MAX_MSG')
def too_long(t):
    s = t.session()
    a = s.make(t.name, MAX_MSG=10)
    equal(a.send(b'1', b'2', bytes(11), b'4'), 2, 'section 6, SEND: ends the batch in front of it')
    equal(a.try_send(bytes(11), b'4').result, 'MSGSIZE', 'section 6, SEND: at the front it is MSGSIZE')
    equal(a.recv_data(COUNT=9), [b'1', b'2'], 'nothing else is there')


@case('ELEMENTS that are no elements')
def no_elements(t):
    s = t.session()
    fixed, messages = s.make(t.name, elem_size=8), s.make(t.name + '-2')
    for a, blobs in ((fixed, (b'1234567', b'123456789')),
                     (messages, (b'\1\0\0', b'\2\0\0\0a', b'\1\0\0\0ab'))):
        for blob in blobs:
            reply = s.call('SEND', ATTACH=a.number, ELEMENTS=blob, TIMEOUT_MS=0)
            equal(reply.result, 'INVAL', f'section 6, SEND: no whole number of elements: {blob!r}')
        equal(s.call('SEND', ATTACH=a.number, ELEMENTS=b'', TIMEOUT_MS=0).result, 'INVAL',
              'section 6, SEND: ELEMENTS holds one element or more')
        equal(s.stats(a.name)['sent'], 0, 'nothing was sent')


@case('SPACE too small: NEEDED tells, the element stays')
def space(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'0123456789', b'abc')
    for more in ({}, {'TIMEOUT_MS': 0}, {'FLAGS': wire.LEASE}):
        reply = a.try_recv(SPACE=9, COUNT=5, **more)
        equal((reply.result, reply.get('NEEDED')), ('MSGSIZE', 10), 'section 6, RECV')
    equal(s.stats(t.name)['queued'], 2, 'section 6, RECV: the element stays')
    equal(a.recv_data(SPACE=10, COUNT=5), [b'0123456789'], 'section 6, RECV: bytes of elements alone')
    equal(a.recv_data(SPACE=3, COUNT=5), [b'abc'], 'section 6, RECV')
    a.send(b'', b'x')
    equal(a.recv_data(SPACE=0, COUNT=5), [b''], 'an empty message fits everywhere')


@case('SPACE of fixed elements')
def space_fixed(t):
    s = t.session()
    a = s.make(t.name, elem_size=8)
    a.send(*[b'12345678'] * 5)
    equal((a.try_recv(SPACE=7).result, a.try_recv(SPACE=7).get('NEEDED')), ('MSGSIZE', 8), 'section 6, RECV')
    equal(len(a.recv(SPACE=23, COUNT=9)), 2, 'section 6, RECV: at most SPACE bytes in all')


@case('SPACE too small for a receiver that waits')
def space_waiting(t):
    s = t.session()
    a = s.make(t.name)
    wait = a.start_recv(SPACE=2)
    second = a.start_recv()
    a.send(b'abc')
    reply = s.wait(wait)
    equal((reply.result, reply.get('NEEDED')), ('MSGSIZE', 3), 'section 6, RECV')
    equal(data_of(a.deliveries(s.wait(second))), [b'abc'], 'section 6, RECV: the element stays')


@case('SPACE too small for what a rendezvous sender has')
def space_rendezvous(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, kind=RENDEZVOUS), other.attach(t.name)
    send = a.start_send(b'abc')
    s.barrier()
    reply = b.try_recv(SPACE=2)
    equal((reply.result, reply.get('NEEDED')), ('MSGSIZE', 3), 'section 6, RECV')
    equal(data_of(b.recv()), [b'abc'], 'section 6, RECV: the element stays')
    equal(s.wait(send).result, 'OK', 'section 8')
    small, large = b.start_recv(SPACE=2), b.start_recv()
    other.barrier()
    send = a.start_send(b'def')
    reply = other.wait(small)
    equal((reply.result, reply.get('NEEDED')), ('MSGSIZE', 3), 'section 6, RECV')
    got = b.deliveries(other.wait(large))
    equal((data_of(got), b.confirm(got).result, s.wait(send).result), ([b'def'], 'OK', 'OK'),
          'section 6, RECV')


@case('an attachment that does not exist')
def no_attachment(t):
    s, other = t.session(), t.session()
    a = s.make(t.name)
    s.make(t.name)
    for who, number in ((s, 77), (other, a.number), (other, 2)):
        equal(who.call('RECV', ATTACH=number, TIMEOUT_MS=0).result, 'NOENT', 'section 4')
        equal(who.call('SEND', ATTACH=number, ELEMENTS=b'', TIMEOUT_MS=0).result, 'NOENT', 'section 4')
        equal(who.call('CREDIT', ATTACH=number, CREDIT=1).result, 'NOENT', 'section 4')


# ---- bounds and what happens at them

@case('a channel of messages is full by bytes')
def full_bytes(t):
    s = t.session()
    for kind in (BUFFERED, UNLIMITED):
        a = s.make(f'{t.name}-{kind}', kind=kind, MAX_MSG=100, MAX_BYTES=200)
        equal(a.send(bytes(100), bytes(100), b'x'), 2, 'section 12: at least two of the largest message fit')
        equal(a.try_send(b'x', TIMEOUT_MS=0).result, 'AGAIN', 'section 1: full by bytes')
        wait = a.start_send(b'y')
        a.recv()
        equal(s.wait(wait).get('COUNT'), 1, 'section 1: waits only at MAX_BYTES')
        balanced(s.stats(a.name))


@case('an unlimited channel of fixed elements')
def unlimited_fixed(t):
    s = t.session()
    a = s.make(t.name, kind=UNLIMITED, elem_size=100, MAX_BYTES=300)
    equal(a.send(*[bytes(100)] * 5), 3, 'section 1: waits only at MAX_BYTES')
    equal(a.try_send(bytes(100), TIMEOUT_MS=0).result, 'AGAIN', 'section 1')
    equal(s.info(t.name)['CAPACITY'], 0, 'section 3: CAPACITY is for buffered ones only')


@case('an unlimited channel takes what no buffered one would')
def unlimited(t):
    s = t.session()
    a = s.make(t.name, kind=UNLIMITED)
    for _ in range(20):
        equal(a.send(*[b'%d' % i for i in range(1000)]), 1000, 'section 1: unlimited')
    equal(s.stats(t.name)['queued'], 20000, 'section 3')


@case('overflow: the oldest are dropped')
def drop_oldest(t):
    s = t.session()
    a = s.make(t.name, CAPACITY=3, OVERFLOW=DROP_OLDEST)
    equal(a.send(*(b'%d' % i for i in range(8))), 8, 'section 6, SEND: dropped ones count as accepted')
    equal(a.send(b'8', TIMEOUT_MS=0), 1, 'a try too')
    equal(a.recv_data(COUNT=9), [b'6', b'7', b'8'], 'section 3, OVERFLOW 1: drop oldest')
    stats = s.stats(t.name)
    equal((stats['sent'], stats['dropped: oldest']), (9, 6), 'section 3, STATISTICS')
    balanced(stats)


@case('overflow: the newest are dropped')
def drop_newest(t):
    s = t.session()
    a = s.make(t.name, CAPACITY=3, OVERFLOW=DROP_NEWEST)
    equal(a.send(*(b'%d' % i for i in range(8))), 8, 'section 6, SEND: dropped ones count as accepted')
    equal(a.recv_data(COUNT=9), [b'0', b'1', b'2'], 'section 3, OVERFLOW 2: drop newest')
    stats = s.stats(t.name)
    equal((stats['sent'], stats['dropped: newest']), (8, 5), 'section 3, STATISTICS')
    balanced(stats)


@case('overflow at the byte bound of an unlimited channel')
def drop_bytes(t):
    s = t.session()
    for policy, left in ((DROP_OLDEST, [bytes(100), b'x']), (DROP_NEWEST, [bytes(100), bytes(100)])):
        a = s.make(f'{t.name}-{policy}', kind=UNLIMITED, MAX_MSG=100, MAX_BYTES=200, OVERFLOW=policy)
        equal(a.send(bytes(100), bytes(100), b'x'), 3, 'section 6, SEND')
        equal(a.recv_data(COUNT=9), left, 'section 1: OVERFLOW may say otherwise')
        balanced(s.stats(a.name))


@case('a conflated channel keeps the newest')
def conflated(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, kind=CONFLATED), other.attach(t.name)
    equal(a.try_recv(TIMEOUT_MS=0).result, 'AGAIN', 'section 4')
    for value in (b'1', b'2', b'3'):
        equal(a.send(value, TIMEOUT_MS=0), 1, 'section 1: never waits')
    stats = s.stats(t.name)
    equal((stats['queued'], stats['conflated'], stats['length']), (1, 2, 1), 'section 12: the one value')
    equal(b.recv_data(COUNT=5), [b'3'], 'section 1: takes the newest')
    wait = b.start_recv()
    other.barrier()
    a.send(b'4')
    equal(data_of(b.deliveries(other.wait(wait))), [b'4'], 'section 1')


@case('a batch to a conflated channel')
def conflated_batch(t):
    s = t.session()
    a = s.make(t.name, kind=CONFLATED, elem_size=1)
    equal(a.send(b'1', b'2', b'3'), 3, 'section 6, SEND: as many as fit')
    equal(a.recv_data(COUNT=5), [b'3'], 'section 1')
    stats = s.stats(t.name)
    equal((stats['sent'], stats['conflated'], stats['received']), (3, 2, 1), 'section 3')


@case('a conflated value that returns revives only if nothing newer was sent')
def conflated_returns(t):
    s = t.session()
    a = s.make(t.name, kind=CONFLATED)
    a.send(b'1')
    a.settle('NACK', a.lease())
    got = a.lease()
    equal([(d.data, d.before) for d in got], [(b'1', 1)], 'section 7.4')
    a.send(b'2')
    a.settle('NACK', got)
    equal(a.recv_data(), [b'2'], 'section 7.4')
    equal(a.try_recv(TIMEOUT_MS=0).result, 'AGAIN', 'section 7.4')
    stats = s.stats(t.name)
    equal((stats['conflated'], stats['received']), (1, 1), 'section 7.4: else it is counted as conflated')
    balanced(stats)


@case('many elements between two sessions, and the books')
def volume(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, CAPACITY=64, elem_size=8, OVERFLOW=BLOCK), other.attach(t.name)
    items = [i.to_bytes(8, 'little') for i in range(5000)]
    sent, got = 0, []
    send = a.start_send(*items[:100])
    while len(got) < len(items):
        got += b.recv_data(COUNT=33)
        if sent < len(items):
            sent += s.wait(send).get('COUNT')
            if sent < len(items):
                send = a.start_send(*items[sent:sent + 100])
    equal(got, items, 'first in, first out, nothing lost, nothing twice')
    stats = s.stats(t.name)
    equal((stats['sent'], stats['received'], stats['length']), (5000, 5000, 0), 'section 3')
    equal((stats['bytes sent'], stats['bytes received']), (40000, 40000), 'section 3')
