# SPDX-License-Identifier: Apache-2.0
"""Sources in less usual forms: three sentinels that elect another primary, PostgreSQL over TLS, hashes whose `v` is no
order, invalidations that name an account and nothing else, accounts that no list has yet."""

import asyncio
import contextlib
import itertools
import json
import random
import threading
import time

import pytest

from harness.certs import Authority
from harness.gateway import Gateway
from harness.kafka import Feed
from harness.native import Native, version_key
from harness.origin import Origin
from harness.postgres_tls import Silent, TlsPostgres
from harness.reads import Lane, honest_refusal, lanes, read, value
from harness.redis import SERVERS, Redis, RedisError
from harness.sentinels import PASSWORD, Sentinels
from harness.tokens import token
from harness.wait import until, until_async

BEARER = token(everything=True)
numbers = itertools.count(1)


def account(word="more"):
    return f"{word}-{next(numbers)}"


def up(gateway):
    m = gateway.metrics()
    return m["bgw_redis_up"] == 1 and m["bgw_channel_up"] == 1


def degraded(gateway):
    status, _, body = gateway.http("/readyz?verbose")
    assert status == 200, body
    return json.loads(body).get("degraded", [])


@contextlib.asynccontextmanager
async def watching(gateway, *keys):
    """A native client that reads on by itself."""
    async with Native(gateway, BEARER) as client:
        await client.sub(*keys, live=False)

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


# ---- sentinels ----

class Ledger(threading.Thread):
    """Goes on moving money: first the origin, then the hash and the message, while there is a primary that takes them.
    What the primary did not take is lost, as it would be for a projector that dies."""

    def __init__(self, origin, sentinels, names):
        super().__init__(daemon=True)
        self.origin, self.sentinels, self.names = origin, sentinels, names
        self.versions, self.ending = dict.fromkeys(names, 1), threading.Event()
        self.connection = sentinels.nodes[0].connect()  # its own: Redis.call is one thread's
        self.start()

    def run(self):
        rng = random.Random(5)
        while not self.ending.wait(0.01):
            self.move(rng.choice(self.names))

    def move(self, name):
        self.versions[name] += 1
        v = self.versions[name]
        self.origin.set(name, v * 10, v=v)
        try:
            self.connection.call("HSET", f"balance:tnt_demo:{name}:NGN", "minor", v * 10, "v", v, "ts", 1700000000000)
            self.connection.call("PUBLISH", "balance:invalidate", json.dumps({"accountId": name, "tenant": "tnt_demo", "currency": "NGN", "v": v}))
        except (OSError, RedisError):
            self.connection.close()
            primary = self.sentinels.primary()
            if primary:
                with contextlib.suppress(OSError):
                    self.connection = primary.connect()

    def end(self):
        self.ending.set()
        self.join(10)
        self.connection = until(self.sentinels.primary, 20, "a primary").connect()
        for name in self.names:  # the last word on each
            self.move(name)


async def read_on(gateway, names, ending):
    """Reads that never go back, and are honest when there is nothing to say."""
    rng, seen, count = random.Random(7), {}, 0
    async with Lane(gateway, BEARER) as lane:
        while not ending.is_set():
            name = rng.choice(names)
            response = await lane.read(name)
            count += 1
            if response.status != 200:
                honest_refusal(response)
                continue
            body = response.json()
            assert value(response) % 10 == 0 and version_key(body["v"]) >= seen.get(name, version_key(body["v"])), (name, body, seen[name])
            seen[name] = version_key(body["v"])
            await asyncio.sleep(0.002)
    return count


@pytest.mark.parametrize("server", SERVERS)
def test_election_of_a_primary_is_followed_under_reads_writes_and_invalidations(server):
    busy, quiet, behind = [account("busy") for _ in range(20)], account("quiet"), account("behind")
    with Origin() as origin, Sentinels(server) as sentinels:
        old = sentinels.nodes[0]
        for name in (*busy, quiet, behind):
            origin.set(name, 10, v=1)
        origin.set(behind, 90, v=9)
        with Gateway(LEDGER_INTERNAL=origin.url, REDIS=sentinels.url, BGW_SWEEP_PER_S=0, LS_RATE_PER_SEC=100000, LS_BURST=100000) as g:
            until(lambda: up(g), 15, "Redis")
            assert sentinels.visitors(old) == 2
            asyncio.run(elect(g, origin, sentinels, (busy, quiet, behind)))
            new = until(sentinels.primary, 20, "the new primary")
            assert new is not old
            until(lambda: sentinels.visitors(new) == 2 and up(g), 10, "the new primary to be used")

            old.start()  # empty, and a primary in its own eyes
            until(lambda: not old.is_master(), 30, "the old primary to be a replica")
            until(lambda: up(g) and sentinels.visitors(new) == 2, 10, "the new one to be used")  # a sentinel may have cut what visited it
            assert sentinels.primary() is new and sentinels.visitors(old) == 0
            assert value(read(g, behind)) == 90
            fresh = account()
            new.hash(fresh, 70, 7)
            assert read(g, fresh).json()["source"] == "cache"
            assert PASSWORD not in g.log_text() and "estate" not in g.log_text()


async def elect(g, origin, sentinels, accounts):
    busy, quiet, behind = accounts
    ending = asyncio.Event()
    async with watching(g, *busy, quiet, behind) as client:
        await until_async(lambda: client.balance(behind) == 90 and client.balance(quiet) == 10, 10, "the first values")
        ledger = Ledger(origin, sentinels, busy)
        readers = [asyncio.create_task(read_on(g, busy, ending)) for _ in range(4)]
        await until_async(lambda: sum(ledger.versions.values()) > 40 + len(busy), 10, "some writes")
        sentinels.nodes[0].kill9()
        origin.set(quiet, 20, v=2)  # while nobody can be told
        new = None

        def elected():
            nonlocal new
            new = sentinels.primary()
            return new
        await asyncio.to_thread(until, elected, 30, "the election")
        elected_at = time.monotonic()
        await asyncio.to_thread(new.hash, behind, 50, 5)  # a write that the replica never got
        await asyncio.to_thread(until, lambda: up(g), 15, "the new primary to be used")
        print(f"used {time.monotonic() - elected_at:.2f} s after the election")
        await until_async(lambda: client.balance(quiet) == 20, 10, "what nobody could be told")
        for _ in range(5):  # a sentinel may have cut what visited it once more
            await asyncio.to_thread(until, lambda: new.invalidate(behind) >= 1, 10, "the channel")
            assert value(await asyncio.to_thread(read, g, behind)) == 90
        await asyncio.to_thread(ledger.end)
        ending.set()
        assert sum(await asyncio.gather(*readers)) > 100
        last = {name: 10 * v for name, v in ledger.versions.items()}
        await until_async(lambda: all(client.balance(n) == minor for n, minor in last.items()), 10, "the last values")
        for name, minor in last.items():
            assert value(await asyncio.to_thread(read, g, name)) == minor
        assert client.balance(behind) == 90
        client.check()


# ---- PostgreSQL over TLS ----

@pytest.fixture(scope="module")
def postgres():
    with TlsPostgres("localhost") as p:
        yield p


def test_postgres_is_asked_over_tls_alone(postgres):
    alice = account()
    postgres.put(alice, 9007199254740993, 3)
    with Gateway(BGW_ORIGIN_PG=postgres.secured()) as g:
        assert value(read(g, alice)) == 9007199254740993
        assert postgres.connections() and all(postgres.connections())
        postgres.restart()
        bob = account()
        postgres.put(bob, 4, 1)
        until(lambda: read(g, bob).status == 200, 20, "PostgreSQL to be used again")
        assert value(read(g, bob)) == 4 and postgres.connections() and all(postgres.connections())


@pytest.mark.parametrize("what", ["another authority", "another name"])
def test_postgres_that_is_not_the_right_one_is_not_asked_at_all(postgres, tmp_path, what):
    """It would take a connection in the clear, and nobody makes one."""
    alice = account()
    postgres.put(alice, 5, 1)
    right = what == "another name"
    uri = postgres.secured(None if right else Authority(tmp_path / "pki"), "127.0.0.1" if right else "localhost")
    with Gateway(BGW_ORIGIN_PG=uri) as g:
        for _ in range(3):
            assert honest_refusal(read(g, alice)).json()["code"] == "source_unavailable"
        until(lambda: "origin" in degraded(g), 10, "the health page to say so")
        events = [json.loads(line) for line in g.log_text().splitlines() if line.startswith("{")]
        details = [e.get("detail", "") for e in events if e["event"] == "origin_not_connected"]
        wanted = "does not match host name" if right else "certificate verify failed"
        assert any(wanted in d for d in details), details
        assert postgres.connections() == []


def test_handshake_that_stalls_delays_nobody(postgres):
    with Redis() as redis, Silent() as silent:
        uri = f"postgresql://bgw@localhost:{silent.port}/postgres?sslmode=verify-full&sslrootcert={postgres.authority.cert}"
        with Gateway(BGW_ORIGIN_PG=uri, BGW_ORIGIN_TIMEOUT_MS=1500, **redis.settings) as g:
            until(lambda: up(g), 15, "Redis")
            until(lambda: silent.connections, 10, "a connection")
            slow = []
            for i in range(30):
                alice = account()
                redis.hash(alice, i, 1)
                response = read(g, alice)
                assert value(response) == i and response.json()["source"] == "cache"
                slow.append(response.seconds)
            assert sorted(slow)[15] < 0.1 and sorted(slow)[-3] < 0.5, sorted(slow)
            assert honest_refusal(read(g, account())).seconds < 6
            assert up(g) and g.metric("bgw_channel_lost_total") == 0


# ---- a hash whose v is no order ----

@pytest.fixture(scope="module")
def redis():
    with Redis() as r:
        yield r


@pytest.fixture(scope="module")
def origin():
    with Origin() as o:
        yield o


def test_opaque_hash_is_a_read_that_the_next_one_replaces(redis, origin):
    with Gateway(LEDGER_INTERNAL=origin.url, BGW_HASH_V="opaque", BGW_SWEEP_PER_S=0, **redis.settings) as g:
        until(lambda: up(g), 15, "Redis")
        alice, bob = account("opaque"), account("opaque")
        redis.hash(alice, 5, 1000000)
        response = read(g, alice)
        assert value(response) == 5 and response.json()["source"] == "cache"
        first = version_key(response.json()["v"])
        assert response.json()["v"].split(".")[1] == "0" and response.json()["v"].count(".") == 2  # stamped, not a million

        async def go():
            async with watching(g, alice, bob) as client:
                await until_async(lambda: client.balance(alice) == 5, 10, "the first value")
                versions = [first]
                for i, (minor, v) in enumerate(((6, 3), (7, 3), (8, 2**62), (9, "0-17"))):  # offsets go back, or are none
                    redis.hash(alice, minor, v)
                    redis.invalidate(alice if i % 2 else json.dumps({"accountId": alice, "tenant": "tnt_demo", "currency": "NGN"}))
                    await until_async(lambda m=minor: client.balance(alice) == m, 10, f"{minor}")
                    response = await asyncio.to_thread(read, g, alice)
                    assert value(response) == minor
                    versions.append(version_key(response.json()["v"]))
                assert versions == sorted(set(versions))
                redis.hash(alice, 1, 1)  # older, and nobody says so: what is held stays
                assert value(await asyncio.to_thread(read, g, alice)) == 9
                feed = Feed(g.bootstrap, readers=[g])
                await asyncio.to_thread(feed.put, bob, 20)
                await asyncio.to_thread(feed.flush)
                await until_async(lambda: client.balance(bob) == 20, 10, "the record")
                redis.hash(bob, 21, 4)
                redis.invalidate(bob)
                await until_async(lambda: client.balance(bob) == 21, 10, "what the invalidation said")
                client.check()
        asyncio.run(go())


# ---- an invalidation that names an account and nothing else ----

def bodies(redis, name):
    return sorted(key.decode() for key in redis.call("KEYS", f"bal:*{name}*"))


def test_bare_invalidation_is_of_every_currency_and_tenant_whoever_wrote_them(redis, origin):
    settings = {"LEDGER_INTERNAL": origin.url, "BGW_SWEEP_PER_S": 0, "BGW_EPOCH": "one", "BGW_REWIND": "beginning"} | redis.settings
    other = token(everything=True, tenant="t2")
    with Gateway(**settings) as writer, Gateway(kafka=writer.bootstrap, **settings) as reader:
        for g in (writer, reader):
            until(lambda g=g: up(g), 15, "Redis")
        for round_ in range(20):
            alice = account("bare")
            usd = f"/ledger/accounts/{alice}/balance?currency=USD"
            for currency in ("USD", "NGN"):
                origin.set(alice, 1, currency=currency)
            assert value(read(writer, usd)) == value(read(writer, alice, bearer=other)) == value(read(writer, alice)) == 1
            keys = [f"bal:t2|{alice}|NGN", f"bal:tnt_demo|{alice}|USD", f"bal:{alice}"]
            until(lambda n=alice, k=keys: bodies(redis, n) == sorted(k), 10, "what is written back")
            for currency in ("USD", "NGN"):
                origin.set(alice, 2, currency=currency)
            before = [g.metrics()['bgw_invalidations_total{result="taken"}'] for g in (writer, reader)]
            redis.invalidate(alice if round_ % 2 else json.dumps({"accountId": alice}))
            until(lambda b=before: all(g.metrics()['bgw_invalidations_total{result="taken"}'] > n for g, n in zip((writer, reader), b)), 5,
                  "the invalidation")
            calls = origin.calls(alice)
            def all_of(g, name=alice, path=usd):
                return [value(read(g, path)), value(read(g, name, bearer=other)), value(read(g, name))]
            assert all_of(reader) == [2, 2, 2]  # it never saw the account
            until(lambda: all_of(writer) == [2, 2, 2], 5, "what it holds to be read again")
            assert origin.calls(alice) - calls <= 6


# ---- accounts that no list has yet ----

class Listing(Origin):
    """Counts how often its list is read."""

    def __init__(self):
        self.list, self.readings = [], 0
        super().__init__()

    @property
    def accounts(self):
        self.readings += 1
        return list(self.list)

    @accounts.setter
    def accounts(self, _):
        pass


def test_new_account_in_a_flood_of_invented_ones_is_found_by_who_asks_twice_and_makes_the_list_be_read():
    ending = asyncio.Event()

    async def flood(lane, part):
        for i in itertools.count():
            if ending.is_set():
                return i
            response = await lane.read(f"invented-{part}-{i}")
            assert response.status == 404 and response.code == "no_such_account", response.body

    async def find(lane, name, patience):
        """A 404 is kept for a second here, then it is asked for again."""
        for i in itertools.count(1):
            response = await lane.read(name)
            if response.status == 200:
                assert value(response) == 30
                return
            assert response.status == 404 and i <= patience, (name, i, response.body)
            await asyncio.sleep(0.7)

    async def go(g, origin, redis):
        async with lanes([g], 7) as every:
            floods = [asyncio.create_task(flood(lane, i)) for i, lane in enumerate(every[:6])]
            await until_async(lambda: g.metric("bgw_filtered_total") > 2000, 20, "the flood")
            for _ in range(6):
                name = account("new")
                origin.set(name, 30)
                origin.list.append(name)
                await find(every[6], name, 8)
            told = account("told")  # whose tenant nobody names
            origin.set(told, 31)
            assert await asyncio.to_thread(redis.invalidate, told) == 1
            await until_async(lambda: g.metrics()['bgw_invalidations_total{result="taken"}'] >= 1, 5, "the invalidation")
            assert value(await asyncio.to_thread(read, g, told, bearer=token(everything=True, tenant="t2"))) == 31
            await until_async(lambda: origin.readings >= 2, 15, "the list to be read again")
            ending.set()
            asked = sum(await asyncio.gather(*floods))
        passed = g.metric("bgw_filter_doubted_total")
        assert origin.readings <= 3 and asked > 5000, (origin.readings, asked)
        return passed

    with Redis() as redis, Listing() as origin:
        origin.list = ["somebody"]
        with Gateway(LEDGER_INTERNAL=origin.url, LS_RATE_PER_SEC=100000, LS_BURST=100000, BGW_READ_WATCH_S=1, **redis.settings) as g:
            until(lambda: up(g) and read(g, account("until")).status == 404 and g.metric("bgw_filtered_total") > 0, 15, "the filter")
            began = time.monotonic()
            passed = asyncio.run(go(g, origin, redis))
            assert passed <= 2 * (5 + 2 * (time.monotonic() - began + 5)), passed  # of two budgets


# ---- the start ----

@pytest.mark.parametrize("tracking", [False, True])
def test_invalidations_are_heard_as_soon_as_redis_is_there(redis, origin, tracking):
    """Not a heartbeat later: values that were read would be called delayed until then. With tracking the connection over which
    the first one is published takes longer to be ready than the one that is to hear it."""
    def at(text, event):
        return next(line["ts"] for line in map(json.loads, text.splitlines()) if line["event"] == event)

    apart = []
    for _ in range(3):
        with Gateway(LEDGER_INTERNAL=origin.url, BGW_REDIS_TRACKING=str(tracking).lower(), **redis.settings) as g:
            until(lambda: up(g), 15, "Redis")
            text = "\n".join(line for line in g.log_text().splitlines() if line.startswith("{"))
            up_at, heard_at = [time.mktime(time.strptime(t[:19], "%Y-%m-%dT%H:%M:%S")) + float(t[19:-1])
                               for t in (at(text, "redis_up"), at(text, "invalidations_heard"))]
            apart.append(heard_at - up_at)
    assert sorted(apart)[1] < 0.5, apart  # a heartbeat would be waited for each time
