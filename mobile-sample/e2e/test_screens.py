# SPDX-License-Identifier: Apache-2.0
"""What each screen shows and keeps, on small screens and in the dark."""

import os
import re

import pytest
from playwright.sync_api import expect

from replica import Replica
from screen import AS_OF, SHOWN, amounts, banner, naira, row, set_up, until_live, until_opened


def test_token_is_in_no_lasting_storage(phone, steady):
    page = phone()
    set_up(page, steady, naira(steady))
    token = page.evaluate("sessionStorage.getItem('balances.token')")
    assert token.count(".") == 2
    assert token not in page.evaluate("JSON.stringify(localStorage)")


def test_balances_can_be_hidden_and_stay_so(phone, steady):
    page = phone()
    accounts = naira(steady)
    set_up(page, steady, accounts)
    page.get_by_role("switch", name="Hide balances").locator("visible=true").click()
    expect(page.get_by_test_id("amount").locator("visible=true")).to_have_text(["••••••"] * SHOWN)
    assert "₦" not in page.content().replace(page.locator("script").first.inner_html(), "")
    page.reload()
    until_live(page)
    assert amounts(page) == ["••••••"] * SHOWN
    expect(row(page, accounts[0])).to_have_attribute("aria-label", f"{accounts[0]}: balance hidden, Live")


def test_an_account_shows_its_changes_and_a_reading_with_its_source(phone, replica):
    page = phone()
    account = naira(replica)[0]
    set_up(page, replica, [account])
    row(page, account).click()
    expect(page.get_by_text("Since you opened the app, in NGN")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^[+−]₦[\d,]+\.\d\d")).first).to_be_visible(timeout=60_000)
    page.get_by_label("Refresh").click()
    expect(page.get_by_test_id("reading")).to_have_text(re.compile(
        r"^-?₦[\d,]+\.\d\dread from the live stream, fresh, as of \d\d:\d\d:\d\d$"))
    replica.kill()
    expect(banner(page)).to_have_text("Reconnecting", timeout=10_000)
    page.get_by_label("Refresh").click()
    expect(page.get_by_test_id("reading")).to_have_text("The ledger cannot be reached.")
    expect(page.get_by_test_id("freshness").locator("visible=true")).to_have_text(AS_OF)


def test_a_page_of_an_origin_that_is_not_allowed_is_told_nothing(phone, ledger, site):
    other = Replica(ledger, "https://app.example.com")
    page = phone()
    page.get_by_label("Settings", exact=True).click()
    page.get_by_label("Gateway").fill(f"http://{other.address}")
    page.get_by_label("Use the demo token").click()
    expect(page.get_by_test_id("said")).to_contain_text("paste a token instead")
    page.get_by_label("Access token").fill(other.demo()["token"])
    page.get_by_label("Accounts").fill(other.demo()["accounts"][0])
    page.get_by_label("Save").click()
    expect(banner(page)).to_have_text("Reconnecting")
    expect(page.get_by_test_id("amount").locator("visible=true")).to_have_text(["—"])
    other.kill()


@pytest.mark.parametrize("width", [195, 320, 844])
def test_nothing_is_cut_off_with_large_text_or_small_screens(phone, steady, width):
    """195 px is a phone of 390 with the text at twice its size."""
    page = phone(viewport={"width": width, "height": 422})
    accounts = naira(steady)
    set_up(page, steady, accounts)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for cell in page.get_by_test_id("amount").locator("visible=true").all():
        box = cell.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_systems_colours(phone, steady, scheme):
    page = phone(color_scheme=scheme, reduced_motion="reduce")
    until_opened(steady)
    accounts = steady.demo()["accounts"][:SHOWN]
    dollars = sum(steady.read(account, "USD")[0] == 200 for account in accounts)
    set_up(page, steady, accounts, SHOWN + dollars)
    ground = page.get_by_test_id("screen").locator("visible=true").evaluate("e => getComputedStyle(e).backgroundColor")
    assert ground == {"light": "rgb(244, 245, 247)", "dark": "rgb(14, 17, 22)"}[scheme]
    if os.environ.get("SCREENSHOTS"):  # those of docs/screenshots
        page.screenshot(path=f"{os.environ['SCREENSHOTS']}/mobile-{scheme}.png")
