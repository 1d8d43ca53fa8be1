# SPDX-License-Identifier: Apache-2.0
"""The console in a real Chromium: the browser, a page of a gateway, its rows, and a gateway whose words the test says."""

import json
import re
import urllib.request

import pytest
from playwright.sync_api import expect, sync_playwright

__all__ = ["ARGS", "AS_OF", "CHROMIUM", "LIVE", "SECONDS", "Scripted", "balances", "browser", "bytes_of", "open_page", "row_of", "scripted_page",
           "sign_in", "until_live"]

CHROMIUM = "/usr/bin/chromium"
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]
SECONDS = 1000
LIVE = "tr[data-state=fresh]"
AS_OF = re.compile(r"^offline · as of \d\d:\d\d:\d\d$")
expect.set_options(timeout=15 * SECONDS)  # a condition that says no time of its own


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser):
    """Opens the page of a gateway; at the end, no script may have failed and no policy been broken."""
    contexts, complaints = [], []

    def opener(gateway, path="/", **how):
        context = browser.new_context(**how)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15 * SECONDS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: "Content Security Policy" in line.text and complaints.append(line.text))
        page.goto(f"http://{gateway.listen}{path}")
        return page

    yield opener
    for context in contexts:
        context.close()
    assert not complaints, complaints


def bytes_of(gateway, path, **headers):
    """(headers, body) as they are on the wire."""
    request = urllib.request.Request(f"http://{gateway.listen}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as reply:
        return reply.headers, reply.read()


def sign_in(page, bearer, *accounts):
    page.get_by_label("Access token").fill(bearer)
    page.get_by_role("button", name="Sign in").click()
    if accounts:
        page.get_by_role("searchbox").fill(" ".join(accounts))
        page.get_by_role("button", name="Watch", exact=True).click()


def row_of(page, account, currency=""):
    name = re.compile(rf"^{re.escape(account)}(, {currency or '...'})?$")
    return page.locator("#rows tr").filter(has=page.locator("th", has_text=name))


def balances(page):
    return page.locator("#rows td.balance").all_inner_texts()


def until_live(page, count=10, link_s=15):
    expect(page.locator("#link-text")).to_have_text("Live", timeout=link_s * SECONDS)
    expect(page.locator(LIVE).nth(count - 1)).to_be_visible()
    expect(page.locator("#rows tr:not([data-state=fresh])")).to_have_count(0)


class Scripted:
    """A gateway's words, said by the test to the page: states that a real one takes long to reach."""

    def __init__(self, page):
        self.heard, self.socket = [], None
        page.route_web_socket("**/ws", self.accept)

    def accept(self, socket):
        self.socket = socket
        socket.on_message(self.answer)

    def answer(self, text):
        command = json.loads(text)
        self.heard.append(command["op"])
        if command["op"] == "hello":
            self.say(ev="hello", conn="c", ping_s=20, epoch="e", server="scripted")
        if command["op"] == "sub":
            self.say(ev="sub", id=command["id"], ok=command["keys"], current=[], denied=[])
            for number, key in enumerate(command["keys"]):
                self.put(key, str(1000 + number), f"e.{number + 1}")
            self.say(ev="live", id=command["id"])

    def say(self, **frame):
        self.socket.send(json.dumps(frame, separators=(",", ":")))

    def put(self, account, minor, v, currency="NGN", **more):
        self.say(ev="upd", u=[{"k": account, "v": v, "d": {"currency": currency, "minor": minor, "pendingMinor": "0", **more}}])


def scripted_page(open_page, gateway, *accounts):
    page = open_page(gateway)
    script = Scripted(page)
    page.clock.install()
    sign_in(page, "any", *accounts)
    until_live(page, len(accounts))
    return page, script
