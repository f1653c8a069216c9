# SPDX-License-Identifier: BSD-3-Clause
"""The kcoro protocol as bytes: frames and TLVs, in both directions.

Written from proto/PROTOCOL.md alone, to show that the document suffices. It is deliberately no
binding of the C codec: a slip that both C sides share is found only by somebody who shares nothing
with them. It does no I/O.
"""
import struct

MAGIC = 0x434b
VERSION = 1
HEADER = struct.Struct('<HBBHHIIQQ')  # section 2
TLV = struct.Struct('<HHI')  # section 3
OPTIONAL = 0x8000  # bit 15 of a TLV's type
REPLY = 1  # bit 0 of a header's flags
DEFAULT_MAX_FRAME = 1_114_112
MAX_TLVS = 65_536
MAX_ENTRIES = 65_536  # of RANGES and REQUESTS

# flags of the message
LEASE, OFFER, PROVISIONAL, CREATED, MORE, WINDOW, PROMISED = 1, 2, 4, 8, 16, 32, 64
# roles
SENDER, RECEIVER, OBSERVER = 1, 2, 4
# kinds, what happens when full, flags of a channel
RENDEZVOUS, BUFFERED, CONFLATED, UNLIMITED = range(4)
BLOCK, DROP_OLDEST, DROP_NEWEST = range(3)
AUTO_CLOSE, LEASES_ONLY = 1, 2

RESULTS = ['OK', 'AGAIN', 'TIME', 'CANCELED', 'PIPE', 'INVAL', 'MSGSIZE', 'NOENT', 'EXIST', 'ACCES',
           'DQUOT', 'NOMEM', 'NOTSUP', 'PROTO', 'CONNRESET', 'BROKEN']


def result_name(number):
    """Section 4: a number that is not known is treated as PROTO."""
    return RESULTS[number] if number < len(RESULTS) else 'PROTO'


class FramingFault(Exception):
    """Nothing after it can be read: the connection is over."""


class ShapeFault(Exception):
    """The frame is one, but what is in it is not as the document says."""


class UnknownMessage(Exception):
    """A message type that does not exist."""


# name: number, kind of value. Kinds with bounds are tuples.
TLVS = {
    'VERSION_MIN': (0x0001, 'u32'),
    'VERSION_MAX': (0x0002, 'u32'),
    'FEATURES': (0x0003, 'u64'),
    'FEATURES_OFFERED': (0x8004, 'u64'),
    'TOKEN': (0x0005, ('bytes', 16, 16)),
    'MAX_FRAME': (0x0006, 'u32'),
    'GRACE_MS': (0x0007, 'u32'),
    'PROGRAM': (0x8008, ('text', 0, 63)),
    'RESULT': (0x0009, 'u32'),
    'DETAIL': (0x800a, ('text', 0, 255)),
    'NAME': (0x000b, ('text', 1, 255)),
    'CHAN_ID': (0x000c, 'u64'),
    'ATTACH': (0x000d, 'u32'),
    'KIND': (0x000e, 'u32'),
    'ELEM_SIZE': (0x000f, 'u32'),
    'CAPACITY': (0x0010, 'u32'),
    'MAX_MSG': (0x0011, 'u32'),
    'MAX_BYTES': (0x0012, 'u64'),
    'OVERFLOW': (0x0013, 'u32'),
    'MODE': (0x0014, 'u32'),
    'ROLES': (0x0015, 'u32'),
    'CHAN_FLAGS': (0x0016, 'u32'),
    'FLAGS': (0x0017, 'u32'),
    'TIMEOUT_MS': (0x0018, 'u64'),
    'COUNT': (0x0019, 'u32'),
    'SPACE': (0x001a, 'u64'),
    'ELEMENTS': (0x001b, ('bytes', 0, 0xffffffff)),
    'DELIVERY': (0x001c, 'u64'),
    'RANGES': (0x001d, 'ranges'),
    'DELIVERED_BEFORE': (0x001e, 'list32'),
    'LEASE_MS': (0x001f, 'u32'),
    'CREDIT': (0x0020, 'u32'),
    'REQUEST': (0x0021, 'u64'),
    'REQUESTS': (0x0022, 'ids'),
    'ATTACHMENT': (0x0023, ('tlvs', 'ATTACH DELIVERY RANGES?')),
    'CHANNEL': (0x0024, ('tlvs', 'CHAN_ID NAME KIND ELEM_SIZE CAPACITY MAX_MSG MAX_BYTES OVERFLOW '
                                 'CHAN_FLAGS MODE UID GID STATISTICS')),
    'GROUP': (0x0025, 'u64'),
    'NEEDED': (0x0026, 'u64'),
    'UID': (0x0027, 'u32'),
    'GID': (0x0028, 'u32'),
    'STATISTICS': (0x0029, 'stats'),
    'REQUESTS_MAX': (0x002a, 'u32'),
    'RINGS': (0x002b, 'u64'),
    'OFFSET': (0x002c, 'u32'),
    'WINDOW': (0x002d, 'u32'),
}
NAMES = {number: name for name, (number, _) in TLVS.items()}

STATISTICS = {
    1: 'sent', 2: 'received', 3: 'queued', 4: 'leased', 5: 'conflated', 6: 'dropped: oldest',
    7: 'dropped: newest', 8: 'dropped: purged', 9: 'dropped: destroyed', 10: 'expired',
    11: 'lost: consumer', 12: 'lost: daemon', 13: 'bytes sent', 14: 'bytes received', 15: 'length',
    16: 'bytes held', 17: 'closed', 18: 'senders attached', 19: 'receivers attached',
    20: 'waiting senders', 21: 'waiting receivers', 22: 'redelivered', 23: 'pid of the daemon',
    24: 'milliseconds since start', 25: 'connections', 26: 'sessions', 27: 'channels',
    28: 'frames in', 29: 'frames out', 30: 'resumes',
}

# Section 6. "A|B": exactly one of them; "?": may be absent; "*": repeated (and may be absent).
_OPENED = 'CHAN_ID NAME ATTACH KIND ELEM_SIZE CAPACITY MAX_MSG MAX_BYTES OVERFLOW CHAN_FLAGS'
_MESSAGES = [
    # number, name, forms, TLVs, TLVs of the reply
    (1, 'HELLO', 'C', 'VERSION_MIN VERSION_MAX FEATURES? FEATURES_OFFERED? MAX_FRAME? PROGRAM?',
     'VERSION_MIN VERSION_MAX FEATURES TOKEN MAX_FRAME GRACE_MS REQUESTS_MAX PROGRAM?'),
    (2, 'RESUME', 'C', 'TOKEN REQUESTS? ATTACHMENT*', 'REQUESTS?'),
    (3, 'BYE', 'N', '', None),
    (4, 'PING', 'C', '', ''),
    (5, 'CONFIRM', 'N', '', None),
    (6, 'CANCEL', 'C', 'REQUEST', ''),
    (7, 'ERROR', 'E', 'RESULT DETAIL?', None),
    (16, 'CHAN_MAKE', 'C', 'NAME KIND ELEM_SIZE CAPACITY? MAX_MSG? MAX_BYTES? OVERFLOW? MODE? '
     'CHAN_FLAGS? ROLES FLAGS? CREDIT? LEASE_MS?', _OPENED + ' FLAGS?'),
    (17, 'CHAN_OPEN', 'C', 'NAME|CHAN_ID ROLES FLAGS? CREDIT? LEASE_MS?', _OPENED),
    (18, 'CHAN_DETACH', 'C', 'ATTACH', ''),
    (19, 'CHAN_LIST', 'C', 'NAME? COUNT?', 'CHANNEL* FLAGS?'),
    (20, 'CHAN_INFO', 'C', 'NAME|CHAN_ID', 'CHANNEL'),
    (21, 'CHAN_CLOSE', 'C', 'NAME|CHAN_ID', ''),
    (22, 'CHAN_DESTROY', 'C', 'NAME|CHAN_ID', ''),
    (23, 'CHAN_PURGE', 'C', 'NAME|CHAN_ID', 'COUNT'),
    (24, 'CHAN_WATCH', 'C', 'ATTACH ROLES', 'RINGS'),
    (25, 'CHAN_MAP', 'C', 'ATTACH WINDOW?', 'OFFSET'),
    (32, 'SEND', 'C', 'ATTACH ELEMENTS TIMEOUT_MS? FLAGS? GROUP?', 'COUNT'),
    (33, 'RECV', 'C', 'ATTACH COUNT? SPACE? TIMEOUT_MS? FLAGS? LEASE_MS? GROUP?',
     'COUNT DELIVERY ELEMENTS DELIVERED_BEFORE? FLAGS?'),
    (34, 'TAKEN', 'CN', 'ATTACH RANGES', ''),
    (35, 'ACK', 'C', 'ATTACH RANGES', 'COUNT'),
    (36, 'NACK', 'C', 'ATTACH RANGES', 'COUNT'),
    (37, 'EXTEND', 'C', 'ATTACH RANGES LEASE_MS', 'COUNT'),
    (38, 'CREDIT', 'C', 'ATTACH CREDIT', ''),
    (39, 'DELIVER', 'E', 'ATTACH COUNT DELIVERY ELEMENTS DELIVERED_BEFORE?', None),
    (40, 'RECALL', 'E', 'ATTACH COUNT', None),
    (41, 'RETURN', 'N', 'ATTACH RANGES?', None),
    (48, 'OFFER', 'E', 'REQUEST', None),
    (49, 'CLAIM', 'C', 'REQUEST', ''),
    (50, 'DECLINE', 'C', 'REQUEST', ''),
    (64, 'STATS', 'C', '', 'STATISTICS PROGRAM?'),
]
TYPES = {name: number for number, name, *_ in _MESSAGES}
# these replies tell of no effect: their seq is 0 (section 5.2)
NOT_KEPT = {'HELLO', 'RESUME', 'PING', 'CHAN_LIST', 'CHAN_INFO', 'CHAN_WATCH', 'CHAN_MAP',
            'STATS'}


class Rules:
    """Which TLVs stand in a frame, or in a container."""

    def __init__(self, text):
        self.needed, self.maybe, self.repeated, self.either = set(), set(), set(), []
        for word in text.split():
            if '|' in word:
                self.either.append(word.split('|'))
                self.maybe.update(word.split('|'))
            elif word.endswith('*'):
                self.repeated.add(word[:-1])
            elif word.endswith('?'):
                self.maybe.add(word[:-1])
            else:
                self.needed.add(word)

    def known(self):
        return self.needed | self.maybe | self.repeated

    def check(self, pairs, where):
        names = [name for name, _ in pairs]
        for name in names:
            if name not in self.known():
                raise ShapeFault(f'{name} has no place in {where}')
            if names.count(name) > 1 and name not in self.repeated:
                raise ShapeFault(f'{name} twice in {where}')
        for name in self.needed - set(names):
            raise ShapeFault(f'{where} without {name}')
        for choice in self.either:
            if len(set(choice) & set(names)) != 1:
                raise ShapeFault(f'{where} needs one of {" and ".join(choice)}')


def _rules():
    """(form, type): the rules, for all forms; a failed reply has rules of its own."""
    table = {}
    for number, _, forms, tlvs, reply in _MESSAGES:
        for form in forms:
            table[{'C': 'request', 'N': 'notice', 'E': 'event'}[form], number] = Rules(tlvs)
        if reply is not None:
            table['reply', number] = Rules('RESULT DETAIL? ' + reply)
            more = {'HELLO': ' VERSION_MIN? VERSION_MAX?', 'RECV': ' NEEDED? RINGS?',
                    'SEND': ' RINGS?'}
            table['failure', number] = Rules('RESULT DETAIL?' + more.get(name_of(number), ''))
    return table


def name_of(number, unknown=None):
    for known, name, *_ in _MESSAGES:
        if known == number:
            return name
    if unknown:
        return unknown
    raise UnknownMessage(f'message type {number}')


RULES = _rules()


class Frame:
    """One frame. tlvs is a list of (name, value): repeated ones keep their order."""

    def __init__(self, form, kind, number, seq, tlvs):
        self.form, self.kind, self.id, self.seq = form, kind, number, seq
        self.tlvs = list(tlvs)

    def get(self, name, default=None):
        for known, value in self.tlvs:
            if known == name:
                return value
        return default

    def all(self, name):
        return [value for known, value in self.tlvs if known == name]

    @property
    def result(self):
        """By name; None for what is no reply and no ERROR."""
        number = self.get('RESULT')
        return None if number is None else result_name(number)

    def __repr__(self):
        what = [self.form, self.kind, f'id {self.id}', f'seq {self.seq}']
        if self.result is not None:
            what.append(self.result)
        for name, value in self.tlvs:
            if name != 'RESULT':
                text = repr(value)
                what.append(f'{name}={text if len(text) < 80 else text[:77] + "..."}')
        return '<' + ' '.join(what) + '>'


# ---- values

def _fixed(value, size, name):
    if len(value) != size:
        raise ShapeFault(f'{name} of {len(value)} bytes')
    return int.from_bytes(value, 'little')


def _numbers(value, size, name):
    if len(value) % size:
        raise ShapeFault(f'{name} of {len(value)} bytes')
    return [int.from_bytes(value[i:i + size], 'little') for i in range(0, len(value), size)]


def check_ranges(ranges):
    """Count not 0, rising, not touching, nothing past the last number."""
    if len(ranges) > MAX_ENTRIES:
        raise ShapeFault('too many RANGES')
    end = None
    for first, count in ranges:
        if count == 0:
            raise ShapeFault('a range of nothing')
        if end is not None and first <= end:
            raise ShapeFault('RANGES fall or touch')
        end = first + count
        if end > 1 << 64:
            raise ShapeFault('a range past the last number')


def decode_value(name, value):
    kind = TLVS[name][1]
    if kind == 'u32':
        return _fixed(value, 4, name)
    if kind == 'u64':
        return _fixed(value, 8, name)
    if kind == 'list32':
        return _numbers(value, 4, name)
    if kind == 'ids':
        ids = _numbers(value, 8, name)
        if len(ids) > MAX_ENTRIES or any(a >= b for a, b in zip(ids, ids[1:])):
            raise ShapeFault(f'{name}: too many, or they do not rise')
        return ids
    if kind == 'ranges':
        flat = _numbers(value, 8, name)
        if len(flat) % 2:
            raise ShapeFault(f'{name} of {len(value)} bytes')
        ranges = list(zip(flat[::2], flat[1::2]))
        check_ranges(ranges)
        return ranges
    if kind == 'stats':
        stats = {}
        for number, inner in split_tlvs(value):
            # what is not known is skipped, but it has to be a number all the same
            if number in stats:
                raise ShapeFault(f'statistic {number} twice')
            stats[number] = _fixed(inner, 8, f'statistic {number}')
        return stats
    what, least, most = kind if kind[0] != 'tlvs' else (kind[0], 0, 0)
    if what == 'tlvs':
        return decode_tlvs(value, Rules(kind[1]), name)
    if not least <= len(value) <= most:
        raise ShapeFault(f'{name} of {len(value)} bytes')
    if what == 'bytes':
        return value
    return value.decode('utf-8', 'surrogateescape')


def encode_value(name, value):
    kind = TLVS[name][1]
    if kind == 'u32':
        return value.to_bytes(4, 'little')
    if kind == 'u64':
        return value.to_bytes(8, 'little')
    if kind == 'list32':
        return b''.join(v.to_bytes(4, 'little') for v in value)
    if kind == 'ids':
        return b''.join(v.to_bytes(8, 'little') for v in value)
    if kind == 'ranges':
        return b''.join(struct.pack('<QQ', first, count) for first, count in value)
    if kind == 'stats':
        return b''.join(TLV.pack(number, 0, 8) + v.to_bytes(8, 'little') for number, v in value.items())
    if kind[0] == 'tlvs':
        return encode_tlvs(value)
    return value.encode('utf-8', 'surrogateescape') if kind[0] == 'text' else bytes(value)


# ---- TLVs

def split_tlvs(data):
    """The TLVs of a payload as (number, bytes), whatever they are."""
    found, at = [], 0
    while at < len(data):
        if len(data) - at < TLV.size:
            raise ShapeFault('a TLV is cut')
        number, reserved, length = TLV.unpack_from(data, at)
        at += TLV.size
        if reserved:
            raise ShapeFault('the reserved field of a TLV is not 0')
        if length > len(data) - at:
            raise ShapeFault('a TLV overruns its frame')
        found.append((number, data[at:at + length]))
        at += length
        if len(found) > MAX_TLVS:
            raise ShapeFault('too many TLVs')
    return found


def decode_tlvs(data, rules, where):
    pairs = []
    for number, value in split_tlvs(data):
        name = NAMES.get(number)
        if number & OPTIONAL and name not in rules.known():
            continue
        if name is None:
            raise ShapeFault(f'TLV {number:#06x} is unknown')
        pairs.append((name, decode_value(name, value)))
    rules.check(pairs, where)
    return pairs


def encode_tlvs(pairs):
    parts = []
    for name, value in pairs:
        data = encode_value(name, value)
        parts.append(TLV.pack(TLVS[name][0], 0, len(data)) + data)
    return b''.join(parts)


# ---- frames

def decode_header(data, from_client, max_frame=DEFAULT_MAX_FRAME):
    """The form, type, length, id and seq that the first 32 bytes tell."""
    magic, version, flags, kind, reserved, length, reserved2, number, seq = HEADER.unpack(data)
    if magic != MAGIC:
        raise FramingFault('wrong magic')
    if version != VERSION:
        raise FramingFault(f'version {version}')
    if flags & ~REPLY or reserved or reserved2:
        raise FramingFault('a reserved bit or field is not 0')
    if HEADER.size + length > max_frame:
        raise FramingFault(f'a frame of {length} bytes and its header is too long')
    if from_client:
        if flags & REPLY:
            raise FramingFault('a reply from a client')
        form = 'request' if number else 'notice'
    elif flags & REPLY:
        if not number:
            raise FramingFault('a reply to nothing')
        form = 'reply'
    else:
        if number:
            raise FramingFault('an event with an id')
        form = 'event'
    return form, kind, length, number, seq


def decode_payload(form, number, data):
    """The message's name and TLVs."""
    name = name_of(number, f'type {number}' if form == 'reply' else None)
    if form == 'reply' and (form, number) not in RULES:
        # what was asked for does not exist, which is what the reply says
        return name, decode_tlvs(data, Rules('RESULT DETAIL?'), f'reply {name}')
    if (form, number) not in RULES:
        raise UnknownMessage(f'{name} is no {form}')
    rules = RULES[form, number]
    if form == 'reply':
        # whether it failed decides what stands in it: RESULT may stand anywhere
        for inner, value in split_tlvs(data):
            if inner == TLVS['RESULT'][0] and value != bytes(4):
                rules = RULES['failure', number]
    return name, decode_tlvs(data, rules, f'{form} {name}')


def decode(data, from_client, max_frame=DEFAULT_MAX_FRAME):
    """One whole frame."""
    if len(data) < HEADER.size:
        raise FramingFault('a header is cut')
    form, kind, length, number, seq = decode_header(data[:HEADER.size], from_client, max_frame)
    if length != len(data) - HEADER.size:
        raise FramingFault('the length is not that of the frame')
    name, tlvs = decode_payload(form, kind, data[HEADER.size:])
    return Frame(form, name, number, seq, tlvs)


def encode(frame):
    return pack_frame(TYPES[frame.kind], frame.id, frame.seq, encode_tlvs(frame.tlvs),
                      flags=REPLY if frame.form == 'reply' else 0)


def pack_frame(kind, number, seq, payload, *, magic=MAGIC, version=VERSION, flags=0, reserved=0,
               reserved2=0, length=None):
    """A frame of any fields, wrong ones too: tests need those."""
    length = len(payload) if length is None else length
    return HEADER.pack(magic, version, flags, kind, reserved, length, reserved2, number, seq) + payload


# ---- elements

def pack_messages(messages):
    return b''.join(len(m).to_bytes(4, 'little') + m for m in messages)


def unpack_elements(elem_size, data):
    """Of ELEMENTS: fixed elements one after the other, or messages with their lengths."""
    if elem_size:
        if len(data) % elem_size:
            raise ShapeFault('ELEMENTS is no whole number of elements')
        return [data[i:i + elem_size] for i in range(0, len(data), elem_size)]
    found, at = [], 0
    while at < len(data):
        if len(data) - at < 4:
            raise ShapeFault('the length of a message is cut')
        length = int.from_bytes(data[at:at + 4], 'little')
        at += 4
        if length > len(data) - at:
            raise ShapeFault('a message overruns ELEMENTS')
        found.append(data[at:at + length])
        at += length
    return found


def to_ranges(numbers):
    """Sets of deliveries as RANGES."""
    ranges = []
    for number in sorted(set(numbers)):
        if ranges and sum(ranges[-1]) == number:
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + 1)
        else:
            ranges.append((number, 1))
    return ranges
