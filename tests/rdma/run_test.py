#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A test program on soft-RoCE or soft-iWARP, in machines of QEMU.

usage: run_test.py [--kind rxe|siw] [--cm] INIT PROGRAM [two | NAME=FILE...]

The machines' device is rxe0, or siw0 with --kind siw; --cm: queue pairs are joined by rdma_cm.
With "two" the program is a conformance suite with a side on each of two machines, joined by their
nics. Files are put into the machine, and the program gets /sips, the folder of images. Passes on the
TAP of the program in machine 1. Skips, with the reason, where the kernel's packages cannot be
had. SECONDS_MAX is the end, whatever the machines do.
"""

import argparse
import sys

import machines

SECONDS_MAX = 400


def say(console, name):
    print(f"# the last words of {name}:")
    for text in console.everything.decode(errors="replace").splitlines()[-30:]:
        print(f"# {text}")


def run(qemu, two, words):
    if two:
        other = qemu.start(2, ["--serve"], qemu.nic_pair(2))
        first = qemu.start(1, ["--other", "10.78.0.2"], qemu.nic_pair(1))
        consoles = {first: "machine 1", other: "machine 2"}
    else:
        first = qemu.start(1, words, qemu.nic_alone())
        consoles = {first: "the machine"}

    def line(console, text):
        if console is first or text.startswith("#"):
            print(text, flush=True)

    ended = machines.wait(list(consoles), SECONDS_MAX, line)
    if ended and all(console.code is not None for console in consoles):
        return max(console.code for console in consoles)
    print(f"Bail out! {'no result' if ended else f'not done after {SECONDS_MAX} s'}")
    for console, name in consoles.items():
        say(console, name)
    return 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=("rxe", "siw"), default="rxe")
    parser.add_argument("--cm", action="store_true")
    parser.add_argument("init")
    parser.add_argument("program")
    parser.add_argument("more", nargs="*")
    options = parser.parse_args()
    try:
        files = [text.split("=", 1) for text in options.more if "=" in text]
        with machines.Machines(options.init, options.program, files, options.kind, options.cm) as qemu:
            return run(qemu, options.more == ["two"], ["/sips"] if files else [])
    except machines.Unavailable as reason:
        print(f"1..0 # SKIP {reason}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
