# SPDX-License-Identifier: Apache-2.0
"""What tests of moves share: graphs, a cell to ask and to move SIPs in, load on its web servers."""
import json
import os
import random
import re
import subprocess
import sys
import pathlib
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from staging import expect

NODES = ("node1", "node2", "node3")
LOG_LINES = 1000  # of a SIP that are kept
SPIN_GRAPH = "graph: spin\nsips:\n  spin:\n    image: spin.sip\n    node: node1\n"


def web_graph(port):
    config = f'    config:\n      port: "{port}"\n'
    return (f"graph: web\nsips:\n  tcp:\n    service: tcp\n    node: node1\n"
            f"  web2:\n    image: web.sip\n    node: node2\n{config}"
            f"  web3:\n    image: web.sip\n    node: node3\n{config}"
            f"channels:\n  - from: web2.tcp\n    to: tcp.tcp\n  - from: web3.tcp\n    to: tcp.tcp\n")


def proof_graph(seconds):
    wires = "".join(f"  - from: ask.c{i}\n    to: answer.bench\n" for i in range(4))
    config = f'    config:\n      channels: "4"\n      seconds: "{seconds}"\n'
    return (f"graph: proof\nsips:\n  answer:\n    image: answer.sip\n    node: node1\n{config}"
            f"  ask:\n    image: ask.sip\n    node: node2\n{config}      mode: \"proof\"\n"
            f"channels:\n{wires}")


class Moves:
    """Mixed into a cluster that has ctl(*arguments, code=0), which answers output and errors, and apply(text)."""

    def begin_random(self, seed):
        self.random = random.Random(seed)
        print(f"# seed {seed}", flush=True)

    def get(self, what):
        return json.loads(self.ctl("get", what, "-o", "json")[0])[what]

    def delete(self, graph):
        self.ctl("delete", f"graph/{graph}")

    def sip(self, name):
        return next(sip for sip in self.get("sips") if sip["name"] == name)

    def elsewhere(self, name):
        """A node where that SIP is not."""
        return self.random.choice([node for node in NODES if node != self.sip(name)["node"]])

    def move(self, name, node=None, *more):
        """Moves it, anywhere if need be; returns what fabricctl says."""
        return self.ctl("move", f"sip/{name}", "--to", node or self.elsewhere(name), *more)[0]

    def wait(self, condition, what, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            expect(time.monotonic() < end, f"not within {seconds} s: {what}")
            time.sleep(0.05)

    def verify(self):
        out, _ = self.ctl("verify", "ownership")
        expect("each has one owner" in out, out)

    def computes_on(self, seconds=30):
        """spin.sip: says more, one round after the other, as far back as is kept, with its memory as it was."""
        def log():
            return self.ctl("logs", "spin")[0]

        def said(text):
            return re.findall(r"round (\d+) sum ([0-9a-f]+)", text)

        before = int(said(log())[-1][0])
        self.wait(lambda: int(said(log())[-1][0]) > before + 2, "it goes on", seconds)
        text = log()
        rounds = said(text)
        first, lines = int(rounds[0][0]), len(text.splitlines())
        expect(first == 1 or lines == LOG_LINES, f"from round {first}, {lines} lines")
        expect([int(number) for number, _ in rounds] == list(range(first, first + len(rounds))), rounds)
        expect(len({total for _, total in rounds}) == 1, f"its memory has changed: {rounds}")

    def blackouts(self):
        """Of the last moves, in microseconds."""
        return sorted(move["blackout_ns"] / 1000 for move in self.get("moves") if move["step"] == "done")

    # --- load on the web servers; inside: before a command that is to reach them ---

    def wrk(self, address, seconds, inside=()):
        """Starts once they answer; ends by itself."""
        fetch = [*inside, "curl", "-sf", "--max-time", "10", "-o", os.devnull, f"http://{address}/"]
        self.wait(lambda: subprocess.run(fetch, check=False).returncode == 0, "a web server answers")
        return subprocess.Popen([*inside, "wrk", "-t", "1", "-c", "8", "-d", f"{seconds}s", "--timeout", "10s",
                                 f"http://{address}/"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    @staticmethod
    def judged(load):
        """How many requests it has had; a bad answer or a broken connection fails the case."""
        out, _ = load.communicate(timeout=120)
        found = re.search(r"(\d+) requests in", out)
        expect(found is not None and int(found.group(1)) > 100, out)
        expect("Non-2xx" not in out and "Socket errors" not in out, out)
        return int(found.group(1))

    def moved_under_load(self, load, count, seconds):
        """Moves web2 and web3 in turn; the load must end well."""
        began = time.monotonic()
        done = 0
        while done < count and time.monotonic() - began < seconds:
            self.move(("web2", "web3")[done % 2])
            done += 1
            if done % 10 == 0:
                self.verify()
        seconds = time.monotonic() - began
        load.send_signal(2)  # it says what it has
        requests = self.judged(load)
        expect(done == count, f"only {done} moves in {seconds:.0f} s")
        times = self.blackouts()
        print(f"# {count} moves in {seconds:.0f} s under {requests} requests, none failed; black-out median "
              f"{times[len(times) // 2]:.0f} us, largest {times[-1]:.0f} us", flush=True)

    def proven(self):
        """Both ends of the proof have ended, and agree on what was sent; how much that was."""
        for name, seconds in (("ask", 90), ("answer", 20)):
            self.wait(lambda n=name: self.sip(n)["state"] == "exited", f"the end of {name}", seconds)
            expect(self.sip(name)["exit_code"] == 0, self.ctl("logs", name)[0])
        lines = [re.search(r"sent (\d+) received (\d+) bytes_sent (\d+) bytes_received (\d+)",
                           self.ctl("logs", name)[0]).groups() for name in ("ask", "answer")]
        expect(lines[0] == (lines[1][1], lines[1][0], lines[1][3], lines[1][2]), lines)
        return int(lines[0][0])
