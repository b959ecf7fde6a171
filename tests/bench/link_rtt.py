#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Round trip of a contract-checked block between SIPs on two hosted nodes, beside raw memif.

Method: a cluster of two hosted nodes; sips/bench/graph.yaml puts `echo` on node1 and `ping` on
node2; ping measures each round trip with the node's clock, after a warm-up. Then, in the same run,
net_drivers/bench/memif_raw measures the same over bare DPDK between two processes. Alternates both
ROUNDS times and reports the medians of the rounds, because the machine may be shared. The raw side
spins on both cores, which is the fastest that the driver can do.
Prints one JSON object a line.
"""
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = os.environ["SIPFABRIC_BUILD"]
SOURCE = os.environ["SIPFABRIC_SOURCE"]
ROUNDS = 3
COUNT = 20000
CLUSTER = f"bench{os.getpid()}"


def ctl(*words, check=True):
    command = [f"{BUILD}/fabricctl", "--cluster", CLUSTER, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def fabric_round(graph):
    ctl("apply", "-f", graph)
    try:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            found = re.search(
                r"rtt_ns count \d+ bytes \d+ min (\d+) p50 (\d+) p99 (\d+)", ctl("logs", "ping")
            )
            if found:
                return [int(ns) / 1000 for ns in found.groups()]
            time.sleep(0.2)
        raise RuntimeError("ping did not report within 40 s:\n" + ctl("logs", "ping"))
    finally:
        ctl("delete", "graph/bench", check=False)


def raw_round(program):
    done = subprocess.run(
        [program, "--count", str(COUNT), "--mode", "spin", "--json"],
        capture_output=True, text=True, timeout=60, check=True,
    )
    line = next(json.loads(text) for text in done.stdout.splitlines() if text.startswith("{"))
    return [line["min"], line["p50"], line["p99"]]


def middle(rounds):
    return [round(statistics.median(column), 3) for column in zip(*rounds)]


def main():
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{SOURCE}/sips/bench/graph.yaml", encoding="utf-8") as file:
            text = re.sub(r'count: "\d+"', f'count: "{COUNT}"', file.read())
        graph = f"{folder}/graph.yaml"
        with open(graph, "w", encoding="utf-8") as file:
            file.write(text)
        fabric, raw = [], []
        try:
            ctl("cluster", "create", "--hosted", "--nodes", "2", "--name", CLUSTER,
                "--trust", f"{BUILD}/sips/dev.pub")
            for _ in range(ROUNDS):
                fabric.append(fabric_round(graph))
                raw.append(raw_round(sys.argv[1]))
        finally:
            ctl("cluster", "destroy", CLUSTER, check=False)
    ours, theirs = middle(fabric), middle(raw)
    for metric, values, extra in (
        ("memif_rtt64", ours, {"baseline": theirs[1], "ratio": round(ours[1] / theirs[1], 3)}),
        ("memif_raw_rtt64", theirs, {}),
    ):
        print(json.dumps({
            "suite": "link", "metric": metric, "unit": "us", "n": COUNT * ROUNDS,
            "min": values[0], "p50": values[1], "p99": values[2], **extra,
        }))
    return 0


sys.exit(main())
