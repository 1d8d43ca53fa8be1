# SPDX-License-Identifier: Apache-2.0
"""What is enumerated once, and the pages that must say the same: metrics and configuration keys."""

import re
import subprocess

METRICS = ("server/base/metrics.def", "docs/metrics.md")
CONFIG = ("server/config/config.def", "docs/configuration.md")


def metrics_are_documented(files, _remarks):
    table, page = METRICS
    if table not in files.names or page not in files.names:
        return
    rows = re.findall(r'BGW_(COUNTER|GAUGE|HISTOGRAM|SERIES)\(\s*[^,]+,\s*"((?:bgw|signalr)_[a-z0-9_]+)"', files.text(table))
    names = {name for _, name in rows}
    series = names | {n + s for k, n in rows if k == "HISTOGRAM" for s in ("_bucket", "_sum", "_count")}
    labels = re.compile(r"`\w+`: (?:`[^`|]*`(?:, )?)+")  # whose values may be called like metrics
    said = set(re.findall(r"\b(?:bgw|signalr)_[a-z0-9_]*[a-z0-9]\b", labels.sub("", files.text(page))))
    for name in sorted(names):
        yield f"{page}: {name}", [] if name in said else [f"is in {table} and not on the page"]
    for name in sorted(said - names):
        yield f"{page}: {name}", [] if name in series else [f"is on the page and not in {table}"]


def configuration_is_documented(files, _remarks):
    table, page = CONFIG
    if table not in files.names or page not in files.names:
        return
    rows = re.findall(r'^BGW_CONFIG_(?:STR|INT|BOOL)\(\w+,\s*"([A-Z0-9_]+)",\s*"([a-z0-9-]+)"',
                      files.text(table), re.M)
    keys, text = {key for key, _ in rows}, files.text(page)
    said = set(re.findall(r"\bBGW_[A-Z0-9_]*[A-Z0-9]\b", text))
    for key, flag in rows:
        bad = [] if re.search(rf"\b{key}\b", text) else [f"is in {table} and not on the page"]
        if f"--{flag}" not in text:
            bad.append(f"its flag --{flag} is not on the page")
        yield f"{page}: {key}", bad
    for key in sorted(said - keys):
        known = key.removesuffix("_FILE") in keys or key == "BGW_CONFIG"  # the file's name: no row
        yield f"{page}: {key}", [] if known else [f"is on the page and not in {table}"]


def pages_are_as_generated(files, _remarks):
    if "docs/generate" not in files.names:
        return
    done = subprocess.run(["python3", "docs/generate", "--check"], cwd=files.top, capture_output=True,
                          text=True, check=False)
    said = done.stderr.splitlines()
    yield "docs/generate --check", said if done.returncode else []


def container_is_fed_by_the_list(files, _remarks):
    """The Dockerfile is not built here; what can be seen without that is checked."""
    name, rows = "deploy/Dockerfile", files.lines("deploy/packages")
    text = files.text(name)
    stages = [line.split() for line in rows if line and not line.startswith("#")]
    yield f"{name}: USER", [] if re.search(r"^USER (?!root)\w+$", text.split("FROM")[-1], re.M) else ["runs as root"]
    yield f"{name}: trixie", [] if set(re.findall(r"^FROM (\S+)", text, re.M)) == {"debian:trixie-slim"} else [
        "is not made of debian:trixie-slim alone"]
    named = [p[0] for p in stages if re.search(rf"(?<![\w/.-]){re.escape(p[0])}(?![\w.-])",
                                               re.sub(r"^#.*$", "", text, flags=re.M)) and p[0] not in ("cmake", "file", "npm")]
    yield f"{name}: packages", [f"names {p} itself; deploy/packages is the list" for p in named]
    yield "deploy/packages", [f"{' '.join(p)}: not `name console|build|run|test`" for p in stages
                              if len(p) != 2 or p[1] not in ("console", "build", "run", "test")]


def operations_agree_with_the_tables(files, _remarks):
    """docs/operations.md is written by hand: the defaults, live marks and names in it are not."""
    page, lines = "docs/operations.md", files.lines("docs/operations.md")
    table, metrics = files.text(CONFIG[0]), files.text(METRICS[0])
    rows = {m[0]: m[1:] for m in re.findall(
        r'^BGW_CONFIG_(?:STR|INT|BOOL)\(\w+,\s*"([A-Z0-9_]+)",\s*"[a-z0-9-]+",\s*"?([^",]*)"?,', table, re.M)}
    ids = dict(re.findall(r'^BGW_CONFIG_(?:STR|INT|BOOL)\((\w+),\s*"([A-Z0-9_]+)"', table, re.M))
    live = {ids[i] for i in re.findall(r"^BGW_CONFIG_LIVE\((\w+)\)", table, re.M)}
    for cells in ([c.strip(" `") for c in line.split("|")[1:-1]] for line in lines if line.startswith("| `BGW_")):
        if len(cells) == 5:
            key, default, is_live = cells[:3]
            wrong = [] if rows.get(key, [None])[0] == default else [f"its default is {rows.get(key, ['?'])[0]}, not {default}"]
            yield f"{page}: {key}", wrong + ([] if (is_live == "yes") == (key in live) else ["is marked live wrongly"])
    text = files.text(page)
    for key in sorted(set(re.findall(r"\bBGW_[A-Z0-9_]*[A-Z0-9]\b", text))):
        yield f"{page}: names {key}", [] if key in rows else ["there is no such key"]
    for name, labels in sorted(set(re.findall(r"`(bgw_[a-z_]+)(?:\{(\w+=\"\w+\")\})?`", text))):
        value = labels.split("=")[-1].strip('"')
        known = f'"{name}"' in metrics and (not value or re.search(rf'\\?"{value}\\?"', metrics))
        yield f"{page}: {name} {labels}", [] if known else ["there is no such metric, or not with this label"]


def tests_named_on_the_security_page_exist(files, _remarks):
    page = "docs/security.md"
    if page not in files.names:
        return
    text = files.text(page)
    named = [f"tests/unit/{n}" for n in re.findall(r"`(\w+/\w+_test\.c)`", text)]
    named += [f"tests/integration/{n}" for n in re.findall(r"`(test_\w+\.py)`", text)]
    for words in re.findall(r"fuzzers? ((?:`\w+`(?:, )?)+)", text):
        named += [f"tests/fuzz/{n}.c" for n in re.findall(r"\w+", words)]
    for name in sorted(set(named)):
        yield f"{page}: {name}", [] if name in files.names else ["there is no such test"]


RULES = (container_is_fed_by_the_list, metrics_are_documented, configuration_is_documented,
         pages_are_as_generated, operations_agree_with_the_tables,
         tests_named_on_the_security_page_exist)
