#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Blocks that are read from node to node, on soft-RoCE in two machines of QEMU.

usage: blocks_test.py GUEST STEPS BENCH_LINK IMAGE   (linkproof.sip)

Two nodes send each other numbered messages with blocks for some seconds, and check each word of what
comes (proof_sip.c): with reads, without, and with reads while one node takes its queue pair apart every
300 ms, as an error would. Nothing may be lost, doubled, reordered or altered. TAP.
"""

import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "rdma"))

import machines  # pylint: disable=wrong-import-position

SECONDS_MAX = 300
SERVER, CLIENT = "10.78.0.2", "10.78.0.1"
PROOF = "--mode proof --channels 4 --seconds 8 --encrypt off --counters --patience 20000"
STEPS = {
    "blocks_are_read": "--reads 4096",
    "without_reads_they_come_in_frames": "",
    "a_queue_pair_that_is_taken_apart_loses_nothing": "--reads 4096 --break 300",
}


def command(node, address, peer, more):
    if node == 2:
        more = more.replace("--break 300", "--break 60000")  # never, but it hears of new queue pairs
    return (f"/bench_link --driver rdma --device auto --image /link.sip --node {node} --address {address} "
            f"--peer-address {peer} {PROOF} {more}")


class Side:
    """What one machine said of each step."""

    def __init__(self):
        self.objects = {}
        self.codes = {}
        self.name = None

    def line(self, text):
        word, _, rest = text.partition(" ")
        if word == "begin":
            self.name = rest
            self.objects[rest] = {}
        elif word == "end":
            name, code = rest.rsplit(" ", 1)
            self.codes[name] = int(code)
        elif text.startswith("{"):
            value = json.loads(text)
            self.objects[self.name][value["metric"]] = value
        else:
            print(f"# {text}")


def wrong(name, server, client):
    """What does not hold; or None."""
    for side, label in ((server, "server"), (client, "client")):
        if side.codes.get(name) != 0:
            return f"{label}: exit code {side.codes.get(name)}"
    ours, its = client.objects[name]["proof"], server.objects[name]["proof"]
    if ours["sent"] != its["received"] or its["sent"] != ours["received"] or ours["sent"] < 50:
        return f"sent and received differ: {ours} {its}"
    if ours["bytes_sent"] != its["bytes_received"] or its["bytes_sent"] != ours["bytes_received"]:
        return f"bytes differ: {ours} {its}"
    sessions = [side.objects[name]["session"] for side in (client, server)]
    read = sum(session["blocks_read"] for session in sessions)
    print(f"# {ours['sent']} and {its['sent']} messages, {read} blocks read, "
          f"{sum(session['blocks_unread'] for session in sessions)} could not be")
    if ("--reads" in STEPS[name]) != (read > 20):
        return f"{read} blocks were read"
    if any(session["losses"] for session in sessions):
        return "the session was lost"
    return None


def run(qemu):
    sides = {qemu.start(2, ["server"], qemu.nic_pair(2)): Side()}
    sides[qemu.start(1, ["client"], qemu.nic_pair(1))] = Side()
    machines.wait(list(sides), SECONDS_MAX, lambda console, text: sides[console].line(text))
    return sides.values()


def main():
    guest, program, bench_link, image = sys.argv[1:5]
    try:
        with tempfile.NamedTemporaryFile("w", prefix="sipfabric-steps-") as steps:
            for name, more in STEPS.items():
                print(name, 60, command(1, SERVER, CLIENT, more), command(2, CLIENT, SERVER, more), sep="|",
                      file=steps)
            steps.flush()
            files = [("steps", steps.name), ("bench_link", bench_link), ("link.sip", image)]
            with machines.Machines(guest, program, files) as qemu:
                server, client = run(qemu)
    except machines.Unavailable as reason:
        print(f"1..0 # SKIP {reason}")
        return 0
    print(f"1..{len(STEPS)}")
    failed = 0
    for number, name in enumerate(STEPS, start=1):
        why = wrong(name, server, client)
        failed += why is not None
        print(f"{'ok' if why is None else 'not ok'} {number} - {name}")
        if why is not None:
            print(f"# {why}")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
