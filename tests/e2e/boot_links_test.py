#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Booted nodes whose fabric nic is driven in each of the ways that a kernel command line can ask for.

For each way: two machines boot over PXE in a namespace of their own, a graph whose importer and
exporter are on different nodes serves pages, and nodes, sessions, channels and the doctor say which
driver carries that and that it is sealed. How the device was bound is in the node's log. Needs root.
Speaks TAP. Arguments: the folder with vmlinuz and initramfs.cpio; words of the only ways to take.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from staging import BUILD, SOURCE, expect, run_cases

PATIENCE_SECONDS = 30
PAGES = 20
CURL_REFUSED = 7
PCI = r"0000:00:[0-9a-f]{2}\.[0-7]"
GRAPH = """
graph: link
sips:
  tcp:
    service: tcp
    node: node1
  web:
    image: web.sip
    node: node2
    config:
      port: "8080"
channels:
  - from: web.tcp
    to: tcp.tcp
"""


def run(*command, **more):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120,
                          check=False, **more)


class Place:
    """At most one cluster, whose name nobody else has."""

    def __init__(self, images):
        self.images = images
        self.name = f"bl{os.getpid()}"
        self.env = dict(os.environ, SIPFABRIC_CLUSTER=self.name)
        self.fabricctl = BUILD / "orchestrator/fabricctl"
        self.folder = tempfile.TemporaryDirectory(prefix="sf-links-")
        self.graph = pathlib.Path(self.folder.name) / "graph.yaml"
        self.graph.write_text(GRAPH, encoding="ascii")

    def ctl(self, *arguments):
        done = run(self.fabricctl, *arguments, env=self.env)
        expect(done.returncode == 0,
               f"{' '.join(map(str, arguments))}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def get(self, what):
        return json.loads(self.ctl("get", what, "-o", "json"))[what]

    def wait(self, condition, what):
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            expect(time.monotonic() < end, f"not within {PATIENCE_SECONDS} s: {what}")
            time.sleep(0.2)

    def create(self, *options):
        self.ctl("cluster", "create", "--nodes", "2", "--trust", BUILD / "sips/dev.pub", "--image-dir", self.images,
                 *options)

    def page(self):
        """None: nobody listens yet."""
        done = run("ip", "netns", "exec", f"sipfabric-{self.name}", "curl", "-s", "--max-time", "10",
                   "http://10.77.0.11:8080/")
        expect(done.returncode in (0, CURL_REFUSED), f"curl: {done.returncode} {done.stderr}")
        return done.stdout if done.returncode == 0 else None

    def destroy(self):
        self.end()
        expect(not os.path.exists(f"/run/netns/sipfabric-{self.name}"), "the namespace is left")
        expect(not os.path.exists(f"/run/sipfabric/{self.name}"), "the state folder is left")

    def end(self):
        run(self.fabricctl, "cluster", "destroy", env=self.env)


def nodes_say(place, driver, device):
    # A nic may take its time to find its carrier.
    place.wait(lambda: all(link["up"] for node in place.get("nodes") for link in node["links"]), "links that are up")
    for number, node in enumerate(sorted(place.get("nodes"), key=lambda one: one["name"]), start=1):
        link, = node["links"]
        expect((link["driver"], link["up"]) == (driver, True) and re.fullmatch(device, link["device"]), node)
        expect((link["mac"], link["ipv4"]) == (f"52:54:00:78:00:{number:02x}", f"10.78.0.{10 + number}"), node)
    wide = place.ctl("get", "nodes", "-o", "wide")
    expect(len(re.findall(rf"{driver} {device} 1472 up", wide)) == 2, wide)


def sessions_say(place, driver):
    place.wait(lambda: [one["alive"] for one in place.get("sessions")] == [True] * 2, "two sessions")
    for one in place.get("sessions"):
        expect((one["driver"], one["sealed"], one["mtu_bytes"]) == (driver, True, 1472), one)


def a_graph_runs(place, driver):
    place.ctl("apply", "-f", place.graph, "--images", BUILD / "sips")
    place.wait(place.page, "the first page")
    for _ in range(PAGES):
        page = place.page()
        expect(page is not None and "node: node2" in page, page)
    edge, = [edge for edge in place.get("channels") if edge["importer"] == "web.tcp"]
    expect(edge["driver"] == driver, edge)
    for one in place.get("sessions"):
        expect(one["driver"] == driver, one)


def doctor_says(place, driver, device):
    def found():
        done = run(place.fabricctl, "doctor", "--driver", "memif", "-o", "json", env=place.env)
        return {check["name"]: check["found"] for check in json.loads(done.stdout)["checks"]}

    place.wait(lambda: "just joined" not in found()["pair node1 node2"], "the first heart-beats")
    checks = found()
    expect(re.match(rf"{driver} {device}(<->\S+)?, 1472 bytes a frame, sealed", checks["pair node1 node2"]),
           checks["pair node1 node2"])


def way(title, options, driver, device, bound):
    """bound: the kernel driver that DPDK reaches the device by; None: it stays the kernel's."""
    def case(place):
        began = time.monotonic()
        try:
            place.create(*options)
            print(f"# {title}: joined after {time.monotonic() - began:.1f} s", flush=True)
            nodes_say(place, driver, device)
            sessions_say(place, driver)
            a_graph_runs(place, driver)
            doctor_says(place, driver, device)
            for node in ("node1", "node2"):
                log = pathlib.Path(f"/run/sipfabric/{place.name}/{node}.serial").read_text(errors="replace")
                binding = re.findall(rf"PCI device {PCI} is bound to (\S+)", log)
                expect(binding == ([bound] if bound else []), f"{node} is bound to {binding}: {log[-2000:]}")
        finally:
            place.destroy()
    case.__name__ = title
    return case


CASES = [
    way("virtio behind an IOMMU, by vfio-pci", ("--link-driver", "virtio", "--iommu"), "virtio", PCI, "vfio-pci"),
    way("af_packet on the kernel's eth1", ("--link-driver", "af_packet"), "af_packet", r"eth\d", None),
    way("any nic, virtio, by uio_pci_generic", ("--link-driver", "dpdk"), "dpdk", PCI, "uio_pci_generic"),
    way("any nic, e1000e, by uio_pci_generic", ("--link-driver", "dpdk", "--nic", "e1000e"), "dpdk", PCI,
        "uio_pci_generic"),
    way("any nic, e1000 behind an IOMMU, by vfio-pci without messages for interrupts",
        ("--link-driver", "dpdk", "--nic", "e1000", "--iommu"), "dpdk", PCI, "vfio-pci"),
    way("any nic, vmxnet3 behind an IOMMU, by vfio-pci",
        ("--link-driver", "dpdk", "--nic", "vmxnet3", "--iommu"), "dpdk", PCI, "vfio-pci"),
]


def main():
    if os.geteuid() != 0:
        print("1..0 # skip booting machines needs root")
        return 0
    chosen = [case for case in CASES if len(sys.argv) < 3 or sys.argv[2] in case.__name__]
    return run_cases(lambda: Place(sys.argv[1]), chosen)


if __name__ == "__main__":
    sys.exit(main())
