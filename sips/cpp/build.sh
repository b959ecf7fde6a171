#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A SIP from C++: build.sh SIPC CLANG++ CONTRACTS MANIFEST OUT.sip FILE.cc...
set -eu
sipc=$1 clang=$2 contracts=$3 manifest=$4 out=$5
shift 5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

"$sipc" sdk --manifest "$manifest" --contracts "$contracts" -o "$work"
"$clang" --target=wasm32 -std=c++17 -O2 -gline-tables-only -Wall -Wextra -Werror \
    -ffreestanding -nostdlib -mbulk-memory -fvisibility=hidden \
    -fno-exceptions -fno-rtti -fno-c++-static-destructors -fno-threadsafe-statics \
    -I "$work" \
    -Wl,--no-entry -Wl,--export=sip_main -Wl,--stack-first -Wl,-z,stack-size=65536 \
    -Wl,--fatal-warnings "$@" "$work/libsip.o" -o "$work/sip.wasm"
"$sipc" build "$work/sip.wasm" --manifest "$manifest" --contracts "$contracts" -o "$out"
