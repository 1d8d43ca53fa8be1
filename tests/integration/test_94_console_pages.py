# SPDX-License-Identifier: Apache-2.0
"""The console's pages in a real browser: keys, lists of accounts, one account, the gateway, the five languages, snippets; networks
that go away and come back; and what a screen reader's user needs of each page, by axe."""

import json
import os
import pathlib
import re
import time

import pytest
from playwright.sync_api import expect

from harness.console import AS_OF, LIVE, SECONDS, Scripted, balances, browser, open_page, row_of, scripted_page, sign_in, until_live
from harness.fixtures import feed, gateway
from harness.gateway import Gateway
from harness.kafka import Feed, free_port
from harness.redis import Redis
from harness.tokens import sign, token

__all__ = ["browser", "feed", "gateway", "open_page"]

HIDDEN = "•••••"
AMOUNTS = """() => {
    window.seen = {};
    const look = () => {
        for (const row of document.querySelectorAll('#rows tr')) {
            const [name, text] = [row.querySelector('th a').innerText, row.querySelector('td.balance').innerText];
            const all = window.seen[name] ??= [];
            if (all.at(-1) !== text) all.push(text);
        }
    };
    look();
    new MutationObserver(look).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""


def staff(ttl=600):
    return sign({"sub": "staff", "exp": int(time.time() + ttl), "scope": "accounts.read.all ops.read"})


def names(page):
    return page.locator("#rows th a")


def at(page):
    return page.locator("#rows tr[data-at] th a")


def visit(page, name):
    page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()


def tile(page, name):
    return page.locator(".tile").filter(has=page.get_by_role("heading", name=name, exact=True)).locator(".value")


def open_signed_in(open_page, gateway, feed, *accounts, **how):
    for number, account in enumerate(accounts, 1):
        feed.put(account, number * 100)
    feed.flush()
    page = open_page(gateway, **how)
    sign_in(page, staff(), *accounts)
    until_live(page, len(accounts))
    return page


# ---- Live ----

# before the browser has drawn a frame, in which it takes the focus from what has gone
ENTER_AS_SOON_AS_CLOSED = """() => {
    document.querySelector('dialog[open]').close();
    document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }));
}"""


def test_everything_is_at_hand_on_the_keyboard(gateway, feed, open_page):
    page = open_signed_in(open_page, gateway, feed, "k1", "k2", "k3", "k4")
    feed.put("k5", 500)
    feed.put("k1", 101)
    feed.flush()
    keys = page.keyboard
    page.get_by_role("heading", name="Live balances").click()
    keys.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    keys.type("k5")
    keys.press("Enter")
    expect(row_of(page, "k5").locator("td.balance")).to_have_text("5.00 NGN")
    keys.type("j?")  # into the field
    expect(page.get_by_role("searchbox")).to_have_value("j?")
    keys.press("Escape")
    expect(page.get_by_role("searchbox")).to_have_value("")
    expect(page.get_by_role("searchbox")).not_to_be_focused()

    for key, name in (("j", "k1"), ("ArrowDown", "k2"), ("j", "k3"), ("k", "k2"), ("ArrowUp", "k1"), ("k", "k1"), ("j", "k2"), ("j", "k3")):
        keys.press(key)
        expect(at(page)).to_have_text(name)
    keys.press("p")
    expect(names(page)).to_have_text(["k3", "k1", "k2", "k4", "k5"])
    expect(page.get_by_role("button", name="Pin k3/NGN")).to_have_attribute("aria-pressed", "true")
    keys.press("j")
    keys.press("x")
    expect(names(page)).to_have_text(["k3", "k2", "k4", "k5"])
    expect(at(page)).to_have_text("k2")

    keys.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    keys.press("Enter")
    expect(page.get_by_role("heading", name="k2/NGN")).to_be_visible()
    keys.press("1")
    expect(page.locator("#rows tr")).to_have_count(4)
    keys.press("j")
    expect(at(page)).to_have_text("k3")
    keys.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.evaluate(ENTER_AS_SOON_AS_CLOSED)
    expect(page.get_by_role("heading", name="k3/NGN")).to_be_visible()
    for key, name in (("3", "Gateway"), ("4", "Try it"), ("5", "Connect"), ("1", "Live"), ("2", "Account")):
        keys.press(key)
        expect(page.get_by_role("link", name=name, exact=True)).to_have_attribute("aria-current", "page")


def test_hidden_amounts_are_hidden_everywhere(gateway, feed, open_page):
    page = open_signed_in(open_page, gateway, feed, "h1", "h2")
    feed.put("h1", 987654)
    feed.flush()
    expect(row_of(page, "h1").locator("td.balance")).to_have_text("9,876.54 NGN")
    expect(page.locator("#rows svg path")).to_have_count(1)
    page.get_by_role("heading", name="Live balances").click()
    page.keyboard.press("h")
    expect(page.locator("#rows td.balance")).to_have_text([f"{HIDDEN} NGN"] * 2)
    expect(page.locator("#rows svg")).to_have_count(0)
    assert "9,876" not in page.inner_text("body") and "9,875" not in page.inner_text("body")
    row_of(page, "h1").locator("th a").click()
    expect(page.locator(".big")).to_contain_text(HIDDEN)
    page.get_by_role("button", name="Read now").click()
    expect(page.locator("pre")).to_contain_text(f'"minor":"{HIDDEN}"')
    expect(page.locator(".chart")).to_have_count(0)
    visit(page, "Try it")
    page.get_by_label("Account").fill("h1")
    for language in ("Native", "SignalR", "App frames", "REST"):
        page.get_by_role("tab", name=language).click()
        page.get_by_role("button", name="Clear").click()
        page.get_by_role("button", name={"REST": "Balance"}.get(language, "Subscribe"), exact=True).click()
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".frames")).to_contain_text(HIDDEN)
        assert "987654" not in page.inner_text("body")
    page.reload()
    sign_in(page, staff())
    expect(page.get_by_label("Account")).to_be_visible()
    page.get_by_role("heading", name="Try it").click()
    page.keyboard.press("h")
    page.keyboard.press("1")
    expect(row_of(page, "h1").locator("td.balance")).to_have_text("9,876.54 NGN")


def test_a_list_is_pasted_and_what_is_no_account_is_said(gateway, open_page):
    page = open_page(gateway, permissions=["clipboard-read", "clipboard-write"])
    sign_in(page, staff())
    expect(page.get_by_role("heading", name="Nothing is watched yet")).to_be_visible()
    page.evaluate("text => navigator.clipboard.writeText(text)", "\n".join(f"list-{i:02}" for i in range(30)) + "\n")
    page.get_by_role("searchbox").focus()
    page.keyboard.press("Control+V")
    expect(page.get_by_role("searchbox")).to_have_value(re.compile("^list-00 .*list-29$"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Watching")).to_have_text("Watching 30 more accounts.")
    expect(page.locator("#rows tr")).to_have_count(30)
    expect(page.locator("#rows tr[data-state=unknown]")).to_have_count(30)
    expect(page.locator("#rows td.freshness")).to_have_text(["source unavailable"] * 30)
    assert set(balances(page)) == {"—"}

    search = page.get_by_role("searchbox")
    search.fill("good-1, <b>bad</b>; good-2/USD good-3/usd list-01")
    search.press("Enter")
    expect(page.locator(".told")).to_have_text("Not an account: <b>bad</b>, good-3/usd")
    expect(search).to_have_value("<b>bad</b> good-3/usd")
    search.fill("list-1")
    expect(page.locator("#rows tr")).to_have_count(10)
    search.fill("nobody-has-this")
    expect(page.locator("#rows tr")).to_have_count(0)
    expect(page.get_by_text("No watched balance has “nobody-has-this” in its name.")).to_be_visible()
    search.fill("good")
    expect(names(page)).to_have_text([re.compile("^good-1$"), re.compile("^good-2(/USD)?$")])
    search.fill("list-01")
    search.press("Enter")
    expect(page.locator(".told")).to_have_text("Already watched.")
    expect(page.locator("#rows tr")).to_have_count(32)


def test_a_kept_token_brings_accounts_and_pins_back_after_a_reload(gateway, feed, open_page):
    page = open_page(gateway)
    feed.put("r1", 100)
    feed.put("r1", 7, currency="JPY")
    feed.put("r2", 200)
    feed.flush()
    page.get_by_label("Keep it until this tab is closed").check()
    sign_in(page, staff(), "r1", "r2")
    until_live(page, 3)
    page.get_by_role("button", name="Pin r2/NGN").click()
    row_of(page, "r1", "JPY").locator("th a").click()
    expect(page.get_by_role("heading", name="r1/JPY")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="r1/JPY")).to_be_visible()
    expect(page.locator(".big")).to_have_text("7 JPY")
    visit(page, "Live")
    until_live(page, 3)
    expect(names(page)).to_have_text(["r2", "r1", "r1"])
    page.get_by_role("button", name="Sign out").click()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(page, staff())
    expect(page.get_by_role("heading", name="Nothing is watched yet")).to_be_visible()  # who came next does not see who was looked at


def test_an_account_and_its_currency_may_both_be_watched(gateway, feed, open_page):
    feed.put("both", 200, currency="USD")
    page = open_signed_in(open_page, gateway, feed, "both")
    expect(page.locator(LIVE)).to_have_count(2)
    page.get_by_role("searchbox").fill("both/USD")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator(".told")).to_have_text("Watching both/USD.")
    expect(page.locator("#rows tr")).to_have_count(2)
    page.get_by_role("button", name="Stop watching both", exact=True).first.click()
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#rows td.balance")).to_have_text("2.00 USD")


# ---- Account ----

def test_an_account_tells_its_versions_and_what_rest_says(gateway, feed, open_page):
    page = open_signed_in(open_page, gateway, feed, "acc")
    row_of(page, "acc").locator("th a").click()
    expect(page.get_by_text("Its first change will begin a line here.")).to_be_visible()
    name = "<img src=x onerror=document.title='broken'>"
    feed.put("acc", 250, txnId=name, ts=int(time.time() * 1000))
    feed.flush()
    rows = page.locator(".versions tbody tr")
    expect(rows).to_have_count(2)
    feed.put("acc", -125)
    feed.flush()
    expect(rows).to_have_count(3)
    expect(page.locator(".big")).to_have_text("−1.25 NGN")
    for row, cells in ((0, ["−1.25 NGN", "−3.75"]), (1, ["2.50 NGN", "+1.50", name]), (2, ["1.00 NGN"])):
        for cell in cells:
            expect(rows.nth(row).get_by_text(cell, exact=True)).to_have_count(1)
    versions = page.locator(".versions td:nth-child(2)").all_inner_texts()
    assert [v.split(".")[1] for v in versions] == ["3", "2", "1"]
    expect(page.locator(".chart canvas")).to_be_visible()
    expect(page).to_have_title("balance-gateway")

    page.get_by_role("button", name="Read now").click()
    read = page.locator("section").filter(has=page.get_by_role("heading", name="Read over REST"))
    expect(read.locator("dl")).to_contain_text("200")
    expect(read.locator("dl")).to_contain_text("x-balance-source\nstream", use_inner_text=True)
    expect(read.locator("dl")).to_contain_text("x-cache-status\nHIT", use_inner_text=True)
    assert json.loads(read.locator("pre").inner_text())["minor"] == -125
    page.get_by_role("button", name="Read, proved current").click()
    expect(read.locator("dl")).to_contain_text("x-cache-status\nBYPASS", use_inner_text=True)

    page.goto(f"http://{gateway.listen}/#/account/no%20account%20at%20all")
    expect(page.get_by_role("heading", name="No account yet")).to_be_visible()


# ---- Gateway ----

def test_the_gateway_page_sees_redis_go_and_come(open_page):
    with Redis() as redis, Gateway(**redis.settings) as gw:
        page = open_page(gw)
        sign_in(page, staff())
        visit(page, "Gateway")
        expect(tile(page, "This replica")).to_have_text("ready", timeout=10 * SECONDS)
        expect(tile(page, "Redis")).to_have_text("up")
        expect(tile(page, "Invalidations")).to_have_text("up")
        expect(tile(page, "Origin")).to_have_text("off")
        expect(tile(page, "Connections")).to_have_text(re.compile(r"^[2-9]$"))
        redis.kill9()
        expect(tile(page, "Redis")).to_have_text("down", timeout=8 * SECONDS)
        expect(tile(page, "This replica")).to_have_text("degraded", timeout=8 * SECONDS)
        expect(page.locator("#parts")).to_contain_text("Redis is away", timeout=10 * SECONDS)
        redis.restart()
        expect(tile(page, "Redis")).to_have_text("up", timeout=15 * SECONDS)
        expect(tile(page, "This replica")).to_have_text("ready", timeout=15 * SECONDS)
        expect(page.locator(".chart canvas")).to_have_count(4)


def test_the_gateway_page_needs_its_scope_and_greys_what_is_old(open_page):
    address = f"127.0.0.1:{free_port()}"
    with Gateway(BGW_LISTEN=address) as gw:
        page = open_page(gw)
        sign_in(page, token(everything=True))
        visit(page, "Gateway")
        expect(page.get_by_role("heading", name="No access")).to_be_visible()
        expect(page.get_by_text("it needs the scope ops.read")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        sign_in(page, staff())
        expect(tile(page, "This replica")).to_have_text("ready")
        expect(page.locator("[data-old]")).to_have_count(0)
        gw.kill()
        expect(page.get_by_role("alert")).to_have_text("This gateway does not answer; what stands here is from before.", timeout=10 * SECONDS)
        expect(page.locator("[data-old]")).to_have_count(3)
    with Gateway(BGW_LISTEN=address):
        expect(page.locator("[data-old]")).to_have_count(0, timeout=15 * SECONDS)
        expect(page.get_by_role("alert")).to_be_empty()


# ---- Try it, Connect ----

@pytest.mark.parametrize(("language", "button", "answers"), [
    ("Native", "Subscribe", ['"ev":"hello"', '"ev":"sub"', '"ev":"upd"', '"ev":"live"']),
    ("SignalR", "Subscribe", ["200 ", '"connectionToken"', "{}", '"subscriptionConfirmed"', '"balanceUpdate"']),
    ("App frames", "Subscribe", ['"subscriptionConfirmed"', '"balanceUpdate"']),
    ("Event stream", "Stream", ["200, ", "event: sub", "event: upd"]),
    ("REST", "Balance", ["200, ", "x-balance-source: stream  x-cache-status: HIT", '"minor":4200'])])
def test_each_language_gets_its_answer(gateway, feed, open_page, language, button, answers):
    feed.put("try-it", 4200)
    feed.flush()
    bearer = staff()
    page = open_page(gateway)
    sign_in(page, bearer)
    visit(page, "Try it")
    page.get_by_role("tab", name=language).click()
    page.get_by_label("Account").fill("try-it")
    page.get_by_role("button", name=button, exact=True).click()
    page.get_by_role("textbox", name=re.compile("Message|Request")).press("Control+Enter")
    for answer in answers:
        expect(page.locator(".frames")).to_contain_text(answer)
    shown = page.inner_text("body")
    assert bearer not in shown and bearer.split(".")[2] not in shown
    page.get_by_role("button", name="Disconnect").click()
    expect(page.locator(".frames")).to_contain_text(re.compile("closed, 1|ended"))  # the last that comes
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_text("Frames will stand here")).to_be_visible()


def test_snippets_are_copied_and_the_token_only_if_asked(gateway, open_page):
    bearer = staff()
    page = open_page(gateway, permissions=["clipboard-read", "clipboard-write"])
    sign_in(page, bearer)
    visit(page, "Connect")
    tabs = page.get_by_role("tablist", name="Clients").get_by_role("tab")
    expect(tabs).to_have_count(7)
    for whole in (False, True):
        page.get_by_label("with my token, whole").set_checked(whole)
        for number in range(7):
            tabs.nth(number).click()
            page.get_by_role("button", name="Copy").click()
            expect(page.get_by_text("Copied.")).to_be_visible()
            text = page.evaluate("() => navigator.clipboard.readText()")
            assert gateway.listen in text and (bearer in text) is whole and ("YOUR_TOKEN" in text) is not whole, text
            assert bearer not in page.content()


# ---- networks ----

def never_went_back(page, *accounts):
    """No older amount and none twice; the tests below only let amounts grow."""
    seen = page.evaluate("() => window.seen")
    for account in accounts:
        amounts = [int(re.sub(r"\D", "", text)) for text in seen[account] if text != "—"]
        assert all(a < b for a, b in zip(amounts, amounts[1:])), (account, amounts)


def test_without_a_network_it_says_as_of_and_is_live_at_once_with_one(gateway, feed, open_page):
    page = open_signed_in(open_page, gateway, feed, "net1", "net2")
    page.evaluate(AMOUNTS)
    page.context.set_offline(True)
    expect(page.locator("#link-text")).to_have_text("Offline: no network")
    expect(row_of(page, "net1").locator("td.freshness")).to_have_text(AS_OF)
    expect(page.locator(LIVE)).to_have_count(0)
    for amount in range(300, 320):
        feed.put("net1", amount)
    feed.flush()
    assert balances(page) == ["1.00 NGN", "2.00 NGN"]
    page.context.set_offline(False)
    until_live(page, 2)
    assert balances(page) == ["3.19 NGN", "2.00 NGN"]
    never_went_back(page, "net1", "net2")


def test_a_gateway_away_for_twenty_seconds_while_balances_move(kafka, open_page):
    topic = kafka.create()
    settings = {"kafka": kafka.bootstrap, "TOPIC_BALANCE_UPDATES": topic, "BGW_REWIND": "beginning"}
    accounts = [f"away-{i}" for i in range(8)]
    address = f"127.0.0.1:{free_port()}"
    with Gateway(BGW_LISTEN=address, **settings) as first:
        stream = Feed(kafka.bootstrap, topic, readers=[first])
        page = open_signed_in(open_page, first, stream, *accounts)
        page.evaluate(AMOUNTS)
        first.kill()
    expect(page.locator("#link-text")).to_have_text(re.compile("^Offline"), timeout=10 * SECONDS)
    before, ends = balances(page), time.monotonic() + 20
    assert "—" not in before
    moved = Feed(kafka.bootstrap, topic)
    moved.versions = stream.versions
    amount = 10_000
    while time.monotonic() < ends:
        for account in accounts:
            amount += 1
            moved.put(account, amount)
        page.wait_for_timeout(200)
        assert balances(page) == before and page.locator(LIVE).count() == 0
    moved.flush()
    expect(page.locator("#rows td.freshness").filter(has_text=AS_OF)).to_have_count(8)
    with Gateway(BGW_LISTEN=address, **settings):
        until_live(page, 8, link_s=40)  # by now it waits up to 20 s between two attempts
        assert balances(page) == [f"{(amount - 7 + i) / 100:.2f} NGN" for i in range(8)]
        never_went_back(page, *accounts)


def test_a_tab_that_was_hidden_is_current_when_it_is_seen_again(gateway, feed, open_page):
    page = open_signed_in(open_page, gateway, feed, "tab1")
    page.evaluate(AMOUNTS)
    tab = page.context.new_cdp_session(page)
    tab.send("Page.setWebLifecycleState", {"state": "frozen"})
    for amount in range(500, 540):
        feed.put("tab1", amount)
    feed.flush()
    tab.send("Page.setWebLifecycleState", {"state": "active"})
    expect(row_of(page, "tab1").locator("td.balance")).to_have_text("5.39 NGN", timeout=8 * SECONDS)
    until_live(page, 1)
    never_went_back(page, "tab1")


VISIBLE = """state => {
    Object.defineProperty(document, 'visibilityState', {configurable: true, get: () => state});
    Object.defineProperty(document, 'hidden', {configurable: true, get: () => state === 'hidden'});
    document.dispatchEvent(new Event('visibilitychange'));
}"""


def test_nothing_is_retried_unseen_and_all_at_once_when_seen(gateway, open_page):
    page, script = scripted_page(open_page, gateway, "a")
    page.evaluate(VISIBLE, "hidden")
    script.socket.close(code=1011)
    expect(page.locator("#link-text")).to_have_text(re.compile("^Offline"))
    page.clock.run_for(60 * SECONDS)
    assert script.heard == ["hello", "sub"]
    page.evaluate(VISIBLE, "visible")
    expect(page.locator("#link-text")).to_have_text("Live")
    until_live(page, 1)
    assert script.heard == ["hello", "sub"] * 2


def test_a_token_that_ends_is_said_in_words(open_page):
    with Gateway(BGW_JWT_LEEWAY_S=0) as gw:
        stream = Feed(gw.bootstrap, readers=[gw])
        stream.put("alice", 100)
        stream.flush()
        page = open_page(gw)
        sign_in(page, token(["alice"], ttl=12), "alice")
        until_live(page, 1)
        expect(page.get_by_role("alert")).to_have_text("The token has expired.", timeout=25 * SECONDS)
        expect(page.locator("#link-text")).to_have_text("Signed out")
        expect(page.locator("#rows")).to_have_count(0)
        sign_in(page, token(["alice"]))
        until_live(page, 1)  # what was watched is still known


# ---- axe ----

def axe(page, what):
    """Complaints of axe that are serious or critical."""
    source = pathlib.Path(os.environ["CONSOLE_PACKAGES"], "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")
    page.evaluate(f"() => {{ if (!window.axe) {{ {source} }} }}")
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [(what, v["id"], v["impact"], [n["html"][:120] for n in v["nodes"][:3]]) for v in found if v["impact"] in ("serious", "critical")]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)])
def test_axe_finds_nothing_serious(gateway, open_page, scheme, width):
    page = open_page(gateway, color_scheme=scheme, viewport={"width": width, "height": 844}, reduced_motion="reduce")
    found = axe(page, "sign-in")
    page.get_by_role("button", name="Sign in").click()
    script = Scripted(page)
    sign_in(page, staff())
    expect(page.get_by_role("heading", name="Nothing is watched yet")).to_be_visible()
    found += axe(page, "nothing watched")
    page.get_by_role("searchbox").fill("a b c d e")
    page.get_by_role("button", name="Watch", exact=True).click()
    until_live(page, 5)
    script.put("a", "1100", "e.11")
    script.put("b", "900", "e.12")
    script.say(ev="state", keys=["c"], state="delayed", reason="source_lagging", lag_ms=4000)
    script.say(ev="state", keys=["d"], state="stale", reason="source_lagging", lag_ms=40000)
    script.say(ev="revoked", keys=["e"], reason="grant_removed")
    expect(page.locator("#rows tr[data-state=denied]")).to_have_count(1)
    page.get_by_role("button", name="Pin b/NGN").click()
    page.mouse.move(0, 0)
    found += axe(page, "live")
    page.keyboard.press("?")
    found += axe(page, "keys")
    page.keyboard.press("Escape")
    row_of(page, "a").locator("th a").click()
    page.get_by_role("button", name="Read now").click()
    expect(page.locator("pre")).to_be_visible()
    found += axe(page, "account")
    visit(page, "Gateway")
    expect(tile(page, "This replica")).to_be_visible()
    expect(page.locator(".chart canvas")).to_have_count(4)
    found += axe(page, "gateway")
    visit(page, "Try it")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".frames")).to_contain_text('"ev":"upd"')
    found += axe(page, "try it")
    visit(page, "Connect")
    found += axe(page, "connect")
    assert not found, "\n".join(map(str, found))
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
