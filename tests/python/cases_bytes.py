# SPDX-License-Identifier: BSD-3-Clause
"""The document itself, its examples and the golden vectors, through the codec of this folder."""
import glob
import os
import re

import kcoro_wire as wire
from harness import Mismatch, case, equal, true
from kcoro_client import Closed

SOURCE = os.environ['KC_SRCDIR']


def document():
    with open(os.path.join(SOURCE, 'proto', 'PROTOCOL.md'), encoding='utf-8') as file:
        return file.read()


def table_after(text, heading):
    """The rows of the first table behind this line."""
    rows = []
    for line in text[text.index(heading):].splitlines():
        if line.startswith('|'):
            rows.append([cell.strip() for cell in line.strip('|').split('|')])
        elif rows:
            return rows[2:]
    return rows[2:]


@case('the table of TLVs is the one of the codec')
def tlv_table(_):
    rows = table_after(document(), '| type | name | value | meaning |')
    equal({name: int(number, 16) for number, name, *_ in rows},
          {name: number for name, (number, _) in wire.TLVS.items()}, 'section 3')
    for _, name, value, *_ in rows:
        kind = wire.TLVS[name][1]
        if value in ('u32', 'u64'):
            equal(kind, value, f'section 3, {name}')


@case('the table of messages is the one of the codec')
def message_table(_):
    rows = table_after(document(), '| type | name | form | TLVs | reply |')
    equal([(int(row[0]), row[1], row[2].replace(', ', '')) for row in rows],
          [(number, name, forms) for number, name, forms, *_ in wire._MESSAGES], 'section 6')
    for number, name, _, tlvs, reply in rows:
        for form in ('request', 'notice', 'event'):
            rules = wire.RULES.get((form, int(number)))
            if rules:
                equal(set(re.findall(r'\b[A-Z_]{2,}\b', re.sub(r'\([A-Z, ]*\)', '', tlvs))), rules.known(),
                      f'section 6, {name}')
        if reply and 'as CHAN_OPEN' not in reply:
            text = re.sub(r'\([A-Z, ]*\)|; with .*', '', reply)
            equal(set(re.findall(r'\b[A-Z_]{2,}\b', text)) | {'RESULT', 'DETAIL'},
                  wire.RULES['reply', int(number)].known(), f'section 6, reply to {name}')


@case('the tables of results and statistics are those of the codec')
def other_tables(_):
    rows = table_after(document(), '| number | name | code in C | meaning |')
    equal([(int(row[0]), row[1]) for row in rows], list(enumerate(wire.RESULTS)), 'section 4')
    rows = table_after(document(), '| type | name | | type | name |')
    found = {}
    for row in rows:
        cells = [cell for cell in row if cell]
        found.update({int(cells[i]): cells[i + 1].split(' (')[0] for i in range(0, len(cells), 2)})
    equal(found, wire.STATISTICS, 'section 3, STATISTICS')


def examples():
    """(title, bytes, what the comments say) of section 13."""
    text = document()
    text = text[text.index('\n## 13 Examples in bytes'):]
    for part in text.split('\n### ')[1:]:
        title = part.splitlines()[0]
        lines = part.split('```')[1].splitlines()[1:]
        parts = [line.partition('|') for line in lines]
        yield title, bytes.fromhex(''.join(p[0] for p in parts)), [p[2].strip() for p in parts]


@case('the examples in bytes say what stands beside them, and are encoded alike')
def examples_in_bytes(_):
    count = 0
    for title, data, comments in examples():
        daemon = 'Reply' in title or 'event' in title
        frame = wire.decode(data, not daemon)
        equal(wire.encode(frame), data, f'{title}, encoded again')
        equal(daemon, frame.form in ('reply', 'event'), title)
        said = dict(reversed(re.findall(r'^(id|seq|type|length:) (\d+)', '\n'.join(comments), re.M)))
        equal((said['id'], said['seq'], said['type'], said['length:']),
              (str(frame.id), str(frame.seq), str(wire.TYPES[frame.kind]),
               str(len(data) - wire.HEADER.size)), f'{title}, the header')
        flat = []
        for name, value in frame.tlvs:
            flat.append((name, len(wire.encode_value(name, value))))
            if name == 'ATTACHMENT':
                flat += [(n, len(wire.encode_value(n, v))) for n, v in value]
        told = re.findall(r'^([A-Z_]+), (\d+) bytes$', '\n'.join(comments), re.M)
        equal([(n, int(size)) for n, size in told], flat, f'{title}, the TLVs')
        count += 1
    true(count >= 14, 'section 13 has at least 14 examples')


# ---- golden vectors

def blocks():
    """Each vector as its lines, split at the first blank."""
    for path in sorted(glob.glob(os.path.join(SOURCE, 'tests', 'golden', '*.txt'))):
        with open(path, encoding='utf-8') as file:
            for block in re.split(r'\n\s*\n', file.read()):
                lines = [line.strip() for line in block.splitlines()]
                lines = [line.partition(' ') for line in lines if line and not line.startswith('#')]
                if lines:
                    yield [(word, rest) for word, _, rest in lines]


def value_of(name, text, lines):
    """A value as README writes it; containers take their lines."""
    kind = wire.TLVS[name][1]
    if text == '{':
        inner = []
        while True:
            word, rest = lines.pop(0)
            if word == '}':
                return dict(inner) if kind == 'stats' else inner
            key, _, value = rest.partition(' ')
            inner.append((int(key), int(value)) if word == 'stat' else (key, value_of(key, value, lines)))
    if kind in ('u32', 'u64'):
        return int(text)
    if kind in ('list32', 'ids'):
        return [int(n) for n in text.split()]
    if kind == 'ranges':
        return [tuple(int(n) for n in r.split('+')) for r in text.split()]
    if kind[0] == 'text':
        return text[1:-1]
    return bytes.fromhex(text)


def vectors():
    """(name, expectation or None, Frame or None, bytes) of all files."""
    for lines in blocks():
        fields, tlvs, data = {}, [], b''
        while lines:
            word, rest = lines.pop(0)
            if word == 'tlv':
                name, _, value = rest.partition(' ')
                tlvs.append((name, value_of(name, value, lines)))
            elif word == 'hex':
                data += bytes.fromhex(rest)
            else:
                fields[word] = rest
        frame = None
        if 'form' in fields:
            number, name = fields['type'].split()
            equal(int(number), wire.TYPES.get(name), f'type of {fields["vector"]}')
            frame = wire.Frame(fields['form'], name, int(fields['id']), int(fields['seq']), tlvs)
        yield fields['vector'], fields.get('expect'), frame, data


@case('golden vectors, decoded and encoded')
def golden(_):
    seen = set()
    for name, expect, frame, data in vectors():
        if expect:
            continue
        got = wire.decode(data, frame.form in ('request', 'notice'))
        equal((got.form, got.kind, got.id, got.seq, got.tlvs),
              (frame.form, frame.kind, frame.id, frame.seq, frame.tlvs), f'{name}, decoded')
        equal(wire.encode(frame), data, f'{name}, encoded')
        seen.add((frame.form, frame.kind))
    wanted = {(form, wire.name_of(number)) for form, number in wire.RULES if form != 'failure'}
    equal(wanted - seen, set(), 'every message in every form')


@case('golden vectors of faults, decoded')
def golden_faults(_):
    count = 0
    for name, expect, _, data in vectors():
        if not expect:
            continue
        count += 1
        try:
            # what is only a wrong value has the right shape
            wire.decode(data, True)
            got = 'ok'
        except wire.FramingFault:
            got = 'framing'
        except wire.ShapeFault:
            got = 'proto'
        except wire.UnknownMessage:
            got = 'notsup'
        equal(got, 'ok' if expect == 'inval' else expect, name)
    true(count > 40, 'more than 40 vectors')


def answer_to(t, data):
    """What the daemon makes of this frame with id 2 after HELLO: a result, or framing."""
    conn = t.session().conn
    conn.write(data)
    frame = conn.read()
    if frame.kind == 'ERROR':
        try:
            extra = conn.read()
        except Closed:
            return 'framing'
        raise Mismatch(f'section 2, Framing: ERROR and close, but after it came {extra!r}')
    equal((frame.form, frame.id), ('reply', 2), 'section 2: exactly one reply, with the same id')
    conn.write(wire.encode(wire.Frame('request', 'PING', 3, frame.seq, [])))
    equal(conn.read().kind, 'PING', 'section 2, Shape: the connection goes on')
    return frame.result.lower()


for _name, _expect, _frame, _data in vectors():
    if _expect:
        case(f'golden fault {_name} is answered with {_expect}')(
            lambda t, data=_data, expect=_expect: equal(answer_to(t, data), expect, 'golden/README'))
