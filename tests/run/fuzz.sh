#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The fuzzers of tests/fuzz, from a build of the preset `fuzz`. Run by ./dev, in the Debian 13 root.
#
#   fuzz.sh replay BUILD LOGS                      each target: its whole corpus, then a short run that
#                                                  begins with the same seed each time
#   fuzz.sh go BUILD LOGS KEPT TARGET|all SECONDS  goes on from the corpus and what KEPT/<target> gathered
#
# What is found is written to LOGS/fuzz-found/ and makes the exit status 1.
set -uo pipefail

command=$1 build=$2 logs=$3
corpus=tests/fuzz/corpus found=$logs/fuzz-found
run_count=20000 run_seconds=8 # of a replay: whichever ends first

targets() { find "$build/bin" -name 'fuzz-*' -printf '%f\n' | sed 's/^fuzz-//' | sort; }

# run TARGET LOG ARGUMENTS…: libFuzzer with what every run has.
run() {
    local target=$1 log=$2 dict=tests/fuzz/dict/$1.dict
    shift 2
    mkdir -p "$found/$target"
    ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
        "$build/bin/fuzz-$target" -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$found/$target/" \
        ${dict:+$([ -e "$dict" ] && echo "-dict=$dict")} "$@" >"$log" 2>&1
}

# The last line that libFuzzer counts in: executions, coverage, corpus.
sum_of() { grep -aE '^#[0-9]+' "$1" | tail -n 1 | sed -E 's/^#([0-9]+)\s+\S+\s+/\1 executions, /; s/ lim: .*//'; }

explain() { # LOG
    grep -aE 'broken:|ERROR:|SUMMARY:|runtime error|Test unit written' "$1" | head -n 8
    echo "log: $1"
}

replay_one() {
    local target=$1 log=$logs/fuzz-$1.log scratch status=0
    scratch=$(mktemp -d)
    if [ ! -d "$corpus/$target" ]; then
        echo "no corpus: $corpus/$target" >"$log"
        status=1
    else
        run "$target" "$log" -runs=0 "$corpus/$target" || status=1
    fi
    if [ "$status" = 0 ]; then
        echo "ok $target: corpus: $(sum_of "$log")"
    else
        printf 'not ok %s: corpus\n%s\n' "$target" "$(explain "$log")"
    fi
    if run "$target" "$log.run" -seed=1 -runs="$run_count" -max_total_time="$run_seconds" "$scratch" "$corpus/$target"; then
        echo "ok $target: run: $(sum_of "$log.run")"
    else
        printf 'not ok %s: run\n%s\n' "$target" "$(explain "$log.run")"
    fi
    rm -rf "$scratch"
}

replay() {
    local all
    all=$(targets)
    [ -n "$all" ] || { echo "no targets in $build/bin"; exit 1; }
    export -f replay_one run sum_of explain
    export build logs corpus found run_count run_seconds
    # shellcheck disable=SC2016 # expanded by the shell that xargs starts
    xargs -P "$(nproc)" -I{} bash -c 'replay_one {}' <<<"$all" | tee "$logs/fuzz.out"
    awk '/^ok /{ p++ } /^not ok /{ f++ } END { printf "%d passed, %d failed\n", p, f; exit f > 0 }' "$logs/fuzz.out"
}

go() {
    local kept=$1 wanted=$2 seconds=$3 target status=0
    for target in $(targets); do
        [ "$wanted" = all ] || [ "$wanted" = "$target" ] || continue
        echo "$target: $seconds s …"
        mkdir -p "$kept/$target"
        if run "$target" "$logs/fuzz-$target.log" -max_total_time="$seconds" -print_final_stats=1 "$kept/$target" "$corpus/$target"; then
            echo "$target: $(sum_of "$logs/fuzz-$target.log")"
        else
            echo "$target: FOUND SOMETHING"
            explain "$logs/fuzz-$target.log"
            echo "reproduce: ./dev exec build/fuzz/bin/fuzz-$target FILE; then keep it as $corpus/$target/regress-WHAT"
            status=1
        fi
    done
    exit "$status"
}

mkdir -p "$found"
case $command in
    replay) replay ;;
    go) go "$4" "$5" "$6" ;;
esac
