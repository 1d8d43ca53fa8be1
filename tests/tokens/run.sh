#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh BUILD-DIR JOSE-DIR SEEDS COUNT: COUNT tokens of each seed from 1 to SEEDS, as many seeds at
# once as there are cores; then one comparison of all. The same numbers give the same tokens.
set -u
build=$1 jose=$2 seeds=$3 count=$4
out=$build/tokens
rm -rf "$out" && mkdir -p "$out"
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1}" UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
export NODE_NO_WARNINGS=1

# shellcheck disable=SC2016 # expanded by the inner shell
seq "$seeds" | xargs -r -P "$(nproc)" -I '{}' sh -c '
    { node tests/tokens/generate.mjs "$1" "$5" "$4" || echo "generate.mjs failed"; } |
        "$2/bin/bgw-tokens" >"$3/$5" 2>"$3/$5.log" || { cat "$3/$5.log"; echo "seed $5: bgw-tokens failed"; }' \
    sh "$jose" "$build" "$out" "$count" '{}'
seq "$seeds" | while read -r seed; do cat "$out/$seed"; done | node tests/tokens/compare.mjs $((seeds * count))
