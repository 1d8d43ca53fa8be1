# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Sourced by ./dev: where things run. find_system sets ROOT (empty: the host itself) and SYSTEM (what
# it is, so that a build made on another one is not trusted), making the root when it is missing.

RECIPE=1 # raised when what is below makes a different root
SYSTEM_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

packages() { awk '!/^#/ && NF { print $1 }' "$TOP/deploy/packages"; }

find_system() {
    # shellcheck disable=SC1091
    local id version
    id=$(. /etc/os-release 2>/dev/null; echo "${ID:-}")
    version=$(. /etc/os-release 2>/dev/null; echo "${VERSION_ID:-0}")
    mkdir -p "$KEEP" || die "cannot make the cache directory $CACHE (BGW_CACHE names another)"
    CACHE=$(cd "$CACHE" && pwd -P)
    KEEP=$CACHE/keep
    if [ "$id" = debian ] && [ "${version%%.*}" -ge 13 ]; then
        ROOT=
        SYSTEM=debian-$version
        install_packages
        return
    fi
    SYSTEM=root-$(root_key)
    ROOT=$CACHE/$SYSTEM
    [ "$(id -u)" = 0 ] || no_root "this host is not Debian 13, and making one takes root"
    [ -e "$ROOT" ] || make_root
}

no_root() {
    cat >&2 <<END
dev: $1. Run ./dev as root, or in a container:
  docker run --rm -it --network host -v "$TOP:$TOP" -v bgw-cache:/root/.cache -w "$TOP" debian:trixie ./dev up
END
    exit 1
}

# Debian 13 or newer: the host is the system.
install_packages() {
    local missing stamp
    stamp=$KEEP/packages-$(packages | cksum | tr -d ' ')
    [ ! -e "$stamp" ] || return 0
    missing=$(comm -23 <(packages | sort) \
        <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | awk '$1 == "ii" { print $2 }' | sort) | xargs)
    if [ -n "$missing" ]; then
        [ "$(id -u)" = 0 ] || no_root "packages are missing (sudo apt-get install --no-install-recommends $missing)"
        # shellcheck disable=SC2086 # a list of names
        step packages env DEBIAN_FRONTEND=noninteractive sh -c \
            'apt-get update && apt-get install -y --no-install-recommends "$@"' sh $missing || exit 1
    fi
    touch "$stamp"
}

# The package list, the recipe and the certificates that were put in decide which root it is.
root_key() {
    { echo "$RECIPE"; packages; cat /usr/local/share/ca-certificates/*.crt 2>/dev/null; } |
        sha256sum | cut -c1-12
}

make_root() {
    unshare -m true 2>/dev/null || no_root "mount namespaces are not allowed here"
    (
        # shellcheck disable=SC2034 # step's
        LOGS=$CACHE/log
        flock -n 9 || { say "another ./dev is making the Debian 13 root; waiting"; flock 9; }
        [ ! -e "$ROOT" ] || exit 0
        say "making a Debian 13 root in $ROOT (once; some minutes and 2.5 GB)"
        rm -rf --one-file-system -- "$CACHE"/root-*.new
        step root-bootstrap bootstrap "$ROOT.new" || exit 1
        step root-network pass_network "$ROOT.new" || exit 1
        step root-packages root_install "$ROOT.new" || exit 1
        mv "$ROOT.new" "$ROOT"
    ) 9>"$CACHE/lock" || exit 1
}

# The host's own Debian source; without one (another distribution) debootstrap's default.
debian_source() {
    cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
        awk '$1 == "URIs:" { print $2 } $1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) print $i }' |
        grep '/debian/\{0,1\}$' | head -n 1
}

bootstrap() {
    if ! command -v debootstrap >/dev/null; then
        command -v apt-get >/dev/null || { echo "install debootstrap first, with this system's package manager"; return 1; }
        apt-get update && apt-get install -y --no-install-recommends debootstrap || return 1
    fi
    local source
    source=$(debian_source)
    debootstrap --variant=minbase --include=ca-certificates trixie "$1" ${source:+"$source"}
}

# What a machine needs to reach the package servers: apt's, npm's and pip's settings, certificates.
pass_network() {
    local root=$1 file
    mkdir -p "$root/etc/apt/apt.conf.d" "$root/usr/local/share/ca-certificates" "$root/root/.config"
    for file in resolv.conf hosts; do rm -f "$root/etc/$file" && cat "/etc/$file" >"$root/etc/$file"; done
    grep -lsE '^[^#/]*(Acquire|APT::Authentication)' /etc/apt/apt.conf /etc/apt/apt.conf.d/* |
        while read -r file; do cp -L "$file" "$root/etc/apt/apt.conf.d/"; done
    cp -RL /etc/apt/auth.conf /etc/apt/auth.conf.d "$root/etc/apt/" 2>/dev/null
    find /usr/local/share/ca-certificates -name '*.crt' -exec cp -L {} "$root/usr/local/share/ca-certificates/" \;
    env | sed -n 's/^[A-Z_]*\(_CA\|CERT\)[A-Z_]*=\(\/.*\)/\2/p' | sort -u | while read -r file; do
        # a bundle somewhere else: programs look for it there, and Java in the system's store
        [ -f "$file" ] && [ ! -e "$root$file" ] && install -D -m 644 "$file" "$root$file" &&
            cp "$file" "$root/usr/local/share/ca-certificates/env-$(basename "$file" .pem).crt"
    done
    for file in .npmrc .pip .config/pip .config/go .m2/settings.xml; do
        [ ! -e "$HOME/$file" ] || { mkdir -p "$root/root/$(dirname "$file")" && cp -RL "$HOME/$file" "$root/root/$file"; }
    done
    [ ! -e /etc/pip.conf ] || cp -L /etc/pip.conf "$root/etc/pip.conf"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod 755 "$root/usr/sbin/policy-rc.d"
    (root_exec "$root" env PATH="$SYSTEM_PATH" update-ca-certificates)
}

root_install() {
    # shellcheck disable=SC2046 # a list of names
    (root_exec "$1" env PATH="$SYSTEM_PATH" HOME=/root DEBIAN_FRONTEND=noninteractive sh -c '
        apt-get update &&
        apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io "$@" &&
        apt-get clean' sh $(packages))
}

# root_exec ROOT CMD…: becomes CMD inside ROOT, in the current directory. The mounts belong to a
# namespace of their own: they vanish with the command, and nothing outside ever sees them.
root_exec() {
    local root=$1
    shift
    unset PIP_FIND_LINKS # a host's directory
    # shellcheck disable=SC2016
    exec unshare -m --propagation slave sh -ec '
        root=$1 top=$2 keep=$3; shift 3
        for d in /proc /sys /dev /tmp; do mount --rbind "$d" "$root$d"; done
        for f in /etc/resolv.conf /etc/hosts; do mount --bind "$f" "$root$f"; done
        for d in "$top" "$keep"; do
            case $d/ in /tmp/*) ;; *) mkdir -p "$root$d"; mount --rbind "$d" "$root$d" ;; esac
        done
        exec chroot "$root" sh -c '\''cd "$1" 2>/dev/null || cd /; shift; exec "$@"'\'' sh "$PWD" "$@"
    ' sh "$root" "$TOP" "$KEEP" "$@"
}
