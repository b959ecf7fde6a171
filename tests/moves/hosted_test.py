#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SIPs that change nodes while they talk: three hosted nodes, real traffic, nothing lost. Speaks TAP.

usage: hosted_test.py FOLDER [MOVES [SEED [CASE...]]]     folder with the images; moves in the long cases (200)
"""
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from cell import SPIN_GRAPH, Moves, proof_graph, web_graph
from staging import FABRICCTL, TRUST, Place, expect, ordinary_user, run_cases

IMAGES = pathlib.Path(sys.argv[1])
MOVES = int(sys.argv[2]) if len(sys.argv) > 2 else 200
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
CPUS = 1 + SEED % 2
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]
ADDRESS = f"127.0.0.1:{PORT}"

class Cell(Moves, Place):
    """A cluster of three hosted nodes, with the images of these tests."""

    def __init__(self):
        super().__init__(f"moves{os.getpid()}")
        for name in ("ask", "answer", "spin"):
            self.write(name + ".sip", (IMAGES / (name + ".sip")).read_bytes())
        self.begin()
        self.begin_random(SEED)
        print(f"# {CPUS} workers a node", flush=True)

    def begin(self):
        self.ctl("cluster", "create", "--hosted", "--nodes", "3", "--cpus", str(CPUS), *TRUST, "--allow-unsigned")

    def apply(self, text):
        self.ctl("apply", "-f", self.write("graph.yaml", text), "--images", "build/sips", "--images", ".")

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


def web_servers_move_under_load(cell):
    cell.apply(web_graph(PORT))
    cell.moved_under_load(cell.wrk(ADDRESS, 100), MOVES, 90)
    cell.delete("web")


def both_ends_of_channels_move(cell):
    """As many moves as a machine makes while a proof lasts; a slow one has several proofs."""
    moves = MOVES // 2
    done = messages = proofs = 0
    while done < moves:
        began = done
        proofs += 1
        cell.apply(proof_graph(seconds=25))
        end = time.monotonic() + 24
        while done < moves and time.monotonic() < end:
            cell.move(("ask", "answer")[done % 2])
            done += 1
            if done % 10 == 0:
                cell.verify()
        messages += cell.proven()
        cell.delete("proof")
        expect(done - began >= min(10, moves - began), f"only {done - began} moves in 24 s")
    print(f"# {done} moves of both ends, {messages} messages each way, all in order and whole; {proofs} proofs",
          flush=True)


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
    cell.proven()
    print(f"# {counts['moves']} moves; {counts['again']} times one gave way", flush=True)
    cell.delete("proof")


def an_endless_computation_moves(cell):
    cell.apply(SPIN_GRAPH)
    cell.wait(lambda: "round 2" in cell.ctl("logs", "spin")[0], "it computes")
    for _ in range(12):
        cell.move("spin")
    cell.computes_on()
    cell.delete("spin")


# --- drains and refusals ------------------------------------------------------------------------


def a_drain_under_load(cell):
    cell.apply(web_graph(PORT))
    load = cell.wrk(ADDRESS, 30)
    end = time.monotonic() + 3
    drains = 0
    while drains < 3 or time.monotonic() < end:
        node = ("node2", "node3")[drains % 2]
        out, _ = cell.ctl("drain", node)
        expect(f"node {node} drained" in out, out)
        expect(node not in {sip["node"] for sip in cell.get("sips")}, cell.get("sips"))
        cell.ctl("uncordon", node)
        drains += 1
    load.send_signal(signal.SIGINT)
    print(f"# {drains} drains under {cell.judged(load)} requests, none failed", flush=True)
    cell.delete("web")


def what_cannot_move_stays_and_runs(cell):
    cell.apply(web_graph(PORT))
    _, err = cell.ctl("move", "tcp", "--to", "node2", code=1)
    expect("is a service of its node's kernel" in err, err)
    cell.ctl("move", "web2", "--to", "node9", code=3)
    expect("is on node2 already" in cell.move("web2", "node2"), "not moved")
    cell.judged(cell.wrk(ADDRESS, 3))
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
            cell.computes_on()
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
