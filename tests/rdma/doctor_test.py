#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`fabricctl doctor --driver rdma` beside a device of soft-RoCE and one of soft-iWARP, in machines of QEMU: what it
reads of /sys and /dev there is the kernel's, not a test's. Speaks TAP.

usage: doctor_test.py INIT FABRICCTL
"""
import json
import sys

import machines

SECONDS_MAX = 120
CASES = {  # what it finds
    "rxe": {
        "rdma rxe0": "port 1 active, RoCE v2, 10.78.0.1, eth0; made by software",
        "rdma-cm": "links with cm=on, and iWARP, can be joined by it",
        "rdma-memory": "CAP_IPC_LOCK: the limit does not count",
    },
    "siw": {
        "rdma siw0": "port 1 active, iWARP; made by software",
        "rdma-cm": "links with cm=on, and iWARP, can be joined by it",
        "rdma-memory": "no limit",  # the first process of these machines lifts it
    },
}


def doctor(init, fabricctl, kind):
    """What it printed there, and its exit code."""
    lines = []
    with machines.Machines(init, fabricctl, kind=kind) as qemu:
        console = qemu.start(1, ["doctor", "--driver", "rdma", "-o", "json"], qemu.nic_alone())
        machines.wait([console], SECONDS_MAX, lambda _, text: lines.append(text))
        return "\n".join(lines), console.code


def wrong(kind, text, code):
    """What is not as it must be, or None."""
    if code != 0:
        return f"exit {code}"
    said = json.loads(text)
    checks = {check["name"]: (check["status"], check["found"]) for check in said["checks"]}
    for check, found in CASES[kind].items():
        if checks.get(check) != ("ok", found):
            return f"{check}: {checks.get(check)}, wanted ok and: {found}"
    reach = [(driver["name"], driver["reach"]) for driver in said["drivers"]]
    return None if reach == [("rdma", "works")] else f"drivers: {reach}"


def main():
    init, fabricctl = sys.argv[1:]
    failed = 0
    for number, kind in enumerate(CASES, 1):
        try:
            text, code = doctor(init, fabricctl, kind)
        except machines.Unavailable as reason:
            print(f"1..0 # SKIP {reason}")
            return 0
        problem = wrong(kind, text, code)
        failed += problem is not None
        for line in [problem, *text.splitlines()] if problem else []:
            print(f"# {line}")
        print(f"{'not ok' if problem else 'ok'} {number} - doctor beside {kind}", flush=True)
    print(f"1..{len(CASES)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
