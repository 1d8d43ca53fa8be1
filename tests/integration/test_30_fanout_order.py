# SPDX-License-Identifier: Apache-2.0
"""Order without loss, whatever the stream brings; and both metrics identities."""

import asyncio
import os
import random

import pytest

from harness import swarm
from harness.brokers import BOTH_BROKERS
from harness.gateway import Gateway
from harness.kafka import Feed
from harness.native import Native
from harness.tokens import token
from harness.wait import until, until_async

LONG = bool(os.environ.get("BGW_LONG"))
RELEASE = os.environ.get("BGW_RELEASE_BIN")


def run(coroutine):
    return asyncio.run(coroutine)


def everyone():
    return token(everything=True)


def identities(gateway):
    m = gateway.metrics()

    def total(name):
        return sum(v for k, v in m.items() if k.split("{")[0] == name)
    consumed = total("bgw_records_consumed_total")
    parts = sum(total(f"bgw_records_{p}_total") for p in ("applied", "rejected", "superseded", "unwatched"))
    offered = total("bgw_updates_offered_total")
    ends = sum(total(f"bgw_updates_{p}_total") for p in ("delivered", "merged", "abandoned")) + total("bgw_updates_pending")
    return consumed - parts, offered - ends, consumed, offered


def at_rest(gateway):
    """A record is counted before it is known what becomes of it."""
    until(lambda: identities(gateway)[:2] == (0, 0), 15, "the identities at rest")


@BOTH_BROKERS
def test_a_thousand_clients_join_while_the_account_changes_a_hundred_times_a_second(gateway):
    clients = 1000
    report = swarm.run([gateway], "--clients", clients, "--spread", "--connect-per-s", 250, "--messages", 600,
                       "--rate", 100, "--timeout-s", 90)
    assert report["live"] == clients and report["entries"] > clients
    at_rest(gateway)


@BOTH_BROKERS
def test_identities_hold_under_load_up_to_what_is_in_flight(gateway):
    process = swarm.start([gateway], "--clients", 200, "--accounts", 50, "--per-client", 10, "--messages", 6000,
                          "--rate", 1000, "--timeout-s", 60)
    seen = 0
    while process.poll() is None:
        records, deliveries, consumed, offered = identities(gateway)
        assert abs(records) <= 5000 and abs(deliveries) <= 100000
        seen = max(seen, offered)
    swarm.result(process)
    assert seen > 0
    at_rest(gateway)
    assert identities(gateway)[3] > 5000


@pytest.mark.alone
def test_fifteen_thousand_sockets_receive_every_broadcast():
    with Gateway(binary=RELEASE, BGW_HANDSHAKES_PER_S=20000, BGW_PING_S=120) as g:
        report = swarm.run([g], "--clients", 15000, "--connect-per-s", 4000, "--messages", 5, "--timeout-s", 100)
        assert report["live"] == 15000 and report["measured_entries"] >= 5 * 15000


@BOTH_BROKERS
def test_duplicates_replays_and_shuffles_show_each_version_once_and_in_order(gateway, feed):
    async def go():
        rng = random.Random(7)
        async with Native(gateway, everyone()) as c:
            c.contiguous = False
            await c.sub("A")
            versions = list(range(1, 201)) * 2
            rng.shuffle(versions)
            for v in versions:
                feed.put("A", v * 10, v=v)
            feed.flush()
            await c.until(lambda: c.balance("A") == 2000)
            shown = len(c.frames)
            for v in range(1, 201):  # the whole history once more, in order
                feed.put("A", v * 10, v=v)
            feed.flush()
            ident = await c.command("ping")
            await c.expect("pong", id=ident)
            assert not [f for f in c.frames[shown:] if f["ev"] == "upd"]
            c.check()
        at_rest(gateway)
        consumed, superseded = (gateway.metric(f"bgw_records_{n}_total") for n in ("consumed", "superseded"))
        assert consumed == 600 and superseded >= 400
    run(go())


POISON = [
    (b"P", b"{", "bad_json"), (b"P", b"", "empty_value"),
    (b"P", b'{"accountId":"P","minor":1.5,"currency":"NGN"}', "bad_number"),
    (b"P", b'{"accountId":"P","minor":1e3,"currency":"NGN"}', "bad_number"),
    (b"P", b'{"accountId":"P","minor":"12","currency":"NGN"}', "bad_number"),
    (b"P", b'{"accountId":"P","minor":null,"currency":"NGN"}', "bad_number"),
    (b"P", b'{"accountId":"P","minor":9223372036854775808,"currency":"NGN"}', "out_of_range"),
    (b"P", b'{"accountId":"P","minor":1,"minor":2,"currency":"NGN"}', "duplicate_member"),
    (b"P", b'{"accountId":"P","minor":1,"currency":"NGN"} x', "bad_json"),
    (b"P", b'{"accountId":"P","minor":1,"currency":"NGN","note":"\xff"}', "bad_utf8"),
    (b"P", b'{"accountId":"P","minor":1,"currency":"NGN","x":' + b"[" * 17 + b"]" * 17 + b"}", "too_deep"),
    (b"P", b'{"accountId":"P","minor":1,"currency":"NGN","x":"' + b"y" * 65536 + b'"}', "too_large"),
    (b"P", b'{"accountId":"Q","minor":1,"currency":"NGN"}', "key_mismatch"),
    (b"P", b'{"accountId":"P","currency":"NGN"}', "missing_member"),
    (b"P", b'{"accountId":"P","minor":1,"currency":"naira"}', "bad_id"),
    (None, b'{"accountId":"P","minor":1,"currency":"NGN"}', "unordered"),
]


@BOTH_BROKERS
def test_poison_of_every_kind_is_counted_by_reason_and_marks_the_account_alone(gateway, feed):
    async def go():
        feed.put("P", 1)
        feed.put("OTHER", 1)
        feed.flush()
        async with Native(gateway, everyone()) as c:
            await c.sub("P", "OTHER")
            for key, value, _ in POISON:
                feed.raw(key, value)
            feed.flush()
            await c.until(lambda: c.states["P"] in ("delayed", "stale"), what="P to be marked")
            await until_async(lambda: gateway.metric("bgw_records_rejected_total") == len(POISON), what="all rejected")
            feed.put("OTHER", 2)
            feed.flush()
            await c.until(lambda: c.balance("OTHER") == 2 and c.states["OTHER"] == "fresh", what="OTHER to be fresh")
            assert c.balance("P") == 1
            feed.put("P", 3)  # the next good record ends it
            feed.flush()
            await c.until(lambda: c.balance("P") == 3 and c.states["P"] == "fresh", what="P to be fresh again")
            c.check()
        rejected = {k: v for k, v in gateway.metrics().items() if k.startswith("bgw_records_rejected_total")}
        for reason in {r for _, _, r in POISON}:
            expected = sum(r == reason for _, _, r in POISON)
            assert rejected[f'bgw_records_rejected_total{{feed="balance",reason="{reason}"}}'] == expected, reason
        assert '"note"' not in gateway.log_text() and "yyyyy" not in gateway.log_text()
        at_rest(gateway)
    run(go())


@BOTH_BROKERS
def test_mixed_version_modes_are_refused_and_the_slot_marked(gateway, feed):
    async def go():
        feed.put("A", 1, v=5)
        feed.flush()
        async with Native(gateway, everyone()) as c:
            await c.sub("A")
            feed.put("A", 2, v=None)
            feed.flush()
            await c.until(lambda: c.states["A"] in ("delayed", "stale"), what="A to be marked")
            assert c.balance("A") == 1
        until(lambda: gateway.metrics().get('bgw_records_rejected_total{feed="balance",reason="version_mode"}') == 1, what="the reason")
    run(go())


@BOTH_BROKERS
@pytest.mark.parametrize("with_v", [True, False])
def test_transfer_legs_and_headers_are_understood(gateway, feed, with_v):
    async def go():
        async with Native(gateway, everyone()) as c:
            await c.sub("A", "B")
            for i in range(1, 4):
                feed.put("A", 100 - i, v=i if with_v else None, txnId=f"t{i}", deltaMinor=-1)
                feed.put("B", 100 + i, v=i if with_v else None, txnId=f"t{i}", deltaMinor=1)
            feed.flush()
            await c.until(lambda: (c.balance("A"), c.balance("B")) == (97, 103))
            c.contiguous = False
            assert not [e for e in c.errors if "gap" not in e]
    run(go())


def test_version_header_stands_for_the_member(gateway, feed):
    async def go():
        async with Native(gateway, everyone(),) as c:
            await c.sub("A")
            body = b'{"accountId":"A","minor":5,"currency":"NGN"}'
            feed.raw("A", body, headers=[("v", b"7")])
            feed.flush()
            await c.until(lambda: c.balance("A") == 5)
            assert c.versions["A", "NGN"].endswith(".7")
    run(go())


def test_two_topics_of_one_broker_do_not_mix(gateway):
    other = Feed(gateway.bootstrap, "ledger-events")
    other.raw("entry-1", b'{"correlationId":"c","minor":5}')
    other.flush()
    assert gateway.metric("bgw_records_consumed_total") == 0
