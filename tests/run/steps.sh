# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# Sourced by web.sh and mobile.sh: steps that are counted in their `passed` and `failed`, each as a whole or with
# the count that it prints itself.

# said PATTERN WORD: the number before WORD in the last line of `counted` that has PATTERN.
said() { grep -E "$1" counted | tail -n 1 | grep -oE "[0-9]+ $2" | grep -oE '[0-9]+' || echo 0; }

# one NAME CMD…: a step that passes or fails as a whole.
one() {
    name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok $name"
    else
        failed=$((failed + 1))
        echo "not ok $name"
    fi
}

# many PATTERN CMD…: a step with a count of its own in the line that has PATTERN; one that fails without one counts as one failure.
many() {
    pattern=$1 before=$failed
    shift
    "$@" >counted 2>&1
    status=$?
    cat counted
    passed=$((passed + $(said "$pattern" passed)))
    failed=$((failed + $(said "$pattern" failed) + $(said "$pattern" error)))
    [ $status = 0 ] || [ "$failed" -gt "$before" ] || failed=$((failed + 1))
}
