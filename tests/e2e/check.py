#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what `fabricctl get ... -o json` says, for demo.sh. Exit 1 with the difference.

  check.py nodes MODE NAME...               all joined, in that mode
  check.py edges DRIVER IMP@NODE=EXP@NODE...  each there, open, over that driver, with a state
  check.py faulted SIP...                   prints the one that faulted; exit 1 when there is none
  check.py running SIP...                   prints the first that runs, and its node; exit 1 if none does
  check.py stage NODE STAGE                 exit 1 if it is in another
  check.py closed VICTIM OTHER              VICTIM's edge closed with a typed cause, OTHER's is open
"""
import json
import sys


def items(document):
    """`get` answers a list, or an object with one list in it."""
    if isinstance(document, list):
        return document
    lists = [value for value in document.values() if isinstance(value, list)]
    if len(lists) != 1:
        raise ValueError(f"expected one list, got {json.dumps(document)[:200]}")
    return lists[0]


def fail(text):
    print("expected otherwise:", text)
    sys.exit(1)


def check_nodes(found, mode, *names):
    by_name = {item["name"]: item for item in found}
    for name in names:
        item = by_name.get(name)
        if item is None or item["stage"] != "joined" or item["mode"] != mode:
            fail(f"{name} joined and {mode}, but there is {item}")
    if len(found) != len(names):
        fail(f"{len(names)} nodes, but there are {len(found)}")


def check_edges(found, driver, *wanted):
    seen = {}
    for item in found:
        key = "{importer}@{importer_node}={exporter}@{exporter_node}".format(**item)
        seen[key] = item
    for key in wanted:
        item = seen.get(key)
        if item is None:
            fail(f"an edge {key}, but there are {sorted(seen)}")
        if item["driver"] != driver or not item["state"] or item.get("cause"):
            fail(f"{key} open over {driver} with a state, but it is {item}")


def check_faulted(found, *names):
    for item in found:
        if item["name"] in names and item["state"].lower() == "faulted":
            print(item["name"])
            return
    sys.exit(1)


def check_running(found, *names):
    for item in found:
        if item["name"] in names and item["state"] == "running":
            print(item["name"], item["node"])
            return
    sys.exit(1)


def check_stage(found, name, stage):
    if not any(item["name"] == name and item["stage"] == stage for item in found):
        sys.exit(1)


def check_closed(found, victim, other):
    by_sip = {item["importer"].split(".")[0]: item for item in found}
    gone, there = by_sip.get(victim), by_sip.get(other)
    if gone is None or "fault" not in str(gone.get("cause", "")).lower():
        fail(f"the edge of {victim} closed because its SIP faulted, but it is {gone}")
    if there is None or there.get("cause"):
        fail(f"the edge of {other} open, but it is {there}")


def main():
    what, *arguments = sys.argv[1:]
    found = items(json.load(sys.stdin))
    {
        "nodes": check_nodes,
        "edges": check_edges,
        "faulted": check_faulted,
        "closed": check_closed,
        "running": check_running,
        "stage": check_stage,
    }[what](found, *arguments)


main()
