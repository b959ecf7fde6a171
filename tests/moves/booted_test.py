#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SIPs that change machines while they talk: three machines that boot over PXE, over one kind of link.
Needs root. Speaks TAP.

usage: booted_test.py FOLDER IMAGES LINK [MOVES [SEED]]   folder with the images of SIPs; folder with vmlinuz
       and initramfs.cpio; virtio or rdma; moves of web servers (200)
"""
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from cell import SPIN_GRAPH, Moves, proof_graph, web_graph
from staging import BUILD, SOURCE, expect, run_cases

SIPS, IMAGES, LINK = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve(), sys.argv[3]
MOVES = int(sys.argv[4]) if len(sys.argv) > 4 else 200
SEED = int(sys.argv[5]) if len(sys.argv) > 5 else random.SystemRandom().randrange(1 << 32)
ADDRESS = "10.77.0.11:8080"


class Machines(Moves):
    """Three machines, in a network namespace that nobody else has."""

    def __init__(self):
        self.name = f"mb{os.getpid()}"
        self.env = dict(os.environ, SIPFABRIC_CLUSTER=self.name)
        self.inside = ("ip", "netns", "exec", f"sipfabric-{self.name}")
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="sf-mb-", dir="/tmp"))
        for file in ("vmlinuz", "initramfs.cpio"):
            (self.root / file).symlink_to(IMAGES / file)
        for image in (BUILD / "sips/web.sip", SIPS / "ask.sip", SIPS / "answer.sip", SIPS / "spin.sip"):
            (self.root / image.name).symlink_to(image)
        options = ["--link-driver", "rdma", "--allow-rdma", "all", "--rdma-reads", "65536", "--encrypt", "none",
                   "--memory-mib", "768"] if LINK == "rdma" else []
        if LINK == "rdma":
            soft_roce("--part", self.root / "rdma.cpio")
        try:
            self.ctl("cluster", "create", "--nodes", "3", "--trust", BUILD / "sips/dev.pub", "--allow-unsigned",
                     "--image-dir", self.root, *options)
        except AssertionError:
            self.end()
            raise
        self.begin_random(SEED)

    def ctl(self, *arguments, code=0):
        done = subprocess.run([str(part) for part in (BUILD / "orchestrator/fabricctl", *arguments)], env=self.env,
                              capture_output=True, text=True, timeout=150, check=False)
        expect(done.returncode == code, f"{' '.join(map(str, arguments))}: exit {done.returncode}, wanted {code}: "
               f"{done.stdout}{done.stderr}")
        return done.stdout, done.stderr

    def apply(self, text):
        path = self.root / "graph.yaml"
        path.write_text(text, encoding="ascii")
        self.ctl("apply", "-f", path, "--images", self.root)

    def tails(self):
        """The last lines on the machines' consoles, of QEMU, and of fabricd."""
        run = pathlib.Path("/run/sipfabric", self.name)
        return [f"{file.name}: {line}" for pattern in ("*.serial", "*.qemu", "fabricd.log")
                for file in sorted(run.glob(pattern))
                for line in file.read_text(errors="replace").splitlines()[-12:]]

    def end(self):
        subprocess.run([BUILD / "orchestrator/fabricctl", "cluster", "destroy"], env=self.env, capture_output=True,
                       check=False)
        shutil.rmtree(self.root, ignore_errors=True)


def all_pairs_talk_over_that_link(cell):
    cell.wait(lambda: {(session["driver"], session["alive"]) for session in cell.get("sessions")} == {(LINK, True)},
              "sessions")
    expect(len(cell.get("sessions")) == 6, cell.get("sessions"))


def web_servers_move_under_load(cell):
    cell.apply(web_graph(8080))
    cell.moved_under_load(cell.wrk(ADDRESS, 20 + 4 * MOVES, cell.inside), MOVES, 4 * MOVES)
    cell.delete("web")


def both_ends_of_channels_move(cell):
    cell.apply(proof_graph(seconds=15))
    for number in range(8):
        cell.move(("ask", "answer")[number % 2])
    cell.verify()
    print(f"# {cell.proven()} messages each way, all in order and whole", flush=True)
    cell.delete("proof")


def pages_are_read(cell):
    """Where the link can, the target's device takes them from the source's exchange heap."""
    cell.apply(SPIN_GRAPH)
    cell.wait(lambda: "round 1" in cell.ctl("logs", "spin")[0], "it computes", 60)
    before = sum(session["blocks_read"] for session in cell.get("sessions"))
    for _ in range(4):
        cell.move("spin")
    read = sum(session["blocks_read"] for session in cell.get("sessions")) - before
    cell.computes_on(60)
    expect(read >= 4 * 3 if LINK == "rdma" else read == 0, f"{read} blocks were read")
    print(f"# {read} blocks were read", flush=True)
    cell.delete("spin")


def soft_roce(*more):
    return subprocess.run([sys.executable, SOURCE / "deploy/image/soft_rdma.py", "--cache", BUILD / "cache", *more],
                          capture_output=True, text=True, check=False)


def unavailable():
    """Why machines cannot have soft-RoCE, if they need it; or ""."""
    made = soft_roce() if LINK == "rdma" else None
    return made.stderr.strip() if made is not None and made.returncode == 2 else ""


if __name__ == "__main__":
    why = unavailable()
    if why:
        print(f"1..0 # SKIP {why}")
        sys.exit(0)
    sys.exit(run_cases(Machines, [all_pairs_talk_over_that_link, web_servers_move_under_load,
                                  both_ends_of_channels_move, pages_are_read]))
