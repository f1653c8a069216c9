# SPDX-License-Identifier: BSD-3-Clause
"""Sections 6, 10, 11 and 12: making, opening, listing, closing, destroying; rights; books."""
import kcoro_wire as wire
from harness import balanced, case, data_of, equal, one_of, true
from kcoro_client import channel, statistics, unbalanced
from kcoro_wire import (AUTO_CLOSE, BUFFERED, CONFLATED, DROP_OLDEST, MORE, OBSERVER, RECEIVER, RENDEZVOUS,
                        SENDER, UNLIMITED)


def options(t, s, **tlvs):
    """What CHAN_MAKE makes of these options: the reply."""
    return s.call('CHAN_MAKE', **{'NAME': t.name, 'KIND': BUFFERED, 'ELEM_SIZE': 0, 'CAPACITY': 4,
                                  'ROLES': SENDER, **tlvs})


@case('CHAN_MAKE makes a channel and tells its defaults')
def make_new(t):
    s = t.session()
    reply = options(t, s)
    equal(reply.get('FLAGS'), wire.CREATED, 'section 6, CHAN_MAKE: CREATED')
    equal({n: reply.get(n) for n in ('NAME', 'KIND', 'ELEM_SIZE', 'CAPACITY', 'MAX_MSG', 'MAX_BYTES',
                                     'OVERFLOW', 'CHAN_FLAGS')},
          {'NAME': t.name, 'KIND': 1, 'ELEM_SIZE': 0, 'CAPACITY': 4, 'MAX_MSG': 65536,
           'MAX_BYTES': 1048576, 'OVERFLOW': 0, 'CHAN_FLAGS': 0}, 'section 6, CHAN_MAKE: defaults')
    true(reply.get('CHAN_ID') and reply.get('ATTACH'), 'section 3: never 0')
    true(reply.seq, 'section 5.2: numbered')
    equal(s.info(t.name)['MODE'], 0o700, 'section 6, CHAN_MAKE: MODE 0o700')


@case('CHAN_MAKE opens the channel that is there with the same options')
def make_same(t):
    s, other = t.session(), t.session()
    first = options(t, s)
    for who in (s, other):
        reply = options(t, who, MAX_MSG=65536, MAX_BYTES=0, OVERFLOW=0, MODE=0o777, CHAN_FLAGS=AUTO_CLOSE)
        equal((reply.result, reply.get('FLAGS', 0) & wire.CREATED), ('OK', 0),
              'section 6, CHAN_MAKE: each default counts as its value; MODE and CHAN_FLAGS are not compared')
        equal(reply.get('CHAN_ID'), first.get('CHAN_ID'), 'the same channel')
        equal(reply.get('CHAN_FLAGS'), 0, "the channel's, not those asked for")
    equal(s.info(t.name)['STATISTICS']['senders attached'], 3, 'three attachments')


@case('CHAN_MAKE of a name that exists with other options')
def make_different(t):
    s = t.session()
    options(t, s)
    for tlvs in ({'KIND': UNLIMITED, 'CAPACITY': 0}, {'ELEM_SIZE': 8}, {'CAPACITY': 5}, {'MAX_MSG': 100},
                 {'MAX_BYTES': 1048577}, {'OVERFLOW': DROP_OLDEST}):
        reply = options(t, s, **tlvs)
        equal(reply.result, 'EXIST', f'section 6, CHAN_MAKE: {tlvs}')
        true(reply.get('DETAIL'), 'section 4: DETAIL names them')


@case('CHAN_MAKE refuses values that make no sense')
def make_invalid(t):
    s = t.session()
    for tlvs in ({'CAPACITY': 0}, {'KIND': RENDEZVOUS}, {'OVERFLOW': 3}, {'KIND': 4},
                 {'ELEM_SIZE': 8, 'MAX_MSG': 8}, {'ELEM_SIZE': 8, 'MAX_BYTES': 1 << 20},
                 {'MAX_BYTES': 65537}, {'CHAN_FLAGS': 4}, {'ROLES': 0}, {'ROLES': 5}, {'ROLES': 8},
                 {'MODE': 0o1000}, {'FLAGS': 2}, {'LEASE_MS': 0}):
        equal(options(t, s, **tlvs).result, 'INVAL', f'sections 3, 4 and 12: {tlvs}')
    for tlvs in ({'CAPACITY': 1048577}, {'ELEM_SIZE': 65537}, {'MAX_MSG': 16777217}, {'CREDIT': 65537},
                 {'LEASE_MS': 86400001}):
        one_of(options(t, s, **tlvs).result, ('INVAL', 'MSGSIZE'), f'sections 4 and 12: {tlvs}')
    equal(s.call('CHAN_INFO', NAME=t.name).result, 'NOENT', 'nothing was made')


@case('capacity 1 and 1,048,576 are allowed')
def capacities(t):
    s = t.session()
    for capacity in (1, 1048576):
        reply = options(t, s, NAME=f'{t.name}-{capacity}', CAPACITY=capacity)
        equal(reply.get('CAPACITY'), capacity, 'section 12')


@case('names that are none')
def names(t):
    s = t.session()
    good = ('a', '_', 'a.b-c_d/E9/_x', 'a' * 255, 'a./b-', 'a/' * 127 + 'b')
    for name in good:
        equal(options(t, s, NAME=name).result, 'OK', f'section 11: {name}')
    for name in ('/a', 'a/', 'a//b', '.', '..', 'a/.', 'a/../b', '9a', '-a', 'a b', 'a\0', 'a\n', 'ä', 'a/9',
                 '.a', '@1', '\udcff'):
        equal(options(t, s, NAME=name).result, 'INVAL', f'section 11: {name!r}')
    for name in good:
        s.must('CHAN_DESTROY', NAME=name)


@case('CHAN_OPEN by name and by id')
def open_both(t):
    s, other = t.session(), t.session()
    made = s.make(t.name, elem_size=8, CAPACITY=3)
    by_name = other.attach(t.name)
    by_id = other.attach(CHAN_ID=made.chan_id, roles=RECEIVER)
    equal((by_name.chan_id, by_id.chan_id, by_id.name), (made.chan_id, made.chan_id, t.name),
          'section 6, CHAN_OPEN')
    true(by_name.number != by_id.number, 'section 1: an attachment has a number of its own')
    made.send(b'12345678')
    equal(by_id.recv_data(), [b'12345678'], 'one channel')


@case('CHAN_OPEN of what does not exist')
def open_none(t):
    s = t.session()
    equal(s.call('CHAN_OPEN', NAME=t.name, ROLES=1).result, 'NOENT', 'section 4')
    equal(s.call('CHAN_OPEN', CHAN_ID=0xfffffffffffffff0, ROLES=1).result, 'NOENT', 'section 4')
    equal(s.call('CHAN_OPEN', NAME='9', ROLES=1).result in ('NOENT', 'INVAL'), True, 'section 4')


@case('roles bind: who did not ask for one cannot use it')
def roles(t):
    s = t.session()
    sender = s.make(t.name, roles=SENDER)
    receiver = s.attach(t.name, roles=RECEIVER)
    observer = s.attach(t.name, roles=OBSERVER)
    for attachment, kind, more in ((receiver, 'SEND', {'ELEMENTS': wire.pack_messages([b'x'])}),
                                   (sender, 'RECV', {}), (observer, 'RECV', {}),
                                   (observer, 'SEND', {'ELEMENTS': wire.pack_messages([b'x'])})):
        reply = s.call(kind, ATTACH=attachment.number, TIMEOUT_MS=0, **more)
        equal(reply.result, 'ACCES', f'section 11: {kind} also needs the role')
    stats = s.stats(t.name)
    equal((stats['senders attached'], stats['receivers attached']), (1, 1), 'section 3')


@case('CHAN_DETACH ends the attachment and its waiting requests')
def detach(t):
    s = t.session()
    a, b = s.make(t.name, CAPACITY=1), s.attach(t.name)
    b.send(b'x')
    send = b.start_send(b'y')
    equal(data_of(a.lease()), [b'x'], 'a lease')
    # y has the place of x now
    equal(s.wait(send).result, 'OK', 'a leased element occupies no place')
    send, recv = b.start_send(b'z'), s.make(t.name + '-2').start_recv()
    b.detach()
    equal(s.wait(send).result, 'CANCELED', 'section 4: ended by CHAN_DETACH')
    equal(b.try_send(b'x', TIMEOUT_MS=0).result, 'NOENT', 'section 4: no such attachment')
    equal(s.call('CHAN_DETACH', ATTACH=b.number).result, 'NOENT', 'section 4: no such attachment')
    true(recv not in s.replies, 'what belongs to another attachment waits on')
    a.detach()
    equal(s.stats(t.name)['queued'], 2, 'section 5.4: a lease returns when its attachment is detached')


@case('attachments of one session to one channel are independent')
def independent(t):
    s = t.session()
    a = s.make(t.name)
    b = s.attach(t.name, roles=RECEIVER)
    a.send(b'1', b'2')
    equal([d.number for d in a.recv()] + [d.number for d in b.recv()], [1, 1],
          'section 7.1: numbered per attachment, from 1')


@case('CHAN_INFO tells all there is to know')
def info(t):
    s = t.session()
    a = s.make(t.name, elem_size=4, CAPACITY=7, OVERFLOW=1, MODE=0o640, CHAN_FLAGS=1)
    a.send(b'1111', b'2222', b'3333')
    a.lease()
    i = s.info(t.name)
    equal({k: i[k] for k in ('CHAN_ID', 'NAME', 'KIND', 'ELEM_SIZE', 'CAPACITY', 'MAX_MSG', 'OVERFLOW',
                             'CHAN_FLAGS', 'MODE')},
          {'CHAN_ID': a.chan_id, 'NAME': t.name, 'KIND': 1, 'ELEM_SIZE': 4, 'CAPACITY': 7, 'MAX_MSG': 0,
           'OVERFLOW': 1, 'CHAN_FLAGS': 1, 'MODE': 0o640}, 'section 6, CHAN_LIST')
    stats = i['STATISTICS']
    equal({k: stats[k] for k in ('sent', 'queued', 'leased', 'length', 'bytes sent', 'closed',
                                 'senders attached', 'receivers attached')},
          {'sent': 3, 'queued': 2, 'leased': 1, 'length': 2, 'bytes sent': 12, 'closed': 0,
           'senders attached': 1, 'receivers attached': 1}, 'section 3, STATISTICS')
    balanced(stats)
    by_id = s.must('CHAN_INFO', CHAN_ID=a.chan_id)
    equal((channel(by_id.get('CHANNEL'))['NAME'], by_id.seq), (t.name, 0), 'section 5.2')
    equal(s.call('CHAN_INFO', NAME=t.name + '-2').result, 'NOENT', 'section 4')


@case('waiting senders and receivers are told')
def waiting(t):
    s = t.session()
    a = s.make(t.name, CAPACITY=1)
    waits = [a.start_recv(), a.start_recv()]
    equal(s.stats(t.name)['waiting receivers'], 2, 'section 3, STATISTICS')
    for number in waits:
        s.must('CANCEL', REQUEST=number)
    a.send(b'x')
    a.start_send(b'y')
    stats = s.stats(t.name)
    equal((stats['waiting senders'], stats['waiting receivers'], stats['sent']), (1, 0, 1), 'STATISTICS')


@case('CHAN_LIST, page by page')
def listing(t):
    s = t.session()
    names = sorted([f'{t.name}/n{i:03}' for i in range(300)] + [f'{t.name}/{c}' for c in 'Ba_'])
    for name in reversed(names):
        s.must('CHAN_MAKE', NAME=name, KIND=BUFFERED, ELEM_SIZE=8, CAPACITY=1, ROLES=OBSERVER)
    for count in (None, 1000, 7, 256, 1):
        got, after, pages = [], t.name, 0
        while pages < 400:
            more = {} if count is None else {'COUNT': count}
            reply = s.must('CHAN_LIST', NAME=after, **more)
            page = [channel(c) for c in reply.all('CHANNEL')]
            true(len(page) <= min(count or 256, 256), 'section 6, CHAN_LIST: at most COUNT, limit 256')
            equal(reply.seq, 0, 'section 5.2')
            mine = [c['NAME'] for c in page if c['NAME'].startswith(t.name + '/')]
            got += mine
            pages += 1
            if not reply.get('FLAGS', 0) & MORE or len(mine) < len(page):
                break
            after = page[-1]['NAME']
            if count == 1 and pages == 3:
                break
        equal(got, names[:3] if count == 1 else names, f'section 6, CHAN_LIST: in byte order, COUNT {count}')
    reply = s.must('CHAN_LIST', NAME='zzzz')
    equal((reply.all('CHANNEL'), reply.get('FLAGS', 0)), ([], 0), 'section 6, CHAN_LIST: none')
    for name in names:
        s.must('CHAN_DESTROY', NAME=name)


@case('CHAN_CLOSE: sends fail, receivers drain, then PIPE')
def close(t):
    s, other = t.session(), t.session()
    a, b = s.make(t.name, CAPACITY=2), other.attach(t.name)
    a.send(b'1', b'2')
    wait = a.start_send(b'3')
    s.barrier()
    other.must('CHAN_CLOSE', NAME=t.name)
    reply = s.wait(wait)
    equal(reply.result, 'PIPE', 'section 10: waiting ones get PIPE with nothing accepted')
    equal(a.try_send(b'4').result, 'PIPE', 'section 10: later SENDs get PIPE')
    equal(a.try_send(b'4', TIMEOUT_MS=0).result, 'PIPE', 'section 10: a try too')
    other.must('CHAN_CLOSE', CHAN_ID=a.chan_id)
    equal(other.stats(t.name)['closed'], 1, 'section 3, STATISTICS')
    equal(b.recv_data(COUNT=5), [b'1', b'2'], 'section 10: receivers drain what is queued')
    equal([b.try_recv().result, b.try_recv(TIMEOUT_MS=0).result], ['PIPE', 'PIPE'], 'section 10: then PIPE')
    equal(s.stats(t.name)['sent'], 2, 'what was refused was not sent')


@case('CHAN_CLOSE wakes receivers that wait')
def close_wakes(t):
    s, other = t.session(), t.session()
    for kind in (RENDEZVOUS, BUFFERED, CONFLATED, UNLIMITED):
        a = s.make(f'{t.name}-{kind}', kind=kind)
        waits = [a.start_recv(), a.start_recv(FLAGS=wire.LEASE)]
        s.barrier()
        other.must('CHAN_CLOSE', NAME=a.name)
        equal([s.wait(w).result for w in waits], ['PIPE', 'PIPE'], 'section 10')


@case('CHAN_CLOSE of a rendezvous answers its waiting sender')
def close_rendezvous(t):
    s = t.session()
    a = s.make(t.name, kind=RENDEZVOUS)
    wait = a.start_send(b'x')
    s.must('CHAN_CLOSE', NAME=t.name)
    equal(s.wait(wait).result, 'PIPE', 'section 10: waiting ones get PIPE with nothing accepted')
    equal(a.try_recv().result, 'PIPE', 'section 10')


@case('a conflated value is drained after CHAN_CLOSE')
def close_conflated(t):
    s = t.session()
    a = s.make(t.name, kind=CONFLATED)
    a.send(b'old')
    a.send(b'new')
    s.must('CHAN_CLOSE', NAME=t.name)
    equal(a.recv_data(), [b'new'], 'section 10: receivers drain what is queued')
    equal(a.try_recv().result, 'PIPE', 'section 10')


@case('a closed channel with leases outstanding is not drained')
def close_leased(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1', b'2')
    leased = a.lease(COUNT=2)
    s.must('CHAN_CLOSE', NAME=t.name)
    equal(a.try_recv(TIMEOUT_MS=30).result, 'TIME', 'section 10: receivers wait, since a lease may return')
    wait = a.start_recv()
    a.settle('NACK', leased[:1])
    got = a.deliveries(s.wait(wait))
    equal([(d.data, d.before) for d in got], [(b'1', 1)], 'section 10: what is returned is drained')
    a.taken(got)
    wait = a.start_recv()
    s.barrier()
    true(wait not in s.replies, 'the second lease still runs')
    a.settle('ACK', leased[1:])
    equal(s.wait(wait).result, 'PIPE', 'section 10: then PIPE')


@case('a channel that closes when its last sender detaches')
def auto_close(t):
    s, other = t.session(), t.session()
    a = s.make(t.name, roles=RECEIVER, CHAN_FLAGS=AUTO_CLOSE)
    watcher = s.attach(t.name, roles=RECEIVER)
    watcher.detach()
    equal(s.stats(t.name)['closed'], 0, 'section 10: it does not before it has had one')
    b, c = other.attach(t.name, roles=SENDER), other.attach(t.name)
    b.send(b'1')
    b.detach()
    equal(s.stats(t.name)['closed'], 0, 'another sender is attached')
    wait = a.start_recv(COUNT=1)
    a.taken(a.deliveries(s.wait(wait)))
    wait = a.start_recv()
    s.barrier()
    c.detach()
    equal(s.wait(wait).result, 'PIPE', 'section 10: closes by itself')
    equal(s.stats(t.name)['closed'], 1, 'section 3, STATISTICS')


@case('a session that ends detaches its senders')
def auto_close_bye(t):
    s, other = t.session(), t.session()
    a = s.make(t.name, roles=RECEIVER, CHAN_FLAGS=AUTO_CLOSE)
    other.attach(t.name, roles=SENDER).send(b'1')
    other.bye()
    equal(a.recv_data(), [b'1'], 'section 10: drained')
    equal(a.try_recv().result, 'PIPE', 'sections 5.4 and 10')


@case('CHAN_DESTROY: the name is free at once, who is attached may drain')
def destroy(t):
    s, other = t.session(), t.session()
    before = statistics(s.must('STATS').get('STATISTICS'))
    a, b = s.make(t.name, CAPACITY=3), other.attach(t.name, roles=RECEIVER)
    a.send(b'1', b'2', b'3')
    wait = a.start_send(b'4')
    s.barrier()
    other.must('CHAN_DESTROY', NAME=t.name)
    equal(s.wait(wait).result, 'PIPE', 'section 10: closes the channel')
    for tlvs in ({'NAME': t.name}, {'CHAN_ID': a.chan_id}):
        for kind, more in (('CHAN_OPEN', {'ROLES': 1}), ('CHAN_INFO', {}), ('CHAN_DESTROY', {})):
            equal(s.call(kind, **tlvs, **more).result, 'NOENT', f'section 10: {kind} {tlvs}')
    names = [channel(c)['NAME'] for c in s.must('CHAN_LIST').all('CHANNEL')]
    true(t.name not in names, 'section 10: CHAN_LIST no longer finds it')
    new = s.make(t.name, elem_size=8, CAPACITY=1)
    equal(new.created, True, 'section 10: the name is free')
    true(new.chan_id != a.chan_id, 'section 11: an id never names another channel later')
    equal(b.recv_data(), [b'1'], 'section 10: attached receivers may drain it')
    leased = b.lease()
    equal(data_of(leased), [b'2'], 'section 10')
    b.settle('NACK', leased)
    b.detach()
    a.detach()
    after = statistics(s.must('STATS').get('STATISTICS'))
    equal(after['dropped: destroyed'] - before['dropped: destroyed'], 2, 'section 10: dropped: destroyed')
    equal(after['sent'] - before['sent'], 3, 'section 6, STATS: those of destroyed channels included')
    equal(unbalanced(after), unbalanced(before), 'section 3')


@case('CHAN_DESTROY: drained to the end, then PIPE')
def destroy_drain(t):
    s = t.session()
    a = s.make(t.name)
    a.send(b'1', b'2')
    s.must('CHAN_DESTROY', CHAN_ID=a.chan_id)
    equal(a.recv_data(COUNT=9), [b'1', b'2'], 'section 10')
    equal(a.try_recv().result, 'PIPE', 'section 10: closes the channel')


@case('CHAN_PURGE drops what is queued, and nothing else')
def purge(t):
    s = t.session()
    a = s.make(t.name, CAPACITY=16)
    c = s.attach(t.name, roles=RECEIVER, CREDIT=2)
    a.send(*(b'%d' % i for i in range(8)))
    c.ahead_data(2)
    leased = a.lease(COUNT=2)
    back = a.lease(COUNT=1)
    a.settle('NACK', back)
    reply = s.must('CHAN_PURGE', NAME=t.name)
    equal(reply.get('COUNT'), 4,
          'section 6, CHAN_PURGE: returned included; not what is leased or given ahead')
    equal(data_of(c.take_ahead(2)), [b'0', b'1'], 'given ahead')
    equal(a.settle('ACK', leased).get('COUNT'), 2, 'leased')
    equal(s.must('CHAN_PURGE', CHAN_ID=a.chan_id).get('COUNT'), 0, 'section 6, CHAN_PURGE: COUNT is how many')
    stats = s.stats(t.name)
    equal((stats['dropped: purged'], stats['received'], stats['length']), (4, 4, 0), 'section 3')
    balanced(stats)


@case('CHAN_PURGE makes room for senders that wait')
def purge_room(t):
    s = t.session()
    a = s.make(t.name, CAPACITY=2)
    a.send(b'1', b'2')
    wait = a.start_send(b'3')
    s.must('CHAN_PURGE', NAME=t.name)
    equal(s.wait(wait).get('COUNT'), 1, 'section 8: waits while it cannot proceed')
    equal(a.recv_data(COUNT=9), [b'3'], 'what came after')


@case('STATS: the books of all channels balance')
def stats(t):
    s = t.session()
    reply = s.must('STATS')
    equal(reply.seq, 0, 'section 5.2')
    first = statistics(reply.get('STATISTICS'))
    a = s.make(t.name)
    a.send(b'1', b'2', b'3')
    a.recv(COUNT=1)
    second = statistics(s.must('STATS').get('STATISTICS'))
    balanced(second)
    equal([second[k] - first[k] for k in ('sent', 'received', 'queued', 'channels')], [3, 1, 2, 1],
          'section 6, STATS: the sums of all ledgers')
    true(second['pid of the daemon'] and second['connections'] >= 1 and second['sessions'] >= 1, 'section 3')
    true(second['frames in'] > first['frames in'] and second['frames out'] > first['frames out'], 'section 3')
    true(second['milliseconds since start'] >= first['milliseconds since start'], 'section 3')


# ---- rights; 1000 and the like need not exist

OWNER, GROUP, OTHER = (1000, 1000), (1001, 1000), (1002, 1002)


def users(t, *ids):
    found = []
    for uid, gid in ids:
        with t.user(uid, gid):
            found.append(t.session())
    return found


@case('rights: owner, group and others')
def rights(t):
    owner, group, other = users(t, OWNER, GROUP, OTHER)
    # owner sends and administers, the group receives, others nothing
    owner.must('CHAN_MAKE', NAME=t.name, KIND=BUFFERED, ELEM_SIZE=0, CAPACITY=4, ROLES=SENDER, MODE=0o340)
    equal([owner.info(t.name)[k] for k in ('UID', 'GID')], list(OWNER), 'section 11')
    wanted = {(owner, SENDER): 'OK', (owner, RECEIVER): 'ACCES', (owner, SENDER | RECEIVER): 'ACCES',
              (owner, OBSERVER): 'OK', (group, SENDER): 'ACCES', (group, RECEIVER): 'OK',
              (group, OBSERVER): 'OK'}
    for (who, role), result in wanted.items():
        reply = who.call('CHAN_OPEN', NAME=t.name, ROLES=role)
        equal(reply.result, result, f'section 11: the first class that fits decides; ROLES {role}')
        if result == 'ACCES':
            true(reply.get('DETAIL'), 'section 4: DETAIL names it')
    equal(other.call('CHAN_INFO', NAME=t.name).result, 'NOENT', 'section 6: no right at all')
    names = [channel(c)['NAME'] for c in other.must('CHAN_LIST').all('CHANNEL')]
    true(t.name not in names, 'section 6, CHAN_LIST: channels the caller has any right to')
    true(other.call('CHAN_OPEN', NAME=t.name, ROLES=RECEIVER).result in ('ACCES', 'NOENT'), 'section 11')
    for kind in ('CHAN_CLOSE', 'CHAN_DESTROY', 'CHAN_PURGE'):
        equal(group.call(kind, NAME=t.name).result, 'ACCES', f'section 11: {kind}')
    equal(t.session().call('CHAN_OPEN', NAME=t.name, ROLES=3).result, 'OK', 'section 11: uid 0 passes rights')
    owner.must('CHAN_PURGE', NAME=t.name)
    owner.must('CHAN_DESTROY', NAME=t.name)


@case('rights: who may send may close')
def rights_close(t):
    owner, other = users(t, OWNER, OTHER)
    owner.make(t.name, MODE=0o702)
    equal(other.call('CHAN_DESTROY', NAME=t.name).result, 'ACCES', 'section 11')
    equal(other.call('CHAN_CLOSE', NAME=t.name).result, 'OK', 'section 11: send or administer')


@case('rights: uid 65534 cannot own a channel')
def nobody(t):
    s, = users(t, (65534, 65534))
    equal(options(t, s).result, 'ACCES', 'section 11')
