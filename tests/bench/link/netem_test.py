#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lossy_test.py over `tc netem`, in a machine whose kernel has it.

usage: netem_test.py CACHE [SECONDS]     folder with downloaded packages; seconds of the sealed run (120)

Boots Debian's cloud kernel in QEMU (software emulation, no network, no root needed) with an initramfs
that netem_image.py makes; PID 1 there is netem_guest.py. Two namespaces, veth pairs and a bridge with
netem on both of its ports are in that machine; everything runs in real time but is slower than here,
so rates compare only with each other. What the test prints in the machine is what it prints here;
none of its cases may be missing or skipped, and the machine must power itself off.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
import netem_guest
import netem_image
from pairs import die_with_parent

SECONDS_MAX = 400  # it takes 200 where the processors are not busy otherwise
MEMORY_MIB = 2048
CASES = 4  # of lossy_test.py
CASE_LINE = re.compile(r"(not ok|ok) (\d+) - ([^#]*[^# ])( # .*)?")


def start(kernel, initramfs, seconds):
    command_line = ("console=ttyS0 panic=-1 quiet mitigations=off nokaslr edd=off tsc=reliable no_timer_check "
                    "cryptomgr.notests 8250.nr_uarts=1 random.trust_cpu=on "
                    f"rdinit={netem_image.PYTHON} -- -B {netem_guest.FOLDER}/netem_guest.py {seconds}")
    return subprocess.Popen(
        ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2",
         "-m", str(MEMORY_MIB), "-nodefaults", "-nographic", "-no-reboot", "-monitor", "none",
         "-serial", "stdio", "-kernel", str(kernel), "-initrd", str(initramfs),
         "-append", command_line],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", preexec_fn=die_with_parent)


class Console:
    """Reads what the machine says, and passes the results of the test on as they come."""

    def __init__(self):
        self.begun, self.exit_code, self.planned = None, None, None
        self.results, self.wrong, self.other = [], [], []

    def line(self, line):
        _, mark, said = line.rstrip("\r\n").partition(netem_guest.PREFIX + " ")
        if not mark:
            self.other = (self.other + [line.rstrip()])[-30:]
        elif said.startswith("| "):
            self.test_line(said[2:])
        elif said.startswith("begin "):
            self.begun = said[6:]
            print(f"# in a machine with kernel {self.begun}", flush=True)
        elif said.startswith("exit "):
            self.exit_code = said[5:]
        else:
            self.wrong.append(said)

    def test_line(self, line):
        case = CASE_LINE.fullmatch(line)
        if case:
            number = len(self.results) + 1
            self.results.append(case[1])
            if int(case[2]) != number:
                self.wrong.append(f"case {number} was expected: {line}")
            if case[4]:
                self.wrong.append(f"nothing may be skipped: {line}")
            word = "ok" if case[1] == "ok" and not case[4] else "not ok"
            print(f"{word} {number} - {case[3]}", flush=True)
        elif line.startswith("1..") and self.planned is None:
            self.planned = line
        elif line.startswith("#"):
            print(line, flush=True)
        else:
            self.wrong.append(line)

    def complaints(self, machine_code):
        found = list(self.wrong)
        if self.begun is None:
            found.append("the machine did not get to its PID 1")
        if self.planned != f"1..{CASES}":
            found.append(f"planned {self.planned}, wanted 1..{CASES}")
        if self.results != ["ok"] * CASES:
            found.append(f"results {self.results}")
        if self.exit_code != "0":
            found.append(f"exit code of the test {self.exit_code}")
        if machine_code != 0:
            found.append(f"exit code of the machine {machine_code}")
        return found


def run_machine(kernel, initramfs, seconds):
    """The console, and what is wrong with what was on it."""
    console = Console()
    machine = start(kernel, initramfs, seconds)
    late = threading.Timer(SECONDS_MAX, machine.kill)
    late.start()
    try:
        for line in machine.stdout:
            console.line(line)
        code = machine.wait(10)
    finally:
        late.cancel()
        if machine.poll() is None:
            machine.kill()
        machine.wait()
    return console, console.complaints(code)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cache = pathlib.Path(sys.argv[1])
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 120
    print(f"1..{CASES + 1}", flush=True)
    with tempfile.TemporaryDirectory(prefix="sf-netem-") as folder:
        initramfs = pathlib.Path(folder) / "initramfs.cpio"
        try:
            kernel = netem_image.build(cache, initramfs)
            print(f"# initramfs {initramfs.stat().st_size / 1e6:.0f} MB", flush=True)
            console, wrong = run_machine(kernel, initramfs, seconds)
        except (netem_image.build_image.ImageError, OSError, subprocess.SubprocessError) as error:
            console, wrong = Console(), [str(error)]
    for number in range(len(console.results) + 1, CASES + 1):
        print(f"not ok {number} - case {number}, of which the machine said nothing")
    word = "not ok" if wrong else "ok"
    print(f"{word} {CASES + 1} - the machine ran all of the test, without a skip, and powered itself off")
    if wrong:
        print("\n".join("# " + line for line in [*wrong, "the console:", *console.other]), flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
