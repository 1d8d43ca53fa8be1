# SPDX-License-Identifier: Apache-2.0
"""The map of server/README.md: a room includes only what stands below it, and each library is
named by as few files as it can be."""

import re

# room -> the rooms straight below it; what is below those is allowed too
BELOW = {
    "base": [],
    "config": ["base"],
    "loop": ["base"],
    "redis": ["loop"],
    "feed": ["loop"],
    "hub": ["feed"],
    "ingest": ["hub", "config"],
    "read": ["hub", "config", "redis"],
    "project": ["ingest", "redis"],
    "access": ["hub"],
    "shard": ["access"],
    "auth": ["access", "config"],
    "tls": ["config"],
    "ops": ["shard", "auth", "tls"],
    "wire": ["ops", "shard", "auth", "tls"],
    "demo": ["ingest", "auth"],
    "gateway": ["wire", "ops", "ingest", "read", "demo"],
    "cli": ["gateway", "project"],
    "main": ["cli"],
}

# include/bgw/<header>.h -> its room, where no room of that name exists
HEADERS = {
    **dict.fromkeys(("assert", "assets", "base64", "blob", "buf", "bugs", "clock", "hash", "json", "list", "log",
                     "map", "metrics", "net", "pool", "reserve", "slice", "status", "version"), "base"),
    **dict.fromkeys(("mailbox", "wheel"), "loop"),
    "types": "feed",
    "relay": "hub",
    "dialect": "shard",
    "policy": "config",
    "flags": "config",
    "sources": "hub",
    "revocations": "access",
    "url_watch": "read",
    "kafka_group": "ingest",
    "process": "gateway",
    **dict.fromkeys(("audit", "health", "notify", "ops_view"), "ops"),
    **dict.fromkeys(("attachments", "http", "quota", "transport", "worker", "ws_codec"), "wire"),
}

# library header -> the files that may name it
LIBRARIES = {
    r"librdkafka/": r"server/ingest/|bench/(?:swarm|feed)/",
    r"libwebsockets": r"server/wire/transport\w*\.[ch]$",
    r"llhttp": r"server/wire/http\w*\.[ch]$",
    r"openssl/": r"bench/(?:swarm|baseline)/|server/auth/|server/tls/|server/ops/admin_tls\.c$|server/redis/link_tls\.c$",
    r"cjson/|cJSON": r"server/config/",
    r"hiredis/": r"server/redis/link\w*\.[ch]$",
    r"libpq|postgresql/": r"server/read/origin_pg\w*\.[ch]$",
    r"curl/": r"server/read/http_client\w*\.[ch]$",
}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)


def reachable(room):
    seen, todo = set(), [room]
    while todo:
        at = todo.pop()
        if at not in seen:
            seen.add(at)
            todo += BELOW[at]
    return seen


def room_of(name):
    parts = name.split("/")
    if parts[0] == "include":
        return room_of_header(parts[-1][:-2])
    if len(parts) == 2:
        return "main" if parts[1] == "main.c" else "gateway"
    return parts[1]


def room_of_header(stem):
    return HEADERS.get(stem) or (stem if stem in BELOW else None)


def includes_only_what_stands_below(files, _remarks):
    for name in files.match("server/*.[ch]", "include/*.h"):
        yield name, list(complaints_of(files, name))


def complaints_of(files, name):
    room = room_of(name)
    if room not in BELOW:
        yield "belongs to no room: add it to tests/lint/rooms.py"
        return
    allowed = reachable(room)
    for kind, path in INCLUDE.findall(files.text(name)):
        if kind == "<":
            continue
        if path.startswith("bgw/"):
            other = room_of_header(path[4:-2])
            if other is None:
                yield f'"{path}" belongs to no room: add it to tests/lint/rooms.py'
            elif other not in allowed:
                yield f'"{path}" belongs to {other}, which does not stand below {room}'
        elif path.startswith("../../server/") and path.endswith(".def") and name.startswith("include/"):
            if path.split("/")[3] != room:
                yield f'"{path}" is another room\'s table'
        elif "/" in path:
            yield f'"{path}" reaches into another room; its header in include/bgw is the contract'


def libraries_stay_behind_their_files(files, _remarks):
    for name in files.match("server/*.[ch]", "include/*.h", "bench/*.[ch]"):
        bad = []
        for kind, path in INCLUDE.findall(files.text(name)):
            for library, allowed in LIBRARIES.items():
                if kind == "<" and re.match(library, path) and not re.match(allowed, name):
                    bad.append(f"<{path}> may be included only by {allowed}")
        yield name, bad


RULES = (includes_only_what_stands_below, libraries_stay_behind_their_files)
