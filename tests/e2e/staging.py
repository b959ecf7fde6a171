# SPDX-License-Identifier: Apache-2.0
"""What the hosted tests share: they run as user nobody, who may not be able to read the source tree
(it may lie under /root), so what they need is copied into a folder of theirs first.

A test of cases, one after the other with one cluster, has a Place (or one derived from it) and hands
it to run_cases, which speaks TAP and leaves nothing behind.
"""
import json
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
NOBODY = 65534
PATIENCE_SECONDS = 20
FABRICCTL = "build/orchestrator/fabricctl"  # below the staged root
TRUST = ("--trust", "build/sips/dev.pub")  # below the staged root: the images of this build


def ordinary_user():
    """Arguments for subprocess: nobody when we are root, else who we are."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def stage(root):
    """Copies programs, images and the demo under root, as they lie in source and build tree."""
    for name in ("orchestrator/fabricctl", "orchestrator/fabricd", "node_kernel/kernel/sipnode"):
        target = root / "build" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(BUILD / name, target)
    shutil.copytree(BUILD / "sips", root / "build/sips", ignore=shutil.ignore_patterns("*.p", "*.key"))
    shutil.copytree(HERE, root / "tests/e2e", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "sips/web").mkdir(parents=True)
    shutil.copy(SOURCE / "sips/web/graph.yaml", root / "sips/web")
    os.chmod(root, 0o755)
    if os.geteuid() == 0:
        os.chown(root, NOBODY, NOBODY)


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class Place:
    """A folder with what stage() copies, and at most one hosted cluster."""

    def __init__(self, cluster):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix=f"sf-{cluster}-", dir="/tmp"))
        self.env = dict(os.environ, HOME=str(self.root), XDG_RUNTIME_DIR=str(self.root),
                        SIPFABRIC_CLUSTER=cluster)
        stage(self.root)

    def write(self, name, content):
        path = self.root / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o644)
        return name

    def run(self, *command):
        """Exit code, output and errors; fabricctl runs as the ordinary user."""
        user = ordinary_user() if command[0] == FABRICCTL else {}
        done = subprocess.run([str(part) for part in command], env=self.env, capture_output=True,
                              text=True, timeout=90, cwd=self.root, check=False, **user)
        return done.returncode, done.stdout, done.stderr

    def ctl(self, *arguments, code=0):
        """Output and errors of fabricctl, which must end with that code."""
        got, out, err = self.run(FABRICCTL, *arguments)
        expect(got == code, f"{' '.join(arguments)}: exit {got}, wanted {code}: {out}{err}")
        return out, err

    def out(self, *command):
        return self.ctl(*command)[0]

    def get(self, what):
        return json.loads(self.out("get", what, "-o", "json"))[what]

    def sip(self, name):
        return {sip["name"]: sip for sip in self.get("sips")}[name]

    def wait(self, condition, what):
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not within {PATIENCE_SECONDS} s: {what}\n"
                                     + self.out("get", "sips") + self.out("get", "channels"))
            time.sleep(0.05)

    def create(self, *options):
        """A cluster of two nodes; returns what fabricctl says of it."""
        return self.ctl("cluster", "create", "--hosted", "--nodes", "2", *options)[1]

    def end(self):
        try:
            self.run(FABRICCTL, "cluster", "destroy")
        finally:
            shutil.rmtree(self.root, ignore_errors=True)


def run_cases(make_place, cases):
    """Each case is a function of the place; of the first that fails, what place.tails() has is shown, too, if there
    is such a method. Returns the exit code of the program."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    place = make_place()
    failed = 0
    print(f"1..{len(cases)}", flush=True)
    try:
        for number, function in enumerate(cases, start=1):
            began = time.monotonic()
            try:
                function(place)
                print(f"ok {number} - {function.__name__}  ({time.monotonic() - began:.1f} s)",
                      flush=True)
            except (AssertionError, KeyError, OSError, ValueError,
                    subprocess.SubprocessError) as error:
                failed += 1
                print(f"not ok {number} - {function.__name__}")
                lines = str(error).splitlines() + (getattr(place, "tails", list)() if failed == 1 else [])
                print("\n".join("# " + line for line in lines), flush=True)
    finally:
        place.end()
    return 1 if failed else 0
