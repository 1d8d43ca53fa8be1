#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# mobile.sh PACKAGES SDK-PACKAGES BGW PYTHON: the Expo sample, in a copy beside its packages, so that nothing of
# them gets into the checkout: types, lint, jest-expo, the web export, and that in Chromium at a phone's
# size against the gateway BGW. PACKAGES may be shared by two checkouts: one works in it at a time.
# What Metro and Jest have compiled is kept by its content, as ccache keeps it; results never are.
set -u
. "$(dirname "$0")/steps.sh"
packages=$1 sdk_packages=$2 bgw=$3 python=$4 passed=0 failed=0
top=$PWD
work=$packages/work
exec 9>"$packages/work.lock"
flock 9
rm -rf "$work" && mkdir -p "$work" "$packages/tmp"
tar -cf - --exclude node_modules --exclude dist --exclude .expo web/client mobile-sample | tar -C "$work" -xf - || exit 1
ln -s "$sdk_packages/node_modules" "$work/web/client/node_modules"
# links of the files: Metro does not follow a link in the place of node_modules
cp -al "$packages/node_modules" "$work/mobile-sample/node_modules" || exit 1
ln -sfn ../../../web/client "$work/mobile-sample/node_modules/@balance-gateway/client"
cd "$work/mobile-sample" || exit 1
export NO_COLOR=1 CI=1 EXPO_NO_TELEMETRY=1 EXPO_OFFLINE=1 TMPDIR="$packages/tmp"

one sdk sh -c 'cd ../web/client && node scripts/build.mjs'
one types node_modules/.bin/tsc --noEmit
one lint node_modules/.bin/eslint .
many '^Tests: ' node_modules/.bin/jest
one export node_modules/.bin/expo export -p web
unset TMPDIR
many ' in [0-9.]+s' env EXPORTED="$PWD/dist" BGW_BIN="$bgw" BGW_RELEASE_BIN="$bgw" \
    PYTHONPATH="$top/tests/integration" "$python" -m pytest -p no:cacheprovider --rootdir e2e --timeout 120 -q -rfE e2e
rm -rf "$work"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
