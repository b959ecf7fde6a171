#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes files into a C source, so that sipc is one program: embed.py OUT NAME=FILE..."""
import sys


def main():
    parts = ['#include "files.h"\n']
    rows = []
    for number, item in enumerate(sys.argv[2:]):
        name, path = item.split("=", 1)
        data = open(path, "rb").read()
        body = ",".join(str(byte) for byte in data)
        parts.append(f"static const unsigned char f{number}[] = {{{body}}};\n")
        rows.append(f'    {{"{name}", f{number}, sizeof(f{number})}},\n')
    parts.append("const struct sipc_file sipc_files[] = {\n" + "".join(rows) + "    {0},\n};\n")
    open(sys.argv[1], "w").write("".join(parts))


main()
