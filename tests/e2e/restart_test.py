#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Restart policies in a hosted cluster of real nodes: what ended comes back, and its edges with it.

One cluster for all cases, in this order; the last one kills a node. Times are bounds only: nothing
passes or fails for being quick or slow within them. Speaks TAP. As root, fabricctl, and all that it
starts, runs as nobody.
"""
import os
import shutil
import signal
import socket
import sys
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
import staging
from staging import BUILD, expect

CLUSTER = "restart"

WEB = """graph: web
sips:
  tcp:
    service: tcp
    node: node1
  web2:
    image: web.sip
    node: node2
    config:
      port: "PORT"
    restart: {policy: on-fault, backoff: 100ms, limit: 3}
channels:
  - from: web2.tcp
    to: tcp.tcp
"""

ECHO = """graph: echo
sips:
  flaky:
    image: flaky.sip
    node: node2
    config:
      after: "4"
    restart: {policy: on-fault, backoff: 20ms, limit: 0}
  steady:
    image: steady.sip
    node: node1
    config:
      answers: "15"
channels:
  - from: steady.echo
    to: flaky.echo
"""

LOST = """graph: lost
sips:
  exporter:
    image: flaky.sip
    restart: on-fault
  importer:
    image: steady.sip
    node: node2
    config:
      answers: "1000000"
channels:
  - from: importer.echo
    to: exporter.echo
"""


class RestartPlace(staging.Place):
    """And a port for the page."""

    def __init__(self):
        super().__init__(CLUSTER)
        for name in ("flaky.sip", "steady.sip"):
            shutil.copy(BUILD / "tests/e2e" / name, self.root)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def apply(self, text):
        return self.out("apply", "-f", self.write("g.yaml", text), "--images", "build/sips")

    def edge(self, importer):
        return {edge["importer"]: edge for edge in self.get("channels")}[importer]

    def fetch(self, path):
        """The page, or None if it did not come."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as page:
                return page.read().decode()
        except (urllib.error.URLError, OSError, ValueError):
            return None


def a_cluster_of_two_runs(place):
    place.create(*staging.TRUST)
    place.apply(WEB.replace("PORT", str(place.port)))
    place.wait(lambda: place.fetch("/") is not None, "the first page")


def a_page_comes_back_after_a_crash(place):
    before = place.sip("web2")
    page = place.fetch("/")
    expect("<p>node: node2</p>" in page and "requests served: 1<" not in page, page)
    expect(place.fetch("/crash") is None, "/crash was answered as if nothing had happened")
    place.wait(lambda: place.fetch("/") is not None, "the page comes back by itself")
    page = place.fetch("/")
    expect("<p>node: node2</p>" in page, f"from another node: {page}")
    after = place.sip("web2")
    expect(after["state"] == "running" and after["number"] > before["number"], after)
    expect((after["node"], after["restarts"]) == ("node2", 1), after)
    expect(after["last_end"].startswith("faulted: "), after)
    edge = place.edge("web2.tcp")
    expect(edge["state"] != "closed" and edge["cause"] is None and edge["exporter"] == "tcp.tcp", edge)
    logs = place.out("logs", "web2")
    for line in ("asked to crash", "ended: peer faulted", "1 of 3 in 60 s", "made again as SIP"):
        expect(line in logs, f"'{line}' is missing: {logs}")


def it_is_given_up_after_its_limit(place):
    for restarts in (2, 3):
        expect(place.fetch("/crash") is None, "/crash was answered")
        place.wait(lambda r=restarts: place.sip("web2")["restarts"] == r
                   and place.fetch("/") is not None, f"restart {restarts}")
    expect(place.fetch("/crash") is None, "/crash was answered")
    place.wait(lambda: place.sip("web2")["restart"] is not None
               and place.sip("web2")["restart"]["state"] == "failed", "given up")
    expect("failed: limit 3 in 60 s" in place.out("get", "sips", "web2"), place.out("get", "sips"))
    expect(place.fetch("/") is None, "somebody answers")
    place.apply(WEB.replace("PORT", str(place.port)))
    place.wait(lambda: place.fetch("/") is not None, "the page after apply")


def an_importer_goes_on_with_the_new_exporter(place):
    place.apply(ECHO)
    before = place.sip("steady")
    place.wait(lambda: "all 15 answered" in place.out("logs", "steady"), "all answers")
    steady = place.sip("steady")
    expect(steady["state"] == "running" and steady["number"] == before["number"], steady)
    flaky = place.sip("flaky")
    expect(flaky["restarts"] == 4, flaky)  # three answers a life, and the last one lives
    logs = place.out("logs", "steady")
    expect(logs.count("lost: peer faulted") == 4, logs)
    expect([f"again after {n} answers" in logs for n in (3, 6, 9, 12)] == [True] * 4, logs)
    expect(logs.count("import steady.echo is wired again to flaky.echo") == 4, logs)
    edge = place.edge("steady.echo")
    expect(edge["state"] == "Start" and edge["cause"] is None, edge)
    expect("unchanged" in place.apply(ECHO), "an apply finds it as the graph says")
    place.ctl("delete", "graph/echo")


def an_exporter_lost_with_its_node_comes_back_elsewhere(place):
    place.ctl("delete", "graph/web")
    place.apply(LOST)
    expect(place.sip("exporter")["node"] == "node1", place.get("sips"))
    place.wait(lambda: place.edge("importer.echo")["received"] > 3, "answers")
    pids = (place.root / "sipfabric" / CLUSTER / "pids").read_text(encoding="utf-8").splitlines()
    (pid,) = [int(line.split()[0]) for line in pids if line.split()[2] == "node1"]
    os.kill(pid, signal.SIGKILL)
    place.wait(lambda: place.sip("exporter")["node"] == "node2"
               and place.sip("exporter")["state"] == "running", "the exporter on node2")
    place.wait(lambda: "again after" in place.out("logs", "importer"), "the importer is wired again")
    expect("lost: node lost" in place.out("logs", "importer"), place.out("logs", "importer"))
    received = place.edge("importer.echo")["received"]
    place.wait(lambda: place.edge("importer.echo")["received"] > received, "more answers")
    edge = place.edge("importer.echo")
    expect((edge["exporter_node"], edge["driver"]) == ("node2", "local"), edge)
    expect(place.sip("exporter")["last_end"] == "lost with node1", place.sip("exporter"))


CASES = [
    a_cluster_of_two_runs,
    a_page_comes_back_after_a_crash,
    it_is_given_up_after_its_limit,
    an_importer_goes_on_with_the_new_exporter,
    an_exporter_lost_with_its_node_comes_back_elsewhere,
]


sys.exit(staging.run_cases(RestartPlace, CASES))
