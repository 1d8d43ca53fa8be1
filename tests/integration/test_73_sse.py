# SPDX-License-Identifier: Apache-2.0
"""GET /v1/stream: Server-Sent Events, by a client that does what EventSource does, by curl, and by bytes."""

import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import time
import urllib.request

import pytest

from harness.brokers import BOTH_BROKERS
from harness.events import Events, Refused
from harness.gateway import Gateway
from harness.kafka import Feed
from harness.raw import Raw, get
from harness.tokens import token
from harness.wait import until

RESUME_SECRET = "resume-secret-0123456789abcdef-0123456789"


def refused(gateway, *accounts, **how):
    """The answer of a stream that is not opened."""
    with pytest.raises(Refused) as refusal:
        Events(gateway, *accounts, **how).connect()
    return refusal.value.response


def problem(response):
    assert response.headers["content-type"] == "application/problem+json"
    return response.status, response.code


# ---- what comes ----

@BOTH_BROKERS
def test_each_account_comes_once_and_then_each_change_and_an_id_covers_each_write(gateway, feed):
    feed.put("A", 1)
    feed.put("B", 5, "USD")
    feed.put("B", 6)
    feed.flush()
    with Events(gateway, "A", "B/USD", "NOBODY", "C", token=token(["A", "B", "C"])) as s:
        s.until(lambda: s.live)
        assert s.sub == {"ok": ["A", "B/USD", "C"], "current": [], "denied": [{"key": "NOBODY", "code": "no_grant"}]}
        assert s.live == {"id": 1} and s.retry_ms == 2000
        assert s.balances == {("A", "NGN"): 1, ("B", "USD"): 5}
        assert s.states["C"] == "unknown"
        assert all(entry["snap"] for entry in s.updates())
        assert [has_id for name, _, has_id in s.events if name in ("sub", "live")] == [True, True]
        assert not s.uncovered()
        feed.put("A", 2, txnId="t\n\r\u2028x", deltaMinor=1)
        feed.flush()
        s.until(lambda: s.balance("A") == 2)
        entry = s.updates()[-1]
        assert "snap" not in entry and entry["d"]["txnId"] == "t\n\r\u2028x" and entry["d"]["deltaMinor"] == "1"
        assert s.events[-1][2] and not s.uncovered()  # a change alone has its id
        feed.put("C", 3)
        feed.put("B", 7, "USD")
        feed.put("B", 8)  # not this one
        feed.flush()
        s.until(lambda: s.balance("C") == 3 and s.balance("B", "USD") == 7)
        s.drain(0.5)
        assert len(s.updates()) == 5 and not s.uncovered()
        assert s.balance("B") is None
        s.check()
    until(lambda: gateway.metrics()['bgw_dialect_sessions{dialect="sse"}'] == 0, what="the stream to be gone")
    until(lambda: gateway.metric("bgw_sessions") == gateway.metric("bgw_subscriptions") == 0, what="nothing to be left of it")


def test_curl_shows_the_stream_as_it_comes(gateway, feed):
    feed.put("A", 1)
    feed.flush()
    url = f"http://{gateway.listen}/v1/stream?account=A&account=B&access_token={token(['A'])}"
    curl = subprocess.Popen(["curl", "-sSNi", "--max-time", "30", url], stdout=subprocess.PIPE, text=True)
    try:
        lines = []

        def read_to(start):
            while not lines or not lines[-1].startswith(start):
                line = curl.stdout.readline()
                assert line, lines
                lines.append(line.rstrip("\r\n"))
        read_to("event: live")
        assert lines[0] == "HTTP/1.1 200 OK" and "Content-Type: text/event-stream" in lines
        assert "Cache-Control: no-store" in lines and "X-Accel-Buffering: no" in lines
        assert not [x for x in lines if x.lower().startswith(("content-length", "transfer-encoding"))]
        assert 'data: {"ok":["A"],"current":[],"denied":[{"key":"B","code":"no_grant"}]}' in lines
        began = time.monotonic()
        feed.put("A", 2)
        feed.flush()
        read_to("event: upd")
        read_to("data: ")
        read_to("id: ")
        assert json.loads(lines[-2][6:])["d"]["minor"] == "2"
        assert time.monotonic() - began < 10  # before a heartbeat could push it out
    finally:
        curl.terminate()
        curl.wait(10)


def test_the_currency_of_the_request_is_of_the_accounts_without_one(gateway, feed):
    for currency in ("NGN", "USD", "EUR"):
        feed.put("A", 1, currency)
        feed.put("B", 2, currency)
    feed.flush()
    with Events(gateway, "A", "B/EUR", token=token(["A", "B"]), query="&currency=USD") as s:
        s.until(lambda: s.live)
        assert s.balances == {("A", "USD"): 1, ("B", "EUR"): 2}
    with Events(gateway, "A", token=token(["A"])) as s:
        s.until(lambda: s.live)
        assert s.balances == {("A", c): 1 for c in ("NGN", "USD", "EUR")}


def test_a_quiet_stream_says_a_comment_at_least_every_heartbeat():
    with Gateway(BGW_HEARTBEAT_S=1, BGW_PING_S=1, BGW_PONG_WAIT_S=1, BGW_MARK_S=1) as g:
        with Events(g, "A", token=token(["A"])) as s:
            s.until(lambda: s.live)
            events, comments = len(s.events), s.comments
            began = time.monotonic()
            last_id = s.last_id
            while s.comments - comments < 5:  # longer than a ping and the wait for its pong: nobody asks a stream for one
                s.drain(0.5)
                assert time.monotonic() - began < 12, s.comments - comments
            assert time.monotonic() - began > 3, s.comments - comments
            assert len(s.events) == events and s.last_id == last_id
        assert g.metric("bgw_errors_total") == 0


# ---- coming again ----

def comes_again(first, again, put):
    """QUIET and B are held; what is put meanwhile comes, and nothing else."""
    s = Events(first, "QUIET", "B", "LATE", token=token(["QUIET", "B", "LATE"])).connect()
    s.until(lambda: s.live)
    put("B", 2)
    s.until(lambda: s.balance("B") == 2)
    s.cut()
    put("B", 3)
    put("LATE", 9)
    second = again()
    before = len(s.updates())
    s.connect(second).until(lambda: s.live)
    assert s.sub == {"ok": ["B", "LATE"], "current": ["QUIET"], "denied": []}
    assert s.balances == {("QUIET", "NGN"): 1, ("B", "NGN"): 3, ("LATE", "NGN"): 9}
    assert sorted(entry["k"] for entry in s.updates()[before:]) == ["B", "LATE"]
    s.connect(second).until(lambda: s.live)  # and nothing at all where nothing happened
    assert sorted(s.sub["current"]) == ["B", "LATE", "QUIET"] and len(s.updates()) == before + 2
    put("QUIET", 2)
    s.until(lambda: s.balance("QUIET") == 2)
    s.check()
    s.cut()


@pytest.mark.parametrize("where", ["here", "restarted", "other replica"])
def test_a_stream_goes_on_where_it_was(kafka, where):
    topic = kafka.create()
    feed = Feed(kafka.bootstrap, topic)

    def put(account, minor):
        feed.put(account, minor)
        feed.flush()

    def start():
        return Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, BGW_RESUME_SECRET=RESUME_SECRET)
    put("QUIET", 1)
    put("B", 1)
    gateways = [start()] + ([start()] if where == "other replica" else [])

    def again():
        if where == "restarted":
            gateways[0].stop()
            gateways.append(start())
        return gateways[-1]
    try:
        comes_again(gateways[0], again, put)
    finally:
        for g in gateways:
            g.__exit__(None)


def test_a_stream_that_is_cut_again_and_again_loses_nothing(kafka):
    topic = kafka.create()
    seed = int(os.environ.get("BGW_SSE_SEED", "7"))
    chance = random.Random(seed)
    accounts = [f"C{i}" for i in range(8)]
    with Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, BGW_RESUME_SECRET=RESUME_SECRET) as a, \
            Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, BGW_RESUME_SECRET=RESUME_SECRET) as b:
        feed = Feed(kafka.bootstrap, topic, readers=[a, b])
        s = Events(a, *accounts, token=token(accounts))
        newest = {}
        for _ in range(40):
            s.connect(chance.choice((a, b)))
            for _ in range(chance.randrange(12)):
                account = chance.choice(accounts)
                newest[account] = newest.get(account, 0) + 1
                feed.put(account, newest[account])
            if chance.random() < 0.5:
                s.until(lambda: s.live)
            for _ in range(chance.randrange(5)):
                try:
                    s.receive(0.05)
                except TimeoutError:
                    assert not s.fresh & s.uncovered().keys(), seed  # nothing more comes: the write has ended
                    break
        feed.flush()
        s.connect(a).until(lambda: s.live and all(s.balance(k) == v for k, v in newest.items()), what=f"the newest, seed {seed}")
        assert not s.errors, (seed, s.errors[:5])
        assert s.repeats < 20, (seed, s.repeats)  # with nothing to go by, each of the 40 connections would show all eight


def test_a_stream_that_breaks_inside_its_snapshot_repeats_at_most_the_write_that_broke(kafka):
    topic = kafka.create()
    accounts = [f"account-with-a-long-name:{i:03}" for i in range(200)]
    with Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, BGW_RESUME_SECRET=RESUME_SECRET, BGW_FLUSH_BYTES_MAX=4096) as a, \
            Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, BGW_RESUME_SECRET=RESUME_SECRET) as b:
        feed = Feed(kafka.bootstrap, topic, readers=[a, b])
        for account in accounts:
            feed.put(account, 1)
        feed.flush()
        everything, judged, broken = token(everything=True), 0, 0
        for count in (1, 2, 20, 40, 55, 90, 123, 160, 199, 200):
            s = Events(a, *accounts, token=everything).connect()
            s.until(lambda s=s, count=count: len(s.updates()) == count)
            covered = {key for key, _ in s.covered}
            assert count - 4096 // 100 <= len(covered) <= count  # an id with each 4 KiB, and no event is shorter than 100 bytes
            s.connect(b).until(lambda s=s: s.live)
            assert len(s.balances) == 200 and not s.uncovered()
            if s.sub["current"] or not covered:  # else it could not be judged in time, and everything came once more
                assert set(s.sub["current"]) == covered and len(s.updates()) == count + 200 - len(covered)
                assert s.broken_repeats == count - len(covered) and s.repeats == 0
                judged += 1
            broken += s.broken_repeats
            s.check()
            s.cut()
        assert judged >= 5 and broken > 0


def test_an_id_that_is_none_is_counted_and_everything_is_sent(gateway, feed):
    feed.put("A", 1)
    feed.flush()
    other = token(["A"], sub="somebody-else")
    with Events(gateway, "A", token=other) as s:
        others_id = s.until(lambda: s.live).last_id
    for last_id in ("nonsense", "A" * 5000, others_id):
        before = gateway.metrics()['bgw_resumes_total{result="refused"}']
        with Events(gateway, "A", token=token(["A"]), last_id=last_id) as s:
            s.until(lambda: s.live)
            assert s.balance("A") == 1 and s.sub["current"] == []
        assert gateway.metrics()['bgw_resumes_total{result="refused"}'] == before + 1


def test_the_id_may_stand_in_the_query_for_those_who_cannot_send_headers(gateway, feed):
    feed.put("A", 1)
    feed.flush()
    with Events(gateway, "A", token=token(["A"])) as s:
        last_id = s.until(lambda: s.live).last_id
    with Events(gateway, "A", token=token(["A"]), query=f"&last_event_id={last_id}", token_in_query=True) as s:
        s.until(lambda: s.live)
        assert s.sub["current"] == ["A"] and not s.updates()


# ---- freshness ----

def test_a_stream_says_when_its_values_are_not_proved_any_more(kafka):
    topic = kafka.create()
    feed = Feed(kafka.bootstrap, topic)
    feed.put("A", 5)
    feed.flush()
    with Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, BGW_FRESH_MS=2000, BGW_STALE_MS=4000) as g:
        with Events(g, "A", token=token(["A"])) as s:
            s.until(lambda: s.live)
            kafka.pause()
            try:
                s.until(lambda: s.states["A"] == "delayed", what="delayed")
                s.until(lambda: s.states["A"] == "stale", what="stale")
            finally:
                kafka.resume()
            states = [data for name, data, _ in s.events if name == "state"]
            assert all(x["keys"] == ["A"] and x["lag_ms"] >= 2000 and x["reason"] for x in states if x["state"] != "fresh")
            s.until(lambda: s.states["A"] == "fresh", 30, what="fresh again")
            feed.put("A", 6)
            feed.flush()
            s.until(lambda: s.balance("A") == 6)
            s.check()


# ---- the end ----

def test_a_drain_says_bye_and_when_to_come_again(gateway):
    streams = [Events(gateway, "A", token=token(["A"])).connect() for _ in range(20)]
    for s in streams:
        s.until(lambda s=s: s.live)
    gateway.proc.send_signal(signal.SIGTERM)
    for s in streams:
        s.until_end()
        assert s.bye["code"] == 3001 and s.bye["reason"] == "draining"
        assert s.retry_ms == (s.bye["retry_ms"] or 2000) and 0 <= s.bye["retry_ms"] <= 20000
        s.cut()
    pauses = collections.Counter(s.bye["retry_ms"] for s in streams)
    assert max(pauses.values()) <= 2, pauses  # two shards, and neither says the same to two of its own
    gateway.finish(10)


def test_a_stream_ends_with_its_token_and_the_next_answer_is_a_status(gateway, feed):
    feed.put("A", 1)
    feed.flush()
    short = token(["A"], ttl=6)
    with Events(gateway, "A", token=short) as s:
        s.until(lambda: s.live)
        s.until_end(90)  # exp, and the leeway
        assert s.bye == {"code": 3005, "retry_ms": 0, "reason": "token_expired"}, s.bye
        response = refused(gateway, "A", token=short)
        assert problem(response) == (401, "token_expired") and "www-authenticate" in response.headers


def revoke(gateway, what):
    request = urllib.request.Request(f"http://{gateway.info['admin']}/revocations", method="POST",
                                     data=json.dumps({**what, "exp": int(time.time()) + 600}).encode(),
                                     headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        assert reply.status == 200


def test_what_is_taken_back_is_said_and_stops(gateway, feed):
    feed.put("A", 1)
    feed.put("B", 1)
    feed.flush()
    held = token(["A", "B"], sub="victim", jti="jti-1")
    with Events(gateway, "A", "B", token=held) as s:
        s.until(lambda: s.live)
        revoke(gateway, {"sub": "victim", "accounts": ["A"]})
        s.until(lambda: s.revoked == ["A"], what="revoked")
        feed.put("A", 2)
        feed.put("B", 2)
        feed.flush()
        s.until(lambda: s.balance("B") == 2)
        assert s.balance("A") == 1
        s.connect().until(lambda: s.live)  # nor is it given back for coming again
        assert s.sub["denied"] == [{"key": "A", "code": "revoked"}]
        assert problem(refused(gateway, "A", token=held)) == (403, "revoked")
        revoke(gateway, {"jti": "jti-1"})
        s.until_end()
        assert s.bye["code"] == 3510
        assert problem(refused(gateway, "A", "B", token=held)) == (401, "revoked")


def test_a_client_that_speaks_ends_its_stream(gateway):
    with Raw(gateway) as raw:
        raw.send(get("/v1/stream?account=A", f"Authorization: Bearer {token(['A'])}"))
        assert raw.response(head_only=True).status == 200
        raw.send(get("/livez"))
        assert b"HTTP/1.1" not in raw.until_end()


# ---- who does not read ----

def test_a_stream_that_is_not_read_merges_and_wakes_to_the_newest(kafka):
    topic = kafka.create()
    keys = [f"S{i}" for i in range(50)]
    with Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, BGW_SO_SNDBUF=8192, BGW_STALL_S=60) as g:
        feed = Feed(kafka.bootstrap, topic, readers=[g])
        for key in keys:
            feed.put(key, 0)
        feed.flush()
        with Events(g, *keys, token=token(keys), receive=4096) as s:
            s.until(lambda: s.live)
            for n in range(1, 101):
                for key in keys:
                    feed.put(key, n)
            feed.flush()
            until(lambda: g.metric("bgw_updates_pending") > 1000, what="updates that wait for the reader")
            s.until(lambda: all(s.balance(k) == 100 for k in keys), 60, what="the newest")
            assert s.merged > 1000
            s.check()


def test_a_stream_that_is_never_read_again_is_ended():
    with Gateway(BGW_SO_SNDBUF=8192, BGW_STALL_S=2) as g:
        feed = Feed(g.bootstrap, readers=[g])
        keys = [f"S{i}" for i in range(100)]
        s = Events(g, *keys, token=token(keys), receive=4096).connect()
        until(lambda: g.metric("bgw_subscriptions") == len(keys))
        for n in range(20):
            for key in keys:
                feed.put(key, n)
        feed.flush()
        until(lambda: g.metric("bgw_sessions") == 0, 20, "the session to go")
        until(lambda: g.metrics()['bgw_connection_closes_total{code="3008"}'] == 1, 20, "its socket to go, last words or not")
        s.cut()


# ---- refusals ----

def test_whoever_may_not_is_told_with_a_status(gateway):
    mine = token(["A"])
    assert problem(refused(gateway, "A")) == (401, "token_missing")
    assert problem(refused(gateway, "A", token=mine + "x"))[0] == 401
    assert problem(refused(gateway, "A", token=token(["A"], ttl=-600))) == (401, "token_expired")
    assert problem(refused(gateway, "B", "C/USD", token=mine)) == (403, "no_grant")
    assert problem(refused(gateway, "A", token=mine, headers=["X-Tenant-Id: other"])) == (403, "other_tenant")
    assert problem(refused(gateway, "A", token=mine, headers=["Origin: https://evil.example"])) == (403, "forbidden_origin")
    with Events(gateway, "A", token=mine, headers=["X-Tenant-Id: tnt_demo", f"Origin: http://{gateway.listen}", "Host: x"][:1]) as s:
        s.until(lambda: s.live)


def test_what_makes_no_sense_is_400(gateway):
    mine = token(["A"])
    for accounts, query, code in (((), "", "account_required"), (("",), "", "bad_id"), (("A", "a b"), "", "bad_id"),
                                  (("A/usd",), "", "bad_id"), (("A\r\nB",), "", "bad_id"), (("x" * 65,), "", "bad_id"),
                                  (("A",), "&currency=dollars", "bad_id"), (("A",), "&currency=USD&currency=USD", "bad_query"),
                                  (("A",), "&account=%f", "bad_query"),
                                  (tuple(f"A{i}" for i in range(201)), "", "too_many_accounts")):
        assert problem(refused(gateway, *accounts, token=mine, query=query)) == (400, code), (accounts, query)
    with Events(gateway, "A", token=mine, query="&access_token=nonsense") as s:  # the header is the one that counts
        s.until(lambda: s.live)
    with Raw(gateway) as raw:
        reply = raw.ask("POST /v1/stream?account=A HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        assert reply.status == 405 and "GET" in reply.headers["allow"]
    with Raw(gateway) as raw:
        raw.send(f"HEAD /v1/stream?account=A HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {mine}\r\n\r\n")
        head = raw.response(head_only=True)
        assert head.status == 200 and head.headers["content-type"] == "text/event-stream" and raw.ended()
    until(lambda: gateway.metric("bgw_sessions") == 0, what="nobody to be left")


def test_two_hundred_accounts_are_one_stream(gateway, feed):
    accounts = [f"account-with-a-long-name:{i:03}" for i in range(200)]
    for account in accounts:
        feed.put(account, 1)
    feed.flush()
    with Events(gateway, *accounts, token=token(everything=True)) as s:
        s.until(lambda: s.live)
        assert len(s.balances) == 200 and len(s.updates()) == 200
        s.check()
        for times in range(1, 6):
            s.connect().until(lambda: s.live)
            assert not s.uncovered()
            if s.sub["current"]:
                break  # else the gateway had no 250 ms to read on, and everything came once more
        assert len(s.sub["current"]) == 200 and len(s.updates()) == 200 * times, (len(s.sub["current"]), times)
        s.check()


def test_allowed_pages_may_read_it_and_their_browser_may_ask_first():
    with Gateway(BGW_ORIGINS="https://app.example.com") as g:
        page = "Origin: https://app.example.com"
        with Events(g, "A", token=token(["A"]), headers=[page]) as s:
            assert s.response.headers["access-control-allow-origin"] == "https://app.example.com"
            assert "origin" in s.response.headers["vary"].lower()
            s.until(lambda: s.live)
        with Raw(g) as raw:
            preflight = raw.ask(f"OPTIONS /v1/stream HTTP/1.1\r\nHost: a\r\n{page}\r\nAccess-Control-Request-Method: GET\r\n"
                                "Access-Control-Request-Headers: last-event-id,authorization\r\n\r\n")
            assert preflight.status == 204
            assert preflight.headers["access-control-allow-origin"] == "https://app.example.com"
            allowed = preflight.headers["access-control-allow-headers"].lower()
            assert "last-event-id" in allowed and "authorization" in allowed
        for accounts, status in (("A", 401), ("", 400)):  # a page that reads the stream by fetch() sees why not
            response = refused(g, accounts, headers=[page])
            assert response.status == status
            assert response.headers["access-control-allow-origin"] == "https://app.example.com"
        stranger = refused(g, "A", token=token(["A"]), headers=["Origin: https://app.example.com.evil.example"])
        assert problem(stranger) == (403, "forbidden_origin") and "access-control-allow-origin" not in stranger.headers


# ---- what it costs ----

@pytest.mark.alone
def test_an_idle_stream_costs_at_most_four_kibibytes():
    count = 2000
    accounts = [f"IDLE-{i:05}" for i in range(count + 200)]
    with Gateway(binary=os.environ["BGW_RELEASE_BIN"], BGW_HANDSHAKES_PER_S=100000) as g:
        feed = Feed(g.bootstrap, readers=[g])
        for account in accounts:
            feed.put(account, 1)
        feed.flush()
        everyone = token(everything=True)

        def stream(account):
            return Events(g, account, token=everyone).connect()
        warm = [stream(a) for a in accounts[count:]]
        for s in warm:
            s.until(lambda s=s: s.live)
        before = private_kib(g)
        streams = [stream(a) for a in accounts[:count]]
        for s in streams:
            s.until(lambda s=s: s.live)
        each = (private_kib(g) - before) * 1024 / count
        print(f"{each:.0f} bytes each")
        assert each <= 4096
        for s in warm + streams:
            s.cut()


def private_kib(gateway):
    text = pathlib.Path(f"/proc/{gateway.proc.pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(("Private_Clean:", "Private_Dirty:")))
