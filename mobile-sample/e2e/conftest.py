# SPDX-License-Identifier: Apache-2.0
"""A phone (Chromium at its size), the exported app from a web server, and gateways as in tests/integration.
EXPORTED names the folder of `expo export`, BGW_RELEASE_BIN the gateway."""

import os

import pytest
from playwright.sync_api import expect, sync_playwright

from harness.gateway import Gateway
from replica import Replica
from site_of import Site

CHROMIUM = "/usr/bin/chromium"
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync",
        # a page that came from no network would count as the Internet's, which may not reach this machine
        "--disable-features=LocalNetworkAccessChecks"]
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True,
         "locale": "en-GB", "timezone_id": "Africa/Lagos"}
expect.set_options(timeout=15_000)  # a condition that says no time of its own


@pytest.fixture(scope="session")
def site():
    served = Site(os.environ["EXPORTED"])
    yield served
    served.close()


@pytest.fixture(scope="session")
def ledger():
    """The demonstration: a broker, a ledger that moves money, and the first replica, which stays."""
    with Gateway(args=["--demo"], binary=os.environ["BGW_RELEASE_BIN"], BGW_LOG_FORMAT="json") as first:
        yield first


@pytest.fixture(scope="session")
def steady(ledger, site):
    """A gateway that nobody kills."""
    one = Replica(ledger, site.origin)
    yield one
    one.now.stop()


@pytest.fixture
def replica(ledger, site):
    one = Replica(ledger, site.origin)
    yield one
    if not one.now.ended:
        one.kill()


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield chromium
        chromium.close()


@pytest.fixture
def phone(browser, site):
    """Opens the app, for the first time; at the end no script may have failed."""
    contexts, complaints = [], []

    def opener(**how):
        context = browser.new_context(**{**PHONE, **how})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(site.origin)
        return page

    yield opener
    for context in contexts:
        context.close()
    assert not complaints, complaints
