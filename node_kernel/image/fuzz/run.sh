#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds and runs the fuzz target of image/, with the build's images and keys as seeds.
# usage: run.sh BUILD_FOLDER SECONDS
# The corpus is kept in BUILD_FOLDER/fuzz/image_fuzz, what crashes in BUILD_FOLDER/fuzz/image_fuzz-crash-*.
# Exit code: 0 no crash, leak or hang; 1 something was found; 2 wrong use.
set -u
if [ $# -ne 2 ]; then
    sed -n '3,6s/^# //p' "$0" >&2
    exit 2
fi
build=$(cd "$1" && pwd) || exit 2
seconds=$2
ninja -C "$build" --quiet node_kernel/image/image_fuzz sips/echo.sip sips/hello.sip sips/dev.key || exit 2
seeds=$build/fuzz/image_fuzz-seeds
mkdir -p "$build/fuzz/image_fuzz" "$seeds"
for name in echo.sip hello.sip; do # the last byte says how it is presented
    for way in 0 1 2 3; do
        { cat "$build/sips/$name" && printf "\\00$way"; } >"$seeds/$name.$way"
    done
done
for name in dev.pub dev.key; do
    { cat "$build/sips/$name" && printf '\004'; } >"$seeds/$name"
done
log=$build/fuzz/image_fuzz.log
if "$build/node_kernel/image/image_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -max_len=65536 -artifact_prefix="$build/fuzz/image_fuzz-crash-" -print_final_stats=1 \
    "$build/fuzz/image_fuzz" "$seeds" >"$log" 2>&1; then
    echo "image_fuzz: nothing found in $seconds s, $(sed -n \
        's/^stat::number_of_executed_units: *//p' "$log") inputs"
else
    echo "image_fuzz: found something, see $log and $build/fuzz/image_fuzz-crash-*"
    exit 1
fi
