#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A SIP from Rust, over one contract: build.sh SIPC RUSTC CONTRACTS CONTRACT MANIFEST OUT.sip FILE.rs
set -eu
sipc=$1 rustc=$2 contracts=$3 contract=$4 manifest=$5 out=$6 source=$7
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

compile() {
    "$rustc" --edition 2018 --target wasm32-unknown-unknown -C opt-level=s -C panic=abort \
        -D warnings -L "$work" "$@"
}
"$sipc" sdk --manifest "$manifest" --contracts "$contracts" -o "$work"
compile --crate-type rlib --crate-name nk "$here/nk.rs" -o "$work/libnk.rlib"
compile --crate-type rlib "$work/$contract.rs" -o "$work/lib$contract.rlib"
compile --crate-type cdylib -C lto -C link-arg=-zstack-size=65536 \
    --extern nk="$work/libnk.rlib" --extern "$contract=$work/lib$contract.rlib" \
    "$source" -o "$work/sip.wasm"
"$sipc" build "$work/sip.wasm" --manifest "$manifest" --contracts "$contracts" -o "$out"
