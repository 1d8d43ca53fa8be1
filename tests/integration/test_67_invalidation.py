# SPDX-License-Identifier: Apache-2.0
"""What becomes of a value that changes where nobody told the stream: invalidations that come while a fetch is under
way, that are lost, that cannot be heard; values that are older than what was seen. Two replicas, a real Redis."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import threading
import time

import pytest

from harness.gateway import Gateway
from harness.kafka import Feed
from harness.native import Native, version_key
from harness.origin import Origin
from harness.reads import lanes, read, value
from harness.redis import Redis
from harness.tokens import token
from harness.wait import until, until_async
from harness.watchers import NativeWatcher, StreamWatcher, every_dialect

ROUNDS = 10_000 if os.environ.get("BGW_LONG") else 300
ROUNDS_AT_A_TIME = 20
REVALIDATE_PER_S = 50
BEARER = token(everything=True)
numbers = itertools.count(1)


def account(word="told"):
    return f"{word}-{next(numbers)}"


def as_json(name, **more):
    return json.dumps({"accountId": name, "tenant": "tnt_demo", "currency": "NGN", **more})


@pytest.fixture(scope="module")
def redis():
    """The gateways have a user of their own, so that channels can be taken away from it."""
    with Redis(user="bgw", password="of-the-gateways") as r:
        yield r


@pytest.fixture(scope="module")
def origin():
    with Origin() as o:
        yield o


@pytest.fixture(scope="module")
def replicas(redis, origin):
    settings = {"LEDGER_INTERNAL": origin.url, "LS_RATE_PER_SEC": 100000, "LS_BURST": 100000, "BGW_ORIGIN_CONNECTIONS": 64,
                "BGW_ORIGIN_TIMEOUT_MS": 5000, "BGW_SWEEP_PER_S": 0, "BGW_REVALIDATE_PER_S": REVALIDATE_PER_S, "BGW_EPOCH": "one",
                "BGW_REWIND": "beginning"} | redis.settings
    with Gateway(**settings) as first, Gateway(kafka=first.bootstrap, **settings) as second:
        heard(first, second)
        yield first, second


def heard(*gateways):
    for g in gateways:
        until(lambda g=g: g.metric("bgw_channel_up") == 1, 20, "the channel")


def taken(gateways):
    return [g.metrics()['bgw_invalidations_total{result="taken"}'] for g in gateways]


@contextlib.asynccontextmanager
async def reading(gateway, *keys):
    """A native client that reads on by itself; not live yet."""
    async with Native(gateway, BEARER) as client:
        await client.sub(*keys, live=False) if keys else None

        async def read_on():
            while True:
                await client.receive(3600)
        task = asyncio.create_task(read_on())
        try:
            yield client
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def shown(client, name):
    return [int(e["d"]["minor"]) for f in client.frames if f["ev"] == "upd" for e in f["u"] if e["k"] == name]


# ---- while a fetch is under way ----

class Batch:
    """Some rounds side by side: reads and subscriptions of accounts whose answers the origin holds back, while their
    values change and that is published. Every second batch it is waited until both replicas have heard it."""

    def __init__(self, replicas, redis, origin, rng):
        self.replicas, self.redis, self.origin, self.rng = replicas, redis, origin, rng
        self.names = [account("round") for _ in range(ROUNDS_AT_A_TIME)]
        self.versioned = {name: rng.random() < 0.5 for name in self.names}
        self.in_order = rng.random() < 0.5
        for name in self.names:
            self.put(name, 1, 111)

    def put(self, name, v, minor):
        self.origin.set(name, minor, v=v if self.versioned[name] else None)

    def publish(self, name):
        forms = [name, as_json(name), json.dumps({"accountId": name})]
        self.redis.invalidate(self.rng.choice(forms + [as_json(name, v=2)] if self.versioned[name] else forms))

    def change(self):
        self.before = taken(self.replicas)
        for name in self.names:
            self.put(name, 2, 222)
        for name in self.rng.sample(self.names, len(self.names)):
            self.publish(name)
            if not self.in_order and self.rng.random() < 0.2:
                time.sleep(self.rng.random() * 0.003)  # the answers may be let go anywhere between

    def wait_until_heard(self):
        until(lambda: all(n >= b + len(self.names) for n, b in zip(taken(self.replicas), self.before)), 10, "the invalidations")

    def change_while_held(self):
        for name in self.names:
            self.origin.wait_for(1, name)
        if self.in_order:
            self.change()
            self.wait_until_heard()

    async def newest(self, lane, name):
        """At once, or where what was heard last may be on its way to the hub: sooner than what is kept would end by itself."""
        began = time.monotonic()
        while value(await lane.read(name)) != 222:
            assert not self.in_order and time.monotonic() - began < 2.5, name

    async def run(self, every):
        async with contextlib.AsyncExitStack() as stack:
            with self.origin.hold(*self.names):
                a, b = [await stack.enter_async_context(reading(g, *self.names[i::2])) for i, g in enumerate(self.replicas)]
                reads = [asyncio.create_task(lane.read(name)) for lane, name in zip(every, self.names * 2)]
                await asyncio.to_thread(self.change_while_held)
            if not self.in_order:
                await asyncio.to_thread(self.change)
                await asyncio.to_thread(self.wait_until_heard)
            for response in await asyncio.gather(*reads):
                assert value(response) in ((222,) if self.in_order else (111, 222))
            for client, names in ((a, self.names[::2]), (b, self.names[1::2])):
                await until_async(lambda c=client, n=names: all(c.balance(name) == 222 for name in n), 10, "the new values")
                for name in names if self.in_order else ():
                    assert set(shown(client, name)) == {222}, (name, shown(client, name))
                client.check()
            for lane, name in zip(every, self.names * 2):
                await self.newest(lane, name)
            for name in self.names:
                body = self.redis.body(name)
                assert body is None or json.loads(body)["minor"] == 222, body


def test_what_was_fetched_before_an_invalidation_is_neither_kept_nor_shown(replicas, redis, origin):
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)

    async def go():
        async with lanes(replicas[:1], ROUNDS_AT_A_TIME) as first, lanes(replicas[1:], ROUNDS_AT_A_TIME) as second:
            for _ in range(ROUNDS // ROUNDS_AT_A_TIME):
                await Batch(replicas, redis, origin, rng).run(first + second)
    asyncio.run(go())


def test_storm_of_invalidations_ends_and_everybody_is_answered(replicas, redis, origin):
    alice = account("storm")
    origin.set(alice, 0)
    origin.delay = 0.05

    async def go():
        async with reading(replicas[0], alice) as client, lanes(replicas, 20) as every:
            reads = []
            for i in range(1, 121):
                origin.set(alice, i)
                redis.invalidate(alice)
                if i % 6 == 0:
                    reads.append(asyncio.create_task(every[i // 6 - 1].read(alice)))
                await asyncio.sleep(0.005)  # faster than the origin can answer
            for response in await asyncio.gather(*reads):
                value(response)
            await until_async(lambda: client.balance(alice) == 120, 10, "the last value")
            client.check()
    try:
        asyncio.run(go())
    finally:
        origin.delay = 0.0
    assert origin.calls(alice) < 150  # at most one at a time


def test_nonsense_on_the_channel_is_counted_and_moves_nothing(replicas, redis, origin):
    alice = account()
    origin.set(alice, 1)
    assert value(read(replicas[0], alice)) == 1
    calls, before = origin.calls(), replicas[0].metrics()
    nonsense = ["", "a b", "x" * 65, "{", "{}", "[]", '{"accountId":7}', '{"accountId":"a","v":-1}', '{"accountId":"a|b"}', "\xff\x00",
                '{"accountId":"a","accountId":"b"}', '{"accountId":"a","currency":"naira"}', "y" * 70_000]
    for payload in nonsense:
        redis.invalidate(payload)
    unreadable = 'bgw_invalidations_total{result="unreadable"}'
    until(lambda: replicas[0].metrics()[unreadable] == before[unreadable] + len(nonsense), 10, "its being counted")
    assert origin.calls() == calls and replicas[0].metric("bgw_channel_up") == 1
    origin.set(alice, 2)
    redis.invalidate(alice)
    until(lambda: value(read(replicas[0], alice)) == 2, 5, "the new value")


# ---- invalidations that do not come ----

def test_what_nobody_published_is_found_in_the_sweeps_stated_time(redis, origin):
    """Its publisher died between write and publish. 20 watched accounts, 10 of them a second: 2 s, and what Redis had kept
    is at most 5.5 s old."""
    names = [account("swept") for _ in range(20)]
    for name in names:
        origin.set(name, 1)
    common = {"LEDGER_INTERNAL": origin.url, "BGW_SWEEP_PER_S": 10, "BGW_REWIND": "beginning"}

    async def go(gateway, within, minor, both_are_there):
        async with reading(gateway, *names) as client:
            await until_async(lambda: len(client.balances) == len(names), 10, "the first values")
            before = gateway.metrics()
            await both_are_there.wait()
            began = time.monotonic()
            for name in names[::5]:
                origin.set(name, minor)  # the other's too: both look for the same
            await until_async(lambda: all(client.balance(n) == minor for n in names[::5]), 15, "the sweep")
            assert time.monotonic() - began < within
            after, diverged = gateway.metrics(), 'bgw_sweep_total{result="diverged"}'
            assert after[diverged] - before[diverged] >= 1
            assert origin.calls(since=began) <= 2 * 10 * (time.monotonic() - began) * 1.3 + 8
            client.check()

    with Gateway(**common) as alone, Gateway(kafka=alone.bootstrap, **common, **redis.settings) as cached:
        heard(cached)

        async def both():
            both_are_there = asyncio.Barrier(2)
            await asyncio.gather(go(alone, 5.5, 2, both_are_there), go(cached, 11.0, 2, both_are_there))
        asyncio.run(both())


def test_nothing_is_older_after_the_channel_was_deaf_and_the_origin_is_not_stormed(replicas, redis, origin):
    names = [account("deaf") for _ in range(100)]
    for name in names:
        origin.set(name, 1, v=1)

    async def go():
        async with reading(replicas[0], *names) as a, reading(replicas[1], *names) as b, lanes(replicas, 2) as every:
            for client in (a, b):
                await until_async(lambda c=client: len(c.balances) == len(names), 20, "the first values")
            redis.call("ACL", "SETUSER", "bgw", "resetchannels")
            redis.cut_subscribers()
            await asyncio.to_thread(until, lambda: all(g.metric("bgw_channel_up") == 0 for g in replicas), 10, "its loss")
            for name in names:
                origin.set(name, 2, v=2)
                assert redis.invalidate(name) == 0
            await asyncio.sleep(3.5)  # longer than anything may be called fresh without proof
            for lane in every:
                for name in names[:10]:
                    response = await lane.read(name)
                    assert value(response) == 2 or response.json()["state"] != "fresh", response.body
            redis.call("ACL", "SETUSER", "bgw", "allchannels")
            healed = time.monotonic()
            await asyncio.to_thread(heard, *replicas)
            for client in (a, b):
                await until_async(lambda c=client: all(c.balance(n) == 2 for n in names), 10, "the newest values")
            times = sorted(at for at, name in origin.asked if at >= healed and name.startswith("deaf-"))
            for lane in every:
                assert {value(await lane.read(name)) for name in names} == {2}
            for client in (a, b):
                client.check()
            for at in times:  # of each replica so many a second, with some of the next
                assert sum(1 for t in times if at <= t < at + 0.5) <= 2 * REVALIDATE_PER_S * 0.5 * 1.5 + 4, len(times)
    try:
        asyncio.run(go())
    finally:
        redis.call("ACL", "SETUSER", "bgw", "allchannels")


def test_channel_that_is_cut_again_and_again_loses_nothing_for_good(replicas, redis, origin):
    names = [account("cut") for _ in range(30)]
    for name in names:
        origin.set(name, 0, v=1)

    async def go():
        async with reading(replicas[0], *names) as a, reading(replicas[1], *names) as b:
            for client in (a, b):
                await until_async(lambda c=client: len(c.balances) == len(names), 20, "the first values")
            for step in range(1, 60):
                if step % 4 == 0:
                    redis.cut_subscribers()
                for name in names[step % 3::3]:
                    origin.set(name, step, v=step + 1)
                    redis.invalidate(name)
                await asyncio.sleep(0.025)
            want = {name: origin.values[name, "NGN"]["minor"] for name in names}
            await asyncio.to_thread(heard, *replicas)
            for client in (a, b):
                await until_async(lambda c=client: all(c.balance(n) == want[n] for n in names), 10, "the newest values")
                client.check()
            for g in replicas:
                assert g.metric("bgw_channel_lost_total") >= 1
    asyncio.run(go())


# ---- values that are older, wrong or gone ----

def test_older_value_planted_in_redis_is_never_shown(replicas, redis, origin):
    alice = account("plant")
    origin.set(alice, 900, v=90)
    with every_dialect(replicas, BEARER, alice) as watchers:
        for w in watchers:
            w.until(900)
        for v in (5, 89):
            redis.hash(alice, 10 * v, v)
            redis.call("SET", f"bal:{alice}", as_json(alice, minor=10 * v, pendingMinor=0, v=v), "PX", 60000)
            before = taken(replicas)
            redis.invalidate(alice) if v == 5 else redis.invalidate(as_json(alice))
            until(lambda: all(n > b for n, b in zip(taken(replicas), before)), 5, "the invalidation")
            for g in replicas:
                for headers in ((), ("Cache-Control: no-cache",)):
                    assert value(read(g, alice, *headers)) == 900
        origin.set(alice, 910, v=91)
        redis.invalidate(alice)
        for w in watchers:
            w.until(910)
            assert set(w.shown()) == {900, 910}, (w.name, w.shown())


def test_wrong_record_without_version_is_corrected_by_an_invalidation_for_everybody(replicas, redis, origin):
    alice, feed = account("wrong"), Feed(replicas[0].bootstrap, readers=replicas)
    origin.set(alice, 500)
    feed.put(alice, 500, v=None)
    feed.flush()
    with every_dialect(replicas, BEARER, alice) as watchers:
        for w in watchers:
            w.until(500)
        feed.put(alice, 999, v=None)  # what the ledger never had
        feed.flush()
        for w in watchers:
            w.until(999)
        redis.invalidate(alice)
        for w in watchers:
            w.until(500)
        for g in replicas:
            assert value(read(g, alice)) == 500
        origin.set(alice, 501)  # its record is lost
        redis.invalidate(as_json(alice))
        for w in watchers:
            w.until(501)
        origin.set(alice, 502)
        feed.put(alice, 502, v=None)  # the stream goes on from there
        feed.flush()
        for w in watchers:
            w.until(502)
        for g in replicas:
            assert value(read(g, alice)) == 502


def test_value_of_a_quiet_account_comes_unasked_when_its_origin_is_back(replicas, origin):
    alice = account("quiet")
    origin.set(alice, 77)
    origin.stop()
    try:
        with contextlib.ExitStack() as stack:
            watchers = [kind(g, BEARER, alice) for g in replicas for kind in (NativeWatcher, StreamWatcher)]
            for w in watchers:
                stack.callback(w.close)
            until(lambda: watchers[0].client.states.get(alice) == "unknown", 10, "its being unknown")
            reasons = [f["reason"] for f in watchers[0].client.frames if f["ev"] == "state" and alice in f["keys"]]
            assert set(reasons) == {"source_unavailable"}
            assert not any(w.shown() for w in watchers)
            origin.start()
            for w in watchers:
                w.until(77, 20)
                assert w.shown() == [77]
    finally:
        if origin.listener.fileno() < 0:
            origin.start()


def test_flushall_under_load_shows_no_zero_and_nothing_older(replicas, redis, origin):
    names = [account("flush") for _ in range(10)]
    going = {name: 1 for name in names}
    for name in names:
        origin.set(name, 10, v=1)
    end = threading.Event()

    def write():
        with contextlib.closing(redis.connect()) as mine:
            while not end.wait(0.005):
                name = random.choice(names)
                going[name] += 1
                origin.set(name, 10 * going[name], v=going[name])
                mine.call("PUBLISH", "balance:invalidate", name)

    async def look(lane, seen, stop):
        while time.monotonic() < stop:
            name = random.choice(names)
            response = await lane.read(name)
            minor, version = value(response), version_key(response.json()["v"])
            assert minor == 10 * version[1][0] >= 10, response.body
            assert version >= seen.get(name, version), (name, seen[name], version)
            seen[name] = version

    async def flush(stop):
        while time.monotonic() < stop:
            await asyncio.to_thread(redis.call, "FLUSHALL")
            await asyncio.sleep(0.03)

    async def go():
        stop = time.monotonic() + 3
        async with reading(replicas[0], *names) as client, lanes(replicas, 8) as every:
            await asyncio.gather(flush(stop), *(look(lane, {}, stop) for lane in every))
            end.set()
            await until_async(lambda: all(client.balance(n) == 10 * going[n] for n in names), 10, "the newest values")
            assert all(m >= 10 for n in names for m in shown(client, n))
            client.check()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        asyncio.run(go())
    finally:
        end.set()
        writer.join()


def test_tracking_makes_up_for_publishers(redis, origin):
    alice = account("tracked")
    redis.hash(alice, 1, 1)
    with Gateway(LEDGER_INTERNAL=origin.url, BGW_REDIS_TRACKING="true", BGW_SWEEP_PER_S=0, **redis.settings) as g:
        heard(g)
        watcher = NativeWatcher(g, BEARER, alice)
        watcher.until(1)
        redis.hash(alice, 2, 2)  # and nobody says so
        watcher.until(2)
        watcher.close()
