# SPDX-License-Identifier: Apache-2.0
"""Pages in real Chromium, served from other origins than the gateway's: SignalR's browser bundles of four
generations, EventSource and fetch, where BGW_ORIGINS allows them and where it does not."""

import http.server
import json
import os
import pathlib
import threading

import pytest
from playwright.sync_api import sync_playwright

from harness.console import ARGS, CHROMIUM
from harness.gateway import Gateway
from harness.kafka import Feed, free_port
from harness.signalr import VERSIONS
from harness.tokens import token
from harness.wait import until

BUNDLE = "node_modules/signalr{}/dist/browser/signalr.min.js"
BLANK = "<!doctype html><meta charset=utf-8><title>a page of the bank</title>"
BEARER = token(everything=True)

SIGNALR = """async ([url, bearer, account, options]) => {
    window.shown = []; window.states = [];
    const hub = window.hub = new signalR.HubConnectionBuilder()
        .withUrl(url, {accessTokenFactory: () => bearer, ...options})
        .withAutomaticReconnect([0, 200, 500, 500, 500, 500].concat(Array(30).fill(1000)))
        .configureLogging(6).build();
    hub.on("balanceUpdate", text => window.shown.push(text));
    hub.onreconnecting(() => window.states.push("reconnecting"));
    hub.onreconnected(() => { window.states.push("reconnected"); hub.invoke("SubscribeBalance", account); });
    hub.onclose(() => window.states.push("closed"));
    try {
        await hub.start();
        return {state: hub.state, result: await hub.invoke("SubscribeBalance", account)};
    } catch (error) {
        return {error: String(error.message)};
    }
}"""

STREAM = """([url, how]) => {
    window.events = []; window.opened = 0;
    const source = window.source = new EventSource(url, how);
    source.onopen = () => window.opened++;
    source.onerror = () => window.events.push({name: "error", state: source.readyState});
    for (const name of ["upd", "state", "live", "sub", "bye"])
        source.addEventListener(name, e => window.events.push({name, data: JSON.parse(e.data), id: e.lastEventId}));
}"""


class Site:
    """A web server of the bank's: an empty page at /, and SignalR's bundles."""

    def __init__(self):
        folder = pathlib.Path(os.environ["SIGNALR_CLIENTS"])

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802 - http.server's name
                name = self.path.strip("/").removesuffix(".js")
                body = (folder / BUNDLE.format(name)).read_bytes() if name.isdigit() else BLANK.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/javascript" if name.isdigit() else "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *unused):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def sites():
    """(one that is allowed, one that is not)"""
    both = Site(), Site()
    yield both
    for site in both:
        site.close()


@pytest.fixture(scope="module")
def gateway(sites):
    with Gateway(BGW_ORIGINS=sites[0].origin) as g:
        yield g


@pytest.fixture(scope="module")
def feed(gateway):
    return Feed(gateway.bootstrap, readers=[gateway])


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser):
    contexts = []

    def opener(site, version=None):
        context = browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15000)
        page.goto(site.origin)
        if version:
            page.add_script_tag(url=f"{site.origin}/{version}.js")
        return page

    yield opener
    for context in contexts:
        context.close()


def shown(page, minor):
    page.wait_for_function("minor => window.shown.some(t => JSON.parse(t).minor === minor)", arg=minor)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("options", [{}, {"skipNegotiation": True, "transport": 1}, {"transport": 2}], ids=["negotiated", "skip", "sse"])
def test_signalr_of_an_allowed_page(gateway, feed, sites, open_page, version, options):
    account = f"web-{version}-{len(json.dumps(options))}"
    written = '{"accountId":"%s", "minor":1,"currency":"NGN","pendingMinor":0,"v":1,"x":"\\u001e ₦ 😀"}' % account
    feed.raw(account, written)
    feed.flush()
    page = open_page(sites[0], version)
    said = page.evaluate(SIGNALR, [f"http://{gateway.listen}/ws", BEARER, account, options])
    assert said == {"state": "Connected", "result": None}, said
    shown(page, 1)
    feed.put(account, 2, v=2)
    feed.flush()
    shown(page, 2)
    assert page.evaluate("() => window.shown[0]") == written
    page.evaluate("() => window.hub.stop()")


@pytest.mark.parametrize("options", [{}, {"skipNegotiation": True, "transport": 1}, {"transport": 2}], ids=["negotiated", "skip", "sse"])
def test_signalr_of_a_page_that_is_not_allowed(gateway, sites, open_page, options):
    page = open_page(sites[1], 10)
    said = page.evaluate(SIGNALR, [f"http://{gateway.listen}/ws", BEARER, "A", options])
    assert said.get("error"), said
    assert page.evaluate("() => window.shown.length + window.states.length") == 0


FETCH = """async ([url, init]) => {
    try {
        const reply = await fetch(url, {credentials: "include", ...init});
        return {status: reply.status, body: await reply.text(), etag: reply.headers.get("ETag")};
    } catch (error) {
        return {error: String(error)};
    }
}"""


def test_fetch_of_both_pages(gateway, feed, sites, open_page):
    feed.put("web-rest", 5)
    feed.flush()
    url = f"http://{gateway.listen}/ledger/accounts/web-rest/balance"
    bearer = {"headers": {"Authorization": f"Bearer {BEARER}"}}
    page = open_page(sites[0])
    said = page.evaluate(FETCH, [url, bearer])
    assert said["status"] == 200 and json.loads(said["body"])["minor"] == 5
    refused = page.evaluate(FETCH, [url, {}])  # a refusal can be read as well
    assert refused["status"] == 401 and json.loads(refused["body"])["code"] == "token_missing"
    negotiated = page.evaluate(FETCH, [f"http://{gateway.listen}/ws/negotiate?negotiateVersion=1", {"method": "POST", **bearer}])
    assert negotiated["status"] == 200
    assert page.evaluate(FETCH, [f"http://{gateway.listen}/health", {}])["status"] == 200

    page = open_page(sites[1])
    for how in (bearer, {}):
        assert "error" in page.evaluate(FETCH, [url, how])


def test_event_stream_of_both_pages(gateway, feed, sites, open_page):
    feed.put("web-stream", 5)
    feed.flush()
    url = f"http://{gateway.listen}/v1/stream?account=web-stream&access_token={BEARER}"
    for how in ({}, {"withCredentials": True}):
        page = open_page(sites[0])
        page.evaluate(STREAM, [url, how])
        page.wait_for_function("() => window.events.some(e => e.name === 'upd' && e.data.d.minor === '5')")
        page.wait_for_function("() => window.events.some(e => e.name === 'live')")
        page.evaluate("() => window.source.close()")
    page = open_page(sites[1])
    page.evaluate(STREAM, [url, {}])
    page.wait_for_function("() => window.events.some(e => e.name === 'error')")
    assert page.evaluate("() => window.opened") == 0
    assert page.evaluate("() => window.events.every(e => e.name === 'error')")


def test_event_source_and_signalr_go_on_after_a_restart(kafka, sites, open_page):
    topic = kafka.create()
    settings = dict(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, BGW_ORIGINS=sites[0].origin)
    feed = Feed(kafka.bootstrap, topic)
    for name in ("still", "moves", "also"):
        feed.put(name, 1)
    feed.flush()
    address = f"127.0.0.1:{free_port()}"
    with Gateway(BGW_LISTEN=address, **settings) as first:
        stream, hub = open_page(sites[0]), open_page(sites[0], 10)
        accounts = "account=still&account=moves&account=also"
        stream.evaluate(STREAM, [f"http://{address}/v1/stream?{accounts}&access_token={BEARER}", {}])
        stream.wait_for_function("() => window.events.filter(e => e.name === 'upd').length === 3 && window.source.readyState === 1")
        assert hub.evaluate(SIGNALR, [f"http://{address}/ws", BEARER, "moves", {}])["state"] == "Connected"
        shown(hub, 1)
        first.kill()
    stream.wait_for_function("() => window.events.some(e => e.name === 'error')")
    hub.wait_for_function("() => window.states.includes('reconnecting')")
    feed.put("moves", 2)
    feed.flush()
    with Gateway(BGW_LISTEN=address, **settings):
        stream.wait_for_function("() => window.events.some(e => e.name === 'upd' && e.data.k === 'moves' && e.data.d.minor === '2')")
        said = stream.evaluate("() => window.events")
        again = said[max(i for i, e in enumerate(said) if e["name"] == "error"):]
        stream.wait_for_function("() => window.opened === 2")
        # the browser said its last id, so what has not changed is not sent again
        assert {e["data"]["k"] for e in again if e["name"] == "upd"} == {"moves"}, again
        subs = [e["data"] for e in said if e["name"] == "sub"]
        assert sorted(subs[-1]["current"]) == ["also", "still"], subs
        hub.wait_for_function("() => window.states.includes('reconnected')")
        shown(hub, 2)
        feed.put("still", 3)
        feed.flush()
        stream.wait_for_function("() => window.events.some(e => e.name === 'upd' && e.data.k === 'still' && e.data.d.minor === '3')")
        versions = [e["data"]["v"] for e in stream.evaluate("() => window.events") if e["name"] == "upd" and e["data"]["k"] == "still"]
        assert len(versions) == len(set(versions)) == 2
        until(lambda: stream.evaluate("() => window.events[window.events.length - 1].id"), what="an id")
