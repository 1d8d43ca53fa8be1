# SPDX-License-Identifier: Apache-2.0
"""The estate app's own frames, one JSON object each, over a plain WebSocket as `wscat` would open it: the
exact words that the apps out there say and wait for."""

import itertools
import json
import signal
import time

import pytest

from harness.fixtures import clients, feed, gateway
from harness.gateway import Gateway
from harness.raw import BINARY, TEXT
from harness.records import Records
from harness.tokens import token

GATEWAY = {"BGW_GREETING_S": 1}
numbers = itertools.count(1)


def account():
    return f"msisdn::234811{next(numbers):07}"


def opened(clients, gateway, bearer=None, **how):
    app = clients.app(gateway, bearer or token(everything=True), **how)
    app.ev("open")
    return app


def test_the_exact_frames_of_the_app(gateway, feed, clients):
    alice = account()
    written = '{"accountId":"%s", "minor":9007199254740993,"currency":"NGN","pendingMinor":0,"v":1,"x":"\\u001e \\"₦\\" 😀"}' % alice
    feed.raw(alice, written)
    feed.flush()
    app = opened(clients, gateway)
    app.say('{"type":"invoke","method":"SubscribeBalance","args":["%s"]}' % alice)
    confirmed = app.message("subscriptionConfirmed")
    assert set(confirmed[0]) == {"accountId", "groupName", "timestamp"} and confirmed[0]["groupName"] == f"acct::{alice}"
    app.update()
    feed.put(alice, 6, v=2)
    feed.flush()
    app.update(lambda u: u["minor"] == 6)
    assert app.texts()[0] == written and len(app.texts()) == 2
    raw = [e["text"] for e in app.events("frame")]
    assert all(set(json.loads(t)) == {"type", "target", "arguments"} and json.loads(t)["type"] == "message" for t in raw)
    assert not any("\x1e" in t or e["binary"] for t, e in zip(raw, app.events("frame")))
    assert [f["target"] for f in app.frames()] == ["subscriptionConfirmed", "balanceUpdate", "balanceUpdate"]

    app.invoke("UnsubscribeBalance", alice)
    feed.put(alice, 7, v=3)
    feed.flush()
    app.invoke("subscribebalance", alice)
    app.update(lambda u: u["v"] == 3)
    assert len(app.texts()) == 3
    assert app.stop()["code"] == 1005


def test_token_in_the_query_as_well(gateway, clients):
    app = clients.app(gateway, query=f"?access_token={token(['A'])}")
    app.ev("open")
    app.invoke("SubscribeBalance", "A")
    assert app.message("subscriptionConfirmed")[0]["accountId"] == "A"
    app.stop()


def test_without_a_good_token_there_is_no_upgrade(gateway, clients):
    for bearer in (token(["A"], ttl=-60), "nonsense"):
        assert clients.app(gateway, bearer).ev("refused")["status"] == 401
    assert clients.app(gateway).ev("refused")["status"] in (400, 401)


def test_many_at_once_and_refusals_leave_the_socket_open(gateway, feed, clients):
    mine, other = [account() for _ in range(3)], account()
    for name in (*mine, other):
        feed.put(name, 1)
    feed.flush()
    app = opened(clients, gateway, token(mine))
    app.invoke("SubscribeMultipleBalances", [*mine, other])
    error = app.message("error")
    assert set(error[0]) == {"code", "message"} and error[0]["code"] == "no_grant" and other in error[0]["message"]
    for name in mine:
        app.message("subscriptionConfirmed", lambda a, name=name: a[0]["accountId"] == name)
        app.update(lambda u, name=name: u["accountId"] == name)
    app.invoke("SubscribeBalance", "not an account")
    assert app.message("error", lambda a: a[0]["code"] == "bad_id")
    app.invoke("Nothing")
    app.message("error", after=app.mark() - 1)
    feed.put(mine[0], 2)
    feed.flush()
    app.update(lambda u: u["minor"] == 2)
    assert all(u["accountId"] != other for u in map(json.loads, app.texts()))
    app.stop()


def test_an_unknown_account_is_told_and_its_first_value_arrives(gateway, feed, clients):
    nobody = account()
    app = opened(clients, gateway)
    app.invoke("SubscribeBalance", nobody)
    state = app.message("balanceState")[0]
    assert state["accountId"] == nobody and state["state"] == "unknown"
    feed.put(nobody, 1)
    feed.flush()
    assert app.update()["minor"] == 1
    app.stop()


NONSENSE = ["nonsense", "", "{}", "[]", '{"type":"invoke"}', '{"type":"invoke","method":5,"args":[]}', '{"type":"invoke","method":"SubscribeBalance"}',
            '{"type":"invoke","method":"SubscribeBalance","args":"A"}', '{"type":"other","method":"SubscribeBalance","args":["A"]}',
            '{"type":"invoke","method":"SubscribeBalance","args":["A"]} x']


def test_nonsense_is_answered_and_after_ten_the_socket_is_closed(gateway, clients):
    app = opened(clients, gateway)
    app.invoke("SubscribeBalance", "A")
    app.message("subscriptionConfirmed")
    for n, text in enumerate(NONSENSE):
        app.say(text)
        app.wait(lambda e, n=n: e["ev"] == "closed" or len(app.frames("error")) > n)
    assert app.ev("closed")["code"] == 3501
    assert len(app.frames("error")) >= 9
    assert all(set(f["arguments"][0]) == {"code", "message"} for f in app.frames("error"))


def test_who_says_nothing_at_all_is_let_go_and_who_speaks_late_as_well(gateway, clients):
    began = time.monotonic()
    app = opened(clients, gateway)
    app.ev("closed")
    assert 0.8 < time.monotonic() - began < 5


@pytest.mark.parametrize("first", ["nonsense", "{}", "[]", '{"type":6}', '{"type":5}', '{"op":"hello"}', '"x"', "\x1e", "{" * 10000])
def test_a_first_message_of_no_dialect_ends_it(gateway, first):
    with Records(gateway) as c:
        c.open(token(everything=True)).frame(TEXT, first.encode())
        assert c.farewell_code()


def test_binary_and_fragments(gateway):
    with Records(gateway) as c:
        c.open(token(everything=True)).fragments(b'{"type":"invoke","method":"SubscribeBalance","args":["A"]}', 3)
        opcode, payload = c.next_frame()
        assert opcode == TEXT and json.loads(payload)["target"] == "subscriptionConfirmed"
        c.frame(BINARY, b"{}")
        assert c.farewell_code() == 1003


def test_silent_app_is_pinged_by_the_transport_and_a_drain_closes_it(clients):
    with Gateway(BGW_DRAIN_S=1, BGW_HEARTBEAT_S=1, BGW_PING_S=1, BGW_PONG_WAIT_S=1) as g:
        app = opened(clients, g)
        app.invoke("SubscribeBalance", "A")
        app.message("balanceState")
        time.sleep(3)  # long enough to be let go, if its pongs were not heard
        assert not app.events("closed")
        g.proc.send_signal(signal.SIGTERM)
        assert app.ev("closed")["code"] in (1001, 3001)
        g.finish(15)
