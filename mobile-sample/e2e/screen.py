# SPDX-License-Identifier: Apache-2.0
"""What is on the phone's screen, and how a user gets there."""

import re

from playwright.sync_api import expect

from harness.wait import until

SHOWN = 6
AS_OF = re.compile(r"^as of \d\d:\d\d$")
LIVE = re.compile(r"^Live$")


def set_up(page, replica, accounts, shown=None):
    """What a user does first: the settings."""
    page.get_by_label("Settings", exact=True).click()
    page.get_by_label("Gateway").fill(f"http://{replica.address}")
    page.get_by_label("Access token").fill(replica.demo()["token"])
    page.get_by_label("Accounts").fill("\n".join(accounts))
    page.get_by_label("Save").click()
    until_live(page, shown or len(accounts))


def banner(page):
    return page.get_by_test_id("banner-title").locator("visible=true")


def row(page, account):
    return page.get_by_test_id(f"row-{account}")


def amounts(page):
    return page.get_by_test_id("amount").locator("visible=true").all_inner_texts()


def until_live(page, count=SHOWN, timeout=20_000):
    expect(banner(page)).to_have_text("Live", timeout=timeout)
    shown = page.get_by_test_id("freshness").locator("visible=true")
    expect(shown).to_have_text([LIVE] * count, timeout=timeout)


def text_of(minor):
    return f"{'-' if minor < 0 else ''}₦{abs(minor) // 100:,}.{abs(minor) % 100:02}"


def until_opened(replica):
    """The demonstration opens the dollars last, and the first account has some."""
    until(lambda: replica.read(replica.demo()["accounts"][0], "USD")[0] == 200, 15, "the dollars of the demonstration")


def naira(replica, count=SHOWN):
    """Accounts of the demonstration that have one currency."""
    until_opened(replica)
    return [a for a in replica.demo()["accounts"] if replica.read(a, "USD")[0] != 200][:count]


def shows_what_there_is(page, replica, account):
    """The same amount on the phone as the gateway had before and after: it did not move between."""
    cell = row(page, account).get_by_test_id("amount").first

    def same():
        before = replica.balance(account)["minor"]
        shown = cell.inner_text()
        return replica.balance(account)["minor"] == before and shown == text_of(before)
    until(same, 15, f"{account} as the gateway has it")
