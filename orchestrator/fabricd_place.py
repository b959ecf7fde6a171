# SPDX-License-Identifier: Apache-2.0
"""What the tests of fabricd share: a folder with a fabricd in it, nodes that fake/fakenode plays, and
fabricctl to ask."""
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time

BUILD = pathlib.Path(os.environ["SIPFABRIC_BUILD"])
FABRICD = BUILD / "orchestrator/fabricd-checked"  # fabricd under the sanitizers
FABRICCTL = BUILD / "orchestrator/fabricctl"
SIPC = BUILD / "node_kernel/sipc/sipc"
FAKENODE = BUILD / "orchestrator/fakenode"
SIPS = BUILD / "sips"
TOKEN = "right-token"

WEB = """graph: web
sips:
  tcp:
    service: tcp
    node: node1
  web2:
    image: web.sip
    node: node2
  web3:
    image: web.sip
channels:
  - from: web2.tcp
    to: tcp.tcp
  - from: web3.tcp
    to: tcp.tcp
"""


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class Node:
    """One fakenode; its lines are read as they come."""

    def __init__(self, place, name, uuid=None, mode="hosted", token=TOKEN, key_bytes=32, machine="",
                 links=()):
        self.name = name
        self.lines = []
        self.news = queue.Queue()
        self.process = subprocess.Popen(
            [FAKENODE, place.address, token, name, uuid or "uuid-" + name, mode,
             str(key_bytes), machine, *links],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        place.nodes.append(self)

    def read(self):
        for line in self.process.stdout:
            self.news.put(line.rstrip("\n"))

    def wait(self, wanted, seconds=8):
        """The next line that begins so; what comes before it is kept in lines."""
        end = time.monotonic() + seconds
        while True:
            try:
                line = self.news.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{self.name} got no '{wanted}', but: {self.lines[-12:]}") from None
            self.lines.append(line)
            if line.startswith(wanted):
                return line

    def heard(self):
        """All lines so far, and forgets them."""
        while not self.news.empty():
            self.lines.append(self.news.get())
        lines, self.lines = self.lines, []
        return lines

    def order(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        self.wait("did " + text)

    def end(self):
        self.process.kill()
        self.process.wait()


class Place:
    """A state folder, a fabricd, and its nodes."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="sfo-", dir="/tmp"))
        self.nodes = []
        self.daemon = None
        self.log = open(self.root / "fabricd.log", "ab")

    def start(self, *more, trust=None):
        self.daemon = subprocess.Popen(
            [FABRICD, "--state-dir", self.root / "s", "--listen", "127.0.0.1:0", "--token", TOKEN,
             "--expect", "node1,node2,node3", "--hosted", "--heartbeat-ms",
             "600", *(trust or ["--trust", SIPS / "dev.pub"]), *more], stderr=self.log)
        self.wait(lambda: (self.root / "s/fabricd.addr").exists(), "fabricd.addr")
        self.address = (self.root / "s/fabricd.addr").read_text().strip()

    def try_start(self, *more):
        """With options that it shall refuse; answers what it said."""
        return subprocess.run([FABRICD, "--state-dir", self.root / "t", "--listen", "127.0.0.1:0", "--token", TOKEN,
                               *more], capture_output=True, text=True, timeout=10, check=False)

    def wait(self, condition, what, seconds=10):
        end = time.monotonic() + seconds
        while not condition():
            expect(self.daemon.poll() is None, f"fabricd has ended with {self.daemon.poll()}")
            expect(time.monotonic() < end, f"not within {seconds} s: {what}")
            time.sleep(0.02)

    def stop(self):
        self.daemon.send_signal(signal.SIGTERM)
        expect(self.daemon.wait(timeout=10) == 0, "fabricd's exit code")

    def end(self):
        for node in self.nodes:
            node.end()
        self.nodes = []
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait()
        self.log.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def ctl(self, *arguments, code=0):
        done = subprocess.run(
            [FABRICCTL, "--socket", self.root / "s/ctl.sock", *arguments],
            capture_output=True, text=True, timeout=60, check=False)
        expect(done.returncode == code,
               f"{' '.join(map(str, arguments))}: exit {done.returncode}, wanted {code}: "
               f"{done.stdout}{done.stderr}")
        expect("==ERROR" not in done.stderr, done.stderr)
        return done.stdout, done.stderr

    def get(self, what):
        out, _ = self.ctl("get", what, "-o", "json")
        return json.loads(out)[what]

    def states(self):
        return {sip["name"]: sip["state"] for sip in self.get("sips")}

    def stages(self):
        return {node["name"]: node["stage"] for node in self.get("nodes")}

    def graph(self, text, name="g.yaml"):
        path = self.root / name
        path.write_text(text)
        return path

    def join(self, count=3):
        nodes = []
        for number in range(1, count + 1):
            nodes.append(Node(self, f"node{number}"))
            nodes[-1].wait("welcome")
        self.wait(lambda: list(self.stages().values())[:count] == ["joined"] * count, "joined")
        return nodes

    def apply(self, text=WEB, code=0, *more):
        return self.ctl("apply", "-f", self.graph(text), "--images", SIPS, *more, code=code)


def kinds(lines, *wanted):
    return [line for line in lines if line.split(" ")[0] in wanted]


def refused(place, code, words, text):
    before = place.get("sips")
    for sip in before:
        del sip["age_ms"]
    _, err = place.apply(text, code)
    for word in words:
        expect(word in err, f"'{word}' is missing: {err}")
    after = place.get("sips")
    for sip in after:
        del sip["age_ms"]
    expect(before == after, f"half-applied: {after}")
