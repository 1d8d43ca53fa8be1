# SPDX-License-Identifier: Apache-2.0
"""/v1/ops and /v1/ops/stream of the real binary: who may see them, that the numbers are right, that the stream is
one object a second and ends with its token, and that nobody pays for those who look."""

import asyncio
import base64
import contextlib
import datetime
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


def seconds(stamp):
    return datetime.datetime.fromisoformat(stamp).timestamp()


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
    after(gw, 2)
    told = until(lambda: (o := ops(gw)) and (p := o["kafka"]["proof"])["state"] == "fresh" and p["age_s"] < 3 and o, what="a proof")
    m = gw.metrics()
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
    assert abs(told["memory"]["rss_bytes"] / 1024 - gw.rss_kib()) < 0.2 * gw.rss_kib()
    ready = json.loads(gw.http("/readyz?verbose")[2])
    assert told["process"]["state"] == "ready" and ready["ok"] and told["process"]["reasons"] == ready["reasons"] == []


def rates(told):
    records, deliveries = told["records"], told["deliveries"]
    return {**told["window"], "consumed": records["consumed_per_s"], "applied": records["applied_per_s"],
            "offered": deliveries["offered_per_s"], "handed": deliveries["delivered_per_s"] + deliveries["merged_per_s"]}


def test_rates_are_those_of_a_feed_of_known_speed():
    per_s, watchers = 50, 3
    shown = per_s * watchers
    right = {"rates_s": pytest.approx(5, abs=0.3), "latency_s": pytest.approx(10, abs=0.5),
             "consumed": pytest.approx(per_s, rel=0.2), "applied": pytest.approx(per_s, rel=0.2),
             "offered": pytest.approx(shown, rel=0.2), "handed": pytest.approx(shown, rel=0.2)}

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
            told, ends = await asyncio.to_thread(after, g, 11), time.monotonic() + 40
            while rates(told) != right and time.monotonic() < ends:  # who publishes may have been late: that leaves the window
                told = await asyncio.to_thread(after, g)
            assert rates(told) == right
            handoff = told["latency"]["handoff"]
            assert handoff["count"] >= per_s * 10 * 0.8
            assert 0 < handoff["p50_s"] <= handoff["p90_s"] <= handoff["p99_s"] <= handoff["max_s"] < 5
            over.set()
            await asyncio.to_thread(until, lambda: (r := rates(ops(g)))["consumed"] == 0 == r["handed"], 20, "rates of 0")
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
            def all_are_there(o):
                c = o["connections"]
                return (all(c["by_dialect"][d] == 1 for d in ("native", "signalr", "signalr_sse", "app", "sse")) and o["sessions"] == 5
                        and c["by_transport"]["websocket"] == c["by_transport"]["sse"] == 3 and c["ops_streams"] == 1)

            told = s.until(all_are_there, what="one of each")
            assert told["connections"]["total"] == sum(told["connections"]["by_transport"].values()) >= 6
            s.until(lambda o: o["watched_keys"] == 1 and o["subscriptions"] >= 4, what="the account to be watched")
            for sock in [w.conn.sock for w in watchers if hasattr(w, "conn")]:  # else their threads would keep them open
                sock.shutdown(socket.SHUT_RDWR)
        until(lambda: (o := ops(g)) and not o["sessions"] and set(o["connections"]["by_dialect"].values()) == {0}
              and not o["connections"]["ops_streams"], what="all to be gone")


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

def test_redis_that_is_killed_shows_within_seconds_and_its_return_too():
    with Redis() as redis, Gateway(**redis.settings) as g, OpsStream(g, ops_token()) as s:
        s.until(lambda o: o["sources"]["redis"]["state"] == "up" == o["sources"]["invalidations"]["state"])
        redis.kill9()
        killed = time.time()
        told = s.until(lambda o: o["sources"]["redis"]["state"] == "down" == o["sources"]["invalidations"]["state"], what="its loss")
        since = told["sources"]["redis"]["since"]
        assert max(seconds(since), seconds(told["sources"]["invalidations"]["since"])) - killed < 5
        told = s.until(lambda o: o["process"]["state"] == "degraded" and "redis" in o["process"]["degraded"])
        assert seconds(told["process"]["since"]) - killed < 5
        assert s.until(lambda o: o["seq"] >= told["seq"] + 2)["sources"]["redis"]["since"] == since
        redis.restart()
        s.until(lambda o: o["sources"]["redis"]["state"] == "up" and o["sources"]["redis"]["since"] > since, 20, "its return")


# ---- the stream ----

def test_the_stream_brings_the_object_each_second(gw):
    with OpsStream(gw, ops_token()) as s:
        assert s.response.status == 200 and s.response.headers["content-type"] == "text/event-stream"

        def on_the_beat():
            """The last six: one a second, and none left out. An event misses its turn where either end was late."""
            last = [(t, data["seq"]) for t, name, data in list(s.events) if name == "ops"][-6:]
            return len(last) == 6 and last[5][1] - last[0][1] == 5 and last[5][0] - last[1][0] == pytest.approx(4, abs=1)

        until(on_the_beat, 40, "six events on the beat")
        objects = s.named("ops")
        assert [o["seq"] for o in objects] == sorted({o["seq"] for o in objects})
        assert OpenApi().mistakes(objects[-1], "components", "schemas", "Ops") == []


def test_the_stream_ends_when_the_token_does():
    with Gateway(BGW_JWT_LEEWAY_S=0) as g:
        bearer = ops_token(ttl=8)
        exp = json.loads(base64.urlsafe_b64decode(bearer.split(".")[1] + "=="))["exp"]
        with OpsStream(g, bearer) as s:
            until(lambda: s.ended_at, 25, "the end")
            assert s.named("bye") == [{"code": 3005, "retry_ms": 0, "reason": "token_expired"}]
            assert s.events[-1][1] == "bye"
            assert len(s.named("ops")) >= 2
            assert exp <= s.ended_at <= exp + 5
            assert max(seconds(o["timestamp"]) for o in s.named("ops")) <= exp + 0.5
        assert refusal(g, "/v1/ops", bearer) == (401, "token_expired")


def test_the_stream_ends_when_the_token_is_taken_back():
    with Gateway() as g, OpsStream(g, ops_token(jti="ops-1")) as s, OpsStream(g, ops_token(jti="ops-2")) as other:
        s.until(lambda o: True)
        request = urllib.request.Request(f"http://{g.info['admin']}/revocations", b'{"jti":"ops-1"}', {"Content-Type": "application/json"})
        began = time.time()
        urllib.request.urlopen(request, timeout=30).close()
        until(lambda: s.ended_at, 10, "the end")
        assert s.ended_at - began < 5
        assert s.named("bye") == [{"code": 3510, "retry_ms": 0, "reason": "revoked"}]
        assert refusal(g, "/v1/ops", ops_token(jti="ops-1")) == (401, "revoked")
        seq = other.until(lambda o: True)["seq"]
        other.until(lambda o: o["seq"] > seq)


def test_a_drain_ends_streams_with_when_to_come_again():
    with Gateway(BGW_DRAIN_S=12) as g:
        streams = [OpsStream(g, ops_token()) for _ in range(4)]
        for s in streams:
            s.until(lambda o: True)
        began = time.monotonic()
        assert g.stop() == 0
        assert time.monotonic() - began < 10  # nobody waits for them
        until(lambda: all(s.ended_at for s in streams), what="all to have read to the end")
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
        seen = streams[0].until(lambda o: True)["seq"]
        for s in streams[:3] + streams[-3:]:
            s.until(lambda o: o["seq"] >= seen + 4)
        spent = (cpu_seconds(g.proc.pid) - before) / (time.monotonic() - began)
        assert spent < 0.15, f"{spent:.3f} of a core"
        streams[0].cut()
        until(lambda: g.metric("bgw_ops_streams") == STREAM_MAX - 1, what="a place to be free")
        assert stack.enter_context(OpsStream(g, bearer)).response.status == 200
