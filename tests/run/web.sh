#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# web.sh PACKAGES WORK BGW: the client SDK (web/client), in a copy of it so that neither packages nor
# what is built get into the checkout: types, lint, build, tests (against the gateway BGW too), examples,
# and what a user of the package gets.
set -u
packages=$1 work=$2 bgw=$3 passed=0 failed=0
rm -rf "$work" && mkdir -p "$work"
tar -C web -cf - --exclude node_modules --exclude dist client | tar -C "$work" -xf - || exit 1
cd "$work/client" || exit 1
ln -s "$packages/node_modules" node_modules
export NO_COLOR=1 CI=1

# said FILE PREFIX WORD: the number before WORD in the last line of FILE that begins with PREFIX.
said() { grep -E "^$2" "$1" | tail -n 1 | grep -oE "[0-9]+ $3" | grep -oE '[0-9]+' || echo 0; }

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

# many PREFIX CMD…: a step with a count of its own after PREFIX; one that fails without one counts as one failure.
many() {
    prefix=$1 before=$failed
    shift
    "$@" >counted 2>&1
    status=$?
    cat counted
    passed=$((passed + $(said counted "$prefix" passed)))
    failed=$((failed + $(said counted "$prefix" failed)))
    [ $status = 0 ] || [ "$failed" -gt "$before" ] || failed=$((failed + 1))
}

one types node_modules/.bin/tsc -p . --noEmit
one lint node scripts/lint.mjs
one build node scripts/build.mjs
many ' +Tests ' env BGW_BIN="$bgw" node_modules/.bin/vitest run
many '[0-9]' node scripts/check-package.mjs
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
