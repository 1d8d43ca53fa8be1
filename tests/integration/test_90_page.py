# SPDX-License-Identifier: Apache-2.0
"""The first page in a real browser, with its content policy in force: what it shows is live, or says as of when."""

import json
import re

import pytest
from playwright.sync_api import expect, sync_playwright

from harness.gateway import Gateway
from harness.kafka import Feed
from harness.tokens import sign, token

CHROMIUM = "/usr/bin/chromium"
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]
SECONDS = 1000
LIVE = "tr[data-state=fresh]"
AS_OF = re.compile(r"^offline · as of \d\d:\d\d:\d\d$")
AMOUNT = re.compile(r"^(\d{1,3}(?:,\d{3})*)\.(\d\d) NGN$")


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

    def opener(gateway, **how):
        context = browser.new_context(**how)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15 * SECONDS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: "Content Security Policy" in line.text and complaints.append(line.text))
        page.goto(f"http://{gateway.listen}/")
        return page

    yield opener
    for context in contexts:
        context.close()
    assert not complaints, complaints


def sign_in(page, bearer, *accounts):
    page.get_by_label("Access token").fill(bearer)
    page.get_by_label("Accounts").fill("\n".join(accounts))
    page.get_by_role("button", name="Watch balances").click()


def row_of(page, account, currency=""):
    return page.locator("#rows tr").filter(has_text=re.compile(rf"^{re.escape(account)}.*{currency}"))


def balances(page):
    return page.locator("#rows td.balance").all_inner_texts()


def until_live(page, count=10):
    expect(page.locator("#link-text")).to_have_text("Live", timeout=15 * SECONDS)
    expect(page.locator(LIVE).nth(count - 1)).to_be_visible(timeout=15 * SECONDS)
    expect(page.locator(f"#rows tr:not({LIVE.removeprefix('tr')})")).to_have_count(0, timeout=15 * SECONDS)


def test_policy_allows_the_pages_own_files_only(gateway):
    for path in ("/", "/page.js", "/link.js", "/page.css", "/icon.svg"):
        status, headers, body = gateway.http(path)
        assert status == 200 and body
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
        assert "script-src" not in policy and "unsafe-eval" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"


def test_demo_is_live_moves_and_survives_a_killed_gateway(open_page):
    with Gateway(args=["--demo"]) as first:
        page = open_page(first)
        expect(page.locator("#banner")).to_contain_text("Demo, insecure")
        until_live(page)
        expect(page.locator("#rows td.change.up").first).to_have_text(re.compile(r"^▲ \+[\d,]+\.\d\d$"), timeout=15 * SECONDS)
        expect(page.locator("#rows td.change.down").first).to_have_text(re.compile(r"^▼ −[\d,]+\.\d\d$"), timeout=15 * SECONDS)
        assert all(AMOUNT.match(text) or text.endswith(" USD") for text in balances(page))
        address = first.listen
        first.kill()

        expect(page.locator("#link-text")).to_have_text(re.compile("^Offline"), timeout=5 * SECONDS)
        rows = page.locator("#rows tr")
        kept = balances(page)
        assert len(kept) >= 10 and "—" not in kept
        expect(rows.locator("td.freshness").filter(has_text=AS_OF)).to_have_count(rows.count())
        expect(page.locator(LIVE)).to_have_count(0)
        assert balances(page) == kept

    with Gateway(args=["--demo"], BGW_LISTEN=address):
        until_live(page)
        expect(rows.first.locator("td.balance")).not_to_have_text(kept[0], timeout=15 * SECONDS)
        expect(page).to_have_title("balance-gateway")


def test_without_demo_it_asks_for_a_token_and_refuses_a_wrong_one_in_words(gateway, open_page):
    page = open_page(gateway)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#live")).to_be_hidden()

    sign_in(page, "nonsense", "alice")
    expect(page.get_by_role("alert")).to_contain_text("This is not a token")
    sign_in(page, sign({"sub": "a", "exp": 4000000000}, secret="somebody else's, also of a good length"), "alice")
    expect(page.get_by_role("alert")).to_contain_text("not signed with a key that this gateway trusts")
    sign_in(page, token(["alice"], ttl=-600), "alice")
    expect(page.get_by_role("alert")).to_have_text("The token has expired.")
    expect(page.locator("#live")).to_be_hidden()
    expect(page.locator("#link-text")).to_have_text("Signed out")


def test_each_row_says_what_may_be_seen_and_amounts_are_exact(gateway, feed, open_page):
    feed.put("alice", 9007199254740993)
    feed.put("alice", -5, currency="KWD")
    feed.put("bob", 4200)
    feed.flush()
    page = open_page(gateway)
    sign_in(page, token(["alice"]), "alice", "bob")
    expect(row_of(page, "alice", "NGN").locator("td.balance")).to_have_text("90,071,992,547,409.93 NGN")
    expect(row_of(page, "alice", "KWD").locator("td.balance")).to_have_text("−0.005 KWD")
    expect(row_of(page, "bob").locator("td.balance")).to_have_text("—")
    expect(row_of(page, "bob").locator("td.freshness")).to_have_text("no access")
    expect(page.locator(LIVE)).to_have_count(2)
    expect(page.get_by_label("Access token")).to_have_value("")

    feed.put("alice", 9007199254740990)
    feed.flush()
    expect(row_of(page, "alice", "NGN").locator("td.change")).to_have_text("▼ −0.03")
    expect(row_of(page, "alice", "NGN").locator("td.balance")).to_have_text("90,071,992,547,409.90 NGN")

    page.get_by_role("button", name="Other accounts").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator(LIVE)).to_have_count(0)


def test_digest_of_the_page_is_the_gateways(open_page):
    with Gateway(BGW_MARK_S=1) as gateway:
        feed = Feed(gateway.bootstrap, readers=[gateway])
        feed.put("alice", 100)
        feed.put("alice", 7, currency="JPY")
        feed.flush()
        page = open_page(gateway)
        with page.expect_websocket() as opened:
            sign_in(page, token(["alice"]), "alice")
        said = []
        opened.value.on("framesent", lambda text: said.append(text))
        for _ in range(2):
            opened.value.wait_for_event("framereceived", lambda text: '"ev":"mark"' in text)
        expect(row_of(page, "alice", "JPY").locator("td.balance")).to_have_text("7 JPY")
        assert not [text for text in said if "repair" in text], said


def test_fits_a_phone(open_page):
    with Gateway(args=["--demo"]) as gateway:
        page = open_page(gateway, viewport={"width": 390, "height": 844}, color_scheme="dark")
        until_live(page)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
        for part in ("th.account", "td.balance", "td.change", "td.freshness"):
            expect(page.locator(f"#rows {part}").first).to_be_visible()


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
            self.say(ev="sub", id=1, ok=command["keys"], current=[], denied=[])
            for number, key in enumerate(command["keys"]):
                self.put(key, str(1000 + number), f"e.{number + 1}")
            self.say(ev="live", id=1)

    def say(self, **frame):
        self.socket.send(json.dumps(frame))

    def put(self, account, minor, v, currency="NGN"):
        self.say(ev="upd", u=[{"k": account, "v": v, "d": {"currency": currency, "minor": minor, "pendingMinor": "0"}}])


def scripted_page(open_page, gateway, *accounts):
    page = open_page(gateway)
    script = Scripted(page)
    page.clock.install()
    sign_in(page, "any", *accounts)
    until_live(page, len(accounts))
    return page, script


def test_every_state_is_said_in_words(gateway, open_page):
    page, script = scripted_page(open_page, gateway, "a", "b", "c", "d")
    script.say(ev="state", keys=["a"], state="delayed", reason="source_lagging", lag_ms=4000)
    script.say(ev="state", keys=["b"], state="stale", reason="source_lagging", lag_ms=40000)
    script.say(ev="state", keys=["c"], state="unknown", reason="no_such_account")
    script.say(ev="revoked", keys=["d"], reason="grant_removed")
    for account, words, balance in (("a", r"^delayed · as of [\d:]{8}$", "10.00 NGN"), ("b", r"^stale · as of [\d:]{8}$", "10.01 NGN"),
                                    ("c", "^no such account$", "—"), ("d", "^no access$", "—")):
        expect(row_of(page, account).locator("td.freshness")).to_have_text(re.compile(words))
        expect(row_of(page, account).locator("td.balance")).to_have_text(balance)

    script.put("a", "900", "e.9")  # newer, and no better proved
    expect(row_of(page, "a").locator("td.balance")).to_have_text("9.00 NGN")
    expect(row_of(page, "a").locator("td.freshness")).to_contain_text("delayed")
    script.put("a", "800", "e.8")  # older than what is shown
    script.say(ev="state", keys=["a", "b"], state="fresh")
    expect(row_of(page, "a").locator("td.freshness")).to_have_text("live")
    expect(row_of(page, "a").locator("td.balance")).to_have_text("9.00 NGN")
    script.say(ev="state", keys=["b"], state="removed")
    expect(row_of(page, "b").locator("td.freshness")).to_have_text("closed")
    expect(row_of(page, "b").locator("td.balance")).to_have_text("—")
    script.put("c", "0", "e.10")  # a zero that is known
    expect(row_of(page, "c").locator("td.balance")).to_have_text("0.00 NGN")


def test_a_silent_connection_is_asked_then_given_up(gateway, open_page):
    page, script = scripted_page(open_page, gateway, "a")
    page.clock.run_for(8 * SECONDS)
    expect(page.locator("#link-text")).to_have_text("Live")
    assert script.heard == ["hello", "sub", "ping"]
    for _ in range(60):  # in small steps: it soon tries again, and would be answered
        page.clock.run_for(SECONDS // 10)
        if page.locator("#link-text").inner_text().startswith("Offline"):
            break
    expect(page.locator("#link-text")).to_have_text(re.compile("^Offline"))
    expect(row_of(page, "a").locator("td.freshness")).to_have_text(AS_OF)
