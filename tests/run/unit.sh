#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# unit.sh BUILD-DIR [PASSED FAILED]: runs every program named in BUILD-DIR/unit-tests, as many at
# once as there are cores, and adds up their `N passed, N failed` lines, and those given.
set -u
build=$1 passed=${2:-0} failed=${3:-0}
out=$build/unit-logs
rm -rf "$out" && mkdir -p "$out"
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:detect_stack_use_after_return=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"

# shellcheck disable=SC2016 # expanded by the inner shell
xargs -r -P "$(nproc)" -I '{}' sh -c '
    timeout --foreground -k 5 120 "$1/bin/$3" >"$2/$3" 2>&1 </dev/null || echo "exit status $?" >"$2/$3.failed"' \
    sh "$build" "$out" '{}' <"$build/unit-tests"

while read -r name; do
    counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$out/$name" | tail -n 1)
    case $counts in '' | '0 passed, 0 failed') counts='0 passed, 1 failed' ;; esac
    if [ -e "$out/$name.failed" ]; then
        grep -Ev '^(ok |\{"ts")' "$out/$name" | tail -n 40
        cat "$out/$name.failed"
        case $counts in *', 0 failed') counts="${counts%%,*}, 1 failed" ;; esac # a sanitizer's report
    fi
    echo "$name: $counts"
done <"$build/unit-tests" | tee "$out/.all"

awk -v passed="$passed" -v failed="$failed" '/^unit_[A-Za-z0-9_]*: [0-9]+ passed, [0-9]+ failed$/ { passed += $2; failed += $4 }
    END { printf "%d passed, %d failed\n", passed, failed; exit failed > 0 }' "$out/.all"
