#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PID 1 of the machine that netem_test.py boots: runs lossy_test.py over `tc netem` and powers off.

usage, as the kernel calls it: netem_guest.py SECONDS

Each line of the test goes to the console behind PREFIX; `begin` and `exit CODE` stand around them.
If this program ends, the kernel panics, which ends the machine as well.
"""
import ctypes
import os
import platform
import subprocess
import sys

PREFIX = "NETEM-GUEST"
FOLDER = "/netem/link"  # lossy_test.py and what it imports
BUILD = "/netem/build"  # programs and SIPs, as they lie in the build
MOUNTS = (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/run"), ("tmpfs", "/tmp"))
FINIT_MODULE = 313
POWER_OFF = 0x4321FEDC

libc = ctypes.CDLL(None, use_errno=True)


def tell(text):
    print(f"{PREFIX} {text}", flush=True)


def answered(number, what):
    if number != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(kind, where):
    answered(libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None), f"mount {where}")


def load_modules():
    with open("/lib/modules/order", encoding="ascii") as file:
        for path in file.read().split():
            with open(path, "rb") as module:
                answered(libc.syscall(FINIT_MODULE, module.fileno(), b"", 0), path)


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def prepare():
    for kind, where in MOUNTS:
        mount(kind, where)
    load_modules()
    # What nodes do as PID 1; and a TCP that copes with losses, beside the kernel's own default.
    write("/proc/sys/vm/max_map_count", "1048576")
    write("/proc/sys/net/ipv4/tcp_congestion_control", "bbr")
    os.environ.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", HOME="/tmp", SIPFABRIC_BUILD=BUILD)


def lossy_test(seconds):
    test = subprocess.Popen([sys.executable, "-B", f"{FOLDER}/lossy_test.py", seconds, "netem"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace")
    for line in test.stdout:
        tell("| " + line.rstrip("\n"))
    return test.wait()


def main():
    try:
        prepare()
        tell(f"begin {platform.release()}")
        tell(f"exit {lossy_test(sys.argv[1])}")
    except (OSError, subprocess.SubprocessError) as error:
        tell(f"failed {error}")
    os.sync()
    libc.reboot(POWER_OFF)


if __name__ == "__main__":
    main()
