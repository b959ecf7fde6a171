#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SIPs that change nodes while they talk: three hosted nodes, real traffic, nothing lost. Speaks TAP.

usage: hosted_test.py FOLDER [MOVES [SEED [CASE...]]]     folder with the images; moves in the long cases (200)
"""
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from staging import FABRICCTL, TRUST, Place, expect, ordinary_user, run_cases

IMAGES = pathlib.Path(sys.argv[1])
MOVES = int(sys.argv[2]) if len(sys.argv) > 2 else 200
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
NODES = ("node1", "node2", "node3")
PORT = 18473

WEB = f"""graph: web
sips:
  tcp:
    service: tcp
    node: node1
  web2:
    image: web.sip
    node: node2
    config:
      port: "{PORT}"
  web3:
    image: web.sip
    node: node3
    config:
      port: "{PORT}"
channels:
  - from: web2.tcp
    to: tcp.tcp
  - from: web3.tcp
    to: tcp.tcp
"""


def proof_graph(seconds):
    wires = "".join(f"  - from: ask.c{i}\n    to: answer.bench\n" for i in range(4))
    config = f'    config:\n      channels: "4"\n      seconds: "{seconds}"\n'
    return (f"graph: proof\nsips:\n  answer:\n    image: answer.sip\n    node: node1\n{config}"
            f"  ask:\n    image: ask.sip\n    node: node2\n{config}      mode: \"proof\"\n"
            f"channels:\n{wires}")


class Cell(Place):
    """A cluster of three hosted nodes, with the images of these tests."""

    def __init__(self):
        super().__init__(f"moves{os.getpid()}")
        for name in ("ask", "answer", "spin"):
            self.write(name + ".sip", (IMAGES / (name + ".sip")).read_bytes())
        self.begin()
        self.random = random.Random(SEED)
        print(f"# seed {SEED}", flush=True)

    def begin(self):
        self.ctl("cluster", "create", "--hosted", "--nodes", "3", *TRUST, "--allow-unsigned")

    def get(self, what):
        return json.loads(self.ctl("get", what, "-o", "json")[0])[what]

    def apply(self, text):
        self.ctl("apply", "-f", self.write("graph.yaml", text), "--images", "build/sips", "--images", ".")

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

    def blackouts(self):
        """Of the last moves, in microseconds."""
        return sorted(move["blackout_ns"] / 1000 for move in self.get("moves") if move["step"] == "done")

    def pids(self):
        """The processes of the nodes, by name."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                except OSError:
                    continue
                if str(self.root) in " ".join(words) and words[0].endswith("sipnode"):
                    found[words[words.index("--name") + 1]] = int(entry.name)
        return found


# --- moves under load ---------------------------------------------------------------------------


def wrk(seconds):
    """Load on the web servers, once they answer."""
    end = time.monotonic() + 10
    while subprocess.run(["curl", "-sf", "-o", os.devnull, f"http://127.0.0.1:{PORT}/"], check=False).returncode != 0:
        expect(time.monotonic() < end, "no web server answers")
        time.sleep(0.1)
    return subprocess.Popen(["wrk", "-t", "1", "-c", "8", "-d", f"{seconds}s", f"http://127.0.0.1:{PORT}/"],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def judged(load):
    """What wrk has seen; a bad answer or a broken connection fails the case."""
    out, _ = load.communicate(timeout=120)
    found = re.search(r"(\d+) requests in", out)
    expect(found is not None and int(found.group(1)) > 100, out)
    expect("Non-2xx" not in out and "Socket errors" not in out, out)
    return int(found.group(1))


def web_servers_move_under_load(cell):
    cell.apply(WEB)
    load = wrk(100)
    began = time.monotonic()
    for number in range(MOVES):
        cell.move(("web2", "web3")[number % 2])
        if number % 10 == 0:
            cell.verify()
        if time.monotonic() - began > 90:
            break
    seconds = time.monotonic() - began
    load.send_signal(signal.SIGINT)  # it says what it has
    requests = judged(load)
    expect(number + 1 == MOVES, f"only {number + 1} moves in 90 s")
    times = cell.blackouts()
    print(f"# {MOVES} moves in {seconds:.0f} s under {requests} requests, none failed; black-out median "
          f"{times[len(times) // 2]:.0f} us, largest {times[-1]:.0f} us", flush=True)
    cell.delete("web")


def both_ends_of_channels_move(cell):
    moves = MOVES // 2
    cell.apply(proof_graph(seconds=25))
    began = time.monotonic()
    done = 0
    while done < moves and time.monotonic() - began < 24:
        cell.move(("ask", "answer")[done % 2])
        done += 1
        if done % 10 == 0:
            cell.verify()
    cell.wait(lambda: cell.sip("ask")["state"] == "exited", "the end of the proof", 60)
    cell.wait(lambda: cell.sip("answer")["state"] == "exited", "the end of the other side", 10)
    for name in ("ask", "answer"):
        expect(cell.sip(name)["exit_code"] == 0, cell.ctl("logs", name)[0])
    lines = [re.search(r"sent (\d+) received (\d+) bytes_sent (\d+) bytes_received (\d+)",
                       cell.ctl("logs", name)[0]).groups() for name in ("ask", "answer")]
    expect(lines[0] == (lines[1][1], lines[1][0], lines[1][3], lines[1][2]), lines)
    expect(done == moves, f"only {done} moves in 24 s")
    print(f"# {done} moves of both ends, {lines[0][0]} and {lines[0][1]} messages each way, all in order and whole",
          flush=True)
    cell.delete("proof")


def both_ends_move_at_once(cell):
    """They clash: one gives way, and is moved after the other."""
    cell.apply(proof_graph(seconds=12))
    end = time.monotonic() + 10
    counts = {"moves": 0, "again": 0}

    def mover(name, stop):
        while time.monotonic() < end and not stop:
            got, _, err = cell.run(FABRICCTL, "move", name, "--to", cell.elsewhere(name))
            counts["moves"] += 1
            counts["again"] += err.count("; again")
            if got != 0:
                stop.append(err)

    wrong = []
    threads = [threading.Thread(target=mover, args=(name, wrong)) for name in ("ask", "answer")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(not wrong, wrong)
    cell.wait(lambda: cell.sip("ask")["state"] == "exited", "the end of the proof", 60)
    for name in ("ask", "answer"):
        cell.wait(lambda: cell.sip(name)["state"] == "exited", f"the end of {name}", 10)
        expect(cell.sip(name)["exit_code"] == 0, cell.ctl("logs", name)[0])
    print(f"# {counts['moves']} moves; {counts['again']} times one gave way", flush=True)
    cell.delete("proof")


def an_endless_computation_moves(cell):
    cell.apply("graph: spin\nsips:\n  spin:\n    image: spin.sip\n    node: node1\n")
    cell.wait(lambda: "round 2" in cell.ctl("logs", "spin")[0], "it computes")
    for _ in range(12):
        cell.move("spin")
    before = len(cell.ctl("logs", "spin")[0].splitlines())
    cell.wait(lambda: len(cell.ctl("logs", "spin")[0].splitlines()) > before + 2, "it goes on")
    rounds = re.findall(r"round (\d+) sum ([0-9a-f]+)", cell.ctl("logs", "spin")[0])
    expect([int(number) for number, _ in rounds] == list(range(1, len(rounds) + 1)), rounds)
    expect(len({total for _, total in rounds}) == 1, f"its memory has changed: {rounds}")
    cell.delete("spin")


# --- drains and refusals ------------------------------------------------------------------------


def a_drain_under_load(cell):
    cell.apply(WEB)
    load = wrk(30)
    for node in ("node2", "node3", "node2"):
        out, _ = cell.ctl("drain", node)
        expect(f"node {node} drained" in out, out)
        expect(node not in {sip["node"] for sip in cell.get("sips")}, cell.get("sips"))
        cell.ctl("uncordon", node)
    load.send_signal(signal.SIGINT)
    print(f"# {judged(load)} requests, none failed", flush=True)
    cell.delete("web")


def what_cannot_move_stays_and_runs(cell):
    cell.apply(WEB)
    _, err = cell.ctl("move", "tcp", "--to", "node2", code=1)
    expect("is a service of its node's kernel" in err, err)
    cell.ctl("move", "web2", "--to", "node9", code=3)
    expect("is on node2 already" in cell.move("web2", "node2"), "not moved")
    load = wrk(3)
    judged(load)
    cell.delete("web")


# --- nodes that die -----------------------------------------------------------------------------


def nodes_die_in_the_middle(cell):
    """The SIP is then on the one that lives, or lost with the one that had it; never on both."""
    outcomes = {}
    for turn in range(6):
        cell.apply("graph: spin\nsips:\n  spin:\n    image: spin.sip\n    node: node2\n")
        cell.wait(lambda: "round 1" in cell.ctl("logs", "spin")[0], "it computes")
        victim = ("node2", "node3")[turn % 2]
        pid = cell.pids()[victim]
        asked = subprocess.Popen([FABRICCTL, "move", "spin", "--to", "node3"], env=cell.env, cwd=cell.root,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **ordinary_user())
        time.sleep(cell.random.uniform(0, 0.02))
        os.kill(pid, signal.SIGKILL)
        asked.wait(timeout=60)
        cell.wait(lambda: next(node for node in cell.get("nodes") if node["name"] == victim)["stage"] == "lost",
                  f"{victim} is lost")
        cell.wait(lambda: all(move["step"] in ("done", "aborted", "lost") for move in cell.get("moves")),
                  "the move has ended")
        sip = cell.sip("spin")
        survivor = ("node3", "node2")[turn % 2]
        expect((sip["state"], sip["node"]) in (("running", survivor), ("lost", victim)), sip)
        if sip["state"] == "running":
            count = len(cell.ctl("logs", "spin")[0].splitlines())
            cell.wait(lambda: len(cell.ctl("logs", "spin")[0].splitlines()) > count + 1, "it goes on")
        outcome = f"{victim} killed: {sip['state']}"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        cell.delete("spin")
        cell.ctl("cluster", "destroy")
        cell.begin()
    print("# " + ", ".join(f"{count} x {what}" for what, count in sorted(outcomes.items())), flush=True)


if __name__ == "__main__":
    CASES = [
        web_servers_move_under_load,
        both_ends_of_channels_move,
        both_ends_move_at_once,
        an_endless_computation_moves,
        a_drain_under_load,
        what_cannot_move_stays_and_runs,
        nodes_die_in_the_middle,
    ]
    sys.exit(run_cases(Cell, [case for case in CASES if case.__name__ in sys.argv[4:] or len(sys.argv) < 5]))
