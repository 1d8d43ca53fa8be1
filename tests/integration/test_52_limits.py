# SPDX-License-Identifier: Apache-2.0
"""Every limit of a connection: its error, its counter in /metrics, and that who comes later, or keeps
to it, is served as before. Sizes are in test_50_http.py and test_51_websocket_raw.py."""

import concurrent.futures
import json
import os
import pathlib
import resource
import socket
import time

import pytest

from harness.certs import Authority
from harness.gateway import Gateway
from harness.raw import CLOSE, PING, PONG, Ended, Raw, cpu_seconds, frame, get, lasts
from harness.tokens import token
from harness.wait import until


def rise(gateway, before, name):
    return gateway.metrics()[name] - before.get(name, 0)


def open_session(gateway, tok, by_hello=False, **raw):
    """A client that has its hello."""
    c = Raw(gateway, **raw)
    c.upgrade(None if by_hello else tok)
    if by_hello:
        c.text({"op": "hello", "token": tok})
    assert c.next_event()["ev"] == "hello"
    return c


def limited(gateway, tok, by_hello=False):
    """One over a limit: the WebSocket opens, says bye 3504 and ends."""
    with Raw(gateway) as c:
        c.upgrade(None if by_hello else tok)
        if by_hello:
            c.text({"op": "hello", "token": tok})
        bye = c.next_event()
        assert (bye["ev"], bye["code"], bye["reason"]) == ("bye", 3504, "connection_limit"), bye
        assert c.close_code() == 3504


def gone(gateway, left):
    until(lambda: gateway.metrics()["bgw_connections"] <= left, 10, "the connection to be gone")


def place(open_one):
    """A place is free a moment after its connection was counted as gone."""
    def tried():
        try:
            return open_one()
        except (AssertionError, Ended, OSError):
            return None
    return until(tried, 10, "a place")


# ---- connections by subject, tenant, address ----

def test_connections_of_a_subject_are_limited_over_all_shards():
    with Gateway(BGW_CONNECTIONS_PER_SUBJECT=2, BGW_SHARDS=2) as g:
        before = g.metrics()
        alice, bob, elsewhere = (token(["A"], sub="alice"), token(["A"], sub="bob"),
                                 token(["A"], sub="alice", tenant="t2"))
        clients = [open_session(g, alice), open_session(g, alice, by_hello=True)]
        for _ in range(4):
            limited(g, alice)
            limited(g, alice, by_hello=True)
        clients += [open_session(g, bob), open_session(g, elsewhere)]  # others are not concerned
        assert rise(g, before, 'bgw_sessions_limited_total{by="subject"}') == 8
        until(lambda: rise(g, before, 'bgw_connection_closes_total{code="3504"}') == 8, 15, "3504 counted")
        for c in clients[:2]:  # those who were there go on
            c.text({"op": "ping", "id": 1})
            assert c.next_event("pong")
        clients.pop(0).sock.close()
        gone(g, 3)
        clients.append(place(lambda: open_session(g, alice)))
        limited(g, alice)
        for c in clients:
            c.sock.close()


def test_connections_of_a_tenant_are_limited():
    with Gateway(BGW_CONNECTIONS_PER_TENANT=2) as g:
        before = g.metrics()
        clients = [open_session(g, token(["A"], sub=f"s{i}", tenant="t1")) for i in range(2)]
        limited(g, token(["A"], sub="s3", tenant="t1"))
        limited(g, token(["A"], sub="s4", tenant="t1"), by_hello=True)
        clients.append(open_session(g, token(["A"], sub="s1", tenant="t2")))
        assert rise(g, before, 'bgw_sessions_limited_total{by="tenant"}') == 2
        clients.pop(0).sock.close()
        gone(g, 2)
        place(lambda: open_session(g, token(["A"], sub="s3", tenant="t1"))).sock.close()
        for c in clients:
            c.sock.close()


def test_connections_of_an_address_are_limited_when_asked_for():
    with Gateway(BGW_CONNECTIONS_PER_ADDRESS=3) as g:
        before = g.metrics()
        clients = [open_session(g, token(["A"]), source="127.0.0.2") for _ in range(3)]
        for _ in range(3):
            with Raw(g, source="127.0.0.2") as c:
                response = c.response()  # without a request: at the door
                assert response.status == 429 and response.code == "address_limit" and c.ended()
        other = open_session(g, token(["A"]), source="127.0.0.3")
        assert rise(g, before, 'bgw_connections_refused_total{reason="address_limit"}') == 3
        clients.pop().sock.close()
        gone(g, 3)
        clients.append(place(lambda: open_session(g, token(["A"]), source="127.0.0.2")))
        for c in (*clients, other):
            c.sock.close()


def test_behind_a_trusted_proxy_the_clients_address_is_limited_and_written_down(tmp_path):
    log = tmp_path / "audit"
    with Gateway(BGW_CONNECTIONS_PER_ADDRESS=1, BGW_TRUSTED_PROXIES="127.0.0.2", BGW_AUDIT_LOG=log, BGW_SHARDS=1) as g:
        before = g.metrics()

        def through(header, expect=101, source="127.0.0.2"):
            c = Raw(g, source=source)
            return c, c.upgrade(token(["A"]), headers=[header] if header else [], expect=expect)
        kept = [through("X-Forwarded-For: 6.6.6.6, 203.0.113.1")[0], through("Forwarded: for=203.0.113.2")[0],
                through("Forwarded: for=unknown")[0], through(None)[0]]
        for header in ("X-Forwarded-For: 203.0.113.1", "Forwarded: for=\"203.0.113.1:99\"", "X-Forwarded-For: 203.0.113.2"):
            c, response = through(header, 429)
            assert response.code == "address_limit" and 1 <= int(response.headers["retry-after"]) <= 10 and c.ended()
        for header in ("X-Forwarded-For: nonsense", "Forwarded: for=\"203.0.113.9", "Forwarded: for=a;for=b"):
            c, response = through(header, 400)
            assert response.code == "bad_forwarded" and c.ended()
        kept.append(through("X-Forwarded-For: nonsense", source="127.0.0.3")[0])  # not on the list: not heard
        assert rise(g, before, 'bgw_handshakes_total{result="address_limit"}') == 3
        assert rise(g, before, 'bgw_connections_refused_total{reason="address_limit"}') == 0
        kept.pop(0).sock.close()
        gone(g, 4)
        kept.append(place(lambda: through("X-Forwarded-For: 203.0.113.1")[0]))
        for c in kept:
            c.sock.close()
        g.stop()
    sessions = [e for e in map(json.loads, log.read_text().splitlines()) if e["event"] == "session"]
    assert [e.get("address") for e in sessions] == ["203.0.113.1", "203.0.113.2", None, "127.0.0.2", "127.0.0.3", "203.0.113.1"]


# ---- handshakes a second ----

@pytest.mark.alone
def test_a_storm_of_upgrades_is_told_when_to_come_back_and_reads_are_served():
    with Gateway(BGW_HANDSHAKES_PER_S=20, BGW_STORM_SPREAD_S=5, BGW_SHARDS=1) as g:
        before = g.metrics()
        clients = []
        def connected():  # the accepts have a budget of their own, of the same size
            c = Raw(g)
            if c.ask(get("/livez")).status == 200:
                return c
            c.sock.close()
            return None
        for _ in range(60):
            clients.append(until(connected, 10, "a place"))
        told = []
        request = "\r\n".join(["GET /ws HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: bgw.v1", "", ""])
        began = time.monotonic()
        for c in clients:
            c.send(request)
        for c in clients:
            response = c.response()
            if response.status != 101:
                assert response.status == 503 and response.code == "too_many_handshakes"
                told.append(int(response.headers["retry-after"]))
        admitted = len(clients) - len(told)
        took = time.monotonic() - began
        assert 20 <= admitted <= 30 + 20 * took, (admitted, took)
        if took < 0.5:  # the spread of those who came at once
            assert max(told) <= 3 and 20 <= told.count(1) <= 24 and told.count(2) >= min(len(told) - told.count(1), 16), told
        assert rise(g, before, 'bgw_handshakes_total{result="budget"}') == len(told)
        for c in clients:
            c.sock.close()
        gone(g, 0)

        def comes_in():
            with Raw(g) as c:
                return c.ask(request).status == 101
        until(comes_in, 15, "the budget to come back")


def test_sessions_beyond_capacity_are_refused_and_come_in_later():
    with Gateway(BGW_CONNECTIONS_MAX=4, BGW_SHARDS=1) as g:
        before = g.metrics()
        clients = [open_session(g, token(["A"])) for _ in range(4)]
        with Raw(g) as c:
            response = c.response()
            assert response.status == 503 and int(response.headers["retry-after"]) >= 1 and c.ended()
        assert rise(g, before, 'bgw_connections_refused_total{reason="overload"}') == 1
        clients.pop().sock.close()
        gone(g, 3)
        clients.append(place(lambda: open_session(g, token(["A"]))))
        for c in clients:
            c.sock.close()


# ---- commands a second, keys ----

@pytest.mark.alone
def test_commands_beyond_the_budget_are_all_answered_only_later_and_others_are_not_held_up():
    with Gateway(BGW_COMMANDS_PER_S=50, BGW_SHARDS=1) as g:
        before = g.metrics()
        busy, calm = open_session(g, token(["A"])), open_session(g, token(["A"], sub="calm"))
        began = time.monotonic()
        busy.send(b"".join(frame(1, b'{"op":"ping","id":%d}' % i) for i in range(200)))
        worst = 0.0
        for i in range(20):
            asked = time.monotonic()
            calm.text({"op": "ping", "id": i})
            assert calm.next_event("pong")["id"] == i
            worst = max(worst, time.monotonic() - asked)
        events = [busy.next_event() for _ in range(201)]
        took = time.monotonic() - began
        assert [e["id"] for e in events if e["ev"] == "pong"] == list(range(200))
        errors = [e for e in events if e["ev"] == "err"]
        assert [e["code"] for e in errors] == ["slow_down"]  # once, and it is no strike
        assert 1.5 < took < 10, took  # a hundred at once, a hundred at fifty a second
        assert worst < 1.4, worst
        assert rise(g, before, "bgw_commands_slowed_total") == 1
        time_of_pings = time.monotonic()  # pings cost the same, and every one is answered
        busy.send(b"".join(frame(PING, b"%d" % i) for i in range(200)))  # a hundred may be free again
        pongs = []
        while len(pongs) < 200:
            opcode, payload = busy.next_frame()
            assert opcode != CLOSE
            if opcode == PONG:
                pongs.append(int(payload))
        assert pongs == list(range(200)) and time.monotonic() - time_of_pings > 0.8
        busy.sock.close(), calm.sock.close()


def test_a_flood_of_pings_costs_no_memory():
    with Gateway(BGW_COMMANDS_PER_S=100, BGW_SHARDS=1, binary=os.environ["BGW_RELEASE_BIN"]) as g:
        c = open_session(g, token(["A"]))
        rss = g.rss_kib()
        c.sock.settimeout(0.2)
        sent, burst, began = 0, frame(PING, b"x" * 125) * 500, time.monotonic()
        for _ in lasts(20):
            if sent > 200000 and time.monotonic() > began + 2:
                break
            try:
                sent += c.sock.send(burst)
            except socket.timeout:
                pass  # it is not read any faster
        assert sent > 200000 and g.rss_kib() - rss < 4096, (sent, rss, g.rss_kib())
        with Raw(g) as other:
            assert other.ask(get("/livez")).status == 200
        c.sock.close()


def test_keys_of_a_connection_are_limited_one_by_one():
    with Gateway(BGW_KEYS_MAX=3) as g:
        c = open_session(g, token(everything=True))
        c.text({"op": "sub", "id": 1, "keys": ["A", "B", "C", "D", "E"]})
        reply = c.next_event("sub")
        assert reply["ok"] == ["A", "B", "C"]
        assert [(d["key"], d["code"]) for d in reply["denied"]] == [("D", "too_many_keys"), ("E", "too_many_keys")]
        assert g.metrics()['bgw_command_errors_total{code="too_many_keys"}'] == 2
        c.text({"op": "unsub", "id": 2, "keys": ["A"]})
        c.next_event("ok")
        c.text({"op": "sub", "id": 3, "keys": ["D"]})
        assert c.next_event("sub")["ok"] == ["D"]
        c.sock.close()


# ---- deadlines ----

def test_deadlines_of_hello_and_pong_are_kept():
    with Gateway(BGW_AUTH_DEADLINE_S=1, BGW_PING_S=1, BGW_PONG_WAIT_S=4) as g:
        before = g.metrics()
        silent, deaf, polite = Raw(g), Raw(g), Raw(g)
        silent.upgrade()
        deaf.upgrade(token(["A"])), polite.upgrade(token(["A"]))
        pings = 0
        while pings < 6:  # a second apart: longer than who is deaf may stay
            opcode, payload = polite.next_frame()
            assert opcode != CLOSE
            if opcode == PING:
                pings += 1
                polite.frame(PONG, payload)
        polite.sock.close()
        bye = silent.next_event("bye")
        assert (bye["code"], bye["reason"]) == (3500, "auth_timeout") and silent.close_code() == 3500
        assert deaf.next_event("bye")["code"] == 3012 and deaf.close_code() == 3012
        for c in (silent, deaf):
            c.sock.close()
        for code in (3500, 3012):
            until(lambda name=f'bgw_connection_closes_total{{code="{code}"}}': rise(g, before, name) == 1, 15, f"{code} counted")


# ---- staff ----

def test_tokens_of_staff_need_a_client_certificate_and_others_do_not(tmp_path):
    ca, log = Authority(tmp_path), tmp_path / "audit"
    server = ca.server()
    anybody, staff = ca.trusting(), ca.trusting(ca.client("staff-1"))
    everything, own = token(everything=True, sub="staff"), token(["A"], sub="staff")
    with Gateway(BGW_TLS_CERT=server.cert, BGW_TLS_KEY=server.key, BGW_TLS_CLIENT_CA=ca.cert, BGW_TLS_CLIENT_AUTH="staff",
                 BGW_AUDIT_LOG=log, BGW_SHARDS=1) as g:
        before = g.metrics()
        open_session(g, everything, tls=staff).sock.close()
        open_session(g, everything, tls=staff, by_hello=True).sock.close()
        open_session(g, own, tls=anybody).sock.close()
        with Raw(g, tls=anybody) as c:
            response = c.upgrade(everything, expect=403)
            assert response.code == "client_certificate_required" and c.ended()
        with Raw(g, tls=anybody) as c:
            c.upgrade()
            c.text({"op": "hello", "token": everything})
            bye = c.next_event("bye")
            assert (bye["code"], bye["reason"]) == (3507, "client_certificate_required") and c.close_code() == 3507
        with open_session(g, own, tls=anybody) as c:
            c.text({"op": "auth", "id": 4, "token": everything})
            error = c.next_event("err")
            assert (error["id"], error["code"]) == (4, "client_certificate_required")
            c.text({"op": "sub", "id": 5, "keys": ["A", "B"]})  # the token that it has stays
            assert c.next_event("sub")["ok"] == ["A"]
        assert rise(g, before, 'bgw_handshakes_total{result="forbidden_client"}') == 1
        g.stop()
    events = [json.loads(line) for line in log.read_text().splitlines()]
    refused = [e for e in events if e["event"] == "refused"]
    assert [e["code"] for e in refused] == ["client_certificate_required"] * 3
    assert len({e["sub"] for e in refused}) == 1 and all(e["address"] == "127.0.0.1" for e in refused)


# ---- origins ----

def test_only_listed_origins_and_the_own_one_come_in():
    with Gateway(BGW_ORIGINS="https://app.example.com") as g:
        before = g.metrics()
        for origin, status in (("https://app.example.com", 101), ("http://a", 101), ("https://a", 101), ("https://evil.example.com", 403),
                               ("https://app.example.com.evil.example.com", 403), ("http://app.example.com", 403), ("null", 403)):
            with Raw(g) as c:
                c.upgrade(token(["A"]), headers=[f"Origin: {origin}"], expect=status)
        assert rise(g, before, 'bgw_handshakes_total{result="forbidden_origin"}') == 4
        assert rise(g, before, 'bgw_handshakes_total{result="ok"}') == 3


# ---- descriptors ----

def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.alone
def test_without_descriptors_clients_are_told_503_nothing_spins_and_it_recovers():
    with Gateway(BGW_SHARDS=2, BGW_HEADER_DEADLINE_S=60, binary=os.environ["BGW_RELEASE_BIN"]) as g:
        held = open_session(g, token(["A"]))
        g.metrics()
        room, calm = 12, descriptors(g.proc.pid)
        resource.prlimit(g.proc.pid, resource.RLIMIT_NOFILE, (calm + room, calm + room))
        crowd = [Raw(g) for _ in range(4 * room)]

        def outcome(c):
            try:
                return c.ask(get("/livez")).status
            except (Ended, OSError):
                return 0
        with concurrent.futures.ThreadPoolExecutor(len(crowd)) as pool:
            first = list(pool.map(outcome, crowd))
        served, told = first.count(200), first.count(503)
        assert served > 0 and told > 0 and served + told == len(crowd), first
        used = cpu_seconds(g.proc.pid)
        waiting = [Raw(g) for _ in range(5)]  # and more who knock while there is nothing
        time.sleep(1)  # what it does not use cannot be awaited
        assert cpu_seconds(g.proc.pid) - used < 0.27, "it spins"
        held.text({"op": "ping", "id": 5})  # who was there goes on
        assert held.next_event("pong")["id"] == 5
        for c in crowd + waiting:
            c.sock.close()
        until(lambda: descriptors(g.proc.pid) <= calm + 4 and open_and_close(g), 10, "recovery")
        counted = g.metrics()['bgw_connections_refused_total{reason="fd_limit"}']
        assert counted >= told, (counted, told)
        held.sock.close()


def open_and_close(gateway):
    try:
        with Raw(gateway) as c:
            return c.ask(get("/livez")).status == 200
    except (Ended, OSError):
        return False


def test_with_a_small_limit_from_the_start_it_runs_and_keeps_its_reserve():
    def start():
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, soft[1]))
        try:
            return Gateway(binary=os.environ["BGW_RELEASE_BIN"], BGW_SHARDS=1, BGW_HEADER_DEADLINE_S=60)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, soft)
    with start() as g:
        limits = pathlib.Path(f"/proc/{g.proc.pid}/limits").read_text()
        crowd = [Raw(g) for _ in range(300)]
        statuses = []
        for c in crowd:
            try:
                statuses.append(c.ask(get("/livez")).status)
            except (Ended, OSError):
                statuses.append(0)
        assert statuses.count(200) > 20, limits
        assert set(statuses) <= {200, 503}, statuses
        for c in crowd:
            c.sock.close()
        until(lambda: open_and_close(g), 10, "recovery")
        assert g.http("/livez", admin=True)[0] == 200
