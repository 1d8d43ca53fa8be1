# SPDX-License-Identifier: Apache-2.0
"""What was taken back: by the admin call or a record of the topic, on each replica, within a second,
and after a restart. The records of a stream of 1,000 a second say when they were put: which of them a client was
sent is how soon it was cut, however late it reads."""

import asyncio
import contextlib
import itertools
import json
import time
import urllib.error
import urllib.request

import pytest
import websockets
from confluent_kafka import Producer
from confluent_kafka.admin import ConfigResource

from harness.gateway import Gateway
from harness.kafka import Feed
from harness.native import Closed, Native
from harness.tokens import token
from harness.wait import until, until_async

ACCOUNTS = [f"acc-{i}" for i in range(20)]
RATE = 1000
WITHIN_S = 1.0
numbers = itertools.count(1)


def fresh(word):
    return f"{word}-{time.time_ns()}-{next(numbers)}"


def post(gateway, what, headers=None, path="/revocations"):
    """(status, object) of the admin call."""
    body = what if isinstance(what, bytes) else json.dumps(what).encode()
    request = urllib.request.Request(f"http://{gateway.info['admin']}{path}", data=body, method="POST",
                                     headers={"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read())


class Reader(Native):
    """Remembers when the last record of each account was put, and reads until it is closed."""

    async def __aenter__(self):
        self.last, self.closed, self.closed_at, self.revoked_at = {}, None, None, None
        await super().__aenter__()
        return self

    def on_upd(self, frame):
        super().on_upd(frame)
        for entry in frame["u"]:
            self.last[entry["k"]] = int(entry["d"]["minor"]) / 1e6

    def on_revoked(self, frame):
        super().on_revoked(frame)
        self.told()

    def told(self):
        """By the newest record before it."""
        self.revoked_at = self.revoked_at or max(self.last.values(), default=0)

    async def read_on(self):
        try:
            while True:
                await self.receive(30)
        except Closed as closed:
            self.closed, self.closed_at = closed, time.time()
            self.told()


class Stream:
    """RATE records a second over ACCOUNTS, from inside the event loop, each with its time in microseconds for a balance;
    versions go on from one stream to the next."""

    versions = {}

    def __init__(self, bootstrap, topic):
        self.feed, self.sent = Feed(bootstrap, topic), 0
        self.feed.versions = self.versions.setdefault(topic, {})

    async def run(self):
        began, accounts = time.monotonic(), itertools.cycle(ACCOUNTS)
        while True:
            for _ in range(int((time.monotonic() - began) * RATE) - self.sent):
                self.feed.put(next(accounts), int(time.time() * 1e6))
                self.sent += 1
            await asyncio.sleep(0.005)

    async def __aenter__(self):
        self.task = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *unused):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        self.feed.flush()


@contextlib.asynccontextmanager
async def reading(gateway, its_token):
    async with Reader(gateway, its_token) as client:
        await client.sub(*ACCOUNTS, live=False)
        task = asyncio.create_task(client.read_on())
        try:
            yield client
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def sees(client, updates=30):
    async with asyncio.timeout(20):
        start = len(client.frames)
        while len(client.frames) < start + updates or set(client.last) != set(ACCOUNTS):
            assert not client.closed, client.closed
            await asyncio.sleep(0.01)


async def refused_with(gateway, its_token):
    with pytest.raises(websockets.InvalidStatus) as refusal:
        await websockets.connect(gateway.ws, subprotocols=["bgw.v1"], proxy=None,
                                 additional_headers={"Authorization": f"Bearer {its_token}"})
    response = refusal.value.response
    return response.status_code, json.loads(response.body)["code"]


def on(kafka, topic, revocations, **env):
    return Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, TOPIC_REVOCATIONS=revocations, **env)


def produce(kafka, topic, records):
    """(key, value) pairs, acknowledged."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for key, value in records:
        producer.produce(topic, key=key, value=value if value is None or isinstance(value, bytes) else json.dumps(value))
        producer.poll(0)
    assert producer.flush(20) == 0


@pytest.fixture(scope="module")
def replicas(kafka):
    topic, revocations = kafka.create(), kafka.create(fresh("revocations"), partitions=2, **{"cleanup.policy": "compact"})
    with on(kafka, topic, revocations) as one, on(kafka, topic, revocations) as two:
        yield one, two


def statement(kind, sub, jti):
    exp = int(time.time()) + 600
    return {"jti": {"jti": jti, "exp": exp},
            "before": {"sub": sub, "before": int(time.time()), "exp": exp},
            "accounts": {"sub": sub, "accounts": ACCOUNTS[:5], "exp": exp}}[kind]


@pytest.mark.parametrize("way", ["call", "record"])
@pytest.mark.parametrize("kind", ["jti", "before", "accounts"])
def test_revocation_acts_on_every_replica_within_a_second(kafka, replicas, kind, way):
    async def go():
        sub, jti = fresh("victim"), fresh("jti")
        one, two = replicas
        victims_token = token(ACCOUNTS, sub=sub, jti=jti, iat=int(time.time()) - 60)
        others_token = token(ACCOUNTS, sub=fresh("other"), jti=fresh("jti"), iat=int(time.time()) - 60)
        taken = ACCOUNTS[:5] if kind == "accounts" else ACCOUNTS
        async with (Stream(one.bootstrap, one.topic), reading(one, victims_token) as v1, reading(two, victims_token) as v2,
                    reading(one, others_token) as o1, reading(two, others_token) as o2):
            for client in (v1, v2, o1, o2):
                await sees(client)
            what = statement(kind, sub, jti)
            if way == "call":
                called = next(numbers) % 2  # whichever was called
                status, answer = await asyncio.to_thread(post, replicas[called], what)
                assert (status, answer) == (200, {"applied": True, "recorded": True})
            else:
                await asyncio.to_thread(produce, kafka, one_topic(replicas), [(b"k", what)])
            returned = time.time()
            before = {c: len(c.frames) for c in (o1, o2)}
            stay = (o1, o2, v1, v2) if kind == "accounts" else (o1, o2)
            after = returned + WITHIN_S + 0.1  # a hundred records that nobody who was revoked may see
            await until_async(lambda: all(c.last[a] > after for c in stay for a in ACCOUNTS if c in (o1, o2) or a not in taken)
                              and all(len(c.revoked) >= len(taken) if kind == "accounts" else c.closed for c in (v1, v2))
                              and all(len(c.frames) > before[c] + 50 for c in (o1, o2)), 20, "the stream to go on, and be read")
            for name, client in (("replica 1", v1), ("replica 2", v2)):
                last = max(client.last[account] for account in taken)
                print(f"{kind} by {way}, {name}: last record of {1000 * (last - returned):.0f} ms after the return, "
                      f"told behind that of {1000 * (client.revoked_at - returned):.0f} ms after it")
                assert last <= returned + WITHIN_S and client.revoked_at <= returned + WITHIN_S
                if kind == "accounts":
                    assert sorted(client.revoked) == sorted(taken) and not client.closed
                    assert all(client.last[a] > returned + WITHIN_S for a in ACCOUNTS[5:])
                    client.hashes = {slot: h for slot, h in client.hashes.items() if slot[0] not in taken}
                else:
                    assert client.bye["code"] == 3510 and client.closed.code == 3510
            for other in (o1, o2):
                assert not other.closed and not other.revoked and len(other.frames) > before[other] + 50
                assert all(other.last[a] > returned + WITHIN_S for a in ACCOUNTS)
                other.check()  # contiguous: no gap
            if kind == "accounts":
                async with Native(one, victims_token) as again:
                    reply = await again.sub(*ACCOUNTS)
                    assert sorted(d["key"] for d in reply["denied"]) == sorted(taken)
            else:
                for gateway in replicas:
                    assert await refused_with(gateway, victims_token) == (401, "revoked")
            if kind == "before":  # a token that was issued afterwards is welcome
                async with Native(two, token(ACCOUNTS, sub=sub, iat=int(time.time()) + 1)) as again:
                    await again.expect("hello")
    asyncio.run(go())


def one_topic(replicas):
    """The revocations' topic, by the settings that the gateway itself reports having read."""
    log = next(json.loads(line) for line in replicas[0].log_text().splitlines() if "kafka_log_caught_up" in line)
    return log["topic"]


def test_revoked_token_is_refused_right_after_a_restart(kafka):
    async def go():
        topic, revocations = kafka.create(), kafka.create(fresh("revocations"), partitions=3, **{"cleanup.policy": "compact"})
        exp = int(time.time()) + 600
        mine = token(ACCOUNTS, jti=fresh("jti"))
        last = fresh("last")
        many = [(f"jti::{i}", {"jti": f"old-{i}", "exp": exp}) for i in range(20000)]
        produce(kafka, revocations, many + [("bad", b"{nonsense"), ("gone", None), ("over", {"jti": "x", "exp": 5}),
                                            ("last", {"jti": last, "exp": exp})])
        lasts = token(ACCOUNTS, jti=last)
        for _ in range(2):
            with on(kafka, topic, revocations) as g:
                assert await refused_with(g, lasts) == (401, "revoked")
                async with Native(g, mine) as c:
                    await c.expect("hello")
                metrics = g.metrics()
                assert metrics['bgw_revocations_total{result="applied"}'] == 20001
                assert metrics['bgw_revocations_total{result="refused"}'] == 1
                assert metrics['bgw_revocations_total{result="expired"}'] == 1
                assert "nonsense" not in g.log_text() and "revocation_refused" in g.log_text()
                until(lambda g=g: g.metric("bgw_revocations_held") == 20001, what="the gauge")
        with on(kafka, topic, revocations) as g:  # and what a call says is known to the next one
            sub = fresh("sub")
            his = token(ACCOUNTS, sub=sub, iat=int(time.time()) - 10)
            assert post(g, {"sub": sub, "before": int(time.time())})[0] == 200
            g.kill()
        with on(kafka, topic, revocations) as g:
            assert await refused_with(g, his) == (401, "revoked")
    asyncio.run(go())


def test_later_and_weaker_statement_does_not_take_the_stronger_ones_place_in_the_topic(kafka):
    topic, revocations = kafka.create(), kafka.create(fresh("revocations"), partitions=1, **{"cleanup.policy": "compact"})
    now = int(time.time())
    with on(kafka, topic, revocations) as g:
        for before, exp in ((now - 100, now + 600), (now - 50, now + 700), (now - 80, now + 700), (now - 10, now + 300)):
            assert post(g, {"sub": "s", "before": before, "exp": exp})[0] == 200
        for accounts in (["A"], ["B"]):
            assert post(g, {"sub": "s", "accounts": accounts, "exp": now + 600})[0] == 200
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "reader", "enable.auto.commit": False})
    consumer.assign([TopicPartition(revocations, 0, 0)])
    records = {}
    for _ in range(6):
        message = consumer.poll(10)
        records[message.key().decode()] = json.loads(message.value())
    consumer.close()
    assert records["sub::s"]["before"] == now - 50  # replaced the one it covers, and was not replaced
    assert sorted(r["before"] for r in records.values() if "before" in r) == [now - 80, now - 50, now - 10]
    assert sorted(r["accounts"] for r in records.values() if "accounts" in r) == [["A"], ["B"]]


def test_first_call_makes_the_topic_compacted_and_gives_what_it_records_an_end(kafka):
    async def go():
        topic, revocations = kafka.create(), fresh("revocations")
        with on(kafka, topic, revocations) as one, on(kafka, topic, revocations) as two:
            his = token(ACCOUNTS, jti="once")
            async with Native(two, his) as c:
                await c.expect("hello")
                assert post(one, {"jti": "once"}) == (200, {"applied": True, "recorded": True})
                with pytest.raises(Closed) as closed:  # replica two looks for the topic now and then
                    await c.drain(20)
                assert closed.value.code == 3510
            began = time.monotonic()
            async with Native(two, token(ACCOUNTS, jti="twice")) as c:
                await c.expect("hello")
                assert post(one, {"jti": "twice"})[0] == 200
                with pytest.raises(Closed):
                    await c.drain(10)
            assert time.monotonic() - began < 6
        resource = ConfigResource(ConfigResource.Type.TOPIC, revocations)
        config = kafka.admin.describe_configs([resource])[resource].result(20)
        assert config["cleanup.policy"].value == "compact"
    asyncio.run(go())


def test_topic_that_grows_or_is_recreated_is_read_on(kafka):
    topic, revocations = kafka.create(), kafka.create(fresh("revocations"), partitions=1, **{"cleanup.policy": "compact"})
    applied = 'bgw_revocations_total{result="applied"}'

    def put(partition, jti):
        failures = []
        producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
        producer.produce(revocations, key=jti, value=json.dumps({"jti": jti}), partition=partition,
                         on_delivery=lambda error, _: failures.append(error) if error else None)
        assert producer.flush(20) == 0
        return not failures  # a partition that was just added may not be known yet

    with on(kafka, topic, revocations) as g:
        assert put(0, "first")
        until(lambda: g.metrics()[applied] == 1, 15, "the first")
        kafka.grow(revocations, 3)
        until(lambda: put(2, "in a new partition"), 20)
        until(lambda: g.metrics()[applied] == 2, 30, "the record of a partition that was added")
        kafka.delete(revocations)
        kafka.create(revocations, partitions=2, **{"cleanup.policy": "compact"})
        until(lambda: put(1, "in the new topic"), 20)
        until(lambda: g.metrics()[applied] == 3, 60, "the record of the recreated topic")
        assert put(1, "and on")
        until(lambda: g.metrics()[applied] == 4, 15, "what follows")
        assert post(g, {"jti": "by call"}) == (200, {"applied": True, "recorded": True})
        assert g.http("/readyz", admin=True)[0] == 200


def test_expiry_in_the_stream_and_a_refresh_that_heals(replicas):
    async def go():
        one, _ = replicas
        sub, exp = fresh("sub"), int(time.time()) + 10
        short = token(ACCOUNTS, sub=sub, exp=exp)
        async with (Stream(one.bootstrap, one.topic), reading(one, short) as ends, reading(one, short) as goes_on):
            await sees(ends)
            await sees(goes_on)
            await goes_on.command("auth", token=token(ACCOUNTS, sub=sub))
            await until_async(lambda: goes_on.closed or ends.closed and min(goes_on.last.values()) > exp + 1, 30, "the stream to go on")
            last = max(ends.last.values())
            print(f"last record of {1000 * (last - exp):.0f} ms after exp; allowed: 300 ms")
            assert ends.closed.code == 3005 and last < exp + 0.3 and ends.closed_at > exp - 1
            assert not goes_on.closed and min(goes_on.last.values()) > exp + 1
            goes_on.check()
    asyncio.run(go())


def test_with_kafka_away_the_call_acts_here_and_says_that_it_is_not_recorded(kafka, replicas):
    async def go():
        one, two = replicas
        jti = fresh("jti")
        his = token(ACCOUNTS, jti=jti)
        what = {"jti": jti, "exp": int(time.time()) + 600}
        async with Reader(one, his) as c1, Reader(two, his) as c2:
            await c1.expect("hello")
            await c2.expect("hello")
            kafka.pause()
            try:
                status, answer = await asyncio.to_thread(post, one, what)
                assert status == 503 and answer["applied"] is True and answer["recorded"] is False, answer
                assert answer["status"] == 503 and "send it again" in answer["detail"]
                with pytest.raises(Closed) as closed:
                    await c1.drain(15)
                assert closed.value.code == 3510
                assert await refused_with(one, his) == (401, "revoked")
            finally:
                kafka.resume()
            until(lambda: one.http("/readyz", admin=True)[0] == 200, 30)
            until(lambda: post(one, what)[0] == 200, 30, "Kafka to take it")
            with pytest.raises(Closed) as closed:
                await c2.drain(20)
            assert closed.value.code == 3510
    asyncio.run(go())


def test_answers_name_what_is_wrong(replicas):
    one, _ = replicas
    exp = int(time.time()) + 600
    refused = 'bgw_revocations_total{result="refused"}'  # what others recorded may still be read, and applied
    before = one.metrics()[refused]
    for what, status in ((b"{", 400), (b'{"jti":"a","jti":"b"}', 400), (b"[]", 400), ({}, 422), ({"jti": "a", "sub": "b"}, 422),
                         ({"sub": "a", "before": 5, "accounts": ["x"]}, 422), ({"sub": "a", "accounts": ["no such id!"]}, 422),
                         ({"jti": "a", "exp": exp, "extra": 1}, 422), ({"sub": "a", "before": exp + 600}, 422)):
        got, answer = post(one, what)
        assert got == status, (what, got, answer)
        assert answer["applied"] is False and answer["recorded"] is False and answer["detail"] and answer["status"] == status
    assert one.metrics()[refused] == before + 9
    status, answer = post(one, {"jti": "a", "exp": 5})
    assert status == 200 and answer["applied"] is False and answer["code"] == "expired"
    assert post(one, {"jti": "a"}, {"Origin": "https://evil.example"})[0] == 403
    assert post(one, {"jti": "a"}, {"Content-Type": "text/plain"})[0] == 415
    assert post(one, b" " * 131073)[0] == 413
    assert post(one, {"jti": "a"}, path="/metrics")[0] == 405
