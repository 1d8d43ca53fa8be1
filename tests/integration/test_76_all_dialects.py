# SPDX-License-Identifier: Apache-2.0
"""Everybody at once: native, SignalR of four generations over two transports, the app, an event stream and
REST read the same accounts of the same gateway. The same versions, each once, none older, up to the newest."""

import asyncio
import contextlib
import itertools
import json
import threading

import pytest

from harness.curl_stream import CurlStream
from harness.gateway import Gateway
from harness.kafka import Feed
from harness.native import Native
from harness.records import Records
from harness.signalr import VERSIONS, Clients
from harness.tokens import token
from harness.wait import until

numbers = itertools.count(1)
BEARER = token(everything=True)
AUTH = {"Authorization": f"Bearer {BEARER}"}


@pytest.fixture(scope="module")
def replicas():
    """Two gateways of one topic."""
    with Gateway() as first, Gateway(kafka=first.bootstrap) as second:
        yield first, second


@pytest.fixture(scope="module")
def feed(replicas):
    return Feed(replicas[0].bootstrap, readers=replicas)


@pytest.fixture(scope="module")
def clients():
    with Clients() as c:
        yield c


def account():
    return f"all-{next(numbers)}"


class Reader:
    """One client, whatever it speaks: the (version's number, amount) pairs that it was shown, in order."""

    def __init__(self, name, shown, close=lambda: None):
        self.name, self.shown, self.close = name, shown, close

    def until(self, v, timeout=20):
        try:
            until(lambda: self.shown() and self.shown()[-1][0] >= v, timeout)
        except AssertionError:
            raise AssertionError(f"{self.name} was never shown {v}: {self.shown()[-5:]}") from None


def number(version):
    return int(version.split(".")[1])


def estate(name, client, alice, close):
    def shown():
        records = [json.loads(t) for t in client.texts()]
        return [(r["v"], r["minor"]) for r in records if r["accountId"] == alice]
    return Reader(name, shown, close)


class Background:
    """Native clients in a loop of their own, so that they read while the test waits for others."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def native(self, gateway, alice):
        client = Native(gateway, BEARER)

        async def begin():
            await client.__aenter__()
            await client.sub(alice)

            async def read_on():
                with contextlib.suppress(Exception):
                    while True:
                        await client.receive(3600)
            self.loop.create_task(read_on())
        self.run(begin())

        def shown():
            entries = [e for f in list(client.frames) if f["ev"] == "upd" for e in f["u"] if e["k"] == alice]
            return [(number(e["v"]), int(e["d"]["minor"])) for e in entries]

        def close():
            self.run(client.ws.close())
            client.check()
        return Reader("native", shown, close)

    def end(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)


def everybody(gateway, clients, background, alice, newest):
    """All of them, each with the first value on its screen: who cannot present a version is shown one when the gateway
    has proved that it is the newest."""
    readers = [background.native(gateway, alice)]
    for version in VERSIONS:
        for transport in ("ws", "sse"):
            hub = clients.hub(version, gateway, BEARER, transport=transport)
            hub.start()
            hub.call("SubscribeBalance", alice)
            readers.append(estate(f"signalr {version} {transport}", hub, alice, hub.stop))
    app = clients.app(gateway, BEARER)
    app.ev("open")
    app.invoke("SubscribeBalance", alice)
    readers.append(estate("app", app, alice, app.stop))
    stream = CurlStream(gateway, BEARER, alice)
    readers.append(Reader("curl -N", lambda: [(number(e["v"]), int(e["d"]["minor"])) for e in stream.entries()],
                          lambda: stream.__exit__()))
    for reader in readers:
        reader.until(newest)
    return readers


def read(gateway, alice, **headers):
    """(version's number, amount) of a plain GET."""
    status, got, body = gateway.http(f"/ledger/accounts/{alice}/balance", headers={**AUTH, **headers})
    assert status == 200, (status, body)
    body = json.loads(body)
    assert got["ETag"].strip('"') == body["v"] and body["minor"] == body["availableMinor"] == body["balanceMinor"]
    return number(body["v"]), body["minor"]


def test_the_same_versions_each_once_none_older_and_the_newest_at_the_end(replicas, feed, clients):
    gateway, alice, background = replicas[0], account(), Background()
    feed.put(alice, 1000)
    feed.flush()
    early = everybody(gateway, clients, background, alice, 1)
    assert read(gateway, alice) == (1, 1000)
    steps = 15
    for v in range(2, steps + 1):  # one by one: nobody misses one
        feed.put(alice, 1000 * v)
        feed.flush()
        for reader in early:
            reader.until(v)
        assert read(gateway, alice) == (v, 1000 * v)
    for reader in early:
        assert reader.shown() == [(v, 1000 * v) for v in range(1, steps + 1)], reader.name

    late = everybody(gateway, clients, background, alice, steps)
    newest = steps + 500
    for v in range(steps + 1, newest + 1):  # in a storm, some may be folded into the next
        feed.put(alice, 1000 * v)
        if v % 25 == 0:
            seen = read(gateway, alice)
            assert seen[1] == 1000 * seen[0]
    feed.flush()
    assert read(gateway, alice) == (newest, 1000 * newest)
    for reader in early + late:
        reader.until(newest)
        shown = reader.shown()
        assert [v for v, _ in shown] == sorted({v for v, _ in shown}), (reader.name, shown)
        assert all(minor == 1000 * v for v, minor in shown), (reader.name, shown)
        assert shown[-1] == (newest, 1000 * newest), reader.name
    for reader in late:
        assert reader.shown()[0][0] == steps, (reader.name, reader.shown()[0])
    for reader in early + late:
        reader.close()
    background.end()


def test_nobody_who_comes_to_another_replica_is_shown_an_older_value(replicas, feed, clients):
    first, second = replicas
    alice, background = account(), Background()
    feed.put(alice, 0)
    feed.flush()
    seer = background.native(first, alice)
    writer = Feed(first.bootstrap)  # does not wait for readers
    hubs = [clients.hub(v, second, BEARER, transport=t) for v in VERSIONS for t in ("ws", "sse")]
    for hub in hubs:
        hub.start()
    for v in range(2, 42):
        writer.put(alice, 1000 * v, v=v)
        writer.flush()
        seer.until(v)
        hub = hubs[v % len(hubs)]
        mark = hub.mark()
        hub.call("SubscribeBalance", alice)
        shown = hub.update(lambda u: u["accountId"] == alice, after=mark)
        assert shown["v"] >= v, (v, shown, hub.version)
        hub.call("UnsubscribeBalance", alice)
        with Records(second) as c:
            c.greet(BEARER).call("SubscribeBalance", alice)
            assert json.loads(c.until_type(1, target="balanceUpdate")["arguments"][0])["v"] >= v
        assert read(second, alice, **{"Cache-Control": "no-cache"})[0] >= v
        last = json.loads(first.http(f"/v1/balances?account={alice}", headers=AUTH)[2])
        assert json.dumps(last).count(alice) >= 1
    for hub in hubs:
        hub.stop()
    seer.close()
    background.end()


def test_what_a_token_does_not_grant_is_refused_in_every_dialect(replicas, feed, clients):
    gateway, mine, other, background = replicas[0], account(), account(), Background()
    feed.put(mine, 1)
    feed.put(other, 2)
    feed.flush()
    bearer = token([mine])
    hub = clients.hub(10, gateway, bearer)
    hub.start()
    assert "no_grant" in hub.refusal("invoke", target="SubscribeBalance", args=[other])
    app = clients.app(gateway, bearer)
    app.ev("open")
    app.invoke("SubscribeBalance", other)
    assert app.message("error")[0]["code"] == "no_grant"

    async def native():
        async with Native(gateway, bearer) as c:
            reply = await c.sub(mine, other, live=False)
            assert [d["code"] for d in reply["denied"]] == ["no_grant"] and reply["ok"] == [mine]
    background.run(native())
    with CurlStream(gateway, bearer, mine, other) as stream:
        said = stream.wait(lambda name, data: name == "sub")
        assert [d["code"] for d in said["denied"]] == ["no_grant"]
        stream.wait(lambda name, data: name == "upd" and data["k"] == mine)
        assert not [e for e in stream.entries() if e["k"] == other]
    status, _, body = gateway.http(f"/ledger/accounts/{other}/balance", headers={"Authorization": f"Bearer {bearer}"})
    assert status == 403 and json.loads(body)["code"] == "no_grant"
    feed.put(other, 3)
    feed.put(mine, 2)
    feed.flush()
    hub.call("SubscribeBalance", mine)
    hub.update(lambda u: u["accountId"] == mine and u["minor"] == 2)
    assert not [t for t in hub.texts() + app.texts() if json.loads(t)["accountId"] == other]
    hub.stop()
    app.stop()
    background.end()
