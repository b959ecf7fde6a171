# SPDX-License-Identifier: Apache-2.0
"""Over which links fabricd has nodes talk: choose.c has the rules, this that they are followed."""
import json
import time

from fabricd_place import Node, Place, expect, kinds


def pair(place, first, second, *more):
    """Two nodes with these keyword arguments, and what each is told of the other."""
    place.start(*more)
    one = Node(place, "node1", **first)
    one.wait("welcome")
    two = Node(place, "node2", **second)
    one.wait("peer node2")
    two.wait("peer node1")
    return one.heard(), two.heard()


def linked(lines):
    return [line for line in lines if line.startswith(("over", "session", "link"))]


def key(name):
    return ("k" + name).ljust(32, "-")


def nodes_of_two_machines_use_what_they_brought(place):
    one, two = pair(place, {"machine": "m", "links": ["af_packet:10.78.0.1:1472"]},
                    {"machine": "n", "links": ["virtio:10.79.0.2:1472", "dpdk:10.78.0.2:8972"]})
    expect(linked(one) == [f"session node2 encrypted {key('node2')}", "over link 1 to 10.78.0.2 at 02:..:02"], one)
    expect(linked(two) == [f"session node1 encrypted {key('node1')}", "over link 2 to 10.78.0.1 at 02:..:01"], two)


def nodes_of_one_machine_use_memif_all_the_same(place):
    one, two = pair(place, {"machine": "m", "links": ["af_packet:10.78.0.1:1472"]},
                    {"machine": "m", "links": ["af_packet:10.78.0.2:1472"]})
    expect(linked(one) == ["link server", f"session node2 clear {key('node2')}"], one)
    expect(linked(two) == ["link client", f"session node1 clear {key('node1')}"], two)


def unless_they_are_told_not_to(place):
    one, two = pair(place, {"machine": "m", "links": ["af_packet:10.78.0.1:1472"]},
                    {"machine": "m", "links": ["af_packet:10.78.0.2:1472"]}, "--no-memif")
    expect(not kinds(one + two, "link"), one + two)
    expect("over link 1 to 10.78.0.2 at 02:..:02" in one, one)
    nodes = {node["name"]: node for node in json.loads(place.ctl("get", "nodes", "-o", "json")[0])["nodes"]}
    expect(nodes["node1"]["links"] == [
        {"driver": "af_packet", "device": "fake0", "mac": "02:00:00:00:00:01", "ipv4": "10.78.0.1",
         "mtu_bytes": 1472, "queues": 0, "up": True, "peer_node": 0}], nodes["node1"])


def hosted_and_booted_nodes_can_talk(place):
    one, two = pair(place, {"mode": "hosted", "links": ["af_packet:10.78.0.1:1472"]},
                    {"mode": "booted", "links": ["dpdk:10.78.0.2:1472"]})
    expect("over link 1 to 10.78.0.2 at 02:..:02" in one, one)
    expect("over link 1 to 10.78.0.1 at 02:..:01" in two, two)


def without_a_common_link_the_reason_is_said(place):
    place.start("--no-memif")
    one = Node(place, "node1", links=["af_packet:10.78.0.1:1472"])
    one.wait("welcome")
    two = Node(place, "node2")
    two.wait("welcome")
    place.wait(lambda: "node2 brought no link: start it with sipnode --link" in
               place.ctl("logs", "node/node1")[0], "the reason in the log")
    lines = one.heard() + two.heard()
    expect(not kinds(lines, "peer", "link", "session"), lines)


def more_links_than_are_kept_do_no_harm(place):
    many = [f"af_packet:10.{number}.0.1:1472" for number in range(20)]
    one, _ = pair(place, {"machine": "m", "links": many},
                  {"machine": "n", "links": ["af_packet:10.19.0.2:1472"]})
    numbers = [line for line in one if line.startswith("over link ")]
    expect(len(numbers) == 1 and 1 <= int(numbers[0].split()[2]) <= 16, one)


def nodes_that_do_not_hear_each_other_are_linked_again(place):
    place.start()
    one = Node(place, "node1", mode="booted")
    one.wait("welcome")
    two = Node(place, "node2", mode="booted")
    one.wait("peer node2")
    two.wait("peer node1")
    place.wait(lambda: [node["peers_alive"] for node in place.get("nodes")][:2] == [["node2"], ["node1"]], "they hear")
    time.sleep(1)  # until fabricd has looked
    one.order("deaf")
    for node, other in ((one, 2), (two, 1)):
        node.wait(f"unpeer {other}")
        node.wait(f"peer node{other}")
    one.order("hear")
    place.wait(lambda: [node["peers_alive"] for node in place.get("nodes")][:2] == [["node2"], ["node1"]], "again")
    one.heard(), two.heard()
    time.sleep(4)  # longer than it takes to be linked again
    expect(not kinds(one.heard() + two.heard(), "unpeer", "peer"), "they hear each other, and were linked again")
    log = place.ctl("logs", "node/node1")[0]
    expect(log.count("node1 and node2 do not hear each other; linking them again") == 1, log)


BOTH = ({"machine": "m", "links": ["af_packet:10.78.0.1:1472", "rdma:10.80.0.1:9000"]},
        {"machine": "n", "links": ["rdma:10.81.0.2:9000", "dpdk:10.78.0.2:1472"]})


def ways(place):
    """What get links says: (node, number, [(peer, spare, why)])."""
    return [(link["node"], link["number"], [(peer["node"], peer["spare"], peer["why"]) for peer in link["peers"]])
            for link in json.loads(place.ctl("get", "links", "-o", "json")[0])["links"]]


def rdma_comes_first_and_the_other_is_the_spare(place):
    one, two = pair(place, *BOTH, "--allow-rdma", "node2:node1")
    expect("over link 2 to 10.81.0.2 at 02:..:02" in one and "spare link 1 to 10.78.0.2 at 02:..:02" in one, one)
    expect("over link 1 to 10.80.0.1 at 02:..:01" in two and "spare link 2 to 10.78.0.1 at 02:..:01" in two, two)
    why = "RDMA comes first; if it fails: af_packet"
    wanted = [("node1", 1, [("node2", True, why)]), ("node1", 2, [("node2", False, why)]),
              ("node2", 1, [("node1", False, why)]), ("node2", 2, [("node1", True, why)])]
    place.wait(lambda: ways(place) == wanted, f"{wanted}, but {ways(place)}")
    out, _ = place.ctl("get", "links", "-o", "wide")
    expect("node2 (spare)" in out and f"node2: {why}" in out, out)


def rdma_is_used_where_it_is_allowed_only(place):
    """Allowed in one end's network, between other nodes, not at all: then the next best link is taken."""
    why = "RDMA is not allowed on this link (--allow-rdma node1:node2)"
    for more in (("--allow-rdma", "10.80.0.0/16"), ("--allow-rdma", "node1:node3"), ()):
        other = Place()
        try:
            one, two = pair(other, *BOTH, *more)
            expect("over link 1 to 10.78.0.2 at 02:..:02" in one and not kinds(one, "spare"), one)
            expect("over link 2 to 10.78.0.1 at 02:..:01" in two, two)
            other.wait(lambda: ("node1", 1, [("node2", False, why)]) in ways(other), why)
        finally:
            other.end()
    one, _ = pair(place, *BOTH, "--allow-rdma", "10.90.0.0/16", "--allow-rdma", "10.80.0.0/15")
    expect("over link 2 to 10.81.0.2 at 02:..:02" in one, one)


def rdma_alone_is_refused_unless_it_is_allowed(place):
    place.start()
    one = Node(place, "node1", machine="m", links=["rdma:10.78.0.1:9000"])
    one.wait("welcome")
    two = Node(place, "node2", machine="n", links=["rdma:10.78.0.2:9000"])
    two.wait("welcome")
    log = lambda: place.ctl("logs", "node/node1")[0]
    place.wait(lambda: "no link to node2: RDMA, which is all they have, does not encrypt what it carries and is not "
               "allowed on this link; where its network can be trusted: fabricd --allow-rdma node1:node2" in log(),
               "the refusal in the log")
    expect(not kinds(one.heard() + two.heard(), "peer", "session"), "they were linked")
    out, _ = place.ctl("get", "links")
    expect(out.count("does not encrypt what it carries") == 2, out)


def what_cannot_be_allowed_is_refused(place):
    place.start()
    for text in ("", "any", "10.78.0.1/16", "10.78.0.0/33", "10.78.0.0/", "node1", "node1:", "node1:node1", "a:B"):
        done = place.try_start("--allow-rdma", text)
        expect(done.returncode == 2 and "--allow-rdma takes all, NETWORK/BITS" in done.stderr, f"{text}: {done.stderr}")


def rdma_and_another_driver_do_not_meet(place):
    one, _ = pair(place, {"machine": "m", "links": ["rdma:10.78.0.1:9000", "dpdk:10.90.0.1:1472"]},
                  {"machine": "n", "links": ["virtio:10.78.0.2:1472"]}, "--allow-rdma", "all")
    expect("over link 2 to 10.78.0.2 at 02:..:02" in one, one)


def endpoints_are_passed_on_once_both_are_peers(place):
    place.start("--allow-rdma", "all")
    one = Node(place, "node1", machine="m", links=["rdma:10.78.0.1:9000"])
    one.wait("welcome")
    two = Node(place, "node2", machine="n", links=["rdma:10.78.0.2:9000"])
    for node, other in ((one, 2), (two, 1)):
        node.wait(f"told of node {other}: end of node{other}")
        lines = node.heard()
        told = [line for line in lines if line.startswith("told of")]
        expect(told == [f"told of node {other}: end of node{other}"], lines)
        expect(lines.index(f"peer node{other}") < lines.index(told[0]), lines)


LINK_CASES = [
    nodes_of_two_machines_use_what_they_brought,
    nodes_of_one_machine_use_memif_all_the_same,
    unless_they_are_told_not_to,
    hosted_and_booted_nodes_can_talk,
    without_a_common_link_the_reason_is_said,
    more_links_than_are_kept_do_no_harm,
    nodes_that_do_not_hear_each_other_are_linked_again,
    rdma_comes_first_and_the_other_is_the_spare,
    rdma_is_used_where_it_is_allowed_only,
    rdma_alone_is_refused_unless_it_is_allowed,
    what_cannot_be_allowed_is_refused,
    rdma_and_another_driver_do_not_meet,
    endpoints_are_passed_on_once_both_are_peers,
]
