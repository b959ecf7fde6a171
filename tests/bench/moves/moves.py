#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The moves bench: how long a SIP that moves stands still, as its peer sees it.

Two hosted nodes over memif; a SIP with so much touched memory moves from one to the other and back,
MOVES times, while a peer on the first node asks it something again and again. Metrics, microseconds:
blackout_64k_us, blackout_1m_us, blackout_16m_us, blackout_60m_us, idle, and with the suffix _10pct
while it rewrites 10 % of its pages a second. p50 and p99 are of the time that the peer waited for the
first answer from the other node: the black-out as it sees it. `inside` is the median of what the source
measures, from freeze to COMMITTED. `other_us` is the median of the longest wait for any other answer from
before the order to 50 ms after the end: pre-copy, giving back memory, and whatever else goes on, fabricctl
itself among it. Each node has a core and goes before all that gives orders.

move_total: all of a move, from the order to its end, over the time that bare DPDK takes for as much memory
over memif, from one program's 60 MiB to another's, which has touched it before (link_raw, bulk-copy);
`ratio` is the median of five rounds' (`ratios`) in which the link was as fast after the moves as before.
criu_60m_us: CRIU's dump and restore of an ordinary process with 60 MiB touched, if it is installed and
this kernel can; it is down for both.

usage: moves.py FOLDER          with roamer.sip and watcher.sip
environment: MOVES_SIZES (64,1024,16384,61440: KiB), MOVES_COUNT (24)
Output: one JSON object a line on stdout; progress on stderr.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "link"))
from pairs import PairError, cores, run_pair
BUILD = pathlib.Path(os.environ.get("SIPFABRIC_BUILD", HERE.parent.parent.parent / "build"))
FABRICCTL = BUILD / "orchestrator/fabricctl"
SIZES = [int(kib) for kib in os.environ.get("MOVES_SIZES", "64,1024,16384,61440").split(",")]
COUNT = int(os.environ.get("MOVES_COUNT", "24"))
ROUNDS = 5  # of the whole time of a move beside the raw link
TRIES = 15  # for as many
RAW_SPREAD = 1.25  # by which the raw link may differ between a round's beginning and its end
NAMES = {64: "64k", 1024: "1m", 16384: "16m", 61440: "60m"}
TARGETS = {"blackout_64k_us": 500, "blackout_60m_us_10pct": 3000}


def say(text):
    print(text, file=sys.stderr, flush=True)


def put(**row):
    print(json.dumps({"suite": "moves", **row}), flush=True)


class Cell:
    """Two hosted nodes, in a cluster of its own name."""

    def __init__(self, images):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="sf-moves-", dir="/tmp"))
        self.images = images
        self.env = dict(os.environ, SIPFABRIC_CLUSTER=f"moves{os.getpid()}", XDG_RUNTIME_DIR=str(self.root))
        self.ctl("cluster", "create", "--hosted", "--nodes", "2", "--cpus", "1", "--allow-unsigned")
        self.own_cores()

    def own_cores(self):
        """A core for each node, before whatever gives orders there."""
        (cluster,) = [cluster for cluster in json.loads(self.ctl("cluster", "list", "-o", "json"))
                      if cluster["name"] == self.env["SIPFABRIC_CLUSTER"]]
        processes = [line.split() for line in pathlib.Path(cluster["state_dir"], "pids").read_text().splitlines()]
        nodes = [int(pid) for pid, _, what in processes if what.startswith("node")]
        for core, node in zip(cores(), nodes):
            os.sched_setaffinity(node, {core})
            os.setpriority(os.PRIO_PROCESS, node, -20)

    def ctl(self, *arguments):
        done = subprocess.run([FABRICCTL, *arguments], env=self.env, capture_output=True, text=True, timeout=120,
                              check=False)
        if done.returncode != 0:
            raise RuntimeError(f"fabricctl {' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    def graph(self, kib, percent):
        path = self.root / "graph.yaml"
        path.write_text(f"graph: roam\nsips:\n"
                        f"  roamer:\n    image: roamer.sip\n    node: node2\n"
                        f"    config:\n      kib: \"{kib}\"\n      percent: \"{percent}\"\n"
                        f"  watcher:\n    image: watcher.sip\n    node: node1\n    config:\n      least_us: \"100\"\n"
                        f"channels:\n  - from: watcher.roamer\n    to: roamer.gap\n")
        self.ctl("apply", "-f", path, "--images", self.images)

    def end(self):
        subprocess.run([FABRICCTL, "cluster", "destroy"], env=self.env, capture_output=True, check=False)
        shutil.rmtree(self.root, ignore_errors=True)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def moves_of(cell, kib, percent, count):
    """So many moves: for each what its peer saw, the black-out and the longest other wait; and what fabricctl says."""
    cell.graph(kib, percent)
    time.sleep(0.5)
    seen, others = [], []
    for number in range(count):
        mark = watched(cell)
        cell.ctl("move", "roamer", "--to", f"node{number % 2 + 1}")
        time.sleep(0.05)
        moved, other = watched(cell, mark)
        if moved is None and number > 0:
            raise RuntimeError(f"{kib} KiB, move {number}: the peer has not noticed it")
        if moved is not None:  # the first is to where it is, if it is there already
            seen.append(moved)
            others.append(other)
    told = [move for move in json.loads(cell.ctl("get", "moves", "-o", "json"))["moves"] if move["step"] == "done"]
    cell.ctl("delete", "graph/roam")
    return seen, others, told[-count:]


def watched(cell, mark=None):
    """Without a mark: the number of the last line. With one: the answer from another place, and the longest gap."""
    lines = cell.ctl("logs", "watcher", "--tail", "200", "--timestamps").splitlines()
    if mark is None:
        return lines[-1] if lines else ""
    new = lines[lines.index(mark) + 1:] if mark in lines else lines
    found = {what: [int(match.group(1)) / 1000 for line in new if (match := re.search(what + r" (\d+)", line))]
             for what in ("moved", "gap")}
    return max(found["moved"], default=None), max(found["gap"], default=0)


def raw_us(kib):
    """How long bare DPDK takes for so much memory over memif, copied in from it and out to as much."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-raw-", dir="/tmp"))
    words = [[BUILD / "net_drivers/bench/link_raw", "--role", role, "--driver", "memif", "--device", folder / "memif",
              "--what", "bulk-copy", "--block-mib", str(kib // 1024), "--core", str(core)]
             for role, core in zip(("pong", "ping"), cores())]
    try:
        return kib * 1024 / json.loads(run_pair(*words))["value"]  # MB/s
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def total_put(cell, kib):
    """Moves between two figures of the raw link. A virtual machine's processors come to be nearer or farther from each
    other within seconds, which makes the link three times as fast or slow: a round counts if both figures agree."""
    whole, baselines, tries = [], [], 0
    try:
        raw = raw_us(kib)
        while len(whole) < ROUNDS and tries < TRIES:
            tries += 1
            _, _, told = moves_of(cell, kib, 0, 6)
            took, before, raw = statistics.median(move["total_ns"] / 1000 for move in told), raw, raw_us(kib)
            counts = max(before, raw) < RAW_SPREAD * min(before, raw)
            say(f"move_total: {took:.0f} us, raw {before:.0f} us before, {raw:.0f} us after{'' if counts else ': not counted'}")
            if counts:
                whole.append(took)
                baselines.append((before + raw) / 2)
    except PairError as error:
        put(metric="move_total", unit="us", not_measured=f"no figure of the raw link: {error}")
        return
    if not whole:
        put(metric="move_total", unit="us", not_measured=f"the raw link did not stay as fast as it was in any of {tries} rounds")
        return
    ratios = [took / raw for took, raw in zip(whole, baselines)]
    put(metric="move_total", unit="us", value=round(statistics.median(whole)), baseline=round(statistics.median(baselines)),
        target=1.3, ratio=round(statistics.median(ratios), 2), ratios=[round(ratio, 2) for ratio in ratios])


def criu():
    """Dump and restore of an ordinary process, microseconds; None with a reason."""
    if shutil.which("criu") is None:
        return None, "CRIU is not installed (./run setup bench)"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-criu-", dir="/tmp"))
    code = "import time\nb=bytearray(60<<20)\nfor i in range(0,len(b),4096): b[i]=1\nprint('up',flush=True)\ntime.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        process.stdout.readline()
        began = time.monotonic()
        for command in (["dump", "-t", str(process.pid), "-D", folder, "-j"],
                        ["restore", "-D", folder, "-j", "-d"]):
            done = subprocess.run(["criu", *command], capture_output=True, text=True, timeout=60, check=False)
            if done.returncode != 0:
                return None, f"criu {command[0]}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}"
        return (time.monotonic() - began) * 1e6, ""
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        shutil.rmtree(folder, ignore_errors=True)


def main():
    cell = Cell(sys.argv[1])
    try:
        for kib in SIZES:
            for percent in (0, 10):
                name = f"blackout_{NAMES.get(kib, str(kib) + 'k')}_us" + ("_10pct" if percent else "")
                seen, others, told = moves_of(cell, kib, percent, COUNT)
                inside = [move["blackout_ns"] / 1000 for move in told]
                total = statistics.median(move["total_ns"] / 1000 for move in told)
                put(metric=name, unit="us", n=len(seen), p50=round(percentile(seen, 0.5)),
                    p99=round(percentile(seen, 0.99)), inside=round(statistics.median(inside)), other_us=round(statistics.median(others)),
                    target=TARGETS.get(name),
                    precopied_kib=told[-1]["precopied_bytes"] // 1024, frozen_kib=told[-1]["frozen_bytes"] // 1024,
                    rounds=told[-1]["rounds"], total_us=round(total))
                say(f"{name}: {percentile(seen, 0.5):.0f} us")
        total_put(cell, SIZES[-1])
    finally:
        cell.end()
    took, why = criu()
    if took is not None:
        put(metric="criu_60m_us", unit="us", value=round(took))
    else:
        say(f"criu: {why}")


if __name__ == "__main__":
    main()
