#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the table of kernel calls and writes what is made of it.

calls.py page TABLE     docs/kernel-calls.md
calls.py list TABLE     one call a line: number, name, wasm signature, C prototype (tab separated)
calls.py json TABLE     everything there is, for other generators
calls.py rust TABLE     extern declarations for Rust

A row that contradicts itself (the C types are not the wasm signature, an unknown status, a pointer
without a length) is an error: exit code 1 and the reason. C needs none of this: sip.h includes the
table itself.
"""
import json
import pathlib
import re
import sys

BASE = pathlib.Path(__file__).resolve().parents[2] / "base/include/base"
WASM = {"i": "i32", "I": "i64"}
# C type: letter of the wasm signature, Rust type.
TYPES = {
    "int32_t": ("i", "i32"), "uint32_t": ("i", "u32"), "int64_t": ("I", "i64"),
    "uint64_t": ("I", "u64"),
}
POINTEES = {"char": "u8", "void": "core::ffi::c_void", "struct nk_msg": "NkMsg", "uint32_t": "u32"}
LENGTHS = ("bytes", "capacity", "count")


class TableError(Exception):
    pass


def split(text):
    """Splits at the commas that are in no parenthesis and no string."""
    parts, depth, quoted = [""], 0, False
    for char in text:
        quoted ^= char == '"'
        if not quoted:
            depth += (char in "([") - (char in ")]")
            if char == "," and depth == 0:
                parts.append("")
                continue
        parts[-1] += char
    return [" ".join(part.split()) for part in parts]


def rows(text):
    """The arguments of every NK_CALL and NK_API outside comments and preprocessor lines."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"^#(.*\\\n)*.*$", "", text, flags=re.M)
    for match in re.finditer(r"\b(NK_CALL|NK_API)\(", text):
        depth, at, quoted = 1, match.end(), False
        while depth > 0:
            quoted ^= text[at] == '"'
            if not quoted:
                depth += (text[at] == "(") - (text[at] == ")")
            at += 1
        yield match.group(1), split(text[match.end():at - 1])


def string(text):
    return "".join(re.findall(r'"([^"]*)"', text))


def argument(text):
    match = re.fullmatch(r"(const )?((?:struct )?\w+) (\*?)(\w+)(?:\[(\d+)\])?", text)
    if match is None:
        raise TableError(f"cannot read the argument `{text}`")
    const, base, star, name, elements = match.groups()
    pointer = bool(star or elements)
    if base not in (POINTEES if pointer else TYPES):
        raise TableError(f"type `{base}` of {name} is not known; add it to calls.py")
    return {
        "name": name, "c": text, "type": base, "pointer": pointer,
        "writes": pointer and not const, "elements": int(elements) if elements else None,
        "wasm": "i" if pointer else TYPES[base][0],
    }


def result_of(text):
    never = "noreturn" in text
    plain = re.sub(r"__attribute__\(\(noreturn\)\) ", "", text)
    if plain not in ("void", "void *") and plain not in TYPES:
        raise TableError(f"result type `{plain}` is not known")
    wasm = "v" if plain == "void" else "i" if plain == "void *" else TYPES[plain][0]
    return {"c": plain, "noreturn": never, "wasm": wasm}


def lengths(call):
    """Which argument is the length of a pointer; a pointer has one, or a type that says its size."""
    for index, arg in enumerate(call["arguments"]):
        arg["length"] = None
        if not arg["pointer"]:
            continue
        after = call["arguments"][index + 1:index + 2]
        if after and after[0]["name"] in LENGTHS:
            arg["length"] = after[0]["name"]
        elif arg["type"] in ("char", "uint32_t") and arg["elements"] is None:
            raise TableError(f"{arg['name']} has no length behind it ({', '.join(LENGTHS)})")


def call_of(kind, fields):
    if kind == "NK_CALL":
        number, name, signature, doc = fields
        return {"number": int(number), "name": name, "signature": string(signature),
                "internal": True, "doc": string(doc)}
    number, name, signature, result, arguments, blocks, answers, doc = fields
    inner = arguments[1:-1].strip()
    call = {
        "number": int(number), "name": name, "signature": string(signature), "internal": False,
        "result": result_of(result),
        "arguments": [] if inner == "void" else [argument(part) for part in split(inner)],
        "blocks": string(blocks), "answers": string(answers).split(), "doc": string(doc),
    }
    made = "(" + "".join(a["wasm"] for a in call["arguments"]) + ")" + call["result"]["wasm"]
    if made != call["signature"]:
        raise TableError(f"the C types are {made} in wasm, the signature says {call['signature']}")
    lengths(call)
    return call


def load(path):
    statuses = re.findall(r"SF_STATUS\((\w+), (\d+), \"(.*?)\"\)", (BASE / "status.def").read_text())
    known = {name: int(number) for name, number, _ in statuses}
    calls = []
    for kind, fields in rows(pathlib.Path(path).read_text()):
        try:
            call = call_of(kind, fields)
            unknown = [a for a in call.get("answers", []) if a not in known]
            if unknown:
                raise TableError(f"unknown status {unknown[0]}")
            if [known[a] for a in call.get("answers", [])] != sorted(
                    known[a] for a in call.get("answers", [])):
                raise TableError("statuses are not in the order of status.def")
            if call["number"] != len(calls):
                raise TableError(f"number {call['number']} after {len(calls) - 1}: append only")
            if call["name"] in [c["name"] for c in calls]:
                raise TableError("the name is there twice")
        except (TableError, ValueError) as error:
            raise TableError(f"{path}: {kind}({', '.join(fields[:2])}): {error}") from error
        calls.append(call)
    return calls, statuses


def prototype(call):
    if call["internal"]:
        return "-"
    result = call["result"]
    space = "" if result["c"].endswith("*") else " "
    inner = ", ".join(a["c"] for a in call["arguments"]) or "void"
    return f"{result['c']}{space}nk_{call['name']}({inner})"


def listing(calls):
    return "".join(f"{c['number']}\t{c['name']}\t{c['signature']}\t{prototype(c)}\n" for c in calls)


def page_pointers(call):
    for arg in call["arguments"]:
        if not arg["pointer"]:
            continue
        if call["name"].startswith("block_"):
            yield f"`{arg['name']}` names a block; its bytes are not looked at"
            continue
        what = "is written" if arg["writes"] else "is read"
        size = (f"`{arg['length']}`" + (" x 4 bytes" if arg["type"] == "uint32_t" else " bytes")
                if arg["length"] else f"{4 * arg['elements']} bytes" if arg["elements"]
                else f"one `{arg['type']}`")
        yield f"`{arg['name']}` {what}: {size}"


def page_call(call):
    lines = [f"### {call['number']} `{call['name']}`", "", f"    {prototype(call)}", "",
             f"{call['doc'][0].upper()}{call['doc'][1:]}.", ""]
    lines += [f"- {line}" for line in page_pointers(call)]
    if call["blocks"]:
        lines.append(f"- blocks {call['blocks']}, at most `timeout_ns`")
    failures = [f"`{a}`" for a in call["answers"] if a != "OK"]
    if failures:
        lines.append("- fails with " + ", ".join(failures))
    lines.append(f"- wasm: `{call['signature']}`")
    return "\n".join(lines) + "\n"


PAGE_HEAD = """# Kernel calls

<!-- Written by node_kernel/abi/calls.py from node_kernel/abi/include/abi/nk_calls.def; the test
     `calls` compares. After a change: ./run calls -->

Everything a SIP can ask of the node kernel. Imports come from the module `nk`; the name is the call's.
From C they are declared by `sip.h` as `nk_<name>`; the typed calls that `contractc` writes, and libsip,
are made of them.

- **Results** below 0 are minus one of the statuses at the end. 0 or more is success; the text says what
  the number is.
- **Pointers** are addresses in the SIP's own linear memory, or in a block it owns (then all bytes are in
  that one block). Each is checked with its length before anything happens; what does not fit answers
  `BADARG`. Any alignment will do.
- **Times** are nanoseconds: -1 waits for ever, 0 not at all, below -1 is `BADARG`. A call that does not say
  that it blocks never does; any call may let other SIPs run when the time slice is over.
- **Handles** name endpoints of this SIP. One that was closed or sent away is `BADHANDLE` from then on.
- **Numbers** are compiled into images and never change; new calls are appended.

"""


def page(calls, statuses):
    usable = [c for c in calls if not c["internal"]]
    out = PAGE_HEAD + "| number | call | wasm | blocks |\n|---|---|---|---|\n"
    for call in calls:
        if call["internal"]:
            out += f"| {call['number']} | `{call['name']}`: not for SIPs | `{call['signature']}` | - |\n"
        else:
            out += (f"| {call['number']} | [`{prototype(call)}`](#{call['number']}-{call['name']}) | "
                    f"`{call['signature']}` | {'yes' if call['blocks'] else 'no'} |\n")
    out += f"\nCall 0 is part of every image's own code: {calls[0]['doc']}.\n\n## The calls\n\n"
    out += "\n".join(page_call(c) for c in usable)
    out += "\n## Statuses\n\n| number | name | meaning |\n|---|---|---|\n"
    return out + "".join(f"| {n} | `{name}` | {text} |\n" for name, n, text in statuses)


def rust_type(arg):
    if not arg["pointer"]:
        return TYPES[arg["type"]][1]
    return f"*{'mut' if arg['writes'] else 'const'} {POINTEES[arg['type']]}"


def rust(calls):
    out = '// Written by calls.py from nk_calls.def. NkMsg: struct nk_msg of nk_abi.h.\n'
    out += '#[link(wasm_import_module = "nk")]\nextern "C" {\n'
    for call in calls:
        if call["internal"]:
            continue
        result = call["result"]
        answer = "!" if result["noreturn"] else {
            "void": "", "void *": "*mut core::ffi::c_void"}.get(result["c"]) \
            if result["c"] not in TYPES else TYPES[result["c"]][1]
        inner = ", ".join(f"{a['name']}: {rust_type(a)}" for a in call["arguments"])
        out += f"    /// {call['doc']}\n    #[link_name = \"{call['name']}\"]\n"
        out += f"    pub fn nk_{call['name']}({inner}){' -> ' + answer if answer else ''};\n"
    return out + "}\n"


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("page", "list", "json", "rust"):
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2
    try:
        calls, statuses = load(sys.argv[2])
    except (TableError, OSError) as error:
        print(f"calls.py: {error}", file=sys.stderr)
        return 1
    sys.stdout.write({
        "page": lambda: page(calls, statuses), "list": lambda: listing(calls),
        "json": lambda: json.dumps(calls, indent=1) + "\n", "rust": lambda: rust(calls),
    }[sys.argv[1]]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
