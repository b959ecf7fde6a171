#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fabricctl cluster create with machines that do not come up: real PXE, a PID 1 that never joins.

What must hold: the command fails in time and says how far the node came and what it printed last;
no namespace, link, process or file is left, also when create is killed. Needs root. Speaks TAP.
Arguments: the stand-in for PID 1, the folder with downloaded packages.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("SIPFABRIC_BUILD", SOURCE / "build"))


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class Place:
    def __init__(self, init, cache):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="sfp-", dir="/tmp"))
        self.name = f"t{os.getpid()}"
        self.mark = f"SIPFABRIC_BOOT_TEST={self.name}"
        self.env = dict(os.environ, SIPFABRIC_BOOT_TEST=self.name)
        self.env.pop("SIPFABRIC_CLUSTER", None)
        shutil.copy(BUILD / "orchestrator/fabricctl", self.root)
        shutil.copy(HERE / "standin/fabricd", self.root)
        subprocess.run(
            [sys.executable, SOURCE / "deploy/image/build_image.py", "--init", init,
             "--out", self.root / "image", "--cache", cache],
            check=True, stdout=subprocess.DEVNULL,
        )

    def start(self, *args):
        return subprocess.Popen(
            [self.root / "fabricctl", *args], env=self.env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )

    def run(self, *args):
        process = self.start(*args)
        out, err = process.communicate(timeout=100)
        return process.returncode, out, err

    def create(self, nodes, timeout, name=None):
        return ["cluster", "create", "--nodes", str(nodes), "--timeout", timeout,
                "--name", name or self.name, "--image-dir", str(self.root / "image")]

    def live(self):
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and self.mark.encode() in (
                    entry / "environ"
                ).read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                pass
        return found

    def gone(self, name=None):
        name = name or self.name
        expect(self.live() == [], f"processes are left: {self.live()}")
        expect(not os.path.exists(f"/run/netns/sipfabric-{name}"), "the namespace is left")
        expect(not os.path.exists(f"/run/sipfabric/{name}"), "the state folder is left")


def a_stuck_machine_fails_create_with_its_console(place):
    code, _, err = place.run(*place.create(1, "20s"))
    expect(code == 1 and "1 of 1 nodes did not join within 20.0 s" in err, f"exit {code}: {err}")
    expect("node1: last stage 'kernel'" in err, err)
    expect("stand-in init has no more to say" in err, f"its last words are missing: {err}")
    for stage in ("power on", "ipxe", "ipxe script", "ipxe loaded", "kernel"):
        expect(any(line.endswith(f"node1    {stage}") for line in err.splitlines()), f"no {stage}: {err}")
    place.gone()


def a_machine_that_ends_fails_create_at_once(place):
    began = time.monotonic()
    code, _, err = place.run(*place.create(2, "60s"))
    expect(code == 1 and "node2 ended with exit code 0" in err, f"exit {code}: {err}")
    expect("Attempted to kill init" in err, f"the panic is not shown: {err}")
    expect(time.monotonic() - began < 50, "it waited for the time limit")
    place.gone()


def killed_create_and_a_second_cluster(place):
    process = place.start(*place.create(1, "60s"))
    serial = pathlib.Path(f"/run/sipfabric/{place.name}/node1.serial")
    for _ in range(400):
        if serial.exists() and serial.stat().st_size > 100:
            break
        time.sleep(0.05)
    process.kill()
    process.communicate()
    expect(len(place.live()) == 4, f"fabricd, dnsmasq, lighttpd, one machine: {place.live()}")
    other = place.name + "b"
    process = place.start(*place.create(1, "60s", other))
    for _ in range(400):
        if os.path.exists(f"/run/sipfabric/{other}/node1.serial"):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    expect(process.returncode == 130, f"exit {process.returncode}: {err}")
    expect(len(place.live()) == 4, "the first cluster was touched")
    code, _, err = place.run("cluster", "destroy", place.name)
    expect(code == 0, f"exit {code}: {err}")
    place.gone()
    place.gone(other)


CASES = [
    a_stuck_machine_fails_create_with_its_console,
    a_machine_that_ends_fails_create_at_once,
    killed_create_and_a_second_cluster,
]


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.geteuid() != 0:
        print("1..0 # skip booting machines needs root")
        return 0
    print(f"1..{len(CASES)}", flush=True)
    place = Place(sys.argv[1], sys.argv[2])
    failed = 0
    try:
        for number, function in enumerate(CASES, start=1):
            try:
                function(place)
                print(f"ok {number} - {function.__name__}", flush=True)
            except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                failed += 1
                print(f"not ok {number} - {function.__name__}")
                print("\n".join("# " + line for line in str(error).splitlines()), flush=True)
    finally:
        for name in (place.name, place.name + "b"):
            place.run("cluster", "destroy", name)
        shutil.rmtree(place.root, ignore_errors=True)
    return 1 if failed else 0


sys.exit(main())
