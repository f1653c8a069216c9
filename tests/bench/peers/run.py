#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Ours beside its peers, in one table.

A row is a figure and one peer that has something of the kind. In every round each program that has
the figure measures it once, ours and the peers in turn and every other round in reverse; the table
has medians, and the ratio is the median of the rounds' ratios. What is not installed, or not known
to a program, is said on stderr and is n/a; a program that is there and fails makes the exit status 1.
"""
import argparse
import os
import statistics
import subprocess
import sys

ROUNDS = 5
LIMIT = 120  # seconds for one measurement

# peer: program, what differs from ours
PEERS = {
    "boost_context": ("peer-context", "-"),
    "boost_fiber": ("peer-fiber", "round_robin on one thread, pooled stacks"),
    "go": ("peer-go", "GOMAXPROCS=1"),
    "go_2": ("peer-go", "GOMAXPROCS=2"),
    "go_all": ("peer-go", "GOMAXPROCS as many as there are CPUs"),
    "crossbeam": ("peer-crossbeam", "between threads; a select's clauses are told once"),
    "ck_ring_spsc": ("peer-ck", "its users poll"),
    "ck_ring_mpmc": ("peer-ck", "its users poll; a call may spin for a preempted one"),
    "urcu_wfcqueue": ("peer-urcu", "its users poll; no bound, nodes made before the start"),
}

# figure: our program, peers
FIGURES = {
    "switch": ("bench_coro", ["boost_context"]),
    "yield": ("bench_coro", ["boost_fiber", "go"]),
    "spawn_join_1000": ("bench_coro", ["boost_fiber", "go"]),
    "coro_rendezvous_rtt": ("bench_latency", ["boost_fiber", "go"]),
    "coro_pool_rendezvous_rtt": ("bench_latency", ["go_2"]),
    "select_ready_2": ("bench_select", ["crossbeam", "go"]),
    "select_ready_8": ("bench_select", ["crossbeam", "go"]),
    "select_ready_64": ("bench_select", ["crossbeam", "go"]),
    "select_block_2": ("bench_select", ["go"]),
    "select_block_8": ("bench_select", ["go"]),
    "select_block_64": ("bench_select", ["go"]),
    "coro_1x1_cap64_8": ("bench_throughput", ["boost_fiber", "go"]),
    "coro_4x4_cap64_8": ("bench_throughput", ["boost_fiber", "go"]),
    "coro_pool_4x4_cap1024_8": ("bench_throughput", ["go_2"]),
    "thread_1x1_8": ("bench_throughput", ["ck_ring_spsc", "urcu_wfcqueue", "crossbeam", "go_2"]),
    "thread_4x4_8": ("bench_throughput", ["ck_ring_mpmc", "urcu_wfcqueue", "crossbeam",
                                          "go_all"]),
}

COLUMNS = ("figure", "ours", "min", "max", "unit", "peer", "its median", "its min", "its max",
           "ratio", "note")


class Absent(Exception):
    """The program or the figure does not exist here."""


class Failed(Exception):
    """It does, and did not give a number."""


def call(command):
    """The standard output of a program that has to succeed."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=LIMIT, check=False)
    except FileNotFoundError:
        raise Absent("not installed when this was built") from None
    except OSError as e:
        raise Failed(e.strerror) from None
    except subprocess.TimeoutExpired:
        raise Failed(f"no end within {LIMIT} s") from None
    if done.returncode == 0:
        return done.stdout
    last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
    # our programs and peer.h's end so when they do not know a figure
    if done.returncode == 2:
        raise Absent("does not know the figure")
    how = "exit status" if done.returncode > 0 else "signal"
    raise Failed(f"{how} {abs(done.returncode)}: {last}")


def number(text):
    try:
        value = float(text)
    except ValueError:
        raise Failed(f"no number: {text!r}") from None
    if not 0 < value < float("inf"):
        raise Failed(f"not above 0: {text}")
    return value


def line_of(name, text, columns):
    """The one line of that name, split."""
    for line in text.splitlines():
        fields = line.split("\t")
        if fields[0] == name and len(fields) == columns:
            return fields
    raise Failed(f"no line for {name}")


class Program:
    """What measures one figure, and what it measured: a value or None for each round."""

    def __init__(self, label, figure, command, columns, unit_at):
        self.label = label
        self.figure = figure
        self.command = command
        self.columns = columns
        self.unit_at = unit_at
        self.unit = None
        self.values = []
        self.gone = False
        self.failed = False

    def measure(self):
        value = None
        if not self.gone:
            try:
                fields = line_of(self.figure, call(self.command), self.columns)
                value = number(fields[1])
                self.unit = fields[self.unit_at]
            except (Absent, Failed) as e:
                print(f"{self.figure}: {self.label}: n/a: {e}", file=sys.stderr)
                self.gone = True
                self.failed = isinstance(e, Failed)
        self.values.append(value)

    def spread(self):
        """Median, least and most, as texts."""
        if self.gone:
            return ["n/a"] * 3
        return [digits(f(self.values)) for f in (statistics.median, min, max)]


def digits(value):
    return f"{value:.0f}" if value >= 1000 else f"{value:.4g}"


def ratio(ours, theirs):
    if ours.gone or theirs.gone:
        return "n/a"
    return f"{statistics.median(a / b for a, b in zip(ours.values, theirs.values)):.3f}"


def same_unit(ours, theirs):
    """Numbers of another unit are none: they would stand in a column of ours."""
    if not ours.gone and not theirs.gone and ours.unit != theirs.unit:
        print(f"{ours.figure}: {theirs.label}: n/a: {theirs.unit}, not {ours.unit}", file=sys.stderr)
        theirs.gone = theirs.failed = True


def programs(options, figure):
    """Ours first, then the peers of a figure."""
    quick = ["--quick"] if options.quick else []
    name, peers = FIGURES[figure]
    command = [os.path.join(options.ours, name), "--tsv", "--rounds", "1", "--only", figure]
    result = [Program("ours", figure, command + quick, 8, 4)]
    for peer in peers:
        command = [os.path.join(options.peers, PEERS[peer][0])]
        result.append(Program(peer, figure, command + quick + [figure], 3, 2))
    return result


def rows(table):
    for figure, (ours, *peers) in table.items():
        for peer in peers:
            same_unit(ours, peer)
            yield (figure, *ours.spread(), ours.unit or peer.unit or "-", peer.label,
                   *peer.spread(), ratio(ours, peer), PEERS[peer.label][1])


def about(folder):
    """What the peers say they are; the absent have been reported by now."""
    for program in sorted({program for program, _ in PEERS.values()}):
        try:
            yield call([os.path.join(folder, program), "--about"]).strip()
        except (Absent, Failed):
            pass


def print_table(lines, options):
    if options.tsv:
        for line in lines:
            print("\t".join(line))
        return
    lines.insert(0, COLUMNS)
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS) - 1)]
    left = {0, 4, 5}  # the others are numbers
    for line in lines:
        cells = [cell.ljust(w) if i in left else cell.rjust(w)
                 for i, (cell, w) in enumerate(zip(line, widths))]
        print("  ".join(cells + [line[-1]]).rstrip())
    print()
    print("ratio: ours to the peer's; better is below 1 for ns, above 1 for 1/s")
    print("peers:", ", ".join(about(options.peers)) or "none",
          f"({len(os.sched_getaffinity(0))} CPUs, {options.rounds} rounds)")


def main():
    build = os.environ.get("KC_BUILDDIR", ".")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     epilog="columns: " + ", ".join(COLUMNS))
    parser.add_argument("--tsv", action="store_true", help="tab-separated, without a head")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the work, one round")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"instead of {ROUNDS}")
    parser.add_argument("--only", metavar="FIGURE", choices=FIGURES, help="one figure alone")
    parser.add_argument("--ours", metavar="DIR", default=os.path.join(build, "tests/bench"))
    parser.add_argument("--peers", metavar="DIR",
                        default=os.path.join(build, "tests/bench/peers/bin"))
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    if options.quick:
        options.rounds = 1

    table = {figure: programs(options, figure) for figure in FIGURES
             if options.only in (None, figure)}
    for turn in range(options.rounds):
        for each in table.values():
            for program in each[::-1 if turn % 2 else 1]:
                program.measure()
    print_table(list(rows(table)), options)
    return 1 if any(program.failed for each in table.values() for program in each) else 0


if __name__ == "__main__":
    sys.exit(main())
