# SPDX-License-Identifier: Apache-2.0
"""SIPs that change nodes, and nodes that are drained, as fabricd sees it: who has a SIP, whatever its nodes say or die of."""
import struct
import subprocess
import threading
import time

from fabricd_place import FABRICCTL, Node, expect, kinds

DONE, ABORTED, LOST = 7, 8, 9  # steps
ASK, GOT, DEAD = 9, 10, 15  # messages
ONE = """graph: one
sips:
  web:
    image: web.sip
    node: node1
  tcp:
    service: tcp
    node: node1
channels:
  - from: web.tcp
    to: tcp.tcp
"""


class Asking:
    """A fabricctl that has not been answered yet."""

    def __init__(self, place, *arguments):
        self.process = subprocess.Popen(
            [FABRICCTL, "--socket", place.root / "s/ctl.sock", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self, code=0):
        out, err = self.process.communicate(timeout=20)
        expect(self.process.returncode == code, f"exit {self.process.returncode}, wanted {code}: {out}{err}")
        return out, err


def begun(place):
    """Three nodes, graph one, and a move of web from node1 to node2 that node1 has taken on."""
    place.start()
    nodes = place.join()
    place.wait(lambda: all(len(node["peers_alive"]) == 2 for node in place.get("nodes")), "they hear each other")
    place.apply(ONE)
    asking = Asking(place, "move", "sip/web", "--to", "node2")
    nodes[0].wait("to node 2, budget 0 us")
    nodes[0].wait("move web")
    return nodes, asking


def sip(place):
    return next(one for one in place.get("sips") if one["name"] == "web")


def last(place):
    return place.get("moves")[-1]


def a_move_is_told_step_by_step(place):
    nodes, asking = begun(place)
    nodes[1].wait("image put")
    expect(sip(place)["node"] == "node1" and last(place)["step"] == "prepare", last(place))
    for step in (3, 4, 5, 6):
        nodes[0].order(f"report 0 {step}")
    place.wait(lambda: last(place)["step"] == "commit", "step commit")
    nodes[0].order(f"report 0 {DONE}")
    out, err = asking.end()
    expect(out == "SIP web moved from node1 to node2: black-out 0.212 ms, 2.0 MiB copied before and 12 KiB in it, "
                  "3 endpoints, 3.4 ms in all\n", out)
    for word in ("sending its image", "precopy", "freeze", "transfer", "commit"):
        expect(word in err, err)
    expect(sip(place)["node"] == "node2", sip(place))
    move = last(place)
    expect((move["sip"], move["source"], move["target"], move["step"]) == ("web", "node1", "node2", "done"), move)
    expect((move["blackout_ns"], move["endpoints"], move["rounds"]) == (212000, 3, 2), move)
    expect("moved from node1 to node2" in place.ctl("logs", "web")[0], "the SIP's log")
    table = place.ctl("get", "moves", "web")[0].splitlines()
    expect(table[0].split()[:6] == ["MOVE", "SIP", "FROM", "TO", "STEP", "AGE"] and "212us" in table[1], table)


def what_the_target_says_of_its_sip_counts(place):
    nodes, asking = begun(place)
    nodes[1].order(f"arrive 1 {sip(place)['number']} web")
    nodes[1].order("exit web 3")  # before the source has said anything
    place.wait(lambda: sip(place)["state"] == "exited", "the end that the target reported")
    expect(sip(place)["node"] == "node2" and sip(place)["exit_code"] == 3, sip(place))
    nodes[0].order(f"report 0 {DONE}")
    asking.end()


def a_move_back_needs_no_image(place):
    nodes, asking = begun(place)
    nodes[1].order(f"arrive 1 {sip(place)['number']} web")
    nodes[0].order(f"report 0 {DONE}")
    asking.end()
    nodes[0].heard()
    back = Asking(place, "move", "web", "--to", "node1", "--budget", "5ms")
    nodes[1].wait("to node 1, budget 5000 us")
    nodes[1].order(f"report 0 {DONE}")
    back.end()
    expect("image put" not in nodes[0].heard(), "it had it")
    expect(sip(place)["node"] == "node1", sip(place))


def an_aborted_move_leaves_the_sip_where_it_is(place):
    nodes, asking = begun(place)
    nodes[0].order(f"report 0 {ABORTED} node2 has no room")
    _, err = asking.end(1)
    expect("web is not moved to node2 and runs on node1 as before: node2 has no room" in err, err)
    expect(sip(place)["node"] == "node1" and sip(place)["state"] == "running", sip(place))
    expect(last(place)["step"] == "aborted" and "no room" in last(place)["text"], last(place))


def moves_that_clash_are_tried_again(place):
    nodes, asking = begun(place)
    for _ in range(3):
        nodes[0].order(f"report 0 {ABORTED} clash")
        nodes[0].wait("move web")
    nodes[0].order(f"report 0 {DONE}")
    _, err = asking.end()
    expect(err.count("clash; again") == 3, err)


def a_source_that_refuses_is_quoted(place):
    place.start()
    nodes = place.join()
    place.wait(lambda: all(len(node["peers_alive"]) == 2 for node in place.get("nodes")), "they hear each other")
    place.apply(ONE)
    nodes[0].order("refuse move web")
    _, err = place.ctl("move", "web", "--to", "node2", code=1)
    expect("as before: told to refuse" in err, err)
    nodes[2].order("refuse image put")
    _, err = place.ctl("move", "web", "--to", "node3", code=1)
    expect("node3 does not take its image: told to refuse" in err, err)


def requests_that_make_no_sense_are_refused(place):
    place.start()
    place.join(2)
    place.apply(ONE)
    for arguments, code, words in (
            (("web",), 2, "--to NODE"),
            (("wep", "--to", "node2"), 3, "there is no SIP 'wep'; did you mean 'web'"),
            (("web", "--to", "nod2"), 3, "there is no node 'nod2'; did you mean 'node2'"),
            (("web", "--to", "node3"), 2, "node node3 is expected"),
            (("tcp", "--to", "node2"), 1, "tcp is a service of its node's kernel and stays"),
            (("web", "--to", "node2", "--budget", "100s"), 2, "--budget is at most 60 s")):
        out, err = place.ctl("move", *arguments, code=code)
        expect(words in err, f"{arguments}: {err}")
    out, _ = place.ctl("move", "web", "--to", "node1")
    expect(out == "SIP web is on node1 already\n", out)
    expect(place.get("moves") == [], "none of these is a move")


def one_move_a_sip(place):
    nodes, asking = begun(place)
    _, err = place.ctl("move", "web", "--to", "node3", code=1)
    expect("SIP web is being moved to node2" in err, err)
    nodes[0].order(f"report 0 {DONE}")
    asking.end()


def applies_wait_for_moves(place):
    nodes, asking = begun(place)
    done = []
    thread = threading.Thread(target=lambda: done.append(place.ctl("delete", "graph/one")))
    thread.start()
    time.sleep(0.4)
    expect(not done and "stop web" not in nodes[0].heard(), "deleted while it moved")
    nodes[1].order(f"arrive 1 {sip(place)['number']} web")
    nodes[0].order(f"report 0 {DONE}")
    asking.end()
    thread.join(10)
    expect(done, "the delete goes on")
    nodes[1].wait("stop web")


def a_source_that_dies_before_the_target_has_it(place):
    nodes, asking = begun(place)
    number = sip(place)["number"]
    nodes[0].end()
    nodes[1].wait(f"asked {number}")
    _, err = asking.end(1)
    expect("web was lost in its move from node1 to node2" in err, err)
    expect(sip(place)["state"] == "lost", sip(place))
    expect(last(place)["step"] == "lost", last(place))


def a_source_that_dies_after_the_target_has_it(place):
    nodes, asking = begun(place)
    nodes[1].order(f"arrive 1 {sip(place)['number']} web")
    nodes[0].end()
    out, _ = asking.end()
    expect("moved from node1 to node2" in out, out)
    expect(sip(place)["node"] == "node2" and sip(place)["state"] == "running", sip(place))


def a_target_that_has_it_and_did_not_say_so_is_asked(place):
    nodes, asking = begun(place)
    number = sip(place)["number"]
    nodes[0].end()
    time.sleep(1)  # node1 is lost after 1.8 s, and node2 must not be
    nodes[1].order("away")
    nodes[1].order(f"arrive 1 {number} web")  # nobody hears that
    place.wait(lambda: place.stages()["node1"] == "lost", "node1 is lost")
    expect(sip(place)["state"] == "running", "it may live")
    nodes[1].order("back")
    nodes[1].wait(f"asked {number}")
    asking.end()
    expect(sip(place)["node"] == "node2" and sip(place)["state"] == "running", sip(place))


def when_both_nodes_die_it_is_lost(place):
    nodes, asking = begun(place)
    nodes[1].order("mute")
    nodes[0].end()
    nodes[1].wait("asked")
    nodes[1].end()
    asking.end(1)
    expect(sip(place)["state"] == "lost", sip(place))


def message(kind, source, node, epoch):
    """Of the move protocol (docs/moves.md): about move 7 of that source's first boot; node, epoch: who is asked."""
    return struct.pack("<BBHHHQI", 1, kind, node, epoch, 0, source << 54 | 1 << 40 | 7, 0).hex()


def nodes_that_lost_each_other_ask_by_way_of_fabricd(place):
    place.start()
    one, two, _ = place.join()
    ask, got = message(ASK, 1, 2, 1), message(GOT, 1, 2, 1)
    one.order(f"mover {ask}")
    expect(two.wait("mover") == f"mover {ask}", two.lines)
    two.order(f"mover {got}")
    expect(one.wait("mover") == f"mover {got}", one.lines)
    two.order(f"mover {ask}")  # of a move that is not its own
    two.end()
    place.wait(lambda: place.stages()["node2"] == "lost", "node2 is lost")
    one.order(f"mover {ask}")
    expect(one.wait("mover") == f"mover {message(DEAD, 1, 2, 1)}", one.lines)
    again = Node(place, "node2")
    again.wait("welcome 2 2")
    one.order(f"mover {ask}")  # that boot is dead all the same
    expect(one.wait("mover") == f"mover {message(DEAD, 1, 2, 1)}", one.lines)
    expect(not kinds(again.heard(), "mover"), "it was not meant")


def an_order_that_may_be_lost_is_given_again(place):
    nodes, asking = begun(place)
    nodes[0].order("away")
    nodes[0].order("back")
    nodes[0].wait("move web")
    nodes[0].order(f"report 1 {DONE}")
    asking.end()


def nonsense_of_nodes_is_survived(place):
    nodes, asking = begun(place)
    number = sip(place)["number"]
    for order in ("report 0 4294967295", "report 0 0", "arrive 1 12345 nobody", "mover 00", "mover 09", "mover"):
        nodes[0].order(order)
    nodes[2].order(f"report 0 {DONE}")  # of a move that is not its own
    nodes[2].order(f"arrive 1 {number} web")
    expect(sip(place)["node"] == "node1", sip(place))
    nodes[0].order(f"report 0 {DONE}")
    asking.end()
    nodes[0].order(f"report 0 {LOST}")  # it is over
    expect(sip(place)["node"] == "node2" and sip(place)["state"] == "running", sip(place))


# --- drains -------------------------------------------------------------------------------------


TWO = """graph: two
sips:
  a:
    image: hello.sip
    node: node1
  b:
    image: hello.sip
    node: node1
  tcp:
    service: tcp
    node: node1
"""


def drain(place):
    """Three nodes, graph two, and a drain of node1 that has begun both its moves."""
    place.start()
    nodes = place.join()
    place.wait(lambda: all(len(node["peers_alive"]) == 2 for node in place.get("nodes")), "they hear each other")
    place.apply(TWO)
    asking = Asking(place, "drain", "node1")
    place.wait(lambda: [move["step"] for move in place.get("moves")] == ["prepare"] * 2, "both moves")
    return nodes, asking


def a_drain_empties_a_node(place):
    nodes, asking = drain(place)
    moves = place.get("moves")
    expect({move["target"] for move in moves} == {"node2", "node3"}, moves)
    for move in moves:
        nodes[0].order(f"report {move['number']} {DONE}")
    out, err = asking.end()
    expect("node node1 drained: 2 SIPs moved, the longest black-out 0.212 ms; 1 service of its kernel stays" in out, out)
    expect("SIP a moved from node1" in err and "SIP b moved from node1" in err, err)
    expect({one["name"]: one["node"] for one in place.get("sips")}["tcp"] == "node1", "tcp")
    expect(place.ctl("get", "nodes")[0].splitlines()[1].split()[2] == "joined,cordoned", "get nodes")


def what_cannot_move_is_told(place):
    nodes, asking = drain(place)
    first, second = place.get("moves")
    nodes[0].order(f"report {first['number']} {ABORTED} it is bound to a device")
    nodes[0].order(f"report {second['number']} {DONE}")
    _, err = asking.end(1)
    expect("node1 is cordoned but not drained: 1 SIPs moved, 1 stay" in err and "bound to a device" in err, err)


def a_drain_stops_and_goes_on(place):
    nodes, asking = drain(place)
    asking.process.kill()
    asking.process.wait()
    first, second = place.get("moves")
    nodes[0].order(f"report {first['number']} {DONE}")
    nodes[0].order(f"report {second['number']} {ABORTED} of no matter")
    place.wait(lambda: place.get("moves")[-1]["step"] == "aborted", "the moves at hand end")
    time.sleep(0.3)
    expect(len(place.get("moves")) == 2, "it has stopped")
    again = Asking(place, "drain", "node1")
    place.wait(lambda: len(place.get("moves")) == 3, "it goes on")
    nodes[0].order(f"report {place.get('moves')[-1]['number']} {DONE}")
    out, _ = again.end()
    expect("drained: 1 SIPs moved" in out, out)


def nothing_is_placed_on_a_cordoned_node(place):
    place.start()
    place.join(2)
    out, _ = place.ctl("cordon", "node/node1")
    expect(out == "node node1 cordoned\n", out)
    expect("was cordoned already" in place.ctl("cordon", "node1")[0], "twice")
    _, err = place.apply(TWO, 1)
    expect("does not fit on its node: node1 is cordoned" in err, err)
    place.apply(TWO.replace("    node: node1\n", ""))
    expect({one["node"] for one in place.get("sips")} == {"node2"}, place.get("sips"))
    place.ctl("uncordon", "node1")
    place.ctl("cordon", "node7", code=3)
    place.apply(TWO)


def a_cordon_outlives_fabricd(place):
    def cordoned():
        return {node["name"] for node in place.get("nodes") if node["cordoned"]}

    place.start()
    place.ctl("cordon", "node1")
    place.ctl("cordon", "node2")
    place.ctl("uncordon", "node2")
    place.stop()
    place.start()
    expect(cordoned() == {"node1"}, place.get("nodes"))
    fresh = place.root / "s/fabricd.state.new"
    fresh.mkdir()
    for verb, node in (("cordon", "node3"), ("uncordon", "node1")):
        _, err = place.ctl(verb, node, code=1)
        expect(f"node {node} stays" in err and "fabricd.state cannot be written: Is a directory" in err, err)
    expect(cordoned() == {"node1"}, place.get("nodes"))
    fresh.rmdir()
    place.ctl("uncordon", "node1")
    place.stop()
    place.start()
    expect(not cordoned(), place.get("nodes"))


def a_drain_with_nowhere_to_go(place):
    place.start()
    place.join(2)
    place.wait(lambda: all(len(node["peers_alive"]) == 1 for node in place.get("nodes")[:2]), "they hear each other")
    place.apply(TWO)
    place.ctl("cordon", "node2")
    _, err = place.ctl("drain", "node1", code=1)
    expect("SIP a: no other node is there that may take it" in err, err)


def a_drained_node_that_dies(place):
    nodes, asking = drain(place)
    for node in nodes[1:]:
        node.order("mute")
    nodes[0].end()
    place.wait(lambda: place.stages()["node1"] == "lost", "node1 is lost")
    for node in nodes[1:]:
        node.order("talk")
    _, err = asking.end(1)
    expect("lost in its move" in err, err)


# --- owners -------------------------------------------------------------------------------------


def each_endpoint_has_one_owner(place):
    place.start()
    one, two, _ = place.join()
    one.order("claim a1 b2")
    two.order("claim b2 a1")
    two.order("claim c3")
    out, _ = place.ctl("verify", "ownership")
    expect(out == "3 endpoints (2 of open channels) and 0 blocks (0.0 MiB) on 3 nodes: each has one owner\n", out)
    one.order("claim c3")
    one.order("claim d4 e5")
    two.order("audit block 7 is in two queues")
    _, err = place.ctl("verify", "ownership", code=1)
    for words in ("3 things are wrong", "endpoint c3 has two owners: on node", "endpoint d4 on node1: its channel is open, but the "
                  "other end, e5 on node1, is nowhere", "node2: block 7 is in two queues"):
        expect(words in err, err)


def what_comes_and_goes_is_not_wrong(place):
    """At each look another channel is seen at one end only, as where connections come and go."""
    place.start()
    one, _, _ = place.join()
    one.order("claim a1 b2")
    one.order("churn")
    out, _ = place.ctl("verify", "ownership")
    expect("each has one owner" in out, out)


MOVE_CASES = [
    a_move_is_told_step_by_step,
    what_the_target_says_of_its_sip_counts,
    a_move_back_needs_no_image,
    an_aborted_move_leaves_the_sip_where_it_is,
    moves_that_clash_are_tried_again,
    a_source_that_refuses_is_quoted,
    requests_that_make_no_sense_are_refused,
    one_move_a_sip,
    applies_wait_for_moves,
    a_source_that_dies_before_the_target_has_it,
    a_source_that_dies_after_the_target_has_it,
    a_target_that_has_it_and_did_not_say_so_is_asked,
    when_both_nodes_die_it_is_lost,
    nodes_that_lost_each_other_ask_by_way_of_fabricd,
    an_order_that_may_be_lost_is_given_again,
    nonsense_of_nodes_is_survived,
    a_drain_empties_a_node,
    what_cannot_move_is_told,
    a_drain_stops_and_goes_on,
    nothing_is_placed_on_a_cordoned_node,
    a_cordon_outlives_fabricd,
    a_drain_with_nowhere_to_go,
    a_drained_node_that_dies,
    each_endpoint_has_one_owner,
    what_comes_and_goes_is_not_wrong,
]
