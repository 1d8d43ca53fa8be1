# SPDX-License-Identifier: Apache-2.0
"""/v1/ops and /v1/ops/stream of the real binary: who may see them, that the numbers are right, that the stream is
one object a second and ends with its token, and that nobody pays for those who look."""

import asyncio
import base64
import contextlib
import json
import os
import socket
import threading
import time
import urllib.request

import pytest

from harness.documents import OpenApi
from harness.gateway import Gateway
from harness.kafka import Feed
from harness.native import Native
from harness.ops import OpsStream, after, ops, ops_token
from harness.raw import cpu_seconds
from harness.redis import Redis
from harness.signalr_http import Stream
from harness.tokens import token
from harness.wait import until
from harness.watchers import every_dialect

STREAM_MAX = 256


@pytest.fixture(scope="module")
def gw():
    """Shared: whoever changes more than counters has one of its own."""
    with Gateway(BGW_REWIND="beginning") as g:
        yield g


def refusal(gateway, path, bearer):
    status, _, body = gateway.http(path, headers={"Authorization": f"Bearer {bearer}"} if bearer else {})
    return status, json.loads(body)["code"]


# ---- who may see it ----

@pytest.mark.parametrize("path", ["/v1/ops", "/v1/ops/stream"])
def test_only_the_scope_opens_it(gw, path):
    assert refusal(gw, path, None) == (401, "token_missing")
    assert refusal(gw, path, "nonsense") == (401, "token_malformed")
    assert refusal(gw, path, token(["A"])) == (403, "no_scope")
    assert refusal(gw, path, token(everything=True)) == (403, "no_scope")
    assert refusal(gw, path, ops_token(scope="accounts.read accounts.read.all ops.write xops.read ops.readx")) == (403, "no_scope")
    assert refusal(gw, path, ops_token(ttl=-3600)) == (401, "token_expired")


def test_it_is_of_no_tenant_and_shows_no_balance(gw):
    everyone, another = ops(gw, ops_token()), ops(gw, ops_token(tenant="tnt_other"))
    assert everyone.keys() == another.keys()
    status, _, body = gw.http("/ledger/accounts/A/balance", headers={"Authorization": f"Bearer {ops_token()}"})
    assert (status, json.loads(body)["code"]) == (403, "no_grant")


def test_the_object_is_as_documented(gw):
    document = OpenApi()
    told = ops(gw)
    assert document.mistakes(told, "components", "schemas", "Ops") == []
    assert document.mistakes({**told, "accounts": 1}, "components", "schemas", "Ops")
    assert told["process"]["version"] and told["process"]["shards"] == 2
    assert told["process"]["instance"].endswith(gw.listen.rsplit(":", 1)[1])


# ---- numbers ----

def series(metrics, name):
    return sum(v for k, v in metrics.items() if k.split("{")[0] == name)


def test_at_rest_it_agrees_with_the_metrics(gw):
    feed = Feed(gw.bootstrap, gw.topic, readers=[gw])
    for i in range(20):
        feed.put(f"rest-{i % 4}", i)
    feed.raw("rest-bad", b"{nonsense")
    feed.flush()
    for i in range(5):
        gw.http(f"/ledger/accounts/rest-{i % 4}/balance", headers={"Authorization": f"Bearer {token(everything=True)}"})
    told, m = after(gw, 2), gw.metrics()
    records, deliveries = told["records"], told["deliveries"]
    for name in ("consumed", "applied", "superseded", "unwatched", "rejected"):
        assert records[f"{name}_total"] == series(m, f"bgw_records_{name}_total"), name
    assert records["consumed_total"] >= 21 and records["rejected_total"] >= 1
    assert records["consumed_total"] == sum(records[f"{n}_total"] for n in ("applied", "superseded", "unwatched", "rejected"))
    for name in ("offered", "delivered", "merged", "abandoned"):
        assert deliveries[f"{name}_total"] == series(m, f"bgw_updates_{name}_total"), name
    assert deliveries["pending"] == m["bgw_updates_pending"]
    assert told["memory"]["book_keys"] == m["bgw_book_keys"] >= 4 and told["memory"]["book_slots"] == m["bgw_book_slots"]
    assert told["reads"]["total"] == series(m, "bgw_reads_total") >= 5
    assert told["reads"]["by_source_total"] == {s: m[f'bgw_read_sources_total{{source="{s}"}}']
                                                for s in ("stream", "l1", "cache", "database")}
    assert told["reads"]["by_source_total"]["stream"] >= 5
    assert told["kafka"]["partition_count"] == 6 == len(told["kafka"]["partitions"])
    assert {p["partition"]: p["lag_records"] for p in told["kafka"]["partitions"]} == \
        {i: m[f'bgw_kafka_lag_records{{partition="{i}"}}'] for i in range(6)}
    assert told["kafka"]["proof"]["state"] == "fresh" and told["kafka"]["proof"]["age_s"] < 3
    assert abs(told["memory"]["rss_bytes"] / 1024 - gw.rss_kib()) < 0.2 * gw.rss_kib()
    ready = json.loads(gw.http("/readyz?verbose")[2])
    assert told["process"]["state"] == "ready" and ready["ok"] and told["process"]["reasons"] == ready["reasons"] == []


def test_rates_are_those_of_a_feed_of_known_speed():
    per_s, watchers = 50, 3

    async def go():
        with Gateway(binary=os.environ["BGW_RELEASE_BIN"]) as g, contextlib.ExitStack() as stack:
            feed = Feed(g.bootstrap, g.topic)
            over = threading.Event()

            def publish():
                began, n = time.monotonic(), 0
                while not over.is_set():
                    while n < (time.monotonic() - began) * per_s:
                        feed.put(f"rate-{n % 10}", n)
                        n += 1
                    time.sleep(0.005)

            clients = [Native(g, token(everything=True)) for _ in range(watchers)]
            for c in clients:
                await c.__aenter__()
                await c.sub(*(f"rate-{i}" for i in range(10)))
            reading = [asyncio.create_task(c.drain(3600)) for c in clients]
            thread = threading.Thread(target=publish)
            thread.start()
            stack.callback(thread.join)
            stack.callback(over.set)
            told = await asyncio.to_thread(lambda: (after(g, 11)))
            assert told["window"] == {"rates_s": pytest.approx(5, abs=0.3), "latency_s": pytest.approx(10, abs=0.5)}
            assert told["records"]["consumed_per_s"] == pytest.approx(per_s, rel=0.2)
            assert told["records"]["applied_per_s"] == pytest.approx(per_s, rel=0.2)
            assert told["deliveries"]["offered_per_s"] == pytest.approx(per_s * watchers, rel=0.2)
            d = told["deliveries"]
            assert d["delivered_per_s"] + d["merged_per_s"] == pytest.approx(per_s * watchers, rel=0.2)
            handoff = told["latency"]["handoff"]
            assert handoff["count"] >= per_s * 10 * 0.8
            assert 0 < handoff["p50_s"] <= handoff["p90_s"] <= handoff["p99_s"] <= handoff["max_s"] < 5
            over.set()
            still = await asyncio.to_thread(lambda: after(g, 7))
            assert still["records"]["consumed_per_s"] == 0 == still["deliveries"]["delivered_per_s"]
            for task, c in zip(reading, clients, strict=True):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                await c.__aexit__(None, None, None)
    asyncio.run(go())


def test_every_dialect_and_transport_is_counted():
    with Gateway() as g:
        Feed(g.bootstrap, g.topic, readers=[g]).put("A", 1)
        bearer = token(["A"])
        with every_dialect([g], bearer, "A") as watchers, Stream(g, bearer).greet(), OpsStream(g, ops_token()) as s:
            told = s.until(lambda o: all(o["connections"]["by_dialect"][d] == 1
                                         for d in ("native", "signalr", "signalr_sse", "app", "sse")), what="one of each")
            assert told["connections"]["by_transport"]["websocket"] == 3 and told["connections"]["by_transport"]["sse"] == 3
            assert told["connections"]["ops_streams"] == 1
            assert told["connections"]["total"] == sum(told["connections"]["by_transport"].values()) >= 6
            assert told["sessions"] == 5
            s.until(lambda o: o["watched_keys"] == 1 and o["subscriptions"] >= 4, what="the account to be watched")
            for sock in [w.conn.sock for w in watchers if hasattr(w, "conn")]:  # else their threads would keep them open
                sock.shutdown(socket.SHUT_RDWR)
        told = until(lambda: (o := ops(g)) and not o["sessions"] and o, what="all to be gone")
        assert set(told["connections"]["by_dialect"].values()) == {0}
        assert told["connections"]["ops_streams"] == 0


def test_a_client_that_does_not_read_is_seen_stalled_and_then_closed():
    from test_40_slow_reader import raw_client

    with Gateway(BGW_SO_SNDBUF=4096, BGW_STALL_S=3) as g:
        feed = Feed(g.bootstrap, g.topic, readers=[g])
        keys = [f"S{i}" for i in range(400)]
        sleeper = raw_client(g, keys)
        with OpsStream(g, ops_token()) as s:
            n = 0
            while not s.newest or not s.newest["slow_clients"]["closed_total"]:
                n += 1
                for key in keys:
                    feed.put(key, n)
                feed.flush()
                assert n < 3000
            assert any(o["slow_clients"]["stalled_now"] == 1 for o in s.named("ops"))
            s.until(lambda o: o["slow_clients"]["stalled_now"] == 0)
            assert s.newest["slow_clients"]["closed_total"] == 1 >= s.newest["slow_clients"]["cut_total"]
        sleeper.close()


def test_a_flag_that_is_switched_shows_and_push_closes_it_not():
    with Gateway() as g, OpsStream(g, ops_token()) as s:
        request = urllib.request.Request(f"http://{g.info['admin']}/flags", b'{"push":false}', {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()
        s.until(lambda o: o["flags"]["push"] is False)
        with OpsStream(g, ops_token()) as second:
            assert second.response.status == 200


# ---- what is away ----

def test_redis_that_is_killed_shows_within_three_seconds_and_its_return_too():
    with Redis() as redis, Gateway(**redis.settings) as g, OpsStream(g, ops_token()) as s:
        s.until(lambda o: o["sources"]["redis"]["state"] == "up" == o["sources"]["invalidations"]["state"])
        killed = time.time()
        redis.kill9()
        told = s.until(lambda o: o["sources"]["redis"]["state"] == "down" == o["sources"]["invalidations"]["state"], 3, "its loss")
        assert time.time() - killed < 3
        s.until(lambda o: o["process"]["state"] == "degraded" and "redis" in o["process"]["degraded"], 3)
        since = told["sources"]["redis"]["since"]
        assert s.until(lambda o: o["seq"] >= told["seq"] + 2)["sources"]["redis"]["since"] == since
        redis.restart()
        s.until(lambda o: o["sources"]["redis"]["state"] == "up" and o["sources"]["redis"]["since"] > since, 20, "its return")


# ---- the stream ----

def test_the_stream_brings_the_object_each_second(gw):
    with OpsStream(gw, ops_token()) as s:
        assert s.response.status == 200 and s.response.headers["content-type"] == "text/event-stream"
        until(lambda: len(s.named("ops")) >= 6, 15, "six events")
        objects, times = s.named("ops"), [t for t, *_ in s.events]
        assert [o["seq"] for o in objects] == list(range(objects[0]["seq"], objects[0]["seq"] + len(objects)))
        assert times[5] - times[1] == pytest.approx(4, abs=1)
        assert OpenApi().mistakes(objects[-1], "components", "schemas", "Ops") == []


def test_the_stream_ends_when_the_token_does():
    with Gateway(BGW_JWT_LEEWAY_S=0) as g:
        bearer = ops_token(ttl=4)
        exp = json.loads(base64.urlsafe_b64decode(bearer.split(".")[1] + "=="))["exp"]
        with OpsStream(g, bearer) as s:
            until(lambda: s.ended_at, 20, "the end")
            assert s.named("bye") == [{"code": 3005, "retry_ms": 0, "reason": "token_expired"}]
            assert s.events[-1][1] == "bye"
            assert len(s.named("ops")) >= 2
            assert exp <= s.ended_at <= exp + 2
            assert max(t for t, n, _ in s.events if n == "ops") <= exp + 0.5
        assert refusal(g, "/v1/ops", bearer) == (401, "token_expired")


def test_the_stream_ends_when_the_token_is_taken_back():
    with Gateway() as g, OpsStream(g, ops_token(jti="ops-1")) as s, OpsStream(g, ops_token(jti="ops-2")) as other:
        s.until(lambda o: True)
        request = urllib.request.Request(f"http://{g.info['admin']}/revocations", b'{"jti":"ops-1"}', {"Content-Type": "application/json"})
        began = time.time()
        urllib.request.urlopen(request, timeout=30).close()
        until(lambda: s.ended_at, 10, "the end")
        assert s.ended_at - began < 2
        assert s.named("bye") == [{"code": 3510, "retry_ms": 0, "reason": "revoked"}]
        assert refusal(g, "/v1/ops", ops_token(jti="ops-1")) == (401, "revoked")
        seq = other.newest["seq"]
        other.until(lambda o: o["seq"] > seq)


def test_a_drain_ends_streams_with_when_to_come_again():
    with Gateway(BGW_DRAIN_S=5) as g:
        streams = [OpsStream(g, ops_token()) for _ in range(4)]
        for s in streams:
            s.until(lambda o: True)
        began = time.monotonic()
        assert g.stop() == 0
        assert time.monotonic() - began < 4  # nobody waits for them
        byes = [s.named("bye") for s in streams]
        assert all(len(b) == 1 and b[0]["code"] == 3001 and b[0]["reason"] == "draining" for b in byes), byes
        assert all(2000 <= b[0]["retry_ms"] <= 7000 for b in byes)


def test_as_many_streams_as_one_gateway_takes_over_all_its_shards():
    with Gateway(binary=os.environ["BGW_RELEASE_BIN"]) as g, contextlib.ExitStack() as stack:
        bearer = ops_token()
        streams = [stack.enter_context(OpsStream(g, bearer)) for _ in range(STREAM_MAX)]
        assert {s.response.status for s in streams} == {200}
        assert refusal(g, "/v1/ops/stream", bearer) == (503, "ops_streams")
        assert ops(g)["seq"]
        until(lambda: ops(g)["connections"]["ops_streams"] == STREAM_MAX, what="all to be counted")
        # looking costs nothing that anybody would notice: each second 256 writes of one object
        before, began = cpu_seconds(g.proc.pid), time.monotonic()
        seen = streams[0].newest["seq"]
        for s in streams[:3] + streams[-3:]:
            s.until(lambda o: o["seq"] >= seen + 4)
        spent = (cpu_seconds(g.proc.pid) - before) / (time.monotonic() - began)
        assert spent < 0.15, f"{spent:.3f} of a core"
        streams[0].cut()
        until(lambda: g.metric("bgw_ops_streams") == STREAM_MAX - 1, what="a place to be free")
        assert stack.enter_context(OpsStream(g, bearer)).response.status == 200
