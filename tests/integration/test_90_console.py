# SPDX-License-Identifier: Apache-2.0
"""The console in a real browser, with its content policy in force: what it shows is live, or says as of when."""

import gzip
import re

from playwright.sync_api import expect

from harness.console import (
    AS_OF,
    LIVE,
    SECONDS,
    balances,
    browser,
    bytes_of,
    open_page,
    row_of,
    scripted_page,
    sign_in,
    until_live,
)
from harness.gateway import Gateway
from harness.kafka import Feed, free_port
from harness.tokens import sign, token
from harness.wait import until

__all__ = ["browser", "open_page"]

AMOUNT = re.compile(r"^(\d{1,3}(?:,\d{3})*)\.(\d\d) NGN$")


def files_of(gateway):
    """Paths of the page and of all that it loads, at once or later."""
    paths, left = [], ["/"]
    while left:
        paths.append(left.pop())
        text = bytes_of(gateway, paths[-1])[1].decode()
        named = re.findall(r'(?:src|href)="(/[^"]+)"', text) + [f"/assets/{name}" for name in re.findall(r'["`]\./([\w-]+\.js)["`]', text)]
        left += [path for path in dict.fromkeys(named) if path not in [*paths, *left]]
    return paths


def test_policy_allows_the_consoles_own_files_only(gateway):
    paths = files_of(gateway)
    assert sum(path.endswith(".js") for path in paths) >= 1 and any(path.endswith(".css") for path in paths), paths
    index = bytes_of(gateway, "/")[1]
    assert b"<style" not in index and b"<script>" not in index
    for path in paths:
        headers, body = bytes_of(gateway, path)
        assert body
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
        assert "script-src" not in policy and "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        lasting = path.startswith("/assets/")
        assert headers["Cache-Control"] == ("public, max-age=31536000, immutable" if lasting else "no-cache")


def test_it_is_small_and_comes_packed_to_who_takes_that(gateway):
    total = 0
    for path in files_of(gateway):
        plain, body = bytes_of(gateway, path)
        headers, packed = bytes_of(gateway, path, **{"Accept-Encoding": "br, gzip;q=0.8"})
        assert headers["Content-Encoding"] == "gzip" and headers["Vary"] == plain["Vary"] == "Accept-Encoding"
        assert gzip.decompress(packed) == body and headers["ETag"] != plain["ETag"]
        assert gateway.http(path, headers={"Accept-Encoding": "gzip", "If-None-Match": headers["ETag"]})[0] == 304
        refused, same = bytes_of(gateway, path, **{"Accept-Encoding": "gzip;q=0, br"})
        assert "Content-Encoding" not in refused and same == body
        total += len(packed)
    assert 20_000 < total < 150_000, total


def test_demo_is_live_moves_and_survives_a_killed_gateway(open_page):
    address = f"127.0.0.1:{free_port()}"
    with Gateway(args=["--demo"], BGW_LISTEN=address) as first:
        page = open_page(first)
        expect(page.locator("#banner")).to_contain_text("Demo, insecure")
        until_live(page)
        expect(page.locator("#rows td.change .up").first).to_have_text(re.compile(r"^▲ \+[\d,]+\.\d\d$"), timeout=15 * SECONDS)
        expect(page.locator("#rows td.change .down").first).to_have_text(re.compile(r"^▼ −[\d,]+\.\d\d$"), timeout=15 * SECONDS)
        assert all(AMOUNT.match(text) or text.endswith(" USD") for text in balances(page))
        first.kill()

        expect(page.locator("#link-text")).to_have_text(re.compile("^Offline"), timeout=15 * SECONDS)
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
    expect(page.locator("#rows")).to_have_count(0)

    sign_in(page, "nonsense")
    expect(page.get_by_role("alert")).to_contain_text("This is not a token")
    sign_in(page, sign({"sub": "a", "exp": 4000000000}, secret="somebody else's, also of a good length"))
    expect(page.get_by_role("alert")).to_contain_text("not signed with a key that this gateway trusts")
    sign_in(page, token(["alice"], ttl=-600))
    expect(page.get_by_role("alert")).to_have_text("The token has expired.")
    expect(page.locator("#rows")).to_have_count(0)
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
    feed.put("alice", 9007199254740990)
    feed.flush()
    expect(row_of(page, "alice", "NGN").locator("td.change")).to_have_text("▼ −0.03")
    expect(row_of(page, "alice", "NGN").locator("td.balance")).to_have_text("90,071,992,547,409.90 NGN")

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Access token")).to_have_value("")
    expect(page.locator(LIVE)).to_have_count(0)
    page.reload()  # the token was in memory alone
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


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
        for part in ("th.account", "td.balance", "td.change", "td.freshness", "td.acts"):
            expect(page.locator(f"#rows {part}").first).to_be_visible()


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
    page.clock.run_for(7 * SECONDS)
    expect(page.locator("#link-text")).to_have_text("Live")
    assert script.heard == ["hello", "sub"]
    page.clock.run_for(4 * SECONDS)  # half of what the gateway lets pass between its own signs of life
    expect(row_of(page, "a").locator("td.freshness")).to_have_text(re.compile(r"^delayed · as of [\d:]{8}$"))
    until(lambda: page.title() and script.heard != ["hello", "sub"], what="the ping to come here")
    assert script.heard == ["hello", "sub", "ping"]
    for _ in range(60):  # in small steps: it soon tries again, and would be answered
        page.clock.run_for(SECONDS // 10)
        if page.locator("#link-text").inner_text().startswith("Offline"):
            break
    expect(page.locator("#link-text")).to_have_text(re.compile("^Offline"))
    expect(row_of(page, "a").locator("td.freshness")).to_have_text(AS_OF)
