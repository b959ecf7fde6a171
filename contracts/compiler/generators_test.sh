#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What contractc writes for people and for other programs, given to the programs that read it.
# usage: generators_test.sh CONTRACTC SOURCE_ROOT. Prints TAP.
set -u
contractc=$(realpath "$1")
root=$2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT INT TERM
number=0
std="$root/contracts/std"

ok() { # DESCRIPTION STATUS
    number=$((number + 1))
    if [ "$2" -eq 0 ]; then echo "ok $number - $1"; else echo "not ok $number - $1"; fi
}

twice() { # EMITTER: into $work/EMITTER and $work/EMITTER.again, must be equal
    mkdir "$work/$1" "$work/$1.again"
    "$contractc" compile -w --emit "$1" -o "$work/$1" "$std"/*.contract &&
        "$contractc" compile -w --emit "$1" -o "$work/$1.again" "$std"/*.contract &&
        diff -r "$work/$1" "$work/$1.again" >&2 &&
        [ "$(ls "$work/$1" | wc -l)" -eq "$(ls "$std"/*.contract | wc -l)" ]
    ok "$1: one file a contract, the same bytes in a second run" $?
}

for emitter in sip-c-typed sip-rust md json dissector svg; do
    twice "$emitter"
done

cat >"$work/verify.py" <<'END'
import glob, json, sys
for path in glob.glob(sys.argv[1] + "/*.json"):
    contract = json.load(open(path))
    states = {state["name"] for state in contract["states"]}
    messages = {message["name"]: message for message in contract["messages"]}
    for state in contract["states"]:
        assert state["final"] == (state["transitions"] == []), path
        for move in state["transitions"]:
            assert move["to"] in states and move["message"] in messages, path
            assert messages[move["message"]]["direction"] in (
                "both", {"importer": "in", "exporter": "out"}[move["sender"]]), path
    if contract["contract"] == "TcpConnectionContract":
        assert len(states) == 37 and len(messages) == 31
        assert sum(len(state["transitions"]) for state in contract["states"]) == 85
        accept = messages["Accept"]["args"][0]
        assert accept["kind"] == "endpoint" and accept["state"] == "PreConnected", accept
END
python3 "$work/verify.py" "$work/json" >&2
ok "json: states, messages and transitions fit together" $?

python3 -c 'import sys, xml.etree.ElementTree as tree
[tree.parse(path) for path in sys.argv[1:]]' "$work"/svg/*.svg >&2
ok "svg: pictures are XML" $?
grep -q '>Connected</text>' "$work/svg/TcpConnectionContract.svg"
ok "svg: shows the states" $?
PATH="$work/nothing" "$contractc" compile -w --emit svg "$std/HelloContract.contract" \
    >"$work/out" 2>"$work/err"
[ $? -eq 1 ] && [ ! -s "$work/out" ] && grep -q 'graphviz' "$work/err"
ok "svg: without Graphviz, an error that names its package" $?

# Typed calls: files that must compile, and files that must not, each with what the compiler says.
"$contractc" compile -w --emit sip-c -o "$work/sip-c-typed" "$std"/*.contract &&
    "$contractc" compile -w --emit sip-c -o "$work/sip-c-typed" "$root"/contracts/compiler/golden/*.contract &&
    "$contractc" compile -w --emit sip-c-typed -o "$work/sip-c-typed" \
        "$root"/contracts/compiler/golden/*.contract
ok "sip-c-typed: headers for the samples" $?
for header in "$work"/sip-c-typed/*.h; do echo "#include \"$(basename "$header")\""; done >"$work/all.cc"
clang++ --target=wasm32 -std=c++17 -ffreestanding -fsyntax-only -Wall -Werror -I"$work/sip-c-typed" \
    -I"$root/sips" -I"$root/node_kernel/abi/include" -I"$root/base/include" "$work/all.cc" >&2
ok "sip-c, sip-c-typed: all headers at once are C++, too" $?

# Rust: all contracts as modules of one crate.
rustc=$(command -v /usr/bin/rustc || command -v rustc)
"$contractc" compile -w --emit sip-rust -o "$work/sip-rust" "$root"/contracts/compiler/golden/*.contract
{
    echo '#![no_std]'
    echo '#![allow(non_snake_case)]'
    for module in "$work"/sip-rust/*.rs; do echo "pub mod $(basename "$module" .rs);"; done
    echo 'const _: () = assert!(Sample::tag::Quit == 7 && Sample::constant::Least == -5);'
} >"$work/lib.txt"
mv "$work/lib.txt" "$work/sip-rust/all.rs"
"$rustc" --edition 2018 --crate-type lib --emit metadata -D warnings --out-dir "$work" \
    "$work/sip-rust/all.rs" >&2
ok "sip-rust: all modules compile, and numbers are as in C" $?

compile() { # FILE
    clang --target=wasm32 -std=gnu11 -ffreestanding -O2 -Wall -Wextra -Werror -I"$work/sip-c-typed" \
        -I"$root/sips" -I"$root/node_kernel/abi/include" -I"$root/base/include" -c "$1" \
        -o "$work/snippet.o" >"$work/out" 2>"$work/err"
}
for header in "$work"/sip-c-typed/*_typed.h; do
    echo "#include \"$(basename "$header")\""
done >"$work/all.c"
compile "$work/all.c"
answer=$?
sed 's/^/# /' "$work/err"
ok "sip-c-typed: all headers together compile for wasm32" $answer
for file in "$root"/contracts/compiler/typed/*.c; do
    name=$(basename "$file" .c)
    expected=$(awk 'NR >= 2 { print } NR >= 2 && /\*\/$/ { exit }' "$file" | tr '\n' ' ' |
        sed 's,^/\* *,,; s, *\*/ *$,,; s, \* , ,g; s,  *, ,g')
    compile "$file"
    answer=$?
    if [ "$expected" = compiles ]; then
        [ $answer -eq 0 ]
    else
        [ $answer -ne 0 ] && [ -n "$expected" ] && grep -qF "$expected" "$work/err" &&
            [ "$(grep -c 'error: ' "$work/err")" -eq 1 ]
    fi
    answer=$?
    ok "sip-c-typed: $name: $expected" $answer
    if [ $answer -ne 0 ]; then sed 's/^/# /' "$work/err"; fi
done
echo "1..$number"
