#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and runs the fuzz targets, one after the other: ./run fuzz [TARGET...] [SECONDS]
#
#   api               kernel calls with wild arguments, from SIPs, in a kernel under sanitizers
#   capture           broken captures of SIPs that are moved, in a kernel under sanitizers
#   verify            the verifier and the instruction check, against wasm-validate and objdump
#   verify-libfuzzer  the verifier and the static check, by coverage (clang)
#   image             damaged images and code
#   image-libfuzzer   the reader of images, signatures and key files, by coverage (clang)
#   rx                frames that hostile nodes send (clang)
#   handshake         the handshake and the sealed frames of a session (clang)
#   ring              memif's rings, in memory that a hostile process shares (clang)
#   parser canon table   the contract compiler and the table decoder (clang)
#
# SECONDS a target (default 60); without a TARGET: all. --list names them. What is found is under
# build/fuzz/, with the line that shows it again. Exit code: 0 nothing, 1 something, 2 wrong use.
set -u
cd "$(dirname "$0")/../.."
root=$PWD
build=${SIPFABRIC_BUILD:-$root/build}
all=(api capture verify verify-libfuzzer image image-libfuzzer rx handshake ring parser canon table)
found=$build/fuzz
answer=0

usage() {
    sed -n '3,18s/^# \{0,1\}//p' "$0"
}

need() {
    ninja -C "$build" --quiet "$@" || exit 2
}

libfuzzer() { # NAME PROGRAM SEEDS [OPTION...]
    local name=$1 program=$2 seeds=$3 log=$found/$1.log
    shift 3
    mkdir -p "$found/$name"
    if "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
        -artifact_prefix="$found/$name-crash-" -print_final_stats=1 "$@" "$found/$name" "$seeds" \
        >"$log" 2>&1; then
        echo "$name: nothing found in $seconds s, $(sed -n \
            's/^stat::number_of_executed_units: *//p' "$log") inputs"
        return 0
    fi
    echo "$name: found something, see $log and $found/$name-crash-*"
    return 1
}

seed_modules() { # a folder with the modules of the tests
    mkdir -p "$found/modules"
    python3 node_kernel/sipc/fuzz/differential.py "$build/node_kernel/sipc/fuzz/verify_fuzz" \
        "$build/node_kernel/sipc/fuzz/code_fuzz" "$build/node_kernel/sipc/sipc" "$root" \
        --seeds "$found/modules"
}

run_one() {
    local kernel=node_kernel/kernel/fuzz sipc=node_kernel/sipc/fuzz
    case $1 in
    api)
        need $kernel/api_fuzz $kernel/api_fuzz.sip
        "$build/$kernel/api_fuzz" "$build/$kernel/api_fuzz.sip" --seconds "$seconds"
        ;;
    capture)
        need $kernel/capture_fuzz $kernel/mover_sanitized.sip $kernel/probe_sanitized.sip
        "$build/$kernel/capture_fuzz" "$build/$kernel/mover_sanitized.sip" \
            "$build/$kernel/probe_sanitized.sip" --seconds "$seconds"
        ;;
    verify)
        need $sipc/verify_fuzz $sipc/code_fuzz node_kernel/sipc/sipc
        python3 $sipc/differential.py "$build/$sipc/verify_fuzz" "$build/$sipc/code_fuzz" \
            "$build/node_kernel/sipc/sipc" "$root" --seconds "$seconds" \
            --builds $((seconds / 5 + 1)) --seed "$(date +%s)" --keep "$found/verify"
        ;;
    verify-libfuzzer)
        need $sipc/verify_libfuzzer $sipc/verify_fuzz $sipc/code_fuzz node_kernel/sipc/sipc
        seed_modules || return 1
        libfuzzer "$1" "$build/$sipc/verify_libfuzzer" "$found/modules" -max_len=32768
        ;;
    image)
        need $sipc/code_fuzz sips/hello.sip sips/web.sip
        "$build/$sipc/code_fuzz" "$build/sips/hello.sip" "$build/sips/web.sip" \
            --seconds "$seconds" --seed "$(date +%s)"
        ;;
    image-libfuzzer)
        node_kernel/image/fuzz/run.sh "$build" "$seconds"
        ;;
    rx | handshake | ring)
        local folder=fabric
        [ "$1" = ring ] && folder=net_drivers
        if [ ! -f "$build/fuzz/clang/build.ninja" ]; then
            CC=clang meson setup "$build/fuzz/clang" -Db_sanitize=address,undefined \
                -Db_lundef=false -Dwerror=false >"$found/$1-setup.log" 2>&1 || {
                echo "$1: no build with clang's sanitizers; $found/$1-setup.log ends:" >&2
                tail -3 "$found/$1-setup.log" >&2
                exit 2
            }
        fi
        ninja -C "$build/fuzz/clang" --quiet "$folder/$1_fuzz" || exit 2
        mkdir -p "$found/$1-seeds"
        for i in $(seq 64); do # any bytes get on
            [ -f "$found/$1-seeds/$i" ] || head -c 4096 /dev/urandom >"$found/$1-seeds/$i"
        done
        libfuzzer "$1" "$build/fuzz/clang/$folder/$1_fuzz" "$found/$1-seeds" -max_len=4096 \
            -len_control=0
        ;;
    parser | canon | table)
        contracts/fuzz/run.sh "$build" "$seconds" "$1_fuzz"
        ;;
    esac
}

seconds=60
targets=()
for word in "$@"; do
    case $word in
    --list)
        printf '%s\n' "${all[@]}"
        exit 0
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    [0-9]*) seconds=$word ;;
    *)
        if [[ " ${all[*]} " != *" $word "* ]]; then
            echo "fuzz: no target '$word'; there are: ${all[*]}" >&2
            exit 2
        fi
        targets+=("$word")
        ;;
    esac
done
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")
mkdir -p "$found"
for target in "${targets[@]}"; do
    run_one "$target" || answer=1
done
exit $answer
