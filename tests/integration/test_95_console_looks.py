# SPDX-License-Identifier: Apache-2.0
"""How the console looks, held against the pictures of docs/screenshots (BGW_UPDATE_SCREENSHOTS=1 makes them anew), and that
it stays quick with five hundred balances that move."""

import base64
import json
import os
import pathlib
import threading
import time

import pytest
from playwright.sync_api import expect

from harness.console import LIVE, SECONDS, browser, open_page, sign_in, until_live
from harness.console_state import ACCOUNTS, Still
from harness.fixtures import gateway
from harness.gateway import Gateway
from harness.kafka import Feed
from harness.tokens import token

__all__ = ["browser", "gateway", "open_page"]

PICTURES = pathlib.Path(__file__).parents[2] / "docs" / "screenshots"
OTHER_PIXELS_MAX = 0.002  # of all
LOOKS = {"light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 760}},
         "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 760}},
         "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}}

COMPARE = """async ([one, other]) => {
    const pixels = async (text) => {
        const picture = await createImageBitmap(await (await fetch('data:image/png;base64,' + text)).blob());
        const drawing = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
        drawing.drawImage(picture, 0, 0);
        return drawing.getImageData(0, 0, picture.width, picture.height);
    };
    const [a, b] = [await pixels(one), await pixels(other)];
    if (a.width !== b.width || a.height !== b.height) return 1;
    let differ = 0;
    for (let i = 0; i < a.data.length; i += 4)
        if ([0, 1, 2].some((c) => Math.abs(a.data[i + c] - b.data[i + c]) > 24)) differ++;
    return differ / (a.data.length / 4);
}"""


def is_as_committed(page, browser, name, **how):
    fresh = page.screenshot(animations="disabled", caret="hide", **how)
    path = PICTURES / f"{name}.png"
    if os.environ.get("BGW_UPDATE_SCREENSHOTS"):
        PICTURES.mkdir(exist_ok=True)
        path.write_bytes(fresh)
    judge = browser.new_page()
    texts = [base64.b64encode(data).decode() for data in (path.read_bytes(), fresh)]
    differs = judge.evaluate(COMPARE, texts)
    judge.close()
    if differs > OTHER_PIXELS_MAX:
        pathlib.Path(f"build/log/{name}-now.png").write_bytes(fresh)
    assert differs <= OTHER_PIXELS_MAX, f"{differs:.2%} of the pixels are others than in {path}"


def still(browser, gateway, look):
    context = browser.new_context(timezone_id="UTC", locale="en-GB", reduced_motion="reduce", **LOOKS[look])
    page = context.new_page()
    page.set_default_timeout(15 * SECONDS)
    return page, Still(page, gateway)


@pytest.mark.parametrize("look", LOOKS)
def test_live_looks_as_in_its_picture(browser, gateway, look):
    page, _ = still(browser, gateway, look)
    is_as_committed(page, browser, f"live-{look}")
    page.context.close()


def test_gateway_and_account_look_as_in_their_pictures(browser, gateway):
    page, script = still(browser, gateway, "light")
    page.keyboard.press("3")
    expect(page.get_by_role("link", name="Gateway", exact=True)).to_have_attribute("aria-current", "page")
    script.pass_time(200)
    expect(page.locator(".chart canvas")).to_have_count(4)
    script.pass_time(200)
    is_as_committed(page, browser, "gateway", full_page=True)
    page.goto(page.url.split("#")[0] + f"#/account/{ACCOUNTS[3]}%2FNGN")
    expect(page.get_by_role("heading", name=f"{ACCOUNTS[3]}/NGN")).to_be_visible()
    script.pass_time(200)
    expect(page.locator(".versions tbody tr")).to_have_count(7)
    is_as_committed(page, browser, "account", full_page=True)
    page.context.close()


# ---- quick ----

TASK_MS_MAX = 50


def longest_tasks(trace):
    """Of the page's main thread, in ms of the processor's time: what else the machine does is not the page's."""
    events = json.loads(trace)["traceEvents"]
    mains = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"}
    tasks = [e["tdur"] / 1000 for e in events if (e["pid"], e["tid"]) in mains and e["name"].endswith("RunTask") and "tdur" in e]
    assert len(tasks) > 500, len(tasks)
    return sorted(tasks)[-5:]


@pytest.mark.alone
def test_five_hundred_rows_at_two_hundred_updates_a_second_without_a_long_task(browser, open_page):
    accounts = [f"row-{i:03}" for i in range(500)]
    with Gateway(binary=os.environ["BGW_RELEASE_BIN"]) as gw:
        stream = Feed(gw.bootstrap, readers=[gw])
        for i, account in enumerate(accounts):
            stream.put(account, 100_000 + i)
        stream.flush()
        page = open_page(gw)
        sign_in(page, token(everything=True), *accounts)
        until_live(page, 500)
        over = threading.Event()
        sent = []

        def feed():
            began = time.monotonic()
            while not over.is_set():
                while len(sent) < (time.monotonic() - began) * 200:
                    sent.append(stream.put(accounts[len(sent) * 7 % 500], 100_000 + len(sent)))
                time.sleep(0.005)

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            page.wait_for_timeout(1 * SECONDS)
            browser.start_tracing(page=page, categories=["toplevel"])
            page.wait_for_timeout(10 * SECONDS)
            longest = longest_tasks(browser.stop_tracing())
        finally:
            over.set()
            feeder.join()
        stream.flush()
        assert len(sent) >= 2000
        last = accounts[(len(sent) - 1) * 7 % 500]
        expect(page.locator("#rows tr").filter(has_text=last).locator("td.balance")).to_have_text(f"{(100_000 + len(sent) - 1) / 100:,.2f} NGN")
        expect(page.locator(LIVE)).to_have_count(500)
        assert longest[-1] < TASK_MS_MAX, longest
