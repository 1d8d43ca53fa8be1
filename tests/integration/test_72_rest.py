# SPDX-License-Identifier: Apache-2.0
"""Balances over REST, from what the hub knows: bodies, headers, versions, waits and refusals of the
real gateway, and that nobody who asks by HTTP is told something older than he has seen before."""

import asyncio
import contextlib
import datetime
import json
import time

import pytest

from harness.gateway import Gateway
from harness.kafka import Feed
from harness.native import Native, fnv64, version_key
from harness.raw import Raw, get
from harness.tokens import claims_of, sign, token
from harness.wait import until
from test_61_revocations import fresh, post

EXACT = 9007199254740993
ONE = "/ledger/accounts/{}/balance"
INTEGERS = ("balance", "minor", "availableMinor", "balanceMinor")


@pytest.fixture(scope="module")
def gw():
    with Gateway(BGW_ORIGINS="https://app.example.com") as g:
        yield g


@pytest.fixture(scope="module")
def feed(gw):
    return Feed(gw.bootstrap, gw.topic, readers=[gw])


class Rest(Raw):
    """One connection of one token's."""

    def __init__(self, gateway, bearer=None, **raw):
        super().__init__(gateway, **raw)
        self.bearer = bearer

    def request(self, path, *headers, method="GET"):
        own = [f"Authorization: Bearer {self.bearer}"] if self.bearer else []
        return get(path, *own, *headers).replace("GET", method, 1)

    def read(self, account, *headers, method="GET"):
        path = account if account.startswith("/") else ONE.format(account)
        self.send(self.request(path, *headers, method=method))
        return self.response(head_only=method == "HEAD")

    def good(self, account, *headers):
        response = self.read(account, *headers)
        assert response.status == 200, (response.line, response.body)
        return response.json()

    def refused(self, account, status, code, *headers):
        response = self.read(account, *headers)
        assert (response.status, response.code) == (status, code), (response.line, response.body)
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["cache-control"] == "no-store"
        assert response.json()["status"] == status and response.json()["detail"]
        if status == 503:
            assert response.headers["retry-after"] == "1"
        return response


@pytest.fixture
def rest(gw):
    with Rest(gw, token(everything=True)) as r:
        yield r


def is_waiting(gateway):
    """Whether one read is seen to wait: it does so for 0.8 s, which may be over when this is asked."""
    with contextlib.suppress(AssertionError):
        return until(lambda: gateway.metrics()["bgw_reads_waiting"] == 1, 2, "the wait")
    return False


def put(feed, account, *args, **more):
    version = feed.put(account, *args, **more)
    feed.flush()
    return version


# ---- what a balance looks like ----

def test_body_is_one_superset_and_money_is_exact(feed, rest):
    put(feed, "body", EXACT, pendingMinor=-7, ts=1700000000123)
    before = time.time()
    for path in (ONE.format("body"), ONE.format("body") + "/global", ONE.format("bod%79")):
        response = rest.read(path)
        assert response.status == 200 and response.headers["content-type"] == "application/json"
        assert response.body.count(str(EXACT).encode()) == 4
        body = response.json()
        assert all(body[name] == EXACT for name in INTEGERS)
        as_of = datetime.datetime.fromisoformat(body.pop("asOf"))
        assert abs(as_of.timestamp() - before) < 10
        assert body.pop("v") == response.headers["x-balance-version"]
        assert body == dict.fromkeys(INTEGERS, EXACT) | {
            "accountId": "body", "tenant": "tnt_demo", "currency": "NGN", "pendingMinor": -7, "ts": 1700000000123,
            "state": "fresh", "source": "stream"}


def test_headers_say_version_age_source_and_that_only_one_person_may_keep_it(feed, rest):
    put(feed, "head", 1)
    response = rest.read("head")
    version = response.json()["v"]
    headers = response.headers
    assert headers["etag"] == f'"{version}"' and headers["x-balance-version"] == version
    assert headers["x-cache-status"] == "HIT" and headers["x-balance-source"] == "stream"
    assert 0 <= int(headers["age"]) <= 3 and "warning" not in headers
    assert headers["cache-control"] == "private, no-cache"
    assert {v for k, v in response.fields if k.lower() == "vary"} == {"Origin", "Authorization"}
    assert "connection" not in headers


def test_fresh_means_proved_within_three_seconds_however_long_nothing_happens(feed, rest):
    put(feed, "idle", 1)
    seen = []
    for _ in range(12):
        asked = time.time()
        response = rest.read("idle")
        body = response.json()
        as_of = datetime.datetime.fromisoformat(body["asOf"]).timestamp()
        age = asked - as_of
        assert body["state"] == "fresh" and age < 4 and as_of < time.time() + 0.1, (age, body)
        assert int(response.headers["age"]) <= 3
        seen.append(age)
        time.sleep(0.5)  # time has to pass: that is what is shown
    assert len(seen) == 12


def test_currencies_are_balances_of_their_own_and_none_is_ever_made_up(feed, rest):
    put(feed, "multi", 100)
    put(feed, "multi", 200, "USD")
    assert rest.good("multi")["minor"] == 100
    for path, minor, currency in (("?currency=NGN", 100, "NGN"), ("?currency=USD", 200, "USD")):
        body = rest.good(ONE.format("multi") + path)
        assert (body["minor"], body["currency"]) == (minor, currency)
    problem = rest.refused(ONE.format("multi") + "?currency=EUR", 503, "source_unavailable")
    assert (problem.json()["accountId"], problem.json()["currency"]) == ("multi", "EUR")
    for bad in ("usd", "US", "", "%55SD0"):
        rest.refused(ONE.format("multi") + f"?currency={bad}", 400, "bad_id")


def test_nobody_knows_nobody_can_be_asked_and_it_was_removed_are_different_answers(feed, rest):
    response = rest.refused("never-seen", 503, "source_unavailable")
    assert b"minor" not in response.body
    put(feed, "gone", 5, v=None)
    assert rest.good("gone")["minor"] == 5
    feed.raw("gone", None)
    feed.flush()
    until(lambda: rest.read("gone").status == 404, 5, "the tombstone")
    rest.refused("gone", 404, "no_such_account")
    put(feed, "gone", 6, v=None)
    assert rest.good("gone")["minor"] == 6
    put(feed, "never-seen", 0)
    assert rest.good("never-seen")["minor"] == 0


def test_head_says_all_but_the_body(feed, rest):
    put(feed, "headless", 12345)
    whole = rest.read("headless")
    head = rest.read("headless", method="HEAD")
    assert head.status == 200 and head.headers["content-length"] == str(len(whole.body))
    assert head.headers["etag"] == whole.headers["etag"]
    assert rest.read("never-heard-of", method="HEAD").status == 503
    assert rest.good("headless")["minor"] == 12345  # and nothing of a body stood in between


# ---- versions ----

def test_known_version_is_304_until_there_is_another(feed, rest):
    put(feed, "tag", 1)
    tag = rest.read("tag").headers["etag"]
    for value in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        response = rest.read("tag", f"If-None-Match: {value}")
        assert response.status == 304 and response.headers["etag"] == tag, value
        assert response.headers["cache-control"] == "private, no-cache" and "content-length" not in response.headers
        assert response.headers["x-balance-version"] == tag.strip('"')
    assert rest.read("tag", "If-None-Match: \"x\"").status == 200
    assert rest.read("tag", f"If-None-Match: {tag.strip(chr(34))}").status == 200
    put(feed, "tag", 2)
    response = rest.read("tag", f"If-None-Match: {tag}")
    assert response.status == 200 and response.json()["minor"] == 2 and response.headers["etag"] != tag


def test_least_version_that_is_there_is_answered_at_once(feed, rest):
    put(feed, "floor", 1)
    version = rest.good("floor")["v"]
    epoch, seq = version.split(".")
    for path, *headers in ((f"?min_version={version}",), (f"?min_version={seq}",), ("?min_version=0",),
                           ("", f"X-Min-Version: {version}"), ("", f"X-Min-Version: {seq}"),
                           (f"?min_version={version}", f"X-Min-Version: {version}")):
        took = []
        for _ in range(3):
            started = time.monotonic()
            assert rest.good(ONE.format("floor") + path, *headers)["v"] == version
            took.append(time.monotonic() - started)
        assert min(took) < 0.5, took  # who waits does so each time


def test_least_version_is_waited_for(feed, rest):
    minor = put(feed, "later", 1)
    for want in ("{0}.{1}", "{1}"):
        for _ in range(10):
            epoch, seq = rest.good("later")["v"].split(".")
            rest.send(rest.request(ONE.format("later") + "?min_version=" + want.format(epoch, int(seq) + 1)))
            rest.sock.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                rest.fill(1)  # it is not answered with what there is
            rest.sock.settimeout(10)
            minor += 1
            put(feed, "later", minor)
            response = rest.response()
            if response.status != 412:
                break  # else it was put when nobody waited any more
        assert response.status == 200 and response.json()["minor"] == minor


def test_least_version_that_does_not_come_is_412_with_the_one_there_is(feed, rest):
    put(feed, "never", 1)
    version = rest.good("never")["v"]
    epoch, seq = version.split(".")
    started = time.monotonic()
    response = rest.refused(ONE.format("never") + f"?min_version={int(seq) + 1}", 412, "version_not_reached")
    assert 0.75 < time.monotonic() - started < 6
    assert response.headers["etag"] == f'"{version}"' and response.headers["x-balance-version"] == version
    assert response.json()["v"] == version and "minor" not in response.json()
    started = time.monotonic()  # another epoch cannot be waited for
    response = rest.refused("never", 412, "version_not_reached", "X-Min-Version: other.1")
    assert time.monotonic() - started < 0.6 and response.json()["v"] == version


@pytest.mark.parametrize("query, headers", [
    ("?min_version=", []), ("?min_version=x", []), ("?min_version=-1", []), ("?min_version=9223372036854775808", []),
    ("?min_version=1", ["X-Min-Version: 2"]), ("", ["X-Min-Version: 1.5.x"]), ("?min_version=1e3", [])])
def test_least_version_that_is_none_is_refused(gw, query, headers):
    with Rest(gw, token(everything=True)) as rest:
        rest.refused(ONE.format("A") + query, 400, "bad_min_version", *headers)
        rest.refused(ONE.format("A") + "?min_version=1&min_version=1", 400, "bad_query")


# ---- how sure ----

def test_no_cache_is_answered_from_after_the_question(gw, feed, rest):
    put(feed, "sure", 0)
    slowest = 0.0
    for i in range(1, 40):
        feed.put("sure", i)
        assert feed.producer.flush(10) == 0  # the broker has it; whether the gateway read it is not waited for
        started = time.monotonic()
        response = rest.read("sure", "Cache-Control: no-cache")
        slowest = max(slowest, time.monotonic() - started)
        assert response.status == 200 and response.headers["x-cache-status"] == "BYPASS", response.fields
        assert response.json()["minor"] == i and response.json()["state"] == "fresh"
    assert slowest < 8
    assert rest.read("sure", "Cache-Control: max-age=0").headers["x-cache-status"] == "HIT"


def test_with_kafka_away_it_is_delayed_then_stale_and_says_since_when(kafka):
    topic = kafka.create()
    with Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, BGW_FRESH_MS=1500, BGW_STALE_MS=3000) as g:
        feed = Feed(g.bootstrap, topic, readers=[g])
        put(feed, "A", 77)
        with Rest(g, token(everything=True)) as rest:
            assert rest.good("A")["state"] == "fresh"
            kafka.pause()
            try:
                paused = time.time()
                until(lambda: rest.good("A")["state"] == "delayed", 10, "delayed")
                response = rest.read("A", "Cache-Control: no-cache")
                assert response.json()["state"] in ("delayed", "stale") and response.headers["x-cache-status"] != "BYPASS"
                until(lambda: rest.good("A")["state"] == "stale", 10, "stale")
                response = rest.read("A")
                body = response.json()
                assert body["minor"] == 77 and body["reason"] == "source_lagging"
                assert response.headers["x-cache-status"] == "STALE"
                assert response.headers["warning"] == '110 - "Response is Stale"'
                assert int(response.headers["age"]) >= 3
                assert datetime.datetime.fromisoformat(body["asOf"]).timestamp() < paused + 1.6
                assert rest.read("A", f"If-None-Match: {response.headers['etag']}").headers["x-cache-status"] == "STALE"
            finally:
                kafka.resume()
            until(lambda: rest.good("A")["state"] == "fresh", 20, "fresh again")
            assert "warning" not in rest.read("A").headers


# ---- who may see it ----

def test_token_may_stand_in_header_or_query_and_must_be_good(gw, feed):
    put(feed, "mine", 1)
    mine = token(["mine"])
    with Rest(gw) as plain:
        body = plain.good(ONE.format("mine") + f"?access_token={mine}")
        assert body["minor"] == 1
        assert plain.good(ONE.format("mine") + "?access_token=nonsense", f"Authorization: Bearer {mine}")["minor"] == 1
    for path, headers, code in (("", [], "token_missing"), ("?access_token=", [], "token_missing"),
                                ("", ["Authorization: Bearer a.b.c"], "token_malformed"),
                                ("", [f"Authorization: Bearer {sign(claims_of(['mine']), 'of-somebody-else' * 4)}"], "bad_signature"),
                                ("", [f"Authorization: Bearer {token(['mine'], ttl=-1)}"], "token_expired"),
                                (f"?access_token={mine}", ["Authorization: Bearer a.b.c"], "token_malformed"),
                                ("", ["Authorization: Basic dTpw"], "bad_authorization")):
        with Rest(gw) as plain:
            response = plain.read(ONE.format("mine") + path, *headers)
            assert response.status == 401 and response.code == code, (code, response.body)
            assert response.headers["www-authenticate"].startswith("Bearer "), code


def test_token_is_good_to_its_last_second_and_not_longer_though_it_is_remembered(gw, feed):
    put(feed, "short", 1)
    with Rest(gw, token(["short"], ttl=6)) as rest:
        assert rest.good("short")["minor"] == 1
        before = gw.metrics()
        assert rest.good("short")["minor"] == 1
        after = gw.metrics()
        hits = 'bgw_token_cache_total{result="hit"}'
        assert after[hits] == before[hits] + 1
        assert after['bgw_auth_total{result="ok"}'] == before['bgw_auth_total{result="ok"}'] + 1
        until(lambda: rest.read("short").status == 401, 15, "its end")
    with Rest(gw, rest.bearer) as again:
        assert again.refused("short", 401, "token_expired")


def test_other_accounts_other_tenants_and_odd_names_are_refused(gw, feed):
    put(feed, "mine", 1)
    put(feed, "theirs", 2)
    put(feed, "mine", 3, tenant="t2")
    with Rest(gw, token(["mine"])) as rest:
        assert rest.good("mine", "X-Tenant-Id: tnt_demo")["minor"] == 1
        assert rest.refused("theirs", 403, "no_grant").json()["accountId"] == "theirs"
        rest.refused("no-such", 403, "no_grant")  # whether there is one is not said
        rest.refused("mine", 403, "other_tenant", "X-Tenant-Id: t2")
        rest.refused("mine", 403, "other_tenant", "X-Tenant-Id:")
        for odd in ("a b", "a|b", "é", "x" * 65, "", "a/b", "../mine"):
            path = "".join(c if c.isascii() and c.isalnum() or c in "./" else "".join(f"%{b:02X}" for b in c.encode()) for c in odd)
            rest.refused(ONE.format(path), 400, "bad_id")
        rest.refused(ONE.format("a%2Fb"), 400, "bad_id")
        rest.refused(ONE.format("mine").replace("accounts/", "accounts%2f"), 400, "bad_id")
        assert rest.good("mine")["minor"] == 1  # the connection outlived all of it
    with Rest(gw, token(["mine"], tenant="t2")) as rest:
        body = rest.good("mine", "X-Tenant-Id: t2")
        assert (body["minor"], body["tenant"]) == (3, "t2")
        rest.refused("theirs", 403, "no_grant")


def test_what_was_taken_back_is_refused_although_the_token_is_remembered(gw, feed):
    put(feed, "A", 1)
    put(feed, "B", 1)
    sub = fresh("rest-reader")
    with Rest(gw, token(["A", "B"], sub=sub, jti=fresh("jti"))) as rest:
        assert rest.good("A")["minor"] == 1 and rest.good("B")["minor"] == 1
        assert post(gw, {"sub": sub, "accounts": ["A"]})[0] == 200
        until(lambda: rest.read("A").status == 403, 5, "the revocation")
        rest.refused("A", 403, "revoked")
        assert rest.good("B")["minor"] == 1
        both = rest.good("/v1/balances?account=A&account=B")["balances"]
        assert [b["status"] for b in both] == [403, 200] and both[0]["code"] == "revoked"
        assert post(gw, {"sub": sub, "before": int(time.time()) + 1})[0] == 200
        until(lambda: rest.read("B").status == 401, 5, "the revocation")
    with Rest(gw, rest.bearer) as again:
        again.refused("B", 401, "revoked")


def test_what_is_taken_back_while_a_read_waits_is_not_told(gw, feed):
    put(feed, "W", 1)
    for _ in range(10):
        sub = fresh("waiting-reader")
        with Rest(gw, token(["W"], sub=sub)) as rest:
            seq = int(rest.good("W")["v"].split(".")[1])
            rest.send(rest.request(ONE.format("W") + f"?min_version={seq + 1}"))
            if not is_waiting(gw):
                continue
            assert post(gw, {"sub": sub, "accounts": ["W"]})[0] == 200
            put(feed, "W", 2)
            response = rest.response()
            if response.status != 412:
                break  # else it was put when nobody waited any more
    assert (response.status, response.code) == (403, "revoked") and b"minor" not in response.body


def test_audit_log_says_who_was_shown_what(tmp_path):
    log = tmp_path / "audit.log"
    with Gateway(BGW_AUDIT_LOG=log) as g:
        feed = Feed(g.bootstrap, g.topic, readers=[g])
        put(feed, "msisdn::2348100000001", 1)
        with Rest(g, token(["msisdn::2348100000001"], sub="user-17")) as rest:
            rest.good("msisdn::2348100000001")
            rest.refused("msisdn::2348100000002", 403, "no_grant")
            rest.refused("msisdn::2348100000001", 403, "other_tenant", "X-Tenant-Id: t2")
        until(lambda: log.exists() and '"denied"' in log.read_text(), 10, "the lines")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    shown, denied = (next(line for line in lines if line["event"] == event) for event in ("read", "denied"))
    assert shown["account"] == "msisdn::2348…01" and shown["currency"] == "NGN"
    assert denied["account"] == "msisdn::2348…02" and denied["code"] == "no_grant"
    for line in (shown, denied):
        assert line["sub"] == f"{fnv64('user-17'):016x}" and line["tenant"] == "tnt_demo" and line["address"] == "127.0.0.1"
    assert "2348100000" not in log.read_text() and rest.bearer not in log.read_text()


def test_pages_of_allowed_origins_may_read_it(gw, feed, rest):
    put(feed, "page", 1)
    own = "Origin: https://app.example.com"
    for response in (rest.read("page", own), rest.read("page", own, "If-None-Match: *"), rest.read("not-there", own)):
        assert response.headers["access-control-allow-origin"] == "https://app.example.com"
        assert {"ETag", "Age", "Warning", "Retry-After", "X-Balance-Version", "X-Balance-Source", "X-Cache-Status"} <= set(
            response.headers["access-control-expose-headers"].split(", "))
    assert "access-control-allow-origin" not in rest.read("page", "Origin: https://evil.example.com").headers


# ---- several ----

def test_several_accounts_in_one_answer_each_with_its_status(gw, feed):
    put(feed, "m1", 1)
    put(feed, "m2", 2)
    put(feed, "m2", 22, "USD")
    with Rest(gw, token(["m1", "m2", "m3"])) as rest:
        response = rest.read("/v1/balances?account=m1&account=m2/USD&account=m3&account=m4&account=a%20b&account=m1&account=m2")
        body = response.json()
        assert response.status == 200 and "etag" not in response.headers and response.headers["cache-control"] == "no-store"
        rows = [(b["accountId"], b.get("currency"), b["status"], b.get("code"), b.get("minor")) for b in body["balances"]]
        assert rows == [("m1", "NGN", 200, None, 1), ("m2", "USD", 200, None, 22), ("m3", None, 503, "source_unavailable", None),
                        ("m4", None, 403, "no_grant", None), ("a b", None, 400, "bad_id", None), ("m1", "NGN", 200, None, 1),
                        ("m2", "NGN", 200, None, 2)]
        assert abs(datetime.datetime.fromisoformat(body["asOf"]).timestamp() - time.time()) < 10
        usd = rest.good("/v1/balances?account=m2&account=m2/NGN&currency=USD")["balances"]
        assert [(b["currency"], b["minor"]) for b in usd] == [("USD", 22), ("NGN", 2)]
        single = rest.good("m1")
        assert {k: v for k, v in body["balances"][0].items() if k not in ("status", "asOf")} == {
            k: v for k, v in single.items() if k != "asOf"}
        rest.refused("/v1/balances", 400, "account_required")
        rest.refused("/v1/balances?" + "&".join(["account=m1"] * 201), 400, "too_many_accounts")
        rest.refused("/v1/balances?account=m1&currency=x", 400, "bad_id")
        rest.refused("/v1/balances?account=%zz", 400, "bad_query")
    with Rest(gw, token(everything=True)) as rest:
        many = rest.good("/v1/balances?" + "&".join(f"account=none-{i}" for i in range(200)))["balances"]
        assert [b["accountId"] for b in many] == [f"none-{i}" for i in range(200)]
        assert {b["status"] for b in many} == {503}


# ---- connections ----

def test_answers_keep_their_order_though_the_first_one_waits(gw, feed, rest):
    put(feed, "order", 1)
    seq = int(rest.good("order")["v"].split(".")[1])
    put(feed, "other", 5)
    rest.send(rest.request(ONE.format("order") + f"?min_version={seq + 1}") + rest.request(ONE.format("other")) +
              rest.request(ONE.format("order")))
    until(lambda: gw.metrics()["bgw_reads_waiting"] == 1, 5, "the wait")
    put(feed, "order", 2)
    assert [rest.response().json()["minor"] for _ in range(3)] == [2, 5, 2]
    rest.send("".join(rest.request(ONE.format("other")) for _ in range(200)))
    assert all(rest.response().json()["minor"] == 5 for _ in range(200))


def test_what_comes_behind_a_wait_in_vain_is_answered_right_after_it(feed, rest):
    put(feed, "behind", 1)
    ahead = rest.request(ONE.format("behind") + "?min_version=99")
    between = []
    for _ in range(3):
        rest.send(ahead + rest.request(ONE.format("behind")))
        assert rest.response().status == 412
        started = time.monotonic()
        assert rest.response().json()["minor"] == 1
        between.append(time.monotonic() - started)
    assert min(between) < 0.1, between


def test_connection_that_is_cut_while_it_waits_leaves_nothing(gw, feed):
    put(feed, "cut", 1)
    before = gw.metrics()["bgw_connections"]
    waiting = [Rest(gw, token(everything=True)) for _ in range(20)]

    def asked():  # again, where the waits were over before they were seen
        for i, c in enumerate(waiting):
            c.send(c.request(ONE.format("cut") + f"?min_version=99{i}"))
        return gw.metrics()["bgw_reads_waiting"] >= 1
    until(asked, 15, "the waits")
    for c in waiting:
        c.sock.close()
    until(lambda: gw.metrics()["bgw_reads_waiting"] == 0, 5, "the end of the waits")
    until(lambda: gw.metrics()["bgw_connections"] <= before, 10, "the end of the connections")


def test_too_many_waiting_reads_are_told_so():
    with Gateway(BGW_SHARDS=1, BGW_READS_MAX=2) as g:
        feed = Feed(g.bootstrap, g.topic, readers=[g])
        put(feed, "A", 1)
        with contextlib.ExitStack() as stack:
            first, second, third = (stack.enter_context(Rest(g, token(everything=True))) for _ in range(3))
            for c in (first, second):
                assert c.good("A")["minor"] == 1
                c.send(c.request(ONE.format("A") + "?min_version=2"))
            until(lambda: g.metrics()["bgw_reads_waiting"] == 2, 5, "two waits")
            third.refused(ONE.format("A") + "?min_version=2", 503, "busy")
            assert third.good("A")["minor"] == 1
            put(feed, "A", 2)
            assert all(c.response().json()["minor"] == 2 for c in (first, second))


def test_while_it_drains_reads_are_answered_and_end_their_connection():
    async def go():
        with Gateway(BGW_DRAIN_S=4) as g:
            feed = Feed(g.bootstrap, g.topic, readers=[g])
            put(feed, "A", 1)
            async with Native(g, token(everything=True)) as client:
                await client.sub("A")
                with Rest(g, token(everything=True)) as waiting:
                    seq = int(waiting.good("A")["v"].split(".")[1])
                    waiting.send(waiting.request(ONE.format("A") + f"?min_version={seq + 1}"))
                    until(lambda: g.metrics()["bgw_reads_waiting"] == 1, 5, "the wait")
                    g.proc.terminate()
                    until(lambda: '"draining"' in g.log_text(), 5, "the drain")
                    response = waiting.response()
                    assert response.status == 412 and response.headers["connection"] == "close" and waiting.ended()
            g.finish(15)
    asyncio.run(go())


def test_reads_are_counted_by_result(gw, feed, rest):
    put(feed, "count", 1)
    rest.good("count")

    def reads():
        return {k.split('"')[1]: v for k, v in gw.metrics().items() if k.startswith("bgw_reads_total")}
    before = reads()
    rest.good("count")
    rest.read("count", "If-None-Match: *")
    rest.read("uncounted")
    rest.read(ONE.format("count") + "?min_version=9999")
    rest.read("a%20b")
    rest.good("/v1/balances?account=count&account=count&account=x%20")
    after = reads()
    assert {k: after[k] - before[k] for k in after} == {
        "hit": 3, "value": 0, "not_modified": 1, "unknown": 1, "too_old": 1, "timeout": 0, "busy": 0, "shed": 0, "refused": 2}


# ---- never older ----

def test_who_has_seen_a_version_over_a_websocket_never_reads_an_older_one():
    """Each round ends with a read in the moment in which the WebSocket has shown something new, over connections of both
    shards, while other accounts keep hub and shards busy."""
    async def go():
        with Gateway(BGW_SHARDS=2) as g, contextlib.ExitStack() as stack:
            feed = Feed(g.bootstrap, g.topic, readers=[g])
            accounts = [f"mono-{i}" for i in range(4)]
            bearer = token(everything=True)
            readers = [stack.enter_context(Rest(g, bearer)) for _ in range(16)]
            rounds = 0
            async with Native(g, bearer) as client:
                await client.sub(*accounts)
                end = time.monotonic() + 6
                while time.monotonic() < end or rounds < 100:
                    rounds += 1
                    for i in range(20):
                        feed.put(f"noise-{i}", rounds)
                    for account in accounts:
                        feed.put(account, rounds)
                    for account in accounts:
                        await client.until(lambda a=account: client.balance(a) == rounds)
                        body = readers[rounds % len(readers)].good(account)
                        assert version_key(body["v"]) >= version_key(client.versions[account, "NGN"]), (account, rounds, body)
                        assert body["minor"] >= rounds
    asyncio.run(go())


def test_bodies_are_json_for_any_reader(feed, rest):
    put(feed, "json", -(2**63))
    text = rest.read("json").body.decode()
    assert text.isascii() and json.loads(text)["balance"] == -(2**63)
