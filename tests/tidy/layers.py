#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the layer table of docs/architecture.md and every include, and fails when a line is crossed.

Prints TAP: one line a folder.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])
# Which public header folder belongs to which layer.
PUBLIC = {"link": "net_drivers", "abi": "node_kernel", "image": "node_kernel"}
# From node_kernel/, these layers may include only these public folders.
NARROW = {"sips": {"abi"}, "orchestrator": {"abi", "image"}}


def table():
    rows = {}
    for line in (ROOT / "docs/architecture.md").read_text().splitlines():
        match = re.match(r"\| `(\w+)/` \|[^|]*\| ([^|]*) \| ([^|]*) \|", line)
        if match:
            uses = match.group(2).strip()
            rows[match.group(1)] = set() if uses == "-" else set(re.split(r",\s*", uses))
    return rows


def crossings(layer, uses, layers):
    bad = []
    for path in sorted((ROOT / layer).rglob("*.[ch]")):
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+["<]([A-Za-z0-9_]+)/', line)
            if not match:
                continue
            folder = match.group(1)
            target = PUBLIC.get(folder, folder if folder in layers else None)
            if target is None or target == layer:
                continue
            where = f"{path.relative_to(ROOT)}:{number}"
            if "all" not in uses and target not in uses:
                bad.append(f"{where}: {layer} may not include {folder}/ ({target})")
            elif target == "node_kernel" and folder not in NARROW.get(layer, {folder}):
                bad.append(f"{where}: {layer} may include only {sorted(NARROW[layer])} of {target}")
    return bad


def main():
    layers = table()
    failed = 0
    print(f"1..{len(layers) + 1}")
    known = {p.name for p in ROOT.iterdir() if p.is_dir() and any(p.rglob("*.[ch]"))}
    missing = sorted(n for n in known - set(layers) if not n.startswith((".", "build")))
    print(("not " if missing else "") + "ok 1 - every folder with C code is in the layer table")
    for name in missing:
        print(f"# {name}/ is not in docs/architecture.md")
    failed += bool(missing)
    for number, (layer, uses) in enumerate(sorted(layers.items()), 2):
        bad = crossings(layer, uses, layers)
        print(("not " if bad else "") + f"ok {number} - {layer} includes only what it may use")
        for text in bad:
            print("# " + text)
        failed += bool(bad)
    return 1 if failed else 0


sys.exit(main())
