#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mode native from the manifest to the cluster: refused without --allow-native, at apply and by the
node's own check of the cluster's word; with it, the same graph runs, and everything says native.

Two hosted clusters, one after the other. Speaks TAP. As root, fabricctl, and all that it starts, runs
as nobody.
"""
import json
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import staging
from staging import BUILD, SOURCE, expect

SIPC = BUILD / "node_kernel/sipc/sipc"

GRAPH = """graph: greeting
sips:
  hello:
    image: hello.sip
    node: node1
  hello-client:
    image: hello-client.sip
    node: node2
channels:
  - from: hello-client.hello
    to: hello.hello
"""


class NativePlace(staging.Place):
    """And two images of mode native."""

    def __init__(self):
        super().__init__("native")
        for name in ("hello", "hello-client"):
            self.build(name)
        self.write("graph.yaml", GRAPH)

    def build(self, name):
        """The same source, one word more in the manifest."""
        source = SOURCE / "sips/hello"
        manifest = self.root / f"{name}.yaml"
        text = (source / f"{name}.yaml").read_text(encoding="utf-8")
        manifest.write_text(text.rstrip() + "\nmode: native\n", encoding="utf-8")
        command = [SIPC, "build", source / f"{name}.c", "--manifest", manifest, "--contracts"]
        command += [SOURCE / "contracts/std", "-o", self.root / f"{name}.sip"]
        command += ["--key", BUILD / "sips/dev.key"]
        subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=60)

    def said(self, *command, code=0):
        return "".join(self.ctl(*command, code=code))

    def destroy(self):
        self.ctl("cluster", "destroy")


def without_leave_apply_is_refused(place):
    place.create(*staging.TRUST)
    said = place.said("apply", "-f", "graph.yaml", code=1)
    expect("is native" in said and "--allow-native" in said, said)
    expect("graph.yaml:4" in said and "graph.yaml:7" in said, said)
    got = json.loads(place.said("get", "sips", "-o", "json"))
    expect(got["sips"] == [], "something was made")
    place.destroy()


def with_leave_the_graph_runs_and_says_so(place):
    place.create(*staging.TRUST, "--allow-native")
    place.ctl("apply", "-f", "graph.yaml")
    end = time.monotonic() + 30
    while True:
        sips = json.loads(place.said("get", "sips", "-o", "json"))["sips"]
        client = [sip for sip in sips if sip["name"] == "hello-client"][0]
        if client["state"] == "exited" or time.monotonic() > end:
            break
        time.sleep(0.1)
    expect(client["state"] == "exited" and client["exit_code"] == 0, str(client))
    expect([sip["mode"] for sip in sips] == ["native", "native"], str(sips))
    table = place.said("get", "sips").splitlines()
    expect("MODE" in table[0] and all("native" in line for line in table[1:]), str(table))
    for log in ("hello", "node/node1"):
        said = place.said("logs", log)
        expect("sip hello: mode native, it runs without checks" in said, said)
    place.destroy()


CASES = [without_leave_apply_is_refused, with_leave_the_graph_runs_and_says_so]


sys.exit(staging.run_cases(NativePlace, CASES))
