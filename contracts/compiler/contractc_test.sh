#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The program contractc: exit codes, where output goes, and that what it writes compiles.
# usage: contractc_test.sh CONTRACTC SOURCE_ROOT. Prints TAP.
set -u
contractc=$1
root=$2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT INT TERM
number=0

ok() { # DESCRIPTION STATUS
    number=$((number + 1))
    if [ "$2" -eq 0 ]; then echo "ok $number - $1"; else echo "not ok $number - $1"; fi
}

expect() { # CODE DESCRIPTION COMMAND...
    code=$1
    what=$2
    shift 2
    "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ "$got" -eq "$code" ]
    ok "$what: exit $code" $?
    if [ "$got" -ne "$code" ]; then sed 's/^/# /' "$work/err"; fi
}

expect 0 "help" "$contractc" --help
grep -q '^examples:' "$work/out"
ok "help has examples" $?
expect 2 "no command" "$contractc"
expect 2 "unknown command" "$contractc" frobnicate x
expect 2 "unknown option" "$contractc" check --frobnicate x
expect 2 "no file" "$contractc" check
expect 2 "nothing to emit" "$contractc" compile x
expect 2 "unknown emitter" "$contractc" compile --emit frob x
expect 0 "check of all standard contracts" "$contractc" check "$root"/contracts/std/*.contract
expect 1 "check of a bad one" "$contractc" check "$root/contracts/compiler/bad/several.contract"
[ "$(grep -c ':[0-9]*:[0-9]*: error: ' "$work/err")" -eq 3 ]
ok "an error for each of three broken contracts in one run" $?
expect 0 "check of a Sing# source" "$contractc" check "$root/contracts/compiler/golden/SingSharp.sg"
[ "$(grep -c ': note: .*\[read-past\]$' "$work/err")" -eq 9 ]
ok "a note for each kind of thing that is read past" $?
expect 0 "check of a mixed state" "$contractc" check \
    "$root/contracts/compiler/bad/mixed_unmonitored.contract"
grep -q 'warning: .*\[mixed-unmonitored\]$' "$work/err"
ok "it is checked with a warning" $?
expect 1 "a mixed state has no table" "$contractc" compile --emit table -o "$work" \
    "$root/contracts/compiler/bad/mixed_unmonitored.contract"
expect 1 "a missing file" "$contractc" check "$work/missing.contract"
expect 0 "show" "$contractc" show "$root/contracts/std/TcpConnectionContract.contract"
grep -q '^messages 31, named states 19, states inside steps 18, actions 85$' "$work/out"
ok "show counts the TCP contract" $?
expect 0 "bounds" "$contractc" bounds -w "$root/contracts/std/TcpConnectionContract.contract"
grep -Eq '^ +exporter +3 +216 +1 +1$' "$work/out"
ok "bounds has the exporter's row" $?
expect 0 "bounds as JSON" "$contractc" bounds -w -o json "$root"/contracts/std/*.contract
python3 -m json.tool "$work/out" >/dev/null
ok "which is JSON" $?
expect 2 "bounds in another format" "$contractc" bounds -o yaml "$root"/contracts/std/*.contract
expect 1 "bounds of a bad one" "$contractc" bounds "$root/contracts/compiler/bad/several.contract"

hello=$root/contracts/std/HelloContract.contract
sed 's/in message Bye();/& in message Nod();/; s/Bye? -> Done;/& Nod? -> Start;/' "$hello" \
    >"$work/dead.contract"
sed 's/in message Bye();/& in message Nod();/; s/Bye? -> Done;/& Nod? -> Greeting! -> Start;/' \
    "$hello" >"$work/more.contract"
sed 's/state Start : {/state Start : Greeting! -> Talk; state Talk : {/
     s/-> Start;/-> Talk;/' "$hello" >"$work/first.contract"
sed 's/state Start : {/state Start : Greeting! -> Talk; state Talk : {/
     s/-> Start;/-> Talk;/; s/Start : Greeting!/Start : (Greeting! or Sorry!)/
     s/out message/out message Sorry(); &/' "$hello" >"$work/sorry.contract"
expect 0 "compat with itself" "$contractc" compat "$hello" "$hello"
grep -q '^HelloContract: identical$' "$work/out"
ok "says identical" $?
expect 3 "compat in some states" "$contractc" compat "$work/first.contract" "$work/sorry.contract"
grep -q '^HelloContract: importer old, exporter new: compatible only in states Done, Talk$' \
    "$work/out" && grep -q '^HelloContract: importer new, exporter old: compatible$' "$work/out"
ok "says which" $?
expect 4 "compat in one direction" "$contractc" compat "$hello" "$work/more.contract"
grep -q "^     1  importer sends Nod " "$work/out"
ok "and shows the run" $?
expect 1 "compat with a broken one" "$contractc" compat "$hello" "$work/dead.contract"
expect 4 "compat as JSON" "$contractc" compat -o json "$hello" "$work/more.contract"
python3 -m json.tool "$work/out" >/dev/null
ok "which is JSON, too" $?
expect 2 "compat of one file" "$contractc" compat "$hello"

expect 0 "one contract to stdout" "$contractc" compile --emit dot \
    "$root/contracts/std/HelloContract.contract"
grep -q '^digraph HelloContract {' "$work/out"
ok "stdout has the picture" $?
expect 2 "several contracts to stdout" "$contractc" compile --emit dot \
    "$root"/contracts/std/*.contract
expect 1 "a folder that is not there" "$contractc" compile -w --emit dot -o "$work/none" \
    "$root/contracts/std/HelloContract.contract"
expect 1 "a broken contract writes nothing" "$contractc" compile --emit sip-c -o "$work" \
    "$root/contracts/compiler/bad/unknown_type.contract"
[ ! -e "$work/C.h" ]
ok "nothing was written" $?

expect 0 "headers for SIPs" "$contractc" compile -w --emit sip-c -o "$work" \
    "$root"/contracts/std/*.contract "$root"/contracts/compiler/golden/*.contract
(cd "$work" && for header in *.h; do
    echo "#include \"$header\""
done >"$work/all.c")
echo 'int sip_main(void) { return 0; }' >>"$work/all.c"
flags="-Wall -Wextra -Werror -I$work -I$root/sips -I$root/node_kernel/abi/include"
expect 0 "all headers together compile for wasm32" \
    clang --target=wasm32 -ffreestanding -O2 $flags -I"$root/base/include" -c "$work/all.c" \
    -o "$work/all.o"
mkdir "$work/formatted"
cp "$root/.clang-format" "$work"
cp "$work"/*.h "$work/formatted"
clang-format -i "$work"/formatted/*.h
for header in "$work"/*.h; do
    cmp -s "$header" "$work/formatted/$(basename "$header")" || echo "$header"
done >"$work/changed"
[ ! -s "$work/changed" ]
ok "clang-format leaves them as they are" $?
echo "1..$number"
