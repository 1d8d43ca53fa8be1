#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# web.sh PACKAGES WORK BGW: the client SDK (web/client), in a copy of it so that neither packages nor
# what is built get into the checkout: types, lint, build, tests (against the gateway BGW too), examples,
# and what a user of the package gets.
set -u
. "$(dirname "$0")/steps.sh"
packages=$1 work=$2 bgw=$3 passed=0 failed=0
rm -rf "$work" && mkdir -p "$work"
tar -C web -cf - --exclude node_modules --exclude dist client | tar -C "$work" -xf - || exit 1
cd "$work/client" || exit 1
ln -s "$packages/node_modules" node_modules
export NO_COLOR=1 CI=1

one types node_modules/.bin/tsc -p . --noEmit
one lint node scripts/lint.mjs
one build node scripts/build.mjs
many '^ +Tests ' env BGW_BIN="$bgw" node_modules/.bin/vitest run
many '^[0-9]' node scripts/check-package.mjs
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
