# SPDX-License-Identifier: Apache-2.0
"""Sources that go away, stall, lie and come back: Redis, an HTTP origin, PostgreSQL. What is known is served and
labelled, what is not is refused, nothing is ever zero, and all of it ends by itself."""

import asyncio
import itertools
import json
import statistics
import time

import pytest

from harness.gateway import Gateway
from harness.native import Native
from harness.origin import Origin
from harness.postgres import Postgres
from harness.reads import honest_refusal, lanes, read, value
from harness.redis import SERVERS, Redis, Sentinel
from harness.tokens import token
from harness.wait import until

EXACT = 9007199254740993
numbers = itertools.count(1)


def account():
    return f"fail-{next(numbers)}"


def up(gateway):
    m = gateway.metrics()
    return m["bgw_redis_up"] == 1 and m["bgw_channel_up"] == 1


@pytest.fixture(scope="module")
def redis():
    with Redis() as r:
        yield r


@pytest.fixture(scope="module")
def origin():
    with Origin() as o:
        yield o


@pytest.fixture
def gw(redis, origin):
    with Gateway(LEDGER_INTERNAL=origin.url, BGW_ORIGIN_TIMEOUT_MS=1000, **redis.settings) as g:
        until(lambda: up(g), 15, "Redis")
        yield g


# ---- Redis and the HTTP origin ----

def test_redis_down_is_the_database_and_up_again_is_the_cache(gw, redis, origin):
    names = [account() for _ in range(12)]
    for i, name in enumerate(names):
        origin.set(name, i)
    redis.kill9()
    for i, name in enumerate(names[:10]):
        response = read(gw, name)
        assert value(response) == i and response.json()["source"] == "database" and response.seconds < 4
    until(lambda: gw.metric("bgw_redis_up") == 0 and gw.metric("bgw_channel_up") == 0, 10, "its loss to be seen")
    until(lambda: "redis" in json.loads(gw.http("/readyz?verbose")[2]).get("degraded", []), 10, "the health page to say so")
    assert gw.http("/readyz?verbose")[0] == 200
    response = read(gw, names[10])
    assert value(response) == 10 and response.seconds < 0.5  # the breaker: nobody waits for it
    redis.restart()
    until(lambda: up(gw), 20, "Redis to be used again")
    redis.hash(names[11], 777, 1)
    until(lambda: gw.metrics()['bgw_breaker_state{source="redis"}'] == 0 or read(gw, account()), 20, "the breaker")
    response = read(gw, names[11])
    assert (value(response), response.json()["source"]) == (777, "cache")
    until(lambda: not json.loads(gw.http("/readyz?verbose")[2]).get("degraded"), 10, "nothing to be degraded")


def test_stalled_redis_delays_neither_reads_nor_the_loop(gw, redis, origin):
    async def go():
        took = []
        async with lanes([gw], 8) as every:
            with redis.stalled():
                for i in range(10):
                    names = [account() for _ in every]
                    for name in names:
                        origin.set(name, i)
                    responses = await asyncio.gather(*(lane.read(name) for lane, name in zip(every, names)))
                    assert {value(r) for r in responses} == {i}
                    took += [r.seconds for r in responses]
        assert statistics.median(took) < 1.0 and max(took) < 5, sorted(took)
    asyncio.run(go())
    until(lambda: up(gw), 20, "Redis to be used again")


def test_origin_down_and_cached_is_the_cache_and_not_cached_is_503(gw, redis, origin):
    alice, nobody = account(), account()
    redis.hash(alice, 41, 1)
    origin.stop()
    try:
        response = read(gw, alice)
        assert value(response) == 41 and response.json()["source"] == "cache"
        for _ in range(8):
            assert honest_refusal(read(gw, nobody)).json()["code"] == "source_unavailable"
        until(lambda: gw.metrics()['bgw_breaker_state{source="origin"}'] == 2 or read(gw, account()), 10, "the breaker")
        assert min(read(gw, account()).seconds for _ in range(3)) < 0.3  # nobody waits for it any more
        assert value(read(gw, alice)) == 41
    finally:
        origin.start()
    origin.set(nobody, 3)
    until(lambda: read(gw, nobody).status == 200, 20, "the origin to be used again")
    assert value(read(gw, nobody)) == 3


def test_both_down_is_503_or_labelled_and_both_back_is_well_again_unasked(gw, redis, origin):
    known, quiet, bearer = account(), account(), token(everything=True)
    origin.set(known, 1234)
    origin.set(quiet, 4321)
    assert value(read(gw, known)) == 1234

    async def go():
        redis.kill9()
        origin.stop()
        try:
            async with Native(gw, bearer) as c:
                await c.sub(known, quiet)
                assert c.states[quiet] == "unknown" and c.balance(quiet) is None
                for _ in range(20):
                    honest_refusal(await asyncio.to_thread(read, gw, quiet))
                    response = await asyncio.to_thread(read, gw, known)
                    if response.status == 200:
                        assert value(response) == 1234
                        body = response.json()
                        assert body["state"] in ("fresh", "delayed")  # it was read less than BGW_STALE_MS ago
                        assert body["source"] == "l1" and int(response.headers["age"]) < 30
                    else:
                        honest_refusal(response)
                origin.start()
                await asyncio.to_thread(redis.restart)
                await c.until(lambda: c.balance(quiet) == 4321, 30, "the value, unasked")
                c.check()
        finally:
            if redis.proc.poll() is not None:
                redis.restart()
            if origin.listener.fileno() < 0:
                origin.start()
    asyncio.run(go())
    assert value(read(gw, quiet)) == 4321 and value(read(gw, known)) == 1234
    until(lambda: up(gw), 20, "Redis")


STALE_MS, FRESH_MS = 4000, 1500


def stale(response, minor):
    """Its age in seconds; it must be labelled in every way there is."""
    assert value(response) == minor and response.json()["state"] == "stale", response.body
    assert response.headers["x-cache-status"] == "STALE" and response.headers["warning"].startswith("110 "), response.fields
    assert response.headers["x-balance-source"] == response.json()["source"] == "l1"
    return int(response.headers["age"])


@pytest.mark.parametrize("said", [False, True], ids=["never-told", "told-that-it-changed"])
def test_what_only_a_source_had_is_stale_in_its_time_when_all_are_down_and_fresh_when_they_are_back(redis, origin, said):
    """Kafka is there and proved all the time, but has never named it: it vouches for nothing here."""
    alice, bearer = account(), token(everything=True)
    origin.set(alice, 1234)

    async def down(gateway, c):
        began = time.monotonic()
        origin.stop()
        if said:  # while invalidations can still be heard
            redis.invalidate(alice)
            await c.until(lambda: c.states[alice] == "delayed", 10, "the label: it is to be read again, and cannot be")
        redis.kill9()
        await c.until(lambda: c.states[alice] == "delayed", 10, "the label")
        await c.until(lambda: c.states[alice] == "stale", 10, "the worse label, unasked")
        assert STALE_MS / 1000 - 0.5 < time.monotonic() - began < STALE_MS / 1000 + 6
        assert c.balance(alice) == 1234 and c.states[alice] == "stale"
        first = stale(await asyncio.to_thread(read, gateway, alice), 1234)
        assert STALE_MS // 1000 - 1 <= first <= time.monotonic() - began + 1
        await c.drain(2)
        assert first + 1 <= stale(await asyncio.to_thread(read, gateway, alice), 1234) <= time.monotonic() - began + 1
        assert c.states[alice] == "stale"  # no failed attempt makes it look better

    async def go(gateway):
        try:
            async with Native(gateway, bearer) as c:
                await c.sub(alice)
                await c.until(lambda: c.balance(alice) == 1234 and c.states[alice] == "fresh")
                await down(gateway, c)
                origin.start()
                await c.until(lambda: c.states[alice] == "fresh", 15, "the source's word")
                await asyncio.to_thread(redis.restart)
                await asyncio.to_thread(until, lambda: up(gateway), 20, "Redis")
                await c.until(lambda: c.states[alice] == "fresh", 10, "its being fresh")
                response = await asyncio.to_thread(until, lambda: (r := read(gateway, alice)).json().get("state") == "fresh" and r, 10,
                                                   "its being read as fresh")
                assert value(response) == 1234 and "warning" not in response.headers
                c.check()
        finally:
            if redis.proc.poll() is not None:
                redis.restart()
            if origin.listener.fileno() < 0:
                origin.start()

    with Gateway(LEDGER_INTERNAL=origin.url, BGW_ORIGIN_TIMEOUT_MS=1000, BGW_FRESH_MS=FRESH_MS, BGW_STALE_MS=STALE_MS,
                 BGW_HEDGE_MS=0, **redis.settings) as g:
        until(lambda: up(g), 15, "Redis")
        asyncio.run(go(g))


def test_a_gateway_that_never_heard_redis_does_not_take_its_silence_for_calm(redis, origin):
    alice = account()
    origin.set(alice, 1234)

    async def go(gateway):
        async with Native(gateway, token(everything=True)) as c:
            await c.sub(alice)
            assert c.balance(alice) == 1234
            origin.stop()
            await c.until(lambda: c.states[alice] == "delayed", 10, "the label")
            await c.until(lambda: c.states[alice] == "stale", 10, "the worse label")
            assert c.balance(alice) == 1234

    redis.kill9()
    try:
        with Gateway(LEDGER_INTERNAL=origin.url, BGW_ORIGIN_TIMEOUT_MS=1000, BGW_FRESH_MS=FRESH_MS, BGW_STALE_MS=STALE_MS,
                     **redis.settings) as g:
            until(lambda: "invalidations_not_heard" in g.log_text(), 10, "it to be said")
            asyncio.run(go(g))
    finally:
        redis.restart()
        if origin.listener.fileno() < 0:
            origin.start()


def test_origin_that_lies_is_not_believed(gw, origin):
    for more in ({"accountId": "somebody-else"}, {"currency": "USD"}, {"minor": 1.5}, {"minor": "12"}, {"minor": None}, {"minor": 2**63},
                 {"tenant": "t2"}, {"pad": "x" * 400_000}):
        alice = account()
        origin.set(alice, 1)
        origin.values[alice, "NGN"].update(more)
        honest_refusal(read(gw, alice))


def test_slow_origin_is_given_up_at_its_deadline(gw, origin):
    alice = account()
    origin.set(alice, 1)
    with origin.hold(alice):
        response = honest_refusal(read(gw, alice))
        assert 0.5 < response.seconds < 6
    until(lambda: read(gw, alice).status == 200, 10, "the answer")


@pytest.mark.parametrize("server", SERVERS)
def test_redis_over_tls_with_a_user_and_a_password(server, origin):
    with Redis(server, user="bgw", password="s3cr/et@", tls=True) as redis:
        url = f"rediss://bgw:s3cr%2Fet%40@localhost:{redis.port}"
        with Gateway(LEDGER_INTERNAL=origin.url, REDIS=url, REDIS_CA=redis.authority.cert, BGW_REDIS_TIMEOUT_MS=1500) as g:
            until(lambda: up(g), 15, "Redis")
            alice = account()
            redis.hash(alice, 5, 1)
            assert read(g, alice).json()["source"] == "cache"
            origin.set(alice, 6, v=2)
            redis.call("DEL", f"balance:tnt_demo:{alice}:NGN")
            redis.invalidate(alice)
            until(lambda: value(read(g, alice)) == 6, 5, "what the invalidation said")
            assert "s3cr" not in g.log_text()
        with Gateway(LEDGER_INTERNAL=origin.url, REDIS=url) as g:  # an authority that nobody knows
            alice = account()
            origin.set(alice, 7)
            assert value(read(g, alice)) == 7 and g.metric("bgw_redis_up") == 0
        wrong = f"rediss://bgw:wrong@localhost:{redis.port}"
        with Gateway(LEDGER_INTERNAL=origin.url, REDIS=wrong, REDIS_CA=redis.authority.cert) as g:
            alice = account()
            origin.set(alice, 8)
            assert value(read(g, alice)) == 8 and g.metric("bgw_redis_up") == 0 and "wrong" not in g.log_text()


@pytest.mark.parametrize("server", SERVERS)
def test_failover_by_a_sentinel_is_followed_and_loses_no_version(server, origin):
    """The new master has an older value, as if it had been behind: who has seen more is not shown less."""
    alice = account()
    with Redis(server) as old, Redis(server) as new:
        new.call("REPLICAOF", "127.0.0.1", old.port)
        until(lambda: b"master_link_status:up" in new.call("INFO", "replication"), 20, "the replica")
        with Sentinel(old) as sentinel, Gateway(LEDGER_INTERNAL=origin.url, REDIS=sentinel.url) as g:
            until(lambda: up(g), 15, "Redis")
            old.hash(alice, 20, 2)
            assert value(read(g, alice)) == 20
            old.kill9()
            until(lambda: sentinel.master() == new.port and new.is_master(), 20, "the failover")
            new.hash(alice, 10, 1)
            until(lambda: up(g), 20, "the new master to be used")
            for _ in range(3):
                until(lambda: new.invalidate(alice) >= 1, 10, "the channel")
                assert value(read(g, alice)) == 20
            origin.set(alice, 30, v=3)
            new.call("DEL", f"balance:tnt_demo:{alice}:NGN")
            new.invalidate(alice)
            until(lambda: value(read(g, alice)) == 30, 5, "what the invalidation said")
            other = account()
            new.hash(other, 40, 1)
            assert read(g, other).json()["source"] == "cache"


# ---- PostgreSQL ----

@pytest.fixture(scope="module")
def postgres():
    with Postgres() as p:
        yield p


@pytest.fixture(scope="module")
def pg(postgres):
    with Gateway(BGW_ORIGIN_PG=postgres.uri, BGW_ORIGIN_TIMEOUT_MS=700, BGW_KNOWN_KEYS_MAX=0) as g:
        yield g


def put(postgres, minor, v, **more):
    alice = account()
    postgres.put(alice, minor, v, **more)
    return alice


def test_rows_are_read_exactly(pg, postgres):
    for minor, pending in ((EXACT, -EXACT), (2**63 - 1, -(2**63)), (-(2**63), 2**63 - 1), (0, 0)):
        response = read(pg, put(postgres, minor, 41, pending=pending))
        assert value(response) == minor and response.json()["pendingMinor"] == pending
        assert response.json()["source"] == "database" and response.json()["v"].endswith(".41")
        assert abs(response.json()["ts"] / 1000 - time.time()) < 30
    alice = put(postgres, 7, 1, currency="USD")
    assert value(read(pg, f"/ledger/accounts/{alice}/balance?currency=USD")) == 7
    assert read(pg, alice).code == "no_such_account"
    alice = put(postgres, 8, 1, tenant="t2")
    assert read(pg, alice).status == 404 and value(read(pg, alice, bearer=token(everything=True, tenant="t2"))) == 8
    assert read(pg, "it%27s").status == 400


def test_slow_query_is_503_within_the_deadline_and_leaves_the_pool_as_it_was(pg, postgres):
    names = [put(postgres, i, 1) for i in range(30)]

    async def go():
        async with lanes([pg], 30) as every:
            with postgres.locked():
                responses = await asyncio.gather(*(lane.read(name) for lane, name in zip(every, names)))
                for r in responses:
                    assert honest_refusal(r).seconds < 6
    asyncio.run(go())
    for i, name in enumerate(names):
        until(lambda n=name: read(pg, n).status == 200, 15, "the answer")
        assert value(read(pg, name)) == i
    until(lambda: int(postgres.sql("select count(*) from pg_stat_activity where state='active' and pid<>pg_backend_pid()")[0][0]) == 0, 10,
          "the end of what was cancelled")
    assert int(postgres.sql("select count(*) from pg_stat_activity where usename='bgw' and application_name<>'psql'")[0][0]) <= 9


def test_postgres_that_is_killed_comes_back_by_itself(pg, postgres):
    alice, bob = put(postgres, 1, 1), put(postgres, 2, 1)
    assert value(read(pg, alice)) == 1
    postgres.kill9()
    honest_refusal(read(pg, bob))
    assert read(pg, bob).seconds < 6
    response = read(pg, alice)
    assert response.status == 503 or value(response) == 1
    postgres.restart()
    until(lambda: read(pg, bob).status == 200, 20, "PostgreSQL to be used again")
    assert value(read(pg, bob)) == 2 and value(read(pg, alice)) == 1


def test_password_of_postgres_is_not_in_the_log_and_a_wrong_address_is_no_start(postgres):
    env = {"BGW_ORIGIN_PG": f"postgresql://bgw:hush-hush@127.0.0.1:{postgres.port}/no_such_database"}
    with Gateway(**env) as g:
        honest_refusal(read(g, account()))
        assert "hush" not in g.log_text()
    with Gateway(wait=False, BGW_ORIGIN_PG="mysql://host/database") as g:
        assert g.proc.wait(15) == 3 and "BGW_ORIGIN_PG" in g.log_text(), g.log_text()
        g.ended = True
