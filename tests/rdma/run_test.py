#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A test program on soft-RoCE or soft-iWARP, in machines of QEMU.

usage: run_test.py [--kind rxe|siw] [--cm] INIT PROGRAM [two | NAME=FILE...]

The machines' device is rxe0, or siw0 with --kind siw; --cm: queue pairs are joined by rdma_cm.
With "two" the program is a conformance suite with a side on each of two machines, joined by their
nics. Files are put into the machine, and the program gets /sips, the folder of images. Passes on the
TAP of the program in machine 1. Skips, with the reason, where the kernel's packages cannot be
had. SECONDS_MAX is the end, whatever the machines do. Where a machine's system finds itself stuck,
and all cases have passed or none has ended for SILENT_SECONDS_MAX, that is said, and all is done once
more: seen with rxe of Linux 6.1; why is not known.
"""

import argparse
import sys
import time

import machines

SECONDS_MAX = 400
SILENT_SECONDS_MAX = 120  # cases take seconds, and machines that boot say so within 20


def say(console, name):
    print(f"# the last words of {name}:")
    for text in console.everything.decode(errors="replace").splitlines()[-60:]:
        print(f"# {text}")


def stuck(told, last, consoles):
    """A machine's system got into a loop for good, as it says, and all cases have passed (cmocka's last word) or all
    machines have been silent since the time `last`."""
    passed = bool(told) and told[-1].startswith("# ok - ")
    silent = time.monotonic() - last > SILENT_SECONDS_MAX
    return (passed or silent) and any(b"BUG: soft lockup" in console.everything for console in consoles)


def run(qemu, two, words):
    """Answers the program's exit code, and has passed its TAP on; None: a machine's system is stuck, and what the
    program said has become comments."""
    if two:
        other = qemu.start(2, ["--serve"], qemu.nic_pair(2))
        first = qemu.start(1, ["--other", "10.78.0.2"], qemu.nic_pair(1))
        consoles = {first: "machine 1", other: "machine 2"}
    else:
        first = qemu.start(1, words, qemu.nic_alone())
        consoles = {first: "the machine"}
    told = []
    last = time.monotonic()

    def line(console, text):
        nonlocal last
        last = time.monotonic()
        if console is first:
            told.append(text)
        elif text.startswith("#"):
            print(text, flush=True)

    ended = machines.wait(list(consoles), SECONDS_MAX, line, lambda: stuck(told, last, consoles))
    whole = ended and all(console.code is not None for console in consoles)
    is_stuck = not ended and stuck(told, last, consoles)
    for text in told:
        print(f"# {text}" if is_stuck else text)
    if whole:
        return max(console.code for console in consoles)
    if not is_stuck:
        print(f"Bail out! {'no result' if ended else f'not done after {SECONDS_MAX} s'}")
    for console, name in consoles.items():
        say(console, name)
    return None if is_stuck else 1


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
        for _ in range(2):
            with machines.Machines(options.init, options.program, files, options.kind, options.cm) as qemu:
                code = run(qemu, options.more == ["two"], ["/sips"] if files else [])
            if code is not None:
                return code
            print("# a machine's system is stuck", flush=True)
        print("Bail out! A machine's system was stuck twice")
        return 1
    except machines.Unavailable as reason:
        print(f"1..0 # SKIP {reason}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
