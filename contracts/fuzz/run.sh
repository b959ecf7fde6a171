#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds and runs the fuzz targets of contracts/.
# usage: run.sh BUILD_FOLDER SECONDS [TARGET...]   (default: parser_fuzz canon_fuzz table_fuzz)
# The corpus is kept in BUILD_FOLDER/fuzz/TARGET between runs, what crashes in .../TARGET-crash-*.
# Exit code: 0 no crash, leak or hang; 1 something was found; 2 wrong use.
set -u
if [ $# -lt 2 ]; then
    sed -n '3,6s/^# //p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd) || exit 2
seconds=$2
shift 2
[ $# -gt 0 ] || set -- parser_fuzz canon_fuzz table_fuzz
answer=0
for target in "$@"; do
    ninja -C "$build" --quiet "contracts/fuzz/$target" || exit 2
    mkdir -p "$build/fuzz/$target"
    if [ "$target" = table_fuzz ]; then
        seeds=$here/../compiler/golden
    else
        seeds=$build/fuzz/$target-seeds
        mkdir -p "$seeds"
        cp "$here"/../std/*.contract "$here"/../compiler/golden/*.contract \
            "$here"/../compiler/bad/*.contract "$seeds"
    fi
    if "$build/contracts/fuzz/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -max_len=4096 -dict="$here/contract.dict" -artifact_prefix="$build/fuzz/$target-crash-" \
        -print_final_stats=1 "$build/fuzz/$target" "$seeds" >"$build/fuzz/$target.log" 2>&1; then
        echo "$target: nothing found in $seconds s, $(sed -n \
            's/^stat::number_of_executed_units: *//p' "$build/fuzz/$target.log") inputs"
    else
        echo "$target: found something, see $build/fuzz/$target.log and $build/fuzz/$target-crash-*"
        answer=1
    fi
done
exit $answer
