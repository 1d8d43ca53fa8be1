# SPDX-License-Identifier: Apache-2.0
"""How SignalR connections end and begin again, as npm's clients of four generations see it: with and
without automatic reconnection, one by one and two hundred at once."""

import itertools
import json
import signal
import socket
import time

import pytest
from test_61_revocations import post as admin_post
from test_64_exhaustion import RELEASE, Clock

from harness.fixtures import clients, feed, gateway
from harness.gateway import Gateway
from harness.kafka import Feed, free_port
from harness.middle import Middle
from harness.records import Records, ask, post
from harness.signalr import VERSIONS, Clients
from harness.tokens import token
from harness.wait import until

ANY_VERSION = pytest.mark.parametrize("version", VERSIONS)
FAST = [0, 100, 200, 400, 400, 400] + 34 * [800]  # for half a minute
GATEWAY = {"BGW_JWT_LEEWAY_S": 0}
numbers = itertools.count(1)


def account():
    return f"life-{next(numbers)}"


def everything(**claims):
    return token(everything=True, **claims)


def pair(clients, gateway, version, bearer, again=None, **options):
    """Two of a kind: one that comes back by itself, one that does not."""
    hubs = [clients.hub(version, gateway, bearer, reconnect=FAST, **({"again": again} if again else {}), **options),
            clients.hub(version, gateway, bearer, **options)]
    for hub in hubs:
        hub.start()
    return hubs


def is_over(hub, words=None):
    """It stays away; these are the words of its onclose."""
    error = hub.ev("closed")["error"]
    assert not hub.events("reconnecting"), hub.events()
    if words is None:
        assert error is None, error
    else:
        assert words in (error or ""), error
    assert hub.state() == "Disconnected"


def comes_back(hub, words=None, timeout=20):
    error = hub.ev("reconnecting")["error"]
    assert words is None or words in (error or ""), error
    assert hub.ev("reconnected", timeout)["id"] != hub.events("done")[0]["value"]["id"]
    assert not hub.events("closed") and hub.state() == "Connected"


def closed(hub, *any_of):
    error = hub.ev("closed")["error"]
    assert any(error is None if words is None else words in (error or "") for words in any_of), error


@ANY_VERSION
def test_revoked_is_over_for_good(gateway, clients, version):
    who = f"revoked-{next(numbers)}"
    both = pair(clients, gateway, version, everything(sub=who))
    for hub in both:
        hub.call("SubscribeBalance", account())
    assert admin_post(gateway, {"sub": who, "before": int(time.time()) + 1, "exp": int(time.time()) + 3600})[0] == 200
    for hub in both:
        is_over(hub, "Server returned an error on close: ")
    assert both[0].refusal() == "Unauthorized" if version < 8 else "401" in both[0].refusal()


def test_an_account_that_was_taken_back_is_said_and_the_others_go_on(gateway, feed, clients):
    hubs = []
    for version in VERSIONS:
        who, kept, lost = f"revoked-{next(numbers)}", account(), account()
        hub = clients.hub(version, gateway, token([kept, lost], sub=who), on=["balanceUpdate", "subscriptionRevoked"])
        hub.start()
        hub.call("SubscribeMultipleBalances", [kept, lost])
        what = {"sub": who, "accounts": [lost], "exp": int(time.time()) + 3600}
        assert admin_post(gateway, what)[0] == 200
        hubs.append((hub, kept, lost))
    for hub, kept, lost in hubs:
        assert hub.ev("event", target="subscriptionRevoked")["args"][0]["accountId"] == lost
        feed.put(lost, 1)
        feed.put(kept, 1)
    feed.flush()
    for hub, kept, lost in hubs:
        hub.update(lambda u, kept=kept: u["accountId"] == kept)
        assert len(hub.texts()) == 1
        assert "revoked" in hub.refusal("invoke", target="SubscribeBalance", args=[lost])
        hub.stop()


def test_an_expired_token_is_asked_for_again(gateway, feed, clients):
    alice = account()
    short, good = token([alice], ttl=8), token([alice])
    back = [clients.hub(v, gateway, [short, short, good], reconnect=FAST, again=["SubscribeBalance", alice]) for v in VERSIONS]
    plain = [clients.hub(v, gateway, short) for v in VERSIONS]
    for hub in back + plain:
        hub.start()
        hub.call("SubscribeBalance", alice)
    for hub in back:
        comes_back(hub)
    for hub in plain:
        closed(hub, None)
        assert hub.state() == "Disconnected"
    feed.put(alice, 9)
    feed.flush()
    for hub in back:
        hub.update(lambda u: u["minor"] == 9)
        hub.stop()
    assert not [t for hub in plain for t in hub.texts()]


def test_a_killed_gateway_and_one_that_is_silent_and_tokens_that_are_bad_for_a_while(clients):
    """All versions at once: the gateway is stopped (silence), killed (no close at all), and started again."""
    bad = token(["A"], ttl=-60)
    with Gateway(BGW_LISTEN=f"127.0.0.1:{free_port()}") as first:
        address, good = first.listen, everything()
        silent = [clients.hub(v, first, good, reconnect=FAST, serverTimeout=4000) for v in VERSIONS]
        plain_silent = [clients.hub(v, first, good, serverTimeout=4000) for v in VERSIONS]
        for hub in silent + plain_silent:
            hub.start()
        first.proc.send_signal(signal.SIGSTOP)
        try:
            for hub in silent:
                hub.ev("reconnecting", error="Server timeout elapsed without receiving a message from the server.")
            for hub in plain_silent:
                hub.ev("closed", error="Server timeout elapsed without receiving a message from the server.")
        finally:
            first.proc.send_signal(signal.SIGCONT)
        for hub in silent:
            hub.ev("reconnected", 20)
            hub.stop()

        pairs = [pair(clients, first, v, good) for v in VERSIONS]
        late = [clients.hub(v, first, [good, good, bad, bad, bad, good], reconnect=FAST) for v in VERSIONS]
        pending = []
        for hub in late:
            hub.start()
        first.proc.send_signal(signal.SIGSTOP)
        for returning, plain in pairs:
            pending.append((plain, plain.begin("invoke", target="SubscribeBalance", args=["A"])))
        first.kill()
    for _, plain in pairs:
        closed(plain, "WebSocket closed with status code: 1006", None)
    for plain, n in pending:
        plain.wait(lambda e, n=n: e["ev"] == "failed" and e["n"] == n)
    with Gateway(BGW_LISTEN=address) as second:
        for returning, _ in pairs:
            comes_back(returning)
            returning.stop()
        for hub in late:  # its attempts with bad tokens counted as failed ones
            comes_back(hub)
            assert len(hub.events("token")) >= 6
            hub.stop()
        assert second.metric("bgw_http_requests_total") > 0


@ANY_VERSION
def test_behind_a_proxy_without_websockets_it_falls_back_to_server_sent_events(gateway, feed, clients, version):
    alice = account()
    with Middle(gateway) as middle:
        middle.refuse_upgrades = True
        hub = clients.hub(version, middle, everything(), reconnect=FAST, again=["SubscribeBalance", alice])
        assert hub.start()["transport"] == "ServerSentEventsTransport"
        assert middle.refused == 1
        hub.call("SubscribeBalance", alice)
        feed.put(alice, 1)
        feed.flush()
        hub.update(lambda u: u["minor"] == 1)
        middle.cut()
        comes_back(hub)
        feed.put(alice, 2)
        feed.flush()
        hub.update(lambda u: u["minor"] == 2)
        hub.stop()


def test_who_does_not_read_is_cut_while_the_others_flow():
    with Gateway(BGW_SO_SNDBUF=4096, BGW_STALL_S=5) as g, Clients() as clients:
        feed = Feed(g.bootstrap, readers=[g])
        names = [account() for _ in range(8)]
        hubs = [clients.hub(v, g, everything()) for v in VERSIONS]
        with Records(g) as sleeper:
            sleeper.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sleeper.greet(everything()).call("SubscribeMultipleBalances", names)
            for hub in hubs:
                hub.start()
                hub.call("SubscribeMultipleBalances", names)

            def flow(n):
                marks = [hub.mark() for hub in hubs]
                for name in names:
                    feed.put(name, n, note="x" * 30000)
                feed.flush()
                for hub, mark in zip(hubs, marks):
                    hub.update(lambda u: u["accountId"] == names[-1] and u["minor"] == n, after=mark)
            for n in range(1, 16):
                flow(n)
            until(lambda: any(v for k, v in g.metrics().items() if "closes_total" in k and "3008" in k), 30, "it to be let go")
            flow(16)
        for hub in hubs:
            order_is_kept(hub, names, 16)
            hub.stop()


def order_is_kept(client, names, newest):
    for name in names:
        client.update(lambda u, name=name: u["accountId"] == name and u["minor"] == newest)
        seen = [u["v"] for u in map(json.loads, client.texts()) if u["accountId"] == name]
        assert seen == sorted(set(seen)), (name, seen)


def test_order_of_each_account_is_kept_in_a_storm(gateway, feed, clients):
    names = [account() for _ in range(3)]
    hubs = [clients.hub(v, gateway, everything(), transport=t) for v in VERSIONS for t in ("ws", "sse")]
    for hub in hubs:
        hub.start()
        hub.call("SubscribeMultipleBalances", names)
    for n in range(1, 301):
        for name in names:
            feed.put(name, n)
    feed.flush()
    for hub in hubs:
        order_is_kept(hub, names, 300)
        hub.stop()


def test_a_stopped_kafka_is_told_and_its_return_as_well(clients, kafka):
    topic = kafka.create()
    with Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, BGW_FRESH_MS=4000, BGW_STALE_MS=8000) as g:
        feed = Feed(kafka.bootstrap, topic, readers=[g])
        feed.put("F", 5)
        feed.flush()
        hubs = [clients.hub(v, g, everything(), transport=t) for v in VERSIONS for t in ("ws", "sse")]
        for hub in hubs:
            hub.start()
            hub.call("SubscribeBalance", "F")
            hub.update()
            assert not hub.events("event", "balanceState")
        kafka.pause()
        try:
            for hub in hubs:
                hub.balance_state("delayed")
                state = hub.balance_state("stale")
                assert state["accountId"] == "F" and state["v"] and state["asOf"]
            with Records(g) as late:  # comes now: the confirmation, the completion, the balance, and how old it is
                late.greet(everything()).say({"type": 1, "target": "SubscribeBalance", "arguments": ["F"], "invocationId": "1"})
                said = [late.next() for _ in range(4)]
                assert [r.get("target", r["type"]) for r in said] == ["subscriptionConfirmed", 3, "balanceUpdate", "balanceState"]
                assert said[3]["arguments"][0]["state"] == "stale"
        finally:
            kafka.resume()
        for hub in hubs:
            hub.balance_state("fresh", 30)
            hub.stop()
            states = [e["args"][0]["state"] for e in hub.events("event", "balanceState")]
            assert states[:2] == ["delayed", "stale"] and states[-1] == "fresh" and len(hub.texts()) == 1, states
            assert all(a != b for a, b in zip(states, states[1:])), states


def test_ids_end_after_half_a_minute(tmp_path):
    clock = Clock(tmp_path)
    with Gateway(binary=RELEASE, BGW_SHARDS=1, **clock.env) as g:
        bearer = everything(ttl=7200)
        ident = json.loads(ask(g, post("/ws/negotiate?negotiateVersion=1", bearer, b"")).body)["connectionToken"]
        clock.set(31)
        with Records(g) as c:
            assert c.open(bearer, query=f"?id={ident}", expect=404).body == b"No Connection with that ID"
        clock.set(20)
        with Records(g) as c:
            c.greet(bearer, query=f"?id={ident}")
