#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The link bench: our nodes beside bare DPDK and beside what people use instead, in one run.

(a) memif: two processes on two cores that share memory. Ours are two hosted node kernels
(bench_link), the baseline is bare DPDK (link_raw), the peers are a batching ring and UCX.
(b) veth: the same two cores with a veth pair between two network namespaces, which this makes and
removes (as root). Ours and the baseline use DPDK's af_packet; the peers are TCP, UDP, ZeroMQ,
NNG, UCX tcp, libfabric, gRPC and Erlang distribution, as Debian packages them
(deploy/packages-bench.txt; `./run bench link` installs them).

Metrics: rtt64 (us, 64 B there and back), msgs64 (64 B messages a second, one way, the receiver's
count), bulk (MB/s, 1 MiB blocks, one way); _veth on the veth pair with MTU 1500, _veth_9000 with
9000. Ours: memif as it is by default, not encrypted, and _encrypted; veth encrypted, and _plain.

Method: ROUNDS rounds take every row once, in an order in which rows that are compared stand side by
side; about 0.3 s each, both processes started anew and pinned, a hello and a warm-up first. The
figure of a row is the median over the rounds (p50: of the rounds' p50). `baseline` is the raw row of
that metric, `ratio` the median of our figure (or the peer's) over it, round by round (`ratios`).
`spread` is the highest round over the lowest: differences below it mean nothing, and in a virtual
machine it is often 1.5; over 3 where its host puts the two processors now on cores that share a
cache, now on others (raw bulk is 55 GB/s, or 10). What they were is measured before each round and
after the last, and stands in the row `machine` (cores.c): `line_ns`, a cache line's way there and
back, 60 to 120 with a shared cache, and `core_speed`, the least that each had of its speed while
both worked: about 1, unless they were two threads of one core.

How to read it: ours carries a request that a contract checks, counts and acknowledges; raw and ring
check nothing, and raw af_packet and UDP lose what finds no room (`lost`). raw_bulk touches no
payload; raw_bulk_copy copies it in and out once, as every peer does and a program has to that
wants its data. TCP's kernel passes 64 KiB at a time over a veth (segmentation is left to a
device that does not exist), so its bulk does not depend on the MTU as ours does. The
_spin rows poll; other kernel sockets sleep, and pay for waking up.

While it runs nothing else should. Where the kernel groups processes by session (autogroup), this one
gives its own session the highest weight, so that background work of other sessions does not halve
its share of a core. How much of a core it got is checked between the rounds (`core_share`).

Environment: LINK_ROWS, a list with commas, of names (ours, raw, tcp, ...), places (memif, veth) and
metrics (rtt64, bulk, ...), takes only the rows that match one of each kind that is named;
LINK_ROUNDS (3). `--list` shows the rows, `--lossy SECONDS` measures ours and TCP on a bad
wire (lossy.py).
Output: one JSON object a line on stdout; progress and tables on stderr.
"""
import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time

import lossy
import nets
import report
from pairs import PairError, core_share, cores
from peers import PACKAGES, Bench, all_rows, cores_state

ROUNDS = int(os.environ.get("LINK_ROUNDS", "3"))
SHARE_MIN = 0.9
AUTOGROUP = "/proc/self/autogroup"


def say(text):
    print(text, file=sys.stderr, flush=True)


def first_in_line():
    """A session's weight counts before the priorities of the processes in it."""
    try:
        with open(AUTOGROUP, "w", encoding="ascii") as file:
            file.write("-20")
    except OSError:
        say("link: cannot raise this session's weight; other work on this machine will show")


def chosen(rows, words):
    """Rows that match one word of each kind that is named."""
    kinds = {
        "name": lambda row: row.name, "place": lambda row: row.place, "metric": lambda row: row.metric,
    }
    known = {kind: {read(row) for row in rows} for kind, read in kinds.items()}
    unknown = set(words) - set.union(*known.values())
    if unknown:
        sys.exit(f"LINK_ROWS: no such row: {', '.join(sorted(unknown))}; there are: "
                 + "; ".join(", ".join(sorted(known[kind])) for kind in kinds))
    for kind, read in kinds.items():
        wanted = set(words) & known[kind]
        if wanted:
            rows = [row for row in rows if read(row) in wanted]
    return rows


def machine(share, states):
    """What the figures were taken on, and how much of it was ours. states: of cores_state, in order."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "?")
    names = ["libdpdk-dev", *PACKAGES.values()]
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *names],
                          capture_output=True, text=True, check=False)
    return {
        "suite": "link", "metric": "machine", "unit": "-", "cpu": model, "cores": os.cpu_count(),
        "kernel": platform.release(), "core_share": round(share, 2),
        "packages": dict(text.split() for text in done.stdout.splitlines() if len(text.split()) == 2),
        "line_ns": [state["line_ns"] for state in states],
        "core_speed": min((state["speed"] for state in states), default=None),
    }


def shares_check():
    """The least that we got of a core. Says so when others take a part that shows."""
    shares = {core: core_share(core) for core in dict.fromkeys(cores())}
    for core, share in shares.items():
        if share < SHARE_MIN:
            say(f"link: something else runs on core {core}: we get {share * 100:.0f} % of it, and the "
                "figures will be too bad")
    return min(shares.values())


def measure(rows):
    """Answers the least share of a core that we got, and what the cores were before each round and at the end."""
    begin, share, states = time.monotonic(), 1.0, []
    todo = [row for row in rows if not row.missing]
    for number in range(1, ROUNDS + 1):
        share = min(share, shares_check())
        states += cores_state()
        for done, row in enumerate(todo, 1):
            spent = time.monotonic() - begin
            say(f"link: round {number} of {ROUNDS}, row {done} of {len(todo)}, {spent:.0f} s: {row.key}")
            try:
                row.figures.append(row.take())
            except PairError as error:
                row.errors.append(str(error))
                say(f"link: {row.key}: {error}")
    return min(share, shares_check()), states + cores_state()


def show(rows, share, states):
    """Answers whether a row that could be measured was not."""
    print(json.dumps(machine(share, states)))
    for row in rows:
        print(json.dumps(report.line(rows, row)))
    for extra in report.encryption_lines(rows):
        print(json.dumps(extra))
    sys.stdout.flush()
    for text in report.table(rows):
        say(text)
    for text in sorted({f"link: {row.name} not measured: {row.missing}" for row in rows if row.missing}):
        say(text)
    return any(row.errors for row in rows)


def bench(words, list_only):
    why_not = nets.possible()
    if list_only or why_not:
        rows = all_rows(Bench(None))
        for row in rows:
            if why_not and row.place == "veth":
                row.missing = why_not
        if not list_only:
            return finish(chosen(rows, words))
        for row in rows:
            print(f"{row.key:32} name {row.name}, place {row.place}, metric {row.metric}"
                  + (f"; not measured: {row.missing}" if row.missing else ""))
        return 0
    with nets.Nets() as pair:
        return finish(chosen(all_rows(Bench(pair)), words))


def finish(rows):
    return 1 if show(rows, *measure(rows)) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="show the rows, measure nothing")
    parser.add_argument("--lossy", metavar="SECONDS", type=int, help="only goodput on a bad wire, ours and TCP's")
    args = parser.parse_args()
    # So that what was made is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    words = [word for word in os.environ.get("LINK_ROWS", "").split(",") if word]
    if args.list:
        return bench(words, True)
    first_in_line()
    if args.lossy is not None:
        if not 1 <= args.lossy <= lossy.SECONDS_MAX:
            parser.error(f"--lossy takes 1 to {lossy.SECONDS_MAX} seconds")
        for encrypt in ("on", "off"):
            print(json.dumps(lossy.our_goodput(args.lossy, encrypt)), flush=True)
        for congestion in lossy.congestion_controls():
            print(json.dumps(lossy.tcp_goodput(args.lossy, congestion)), flush=True)
        return 0
    return bench(words, False)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("link: interrupted")
        sys.exit(130)
