#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fabricd and fabricctl together, with nodes that are played by fake/fakenode. Speaks TAP."""
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from fabricd_encrypt import ENCRYPT_CASES
from fabricd_hostile import HOSTILE_CASES, field, frame
from fabricd_links import LINK_CASES
from fabricd_moves import MOVE_CASES
from fabricd_place import BUILD, FABRICCTL, FABRICD, SIPS, WEB, Node, Place, expect, kinds, refused
from fabricd_trust import TRUST_CASES, sipc


# --- joining -----------------------------------------------------------------------------------


def nodes_are_expected_then_joined(place):
    place.start()
    expect(place.stages() == dict.fromkeys(("node1", "node2", "node3"), "expected"), place.stages())
    place.join()
    expect(set(place.stages().values()) == {"joined"}, place.stages())
    out, _ = place.ctl("get", "nodes")
    expect(out.splitlines()[0].split() ==
           ["NAME", "ID", "STAGE", "AGE", "MODE", "ADDRESS", "SIPS", "LINKS"], out)
    expect(out.splitlines()[1].split()[:3] == ["node1", "1", "joined"], out)
    ids = {node["name"]: node["id"] for node in place.get("nodes")}
    expect(ids == {"node1": 1, "node2": 2, "node3": 3}, ids)


def hosted_pairs_get_a_link_server_first(place):
    place.start()
    first = Node(place, "node1")
    first.wait("welcome")
    second = Node(place, "node2")
    first.wait("link server")
    second.wait("link client")
    first.wait("peer node2")
    second.wait("peer node1")


def booted_pairs_use_their_own_links(place):
    place.start()
    first = Node(place, "node1", mode="booted")
    first.wait("welcome")
    second = Node(place, "node2", mode="booted")
    first.wait("peer node2")
    second.wait("peer node1")
    expect(not kinds(first.heard() + second.heard(), "link"), "a booted node was told to open a link")


def strangers_are_refused(place):
    place.start()
    Node(place, "node1", token="wrong").wait("refused the join token")
    Node(place, "Node1").wait("refused the node's name")
    place.join(1)
    Node(place, "node1", uuid="other").wait("refused a node of that name")
    expect(place.stages()["node1"] == "joined", "the right one was hurt")


def epochs_and_ids_are_never_reused(place):
    place.start()
    node = Node(place, "node2")
    expect(node.wait("welcome") == "welcome 2 1", node.lines)
    extra = Node(place, "another")
    expect(extra.wait("welcome") == "welcome 4 1", extra.lines)
    place.daemon.kill()  # not asked, not told
    place.daemon.wait()
    for one in place.nodes:
        one.end()
    (place.root / "s/fabricd.addr").unlink()
    place.start()
    extra = Node(place, "another")
    expect(extra.wait("welcome") == "welcome 4 2", extra.lines)
    node = Node(place, "node2")
    expect(node.wait("welcome") == "welcome 2 2", node.lines)


def a_damaged_state_is_not_started_on(place):
    place.start()
    place.stop()
    (place.root / "s/fabricd.state").write_text("sipfabric-state 1\nsip many\n")
    done = subprocess.run([FABRICD, "--state-dir", place.root / "s", "--listen", "127.0.0.1:0",
                           "--token", "t"], capture_output=True, text=True, timeout=10, check=False)
    expect(done.returncode == 1 and "fabricd.state:2: error:" in done.stderr, done.stderr)


def two_fabricds_do_not_share_a_folder(place):
    place.start()
    done = subprocess.run([FABRICD, "--state-dir", place.root / "s", "--listen", "127.0.0.1:0",
                           "--token", "t"], capture_output=True, text=True, timeout=10, check=False)
    expect(done.returncode == 1 and "another fabricd" in done.stderr, done.stderr)
    place.ctl("version")


# --- applying ----------------------------------------------------------------------------------


def apply_creates_wires_and_starts(place):
    place.start()
    nodes = place.join()
    out, err = place.apply()
    expect("graph web applied: 3 created" in out, out)
    expect("sent image" in err and "wired web2.tcp to tcp.tcp" in err, err)
    expect(place.states() == dict.fromkeys(("tcp", "web2", "web3"), "running"), place.states())
    expect(kinds(nodes[1].heard(), "image", "create", "wire", "start") ==
           ["image put", "create web2", "wire web2.tcp", "start web2"], "node2")
    lines = kinds(nodes[0].heard(), "image", "create", "wire", "start")
    expect(sorted(lines) == sorted(["image put", "create tcp", "create web3", "wire web3.tcp",
                                    "start tcp", "start web3"]), lines)
    order = [line.split(" ")[0] for line in lines]
    expect(order == sorted(order, key=["image", "create", "wire", "start"].index), lines)


def apply_again_changes_nothing(place):
    place.start()
    nodes = place.join()
    place.apply()
    for node in nodes:
        node.order("beat")  # after it has said what it was told
        node.heard()
    numbers = {sip["name"]: sip["number"] for sip in place.get("sips")}
    out, _ = place.apply()
    expect("unchanged" in out, out)
    expect(numbers == {sip["name"]: sip["number"] for sip in place.get("sips")}, "new numbers")
    for node in nodes:
        expect(not kinds(node.heard(), "image", "create", "wire", "start", "stop"), node.lines)


def a_changed_graph_changes_only_what_it_must(place):
    place.start()
    place.join()
    place.apply()
    changed = WEB.replace("    image: web.sip\n    node: node2\n",
                          "    image: web.sip\n    node: node2\n    config: {port: 81}\n")
    changed = changed.replace("  web3:\n    image: web.sip\n", "")
    changed = changed.replace("  - from: web3.tcp\n    to: tcp.tcp\n", "")
    out, err = place.apply(changed)
    expect("0 created, 1 replaced, 1 stopped, 1 unchanged" in out, out)
    expect("stopped web3 on node1: it is not in the graph any more" in err, err)
    expect(place.states() == {"tcp": "running", "web2": "running", "web3": "killed"}, place.states())


def dry_run_says_and_does_nothing(place):
    place.start()
    nodes = place.join()
    out, err = place.apply(WEB, 0, "--dry-run")
    expect("would create web2 on node2" in err and "dry run" in out, out + err)
    expect(place.get("sips") == [], "something was made")
    expect(not kinds(nodes[1].heard(), "image", "create"), "a node was told")


def delete_stops_all(place):
    place.start()
    nodes = place.join()
    place.apply()
    out, _ = place.ctl("delete", "graph/web")
    expect("3 SIPs stopped" in out, out)
    nodes[1].wait("stop web2")
    expect(place.get("sips") == [], "SIPs are left")
    place.ctl("delete", "graph/web", code=3)
    place.ctl("delete", "graph/web", "--ignore-not-found")
    place.apply()
    place.ctl("delete", "-f", place.root / "g.yaml")


def another_graph_may_use_an_exporter(place):
    place.start()
    place.join()
    place.apply()
    guest = ("graph: guest\nsips:\n  guest: {image: web.sip, node: node3}\n"
             "channels:\n  - {from: guest.tcp, to: tcp.tcp}\n")
    place.apply(guest)
    edges = {edge["importer"]: edge for edge in place.get("channels")}
    expect(edges["guest.tcp"]["exporter_node"] == "node1", edges)
    number = sip_of(place, "guest")["number"]
    moved = WEB.replace("    service: tcp\n    node: node1\n", "    service: tcp\n    node: node2\n")
    _, err = place.apply(moved, 0, "--dry-run")
    expect("would wire again guest.tcp on node3" in err, err)
    _, err = place.apply(moved)
    expect("guest.tcp of graph guest loses its exporter tcp; it is wired again to the new one" in err
           and "wired guest.tcp again to tcp.tcp" in err, err)
    edges = {edge["importer"]: edge for edge in place.get("channels")}
    expect(edges["guest.tcp"]["exporter_node"] == "node2", edges)
    expect(sip_of(place, "guest")["number"] == number, "guest was made again")
    out, _ = place.apply(guest)
    expect("unchanged" in out, out)
    _, err = place.ctl("delete", "graph/web")
    expect("channel guest.tcp of graph guest loses its exporter tcp" in err, err)


# --- refusals ----------------------------------------------------------------------------------


def bad_graphs_are_refused_whole(place):
    place.start()
    nodes = place.join(2)
    refused(place, 3, ["g.yaml:8:", "no node 'nodx'", "did you mean 'node1'?"],
            WEB.replace("node: node2", "node: nodx"))
    refused(place, 1, ["g.yaml:8:", "node3 has not joined yet"],
            WEB.replace("node: node2", "node: node3"))
    refused(place, 2, ["g.yaml:7: error: image 'wab.sip' was not found"],
            WEB.replace("image: web.sip\n    node", "image: wab.sip\n    node"))
    refused(place, 2, ["g.yaml:13: error: to: there is no SIP 'tcq'", "did you mean 'tcp'?"],
            WEB.replace("to: tcp.tcp", "to: tcq.tcp", 1))
    refused(place, 2, ["g.yaml:13:", "has no export 'udp'"], WEB.replace("to: tcp.tcp", "to: tcp.udp", 1))
    refused(place, 2, ["import 'web3.tcp' (TcpContract) is not wired"],
            WEB.replace("  - from: web3.tcp\n    to: tcp.tcp\n", ""))
    refused(place, 1, ["wants contract HelloContract, but tcp.tcp speaks TcpContract"],
            "graph: x\nsips:\n  tcp: {service: tcp}\n  c: {image: hello-client.sip}\n"
            "channels:\n  - {from: c.hello, to: tcp.tcp}\n")
    refused(place, 2, ["g.yaml:2: error: a graph file has no key 'sip'"], "graph: x\nsip: {}\n")
    expect(not kinds(nodes[0].heard() + nodes[1].heard(), "image", "create"), "a node was told")
    place.ctl("apply", "-f", place.root / "nosuch.yaml", code=3)


def tampered_images_are_refused(place):
    place.start()
    place.join(2)
    image = bytearray((SIPS / "web.sip").read_bytes())
    for offset in (len(image) // 2, len(image) - 1, 9, 40):
        changed = bytearray(image)
        changed[offset] ^= 1
        (place.root / "web.sip").write_bytes(changed)  # beside the graph: found first
        refused(place, 1, ["g.yaml:7: error: image", "is refused:"], WEB)
    (place.root / "web.sip").write_bytes(b"")
    refused(place, 1, ["is refused:"], WEB)


def a_failure_half_way_is_undone(place):
    place.start()
    nodes = place.join()
    for order, where in (("refuse create web2", "g.yaml:6: error: SIP web2 was not created on node2"),
                         ("refuse wire web2.tcp", "g.yaml:12: error: web2.tcp was not wired"),
                         ("refuse start web2", "g.yaml:6: error: SIP web2 was not started")):
        nodes[1].order(order)
        for node in nodes:
            node.heard()
        _, err = place.apply(WEB, 1)
        expect(where in err and "told to refuse" in err, err)
        expect("what was made of it is removed" in err, err)
        expect(place.get("sips") == [], "SIPs are left")
        created = kinds(nodes[0].heard(), "create", "stop")
        expect(sorted(created) == ["create tcp", "create web3", "stop tcp", "stop web3"], created)
        nodes[1].order("accept")
    place.apply()
    expect(set(place.states().values()) == {"running"}, place.states())


def a_failed_change_goes_back(place):
    place.start()
    nodes = place.join()
    place.apply()
    changed = WEB.replace("    node: node2\n", "    node: node2\n    config: {port: 81}\n")
    changed = changed.replace("channels:", "  more: {image: web.sip, node: node2}\nchannels:")
    changed += "  - {from: more.tcp, to: tcp.tcp}\n"
    nodes[1].order("refuse start more")
    _, err = place.apply(changed, 1)
    expect("it runs as before" in err, err)
    expect(place.states() == dict.fromkeys(("tcp", "web2", "web3"), "running"), place.states())
    out, _ = place.apply()
    expect("unchanged" in out, out)


def a_node_that_leaves_half_way_is_undone(place):
    place.start()
    nodes = place.join()
    nodes[1].order("drop start web2")
    _, err = place.apply(WEB, 1)
    expect("connection ended" in err, err)
    expect(place.get("sips") == [], place.states())
    place.wait(lambda: place.stages()["node2"] == "lost", "node2 lost")


# --- loss --------------------------------------------------------------------------------------


def a_lost_node_takes_its_sips(place):
    place.start()
    nodes = place.join()
    place.apply()
    nodes[1].order("away")
    nodes[0].wait("unpeer 2")
    nodes[2].wait("unpeer 2")
    sips = {sip["name"]: sip for sip in place.get("sips")}
    expect(sips["web2"]["state"] == "lost" and "node lost: node2" in sips["web2"]["cause"], sips)
    expect(sips["web3"]["state"] == "running", sips)
    edges = {edge["importer"]: edge for edge in place.get("channels")}
    expect(edges["web2.tcp"]["state"] == "closed" and "node lost" in edges["web2.tcp"]["cause"], edges)
    expect(edges["web3.tcp"]["state"] == "Start" and edges["web3.tcp"]["driver"] == "local", edges)
    _, err = place.apply(WEB, 1)
    expect("node node2 is lost" in err, err)
    nodes[1].order("again")
    expect(nodes[1].wait("welcome") == "welcome 2 2", nodes[1].lines)
    out, _ = place.apply()
    expect("0 created, 1 replaced, 0 stopped, 2 unchanged" in out, out)


def silence_is_loss(place):
    place.start()
    nodes = place.join(2)
    nodes[0].order("hang")
    nodes[1].wait("unpeer 1")
    expect(place.stages()["node1"] == "lost", place.stages())
    out, _ = place.ctl("logs", "node/node1")
    expect("lost: 3 heart-beats missing" in out, out)


def who_stood_still_blames_nobody(place):
    """A virtual machine that is stopped and goes on: fabricd finds its own clock ahead, and nobody heard."""
    place.start()
    nodes = place.join()
    place.apply()
    processes = [node.process for node in nodes] + [place.daemon]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    for process in reversed(processes):  # fabricd first: its timers are due before anybody can say anything
        process.send_signal(signal.SIGCONT)
        time.sleep(0.2)
    time.sleep(0.5)
    expect(place.stages() == dict.fromkeys(("node1", "node2", "node3"), "joined"), place.stages())
    expect(place.states() == dict.fromkeys(("tcp", "web2", "web3"), "running"), place.states())
    expect("did not run for" in (place.root / "fabricd.log").read_text(), "fabricd did not say so")


def a_short_break_costs_nothing(place):
    place.start()
    nodes = place.join()
    place.apply()
    for node in nodes:
        node.heard()
    nodes[1].order("away")
    time.sleep(0.5)
    nodes[1].order("back")
    expect(nodes[1].wait("welcome") == "welcome 2 1", nodes[1].lines)
    expect(place.states() == dict.fromkeys(("tcp", "web2", "web3"), "running"), place.states())
    time.sleep(2.5)
    expect(place.stages()["node2"] == "joined", place.stages())
    expect(not kinds(nodes[0].heard(), "unpeer"), "a peer was told of a loss")


def a_restarted_node_is_told_apart_from_a_break(place):
    place.start()
    nodes = place.join()
    place.apply()
    nodes[1].order("away")
    nodes[1].order("again")
    expect(nodes[1].wait("welcome") == "welcome 2 2", nodes[1].lines)
    expect(place.states()["web2"] == "lost", place.states())
    nodes[0].wait("unpeer 2")
    nodes[0].wait("peer node2")


# --- restarts ----------------------------------------------------------------------------------


def policy(text, sip="web2", graph=WEB):
    """The graph with a restart policy for one SIP."""
    return graph.replace(f"  {sip}:\n", f"  {sip}:\n    restart: {text}\n")


def sip_of(place, name):
    return {sip["name"]: sip for sip in place.get("sips")}[name]


def running_anew(place, name, number):
    """Waits until a SIP runs under another number; answers its entry."""
    place.wait(lambda: sip_of(place, name)["state"] == "running"
               and sip_of(place, name)["number"] != number, f"{name} is made again")
    return sip_of(place, name)


def never_stays_down(place):
    place.start()
    nodes = place.join()
    place.apply(policy("never", "web3"))  # web2 says nothing, which is the same
    for name, node in (("web2", nodes[1]), ("web3", nodes[0])):
        node.order(f"fault {name}")
        place.wait(lambda n=name: sip_of(place, n)["state"] == "faulted", f"{name} faulted")
    time.sleep(0.5)
    for name in ("web2", "web3"):
        sip = sip_of(place, name)
        expect((sip["restarts"], sip["restart"], sip["last_end"]) ==
               (0, None, "faulted: unreachable instruction"), sip)


def on_fault_restarts_what_failed_only(place):
    place.start()
    nodes = place.join()
    place.apply(policy("on-fault"))
    nodes[1].heard()
    before = sip_of(place, "web2")
    nodes[1].order("fault web2")
    after = running_anew(place, "web2", before["number"])
    expect(kinds(nodes[1].heard(), "create", "wire", "start", "stop") ==
           ["create web2", "wire web2.tcp", "start web2"], "on its node, with its edge")
    expect(after["number"] > before["number"] and after["node"] == "node2", after)
    expect((after["restarts"], after["last_end"]) == (1, "faulted: unreachable instruction"), after)
    nodes[1].order("exit web2 3")
    after = running_anew(place, "web2", after["number"])
    expect((after["restarts"], after["last_end"]) == (2, "exited 3"), after)
    out, _ = place.ctl("logs", "web2")
    for line in ("ended: peer faulted: unreachable instruction",
                 "restarts 0.1 s after its end, 1 of 5 in 60 s",
                 f"made again as SIP {after['number']} on node2, restart 2"):
        expect(line in out, out)
    nodes[1].order("exit web2 0")
    place.wait(lambda: sip_of(place, "web2")["state"] == "exited", "web2 exited")
    time.sleep(0.5)
    sip = sip_of(place, "web2")
    expect((sip["state"], sip["restart"], sip["last_end"]) == ("exited", None, "exited 0"), sip)
    out, _ = place.ctl("get", "sips", "web2")
    expect(out.splitlines()[0].split() == ["NAME", "GRAPH", "NODE", "IMAGE", "MODE", "STATE",
                                           "RESTARTS", "AGE", "LAST", "END"], out)
    expect("exited (0)" in out and "exited 0" in out, out)


def always_restarts_what_exited_well(place):
    place.start()
    nodes = place.join()
    place.apply(policy("always"))
    number = sip_of(place, "web2")["number"]
    nodes[1].order("exit web2 0")
    after = running_anew(place, "web2", number)
    expect((after["restarts"], after["last_end"]) == (1, "exited 0"), after)


def stopping_is_no_end_to_restart_after(place):
    place.start()
    nodes = place.join()
    graph = policy("always", "web3", policy("always"))
    place.apply(graph)
    without = graph.replace("  web3:\n    restart: always\n    image: web.sip\n", "")
    place.apply(without.replace("  - from: web3.tcp\n    to: tcp.tcp\n", ""))
    nodes[0].wait("stop web3")
    for node in nodes:
        node.heard()
    place.ctl("delete", "graph/web")
    time.sleep(0.5)
    expect(not kinds(nodes[0].heard() + nodes[1].heard(), "create"), "made again")


def back_off_grows_and_the_limit_ends_it(place):
    place.start()
    nodes = place.join()
    place.apply(policy("{policy: on-fault, backoff: 200ms, limit: 3}"))
    times = []
    for restart in range(3):
        number = sip_of(place, "web2")["number"]
        began = time.monotonic()
        nodes[1].order("fault web2")
        after = running_anew(place, "web2", number)
        expect(after["restarts"] == restart + 1, after)
        times.append(time.monotonic() - began)
    expect(times[0] >= 0.2 and times[1] >= 0.4 and times[2] >= 0.8, times)  # never earlier
    nodes[1].order("fault web2")
    place.wait(lambda: sip_of(place, "web2")["restart"] is not None, "given up")
    sip = sip_of(place, "web2")
    expect(sip["restart"] == {"state": "failed", "in_ms": 0, "why": "limit 3 in 60 s"}, sip)
    out, _ = place.ctl("get", "sips", "web2")
    expect("failed: limit 3 in 60 s" in out, out)
    expect("apply graph web again" in place.ctl("logs", "web2")[0], "the log says what to do")
    expect(place.states()["web3"] == "running", "the others run on")
    out, _ = place.apply(policy("{policy: on-fault, backoff: 200ms, limit: 3}"))
    expect("1 replaced" in out and sip_of(place, "web2")["restarts"] == 0, out)


def a_sip_that_waits_for_its_time_is_shown(place):
    place.start()
    nodes = place.join()
    graph = policy("{policy: on-fault, backoff: 30s}")
    place.apply(graph)
    nodes[1].order("fault web2")
    place.wait(lambda: sip_of(place, "web2")["restart"] is not None, "in back-off")
    sip = sip_of(place, "web2")
    expect(sip["restart"]["state"] == "back-off" and 20000 < sip["restart"]["in_ms"] <= 30000, sip)
    expect(sip["state"] == "faulted", sip)
    out, _ = place.ctl("get", "sips", "web2")
    expect(re.search(r"back-off [23]\d\.\d s", out) and "faulted: unreachable instruction" in out, out)
    nodes[1].order("refuse start web2")
    _, err = place.apply(graph, 1)  # an apply that fails does not lose the restart
    expect("was not started" in err, err)
    place.wait(lambda: sip_of(place, "web2")["restart"] is not None, "in back-off again")
    nodes[1].order("accept")
    out, _ = place.apply(graph)  # and one that works comes before it
    expect("0 created, 1 replaced, 0 stopped, 2 unchanged" in out, out)
    expect(sip_of(place, "web2")["restart"] is None, "nothing is to come")


def importers_that_run_are_wired_again(place):
    place.start()
    nodes = place.join()
    place.apply(policy("on-fault", "tcp"))
    place.apply("graph: guest\nsips:\n  guest: {image: web.sip, node: node3}\n"
                "channels:\n  - {from: guest.tcp, to: tcp.tcp}\n")
    numbers = {sip["name"]: sip["number"] for sip in place.get("sips")}
    for node in nodes:
        node.heard()
    nodes[0].order("fault tcp")
    running_anew(place, "tcp", numbers["tcp"])
    for node, sip in ((nodes[0], "web3"), (nodes[1], "web2"), (nodes[2], "guest")):
        node.wait(f"wire {sip}.tcp")
        place.wait(lambda s=sip: f"import {s}.tcp is wired again to tcp.tcp"
                   in place.ctl("logs", s)[0], f"{sip}'s log")
        expect(sip_of(place, sip)["number"] == numbers[sip], f"{sip} was made again")
    lines = kinds(nodes[0].heard() + nodes[0].lines, "create", "wire", "start", "stop")
    expect("stop web3" not in lines, lines)
    out, _ = place.apply(policy("on-fault", "tcp"))
    expect("unchanged" in out, f"the new edges do not count as made: {out}")


def an_importer_that_cannot_be_wired_does_not_stop_the_restart(place):
    place.start()
    nodes = place.join()
    place.apply(policy("on-fault", "tcp"))
    number = sip_of(place, "tcp")["number"]
    nodes[1].order("refuse wire web2.tcp")
    nodes[0].order("fault tcp")
    running_anew(place, "tcp", number)
    place.wait(lambda: "import web2.tcp is not wired again to tcp.tcp: told to refuse"
               in place.ctl("logs", "web2")[0], "the importer's log says so")
    nodes[1].order("accept")
    out, _ = place.apply(policy("on-fault", "tcp"))
    expect("1 replaced" in out, f"an apply makes the importer again: {out}")


def a_restart_that_fails_counts_and_comes_again(place):
    place.start()
    nodes = place.join()
    place.apply(policy("{policy: on-fault, backoff: 50ms, limit: 2}"))
    number = sip_of(place, "web2")["number"]
    nodes[1].order("refuse start web2")
    nodes[1].order("fault web2")
    place.wait(lambda: (sip_of(place, "web2")["restart"] or {}).get("state") == "failed", "given up")
    lines = kinds(nodes[1].heard() + nodes[1].lines, "create", "stop")
    expect(lines.count("create web2") == 3 and lines.count("stop web2") == 2, lines)
    expect("restart failed: SIP web2 was not started: told to refuse"
           in place.ctl("logs", "web2")[0], "the log says why")
    expect(sip_of(place, "web2")["last_end"] == "faulted: unreachable instruction", "last end")
    expect(number < sip_of(place, "web2")["number"], "numbers are not used twice")
    expect(place.states()["web3"] == "running", place.states())


def escalation_makes_the_graph_again_once(place):
    place.start()
    nodes = place.join()
    place.apply(policy("{policy: on-fault, backoff: 20ms, limit: 1, escalate: graph}"))
    place.apply("graph: guest\nsips:\n  guest: {image: web.sip, node: node3}\n"
                "channels:\n  - {from: guest.tcp, to: tcp.tcp}\n")
    first = {sip["name"]: sip["number"] for sip in place.get("sips")}
    nodes[1].order("fault web2")
    second = running_anew(place, "web2", first["web2"])
    nodes[2].heard()
    nodes[1].order("fault web2")
    third = running_anew(place, "web2", second["number"])
    place.wait(lambda: sip_of(place, "tcp")["restarts"] == 1, "tcp is made again too")
    for name in ("tcp", "web3"):
        expect(sip_of(place, name)["number"] > first[name], f"{name} was not made again")
    expect(sip_of(place, "guest")["number"] == first["guest"], "another graph was touched")
    nodes[2].wait("wire guest.tcp")
    lines = kinds(nodes[0].heard(), "stop")
    expect(sorted(lines) == ["stop tcp", "stop web3"], lines)
    expect("limit 1 in 60 s: the whole graph is made again" in place.ctl("logs", "web2")[0], "log")
    number = third["number"]
    nodes[1].order("fault web2")
    number = running_anew(place, "web2", number)["number"]
    nodes[1].order("fault web2")
    place.wait(lambda: (sip_of(place, "web2")["restart"] or {}).get("state") == "failed", "given up")
    expect("also after its graph was made again" in sip_of(place, "web2")["restart"]["why"], "why")
    expect(place.states()["web3"] == "running" and place.states()["tcp"] == "running", "the others")
    expect(sip_of(place, "tcp")["restarts"] == 1, "made again more than once")


def a_failed_escalation_is_told_of_all(place):
    place.start()
    nodes = place.join()
    place.apply(policy("{policy: on-fault, backoff: 20ms, limit: 1, escalate: graph}"))
    number = sip_of(place, "web2")["number"]
    nodes[1].order("fault web2")
    running_anew(place, "web2", number)
    nodes[0].order("refuse create web3")
    nodes[1].order("fault web2")
    place.wait(lambda: all((sip["restart"] or {}).get("state") == "failed"
                           for sip in place.get("sips")), "all given up")
    for sip in place.get("sips"):
        expect("its graph could not be made again: SIP web3 was not created" in
               sip["restart"]["why"], sip)
    nodes[0].order("accept")
    place.apply()
    expect(set(place.states().values()) == {"running"}, place.states())


def restarts_go_where_there_is_a_node(place):
    place.start()
    nodes = place.join()
    graph = ("graph: g\nsips:\n  pinned: {image: hello.sip, node: node2, restart: on-fault}\n"
             "  free: {image: hello.sip, restart: on-fault}\n")
    place.apply(graph)
    expect(sip_of(place, "free")["node"] == "node1", "placed")
    numbers = {sip["name"]: sip["number"] for sip in place.get("sips")}
    nodes[0].order("away")
    nodes[1].order("away")
    after = running_anew(place, "free", numbers["free"])
    expect(after["node"] == "node3" and after["last_end"] == "lost with node1", after)
    place.wait(lambda: (sip_of(place, "pinned")["restart"] or {}).get("state") == "waiting", "waits")
    expect("node node2 is lost" in sip_of(place, "pinned")["restart"]["why"], "why")
    out, _ = place.ctl("get", "sips", "pinned")
    expect("waiting" in out and "waits: SIP 'pinned': node node2 is lost" in out, out)
    expect(place.ctl("logs", "pinned")[0].count("restart waits") == 1, "said once")
    nodes[1].order("again")
    after = running_anew(place, "pinned", numbers["pinned"])
    expect((after["node"], after["restarts"]) == ("node2", 1), after)
    expect("image put" in nodes[1].heard() + nodes[1].lines, "its image has to come again")


def an_importer_waits_for_its_exporter(place):
    place.start()
    nodes = place.join()
    graph = ("graph: g\nsips:\n"
             "  hello: {image: hello.sip, node: node1, restart: {policy: always, backoff: 700ms}}\n"
             "  client: {image: hello-client.sip, node: node2, restart: {policy: always, backoff: 20ms}}\n"
             "channels:\n  - {from: client.hello, to: hello.hello}\n")
    place.apply(graph)
    numbers = {sip["name"]: sip["number"] for sip in place.get("sips")}
    nodes[0].order("fault hello")
    nodes[1].order("exit client 1")
    place.wait(lambda: (sip_of(place, "client")["restart"] or {}).get("state") == "waiting", "waits")
    expect("SIP hello, which it imports from, does not run" in
           sip_of(place, "client")["restart"]["why"], "why")
    client = running_anew(place, "client", numbers["client"])
    hello = sip_of(place, "hello")
    expect(hello["state"] == "running" and hello["number"] < client["number"], (hello, client))


def sips_that_import_from_each_other_come_back_together(place):
    place.start()
    nodes = place.join()
    shutil.copy(BUILD / "node_kernel/kernel/rewire.sip", place.root)
    sipc("sign", place.root / "rewire.sip", "--key", SIPS / "dev.key")
    place.apply("graph: g\nsips:\n  a: {image: rewire.sip, node: node1, restart: on-fault}\n"
                "  b: {image: rewire.sip, node: node2, restart: on-fault}\n"
                "channels:\n  - {from: a.peer, to: b.test}\n  - {from: b.peer, to: a.test}\n")
    numbers = {sip["name"]: sip["number"] for sip in place.get("sips")}
    nodes[1].order("hang")  # it is lost with b, and a faults meanwhile: each needs the other
    place.wait(lambda: place.stages()["node2"] == "lost", "node2 lost")
    nodes[0].order("fault a")
    place.wait(lambda: (sip_of(place, "a")["restart"] or {}).get("state") == "waiting", "a waits")
    expect("SIP b, which it imports from, does not run" in sip_of(place, "a")["restart"]["why"], "a")
    nodes[1].order("beat")
    nodes[1].order("again")
    for name in ("a", "b"):
        running_anew(place, name, numbers[name])
    place.wait(lambda: sip_of(place, "a")["restarts"] == 1 and sip_of(place, "b")["restarts"] == 1,
               "once each")


def many_that_wait_do_not_keep_one_from_coming_back(place):
    place.start()
    nodes = place.join()
    graph = "graph: g\nsips:\n" + "".join(
        f"  w{n}: {{image: hello.sip, node: node2, restart: on-fault}}\n" for n in range(200))
    place.apply(graph + "  late: {image: hello.sip, node: node1, restart: on-fault}\n")
    number = sip_of(place, "late")["number"]
    nodes[1].order("away")
    place.wait(lambda: (sip_of(place, "w0")["restart"] or {}).get("state") == "waiting", "they wait")
    nodes[0].order("fault late")
    running_anew(place, "late", number)
    place.wait(lambda: all((sip["restart"] or {}).get("state") == "waiting"
                           for sip in place.get("sips") if sip["name"] != "late"), "all wait")
    nodes[1].order("again")
    place.wait(lambda: set(place.states().values()) == {"running"}, "all are back")


def a_policy_can_be_changed_while_it_runs(place):
    place.start()
    nodes = place.join()
    place.apply()
    numbers = {sip["name"]: sip["number"] for sip in place.get("sips")}
    for text in ("always", "{policy: on-fault, limit: 1}", "never", "on-fault"):
        out, _ = place.apply(policy(text))
        expect("unchanged" in out, out)
    expect(numbers == {sip["name"]: sip["number"] for sip in place.get("sips")}, "new numbers")
    nodes[1].order("fault web2")
    running_anew(place, "web2", numbers["web2"])


def a_cpu_quota_reaches_the_node_also_in_a_restart(place):
    place.start()
    nodes = place.join()
    place.apply(policy("on-fault").replace("  web2:\n", "  web2:\n    cpu: 30%\n"))
    expect(kinds(nodes[1].heard(), "quota") == ["quota web2 30"], "at first")
    expect(not kinds(nodes[0].heard(), "quota"), "web3 has none")
    number = sip_of(place, "web2")["number"]
    nodes[1].order("fault web2")
    running_anew(place, "web2", number)
    expect(kinds(nodes[1].heard() + nodes[1].lines, "quota") == ["quota web2 30"], "again")


def a_follower_of_the_log_stays_over_a_restart(place):
    place.start()
    nodes = place.join()
    place.apply(policy("{policy: on-fault, limit: 1}"))
    number = sip_of(place, "web2")["number"]
    follower = subprocess.Popen(
        [FABRICCTL, "--socket", place.root / "s/ctl.sock", "logs", "web2", "-f"],
        stdout=subprocess.PIPE, text=True)
    nodes[1].order("fault web2")
    running_anew(place, "web2", number)
    nodes[1].order("log web2 second life")
    nodes[1].order("fault web2")
    out, _ = follower.communicate(timeout=10)
    expect(follower.returncode == 0 and "second life" in out, out)
    expect("failed: limit 1 in 60 s" in out, out)


# --- logs and ends -----------------------------------------------------------------------------


def logs_are_kept_and_followed(place):
    place.start()
    nodes = place.join()
    place.apply()
    for number in range(5):
        nodes[1].order(f"log web2 line {number}")
    nodes[1].order("say kernel speaking")
    out, _ = place.ctl("logs", "web2", "--tail", "2")
    expect(out.splitlines() == ["line 3", "line 4"], out)
    out, _ = place.ctl("logs", "web2", "-t", "--tail", "1")
    expect(out == "2023-11-14T22:13:20.000Z line 4\n", out)
    out, _ = place.ctl("logs", "node/node2")
    expect("kernel speaking" in out, out)
    follower = subprocess.Popen(
        [FABRICCTL, "--socket", place.root / "s/ctl.sock", "logs", "web2", "-f"],
        stdout=subprocess.PIPE, text=True)
    nodes[1].order("log web2 late")
    nodes[1].order("fault web2")
    out, _ = follower.communicate(timeout=10)
    expect(follower.returncode == 0, follower.returncode)
    expect(out.splitlines()[:6] == [f"line {n}" for n in range(5)] + ["late"], out)
    expect("  in web_crash" in out and "ended: peer faulted: unreachable instruction" in out, out)
    expect(place.states()["web2"] == "faulted", place.states())
    edges = {edge["importer"]: edge for edge in place.get("channels")}
    expect(edges["web2.tcp"]["sent"] == 7, "the fake node still lists its endpoint")
    place.ctl("logs", "nosuch", code=3)
    place.apply()
    expect("line 4" in place.ctl("logs", "web2")[0], "the log was lost with the SIP")


def a_walk_is_followed_judged_and_removed(place):
    place.start()
    nodes = place.join()
    place.apply()
    for code in (0, 1):
        done = subprocess.Popen(
            [FABRICCTL, "--socket", place.root / "s/ctl.sock", "test", "contract", "TcpConnectionContract",
             "--exporter", "tcp", "--from", "node3"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        walker = nodes[2].wait("start walk-").split(" ")[1]
        nodes[2].order(f"log {walker} walked 3 of 3 states")
        nodes[2].order(f"exit {walker} {code}")
        out, err = done.communicate(timeout=10)
        expect(done.returncode == code, f"exit {done.returncode}: {err}")
        expect("walked 3 of 3 states" in out, out)
        expect(("keeps contract" in out) == (code == 0), out)
        expect(len(place.get("sips")) == 3, place.states())
    place.ctl("test", "contract", "NoContract", "--exporter", "tcp", "--from", "node3", code=3)


def a_walk_is_removed_on_interrupt_and_timeout(place):
    place.start()
    nodes = place.join()
    place.apply()
    command = [FABRICCTL, "--socket", place.root / "s/ctl.sock", "test", "contract", "TcpConnectionContract",
               "--exporter", "tcp.tcp", "--from", "node3"]
    done = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    nodes[2].wait("start walk-")
    time.sleep(0.2)
    done.send_signal(signal.SIGINT)
    done.communicate(timeout=10)
    expect(done.returncode == 130, done.returncode)
    expect(len(place.get("sips")) == 3, place.states())
    done = subprocess.run(command + ["--timeout", "500ms"], capture_output=True, text=True,
                          timeout=20, check=False)
    expect(done.returncode == 4 and "--timeout" in done.stderr, done.stderr)
    expect(len(place.get("sips")) == 3, place.states())


# --- the command line --------------------------------------------------------------------------


def help_and_usage(place):
    place.start()
    for command in ([], ["apply"], ["delete"], ["get"], ["get", "nodes"], ["get", "sips"],
                    ["get", "channels"], ["logs"], ["test"], ["test", "contract"], ["version"],
                    ["cluster"], ["cluster", "create"]):
        out, _ = place.ctl(*command, "--help")
        expect("examples:\n  fabricctl " in out and "usage: fabricctl" in out, out)
    for command in ([], ["get"], ["get", "cows"], ["apply"], ["apply", "-f"], ["delete"], ["logs"],
                    ["apply", "-f", "a", "b"], ["get", "nodes", "--what"], ["logs", "a", "b"],
                    ["test", "contract", "X"], ["-o", "xml", "get", "nodes"], ["logs", "a", "--tail", "x"]):
        _, err = place.ctl(*command, code=2)
        expect(err != "", command)


def output_forms(place):
    place.start()
    place.join()
    place.apply()
    out, _ = place.ctl("get", "sip", "-o", "name")
    expect(sorted(out.split()) == ["sip/tcp", "sip/web2", "sip/web3"], out)
    out, _ = place.ctl("-o", "json", "get", "node", "node2")
    found = json.loads(out)
    expect(found["format"] == 1 and len(found["nodes"]) == 1, out)
    expect(set(found["nodes"][0]) == {
        "name", "id", "stage", "cordoned", "stage_ms", "joined_ms", "mode", "address", "version", "cpus",
        "memory_bytes", "sips", "links", "peers_alive"}, out)
    edge = place.get("channels")[0]
    expect(set(edge) == {
        "id", "peer_id", "graph", "importer", "importer_node", "exporter", "exporter_node", "contract",
        "state", "driver", "sent", "received", "queued", "importer_end", "exporter_end", "cause"}, edge)
    expect(set(place.get("sips")[0]) == {
        "name", "number", "graph", "node", "image", "signer", "mode", "state", "exit_code", "age_ms",
        "restarts", "restart", "last_end", "cause"}, "sips")
    out, _ = place.ctl("get", "ch", "web2")
    expect(len(out.splitlines()) == 2 and "web2.tcp" in out, out)
    place.ctl("get", "sips", "nosuch", code=3)
    out, _ = place.ctl("delete", "graph/nosuch", "-o", "json", code=3)
    expect(json.loads(out)["error"]["code"] == "not_found", out)
    done = subprocess.run([FABRICCTL, "--socket", place.root / "none.sock", "get", "nodes"],
                          capture_output=True, text=True, timeout=20, check=False)
    expect(done.returncode == 4 and "cannot reach fabricd" in done.stderr, done.stderr)


def a_trace_that_no_node_answers_ends_in_time(place):
    place.start()
    nodes = place.join()
    place.apply()
    _, err = place.ctl("trace", "web2.tcp", code=4)
    expect("the node did not answer in time" in err, err)
    nodes[1].wait("what? 80")  # TraceStart
    nodes[1].wait("what? 81")  # and TraceStop, so that nothing is left there
    _, err = place.ctl("trace", "web9.tcp", code=3)
    expect("there is no channel 'web9.tcp'" in err, err)


def a_signal_ends_fabricd_alone(place):
    place.start()
    nodes = place.join(1)
    place.stop()
    nodes[0].wait("ended")
    expect("shutdown" not in nodes[0].lines, nodes[0].lines)


def daemon_stop_shuts_the_nodes_down(place):
    place.start()
    nodes = place.join(2)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(place.root / "s/ctl.sock"))
        peer.sendall(frame(field(1, 1) + field(55, b"")))
        expect(peer.recv(1000) != b"", "no answer")
        for node in nodes:
            node.wait("shutdown")
        expect(place.daemon.wait(timeout=10) == 0, "fabricd's exit code")


CASES = [
    nodes_are_expected_then_joined,
    hosted_pairs_get_a_link_server_first,
    booted_pairs_use_their_own_links,
    strangers_are_refused,
    epochs_and_ids_are_never_reused,
    a_damaged_state_is_not_started_on,
    two_fabricds_do_not_share_a_folder,
    apply_creates_wires_and_starts,
    apply_again_changes_nothing,
    a_changed_graph_changes_only_what_it_must,
    dry_run_says_and_does_nothing,
    delete_stops_all,
    another_graph_may_use_an_exporter,
    bad_graphs_are_refused_whole,
    tampered_images_are_refused,
    *TRUST_CASES,
    *ENCRYPT_CASES,
    *LINK_CASES,
    *MOVE_CASES,
    a_failure_half_way_is_undone,
    a_failed_change_goes_back,
    a_node_that_leaves_half_way_is_undone,
    a_lost_node_takes_its_sips,
    silence_is_loss,
    who_stood_still_blames_nobody,
    a_short_break_costs_nothing,
    a_restarted_node_is_told_apart_from_a_break,
    never_stays_down,
    on_fault_restarts_what_failed_only,
    always_restarts_what_exited_well,
    stopping_is_no_end_to_restart_after,
    back_off_grows_and_the_limit_ends_it,
    a_sip_that_waits_for_its_time_is_shown,
    importers_that_run_are_wired_again,
    an_importer_that_cannot_be_wired_does_not_stop_the_restart,
    a_restart_that_fails_counts_and_comes_again,
    escalation_makes_the_graph_again_once,
    a_failed_escalation_is_told_of_all,
    restarts_go_where_there_is_a_node,
    an_importer_waits_for_its_exporter,
    sips_that_import_from_each_other_come_back_together,
    many_that_wait_do_not_keep_one_from_coming_back,
    a_policy_can_be_changed_while_it_runs,
    a_cpu_quota_reaches_the_node_also_in_a_restart,
    a_follower_of_the_log_stays_over_a_restart,
    logs_are_kept_and_followed,
    a_walk_is_followed_judged_and_removed,
    a_walk_is_removed_on_interrupt_and_timeout,
    help_and_usage,
    output_forms,
    a_trace_that_no_node_answers_ends_in_time,
    a_signal_ends_fabricd_alone,
    daemon_stop_shuts_the_nodes_down,
    *HOSTILE_CASES,
]


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = set(sys.argv[1:])
    cases = [case for case in CASES if not wanted or case.__name__ in wanted]
    failed = 0
    print(f"1..{len(cases)}", flush=True)
    for number, case in enumerate(cases, start=1):
        place = Place()
        try:
            case(place)
            if place.daemon.poll() is None:
                place.stop()  # the sanitizers look for leaks at the end
            expect(place.daemon.poll() == 0, f"fabricd ended with {place.daemon.poll()}")
            print(f"ok {number} - {case.__name__}", flush=True)
        except (AssertionError, KeyError, OSError, ValueError, subprocess.SubprocessError) as error:
            failed += 1
            print(f"not ok {number} - {case.__name__}")
            tail = (place.root / "fabricd.log").read_text(errors="replace").splitlines()[-15:]
            lines = f"{type(error).__name__}: {error}".splitlines() + ["fabricd.log:"] + tail
            print("\n".join("# " + line for line in lines), flush=True)
        finally:
            place.end()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
