#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mode native from the manifest to the cluster: refused without --allow-native, at apply and by the
node's own check of the cluster's word; with it, the same graph runs, and everything says native.

Two hosted clusters, one after the other. Speaks TAP. As root, fabricctl, and all that it starts, runs
as nobody.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import staging
from staging import BUILD, SOURCE

FABRICCTL = "build/orchestrator/fabricctl"
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


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class Place:
    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="sfn-", dir="/tmp"))
        self.env = dict(os.environ, HOME=str(self.root), XDG_RUNTIME_DIR=str(self.root))
        self.env["SIPFABRIC_CLUSTER"] = "native"
        staging.stage(self.root)
        for name in ("hello", "hello-client"):
            self.build(name)
        (self.root / "graph.yaml").write_text(GRAPH, encoding="utf-8")

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

    def run(self, *command, code=0):
        user = staging.ordinary_user() if command[0] == FABRICCTL else {}
        done = subprocess.run(
            [str(part) for part in command],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=90,
            cwd=self.root,
            check=False,
            **user,
        )
        expect(done.returncode == code, f"{command}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def create(self, *options):
        self.run(FABRICCTL, "cluster", "create", "--hosted", "--nodes", "2", *staging.TRUST, *options)

    def destroy(self):
        self.run(FABRICCTL, "cluster", "destroy")

    def end(self):
        try:
            self.destroy()
        except AssertionError:
            pass
        shutil.rmtree(self.root, ignore_errors=True)


def without_leave_apply_is_refused(place):
    place.create()
    said = place.run(FABRICCTL, "apply", "-f", "graph.yaml", code=1)
    expect("is native" in said and "--allow-native" in said, said)
    expect("graph.yaml:4" in said and "graph.yaml:7" in said, said)
    got = json.loads(place.run(FABRICCTL, "get", "sips", "-o", "json"))
    expect(got["sips"] == [], "something was made")
    place.destroy()


def with_leave_the_graph_runs_and_says_so(place):
    place.create("--allow-native")
    place.run(FABRICCTL, "apply", "-f", "graph.yaml")
    end = time.monotonic() + 30
    while True:
        sips = json.loads(place.run(FABRICCTL, "get", "sips", "-o", "json"))["sips"]
        client = [sip for sip in sips if sip["name"] == "hello-client"][0]
        if client["state"] == "exited" or time.monotonic() > end:
            break
        time.sleep(0.1)
    expect(client["state"] == "exited" and client["exit_code"] == 0, str(client))
    expect([sip["mode"] for sip in sips] == ["native", "native"], str(sips))
    table = place.run(FABRICCTL, "get", "sips").splitlines()
    expect("MODE" in table[0] and all("native" in line for line in table[1:]), str(table))
    for log in ("hello", "node/node1"):
        said = place.run(FABRICCTL, "logs", log)
        expect("sip hello: mode native, it runs without checks" in said, said)
    place.destroy()


def main():
    cases = [without_leave_apply_is_refused, with_leave_the_graph_runs_and_says_so]
    place = Place()
    failed = 0
    print(f"1..{len(cases)}")
    try:
        for number, case in enumerate(cases, 1):
            name = case.__name__.replace("_", " ")
            try:
                case(place)
                print(f"ok {number} - {name}", flush=True)
            except (AssertionError, subprocess.SubprocessError, KeyError, ValueError) as error:
                failed += 1
                print(f"not ok {number} - {name}", flush=True)
                print("\n".join("# " + line for line in str(error).splitlines()), flush=True)
    finally:
        place.end()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
