# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Sourced by ./dev: the suites. A suite is a function suite_NAME whose last line of output reads
# `N passed, N failed` (and `, N skipped` where it can skip); its output is build/log/suite-NAME.log.
# Builds and downloads happen before, and are kept; results never are.

ALL_SUITES="lint unit tsan tokens sim fuzz conformance web mobile integration"
SIM_SEEDS=2000
SIM_SEEDS_LONG=100000
TOKENS="4 5000" # seeds, and tokens of each
TOKENS_LONG="50 20000"

# Which builds a suite stands on.
builds_of() {
    case $1 in
        unit) echo asan clang ;;
        tsan) echo tsan ;;
        tokens) echo asan ;;
        sim) echo asan ;;
        fuzz) echo fuzz ;;
        conformance | web | mobile) echo release ;;
        integration) echo asan release ;;
    esac
}

run_suites() {
    local suites="" suite preset broken="" long=
    for suite in "$@"; do
        case " $ALL_SUITES " in
            *" $suite "*) suites="$suites $suite" ;;
            *) [ "$suite" = long ] || die "no suite \"$suite\"; there are: $ALL_SUITES" && long=1 ;;
        esac
    done
    suites=${suites:-$ALL_SUITES}
    [ -z "$long" ] || export BGW_LONG=1
    raise_descriptors
    mkdir -p "$LOGS"
    for suite in $suites; do rm -f "$LOGS/suite-$suite".*; done
    set -m # every background job is a process group, ended as one
    trap end_jobs INT TERM
    case $suites in *integration*) fetch_for_integration & ;; esac
    case $suites in *conformance*) fetch_for_conformance & ;; esac
    case $suites in *tokens*) fetch_for_tokens & ;; esac
    case $suites in *web*) fetch_for_web & ;; esac
    case $suites in *mobile*) fetch_for_mobile & ;; esac
    # shellcheck disable=SC2046 # a list of presets
    for preset in $(printf '%s\n' $(for suite in $suites; do builds_of "$suite"; done) | awk '!seen[$0]++'); do
        alone build "$preset" || broken="$broken $preset"
    done
    wait
    for suite in $suites; do
        # The simulator needs no clock, so it may run beside what mostly waits, out of its way.
        if [ "$suite" = sim ] && [[ $suites = *integration* ]]; then
            run_suite sim "$broken" nice &
        else
            alone run_suite "$suite" "$broken"
        fi
    done
    wait
    # shellcheck disable=SC2086 # a list of names
    sum_up $suites
}

alone() { "$@" & wait $!; } # a job like the others, so that a signal ends it at once

end_jobs() {
    local job
    trap - INT TERM
    for job in $(jobs -p); do kill -- "-$job" 2>/dev/null; done
    exit 130
}

raise_descriptors() {
    local hard
    hard=$(ulimit -Hn)
    [ "$hard" != unlimited ] && [ "$hard" -le 1048576 ] || hard=1048576
    ulimit -Sn "$hard" 2>/dev/null || true
}

# run_suite NAME BROKEN-PRESETS [nice]: the suite's output in its log, its counts in suite-NAME.counts.
run_suite() {
    local suite=$1 broken=$2 log=$LOGS/suite-$1.log started=$SECONDS status=0 preset counts
    [ -z "${3:-}" ] || renice -n 19 -p "$BASHPID" >/dev/null
    say "suite $suite …"
    for preset in $(builds_of "$suite"); do
        # a file that only clang refuses is one failure of `unit`, not the end of it
        [ "$preset" != clang ] || continue
        case " $broken " in *" $preset "*) echo "the $preset build failed" ;; esac
    done >"$log"
    [ -s "$log" ] && status=1 || (cd "$TOP" && "suite_$suite") >>"$log" 2>&1 </dev/null || status=$?
    counts=$(last_counts "$log")
    # no count, or a failure that no count shows, is a failure; so is a suite in which nothing ran
    case $counts in
        '') counts="0 1 0" ;;
        "0 0 "*) echo "nothing ran" >>"$log"; counts="0 1 ${counts##* }" ;;
        *" 0 "*) [ $status = 0 ] || counts="${counts%% *} 1 ${counts##* }" ;;
    esac
    echo "$counts" >"$LOGS/suite-$suite.counts"
    # shellcheck disable=SC2086
    set -- $counts
    if [ "$2" -gt 0 ]; then
        { printf -- '--- %s, the end of %s:\n' "$suite" "$log"; tail -n 60 "$log"; echo ---; } >&2
    fi
    printf '%-12s %s passed, %s failed, %s skipped   (%d s)\n' "$suite:" "$1" "$2" "$3" $((SECONDS - started))
}

# last_counts LOG: "PASSED FAILED SKIPPED" of its last line that has them.
last_counts() {
    grep -oE '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$1" | tail -n 1 | awk '{ print $1, $3, $5 + 0 }'
}

sum_up() {
    local suite
    for suite in "$@"; do cat "$LOGS/suite-$suite.counts" 2>/dev/null || echo 0 1 0; done |
        awk '{ p += $1; f += $2; s += $3 }
            END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 }'
}

# ---- the suites ------------------------------------------------------------------------------

suite_lint() { box python3 -m tests.lint; }

suite_unit() {
    # shellcheck disable=SC2154 # run_suite's
    case " $broken " in
        *" clang "*)
            box tests/run/unit.sh build/asan 0 1
            echo "the clang build failed: $LOGS/build-clang.log"
            return 1
            ;;
        *) box tests/run/unit.sh build/asan 1 0 ;;
    esac
}

suite_tsan() { box tests/run/unit.sh build/tsan; }

suite_tokens() {
    local tokens=$TOKENS
    [ -z "${BGW_LONG:-}" ] || tokens=$TOKENS_LONG
    [ -e "$(jose)/.done" ] || { echo "a download failed; its log is in $LOGS"; return 1; }
    # shellcheck disable=SC2086 # two numbers
    box tests/tokens/run.sh build/asan "$(jose)" $tokens
}

# Seeds are cut in as many runs as there are cores; the long run goes on in the release build.
suite_sim() {
    local jobs status=0
    jobs=$(nproc)
    rm -f "$LOGS"/sim-*.log
    sim_seeds asan 1 "$SIM_SEEDS" "$jobs" || status=1
    if [ -n "${BGW_LONG:-}" ]; then
        build release bgw-sim &&
            sim_seeds release $((SIM_SEEDS + 1)) $((SIM_SEEDS_LONG - SIM_SEEDS)) "$jobs" || status=1
    fi
    box build/asan/bin/bgw-sim-bugs --catch-all >"$LOGS/sim-bugs.log" 2>&1 || status=1
    tail -n 40 "$LOGS"/sim-*.log
    for log in "$LOGS"/sim-*.log; do last_counts "$log" || echo 0 1 0; done |
        awk '{ p += $1; f += $2 } END { printf "%d passed, %d failed\n", p, f }'
    return $status
}

# sim_seeds PRESET FIRST COUNT JOBS
sim_seeds() {
    local part=$((($3 + $4 - 1) / $4)) i pids=() status=0
    for ((i = 0; i < $4; i++)); do
        box "build/$1/bin/bgw-sim" --seeds "$part" --first $(($2 + i * part)) >"$LOGS/sim-$1-$i.log" 2>&1 &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i" || status=1; done
    return $status
}

suite_fuzz() { box tests/run/fuzz.sh replay build/fuzz "$LOGS"; }

suite_conformance() {
    if [ ! -e "$(conformance_venv)/.done" ]; then
        echo "a download failed; its log is in $LOGS"
        return 1
    fi
    build release ws-echo || return 1
    rm -rf "$LOGS/conformance" && mkdir -p "$LOGS/conformance"
    box "$(conformance_venv)/bin/python" -m tests.conformance build/release/bin/ws-echo "$LOGS/conformance"
}

suite_web() {
    [ -e "$(web_packages)/.done" ] || { echo "a download failed; its log is in $LOGS"; return 1; }
    box tests/run/web.sh "$(web_packages)" build/web "$TOP/build/release/bin/bgw"
}

suite_mobile() {
    if [ ! -e "$(mobile_packages)/.done" ] || [ ! -e "$(web_packages)/.done" ] || [ ! -e "$(venv)/.done" ]; then
        echo "a download failed; its log is in $LOGS"
        return 1
    fi
    box tests/run/mobile.sh "$(mobile_packages)" "$(web_packages)" "$TOP/build/release/bin/bgw" "$(venv)/bin/python"
}

suite_integration() {
    local status=0 out=$LOGS/integration.out
    if [ ! -e "$(venv)/.done" ] || [ ! -e "$(kafka_dist)/.done" ] || [ ! -e "$(signalr_clients)/.done" ] ||
        [ ! -e "$(asyncapi_specs)/.done" ]; then
        echo "a download failed; its log is in $LOGS"
        return 1
    fi
    # Most tests wait most of the time: three side by side, each with a Kafka of its own; then those that need quiet.
    integration_tests "not alone" -n 3 --dist loadfile | tee "$out" || status=$?
    integration_tests alone | tee "$out.alone" || status=$?
    # pytest: "3 failed, 40 passed, 1 skipped, 1 error in 61.2s"
    tail -q -n 1 "$out" "$out.alone" | awk '{
        for (i = 2; i <= NF; i++) {
            if ($i ~ /^passed/) p += $(i - 1)
            if ($i ~ /^(failed|error)/) f += $(i - 1)
            if ($i ~ /^skipped/) s += $(i - 1)
        } }
        END { printf "%d passed, %d failed, %d skipped\n", p, f, s }'
    return "$status"
}

# integration_tests MARKS OPTIONS…
integration_tests() {
    local marks=$1
    shift
    BGW_BIN=$TOP/build/asan/bin/bgw BGW_RELEASE_BIN=$TOP/build/release/bin/bgw \
    BGW_SWARM=$TOP/build/release/bin/bgw-swarm KAFKA_DIST=$(kafka_dist) SIGNALR_CLIENTS=$(signalr_clients) \
    ASYNCAPI_SPECS=$(asyncapi_specs) CONSOLE_PACKAGES=$(console_packages) \
    ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
        box "$(venv)/bin/python" -m pytest tests/integration -q -rfEs --durations=10 -m "$marks" "$@"
}

# ---- downloads, once -------------------------------------------------------------------------

# venv_of REQUIREMENTS PREFIX
venv_of() { echo "$KEEP/$2-$( (echo "$SYSTEM"; cat "$TOP/$1") | sha256sum | cut -c1-12)"; }
venv() { venv_of tests/integration/requirements.txt venv; }
conformance_venv() { venv_of tests/conformance/requirements.txt kosoku; }
# npm_of DIRECTORY PREFIX
npm_of() { echo "$KEEP/$2-$( (echo "$SYSTEM"; cat "$TOP/$1/package-lock.json" "$TOP/$1/package.json") | sha256sum | cut -c1-12)"; }
jose() { npm_of tests/tokens jose; }
signalr_clients() { npm_of tests/signalr signalr; }
asyncapi_specs() { npm_of tests/api asyncapi; }
web_packages() { npm_of web/client web; }
mobile_packages() { npm_of mobile-sample mobile; }
kafka_dist() { echo "$KEEP/kafka-$(sha256sum <"$TOP/tests/run/kafka-pom.xml" | cut -c1-12)"; }

# make_venv STEP DIRECTORY REQUIREMENTS
# shellcheck disable=SC2016 # expanded by the shell in the box
make_venv() {
    [ -e "$2/.done" ] || step "$1" box sh -ec '
        rm -rf "$1" && python3 -m venv "$1"
        "$1/bin/pip" install -q --only-binary :all: -r "$2"
        touch "$1/.done"' sh "$2" "$3"
}

fetch_for_conformance() {
    (
        flock 6
        make_venv kosoku "$(conformance_venv)" tests/conformance/requirements.txt
    ) 6>"$KEEP/fetch-kosoku.lock"
}

# shellcheck disable=SC2016 # expanded by the shell in the box
kafka_jars() {
    local dir
    dir=$(kafka_dist)
    [ -e "$dir/.done" ] || step kafka-jars box sh -ec '
        rm -rf "$1"
        mvn -B -ntp -f tests/run/kafka-pom.xml "-Dmaven.repo.local=$2/m2" \
            dependency:copy-dependencies "-DoutputDirectory=$1"
        touch "$1/.done"' sh "$dir" "$KEEP"
}

# A real Kafka, and what drives it.
fetch_for_kafka() {
    (
        flock 7
        make_venv python-packages "$(venv)" tests/integration/requirements.txt && kafka_jars
    ) 7>"$KEEP/fetch.lock"
}

fetch_for_integration() {
    (
        flock 7
        make_venv python-packages "$(venv)" tests/integration/requirements.txt
        kafka_jars
        npm_packages signalr "$(signalr_clients)" tests/signalr
        npm_packages asyncapi "$(asyncapi_specs)" tests/api
    ) 7>"$KEEP/fetch.lock"
}

# npm_packages STEP DIRECTORY SOURCE
# shellcheck disable=SC2016 # expanded by the shell in the box
npm_packages() {
    [ -e "$2/.done" ] || step "$1" box sh -ec '
        rm -rf "$1" && mkdir -p "$1"
        cp "$2/package.json" "$2/package-lock.json" "$2/.npmrc" "$1/"
        cd "$1" && npm ci --ignore-scripts --no-audit --no-fund
        touch .done' sh "$2" "$3"
}

fetch_for_tokens() { (flock 7; npm_packages jose "$(jose)" tests/tokens) 7>"$KEEP/fetch.lock"; }

fetch_for_web() { (flock 7; npm_packages web "$(web_packages)" web/client) 7>"$KEEP/fetch.lock"; }

fetch_for_mobile() {
    (
        flock 7
        make_venv python-packages "$(venv)" tests/integration/requirements.txt
        npm_packages web "$(web_packages)" web/client
        npm_packages mobile "$(mobile_packages)" mobile-sample
    ) 7>"$KEEP/fetch.lock"
}
