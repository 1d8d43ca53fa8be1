# SPDX-License-Identifier: Apache-2.0
"""A real Apache Kafka, stopped, killed, grown and recreated under a live gateway."""

import asyncio
import time

import pytest

from harness.gateway import Gateway
from harness.kafka import Feed
from harness.native import Native
from harness.tokens import token


def everyone():
    return token(everything=True)


@pytest.fixture
def topic(kafka):
    return kafka.create()


def on(kafka, topic, **env):
    return Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, **env)


def test_quiet_accounts_are_there_after_a_restart(kafka, topic):
    async def go():
        feed = Feed(kafka.bootstrap, topic)
        feed.raw("OLD", '{"accountId":"OLD","minor":77,"currency":"NGN","v":3}', timestamp=int(time.time() * 1000) - 3600_000)
        feed.put("NEW", 1)
        feed.flush()
        for _ in range(2):
            with on(kafka, topic) as g:
                async with Native(g, everyone()) as c:
                    await c.sub("OLD", "NEW")
                    assert (c.balance("OLD"), c.balance("NEW")) == (77, 1)
    asyncio.run(go())


def test_rewind_by_time_reads_no_further_back_than_it_says(kafka, topic):
    async def go():
        feed = Feed(kafka.bootstrap, topic)
        feed.raw("OLD", '{"accountId":"OLD","minor":77,"currency":"NGN","v":3}', timestamp=int(time.time() * 1000) - 3600_000)
        feed.put("NEW", 1)
        feed.flush()
        with on(kafka, topic, BGW_REWIND="60s") as g:
            async with Native(g, everyone()) as c:
                await c.sub("OLD", "NEW")
                assert c.balance("NEW") == 1 and c.balance("OLD") is None and c.states["OLD"] == "unknown"
    asyncio.run(go())


def test_account_older_than_the_rewind_is_answered_after_a_restart_and_its_next_record_arrives(kafka, topic):
    async def go():
        feed = Feed(kafka.bootstrap, topic)
        feed.raw("OLD", '{"accountId":"OLD","minor":77,"currency":"NGN","v":3}', timestamp=int(time.time() * 1000) - 3600_000)
        feed.flush()
        with on(kafka, topic) as g:
            async with Native(g, everyone()) as c:
                await c.sub("OLD")
                held = c.versions["OLD", "NGN"]
        with on(kafka, topic, BGW_REWIND="60s") as g:
            async with Native(g, everyone()) as c:
                await c.sub("OLD", since={"OLD": held})  # `live` comes: never silence
                assert c.balance("OLD") is None and c.states["OLD"] == "unknown"
                feed.put("OLD", 78, v=4)
                feed.flush()
                await c.until(lambda: c.balance("OLD") == 78)
                assert c.versions["OLD", "NGN"] == held.rsplit(".", 1)[0] + ".4"
                c.check()
    asyncio.run(go())


def test_idle_topic_stays_fresh_and_a_stopped_broker_does_not(kafka, topic):
    async def go():
        feed = Feed(kafka.bootstrap, topic)
        feed.put("A", 5)
        feed.flush()
        with on(kafka, topic, BGW_FRESH_MS=4000, BGW_STALE_MS=8000) as g:
            async with Native(g, everyone()) as c:
                await c.sub("A")
                await c.drain(6)
                assert c.states["A"] == "fresh" and not [f for f in c.frames if f["ev"] == "state"]
                kafka.pause()
                try:
                    await c.until(lambda: c.states["A"] == "delayed", what="delayed")
                    await c.until(lambda: c.states["A"] == "stale", what="stale")
                    assert c.balance("A") == 5
                finally:
                    kafka.resume()
                await c.until(lambda: c.states["A"] == "fresh", 30, what="fresh again")
                feed.put("A", 6)
                feed.flush()
                await c.until(lambda: c.balance("A") == 6)
                c.check()
    asyncio.run(go())


def test_killed_broker_comes_back_and_nothing_is_lost(kafka, topic):
    async def go():
        feed = Feed(kafka.bootstrap, topic)
        feed.put("A", 1)
        feed.flush()
        with on(kafka, topic, BGW_FRESH_MS=1500, BGW_STALE_MS=3000) as g:
            async with Native(g, everyone()) as c:
                await c.sub("A")
                kafka.kill()
                await c.until(lambda: c.states["A"] == "stale", 30, what="stale")
                kafka.start()
                for n in range(2, 50):
                    feed.put("A", n)
                feed.flush()
                await c.until(lambda: c.balance("A") == 49, 60)
                await c.until(lambda: c.states["A"] == "fresh", 30, what="fresh again")
                c.check()
    asyncio.run(go())


def test_added_partitions_are_a_new_epoch_and_lose_nothing(kafka):
    async def go():
        topic = kafka.create(partitions=1)
        feed = Feed(kafka.bootstrap, topic)
        for i in range(20):
            feed.put(f"A{i}", 1)
        feed.flush()
        with on(kafka, topic) as g:
            async with Native(g, everyone()) as c:
                await c.sub(*[f"A{i}" for i in range(20)])
                before = c.versions["A0", "NGN"].split(".")[0]
                kafka.grow(topic, 4)
                late = Feed(kafka.bootstrap, topic)
                late.versions = feed.versions
                deadline = time.monotonic() + 60
                n = 1
                while c.versions["A0", "NGN"].split(".")[0] == before:
                    n += 1
                    for i in range(20):
                        late.put(f"A{i}", n)
                    late.flush()
                    await c.drain(0.5)
                    assert time.monotonic() < deadline, "the new epoch was never seen"
                for i in range(20):
                    late.put(f"A{i}", 1000)
                late.flush()
                await c.until(lambda: all(c.balance(f"A{i}") == 1000 for i in range(20)))
                assert not [e for e in c.errors if "back" in e]
                await c.until(lambda: all(c.states[f"A{i}"] == "fresh" for i in range(20)), what="fresh")
    asyncio.run(go())


def test_recreated_topic_is_a_new_epoch_and_old_values_are_labelled(kafka):
    async def go():
        topic = kafka.create(partitions=2)
        feed = Feed(kafka.bootstrap, topic)
        feed.put("A", 111, v=50)
        feed.put("B", 222, v=50)
        feed.flush()
        with on(kafka, topic) as g:
            async with Native(g, everyone()) as c:
                await c.sub("A", "B")
                before = c.versions["A", "NGN"].split(".")[0]
                kafka.delete(topic)
                kafka.create(topic, partitions=2)
                fresh = Feed(kafka.bootstrap, topic)
                fresh.put("A", 5, v=1)
                fresh.flush()
                await c.until(lambda: c.balance("A") == 5, 90)
                assert c.versions["A", "NGN"].split(".")[0] != before
                await c.until(lambda: c.states.get("B") == "stale", 15, "B, which nobody speaks of any more, to be stale")
                assert c.balance("B") == 222
                c.errors = [e for e in c.errors if "gap" not in e]
                c.check()
    asyncio.run(go())


def test_gateway_started_before_its_topic_becomes_ready_when_it_is_there(kafka):
    topic = f"late-{time.monotonic_ns()}"
    with Gateway(kafka=kafka.bootstrap, wait=False, TOPIC_BALANCE_UPDATES=topic) as g:
        from harness.wait import until
        until(lambda: topic in g.log_text(), 20, "the missing topic to be named in the log")
        assert not g.ready_path.exists()
        kafka.create(topic)
        g.wait_ready(40)
