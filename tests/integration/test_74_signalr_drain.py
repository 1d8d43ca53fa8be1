# SPDX-License-Identifier: Apache-2.0
"""Gateways that stop, and gateways that are full: SignalR clients of four generations are told, come back one
after the other over the drain's window, and never hang."""

import signal
import time

from harness.fixtures import clients
from harness.gateway import Gateway
from harness.kafka import Feed
from harness.middle import Middle
from harness.records import Records, ask, post
from harness.signalr import VERSIONS
from harness.tokens import token
from harness.wait import until

FAST = [0, 100, 200, 400, 400, 400] + 34 * [800]  # for half a minute


def everything(**claims):
    return token(everything=True, **claims)


def test_who_may_have_no_further_connection_is_told_so_and_does_not_hang(clients):
    with Gateway(BGW_CONNECTIONS_PER_SUBJECT=1) as g:
        first = clients.hub(10, g, everything())
        first.start()
        hubs = [(clients.hub(v, g, everything(), reconnect=FAST, transport=t), v, t) for v in VERSIONS for t in ("ws", "sse")]
        hubs += [(clients.hub(v, g, everything(), reconnect=FAST, transport="ws", skip=True), v, "skip") for v in VERSIONS]
        starts = [hub.begin("start") for hub, _, _ in hubs]
        for (hub, _, _), n in zip(hubs, starts):
            hub.wait(lambda e, n=n: e.get("n") == n and e["ev"] == "failed", 20)
            assert not hub.events("reconnecting") and hub.state() == "Disconnected"
        assert first.state() == "Connected"
        first.stop()
        until(lambda: g.metric("bgw_sessions") == 0, what="the first one's end to be seen")
        assert hubs[0][0].start()["state"] == "Connected"  # and afterwards there is room again
        hubs[0][0].stop()


def test_two_hundred_clients_of_a_drain_come_back_spread_over_its_window(clients, kafka):
    window_s, count = 12, 200  # of a quarter enough is left where the clients' process stands still for two seconds
    topic = kafka.create()
    settings = dict(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, BGW_DRAIN_S=window_s, BGW_RESUME_SECRET="shared by both " * 3)
    with Gateway(**settings) as first, Gateway(**settings) as second, Middle(first) as middle:
        feed = Feed(kafka.bootstrap, topic, readers=[second])
        feed.put("D", 1)
        feed.flush()
        bearer = everything()
        hubs = [clients.hub(VERSIONS[i % 4], middle, bearer, reconnect=FAST, again=["SubscribeBalance", "D"]) for i in range(count)]
        starts = [hub.begin("start") for hub in hubs]
        for hub, n in zip(hubs, starts):
            hub.wait(lambda e, n=n: e["ev"] == "done" and e["n"] == n, 60)
            hub.begin("invoke", target="SubscribeBalance", args=["D"])
        for hub in hubs:
            hub.update()
        middle.target = second.listen
        began = time.monotonic()
        first.proc.send_signal(signal.SIGTERM)
        for hub in hubs:
            hub.ev("reconnected", 30)
        feed.put("D", 2)
        feed.flush()
        for hub in hubs:
            hub.update(lambda u: u["minor"] == 2)
        first.finish(15)
        left = sorted(hub.ev("reconnecting")["at"] - began for hub in hubs)
        assert left[-1] < window_s + 5, left[-5:]
        quarters = [sum(1 for t in left if i * left[-1] / 4 < t <= (i + 1) * left[-1] / 4) for i in range(4)]
        assert left[-1] > window_s / 3 and all(q > count / 20 for q in quarters), (left[-1], quarters)
        assert not any(hub.events("closed") for hub in hubs)
        for hub in hubs:
            hub.begin("stop")
        for hub in hubs:
            hub.ev("closed", error=None)


def test_a_draining_gateway_refuses_a_negotiation_in_words(clients):
    with Gateway(BGW_DRAIN_S=10) as g:
        held = [clients.hub(10, g, everything()) for _ in range(20)]
        for hub in held:
            hub.start()
        g.proc.send_signal(signal.SIGTERM)
        until(lambda: g.log_text().count('"shard_draining"') == 2, what="the drain of both shards")
        refused = ask(g, post("/ws/negotiate?negotiateVersion=1", everything(), b""))
        assert refused.status == 503 and int(refused.headers["retry-after"]) >= 0
        assert "stopping" in refused.body.decode() and refused.headers["content-type"].startswith("text/plain")
        for version in VERSIONS:
            words = clients.hub(version, g, everything(), reconnect=True).refusal()
            assert version < 8 or ("stopping" in words and "503" in words), words
        for hub in held:
            assert hub.ev("closed")["error"] is None
        g.finish(15)


def test_records_of_a_drain_and_of_a_plain_end():
    with Gateway(BGW_DRAIN_S=1) as g, Records(g) as c:
        c.greet(everything())
        g.proc.send_signal(signal.SIGTERM)
        said, code = c.farewell()
        assert [r for r in said if r.get("type") == 7] == [{"type": 7, "allowReconnect": True}] and code in (1000, 1001)
        c.sock.close()
        g.finish(15)
