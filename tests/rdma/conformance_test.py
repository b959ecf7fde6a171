#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The link conformance suite on soft-RoCE, in a machine of QEMU: two processes of one machine.

usage: conformance_test.py INIT PROGRAM
Passes on the TAP of the program in the machine. Skips, with the reason, where the kernel's packages
cannot be had. SECONDS_MAX is the end, whatever the machine does.
"""

import sys

import machines

SECONDS_MAX = 400


def main():
    try:
        with machines.Machines(*sys.argv[1:3]) as qemu:
            console = qemu.start(1, [], qemu.nic_alone())
            ended = machines.wait(
                [console], SECONDS_MAX, lambda _, text: print(text, flush=True)
            )
    except machines.Unavailable as reason:
        print(f"1..0 # SKIP {reason}")
        return 0
    if not ended or console.code is None:
        print(f"Bail out! the machine {'ended' if ended else 'did not end'} without a result")
        for text in console.everything.decode(errors="replace").splitlines()[-30:]:
            print(f"# {text}")
        return 1
    return console.code


if __name__ == "__main__":
    sys.exit(main())
