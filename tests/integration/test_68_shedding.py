# SPDX-License-Identifier: Apache-2.0
"""What costs the origin something, and is kept from it: the budget of calls and what is never shed, accounts that
nobody knows, mechanisms that an operator switches while reads go on, and the pages that count all that."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import statistics
import time

import pytest

from harness.gateway import Gateway
from harness.kafka import Feed
from harness.native import Native
from harness.origin import Origin
from harness.postgres import Postgres
from harness.raw import Raw
from harness.reads import Lane, honest_refusal, lanes, read, value
from harness.redis import Redis
from harness.tokens import token
from harness.wait import until
from test_61_revocations import post

LONG = bool(os.environ.get("BGW_LONG"))
SENTENCE = b"Service temporarily unavailable - please retry"
BEARER = token(everything=True)
AUTH = {"Authorization": f"Bearer {BEARER}"}
numbers = itertools.count(1)


def account(word="shed"):
    return f"{word}-{next(numbers)}"


def everything(name, currency):
    """An origin that knows every account."""
    return {"accountId": name, "currency": currency, "minor": 1 + len(name), "pendingMinor": 0}


def page(gateway, path):
    status, headers, body = gateway.http(path)
    assert status == 200 and headers["Cache-Control"] == "no-store", (status, body)
    return json.loads(body)


def switch(gateway, **flags):
    status, answer = post(gateway, flags, path="/flags")
    assert status == 200, answer
    return answer


def is_shed(response):
    if response.status != 503:
        value(response)
        return False
    assert response.body == SENTENCE and response.headers["retry-after"] == "1", (response.fields, response.body)
    assert response.headers["content-type"].split(";")[0] == "text/plain"
    return True


# ---- the budget ----

@pytest.mark.alone
def test_a_thousand_a_second_are_cut_to_the_budget_and_nothing_else_is_touched():
    rate, burst, asked_per_s, seconds = 400, 800, 1000, 10

    async def ask(lane, times, answers):
        for at in times:
            await asyncio.sleep(max(at - time.monotonic(), 0))
            answers.append(await lane.read(account()))

    async def beside(gateway, known, answers, end):
        async with Lane(gateway, BEARER) as lane:
            while time.monotonic() < end:
                for path in ("/health", "/livez", "/readyz", known, "/v1/stats/shedding"):
                    answers.append(await lane.read(path))
                answers.append((await asyncio.to_thread(gateway.http, "/metrics", True))[0])
                await asyncio.sleep(0.05)

    async def go(gateway, origin):
        answers, others = [], []
        known = account("known")
        origin.set(known, 1)
        assert (await asyncio.to_thread(read, gateway, known)).status == 200
        await asyncio.sleep(1 / rate * 4)  # the token of that one is back
        async with lanes([gateway], 250) as every:
            began, before = time.monotonic() + 0.05, origin.calls()
            times = [began + i / asked_per_s for i in range(asked_per_s * seconds)]
            side = asyncio.create_task(beside(gateway, known, others, began + seconds))
            await asyncio.gather(*(ask(lane, times[i::len(every)], answers) for i, lane in enumerate(every)))
            took = time.monotonic() - began
            await side
        return answers, others, took, origin.calls() - before

    with Origin(everything) as origin, Gateway(binary=os.environ["BGW_RELEASE_BIN"], LEDGER_INTERNAL=origin.url, LS_RATE_PER_SEC=rate,
                                               LS_BURST=burst, BGW_ORIGIN_CONNECTIONS=32, BGW_SWEEP_PER_S=0) as gateway:
        answers, others, took, calls = asyncio.run(go(gateway, origin))
        assert len(answers) == asked_per_s * seconds and seconds - 0.1 < took < seconds + 1.0, took
        admitted = sum(1 for r in answers if not is_shed(r))
        expected = burst + rate * took
        assert abs(admitted - expected) <= 0.05 * expected, (admitted, expected, calls)
        assert abs(calls - expected) <= 0.05 * expected, (admitted, expected, calls)
        assert all(r == 200 if isinstance(r, int) else r.status == 200 for r in others) and len(others) > 200
        assert statistics.median(r.seconds for r in answers if r.status == 503) < 0.05
        stats = page(gateway, "/v1/stats/cache")
        assert stats["shed"] == len(answers) - admitted
        assert gateway.metric("bgw_shed_total") == stats["shed"]


def test_what_redis_has_costs_nothing_and_a_shed_socket_gets_its_value_later():
    async def go(gateway, redis):
        names = [account() for _ in range(20)]
        async with Native(gateway, BEARER) as c:
            await c.sub(*names)
            said = [f for f in c.frames if f["ev"] == "state" and f.get("reason") == "shed"]
            assert said and all(f["state"] == "unknown" for f in said)
            await c.until(lambda: all(c.balance(n) for n in names), 30, "the values")
            c.check()
        hits = [account("hit") for _ in range(60)]
        for name in hits:
            redis.hash(name, 5, 1)
        async with Lane(gateway, BEARER) as lane:
            for name in hits:
                assert value(await lane.read(name)) == 5

    with Redis() as redis, Origin(everything) as origin, Gateway(LEDGER_INTERNAL=origin.url, LS_RATE_PER_SEC=10, LS_BURST=5, BGW_SWEEP_PER_S=0,
                                                                 **redis.settings) as gateway:
        until(lambda: gateway.metric("bgw_channel_up") == 1, 15, "Redis")
        asyncio.run(go(gateway, redis))


def test_stats_say_what_there_is():
    with Redis() as redis, Origin(everything) as origin, Gateway(LEDGER_INTERNAL=origin.url, LS_RATE_PER_SEC=1, LS_BURST=10, BGW_SWEEP_PER_S=0,
                                                                 BGW_HEDGE_MS=1000, BGW_REDIS_TIMEOUT_MS=1500, **redis.settings) as gateway:
        until(lambda: gateway.metric("bgw_channel_up") == 1, 15, "Redis")
        full = page(gateway, "/payments/load-shedding/stats")
        assert set(full) == {"tokensAvailable", "ratePerSecond", "burstCapacity", "timestamp"}
        assert (full["ratePerSecond"], full["burstCapacity"], full["tokensAvailable"]) == (1, 10, 10)
        first = account()
        for name in (first, account(), account(), first, first):
            value(read(gateway, name))
        cached = account()
        redis.hash(cached, 5, 1)
        assert value(read(gateway, cached)) == 5
        stats = until(lambda: (s := page(gateway, "/ledger/cache/stats"))["redisMemoryBytes"] and s, 10, "the memory")
        assert stats.keys() == page(gateway, "/v1/stats/cache").keys()
        assert (stats["l1"]["hits"], stats["l1"]["misses"], stats["l1"]["entries"]) == (2, 4, 4)
        assert (stats["l2"]["hits"], stats["l2"]["misses"], stats["l2"]["up"]) == (1, 3, True)
        assert (stats["origin"]["calls"], stats["origin"]["values"], stats["origin"]["up"]) == (3, 3, True)
        assert origin.calls() == 3 and stats["redisMemoryBytes"] > 100_000
        until(lambda: value(read(gateway, account())) and page(gateway, "/v1/stats/shedding")["tokensAvailable"] < 9, 15,
              "tokens to be taken faster than they come back")


def test_without_sources_the_pages_say_so():
    with Gateway() as gateway:
        stats = page(gateway, "/v1/stats/cache")
        assert not stats["l2"]["enabled"] and not stats["origin"]["enabled"] and stats["redisMemoryBytes"] is None
        assert honest_refusal(read(gateway, account())).code == "source_unavailable"


# ---- accounts that nobody knows ----

@pytest.fixture(scope="module")
def postgres():
    with Postgres() as p:
        p.sql("""insert into accounts select 'known-' || i, 'tnt_demo', 'NGN', i, 0, 1, now() from generate_series(1, 10000) i""")
        p.sql("insert into accounts values ('elsewhere', 't2', 'NGN', 5, 0, 1, now())")
        yield p


async def several(gateway, names):
    """{name: its part of the answer}, asked 200 at a time over four connections."""
    found, chunks = {}, [names[i:i + 200] for i in range(0, len(names), 200)]

    async def some(lane, mine):
        for chunk in mine:
            response = await lane.read("/v1/balances?" + "&".join(f"account={n}" for n in chunk))
            assert response.status == 200, response.body
            found.update({b["accountId"]: b for b in response.json()["balances"]})
    async with lanes([gateway], 4) as every:
        await asyncio.gather(*(some(lane, chunks[i::4]) for i, lane in enumerate(every)))
    return found


def test_filter_refuses_no_known_account_and_lets_one_unknown_in_a_hundred_through(postgres):
    unknown_count = 100_000 if LONG else 10_000
    rng = random.Random(1)
    unknown = [f"nobody-{rng.randrange(10**12)}" for _ in range(unknown_count)]
    with Redis() as redis, Gateway(binary=os.environ["BGW_RELEASE_BIN"], BGW_ORIGIN_PG=postgres.uri, BGW_KNOWN_KEYS_MAX=20_000, LS_RATE_PER_SEC=1_000_000,
                                   LS_BURST=1_000_000, BGW_SWEEP_PER_S=0, **redis.settings) as gateway:
        until(lambda: gateway.metric("bgw_channel_up") == 1, 15, "Redis")
        until(lambda: read(gateway, account("until")).status == 404 and gateway.metric("bgw_filtered_total") > 0, 15, "the filter")
        known = asyncio.run(several(gateway, [f"known-{i}" for i in range(1, 10_001)]))
        wrong = [b for b in known.values() if b["status"] != 200 or b["minor"] != int(b["accountId"].split("-")[1])]
        assert len(known) == 10_000 and not wrong, wrong[:3]

        before, reads = gateway.metric("bgw_filtered_total"), gets(redis)
        asked = asyncio.run(several(gateway, unknown))
        assert {b["status"] for b in asked.values()} == {404} and {b["code"] for b in asked.values()} == {"no_such_account"}
        leaked = len(unknown) - (gateway.metric("bgw_filtered_total") - before)
        assert leaked <= 0.01 * len(unknown) and gets(redis) - reads <= 0.01 * len(unknown), leaked

        async def one_by_one():
            async with Lane(gateway, BEARER) as lane:
                return [(await lane.read(account("no-one"))).seconds for _ in range(200)]
        assert statistics.median(asyncio.run(one_by_one())) < 0.02
        assert value(read(gateway, "elsewhere", bearer=token(everything=True, tenant="t2"))) == 5
        assert read(gateway, "elsewhere").status == 404


def gets(redis):
    """How many hashes Redis was asked for."""
    for line in redis.call("INFO", "commandstats").decode().splitlines():
        name, _, rest = line.partition(":calls=")
        if name in ("cmdstat_hmget", "cmdstat_hgetall"):
            return int(rest.split(",")[0])
    return 0


def test_account_that_is_new_is_known_by_its_record_and_by_the_next_list(postgres):
    with Gateway(BGW_ORIGIN_PG=postgres.uri, BGW_KNOWN_KEYS_S=1, LS_RATE_PER_SEC=100_000, LS_BURST=100_000) as gateway:
        until(lambda: read(gateway, account("until")).status == 404 and gateway.metric("bgw_filtered_total") > 0, 15, "the filter")
        by_record, by_list = account("new"), account("new")
        assert read(gateway, by_record).status == read(gateway, by_list).status == 404
        feed = Feed(gateway.bootstrap, readers=[gateway])
        feed.put(by_record, 8)
        feed.flush()
        until(lambda: read(gateway, by_record).status == 200, 5, "what the record said")
        postgres.put(by_list, 9, 1)
        until(lambda: read(gateway, by_list).status == 200, 10, "the next list")
        assert value(read(gateway, by_list)) == 9


def test_without_a_whole_list_nobody_is_refused_by_the_filter(postgres):
    with Gateway(BGW_ORIGIN_PG=postgres.uri, BGW_ORIGIN_PG_LIST_QUERY="select account_id, tenant_id from no_such_table") as gateway:
        for i in range(1, 30):
            assert value(read(gateway, f"known-{i}")) == i
        assert read(gateway, account("nobody")).status == 404 and gateway.metric("bgw_filtered_total") == 0


# ---- before anybody asks ----

def test_warmed_accounts_are_read_before_anybody_asks_and_not_all_at_once():
    at_start = [f"early-{i}" for i in range(5)]
    with Origin(everything) as origin, Gateway(LEDGER_INTERNAL=origin.url, BGW_WARMUP=",".join(at_start), BGW_WARMUP_PER_S=40,
                                               BGW_SWEEP_PER_S=0) as gateway:
        for name in at_start:
            origin.wait_for(1, name)
        for name in at_start:
            response = until(lambda n=name: (r := read(gateway, n)).headers.get("x-cache-status") == "HIT" and r, 5, "a hit")
            assert value(response) == 1 + len(name) and origin.calls(name) == 1
        later = [account("later") for _ in range(40)]
        began = time.monotonic()
        assert post(gateway, {"accounts": later}, path="/v1/warmup") == (202, {"accepted": 40})
        origin.wait_for(45)
        times = sorted(at - began for at, name in origin.asked if name in later)
        assert 0.7 < times[-1] < 6, times
        one_by_one = [account("later") for _ in range(20)]
        began = time.monotonic()
        for name in one_by_one:
            assert post(gateway, {"accounts": [name]}, path="/v1/warmup") == (202, {"accepted": 1})
        origin.wait_for(65)
        assert 0.35 < time.monotonic() - began < 6
        for nonsense in ({"accounts": ["a b"]}, {"accounts": []}, {"accounts": "a"}, {}, b"{"):
            assert post(gateway, nonsense, path="/v1/warmup")[0] == 400
        assert sorted(name for _, name in origin.asked) == sorted(at_start + later + one_by_one)


# ---- flags ----

@pytest.fixture(scope="module")
def origin():
    with Origin(everything) as o:
        yield o


@pytest.fixture(scope="module")
def redis():
    with Redis() as r:
        yield r


@pytest.fixture(scope="module")
def flagged(origin, redis):
    with Gateway(LEDGER_INTERNAL=origin.url, LS_RATE_PER_SEC=1, LS_BURST=1, BGW_FLAGS="l1,l2,hedge,push,filter,stale", BGW_SWEEP_PER_S=0,
                 **redis.settings) as g:
        until(lambda: g.metric("bgw_channel_up") == 1, 15, "Redis")
        yield g


def flags_of(gateway):
    status, _, body = gateway.http("/flags", admin=True)
    assert status == 200
    return json.loads(body)["flags"]


def test_flags_are_shown_and_switched_one_by_one_and_nonsense_is_refused(flagged):
    at_start = dict(shedding=False, l1=True, l2=True, hedge=True, push=True, filter=True, stale=True)
    assert flags_of(flagged) == at_start
    switch(flagged, hedge=False)
    assert flags_of(flagged) == at_start | {"hedge": False}
    for nonsense in ({"hedges": True}, {"hedge": "yes"}, {"hedge": 1}, [], b"{", {"hedge": True, "l3": False}):
        assert post(flagged, nonsense, path="/flags")[0] == 400, nonsense
    assert flags_of(flagged) == at_start | {"hedge": False}
    switch(flagged, hedge=True)


def test_shedding_is_switched_while_reads_go_on(flagged):
    for _ in range(10):
        assert not is_shed(read(flagged, account()))
    switch(flagged, shedding=True)
    assert any(is_shed(read(flagged, account())) for _ in range(4))
    switch(flagged, shedding=False)
    for _ in range(10):
        assert not is_shed(read(flagged, account()))


def test_l2_is_switched_while_reads_go_on(flagged, redis, origin):
    for on, minor, source in ((True, 12345, "cache"), (False, None, "database"), (True, 12345, "cache")):
        switch(flagged, l2=on)
        name = account("layer")
        redis.hash(name, 12345, 1)
        response = read(flagged, name)
        assert response.json()["source"] == source and value(response) == (minor or 1 + len(name))


def test_l1_is_switched_while_reads_go_on(flagged, origin):
    name = account("held")
    value(read(flagged, name))
    calls = origin.calls(name)
    switch(flagged, l1=False, l2=False)
    try:
        origin.set(name, 999)
        until(lambda: value(read(flagged, name)) == 999, 5, "what the origin has")
        assert origin.calls(name) > calls
    finally:
        switch(flagged, l1=True, l2=True)
    calls = origin.calls(name)
    assert value(read(flagged, name)) == 999 and origin.calls(name) == calls


def test_push_is_switched_and_who_is_connected_stays(flagged):
    async def go():
        async with Native(flagged, BEARER) as c:
            switch(flagged, push=False)
            try:
                status, headers, _ = flagged.http("/v1/stream?account=a", headers=AUTH)
                assert status == 503 and headers["Retry-After"]
                with Raw(flagged) as raw:
                    assert raw.upgrade(BEARER, expect=503).headers["retry-after"]
                assert value(await asyncio.to_thread(read, flagged, account())) > 0
                name = account()
                await c.sub(name)
                await c.until(lambda: c.balance(name), 5, "its value")
            finally:
                switch(flagged, push=True)
            async with Native(flagged, BEARER) as again:
                assert await again.sub(name)
    asyncio.run(go())


def test_filter_is_switched_while_reads_go_on(postgres):
    with Gateway(BGW_ORIGIN_PG=postgres.uri) as gateway:
        until(lambda: read(gateway, account("until")).status == 404 and gateway.metric("bgw_filtered_total") > 0, 15, "the filter")
        name = account("unlisted")
        postgres.put(name, 3, 1)
        assert read(gateway, name).status == 404
        switch(gateway, filter=False)
        with contextlib.suppress(AssertionError):
            until(lambda: read(gateway, name).status == 200, 5)
        assert value(read(gateway, name)) == 3
