#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A hosted cluster over af_packet: three nodes on veth interfaces, in a network namespace that
fabricctl makes and removes. Traffic is in that namespace only. Needs root. Speaks TAP."""
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
from staging import BUILD, SOURCE, expect, ordinary_user, run_cases

PATIENCE_SECONDS = 10
MTU = 8972


def run(*command, **more):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60,
                          check=False, **more)


def interfaces():
    return sorted(link["ifname"] for link in json.loads(run("ip", "-j", "link").stdout))


class Place:
    """One cluster, whose name nobody else has."""

    def __init__(self):
        self.name = f"link{os.getpid()}"
        self.netns = f"sipfabric-{self.name}"
        self.env = dict(os.environ, SIPFABRIC_CLUSTER=self.name)
        self.fabricctl = BUILD / "orchestrator/fabricctl"
        self.sipnode = BUILD / "node_kernel/kernel/sipnode"
        self.before = interfaces()

    def start(self, *arguments):
        return subprocess.Popen([self.fabricctl, *arguments], env=self.env, text=True, start_new_session=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def ctl(self, *arguments, code=0):
        done = run(self.fabricctl, *arguments, env=self.env)
        expect(done.returncode == code,
               f"{' '.join(map(str, arguments))}: exit {done.returncode}, wanted {code}: {done.stdout}{done.stderr}")
        return done.stdout, done.stderr

    def get(self, what):
        return json.loads(self.ctl("get", what, "-o", "json")[0])[what]

    def all_alive(self):
        return [one["alive"] for one in self.get("sessions")] == [True] * 6

    def create(self, *more):
        return ("cluster", "create", "--hosted", "--nodes", "3", "--cpus", "2", "--link-driver", "af_packet",
                "--trust", BUILD / "sips/dev.pub", *more)

    def inside(self, *command, **more):
        """In the cluster's network namespace."""
        return run("ip", "netns", "exec", self.netns, *command, **more)

    def wait(self, condition, what):
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            expect(time.monotonic() < end, f"not within {PATIENCE_SECONDS} s: {what}")
            time.sleep(0.1)

    def gone(self):
        expect(not os.path.exists(f"/run/netns/{self.netns}"), "the namespace is left")
        expect(not os.path.exists(f"/run/sipfabric/{self.name}"), "the state folder is left")
        expect(interfaces() == self.before, f"interfaces: {self.before}, then {interfaces()}")

    def end(self):
        run(self.fabricctl, "cluster", "destroy", env=self.env)


def nodes_talk_over_af_packet_sealed_and_with_the_mtu(place):
    place.ctl(*place.create("--mtu", MTU))
    expect(interfaces() == place.before, f"interfaces outside of the namespace: {interfaces()}")
    queues = 2  # one for each thread that runs SIPs
    links = {node["name"]: node["links"] for node in place.get("nodes")}
    expect(sorted(links) == ["node1", "node2", "node3"], links)
    for number, (link,) in enumerate((links[name] for name in sorted(links)), start=1):
        mac = json.loads(place.inside("ip", "-j", "link", "show", f"sf{number}").stdout)[0]["address"]
        expect(link == {"driver": "af_packet", "device": f"sf{number}", "mac": mac, "ipv4": f"10.78.0.{10 + number}",
                        "mtu_bytes": MTU, "queues": queues, "up": True, "peer_node": 0}, link)
    place.wait(place.all_alive, "six sessions")
    for one in place.get("sessions"):
        expect((one["driver"], one["sealed"], one["mtu_bytes"]) == ("af_packet", True, MTU), one)
    out, _ = place.ctl("get", "nodes", "-o", "wide")
    expect(f"af_packet sf2 8972{f' {queues} queues' if queues > 1 else ''} up" in out, out)


def a_graph_runs_over_it(place):
    place.ctl("apply", "-f", SOURCE / "sips/web/graph.yaml", "--images", BUILD / "sips")
    served = set()
    for _ in range(6):
        page = place.inside("curl", "-s", "--max-time", "5", "http://127.0.0.1:8080/")
        expect(page.returncode == 0, f"curl: {page.returncode} {page.stderr}")
        served.update(re.findall(r"node: (node\d)", page.stdout))
    expect(served == {"node2", "node3"}, served)
    edges = {edge["importer"]: edge["driver"] for edge in place.get("channels")}
    expect(edges["web2.tcp"] == edges["web3.tcp"] == "af_packet", edges)


def doctor_says_driver_mtu_and_sealing(place):
    def found():
        return {check["name"]: check for check in json.loads(run(
            place.fabricctl, "doctor", "--driver", "memif", "-o", "json", env=place.env).stdout)["checks"]}

    place.wait(lambda: "just joined" not in found()["pair node1 node3"]["found"], "the first heart-beats")
    checks = found()
    expect(checks["link node1 sf1"]["found"] == "af_packet, 8972 bytes a frame, up", checks["link node1 sf1"])
    pair = checks["pair node1 node3"]["found"]
    expect(pair.startswith("af_packet sf1, 8972 bytes a frame, sealed, between two nodes of one machine"), pair)


def a_cut_is_logged_once_and_heals(place):
    log = lambda: place.ctl("logs", "node/node2")[0]
    state = lambda: [link["up"] for link in next(n for n in place.get("nodes") if n["name"] == "node2")["links"]]
    expect(place.inside("ip", "link", "set", "sp2", "down").returncode == 0, "ip link set")
    place.wait(lambda: "link 1 (af_packet sf2) is down" in log(), "the cut in the log")
    place.wait(lambda: state() == [False], "the cut in get nodes")
    time.sleep(1.5)  # a heart-beat more
    expect(place.inside("ip", "link", "set", "sp2", "up").returncode == 0, "ip link set")
    place.wait(lambda: "link 1 (af_packet sf2) is up" in log(), "the end of the cut")
    expect(log().count("is down") == 1 and log().count("is up") == 1, log())
    place.wait(place.all_alive, "six sessions")


def a_node_says_what_is_wrong_with_a_link(place):
    folder = f"/run/sipfabric/{place.name}"
    node = [place.sipnode, "--controller", "127.0.0.1:1", "--token", "t", "--name", "n", "--state-dir", folder]
    done = place.inside(*node, "--link", "af_packet:nope,address=10.78.0.9")
    expect(done.returncode == 1 and "link 1 (af_packet nope): af_packet: there is no interface" in done.stderr,
           done.stderr)
    done = place.inside(*node, "--link", "af_packet:sf1,address=10.78.0.9,mtu=9000")
    expect(done.returncode == 1 and "ip link set sf1 mtu 9028" in done.stderr, done.stderr)
    done = place.inside(*node, "--link", "af_packet:sf1,address=10.78.0.9,mac=02:00:00:00:00:01")
    expect(done.returncode == 1 and "leave out mac" in done.stderr, done.stderr)
    place.inside("ip", "link", "add", "small", "mtu", "500", "type", "veth", "peer", "name", "small2")
    place.inside("ip", "link", "set", "small", "up")
    done = place.inside(*node, "--link", "af_packet:small,address=10.78.0.9")
    expect(done.returncode == 1 and "frames of 472 bytes; the fabric needs 512" in done.stderr, done.stderr)
    done = run(*node, "--link", "af_packet:sf1")
    expect(done.returncode == 2 and "an address is missing" in done.stderr, done.stderr)
    # DPDK's virtual devices are links like others; its name stands for any Ethernet driver.
    process = subprocess.Popen(["ip", "netns", "exec", place.netns, *map(str, node), "--link",
                                "dpdk:net_null0,copy=1,address=10.78.0.9,mtu=8000"], stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        expect("link 1: dpdk net_null0,copy=1, " in line and "10.78.0.9, 8000 bytes a frame" in line, line)
    finally:
        process.terminate()
        process.communicate(timeout=10)
    expect(process.returncode == 0, process.returncode)


def destroy_leaves_nothing(place):
    place.ctl("cluster", "destroy")
    place.gone()


def destroy_undoes_a_killed_create(place):
    process = place.start(*place.create())
    place.wait(lambda: place.inside("ip", "link", "show", "sf1").returncode == 0, "the first interface")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    place.ctl("cluster", "destroy")
    place.gone()


def not_root_is_told_so(place):
    root = pathlib.Path(tempfile.mkdtemp(prefix="sfl-", dir="/tmp"))
    try:
        shutil.copy(place.fabricctl, root)
        root.chmod(0o755)
        done = run(root / "fabricctl", "cluster", "create", "--hosted", "--link-driver", "af_packet",
                   cwd=root, **ordinary_user())
    finally:
        shutil.rmtree(root)
    expect(done.returncode == 1 and "--link-driver af_packet needs root" in done.stderr, done.stderr)
    expect("use sudo, or --link-driver memif" in done.stderr, done.stderr)
    place.gone()


CASES = [
    nodes_talk_over_af_packet_sealed_and_with_the_mtu,
    a_graph_runs_over_it,
    doctor_says_driver_mtu_and_sealing,
    a_cut_is_logged_once_and_heals,
    a_node_says_what_is_wrong_with_a_link,
    destroy_leaves_nothing,
    destroy_undoes_a_killed_create,
    not_root_is_told_so,
]


def main():
    if os.geteuid() != 0:
        print("1..0 # skip network namespaces and packet sockets need root")
        return 0
    return run_cases(Place, CASES)


if __name__ == "__main__":
    sys.exit(main())
