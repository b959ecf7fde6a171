#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an operator can see of a hosted cluster of two real nodes: a talker and a listener, on two
nodes and on one. fabricctl trace: lines, JSON, the file for Wireshark (read by tshark with the
dissector that contractc writes), dropping, and how a trace ends; counters and latencies of channels
and sessions; fabricctl top. Speaks TAP. As root, fabricctl, and all that it starts, runs as nobody.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import staging
from staging import BUILD, FABRICCTL, HERE, expect, ordinary_user

PATIENCE_SECONDS = 20

GRAPH = """graph: NAME
sips:
  NAME-l:
    image: listener.sip
    node: NODE1
  NAME-t:
    image: talker.sip
    node: NODE2
    config:
CONFIG
channels:
  - from: NAME-t.listener
    to: NAME-l.talk
"""


class ObservePlace(staging.Place):
    def __init__(self):
        super().__init__("observe")
        for name in ("listener.sip", "talker.sip"):
            shutil.copy(BUILD / "tests/e2e" / name, self.root)
        self.create(*staging.TRUST)

    def apply(self, name, nodes=("node1", "node2"), **config):
        lines = "\n".join(f'      {key}: "{value}"' for key, value in config.items()) or '      x: "1"'
        graph = (GRAPH.replace("NAME", name).replace("NODE1", nodes[0]).replace("NODE2", nodes[1])
                 .replace("CONFIG", lines))
        self.ctl("apply", "-f", self.write(f"{name}.yaml", graph), "--images", "build/sips")
        return f"{name}-t.listener"

    def delete(self, name):
        self.ctl("delete", f"graph/{name}")

    def start(self, *arguments):
        return subprocess.Popen([FABRICCTL, *arguments], env=self.env, cwd=self.root, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **ordinary_user())

    def events(self, *arguments):
        return [json.loads(line) for line in self.ctl("trace", *arguments, "-o", "json")[0].splitlines()]

    def edge(self, importer):
        edges = json.loads(self.ctl("get", "channels", "-o", "json")[0])["channels"]
        return {edge["importer"]: edge for edge in edges}[importer]


def check_chain(events):
    """Each message begins in the state in which the one before ended."""
    messages = [event for event in events if event["kind"] in ("sent", "received")]
    for before, after in zip(messages, messages[1:]):
        expect(after["number"] == before["number"] + 1, f"a gap: {before} {after}")
        expect(after["state"] == before["next"], f"states do not join: {before} {after}")
    return messages


def messages_across_nodes_are_shown_decoded(place):
    channel = place.apply("across")
    out, err = place.ctl("trace", channel, "--count", "4", "--bytes", "8")
    lines = out.splitlines()
    expect(len(lines) == 4, out)
    expect("across-t.listener -> across-l.talk, TalkContract, as seen on node2" in err, err)
    expect("4 messages, 0 dropped" in err, err)
    said = [line for line in lines if " -> across-l.talk  Start -> Start.2  Say(number=" in line]
    heard = [line for line in lines if " <- across-l.talk  Start.2 -> Start  Heard(ratio=0.5, count=" in line]
    expect(len(said) == 2 and len(heard) == 2, out)
    expect(any('loud=true, text=block(5) "hello")' in line for line in said), out)
    expect(any('loud=false, text=block(80) "all that"...)' in line for line in said), out)
    expect(all("level=-10000000" in line for line in said), out)


def json_has_every_argument(place):
    events = check_chain(place.events("across-t.listener", "--count", "6"))
    expect(len(events) == 6, events)
    say = [event for event in events if event["message"] == "Say"]
    heard = [event for event in events if event["message"] == "Heard"]
    expect(len(say) == 3 and len(heard) == 3, events)
    for event in say:
        args = {arg["name"]: arg for arg in event["args"]}
        number = args["number"]["value"]
        expect(event["kind"] == "sent" and event["from"] == "importer", event)
        expect(args["level"]["value"] == str(-1000000000000 - number), args)
        expect(args["loud"]["value"] == (number % 2 == 0), args)
        text = bytes.fromhex(args["text"]["value"]).decode()
        expect(text == ("hello" if number % 2 == 0 else
                        "all that is said is heard, and nothing is heard that was not said; so it"[:64]), args)
        expect(args["text"]["bytes"] == (5 if number % 2 == 0 else 80), args)
    for event in heard:
        expect(event["kind"] == "received" and event["from"] == "exporter", event)
        expect([arg["value"] for arg in event["args"]][0] == 0.5, event)


def both_ends_tell_the_same(place):
    events = place.events("across-t.listener", "--both", "--count", "40")
    ends = {node: [e for e in events if e["node"] == node] for node in ("node1", "node2")}
    expect(all(len(check_chain(end)) > 10 for end in ends.values()), events)
    sent = {e["args"][0]["value"] for e in ends["node2"] if e["kind"] == "sent"}
    received = {e["args"][0]["value"] for e in ends["node1"] if e["kind"] == "received"}
    expect(len(sent & received) >= 5, f"{sent} {received}")


def an_id_names_an_end(place):
    edge = place.edge("across-t.listener")
    expect(place.events(edge["id"], "--count", "2")[0]["node"] == "node2", "the importer's")
    expect(place.events("channel/" + edge["peer_id"], "--count", "2")[0]["node"] == "node1", "the exporter's")


def what_is_not_there_is_refused(place):
    err = place.ctl("trace", "nobody.nothing", code=3)[1]
    expect("there is no channel 'nobody.nothing'" in err, err)
    place.ctl("trace", "7fffffffff", code=3)
    place.ctl("trace", code=2)
    place.ctl("trace", "across-t.listener", "--bytes", "513", code=2)
    first = place.start("trace", "across-t.listener")
    try:
        first.stdout.readline()
        err = place.ctl("trace", "across-t.listener", code=1)[1]
        expect("is being traced already" in err, err)
    finally:
        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=PATIENCE_SECONDS)
    expect(first.returncode == 130 and ", 0 dropped" in err, f"{first.returncode} {err}")
    expect(place.events("across-t.listener", "--count", "1"), "and it can be traced again at once")


def a_killed_fabricctl_leaves_no_trace(place):
    for _ in range(3):
        process = place.start("trace", "across-t.listener")
        process.stdout.readline()
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)
    end = time.monotonic() + PATIENCE_SECONDS
    while place.run(FABRICCTL, "trace", "across-t.listener", "--count", "1")[0] != 0:
        expect(time.monotonic() < end, "it is still traced by somebody who is gone")
        time.sleep(0.05)


def a_channel_of_one_node_can_be_traced(place):
    channel = place.apply("near", nodes=("node1", "node1"))
    expect(place.edge(channel)["driver"] == "local", "not local")
    before = place.edge(channel)["sent"]
    events = place.events(channel, "--both", "--count", "20")
    expect(len(events) == 20 and {event["node"] for event in events} == {"node1"}, events)
    for endpoint in {event["endpoint"] for event in events}:
        check_chain([event for event in events if event["endpoint"] == endpoint])
    expect(place.edge(channel)["sent"] > before, "it goes on")
    place.delete("near")


def a_trace_ends_with_its_channel(place):
    channel = place.apply("short", count=100, pause_us=20000)
    out, err = place.ctl("trace", channel)
    lines = out.splitlines()
    expect("Bye()" in lines[-3] or "Bye()" in lines[-2], out[-500:])
    expect(any("closed by the" in line for line in lines[-2:]), out[-500:])
    expect("the trace on node2 ends: the endpoint is closed" in err, err)
    err = place.ctl("trace", channel, code=3)[1]
    expect("is closed" in err, err)
    place.delete("short")


def time_is_a_bound(place):
    began = time.monotonic()
    place.ctl("trace", "across-t.listener", "--for", "500ms")
    expect(0.4 < time.monotonic() - began < PATIENCE_SECONDS, "500 ms")


def what_is_too_fast_is_dropped_and_counted(place):
    channel = place.apply("fast", nodes=("node1", "node1"), pause_us=0)
    process = place.start("trace", channel, "--bytes", "512", "-o", "json")
    try:
        process.stdout.readline()
        time.sleep(3)  # nobody reads: the pipe, fabricctl, fabricd and the node's ring fill up
        sent = place.edge(channel)["sent"]
        time.sleep(0.5)
        expect(place.edge(channel)["sent"] > sent, "the talker is held up by the trace")
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    expect("messages were dropped here" in err, err[-500:])
    last = 0
    for line in out.splitlines()[1:]:  # a part of the first one was read with the line above
        number = json.loads(line)["number"]
        expect(number > last, "out of order")
        last = number
    place.delete("fast")


def tshark(place, name, *arguments):
    env = dict(place.env, HOME=str(place.root))
    done = subprocess.run(
        ["tshark", "-r", str(place.root / name), "-X", f"lua_script:{place.root}/TalkContract.lua",
         *arguments], env=env, capture_output=True, text=True, timeout=60, check=False)
    expect(done.returncode == 0 and "lua" not in done.stderr.lower(), done.stderr)
    return [line.split(";") for line in done.stdout.splitlines()]


def wireshark_reads_the_file(place):
    subprocess.run([str(BUILD / "contracts/compiler/contractc"), "compile", "-w", "--emit", "dissector",
                    "-o", str(place.root), str(HERE / "observe/TalkContract.contract")], check=True,
                   capture_output=True, timeout=30)
    channel = place.apply("file", give=1, count=20, pause_us=10000)
    place.ctl("trace", channel, "--pcap", "file.pcap")
    rows = tshark(place, "file.pcap", "-Y", "sipfabric.message", "-T", "fields", "-E", "separator=;",
                  "-e", "ip.src", "-e", "sipfabric.contract", "-e", "sipfabric.message",
                  "-e", "sipfabric.sender", "-e", "sipfabric.state", "-e", "sipfabric.next", "-e", "sipfabric.arg")
    first, messages = rows[0], rows[1:]
    expect(first[0] == "10.77.0.2" and first[2] == "(trace begins),Give" and "end TalkContract.Imp:Start" in first[6],
           first)
    expect([row[2] for row in messages] == ["Took"] + ["Say", "Heard"] * 20 + ["Bye"], messages)
    expect(messages[1][:6] == ["10.77.0.2", "TalkContract", "Say", "importer", "Start", "Start.2"], messages[1])
    expect(messages[1][6] == "number 0,level -1000000000000,loud true,text block of 5 bytes", messages[1])
    expect(messages[2] == ["10.77.0.1", "TalkContract", "Heard", "exporter", "Start.2", "Start",
                           "ratio 0.5,count 1"], messages[2])
    expect(tshark(place, "file.pcap", "-Y", "sipfabric.illegal || sipfabric.malformed || ip.checksum.status == 0")
           == [], "something is illegal or malformed")
    data = tshark(place, "file.pcap", "-Y", "sipfabric.data", "-T", "fields", "-e", "sipfabric.data")
    expect(data[0] == [b"hello".hex()] and len(data) == 20, data)
    expect(tshark(place, "file.pcap", "-Y", "sipfabric.cause") != [], "no CLOSE")
    place.delete("file")


def a_trace_in_the_middle_knows_the_state(place):
    with open(place.root / "middle.pcap", "wb") as file:
        subprocess.run([FABRICCTL, "trace", "across-t.listener", "--pcap", "-", "--count", "9"], env=place.env,
                       cwd=place.root, stdout=file, stderr=subprocess.DEVNULL, check=True, timeout=60,
                       **ordinary_user())
    rows = tshark(place, "middle.pcap", "-Y", "sipfabric.message", "-T", "fields", "-E", "separator=;",
                  "-e", "sipfabric.message", "-e", "sipfabric.state")
    expect(len(rows) == 9 and all(row[-1].split(",")[-1] in ("Start", "Start.2") for row in rows), rows)
    expect(tshark(place, "middle.pcap", "-Y", "sipfabric.illegal || sipfabric.malformed") == [], rows)


def ends_are_counted(place):
    edge = place.edge("across-t.listener")
    imp, exp = edge["importer_end"], edge["exporter_end"]
    expect(imp["sent"] > 100 and abs(imp["sent"] - exp["received"]) <= 1, edge)
    # Half of the texts have 5 bytes, the others 80; 4 + 8 + 1 bytes of scalars. Answers: 8 + 2.
    expect(abs(imp["bytes_sent"] / imp["sent"] - 55.5) < 2 and imp["bytes_received"] == 10 * imp["received"], imp)
    expect(exp["queued_high"] >= 1 and imp["unsent_high"] >= 1, edge)
    expect(imp["latency_count"] > 100, imp)
    expect(0 < imp["latency_p50_ns"] <= imp["latency_p99_ns"] <= imp["latency_max_ns"] < 10 ** 10, imp)
    expect(exp["latency_p50_ns"] > 4_000_000, f"the listener waits 5 ms for the next: {exp}")
    out = place.ctl("get", "channels", "-o", "wide")[0].splitlines()
    expect(out[0].split()[9:15] == ["QUEUED", "BYTES", "OUT", "BYTES", "IN", "P50"], out)


def sessions_are_counted(place):
    sessions = {item["node"]: item for item in json.loads(place.ctl("get", "sessions", "-o", "json")[0])["sessions"]}
    expect(set(sessions) == {"node1", "node2"}, sessions)
    one, two = sessions["node1"], sessions["node2"]
    expect(one["peer"] == "node2" and two["peer"] == "node1" and one["driver"] == "memif", sessions)
    expect(two["messages_sent"] > 100 and abs(two["messages_sent"] - one["messages_received"]) < 50, sessions)
    expect(two["bytes_sent"] > 60 * two["messages_sent"] and two["frames_rejected"] == 0, sessions)
    for session in sessions.values():
        expect(session["alive"] and session["window"] > 0 and session["losses"] == 0
               and session["last_loss"] is None, session)
        expect(0 < session["rtt_p50_ns"] <= session["rtt_p99_ns"] <= session["rtt_max_ns"], session)
    lines = place.ctl("get", "sessions", "node1")[0].splitlines()
    expect(len(lines) == 2 and lines[1].split()[:3] == ["node1", "node2", "memif"], lines)


def top_shows_what_goes_on_now(place):
    channel = place.apply("busy", nodes=("node1", "node1"), pause_us=500)
    document = json.loads(place.ctl("top", "--once", "-o", "json")[0])
    expect(900 < document["interval_ms"] < 20000, document)
    rates = {row["importer"]: row for row in document["channels"]}
    expect(rates[channel]["messages_per_s"] > rates["across-t.listener"]["messages_per_s"] > 10, rates)
    expect(document["channels"][0]["importer"] == channel, "the busiest first")
    nodes = {row["node"]: row for row in document["nodes"]}
    expect(nodes["node1"]["sips"] == 3 and nodes["node2"]["sips"] == 1 and nodes["node1"]["endpoints"] == 3, nodes)
    expect(all(row["messages_per_s"] > 5 for row in nodes.values()), nodes)
    sessions = {row["node"]: row for row in document["sessions"]}
    expect(sessions["node2"]["messages_per_s"] > 10 and sessions["node2"]["bytes_per_s"] > 1000, sessions)
    text = place.ctl("top", "--once", "--sort", "bytes", "--interval", "300ms")[0]
    tables = [table.splitlines() for table in text.split("\n\n")]
    expect([table[0].split()[0] for table in tables] == ["NODE", "NODE", "IMPORTER"], text)
    expect(tables[2][1].startswith("across-t.listener"), text)  # of a local one bytes are not counted
    expect("\033" not in text, "no terminal, no colours")
    out = place.ctl("top", "--count", "2", "--interval", "200ms", "--rows", "1", "-o", "json")[0]
    expect([len(json.loads(line)["channels"]) for line in out.splitlines()] == [1, 1], out)
    place.ctl("top", "--sort", "colour", code=2)
    place.delete("busy")


def a_fault_report_has_the_last_events(place):
    place.apply("faulty", count=20, pause_us=10000, fault=1)
    end = time.monotonic() + PATIENCE_SECONDS
    out = ""
    while "session with node 1" not in out:
        expect(time.monotonic() < end, f"no report: {out}")
        time.sleep(0.1)
        out = place.ctl("logs", "faulty-t")[0]
    line = next(line for line in out.splitlines() if " ms ago " in line)
    events = re.findall(r"([0-9.]+) ms ago (sent Say|arrived Heard) \((Start(?:\.2)?)\), ([0-9]+) bytes", line)
    expect(len(events) == 16, out)
    expect([event[1:3] for event in events] == [("sent Say", "Start.2"), ("arrived Heard", "Start")] * 8, out)
    expect([int(event[3]) for event in events] == [18, 10, 93, 10] * 4, out)
    ago = [float(event[0]) for event in events]
    expect(ago == sorted(ago, reverse=True) and 70 <= ago[0] < 5000, out)
    expect(re.search(r"session with node 1: round trip [0-9.]+ ms, [0-9]+ of [0-9]+ frames sent again", out), out)
    place.delete("faulty")


def a_lost_node_ends_the_trace(place):
    process = place.start("trace", "across-t.listener", "--both")
    process.stdout.readline()
    pids = [int(line.split()[0]) for line in subprocess.run(
        ["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout.splitlines()
        if str(place.root) in line and "sipnode" in line and "node1" in line]
    expect(len(pids) == 1, pids)
    os.kill(pids[0], signal.SIGKILL)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    expect(process.returncode == 0, f"{process.returncode} {err}")
    expect("the trace on node1 ends: the connection to its node ended" in err, err)
    expect("the trace on node2 ends" in err, err)


CASES = [
    messages_across_nodes_are_shown_decoded,
    json_has_every_argument,
    both_ends_tell_the_same,
    an_id_names_an_end,
    what_is_not_there_is_refused,
    a_killed_fabricctl_leaves_no_trace,
    a_channel_of_one_node_can_be_traced,
    a_trace_ends_with_its_channel,
    time_is_a_bound,
    what_is_too_fast_is_dropped_and_counted,
    wireshark_reads_the_file,
    a_trace_in_the_middle_knows_the_state,
    ends_are_counted,
    sessions_are_counted,
    top_shows_what_goes_on_now,
    a_fault_report_has_the_last_events,
    a_lost_node_ends_the_trace,
]

if __name__ == "__main__":
    sys.exit(staging.run_cases(ObservePlace, CASES))
