#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`fabricctl doctor --driver rdma` beside a device of soft-RoCE and one of soft-iWARP, in machines of QEMU: what it
reads of /sys and /dev there is the kernel's, not a test's. Speaks TAP.

usage: doctor_test.py INIT FABRICCTL
"""
import sys

import machines

SECONDS_MAX = 120
CASES = {
    "rxe": ("ok    rdma rxe0", "port 1 active, RoCE v2, 10.78.0.1, eth0; made by software", "CAP_IPC_LOCK"),
    # The first process of these machines lifts the limit that soft-iWARP keeps to.
    "siw": ("ok    rdma siw0", "port 1 active, iWARP", "no limit"),
}


def doctor(init, fabricctl, kind):
    """What it printed there, and its exit code."""
    lines = []
    with machines.Machines(init, fabricctl, kind=kind) as qemu:
        console = qemu.start(1, ["doctor", "--driver", "rdma"], qemu.nic_alone())
        machines.wait([console], SECONDS_MAX, lambda _, text: lines.append(text))
        return lines, console.code


def wrong(kind, lines, code):
    """What is not as it must be, or None."""
    device, found, memory = CASES[kind]
    checks = {" ".join(line.split()[1:3] if line.startswith(device) else line.split()[1:2]): line for line in lines}
    if code != 0:
        return f"exit {code}"
    for check, text in ((f"rdma {device.split()[-1]}", found), ("rdma-cm", "can be joined"), ("rdma-memory", memory)):
        line = checks.get(check, "")
        if not line.startswith("ok ") or text not in line:
            return f"{check}: {line or 'no line'}, wanted ok and: {text}"
    return None if lines[-1].startswith("summary: works now: rdma ") else lines[-1]


def main():
    init, fabricctl = sys.argv[1:]
    failed = 0
    for number, kind in enumerate(CASES, 1):
        try:
            lines, code = doctor(init, fabricctl, kind)
        except machines.Unavailable as reason:
            print(f"1..0 # SKIP {reason}")
            return 0
        problem = wrong(kind, lines, code)
        failed += problem is not None
        for line in [problem, *lines] if problem else []:
            print(f"# {line}")
        print(f"{'not ok' if problem else 'ok'} {number} - doctor beside {kind}", flush=True)
    print(f"1..{len(CASES)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
