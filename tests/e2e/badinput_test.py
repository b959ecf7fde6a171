#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input at the command line ends in a clear error and exit code, and nothing is half-applied.

One hosted cluster with a graph that runs; every case must leave exactly that graph as it was, and
that cluster must still take a good graph at the end. Speaks TAP. As root, fabricctl, and
all that it starts, runs as nobody.
"""
import json
import os
import shutil
import sys

sys.dont_write_bytecode = True
import staging
from staging import BUILD, FABRICCTL, expect

SIPC = BUILD / "node_kernel/sipc/sipc"
CONTRACTC = BUILD / "contracts/compiler/contractc"

GOOD_GRAPH = """graph: good
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

ESCAPE_SIP = """#include "sip.h"
__attribute__((import_module("nk"), import_name("open"))) int32_t nk_open(const char *path);
int sip_main(void) { return nk_open("/etc/passwd"); }
"""

LOOP_CONTRACT = """public contract Flood {
    out message Drop(uint32 n);
    state Start : { Drop! -> Start; }
}
"""


class BadPlace(staging.Place):
    """And what the cluster looked like when it was good."""

    def __init__(self):
        super().__init__("bad")
        for name in ("hello.sip", "hello-client.sip"):
            shutil.copy(BUILD / "sips" / name, self.root)
        self.write("good.yaml", GOOD_GRAPH)
        self.before = None

    def seen(self):
        """The SIPs and edges there are, without what changes by itself."""
        picture = []
        for what, keys in (("sips", ("name", "node", "graph")), ("channels", ("importer", "exporter"))):
            code, out, err = self.run(FABRICCTL, "get", what, "-o", "json")
            expect(code == 0, f"get {what}: exit {code}: {err}")
            document = json.loads(out)
            if isinstance(document, dict):
                (document,) = [value for value in document.values() if isinstance(value, list)]
            picture.append(sorted(tuple(str(item[key]) for key in keys) for item in document))
        return picture

    def refused(self, code, words, *command):
        """The command fails with that code and those words, and the cluster is as it was."""
        got, out, err = self.run(*command)
        expect(got == code, f"exit {got}, wanted {code}: {out}{err}")
        for word in words:
            expect(word in err, f"'{word}' is missing in: {err}")
        expect("panic" not in err.lower() and "assert" not in err.lower(), err)
        expect(self.seen() == self.before, f"half-applied: {self.seen()}, before: {self.before}")

    def apply_refused(self, code, words, graph):
        self.refused(code, words, FABRICCTL, "apply", "-f", self.write("bad.yaml", graph))


def a_cluster_runs_a_good_graph(place):
    code, _, err = place.run(FABRICCTL, "cluster", "create", "--hosted", "--nodes", "2",
                            *staging.TRUST)
    expect(code == 0, f"exit {code}: {err}")
    code, out, err = place.run(FABRICCTL, "apply", "-f", "good.yaml")
    expect(code == 0, f"exit {code}: {out}{err}")
    place.before = place.seen()
    expect(len(place.before[0]) == 2 and len(place.before[1]) == 1, str(place.before))


def broken_contract(place):
    path = place.write("Flood.contract", LOOP_CONTRACT)
    place.refused(1, ["Flood.contract:3:", "error:"], CONTRACTC, "compile", "--emit", "sip-c", "-o",
                  place.root, path)
    expect(not (place.root / "Flood.h").exists(), "a header was written for a broken contract")


def sip_with_a_broken_contract(place):
    (place.root / "contracts").mkdir(exist_ok=True)
    place.write("contracts/Flood.contract", LOOP_CONTRACT)
    place.write("x.c", '#include "sip.h"\nint sip_main(void) { return 0; }\n')
    place.write("x.yaml", "name: x\nimports:\n  flood: Flood\n")
    os.chmod(place.root / "contracts", 0o755)
    place.refused(1, ["Flood.contract:3:", "error:"], SIPC, "build", "x.c", "--manifest", "x.yaml",
                  "--contracts", "contracts", "-o", "x.sip")
    expect(not (place.root / "x.sip").exists(), "an image was written")


def sip_that_imports_outside_the_api(place):
    place.write("escape.c", ESCAPE_SIP)
    place.write("escape.yaml", "name: escape\n")
    place.refused(1, ["nk.open"], SIPC, "build", "escape.c", "--manifest", "escape.yaml", "-o",
                  "escape.sip")
    expect(not (place.root / "escape.sip").exists(), "an image was written")


def graph_with_an_unknown_image(place):
    graph = "graph: other\nsips:\n  a:\n    image: nosuch.sip\n"
    place.apply_refused(2, ["bad.yaml:4:", "nosuch.sip"], graph)


def graph_with_one_good_and_one_unknown_image(place):
    graph = "graph: other\nsips:\n  a:\n    image: hello.sip\n  b:\n    image: nosuch.sip\n"
    place.apply_refused(2, ["bad.yaml:6:", "nosuch.sip"], graph)


def tampered_image(place):
    image = bytearray((BUILD / "sips/hello.sip").read_bytes())
    image[len(image) // 2] ^= 1
    place.write("tampered.sip", bytes(image))
    code, _, err = place.run(SIPC, "verify", "tampered.sip")
    expect(code == 1 and "tampered.sip" in err, f"sipc verify: exit {code}: {err}")
    graph = "graph: other\nsips:\n  a:\n    image: hello.sip\n  b:\n    image: tampered.sip\n"
    place.apply_refused(1, ["tampered.sip"], graph)


def image_that_is_no_image(place):
    place.write("text.sip", "this is not an image\n")
    place.apply_refused(1, ["text.sip"], "graph: other\nsips:\n  a:\n    image: text.sip\n")


def node_that_does_not_exist(place):
    graph = (
        "graph: other\nsips:\n  a:\n    image: hello.sip\n    node: node1\n"
        "  b:\n    image: hello.sip\n    node: node9\n"
    )
    place.apply_refused(3, ["node9"], graph)


def graph_with_an_unknown_key(place):
    graph = "graph: other\nsips:\n  a:\n    image: hello.sip\n    nodes: node1\n"
    place.apply_refused(2, ["bad.yaml:5:", "nodes"], graph)


def edge_to_an_unknown_sip(place):
    graph = (
        "graph: other\nsips:\n  a:\n    image: hello-client.sip\n"
        "channels:\n  - from: a.hello\n    to: nobody.hello\n"
    )
    place.apply_refused(2, ["bad.yaml:7:", "nobody"], graph)


def edge_of_two_contracts(place):
    graph = (
        "graph: other\nsips:\n  t:\n    service: tcp\n    node: node1\n"
        "  a:\n    image: hello-client.sip\n    node: node2\n"
        "channels:\n  - from: a.hello\n    to: t.tcp\n"
    )
    place.apply_refused(1, ["a.hello", "t.tcp"], graph)


def graph_file_that_is_not_there(place):
    place.refused(3, ["nosuch.yaml"], FABRICCTL, "apply", "-f", "nosuch.yaml")


def deleting_a_graph_that_is_not_there(place):
    place.refused(3, ["nosuch"], FABRICCTL, "delete", "nosuch")


def commands_without_a_cluster(place):
    code, _, err = place.run(FABRICCTL, "get", "nodes", "--cluster", "nosuch")
    expect(code == 4 and "cluster create" in err, f"exit {code}: {err}")


def the_cluster_still_takes_a_good_graph(place):
    graph = "graph: more\nsips:\n  one-more:\n    image: hello.sip\n"
    code, out, err = place.run(FABRICCTL, "apply", "-f", place.write("more.yaml", graph))
    expect(code == 0, f"exit {code}: {out}{err}")
    expect(len(place.seen()[0]) == 3, str(place.seen()))


CASES = [
    a_cluster_runs_a_good_graph,
    broken_contract,
    sip_with_a_broken_contract,
    sip_that_imports_outside_the_api,
    graph_with_an_unknown_image,
    graph_with_one_good_and_one_unknown_image,
    tampered_image,
    image_that_is_no_image,
    node_that_does_not_exist,
    graph_with_an_unknown_key,
    edge_to_an_unknown_sip,
    edge_of_two_contracts,
    graph_file_that_is_not_there,
    deleting_a_graph_that_is_not_there,
    commands_without_a_cluster,
    the_cluster_still_takes_a_good_graph,
]


sys.exit(staging.run_cases(BadPlace, CASES))
