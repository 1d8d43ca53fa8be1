# SPDX-License-Identifier: Apache-2.0
"""docs/api/ against the tables of the code, as text: the suite `integration` reads the documents as
what they are. And what pages refer to: files, headings, examples that a compiler takes."""

import os
import re
import shutil
import subprocess

OPENAPI, ASYNCAPI = "docs/api/openapi.yaml", "docs/api/asyncapi.yaml"
REFUSALS, TOKENS, CODES = "server/wire/refusal.def", "server/auth/auth.def", "docs/protocol.md"


def enumerated(text, name):
    """The values of `name: … enum:` one a line."""
    at = re.search(rf"^    {name}:\n((?:      .*\n|\n)+)", text, re.M)
    return re.findall(r"^ +- (\w+)$", at.group(1), re.M) if at else []


def refusals_by_status(files):
    rows = re.findall(r'^BGW_REFUSAL_ROW\(\w+, (\d+), "(\w+)"', files.text(REFUSALS), re.M)
    wanted = {status: {code for s, code in rows if s == status} for status, _ in rows}
    wanted["401"] |= token_codes(files)
    return wanted


def token_codes(files):
    return set(re.findall(r'^BGW_AUTH_ROW\(\w+, "(\w+)"', files.text(TOKENS), re.M))


def refusals_are_in_the_document(files, _remarks):
    text, wanted = files.text(OPENAPI), refusals_by_status(files)
    said = set(re.findall(r"^    Problem(\d+):$", text, re.M))
    yield f"{OPENAPI}: refusals", [] if len(wanted) > 10 else ["the table of refusals could not be read"]
    for status in sorted(said | set(wanted)):
        have = set(enumerated(text, f"Problem{status}"))
        bad = [f"{code} is in {REFUSALS} and not in Problem{status}" for code in sorted(wanted.get(status, set()) - have)]
        bad += [f"Problem{status} has {code}, which is in no table" for code in sorted(have - wanted.get(status, set()))]
        yield f"{OPENAPI}: Problem{status}", bad


def codes_of_tokens_are_in_the_document(files, _remarks):
    have, page = set(enumerated(files.text(ASYNCAPI), "CommandCode")), files.text(CODES)
    for code in sorted(token_codes(files) | have):
        yield f"{ASYNCAPI}: {code}", [] if code in have else [f"is in {TOKENS} and not a CommandCode"]
        yield f"{CODES}: {code}", [] if f"`{code}`" in page else ["is not on the page"]


def inline(text, name):
    """The values of `name: {enum: [a, b]}`."""
    at = re.search(rf"^    {name}: \{{enum: \[(.*?)\]", text, re.M)
    return set(re.split(r", *", at.group(1))) if at else set()


def words_of_the_code_are_in_the_document(files, _remarks):
    """States, reasons and close codes, each from where it is enumerated."""
    types, metrics, text = files.text("server/feed/types.c"), files.text("server/base/metrics.def"), files.text(ASYNCAPI)
    reasons = types.partition("bgw_reason_text")[2].partition("bgw_assert_fail")[0]
    states = types.partition("bgw_slot_state_text")[2].partition("bgw_assert_fail")[0]
    returned = r'return "(\w+)"'
    for name, wanted in (("State", set(re.findall(returned, states))),
                         ("Reason", set(re.findall(returned, reasons)) - {"no_such_key"} | {"no_such_account"}),
                         ("CloseCode", set(re.findall(r"^BGW_CLOSE_\((3\d+),", metrics, re.M)))):
        have = inline(text, name)
        bad = [] if len(wanted) > 3 else ["the table could not be read"]
        bad += [f"{word} is in the code and not in {name}" for word in sorted(wanted - have)]
        yield f"{ASYNCAPI}: {name}", bad + [f"{name} has {word}, which the code does not say" for word in sorted(have - wanted)]


def routes_are_in_the_document(files, _remarks):
    """Each path that stands in the table of routes is documented, and the other way round."""
    paths = re.findall(r"^  (/\S*):$", files.text(OPENAPI), re.M)
    code = re.sub(r"^ ?\*.*$|/\*.*\*/", "", files.text("server/wire/api.c"), flags=re.M)
    routes = set(re.findall(r'"(/[a-z][a-z0-9_./-]*)"', code))
    yield f"{OPENAPI}: routes", [] if len(routes) > 5 else ["the table of routes could not be read"]
    for route in sorted(routes):
        yield f"{OPENAPI}: {route}", [] if any(route in p for p in paths) else ["is a route and not documented"]
    for path in paths:
        pieces = [p for p in re.split(r"\{\w+\}", path) if p != "/"]
        missing = [p for p in pieces if not any(p == r or p.startswith(r) and p[len(r):] in routes for r in routes)]
        yield f"{OPENAPI}: {path}", [f"{p} is not in server/wire/api.c" for p in missing]


def headings(text):
    """The anchors of a page, as GitHub makes them."""
    text = re.sub(r"^( *)```.*?^\1```", "", text, flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


def links_lead_somewhere(files, _remarks):
    for page in files.match("*.md"):
        bad = []
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|`[^`\n]*`", "", files.text(page), flags=re.S)):
            name, _, anchor = target.partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            path = os.path.normpath(os.path.join(os.path.dirname(page), name)) if name else page
            if not (files.top / path).exists():
                bad.append(f"{target}: there is no such file")
            elif anchor and path.endswith(".md") and anchor not in headings(files.text(path)):
                bad.append(f"{target}: there is no such heading")
        yield f"{page}: links", bad


def javascript_compiles(files, remarks):
    if not shutil.which("node"):
        remarks.append("node is not installed")
        yield "node --check", ["is not installed: run ./dev lint"]
        return
    for name in files.match("*.mjs"):
        done = subprocess.run(["node", "--check", name], cwd=files.top, capture_output=True, text=True, check=False)
        yield name, done.stderr.splitlines()[:3] if done.returncode else []
    for page in files.match("*.md"):
        for i, block in enumerate(re.findall(r"^```js\n(.*?)^```", files.text(page), re.M | re.S), 1):
            done = subprocess.run(["node", "--input-type=module", "--check", "-"], input=block, cwd=files.top, capture_output=True,
                                  text=True, check=False)
            yield f"{page}: block {i} of JavaScript", done.stderr.splitlines()[:3] if done.returncode else []


RULES = (refusals_are_in_the_document, codes_of_tokens_are_in_the_document, words_of_the_code_are_in_the_document,
         routes_are_in_the_document,
         links_lead_somewhere, javascript_compiles)
