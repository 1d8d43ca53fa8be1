# SPDX-License-Identifier: Apache-2.0
"""Gateways that are killed and networks that go: the app says so, keeps what it knew, and shows nothing older after."""

import json
import os
import pathlib
import re
import urllib.parse

from playwright.sync_api import expect

from harness.wait import until
from screen import AS_OF, SHOWN, amounts, banner, naira, row, set_up, shows_what_there_is, until_live

# Chromium forgets, when a page is loaded anew, that it was told to say that it is offline, and then tells of no change.
STAYS_OFFLINE = """Object.defineProperty(Navigator.prototype, "onLine", { get: () => !sessionStorage.getItem("offline") })"""


def test_list_becomes_live_with_the_gateways_values(phone, steady):
    page = phone()
    expect(page.get_by_text("No accounts yet")).to_be_visible()
    accounts = naira(steady)
    set_up(page, steady, accounts)
    for account in accounts:
        shows_what_there_is(page, steady, account)


def test_a_killed_gateway_is_told_and_nothing_older_comes_after(phone, replica):
    page = phone()
    accounts = naira(replica)
    set_up(page, replica, accounts)
    shows_what_there_is(page, replica, accounts[0])
    seen = {a: replica.balance(a)["v"] for a in accounts}
    replica.kill()

    expect(banner(page)).to_have_text("Reconnecting", timeout=10_000)
    kept = amounts(page)
    assert "—" not in kept
    expect(page.get_by_test_id("freshness").locator("visible=true")).to_have_text([AS_OF] * SHOWN)

    replica.again()
    until_live(page)
    for account in accounts:
        shows_what_there_is(page, replica, account)
        epoch, seq = replica.balance(account)["v"].split(".")[:2]
        assert epoch == "one" and int(seq) >= int(seen[account].split(".")[1])


def test_cold_start_without_a_network_shows_the_last_known(phone, replica, site):
    page = phone()
    accounts = naira(replica)
    set_up(page, replica, accounts)
    until(lambda: len(stored(page)) >= SHOWN, 15, "the balances in the storage")
    replica.kill()
    expect(banner(page)).to_have_text("Reconnecting", timeout=10_000)
    kept = amounts(page)
    until(lambda: {minor_of(text) for text in kept} <= set(stored(page)), 15, "all that is shown in the storage")

    page.reload()  # the gateway cannot be reached
    expect(banner(page)).to_have_text("Reconnecting", timeout=10_000)
    expect(page.get_by_test_id("freshness").locator("visible=true")).to_have_text([AS_OF] * SHOWN)
    assert amounts(page) == kept

    # and without any network: the app's own files come from the phone itself
    page.route(f"{site.origin}/**", lambda route: route.fulfill(path=file_of(route.request.url)))
    page.add_init_script(STAYS_OFFLINE)
    page.evaluate("sessionStorage.setItem('offline', 'yes')")
    page.context.set_offline(True)
    page.reload()
    expect(banner(page)).to_have_text("Offline", timeout=10_000)
    expect(page.get_by_test_id("freshness").locator("visible=true")).to_have_text([AS_OF] * SHOWN)
    assert amounts(page) == kept

    replica.again()
    page.context.set_offline(False)
    page.evaluate("sessionStorage.removeItem('offline'); navigator.connection.dispatchEvent(new Event('change'))")
    until_live(page)
    shows_what_there_is(page, replica, accounts[0])


def test_a_network_that_goes_and_comes_is_told_at_once(phone, steady):
    page = phone()
    account = naira(steady)[0]
    set_up(page, steady, [account])
    page.context.set_offline(True)
    expect(banner(page)).to_have_text("Offline")
    expect(row(page, account).get_by_test_id("freshness")).to_have_text(AS_OF)
    page.context.set_offline(False)
    until_live(page, 1)
    shows_what_there_is(page, steady, account)


def stored(page):
    """Amounts."""
    text = page.evaluate("localStorage.getItem('balances.last-known')")
    return [int(balance["minor"]) for balance in json.loads(text)["snapshot"]["balances"]] if text else []


def file_of(url):
    path = pathlib.Path(os.environ["EXPORTED"], urllib.parse.urlparse(url).path.lstrip("/"))
    return path if path.is_file() else pathlib.Path(os.environ["EXPORTED"], "index.html")


def minor_of(text):
    found = re.fullmatch(r"(-?)₦([\d,]+)\.(\d\d)", text)
    assert found, text
    return int(found[1] + found[2].replace(",", "") + found[3])
