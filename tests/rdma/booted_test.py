#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nodes that boot over PXE and talk over soft-RoCE, alone and beside DPDK, and over soft-iWARP.

Three clusters, one after the other, each in a network namespace of its own: two machines with RDMA
only, three with a nic for RDMA and one for DPDK, of which not all pairs may use RDMA, and two with
soft-iWARP and DPDK. Needs root. Skips where the kernel's packages for their modules cannot be had.
Speaks TAP. Arguments: the folder with vmlinuz and initramfs.cpio; names of the only cases to run.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from staging import BUILD, SOURCE, expect

PATIENCE_SECONDS = 30
SWAP_SECONDS_MAX = 120
BLOCKS = 1000
BLOCKS_MIXED = 200  # of each of three pairs at once
BLOCKS_CUT = 400
BYTES_MAX = 8 << 20
BYTES_MAX_MIXED = 256 << 10  # frames of DPDK are small, and those of RDMA with a spare
PAGES = 20


def run(*command, **more):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=150,
                          check=False, **more)


def graph(name, sips, channels):
    """sips: (name, image or service, node, config); channels: (importer, exporter)."""
    lines = [f"graph: {name}", "sips:"]
    for sip, image, node, config in sips:
        kind = "image" if image.endswith(".sip") else "service"
        lines += [f"  {sip}:", f"    {kind}: {image}", f"    node: {node}"]
        if config:
            lines += ["    config:"] + [f'      {key}: "{value}"' for key, value in config.items()]
    lines += ["channels:"] + [f"  - from: {a}\n    to: {b}" for a, b in channels]
    return "\n".join(lines) + "\n"


def swap(name, count, bytes_max, pairs):
    """A graph of swappers, of so many blocks, and keepers; pairs: (suffix, node of the swapper, node of the keeper)."""
    sips, channels = [], []
    for suffix, one, two in pairs:
        sips += [(f"swapper-{suffix}", "swapper.sip", one, {"count": count, "bytes_max": bytes_max}),
                 (f"keeper-{suffix}", "keeper.sip", two, {"bytes_max": bytes_max})]
        channels.append((f"swapper-{suffix}.keeper", f"keeper-{suffix}.swap"))
    return graph(name, sips, channels)


class Unavailable(Exception):
    """What machines need is not there; a reason to skip."""


class Place:
    """At most one cluster, whose name nobody else has."""

    def __init__(self, images):
        self.name = f"rb{os.getpid()}"
        self.netns = f"sipfabric-{self.name}"
        self.env = dict(os.environ, SIPFABRIC_CLUSTER=self.name)
        self.fabricctl = BUILD / "orchestrator/fabricctl"
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="sf-rdma-", dir="/tmp"))
        made = run(sys.executable, SOURCE / "deploy/image/soft_rdma.py", "--cache", BUILD / "cache",
                   "--part", self.root / "rdma.cpio")
        if made.returncode == 2:
            raise Unavailable(made.stderr.strip())
        expect(made.returncode == 0, made.stderr)
        for file in ("vmlinuz", "initramfs.cpio"):
            (self.root / file).symlink_to(pathlib.Path(images) / file)
        for image in (BUILD / "sips/web.sip", BUILD / "tests/rdma/keeper.sip", BUILD / "tests/rdma/swapper.sip"):
            (self.root / image.name).symlink_to(image)

    def ctl(self, *arguments, code=0):
        done = run(self.fabricctl, *arguments, env=self.env)
        expect(done.returncode == code, f"{' '.join(map(str, arguments))}: exit {done.returncode}, wanted {code}: "
               f"{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def get(self, what):
        return json.loads(run(self.fabricctl, "get", what, "-o", "json", env=self.env).stdout)[what]

    def wait(self, condition, what, seconds=PATIENCE_SECONDS):
        end = time.monotonic() + seconds
        while not condition():
            expect(time.monotonic() < end, f"not within {seconds} s: {what() if callable(what) else what}")
            time.sleep(0.2)

    def create(self, *options):
        self.ctl("cluster", "create", "--trust", BUILD / "sips/dev.pub", "--image-dir", self.root, *options)

    def apply(self, text):
        path = self.root / "graph.yaml"
        path.write_text(text, encoding="ascii")
        self.ctl("apply", "-f", path, "--images", self.root)

    def inside(self, *command):
        return run("ip", "netns", "exec", self.netns, *command)

    def page(self):
        """None: nobody listens yet."""
        done = self.inside("curl", "-s", "--max-time", "10", "http://10.77.0.11:8080/")
        return done.stdout if done.returncode == 0 else None

    def drivers(self, what, one, two):
        """What carries the channels, or the session, between the two as each sees it."""
        if what == "sessions":
            return {s["driver"] for s in self.get(what) if {s["node"], s["peer"]} == {one, two} and s["alive"]}
        return {c["driver"] for c in self.get(what) if {c["importer_node"], c["exporter_node"]} == {one, two}}

    def over(self, one, two, driver):
        self.wait(lambda: self.drivers("sessions", one, two) == {driver},
                  lambda: f"{one} and {two} over {driver}: {self.get('sessions')}")

    def ended(self, names):
        states = {sip["name"]: (sip["state"], sip["exit_code"]) for sip in self.get("sips")}
        wrong = {name: states[name] for name in names if states[name] != ("exited", 0) and states[name][0] != "running"}
        if wrong:
            nodes = "".join(f"{name}:\n{self.ctl('logs', f'node/{name}')}" for name in ("node1", "node2"))
            raise AssertionError(f"{wrong}: {[self.ctl('logs', name) for name in wrong]}\n{nodes}")
        return all(states[name][0] == "exited" for name in names)

    def swapped(self, count, suffixes):
        """All of them have ended well, having said so."""
        names = [f"{side}-{suffix}" for suffix in suffixes for side in ("swapper", "keeper")]
        self.wait(lambda: self.ended(names), lambda: f"blocks of {names}: {self.get('channels')}", SWAP_SECONDS_MAX)
        for suffix in suffixes:
            log = self.ctl("logs", f"swapper-{suffix}")
            expect(f"swapped {count} blocks each way" in log, log)
            print(f"# {suffix}: {log.strip().splitlines()[0]}", flush=True)

    def destroy(self):
        run(self.fabricctl, "cluster", "destroy", env=self.env)
        expect(not os.path.exists(f"/run/netns/{self.netns}"), "the namespace is left")
        expect(not os.path.exists(f"/run/sipfabric/{self.name}"), "the state folder is left")

    def end(self):
        run(self.fabricctl, "cluster", "destroy", env=self.env)
        shutil.rmtree(self.root)


# --- two machines with RDMA -------------------------------------------------------------------------


def rdma_has_to_be_allowed(place):
    said = place.ctl("cluster", "create", "--image-dir", place.root, "--link-driver", "rdma", code=2)
    expect("RDMA does not encrypt what it carries; say on which links it may be used: --allow-rdma" in said, said)
    said = place.ctl("cluster", "create", "--image-dir", place.root, "--link-driver", "rdma", "--allow-rdma", "x",
                     code=2)
    expect("--allow-rdma x: all, NETWORK/BITS" in said, said)


def nodes_make_soft_roce_and_say_so(place):
    place.create("--nodes", "2", "--link-driver", "rdma", "--allow-rdma", "10.78.0.0/16")
    place.over("node1", "node2", "rdma")
    place.wait(lambda: all(link["up"] for link in place.get("links")), "links that are up")
    for number, link in enumerate(place.get("links"), start=1):
        expect((link["driver"], link["device"], link["ipv4"]) == ("rdma", "rxe_eth1", f"10.78.0.{10 + number}"), link)
        expect(re.match(rf"rxe_eth1 port 1, GID \d+ ::ffff:10\.78\.0\.{10 + number} "
                        r"\(RoCE v2, the link's own address\)", link["about"]), link)
        expect(link["peers"] == [{"node": f"node{3 - number}", "spare": False, "up": True,
                                  "why": "RDMA comes first, and is all they have in common"}], link)
    out = place.ctl("get", "links", "-o", "wide")
    expect(out.count("rxe_eth1 port 1, GID") == 2 and "node2: RDMA comes first" in out, out)


def a_graph_serves_pages_over_rdma(place):
    place.apply(graph("web", [("tcp", "tcp", "node1", None), ("web", "web.sip", "node2", {"port": "8080"})],
                      [("web.tcp", "tcp.tcp")]))
    place.wait(place.page, "the first page")
    for _ in range(PAGES):
        page = place.page()
        expect(page is not None and "node: node2" in page, page)
    expect(place.drivers("channels", "node1", "node2") == {"rdma"}, place.get("channels"))


def the_tcp_contract_holds_over_rdma(place):
    said = place.ctl("test", "contract", "TcpConnectionContract", "--exporter", "tcp", "--from", "node2")
    expect(re.search(r"states (\d+) of \1, transitions (\d+) of \2, illegal messages refused (\d+) of \3", said), said)


def blocks_of_all_sizes_cross_rdma(place):
    place.apply(swap("blocks", BLOCKS, BYTES_MAX, [("a", "node2", "node1")]))
    place.swapped(BLOCKS, ["a"])
    for one in place.get("sessions"):
        expect(one["driver"] == "rdma" and one["alive"] and one["losses"] == 0, one)


# --- three machines with RDMA and DPDK ---------------------------------------------------------------


def each_pair_takes_what_it_may(place):
    place.destroy()
    place.create("--nodes", "3", "--link-driver", "mixed", "--allow-rdma", "node1:node2", "--allow-rdma", "node3:node1")
    for one, two, driver in (("node1", "node2", "rdma"), ("node1", "node3", "rdma"), ("node2", "node3", "dpdk")):
        place.over(one, two, driver)
    peers = {(link["node"], link["driver"]): {peer["node"]: (peer["spare"], peer["why"]) for peer in link["peers"]}
             for link in place.get("links")}
    first = "RDMA comes first; if it fails: dpdk"
    forbidden = r"RDMA is not allowed on this link \(--allow-rdma node[23]:node[23]\)"
    expect(peers["node1", "rdma"] == {"node2": (False, first), "node3": (False, first)}, peers)
    expect(peers["node1", "dpdk"] == {"node2": (True, first), "node3": (True, first)}, peers)
    for one, two in (("node2", "node3"), ("node3", "node2")):
        expect(peers[one, "rdma"] == {"node1": (False, first)}, peers)
        expect(peers[one, "dpdk"]["node1"] == (True, first) and not peers[one, "dpdk"][two][0], peers)
        expect(re.match(forbidden, peers[one, "dpdk"][two][1]), peers)


def a_mixed_graph_loses_nothing(place):
    place.apply(swap("mixed", BLOCKS_MIXED, BYTES_MAX_MIXED,
                     [("ab", "node1", "node2"), ("bc", "node2", "node3"), ("ca", "node3", "node1")]))
    carried = {pair: place.drivers("channels", *pair) for pair in
               (("node1", "node2"), ("node2", "node3"), ("node1", "node3"))}
    expect(carried == {("node1", "node2"): {"rdma"}, ("node2", "node3"): {"dpdk"}, ("node1", "node3"): {"rdma"}}, carried)
    place.swapped(BLOCKS_MIXED, ["ab", "bc", "ca"])


def a_pair_that_loses_rdma_goes_on_over_dpdk(place):
    """The cable of node2's RDMA nic is pulled, in the middle of blocks, and put back."""
    place.apply(swap("cut", BLOCKS_CUT, BYTES_MAX_MIXED, [("cut", "node1", "node2")]))

    def sent():
        return max(c["sent"] for c in place.get("channels") if c["importer"] == "swapper-cut.keeper")

    place.over("node1", "node2", "rdma")
    place.wait(lambda: sent() >= 20, "the first blocks")
    expect(place.inside("ip", "link", "set", "t2f", "down").returncode == 0, "ip link set")
    place.over("node1", "node2", "dpdk")
    before = sent()
    place.wait(lambda: sent() >= before + 20, "blocks over the spare")
    place.over("node1", "node3", "rdma")
    expect(place.drivers("sessions", "node1", "node2") == {"dpdk"}, "it went back while the cable was out")
    expect(place.inside("ip", "link", "set", "t2f", "up").returncode == 0, "ip link set")
    place.over("node1", "node2", "rdma")
    place.swapped(BLOCKS_CUT, ["cut"])
    for one in place.get("sessions"):
        expect(one["alive"] and one["losses"] == 0, one)
    for node, peer in (("node1", 2), ("node2", 1)):
        log = place.ctl("logs", f"node/{node}")
        ways = re.findall(rf"node {peer} is reached over (\w+), its (\w+) link", log)
        expect(ways[-2:] == [("dpdk", "spare"), ("rdma", "first")], f"{node}: {ways}")


# --- two machines with soft-iWARP, and DPDK as the spare ----------------------------------------------


def nodes_make_soft_iwarp_and_join_by_rdma_cm(place):
    place.destroy()
    place.create("--nodes", "2", "--link-driver", "mixed", "--allow-rdma", "all", "--rdma-soft", "siw")
    place.over("node1", "node2", "rdma")
    abouts = {link["node"]: link["about"] for link in place.get("links") if link["driver"] == "rdma"}
    for node in ("node1", "node2"):
        expect(re.match(r"siw_eth1 port 1, GID 0 .*\(iWARP, joined by rdma_cm\)", abouts[node]), abouts)


def blocks_cross_soft_iwarp(place):
    place.apply(swap("iwarp", BLOCKS_MIXED, BYTES_MAX_MIXED, [("iw", "node1", "node2")]))
    place.swapped(BLOCKS_MIXED, ["iw"])
    for one in place.get("sessions"):
        expect(one["driver"] == "rdma" and one["alive"] and one["losses"] == 0, one)


def a_machine_that_stands_still_does_not_hold_the_other_one(place):
    """TCP waits for it for minutes: its peer must not. It is stopped until its peer has lost it, and goes on then."""
    pids = pathlib.Path(f"/run/sipfabric/{place.name}/pids").read_text(encoding="ascii").splitlines()
    (pid,) = [int(line.split()[0]) for line in pids if line.split()[2] == "node2"]

    def alive():
        return {node["name"] for node in place.get("nodes") if node["stage"] == "joined"}

    place.wait(lambda: alive() == {"node1", "node2"}, place.get("nodes"))
    os.kill(pid, signal.SIGSTOP)
    try:
        place.wait(lambda: "node2" not in alive(), "node2 is lost")
        for _ in range(24):  # longer than heart-beats may be missed
            time.sleep(0.25)
            expect("node1" in alive(), place.get("nodes"))
    finally:
        os.kill(pid, signal.SIGCONT)
    place.over("node1", "node2", "rdma")


def nothing_is_left(place):
    place.destroy()


CASES = [
    rdma_has_to_be_allowed,
    nodes_make_soft_roce_and_say_so,
    a_graph_serves_pages_over_rdma,
    the_tcp_contract_holds_over_rdma,
    blocks_of_all_sizes_cross_rdma,
    each_pair_takes_what_it_may,
    a_mixed_graph_loses_nothing,
    a_pair_that_loses_rdma_goes_on_over_dpdk,
    nodes_make_soft_iwarp_and_join_by_rdma_cm,
    blocks_cross_soft_iwarp,
    a_machine_that_stands_still_does_not_hold_the_other_one,
    nothing_is_left,
]


def report(number, case, place):
    began = time.monotonic()
    try:
        case(place)
        print(f"ok {number} - {case.__name__}  ({time.monotonic() - began:.1f} s)", flush=True)
        return True
    except (AssertionError, KeyError, OSError, ValueError, subprocess.SubprocessError) as error:
        print(f"not ok {number} - {case.__name__}")
        print("\n".join("# " + line for line in f"{type(error).__name__}: {error}".splitlines()), flush=True)
        return False


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.geteuid() != 0:
        print("1..0 # skip booting machines needs root")
        return 0
    try:
        place = Place(sys.argv[1])
    except Unavailable as reason:
        print(f"1..0 # SKIP {reason}")
        return 0
    chosen = [case for case in CASES if len(sys.argv) < 3 or case.__name__ in sys.argv[2:]]
    print(f"1..{len(chosen)}", flush=True)
    try:
        good = [report(number, case, place) for number, case in enumerate(chosen, start=1)]
    finally:
        place.end()
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
