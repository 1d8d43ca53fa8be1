# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Sourced by ./dev: the web console as files, before anything is compiled that holds them. Made from web/console and the
# client's sources in a directory aside, kept by their content, and put where CMake looks: build/console.

console_sources() { (cd "$TOP" && find web/console web/client/src -type f ! -path '*/node_modules/*' ! -path '*/dist/*' | LC_ALL=C sort); }

# What the files are made of: a change of any of it makes them anew.
console_key() {
    # shellcheck disable=SC2046 # names of ours, without blanks
    (cd "$TOP" && { echo "$SYSTEM"; sha256sum $(console_sources); } | sha256sum | cut -c1-16)
}

console_packages() { npm_of web/console console-packages; }

# make_console OUT: vite's build, and beside each text its gzip, as a browser asks for it.
# shellcheck disable=SC2016 # expanded by the shell in the box
make_console() {
    local work=$1.work
    rm -rf "$work" "$1" && mkdir -p "$work"
    (cd "$TOP" && console_sources | tar -cf - -T -) | tar -xf - -C "$work" || return 1
    ln -s "$(console_packages)/node_modules" "$work/web/console/node_modules"
    step console-build box sh -ec '
        cd "$1/web/console"
        node_modules/.bin/tsc -p .
        node_modules/.bin/vite build --outDir "$1/out"
        find "$1/out" -type f \( -name "*.js" -o -name "*.css" -o -name "*.html" -o -name "*.svg" \) -exec gzip -9nk {} +' sh "$work" || return 1
    mv "$work/out" "$1" && rm -rf "$work"
}

# Brings build/console up to date. Two checkouts share what is kept.
build_console() {
    local key kept
    key=$(console_key)
    [ "$(cat "$TOP/build/console/.key" 2>/dev/null)" != "$key" ] || return 0
    kept=$KEEP/console-$key
    (
        flock 5
        npm_packages console-packages "$(console_packages)" web/console &&
            { [ -e "$kept/index.html" ] || make_console "$kept"; }
    ) 5>"$KEEP/fetch-console.lock" || return 1
    rm -rf "$TOP/build/console"
    mkdir -p "$TOP/build" && cp -r "$kept" "$TOP/build/console" && echo "$key" >"$TOP/build/console/.key"
    # older ones go: each is small, but every change of a word makes one
    find "$KEEP" -maxdepth 1 -name 'console-????????????????' -mtime +14 -exec rm -rf {} +
}
