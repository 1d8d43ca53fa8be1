# SPDX-License-Identifier: Apache-2.0
"""SignalR's side of HTTP over bare sockets: who gets an id and what it is good for, on this replica and on
another; event streams whose client speaks through POSTs that come to any shard; and what a drain says."""

import concurrent.futures
import signal
import threading
import time

import pytest

from harness.gateway import Gateway
from harness.kafka import Feed
from harness.raw import Ended, Raw
from harness.records import END, HELLO, PING, Records, ask, encoded, negotiate, post
from harness.signalr_http import Stream, wanted
from harness.tokens import sign, token
from harness.wait import until

ORIGIN = "https://app.example.com"
NOT_THERE = b"No Connection with that ID"
SUBSCRIBE = {"type": 1, "target": "SubscribeBalance", "arguments": ["A"], "invocationId": "1"}
NEGOTIATE = "/ws/negotiate?negotiateVersion=1"


@pytest.fixture(scope="module")
def gw():
    with Gateway(BGW_SHARDS=2, BGW_ORIGINS=ORIGIN) as g:
        yield g


@pytest.fixture(scope="module")
def feed(gw):
    return Feed(gw.bootstrap, readers=[gw])


def everything(**more):
    return token(everything=True, **more)


def new_id(gateway, bearer=None):
    return negotiate(gateway, bearer or everything())["connectionToken"]


def said(response):
    return response.status, response.body


def is_text(response):
    return response.headers["content-type"].startswith("text/plain") and b"\n" not in response.body


def gone(gateway, bearer, ident):
    """Nobody has the id any more: it was, and no transport gets it again."""
    def asked():
        return ask(gateway, wanted(ident, bearer).encode()).status == 404
    until(asked, what="the id to be used up")


# ---- negotiation ----

def test_negotiation_looks_at_the_token_wherever_it_stands(gw):
    good, other = everything(), token(["A"], sub="somebody")
    ended, forged = token(["A"], ttl=-3600), sign({"sub": "u", "exp": time.time() + 60}, secret="x" * 40)
    for bearer, in_query, status in ((good, None, 200), (None, good, 200), (good, other, 200), (good, forged, 200),
                                     (None, None, 401), (ended, None, 401), (None, ended, 401), (forged, good, 401),
                                     ("x", None, 401), (None, "", 401)):
        path = NEGOTIATE + ("" if in_query is None else f"&access_token={in_query}")
        answer = ask(gw, post(path, bearer, b""))
        assert answer.status == status, (bearer, in_query, answer.body)
        assert answer.headers["cache-control"] == "no-store"
        if status == 401:
            assert is_text(answer) and answer.body and "www-authenticate" in answer.headers


def test_negotiation_goes_on_over_one_connection(gw):
    with Raw(gw) as c:
        tokens = {c.ask(post(NEGOTIATE, everything(), body)).json()["connectionToken"] for body in (None, b"", b"{}", b"x" * 1000) * 5}
        assert len(tokens) == 20
        c.send(b"".join(post(NEGOTIATE, everything(), b"") for _ in range(3)))  # one behind the other
        assert all(c.response().json()["negotiateVersion"] == 1 for _ in range(3))
    with Raw(gw) as c:
        answer = c.ask(f"POST {NEGOTIATE} HTTP/1.0\r\nAuthorization: Bearer {everything()}\r\n\r\n")
        assert answer.json()["connectionToken"] and c.ended()


def test_pages_of_allowed_origins_may_read_what_is_said(gw):
    for answer in (ask(gw, post(NEGOTIATE, everything(), b"", [f"Origin: {ORIGIN}"])),
                   ask(gw, post(NEGOTIATE, "bad", b"", [f"Origin: {ORIGIN}"])),
                   ask(gw, post("/ws", everything(), b"", [f"Origin: {ORIGIN}"])),
                   ask(gw, post("/ws?id=x", everything(), b"", [f"Origin: {ORIGIN}"]))):
        assert answer.headers["access-control-allow-origin"] == ORIGIN, said(answer)
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in answer.headers["vary"]
    for request in (post(NEGOTIATE, everything(), b"", ["Origin: https://evil.example"]),
                    post("/ws?id=" + new_id(gw), everything(), b"", ["Origin: https://evil.example"]),
                    wanted(new_id(gw), everything(), "Origin: https://evil.example").encode()):
        answer = ask(gw, request)
        assert answer.status == 403 and "access-control-allow-origin" not in answer.headers, said(answer)
    for path in ("/ws", "/ws/negotiate"):
        preflight = ask(gw, post(path, None, None, [f"Origin: {ORIGIN}", "Access-Control-Request-Method: POST"], method="OPTIONS"))
        assert preflight.status == 204 and preflight.headers["access-control-allow-origin"] == ORIGIN
        asked_for = {name.strip() for name in preflight.headers["access-control-allow-headers"].lower().split(",")}
        assert {"authorization", "content-type", "x-requested-with", "x-signalr-user-agent"} <= asked_for


def test_negotiations_are_counted(gw):
    before = gw.metrics()
    negotiate(gw, everything())
    ask(gw, post(NEGOTIATE, None, b""))
    ask(gw, post("/ws/negotiate?negotiateVersion=-5", everything(), b""))
    after = gw.metrics()
    for result, count in (("ok", 1), ("refused", 2)):
        name = f'bgw_negotiations_total{{result="{result}"}}'
        assert after[name] - before[name] == count


def test_methods_that_are_none_and_head(gw):
    for path in ("/ws", "/ws?id=x", "/ws/negotiate"):
        for method in ("PUT", "PATCH", "HEAD", "TRACE", "PROPFIND", "NONSENSE"):
            with Raw(gw) as c:
                answer = c.send(post(path, everything(), b"", method=method)).response(head_only=True)
                assert answer.status == 405 and "GET" in answer.headers["allow"] or "POST" in answer.headers["allow"], (method, answer.line)
                assert method != "HEAD" or not c.buffer


# ---- ids of WebSockets ----

def test_a_token_that_is_old_by_its_own_word_opens_nothing(gw):
    """Whoever holds an id needs a token of his own, each time."""
    ident = new_id(gw)
    for bearer, status in ((token(["A"], ttl=-3600), 401), (None, 401), ("x", 401)):
        with Records(gw) as c:
            c.open(bearer, query=f"?id={ident}", expect=status)
    with Records(gw) as c:  # and was not used up by that; by another person than negotiated, for an id is nobody's
        c.greet(token(["A"], sub="another"), query=f"?ID={ident}")


def test_of_many_at_once_one_gets_the_id(gw):
    bearer = everything()
    answered = threading.Barrier(8)

    def attempt(ident):
        with Records(gw) as c:
            answer = c.ask(f"GET /ws?id={ident} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                           f"Authorization: Bearer {bearer}\r\n\r\n")
            answered.wait(20)  # the one that got it lives until all have asked
            return answer.status
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            statuses = sorted(pool.map(attempt, [new_id(gw)] * 8))
            assert statuses == [101] + [409] * 7


def test_replicas_with_one_secret_take_each_others_ids_and_no_other():
    with Gateway(BGW_RESUME_SECRET="s" * 40) as a, Gateway(BGW_RESUME_SECRET="s" * 40) as b, Gateway(BGW_RESUME_SECRET="t" * 40) as c:
        ident = new_id(a)
        with Records(b) as ws:
            ws.greet(everything(), query=f"?id={ident}")
        with Stream(b, everything(), new_id(a)) as stream:
            stream.greet()
            assert said(stream.post(PING, gateway=a)) == (404, NOT_THERE)  # it lives on the other one
        with Records(c) as ws:
            assert ws.open(everything(), query=f"?id={new_id(a)}", expect=404).body == NOT_THERE
        assert said(ask(c, wanted(new_id(a), everything()).encode())) == (404, NOT_THERE)


# ---- streams ----

def test_a_stream_begins_as_clients_expect(gw):
    with Stream(gw, everything()) as stream:
        assert stream.head.headers["content-type"] == "text/event-stream"
        assert stream.head.headers["cache-control"] == "no-cache,no-store"
        assert stream.head.headers["content-encoding"] == "identity"
        assert stream.head.headers["x-accel-buffering"] == "no"
        assert stream.head.headers["connection"] == "close"
        assert not {"content-length", "transfer-encoding"} & set(stream.head.headers)
    bearer, ident = everything(), new_id(gw)
    request = wanted(ident, None, f"Origin: {ORIGIN}", in_query=bearer)  # a browser's
    with Stream(gw, bearer, ident, request) as stream:
        assert stream.head.headers["access-control-allow-origin"] == ORIGIN
        stream.greet()


def test_what_is_posted_to_any_shard_is_heard_and_answered_on_the_stream(gw, feed):
    feed.put("A", 5)
    feed.flush()
    for _ in range(6):  # streams and posts fall on either shard
        with Stream(gw, everything()) as stream:
            stream.greet().say(PING).say(SUBSCRIBE)
            assert stream.until_target("subscriptionConfirmed")[0]["accountId"] == "A"
            assert stream.next() == {"type": 3, "invocationId": "1", "result": None}
            stream.until_target("balanceUpdate")
            minor = feed.put("A", 7)
            assert f'"v":{minor}' in stream.until_target("balanceUpdate")[0]
            for n in range(20):  # each POST is answered before the next, so their order is the stream's
                stream.say({**SUBSCRIBE, "invocationId": str(n)})
            completed = []
            while len(completed) < 20:
                record = stream.next()
                if record["type"] == 3:
                    completed.append(record["invocationId"])
            assert completed == [str(n) for n in range(20)]


def test_records_may_be_cut_by_posts_anywhere(gw):
    with Stream(gw, everything()) as stream:
        whole = encoded(HELLO) + END + encoded(PING) + END + encoded(SUBSCRIBE) + END
        for at in range(0, len(whole), 17):
            assert said(stream.post(raw=whole[at:at + 17])) == (200, b"")
        assert said(stream.post(raw=b"")) == (200, b"")
        assert stream.next() == {}
        assert stream.until_target("subscriptionConfirmed")[0]["accountId"] == "A"


def test_only_who_opened_a_stream_may_post_to_it(gw):
    with Stream(gw, everything(sub="ada")) as stream:
        for bearer, status in ((everything(sub="bob"), 403), (everything(sub="ada", tenant="tnt_other"), 403),
                               (token(["A"], sub="ada", ttl=-3600), 401), ("x", 401)):
            answer = stream.post(HELLO, token=bearer)
            assert answer.status == status and is_text(answer), said(answer)
        assert ask(gw, post(f"/ws?id={stream.ident}", None, b"{}")).status == 401
        answer = ask(gw, post(f"/ws?ID={stream.ident}&access_token={everything(sub='ada')}", None, encoded(HELLO) + END))
        assert said(answer) == (200, b"")
        assert stream.next() == {}
        stream.token = token(["A"], sub="ada")  # another token of the same person
        stream.say(SUBSCRIBE)
        stream.until_target("subscriptionConfirmed")


def test_a_stream_that_is_over_is_not_there(gw):
    bearer = everything()
    with Stream(gw, bearer) as stream:
        stream.greet()
        assert said(ask(gw, wanted(stream.ident, bearer).encode())) == (409, b"")
        with Records(gw) as ws:
            answer = ws.open(bearer, query=f"?id={stream.ident}", expect=400)
            assert answer.body == b"Cannot change transports mid-connection"
    gone(gw, bearer, stream.ident)
    assert said(stream.post(PING)) == (404, NOT_THERE)
    with Records(gw) as ws:
        assert ws.open(bearer, query=f"?id={stream.ident}", expect=404).body == NOT_THERE


def test_a_stream_ends_with_a_close_record_and_the_response(gw):
    bearer = everything()
    with Stream(gw, bearer) as stream:
        stream.greet().say("{nonsense")
        assert stream.next()["type"] == 7
        assert stream.ended()
    gone(gw, bearer, stream.ident)
    with Stream(gw, bearer) as stream:
        stream.say({"protocol": "messagepack", "version": 1})
        assert "error" in stream.next()
        assert stream.ended()


def test_bodies_and_ids_that_cannot_be(gw):
    bearer = everything()
    with Stream(gw, bearer) as stream:
        stream.greet()
        for path, body, status in ((f"/ws?id={stream.ident}", b"x" * 65537, 413), (f"/ws?id={stream.ident}&id=x", b"", 400),
                                   ("/ws?id=" + "A" * 58, b"", 404), ("/ws?id=" + "A" * 10000, b"", 404), ("/ws?id=", b"", 400),
                                   (f"/ws?id={stream.ident}%20", b"", 404), ("/ws?id=%ff", b"", 404)):
            with Raw(gw) as c:
                assert c.send_as_far_as_taken(post(path, bearer, body)).response().status == status, path[:80]
        stream.say(SUBSCRIBE)  # and the stream does not mind
        stream.until_target("subscriptionConfirmed")


def test_a_stream_over_http_1_0_is_closed_when_it_ends(gw):
    bearer, ident = everything(), new_id(gw)
    request = f"GET /ws?id={ident} HTTP/1.0\r\nAccept: text/event-stream\r\nAuthorization: Bearer {bearer}\r\n\r\n"
    with Stream(gw, bearer, ident, request) as stream:
        stream.greet()
    with Raw(gw) as c:
        assert said(c.ask("GET /ws HTTP/1.0\r\n\r\n")) == (400, b"Connection ID required") and c.ended()


def test_who_speaks_on_its_stream_instead_of_posting_is_let_go(gw):
    bearer = everything()
    with Stream(gw, bearer) as stream:
        stream.greet()
        stream.send(post(f"/ws?id={stream.ident}", bearer, encoded(SUBSCRIBE) + END))
        assert stream.ended()
    gone(gw, bearer, stream.ident)


def test_without_streams_they_are_not_offered():
    with Gateway(BGW_SIGNALR_SSE="false") as g:
        offer = negotiate(g, everything())
        assert [t["transport"] for t in offer["availableTransports"]] == ["WebSockets"]
        answer = ask(g, wanted(offer["connectionToken"], everything()).encode())
        assert said(answer) == (404, b"ServerSentEvents transport not supported by this end point type")


def test_many_streams_and_posts_at_once_leave_nothing_behind(gw):
    def one(n):
        with Stream(gw, everything(sub=f"user-{n}")) as stream:
            stream.greet().say(PING)
            for k in range(5):
                stream.say({**SUBSCRIBE, "invocationId": str(k)})
            while stream.next().get("invocationId") != "4":
                pass
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(100)))
    until(lambda: gw.metric("bgw_sessions") == 0, what="the sessions to go")
    until(lambda: gw.metrics()['bgw_dialect_sessions{dialect="signalr_sse"}'] == 0, what="their dialect's count to say so")


def test_a_client_that_goes_while_its_posts_are_under_way(gw):
    bearer = everything()

    def flood(stream):
        return [stream.post(PING).status for _ in range(20)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            with Stream(gw, bearer) as stream:
                stream.greet()
                floods = [pool.submit(flood, stream) for _ in range(4)]
            assert {status for f in floods for status in f.result()} <= {200, 404}
    assert negotiate(gw, bearer)["connectionToken"]


# ---- limits and ends ----

def test_the_budget_of_the_door_is_told_in_words_and_seconds():
    with Gateway(BGW_SHARDS=1, BGW_HANDSHAKES_PER_S=1) as g:
        with Raw(g) as c:
            c.send(post(NEGOTIATE, everything(), b"") * 20)  # as fast as anybody can
            answers = [c.response() for _ in range(20)]
        refused = [a for a in answers if a.status == 503]
        assert answers[0].status == 200 and refused
        for answer in refused:
            assert is_text(answer) and int(answer.headers["retry-after"]) >= 1


def test_a_draining_gateway_sends_newcomers_away_and_lets_the_others_finish():
    bearer = everything()
    with Gateway(BGW_DRAIN_S=8, BGW_HEADER_DEADLINE_S=20) as g:
        ident = new_id(g)
        with Stream(g, bearer) as stream, Raw(g) as a, Raw(g) as b, Raw(g) as c:
            stream.greet()
            for idle in (a, b, c):  # connected and in the middle of a request: their answers come in the drain
                idle.send("P" if idle is not c else "G")
            until(lambda: g.metric("bgw_sessions") == 1, what="the stream")
            g.proc.send_signal(signal.SIGTERM)
            until(lambda: '"shard_draining"' in g.log_text() and g.log_text().count("shard_draining") == 2, what="the drain")
            answer = a.ask(post(NEGOTIATE, bearer, b"")[1:])
            assert answer.status == 503 and is_text(answer) and int(answer.headers["retry-after"]) >= 1
            answer = c.ask(wanted(ident, bearer)[1:])
            assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1
            answer = b.ask(post(f"/ws?id={stream.ident}", bearer, encoded(PING) + END)[1:])
            assert answer.status in (200, 404)  # it may have been told already
            try:
                while stream.next(pings=True) != {"type": 7, "allowReconnect": True}:
                    pass
            except Ended as end:
                raise AssertionError("no close record") from end
            assert stream.ended()
        g.finish(15)
        assert g.proc.returncode == 0
