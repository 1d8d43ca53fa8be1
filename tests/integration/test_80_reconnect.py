# SPDX-License-Identifier: Apache-2.0
"""Clients move between replicas and through restarts and lose nothing."""

import asyncio
import os
import signal
import subprocess
import time

import pytest

from harness import swarm
from harness.gateway import Gateway, clean_env
from harness.kafka import Feed
from harness.native import Closed, Native
from harness.tokens import token
from harness.wait import until


def everyone():
    return token(everything=True)


def test_clients_survive_kill_9_of_one_of_two_replicas(kafka):
    topic = kafka.create()
    with Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic) as a, \
            Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic) as b:
        process = swarm.start([a, b], "--clients", 300, "--accounts", 30, "--per-client", 6, "--messages", 3000,
                              "--rate", 400, "--connect-per-s", 1000, "--timeout-s", 90)
        until(lambda: a.metric("bgw_updates_delivered_total") > 500, 30, "deliveries")
        a.kill()
        report = swarm.result(process)
        assert report["live"] == 300 and report["disconnects"] >= 100


def test_client_whose_replica_is_killed_goes_on_at_the_other_where_it_was(kafka):
    async def go():
        topic = kafka.create()
        with Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, BGW_MARK_S=1) as a, \
                Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic) as b:
            feed = Feed(kafka.bootstrap, topic, readers=[a, b])
            feed.put("QUIET", 1)
            feed.put("BUSY", 1)
            feed.flush()
            async with Native(a, everyone()) as c:
                await c.sub("QUIET", "BUSY")
                await c.expect("mark")
                resume, held = c.resume, {k: v for (k, _), v in c.versions.items()}
                a.kill()
                with pytest.raises(Closed):
                    await c.drain(10)
            feed.readers = feed.readers[1:]
            feed.put("BUSY", 2)
            feed.flush()
            async with Native(b, everyone(), resume=resume) as c:
                assert (await c.sub("QUIET", "BUSY"))["current"] == ["QUIET"]
                assert c.balances == {("BUSY", "NGN"): 2}
            async with Native(b, everyone()) as c:
                assert (await c.sub("QUIET", "BUSY", since=held))["current"] == ["QUIET"]
                assert c.balances == {("BUSY", "NGN"): 2}
                feed.put("QUIET", 2)
                feed.flush()
                await c.until(lambda: c.balance("QUIET") == 2)
                c.check()
    asyncio.run(go())


def test_drain_says_bye_with_a_time_to_come_back(gateway):
    async def go():
        clients = [Native(gateway, everyone()) for _ in range(20)]
        for c in clients:
            await c.__aenter__()
            await c.expect("hello")
        gateway.proc.send_signal(signal.SIGTERM)
        for c in clients:
            with pytest.raises(Closed) as closed:
                await c.drain(10)
            assert closed.value.code == 3001
            assert c.bye["code"] == 3001 and 0 <= c.bye["retry_ms"] <= 20000
        gateway.finish(10)
        assert gateway.proc.returncode == 0
    asyncio.run(go())


def test_version_from_a_replica_ahead_is_never_answered_with_an_older_value(kafka):
    async def go():
        topic = kafka.create(partitions=1)
        feed = Feed(kafka.bootstrap, topic)
        feed.put("A", 10, v=10)
        feed.flush()
        with Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic) as g:
            async with Native(g, everyone()) as c:
                await c.sub("A")
                epoch = c.versions["A", "NGN"].split(".")[0]
            async with Native(g, everyone()) as c:
                await c.until(lambda: c.hello)
                await c.sub("A", since={"A": f"{epoch}.9000"}, live=False)
                await c.until(lambda: c.balance("A") == 10, what="the slot under an alias epoch")
                assert c.versions["A", "NGN"].split(".")[0] != epoch
                feed.put("A", 11, v=11)
                feed.flush()
                await c.until(lambda: c.balance("A") == 11)
                c.check()
            async with Native(g, everyone()) as c:
                await c.sub("A", since={"A": "zzzz.5"})
                assert c.balance("A") == 11
                c.check()
    asyncio.run(go())


def test_sub_command_line_follows_an_account(gateway, feed):
    feed.put("A", 12345)
    feed.flush()
    sub = subprocess.Popen([os.environ["BGW_BIN"], "sub", "A", "--url", gateway.ws, "--token", everyone(), "--json"],
                           stdout=subprocess.PIPE, text=True, env=clean_env())
    try:
        deadline = time.monotonic() + 30
        seen = ""
        while "12345" not in seen:
            seen += sub.stdout.readline()
            assert time.monotonic() < deadline
        feed.put("A", 54321)
        feed.flush()
        while "54321" not in seen:
            seen += sub.stdout.readline()
            assert time.monotonic() < deadline
    finally:
        sub.kill()
        sub.wait()


def test_pub_command_line_publishes_a_balance(gateway):
    async def go():
        async with Native(gateway, everyone()) as c:
            await c.sub("P")
            done = subprocess.run([os.environ["BGW_BIN"], "pub", "P", "4242", "--kafka", gateway.bootstrap],
                                  capture_output=True, text=True, timeout=30, env=clean_env())
            assert done.returncode == 0, done.stderr
            await c.until(lambda: c.balance("P") == 4242)
    asyncio.run(go())
