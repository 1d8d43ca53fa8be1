# SPDX-License-Identifier: Apache-2.0
"""npm's SignalR clients of four generations, unmodified, over each transport: what they subscribe to is
what the stream said, byte for byte, and what they may not have they are told in their own words."""

import itertools
import json

import pytest

from harness.fixtures import clients, feed, gateway
from harness.records import negotiate
from harness.signalr import VERSIONS, Failed
from harness.tokens import sign, token

WAYS = [(version, way) for version in VERSIONS for way in ("negotiated", "skip", "sse")]
OPTIONS = {"negotiated": {}, "skip": {"skip": True, "transport": "ws"}, "sse": {"transport": "sse"}}
TRANSPORT = {"negotiated": "WebSocketTransport", "skip": "WebSocketTransport", "sse": "ServerSentEventsTransport"}
ANY_VERSION = pytest.mark.parametrize("version", VERSIONS)
ANY_WAY = pytest.mark.parametrize(("version", "way"), WAYS)
numbers = itertools.count(1)


def account():
    return f"msisdn::234810{next(numbers):07}"


def everything():
    return token(everything=True)


def started(clients, gateway, version, way="negotiated", bearer=None, **options):
    hub = clients.hub(version, gateway, bearer or everything(), **OPTIONS[way], **options)
    hub.start()
    return hub


def confirmation(hub, of):
    return hub.wait(lambda e: e["ev"] == "event" and e["target"] == "subscriptionConfirmed" and e["args"][0]["accountId"] == of)


@ANY_WAY
def test_subscribes_and_gets_the_records_own_bytes(gateway, feed, clients, version, way):
    alice = account()
    written = ['{ "accountId" : "%s",\t"minor":9007199254740993 ,"currency":"NGN","pendingMinor":0,"v":1,'
               '"note":"\\u20a6 \\u001e \\"quoted\\" \\\\ back \\/ slash naïve ₦ 😀 \\ud83d\\ude00"}' % alice,
               '{"accountId":"%s","minor":-1,"currency":"NGN","pendingMinor":7,"v":2}' % alice]
    feed.raw(alice, written[0])
    feed.flush()
    hub = started(clients, gateway, version, way)
    state = hub.events("done")[0]["value"]
    assert state["state"] == "Connected" and state["transport"] == TRANSPORT[way], state
    assert (state["id"] is None) == (way == "skip")

    assert hub.call("SubscribeBalance", alice) is None  # null, as ASP.NET completes a Task
    assert set(confirmation(hub, alice)["args"][0]) == {"accountId", "groupName", "timestamp"}
    assert confirmation(hub, alice)["args"][0]["groupName"] == f"acct::{alice}"
    hub.update(lambda u: u["v"] == 1)
    feed.raw(alice, written[1])
    feed.flush()
    hub.update(lambda u: u["v"] == 2)
    assert hub.texts() == written
    assert not hub.events("event", "balanceState")

    assert hub.call("UnsubscribeBalance", alice) is None
    feed.put(alice, 3, v=3)
    feed.flush()
    assert hub.call("SubscribeBalance", alice) is None
    hub.update(lambda u: u["v"] == 3)
    hub.stop()
    assert hub.ev("closed")["error"] is None
    assert len(hub.texts()) == 3 and not hub.events("log"), hub.events("log")


@ANY_WAY
def test_calls_that_cannot_be_done_are_refused_in_the_hubs_words_and_the_connection_lives(gateway, clients, version, way):
    mine, other = account(), account()
    hub = started(clients, gateway, version, way, token([mine]))
    failed = "Failed to invoke '%s' due to an error on the server."

    def words(target, *args, op="invoke"):
        return hub.refusal(op, target=target, args=args)

    assert words("Nothing") == "Unknown hub method 'Nothing'"
    assert words("SubscribeBalance") == failed % "SubscribeBalance"
    assert words("SubscribeBalance", mine, mine) == failed % "SubscribeBalance"
    assert words("SubscribeBalance", 12) == failed % "SubscribeBalance"
    assert words("SubscribeMultipleBalances", mine) == failed % "SubscribeMultipleBalances"
    assert words("SubscribeMultipleBalances", [mine, {}]) == failed % "SubscribeMultipleBalances"
    assert words("UnsubscribeBalance", [mine]) == failed % "UnsubscribeBalance"
    assert words("SubscribeBalance", mine, op="stream") == \
        "The client attempted to invoke the non-streaming 'SubscribeBalance' method with a streaming invocation."
    for target, code in ((other, "no_grant"), ("not an account", "bad_id")):
        refused = words("SubscribeBalance", target)
        assert refused.startswith("An unexpected error occurred invoking 'SubscribeBalance' on the server. HubException: "), refused
        assert code in refused
    hub.send("Nothing")  # without an id: no answer, no end
    hub.send("SubscribeBalance", other)
    assert hub.call("SubscribeBalance", mine) is None
    assert hub.state() == "Connected" and not hub.events("closed")
    assert {e["args"][0]["accountId"] for e in hub.events("event", "subscriptionConfirmed")} == {mine}
    hub.stop()


@ANY_VERSION
def test_several_at_once_are_confirmed_each_and_the_refused_are_named(gateway, feed, clients, version):
    mine = [account() for _ in range(3)]
    other = account()
    for name in (*mine, other):
        feed.put(name, 10)
    feed.flush()
    hub = started(clients, gateway, version, bearer=token(mine))
    assert hub.call("SubscribeMultipleBalances", mine[:2]) is None
    refused = hub.refusal("invoke", target="SubscribeMultipleBalances", args=[[*mine, other]])
    assert "HubException: " in refused and other in refused and "no_grant" in refused and mine[2] not in refused
    for name in mine:
        confirmation(hub, name)
        hub.update(lambda u, name=name: u["accountId"] == name)
        feed.put(name, 20)
    feed.flush()
    for name in mine:
        hub.update(lambda u, name=name: u["accountId"] == name and u["minor"] == 20)
    assert all(json.loads(t)["accountId"] != other for t in hub.texts())
    hub.stop()


@ANY_VERSION
def test_names_match_whatever_their_case_both_ways(gateway, feed, clients, version):
    alice = account()
    feed.put(alice, 5)
    feed.flush()
    hub = started(clients, gateway, version, on=["BALANCEUPDATE", "SubscriptionConfirmed"])
    assert hub.call("subscribebalance", alice) is None
    hub.ev("event", target="SubscriptionConfirmed")
    assert json.loads(hub.ev("event", target="BALANCEUPDATE")["args"][0])["minor"] == 5
    assert hub.call("UNSUBSCRIBEBALANCE", alice) is None
    assert hub.refusal("invoke", target="nOTHING", args=[]) == "Unknown hub method 'nOTHING'"
    hub.stop()


@ANY_VERSION
def test_an_account_that_nobody_knows_is_said_to_be_unknown_and_its_first_value_arrives(gateway, feed, clients, version):
    nobody = account()
    hub = started(clients, gateway, version)
    assert hub.call("SubscribeBalance", nobody) is None
    state = hub.balance_state("unknown")
    assert state["accountId"] == nobody and not state.get("v") and not hub.texts()
    feed.put(nobody, 1)
    feed.flush()
    assert hub.update()["minor"] == 1
    hub.stop()


@ANY_WAY
def test_a_token_that_is_no_good_is_refused_with_a_reason_that_the_developer_reads(gateway, clients, version, way):
    others = "another secret, which is also long enough to be one"
    for bearer, code in ((token(["A"], ttl=-60), "token_expired"), ("nonsense", "malformed"), (None, "token_missing"),
                         (sign({"sub": "a", "exp": 4000000000, "scope": "accounts.read.all"}, secret=others), "signature")):
        hub = clients.hub(version, gateway, bearer, **OPTIONS[way], reconnect=True)
        words = hub.refusal()
        if way != "skip":
            if version >= 8:
                assert "Failed to complete negotiation with the server" in words and code in words, words
            assert "401" in words or "Unauthorized" in words, words
        assert hub.state() == "Disconnected" and not hub.events("reconnecting")


@ANY_WAY
def test_each_request_brings_its_token_in_the_header_in_the_query_or_in_both(gateway, feed, clients, version, way):
    mine = account()
    feed.put(mine, 5)
    feed.flush()
    good = token([mine])
    cases = [("", good), (f"?access_token={good}", None)]
    if version >= 8 and way != "sse":  # the older ones, and EventSource, have the query alone: it would stand there twice
        cases.append((f"?access_token={good}&other=1", good))
    for query, bearer in cases:
        hub = clients.hub(version, gateway, bearer, query=query, **OPTIONS[way])
        hub.start()
        hub.call("SubscribeBalance", mine)
        assert hub.update()["minor"] == 5
        hub.stop()


@ANY_VERSION
def test_the_token_of_each_request_is_judged_by_itself(gateway, clients, version):
    mine, other = account(), account()
    hub = clients.hub(version, gateway, [token([other]), token([mine])])  # negotiates with one, connects with the next
    hub.start()
    assert hub.call("SubscribeBalance", mine) is None
    assert "no_grant" in hub.refusal("invoke", target="SubscribeBalance", args=[other])
    hub.stop()
    hub = clients.hub(version, gateway, [token([mine]), "nonsense"], transport="ws")
    assert hub.refusal() and hub.state() == "Disconnected"


@ANY_VERSION
def test_tenants_with_the_same_account_see_their_own(gateway, feed, clients, version):
    same = account()
    feed.put(same, 1, tenant="tnt_a", key=f"{same}|tnt_a|NGN")
    feed.put(same, 2, tenant="tnt_b", key=f"{same}|tnt_b|NGN")
    feed.flush()
    for tenant, minor in (("tnt_a", 1), ("tnt_b", 2)):
        hub = started(clients, gateway, version, bearer=token([same], tenant=tenant))
        hub.call("SubscribeBalance", same)
        assert hub.update()["minor"] == minor
        hub.stop()
        assert len(hub.texts()) == 1


@ANY_VERSION
def test_long_polling_is_not_offered_and_says_so(gateway, clients, version):
    hub = clients.hub(version, gateway, everything(), transport="poll")
    assert "Unable to connect to the server with any of the available transports" in hub.refusal() or version == 3
    assert hub.state() == "Disconnected"
    offered = [t["transport"] for t in negotiate(gateway, everything())["availableTransports"]]
    assert offered == ["WebSockets", "ServerSentEvents"]


@pytest.mark.parametrize("version", [8, 10])
def test_stateful_reconnect_is_asked_for_and_declined_and_all_works(gateway, feed, clients, version):
    alice = account()
    feed.put(alice, 5)
    feed.flush()
    hub = started(clients, gateway, version, stateful=True, reconnect=True)
    hub.call("SubscribeBalance", alice)
    assert hub.update()["minor"] == 5
    assert "useStatefulReconnect" not in negotiate(gateway, everything(), "?negotiateVersion=1&useStatefulReconnect=true")
    hub.stop()


def test_messagepack_is_refused_in_words(gateway, clients):
    hub = clients.hub(10, gateway, everything(), msgpack=True, skip=True, transport="ws")
    assert "The protocol 'messagepack' is not supported." in hub.refusal()
    hub = clients.hub(10, gateway, everything(), msgpack=True)
    assert "does not support Binary" in hub.refusal()


@ANY_VERSION
def test_pending_calls_and_order_of_answers(gateway, feed, clients, version):
    """Completions come in the order of the calls, and each call has one."""
    names = [account() for _ in range(40)]
    for name in names:
        feed.put(name, 1)
    feed.flush()
    hub = started(clients, gateway, version)
    calls = [hub.begin("invoke", target="SubscribeBalance", args=[name]) for name in names]
    hub.wait(lambda e: e.get("n") == calls[-1] and e["ev"] == "done")
    assert [e["n"] for e in hub.events("done") if e["n"] in calls] == calls
    assert [e["args"][0]["accountId"] for e in hub.events("event", "subscriptionConfirmed")] == names
    for name in names:
        hub.update(lambda u, name=name: u["accountId"] == name)
    assert len(hub.texts()) == len(names)
    hub.stop()


def record_of(name, v, size):
    """So many bytes, full of what has to be escaped."""
    head = '{"accountId":"%s","minor":%d,"currency":"NGN","pendingMinor":0,"v":%d,"note":"' % (name, v, v)
    unit = '\\"\\\\\\u001e₦'
    note = unit * ((size - len(head) - 2) // len(unit.encode()))
    return (head + note + "x" * (size - len((head + note).encode()) - 2) + '"}').encode()


@ANY_WAY
def test_big_records_arrive_whole(gateway, feed, clients, version, way):
    alice = account()
    hub = started(clients, gateway, version, way)
    hub.call("SubscribeBalance", alice)
    sent = [record_of(alice, 1, 32 * 1024), record_of(alice, 2, 64 * 1024 - len(alice))]
    for v, record in enumerate(sent, 1):
        feed.raw(alice, record)
        feed.flush()
        hub.update(lambda u, v=v: u["v"] == v)
    assert [t.encode() for t in hub.texts()] == sent
    hub.stop()


@ANY_VERSION
def test_a_closed_client_leaves_nothing_behind(gateway, clients, version):
    hub = started(clients, gateway, version)
    hub.call("SubscribeBalance", account())
    hub.stop()
    with pytest.raises(Failed):
        hub.call("SubscribeBalance", account())
    again = hub.start()  # the same object once more: a new negotiation, a new id
    assert again["state"] == "Connected"
    hub.stop()
    ids = [e["value"]["id"] for e in hub.events("done") if isinstance(e.get("value"), dict)]
    assert len(set(ids)) == 2
