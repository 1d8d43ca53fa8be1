# SPDX-License-Identifier: Apache-2.0
"""Snapshot, then stream; what is not known is said; every command is answered."""

import asyncio
import json
import time

import pytest

from harness.brokers import BOTH_BROKERS
from harness.gateway import Gateway
from harness.kafka import Feed
from harness.native import Closed, Native
from harness.tokens import token


def run(coroutine):
    return asyncio.run(coroutine)


ALL = dict(everything=True)


@BOTH_BROKERS
def test_snapshot_then_updates(gateway, feed):
    async def go():
        feed.put("A", 100)
        feed.flush()
        async with Native(gateway, token(**ALL)) as c:
            await c.sub("A")
            assert c.balance("A") == 100
            feed.put("A", 101, deltaMinor=1, txnId="t-1")
            feed.flush()
            await c.until(lambda: c.balance("A") == 101)
            entry = [f for f in c.frames if f["ev"] == "upd"][-1]["u"][0]
            assert entry["d"]["deltaMinor"] == "1" and entry["d"]["txnId"] == "t-1" and "snap" not in entry
            c.check()
    run(go())


def test_unknown_account_is_unknown_and_its_first_value_arrives(gateway, feed):
    async def go():
        async with Native(gateway, token(**ALL)) as c:
            await c.sub("NOBODY")
            assert c.states["NOBODY"] == "unknown" and c.balance("NOBODY") is None
            state = [f for f in c.frames if f["ev"] == "state"][0]
            assert state["reason"] in ("source_unavailable", "no_such_account")
            feed.put("NOBODY", 7)
            feed.flush()
            await c.until(lambda: c.balance("NOBODY") == 7)
            c.check()
    run(go())


@BOTH_BROKERS
def test_currencies_are_slots_of_their_own(gateway, feed):
    async def go():
        feed.put("A", 100, "NGN")
        feed.put("A", 200, "USD")
        feed.flush()
        async with Native(gateway, token(**ALL)) as whole, Native(gateway, token(**ALL)) as usd:
            await whole.sub("A")
            await usd.sub("A/USD")
            assert whole.balances == {("A", "NGN"): 100, ("A", "USD"): 200}
            assert usd.balances == {("A", "USD"): 200}
            feed.put("A", 300, "EUR")
            feed.put("A", 101, "NGN")
            feed.put("A", 201, "USD")
            feed.flush()
            await whole.until(lambda: whole.balances == {("A", "NGN"): 101, ("A", "USD"): 201, ("A", "EUR"): 300})
            await usd.until(lambda: usd.balances == {("A", "USD"): 201})
            whole.check(), usd.check()
    run(go())


@BOTH_BROKERS
def test_money_is_exact_from_end_to_end(gateway, feed):
    async def go():
        amounts = [9007199254740993, -9007199254740993, 2**63 - 1, -(2**63), 0, -1]
        for i, minor in enumerate(amounts):
            feed.put(f"M{i}", minor)
        feed.flush()
        async with Native(gateway, token(**ALL)) as c:
            await c.sub(*[f"M{i}" for i in range(len(amounts))])
            assert [c.balance(f"M{i}") for i in range(len(amounts))] == amounts
    run(go())


def test_presented_version_is_current_and_nothing_is_sent(gateway, feed):
    async def go():
        feed.put("A", 1)
        feed.put("B", 1)
        feed.flush()
        async with Native(gateway, token(**ALL)) as c:
            await c.sub("A", "B")
            held = {"A": c.versions["A", "NGN"], "B": c.versions["B", "NGN"]}
        feed.put("B", 2)
        feed.flush()
        async with Native(gateway, token(**ALL)) as c:
            await c.until(lambda: c.hello)
            reply = await c.sub("A", "B", since=held)
            assert reply["current"] == ["A"]
            assert c.balances == {("B", "NGN"): 2}
            c.check()
    run(go())


def test_resume_token_makes_untouched_keys_current_on_another_replica(gateway, feed):
    async def go():
        for account in ("A", "B", "C"):
            feed.put(account, 1)
        feed.flush()
        with Gateway(kafka=gateway.bootstrap, BGW_EPOCH="same") as other, \
                Gateway(kafka=gateway.bootstrap, BGW_EPOCH="same", BGW_MARK_S=1) as first:
            async with Native(first, token(**ALL)) as c:
                await c.sub("A", "B")
                await c.expect("mark", timeout=15)
                resume = c.resume
            more = Feed(gateway.bootstrap, readers=[other])
            more.put("B", 2, v=2)
            more.flush()
            async with Native(other, token(**ALL), resume=resume) as c:
                reply = await c.sub("A", "B", "C")
                assert reply["current"] == ["A"]
                assert c.balances == {("B", "NGN"): 2, ("C", "NGN"): 1}
            async with Native(other, token(everything=True, sub="somebody-else"), resume=resume) as c:
                reply = await c.sub("A", "B", "C")
                assert reply["current"] == [] and len(c.balances) == 3
    run(go())


def test_unsub_ends_it_and_sub_twice_is_once(gateway, feed):
    async def go():
        feed.put("A", 1)
        feed.flush()
        async with Native(gateway, token(**ALL)) as c:
            await c.sub("A")
            await c.sub("A")
            feed.put("A", 2)
            feed.flush()
            await c.until(lambda: c.balance("A") == 2)
            ident = await c.command("unsub", keys=["A"])
            await c.expect("ok", id=ident)
            feed.put("A", 3)
            feed.flush()
            ident = await c.command("ping")
            await c.expect("pong", id=ident)
            await c.drain(0.3)
            assert c.balance("A") == 2
            c.check()
    run(go())


def test_repair_sends_every_slot_again(gateway, feed):
    async def go():
        for account in ("A", "B"):
            feed.put(account, 5)
        feed.flush()
        async with Native(gateway, token(**ALL)) as c:
            await c.sub("A", "B")
            c.balances.clear()
            ident = await c.command("repair")
            await c.expect("ok", id=ident)
            await c.until(lambda: c.balances == {("A", "NGN"): 5, ("B", "NGN"): 5})
            c.check()
    run(go())


def test_mark_carries_a_digest_that_fits(gateway, feed):
    async def go():
        for i in range(50):
            feed.put(f"D{i}", i)
        feed.flush()
        async with Native(gateway, token(**ALL)) as c:
            await c.sub(*[f"D{i}" for i in range(50)])
            for _ in range(2):
                for i in range(50):
                    feed.put(f"D{i}", i + 100)
                feed.flush()
                await c.expect("mark", timeout=15)
            c.check()
    run(go())


@BOTH_BROKERS
def test_removed_account_is_said_to_be_removed_and_can_come_back(gateway, feed):
    async def go():
        feed.put("A", 5, v=None)
        feed.flush()
        async with Native(gateway, token(**ALL)) as c:
            await c.sub("A")
            feed.raw("A", None)
            feed.flush()
            await c.until(lambda: c.states["A"] == "removed", what="removed")
            feed.put("A", 6, v=None)
            feed.flush()
            await c.until(lambda: c.balance("A") == 6)
    run(go())


def test_rate_limits_one_slot_and_counts_what_it_merged(gateway, feed):
    async def go():
        feed.put("A", 0)
        feed.flush()
        async with Native(gateway, token(**ALL)) as c:
            await c.sub("A")
            ident = await c.command("rate", max_hz=2)
            await c.expect("ok", id=ident)
            before, began = len([f for f in c.frames if f["ev"] == "upd"]), time.monotonic()
            for i in range(1, 201):
                feed.put("A", i)
                if i % 20 == 0:
                    feed.flush()
                    await c.drain(0.1)
            await c.until(lambda: c.balance("A") == 200)
            updates = len([f for f in c.frames if f["ev"] == "upd"]) - before
            assert updates <= 3 + 2 * (time.monotonic() - began) and c.merged >= 150
            c.check()
    run(go())


@pytest.mark.parametrize("text, code", [
    ("{", "bad_json"), ('{"op":"nonsense","id":3}', "bad_op"), ('{"id":1}', "bad_op"), ("[1,2]", "bad_json"),
    ('{"op":"sub","id":1,"keys":"A"}', None), ('{"op":"sub","id":1,"feed":"nope","keys":["A"]}', "unknown_feed"),
    ('{"op":"sub","op":"sub","id":1,"keys":["A"]}', "bad_json"),
    (json.dumps({"op": "sub", "id": 9, "keys": [f"K{i}" for i in range(1001)]}), "too_large")])
def test_odd_commands_are_answered_and_harm_nothing(gateway, feed, text, code):
    async def go():
        feed.put("A", 1)
        feed.flush()
        async with Native(gateway, token(**ALL)) as c:
            await c.expect("hello")
            await c.send(text)
            error = await c.expect("err")
            assert code is None or error["code"] == code
            await c.sub("A")
            assert c.balance("A") == 1
    run(go())


def test_ten_unreadable_commands_end_with_3501(gateway):
    async def go():
        async with Native(gateway, token(**ALL)) as c:
            with pytest.raises(Closed) as closed:
                for _ in range(10):
                    await c.send("{")
                await c.drain(10)
            assert closed.value.code == 3501
    run(go())


def test_binary_is_1003_and_oversize_is_1009(gateway):
    async def go():
        async with Native(gateway, token(**ALL)) as c:
            await c.ws.send(b"bytes")
            with pytest.raises(Closed) as closed:
                await c.drain(10)
            assert closed.value.code == 1003
        async with Native(gateway, token(**ALL)) as c:
            await c.send("x" * 70000)
            with pytest.raises(Closed) as closed:
                await c.drain(10)
            assert closed.value.code == 1009
    run(go())
