# SPDX-License-Identifier: Apache-2.0
"""Machines of QEMU (software emulation) that run a test program on soft-RoCE or soft-iWARP: see guest.c.

An image holds guest.c as PID 1 and the program; machines are started from it without a disk. Their
nics are joined by a socket in a scratch folder. Everything ends with the Machines object.
"""

import os
import pathlib
import selectors
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(os.environ["SIPFABRIC_SOURCE"])
BUILD = pathlib.Path(os.environ["SIPFABRIC_BUILD"])
CONSOLE_PREFIX = "> "
# As deploy/README.md: what a virtual machine does not need is left out.
KERNEL_OPTIONS = (
    "console=ttyS0 quiet mitigations=off nokaslr edd=off tsc=reliable no_timer_check "
    "random.trust_cpu=on cryptomgr.notests 8250.nr_uarts=1 panic=-1"
)

# TCG claims fast strings of bytes and takes 2 to 3 ms to copy 64 KiB by them; see cluster_boot.c.
EMULATED_CPU = "max,-erms"
# Room for a second processor: without, TCG leaves out memory barriers, and queues stall; see there.
EMULATED_CPUS = "1,maxcpus=2"


class Unavailable(Exception):
    """What machines need is not there; a reason to skip."""


class Machines:
    def __init__(self, init, program, files=(), kind="rxe", cm=False):
        """kind: of the device, rxe or siw; cm: the program is to use rdma_cm."""
        self.kind = kind
        self.cm = " rdma.cm=on" if cm else ""
        self.folder = tempfile.TemporaryDirectory(prefix="sipfabric-rdma-")
        self.path = pathlib.Path(self.folder.name)
        self.running = []
        try:
            self._build(init, program, files)
        except BaseException:
            self.close()
            raise

    def _build(self, init, program, files):
        cache = BUILD / "cache"
        images = SOURCE / "deploy/image"
        made = subprocess.run(
            [sys.executable, images / "soft_rdma.py", "--cache", cache],
            capture_output=True,
            text=True,
        )
        if made.returncode == 2:
            raise Unavailable(made.stderr.strip())
        if made.returncode != 0:
            raise RuntimeError(made.stderr.strip())
        modules = [line for line in made.stdout.splitlines() if line.endswith(".ko")]
        made = subprocess.run(
            [sys.executable, images / "build_image.py", "--init", init, "--program", program]
            + [word for module in modules for word in ("--module", module)]
            + ["--modules", SOURCE / "tests/rdma/modules.txt"]
            + [word for name, path in files for word in ("--file", f"{name}={path}")]
            + ["--cache", cache, "--out", self.path],
            capture_output=True,
            text=True,
        )
        if made.returncode != 0:
            raise RuntimeError(made.stderr.strip())

    def start(self, number, words, nic):
        """Starts machine number (1, 2): it has 10.78.0.NUMBER and runs the program with words."""
        run = ",".join(words)
        options = f"{KERNEL_OPTIONS} rdma.address=10.78.0.{number} rdma.kind={self.kind}{self.cm} rdma.run={run}"
        command = (
            ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", EMULATED_CPU]
            + ["-m", "768", "-smp", EMULATED_CPUS, "-nodefaults", "-nographic", "-no-reboot"]
            + ["-serial", "stdio", "-kernel", self.path / "vmlinuz"]
            + ["-initrd", self.path / "initramfs.cpio", "-append", options]
            + ["-netdev", nic]
            + ["-device", f"virtio-net-pci,netdev=n0,romfile=,mac=52:54:00:78:00:0{number}"]
        )
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        os.set_blocking(process.stdout.fileno(), False)
        self.running.append(process)
        return Console(process)

    def nic_alone(self):
        """A nic with nobody at the other end: for programs that talk by loopback."""
        return f"dgram,id=n0,local.type=unix,local.path={self.path}/n1,remote.type=unix,remote.path={self.path}/n0"

    def nic_pair(self, number):
        """The nic of machine 2, and, once that was started, of machine 1. A stream holds frames back
        where datagrams would be lost when a machine is not given a processor for a while."""
        path = self.path / "pair"
        deadline = time.monotonic() + 20
        while number == 1 and not path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        server = "on" if number == 2 else "off"
        return f"stream,id=n0,server={server},addr.type=unix,addr.path={path}"

    def close(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Console:
    """What a machine's program prints: lines, and at the end its exit code."""

    def __init__(self, process):
        self.process = process
        self.bytes = b""
        self.everything = b""
        self.lines = []
        self.code = None

    def take(self):
        """Reads what there is; False: the machine has ended."""
        data = self.process.stdout.read()
        if data == b"":
            return False
        self.bytes += data or b""
        self.everything += data or b""
        *whole, self.bytes = self.bytes.split(b"\n")
        for raw in whole:
            # The firmware leaves its last line without an end.
            _, mark, text = raw.decode(errors="replace").rstrip("\r").partition(CONSOLE_PREFIX)
            if mark and text.startswith("exit "):
                self.code = int(text[len("exit ") :])
            elif mark:
                self.lines.append(text)
        return True


def wait(consoles, seconds, line=lambda console, text: None, stop=lambda: False):
    """Until all have ended, or that time has passed or stop says so (False). line is told of each line."""
    deadline = time.monotonic() + seconds
    told = {console: 0 for console in consoles}
    selector = selectors.DefaultSelector()
    for console in consoles:
        selector.register(console.process.stdout, selectors.EVENT_READ, console)
    while selector.get_map():
        left = deadline - time.monotonic()
        if left <= 0 or stop():
            return False
        for key, _ in selector.select(min(left, 1.0)):
            console = key.data
            if not console.take():
                selector.unregister(key.fileobj)
            for text in console.lines[told[console] :]:
                line(console, text)
            told[console] = len(console.lines)
    return True
