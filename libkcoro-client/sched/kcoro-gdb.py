# SPDX-License-Identifier: BSD-3-Clause
"""Coroutines for gdb: `source kcoro-gdb.py`, then `info coroutines [bt]`.

Lists every coroutine of every scheduler of a stopped process: its name, whether it is parked, ready
or running, and where its function is; with `bt` also the backtrace of those that do not run. For
that the registers of the selected thread are set to what the coroutine saved, and set back, so it
needs a live process. The library has to have debugging symbols.
"""
import gdb

# What kci_switch keeps on the stack, by architecture: {register: offset from the saved pointer},
# and by how much the stack pointer of the caller is above it (its red zone included).
SAVED = {
    'i386:x86-64': ({'r15': 8, 'r14': 16, 'r13': 24, 'r12': 32, 'rbx': 40, 'rbp': 48, 'rip': 56},
                    'rsp', 64 + 128),
    'aarch64': (dict([('x%d' % n, 16 + 8 * (n - 19)) for n in range(19, 30)] + [('pc', 104)]),
                'sp', 176),
}


def word(address):
    return int(gdb.Value(int(address)).cast(gdb.lookup_type('unsigned long').pointer()).dereference())


def atomic(value):
    """The number in an _Atomic, which gdb shows like any other."""
    return int(value)


def schedulers():
    table = gdb.lookup_symbol('kci_scheds')[0] or gdb.lookup_global_symbol('kci_scheds')
    table = table.value()
    kind = gdb.lookup_type('struct kc_sched').pointer()
    for i in range(table.type.range()[1] + 1):
        if atomic(table[i]):
            yield table[i].cast(kind).dereference()


def listed(head, kind, member):
    """The objects on a struct kci_list."""
    offset = next(f.bitpos // 8 for f in gdb.lookup_type(kind).fields() if f.name == member)
    node = head['next']
    while int(node) != int(head.address):
        yield gdb.Value(int(node) - offset).cast(gdb.lookup_type(kind).pointer()).dereference()
        node = node.dereference()['next']


def coroutines(sched):
    """Those whose stack is in use, whoever has it: one that ended and waits for its join too."""
    pool = sched['stacks']
    kind = gdb.lookup_type('struct kc_coro')
    cached = set()
    for n in range(int(sched['n_workers'])):
        worker = sched['workers'][n]
        for i in range(int(worker['n_cache'])):
            cached.add(int(worker['cache'][i]))
    for slab in listed(pool['slabs'], 'struct kci_slab', 'link'):
        for i in range(int(slab['cut'])):
            if int(slab['free']) >> i & 1:
                continue
            # as coro_place() in spawn.c reckons
            top = int(slab['base']) + (i + 1) * int(pool['stride']) - i % 16 * 128
            at = (top - kind.sizeof) & ~63
            if at not in cached:
                yield gdb.Value(at).cast(kind.pointer()).dereference()


def state_of(sched, coro):
    for n in range(int(sched['n_workers'])):
        if int(sched['workers'][n]['current']) == int(coro.address):
            return 'running'
    return 'ended' if atomic(coro['end']) == 2 else 'waiting'


def backtrace(coro):
    saved, stack, size = SAVED[gdb.selected_inferior().architecture().name()]
    frame = gdb.selected_frame()
    gdb.newest_frame().select()
    before = {name: int(gdb.parse_and_eval('(unsigned long)$%s' % name))
              for name in list(saved) + [stack]}
    sp = int(coro['sp'])
    try:
        # the stack first: gdb's idea of the frame hangs on both
        gdb.execute('set $%s = %d' % (stack, sp + size))
        for name, offset in saved.items():
            gdb.execute('set $%s = %d' % (name, word(sp + offset)))
        gdb.execute('backtrace 20')
    finally:
        for name, value in before.items():
            gdb.execute('set $%s = %d' % (name, value))
        frame.select()


class InfoCoroutines(gdb.Command):
    """info coroutines [bt]: the coroutines of every scheduler, with backtraces if asked for."""

    def __init__(self):
        super().__init__('info coroutines', gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        number = 0
        for sched in schedulers():
            for coro in coroutines(sched):
                state = state_of(sched, coro)
                name = coro['name'].string() if bool(coro['named']) else ''
                print('%d  %s  "%s"  %s  (struct kc_coro *) 0x%x' % (
                    number, state, name, coro['fn'].format_string(symbols=True), int(coro.address)))
                if argument == 'bt' and state == 'waiting':
                    backtrace(coro)
                number += 1
        if number == 0:
            print('No coroutines.')


InfoCoroutines()
