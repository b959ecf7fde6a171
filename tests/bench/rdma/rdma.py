#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The RDMA bench: our nodes beside perftest, on soft-RoCE in two machines of QEMU, in one run.

usage: rdma.py GUEST STEPS BENCH_LINK IMAGE   (programs and a SIP image of the build)

The machines are those of tests/rdma: emulated, one processor each, their nics joined by a socket;
both talk over the same rxe0. One step after the other runs on both (steps.c): perftest's server or
bench_link's node 1 on machine 2, the client on machine 1; the whole list ROUNDS times.

Metrics: rtt64 (us, 64 B there and back through two SIPs, p50; in the clear, and _encrypted) with
`baseline` two times the typical one-way time of ib_send_lat and `ratio` ours over it, and
`ratio_average` of the averages: perftest spins, which makes most of its answers quick and some very
late, ours sleeps after 50 us; `ratio_sleeping` and `ratio_sleeping_average` are over ib_send_lat -e,
which sleeps, too; bulk_64k and bulk_1m (MB/s, blocks of a SIP handed to one on the other
node, which looks at their ends; read by the other node's device) with `baseline` the average of
ib_write_bw at that size and `ratio` ours over it. bulk_1m_frames, the same without reads, and
ib_write_lat are reported beside them. Figures are medians over the rounds, ratios are medians of
each round's, `spread` is the highest round over the lowest.

How to read it: the emulated processors and the kernel's soft-RoCE take nearly all of the time, so
this says what we add to that, not what a device can do. Where the host has fewer free cores than
the machines need, a figure may be five times as bad.

Environment: RDMA_ROUNDS (4; as many as fit into the time). Output: one JSON object a line on stdout, progress on
stderr.
Exit: 0; 1: a figure is missing, and its line says why (not_measured).
"""

import json
import os
import pathlib
import re
import statistics
import sys
import tempfile

SOURCE = pathlib.Path(os.environ["SIPFABRIC_SOURCE"])
sys.path[:0] = [str(SOURCE / "tests/rdma"), str(SOURCE / "deploy/image")]

import build_image  # pylint: disable=wrong-import-position
import machines  # pylint: disable=wrong-import-position

SECONDS_MAX = 290
STEP_SECONDS = 40
READS = 65536  # from where reading is faster than frames, here
TOOLS = ("ib_send_lat", "ib_write_lat", "ib_write_bw")
PROVIDERS = pathlib.Path("/usr/lib/x86_64-linux-gnu/libibverbs/librxe-rdmav34.so")
DRIVER = pathlib.Path("/etc/libibverbs.d/rxe.driver")
SERVER, CLIENT = "10.78.0.2", "10.78.0.1"
LAT_OPTIONS = "-d rxe0 -x 1 -F -s 64 -n 1000"
SIZES = {"64k": 65536, "1m": 1048576}
# perftest keeps 128 writes on their way; a channel of this contract has one block on its way, and a SIP 16 MiB at most.
CHANNELS = {"64k": 16, "1m": 4}
BLOCKS = {"64k": 200, "1m": 20}  # of ib_write_bw, at some 7 MB/s
OURS = {
    "rtt64": "--mode rtt64 --count 1000 --encrypt off",
    "rtt64_encrypted": "--mode rtt64 --count 1000 --encrypt on",
    **{f"bulk_{name}": f"--mode bulk --bytes {size} --seconds 3 --channels {CHANNELS[name]} --encrypt off --reads {READS}"
       for name, size in SIZES.items()},
    "bulk_1m_frames": f"--mode bulk --bytes {SIZES['1m']} --seconds 3 --channels {CHANNELS['1m']} --encrypt off",
}


def perftest(tool, options):
    command = f"/usr/bin/{tool} {options}"
    return command, f"{command} {SERVER}"


def ours(name):
    def command(node, address, peer):
        return (f"/bench_link --driver rdma --device auto --image /link.sip --node {node} "
                f"--address {address} --peer-address {peer} {OURS[name]}")
    return command(1, SERVER, CLIENT), command(2, CLIENT, SERVER)


def all_steps():
    """Commands of server and client by name; what is compared stands side by side."""
    steps = {"rtt64": ours("rtt64"), "send_lat": perftest("ib_send_lat", LAT_OPTIONS),
             "send_lat_sleeping": perftest("ib_send_lat", f"{LAT_OPTIONS} -e"),
             "rtt64_encrypted": ours("rtt64_encrypted"),
             "write_lat": perftest("ib_write_lat", LAT_OPTIONS)}
    for name, size in SIZES.items():
        steps[f"bulk_{name}"] = ours(f"bulk_{name}")
        steps[f"write_bw_{name}"] = perftest(
            "ib_write_bw", f"-d rxe0 -x 1 -F --report_gbits -s {size} -n {BLOCKS[name]}")
    steps["bulk_1m_frames"] = ours("bulk_1m_frames")
    return steps


# --- what the tools print -------------------------------------------------------------------------


def lat_typical(lines):
    """perftest: bytes, iterations, min, max, typical, average, ... Answers typical and average."""
    for line in lines:
        match = re.match(r"\s*64\s+\d+\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)", line)
        if match:
            return float(match.group(3)), float(match.group(4))
    return None


def bandwidth(lines):
    """perftest: bytes, iterations, peak and average Gb/s. Answers MB/s."""
    for line in lines:
        match = re.match(r"\s*\d+\s+\d+\s+([\d.]+)\s+([\d.]+)\s+[\d.]+\s*$", line)
        if match:
            return float(match.group(2)) * 125, None
    return None


def our_figure(lines):
    for line in lines:
        if line.startswith("{"):
            row = json.loads(line)
            value = row.get("p50", row.get("value"))
            return (value, row.get("average")) if value is not None else None
    return None


def reader(name):
    if name in OURS:
        return our_figure
    return bandwidth if name.startswith("write_bw") else lat_typical


class Results:
    """What the client said of each step: figures and averages by round, or the last words of one that failed."""

    def __init__(self):
        self.lines = []
        self.figures = {}
        self.averages = {}
        self.failed = {}
        self.step = None
        self.round = 0
        self.first = next(iter(all_steps()))

    def line(self, text):
        word, _, rest = text.partition(" ")
        if word == "begin":
            self.lines = []
            self.round += rest == self.first and self.step not in (None, self.first)
            self.step = rest
        elif word == "end":
            self.end(*rest.rsplit(" ", 1))
        else:
            self.lines.append(text)

    def end(self, name, code):
        value = reader(name)(self.lines) if code == "0" else None
        if value is None or value[0] <= 0:  # perftest rounds what stood still to 0.00
            self.failed[name] = f"exit code {code}: " + " | ".join(self.lines[-3:])
            return
        print(f"bench rdma: {name} {value[0]:g}", file=sys.stderr, flush=True)
        self.figures.setdefault(name, {})[self.round] = value[0]
        if value[1] is not None:
            self.averages.setdefault(name, {})[self.round] = value[1]

    def row(self, name, metric, unit, **more):
        values = self.figures.get(name, {}).values()
        out = {"suite": "rdma", "metric": metric, "unit": unit}
        if not values:
            return out | {"not_measured": self.failed.get(name, "not reached")}
        out["p50" if unit == "us" else "value"] = round(statistics.median(values), 3)
        out |= {"rounds": len(values), "spread": round(max(values) / min(values), 2)}
        return out | more

    def beside(self, name, baseline, factor, target, met):
        """A baseline that was measured, and ours over it."""
        ratio = ratio_of(self.figures, name, baseline, factor)
        if ratio is None:
            return {}
        base = statistics.median(self.figures[baseline].values())
        found = {"baseline": round(factor * base, 3), "ratio": ratio, "target": target, "target_met": met(ratio)}
        if name in self.averages and baseline in self.averages:
            found |= {"average": round(statistics.median(self.averages[name].values()), 3),
                      "ratio_average": ratio_of(self.averages, name, baseline, factor)}
        return found

    def beside_sleeper(self, name):
        """Ours over perftest's latency when it sleeps."""
        found = {"ratio_sleeping": ratio_of(self.figures, name, "send_lat_sleeping", 2),
                 "ratio_sleeping_average": ratio_of(self.averages, name, "send_lat_sleeping", 2)}
        return {metric: ratio for metric, ratio in found.items() if ratio is not None}


def ratio_of(values, name, baseline, factor):
    """Median over the rounds that have both, for the machine may be quicker in one than in another; None: no such."""
    ours_by_round, base = values.get(name, {}), values.get(baseline, {})
    ratios = [ours_by_round[each] / (factor * base[each]) for each in ours_by_round if each in base]
    return round(statistics.median(ratios), 3) if ratios else None


def rows_of(results):
    rows = []
    for name in ("rtt64", "rtt64_encrypted"):
        more = results.beside(name, "send_lat", 2, "<= 1.3 x 2 x ib_send_lat", lambda r: r <= 1.3)
        more |= results.beside_sleeper(name)
        rows.append(results.row(name, name, "us", **more))
    for name in SIZES:
        more = results.beside(f"bulk_{name}", f"write_bw_{name}", 1, ">= 0.85 x ib_write_bw",
                              lambda r: r >= 0.85)
        rows.append(results.row(f"bulk_{name}", f"bulk_{name}", "MB/s", **more))
    rows.append(results.row("bulk_1m_frames", "bulk_1m_frames", "MB/s"))
    rows.append(results.row("send_lat", "ib_send_lat", "us"))
    rows.append(results.row("send_lat_sleeping", "ib_send_lat_sleeping", "us"))
    rows.append(results.row("write_lat", "ib_write_lat", "us"))
    rows += [results.row(f"write_bw_{name}", f"ib_write_bw_{name}", "MB/s") for name in SIZES]
    return rows


def report(results):
    rows = rows_of(results)
    for row in rows:
        print(json.dumps(row), flush=True)
    return 0 if all("not_measured" not in row for row in rows) else 1


# --- machines -------------------------------------------------------------------------------------


def guest_files(steps, bench_link, image):
    """(name in the machine, path here)."""
    paths = {"steps": steps, "bench_link": bench_link, "link.sip": image}
    for tool in TOOLS:
        path = pathlib.Path("/usr/bin") / tool
        if not path.exists():
            raise machines.Unavailable("perftest is not installed: ./run setup bench")
        paths[str(path)] = path
    if not PROVIDERS.exists():
        raise machines.Unavailable("ibverbs-providers is not installed: ./run setup bench")
    for path in (PROVIDERS, DRIVER):
        paths[str(path)] = path
    for path in list(paths.values())[3:-1]:
        for name in build_image.collect_libraries(path):
            paths[name] = "/" + name
    return list(paths.items())


def run(qemu, results):
    server = qemu.start(2, ["server"], qemu.nic_pair(2))
    client = qemu.start(1, ["client"], qemu.nic_pair(1))

    def line(console, text):
        if console is client:
            results.line(text)

    machines.wait([server, client], SECONDS_MAX, line)


def main():
    rounds = int(os.environ.get("RDMA_ROUNDS", "4"))
    guest, program, bench_link, image = sys.argv[1:5]
    results = Results()
    try:
        with tempfile.NamedTemporaryFile("w", prefix="sipfabric-steps-") as steps:
            for name, commands in list(all_steps().items()) * rounds:
                print(name, STEP_SECONDS, *commands, sep="|", file=steps)
            steps.flush()
            files = guest_files(steps.name, bench_link, image)
            with machines.Machines(guest, program, files) as qemu:
                run(qemu, results)
    except machines.Unavailable as reason:
        print(json.dumps({"suite": "rdma", "not_measured": str(reason)}))
        return 1
    return report(results)


if __name__ == "__main__":
    sys.exit(main())
