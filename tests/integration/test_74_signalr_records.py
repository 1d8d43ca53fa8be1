# SPDX-License-Identifier: Apache-2.0
"""SignalR byte by byte: negotiation, ids, the handshake, records cut anywhere, nonsense of each kind, pings
and silence. What stock clients cannot be made to send, and the order in which answers come."""

import itertools
import json
import time

import pytest

from harness.fixtures import feed, gateway
from harness.gateway import Gateway
from harness.raw import BINARY, TEXT, Raw
from harness.records import END, HELLO, PING, Records, ask, encoded, negotiate, post
from harness.tokens import token
from harness.wait import until

INVOKE = {"type": 1, "target": "SubscribeBalance", "arguments": ["A"], "invocationId": "1"}
DONE = {"type": 3, "invocationId": "1", "result": None}
GATEWAY = {"BGW_HEARTBEAT_S": 1, "BGW_CLIENT_TIMEOUT_S": 4}
numbers = itertools.count(1)


@pytest.fixture
def records(gateway):
    """An open connection; greeted by the test."""
    with Records(gateway) as c:
        yield c


def account():
    return f"acct-{next(numbers)}"


def everything():
    return token(everything=True)


# ---- negotiation ----

def test_negotiates_version_1_with_a_public_id_and_a_secret_token(gateway):
    for query in ("?negotiateVersion=1", "?NegotiateVersion=1&x=2", "?negotiateVersion=7", "?negotiateVersion=1&useStatefulReconnect=true"):
        said = negotiate(gateway, everything(), query)
        assert set(said) == {"negotiateVersion", "connectionId", "connectionToken", "availableTransports"}
        assert said["negotiateVersion"] == 1 and said["connectionId"] != said["connectionToken"]
        assert all(c.isalnum() or c in "-_" for c in said["connectionToken"] + said["connectionId"])
        assert said["availableTransports"] == [{"transport": "WebSockets", "transferFormats": ["Text"]},
                                               {"transport": "ServerSentEvents", "transferFormats": ["Text"]}]
    assert negotiate(gateway, everything())["connectionToken"] != negotiate(gateway, everything())["connectionToken"]


def test_negotiates_version_0_with_one_id_that_connects(gateway):
    for query in ("", "?negotiateVersion=0", "?x=1"):
        said = negotiate(gateway, everything(), query)
        assert "connectionToken" not in said and said.get("negotiateVersion", 0) == 0
        with Records(gateway) as c:
            c.greet(everything(), query=f"?id={said['connectionId']}")


def test_a_version_that_is_none_is_answered_in_the_clients_words(gateway):
    for query, words in (("?negotiateVersion=x", "The client requested a non-integer protocol version."),
                         ("?negotiateVersion=1.5", "The client requested a non-integer protocol version."),
                         ("?negotiateVersion=-1", "The client requested version '-1', but the server does not support this version.")):
        assert negotiate(gateway, everything(), query) == {"error": words}


def test_negotiation_is_a_post_with_or_without_a_length_and_a_body(gateway):
    for body in (None, b"", b"{}", b"x" * 1000):
        response = ask(gateway, post("/ws/negotiate?negotiateVersion=1", everything(), body))
        assert response.status == 200 and response.headers["content-type"].startswith("application/json")
        assert "no-store" in response.headers["cache-control"]
    for method in ("GET", "PUT", "DELETE"):
        assert ask(gateway, post("/ws/negotiate?negotiateVersion=1", everything(), b"", method=method)).status == 405
    assert ask(gateway, post("/ws/negotiate?negotiateVersion=1", everything(), b"x" * 70000)).status == 413


def test_a_refused_negotiation_says_why_in_one_line_of_text(gateway):
    for bearer, code in ((None, "token_missing"), (token(["A"], ttl=-60), "token_expired"), ("nonsense", "malformed")):
        response = ask(gateway, post("/ws/negotiate?negotiateVersion=1", bearer, b""))
        assert response.status == 401 and response.headers["content-type"].startswith("text/plain")
        text = response.body.decode()
        assert code in text and "\n" not in text.strip() and len(text) < 200, text


def test_the_header_goes_before_the_query_and_two_in_the_query_are_none(gateway):
    good, bad = everything(), token(["A"], ttl=-60)
    for header, query, status in ((good, f"access_token={bad}", 200), (bad, f"access_token={good}", 401), (None, f"access_token={good}", 200),
                                  (None, f"access_token={good}&access_token={good}", 400), (None, "access_token=", 401)):
        assert ask(gateway, post(f"/ws/negotiate?negotiateVersion=1&{query}", header, b"")).status == status, (header, query)
        with Records(gateway) as c:
            answer = c.open(header, query=f"?{query}", expect=101 if status == 200 else status)
            assert status == 200 or answer.status == status


# ---- ids ----

def test_an_id_opens_one_connection_once(gateway):
    bearer, ident = everything(), negotiate(gateway, everything())["connectionToken"]
    with Records(gateway) as first, Records(gateway) as second, Records(gateway) as third:
        first.greet(bearer, query=f"?id={ident}")
        refused = second.open(bearer, query=f"?id={ident}", expect=409)
        assert refused.body == b""
        first.sock.close()

        def gone():
            with Records(gateway) as c:
                try:
                    return c.open(bearer, query=f"?id={ident}", expect=404)
                except AssertionError:
                    return None
        assert until(gone, what="the id to be used up").body == b"No Connection with that ID"
        third.greet(bearer)  # no id at all: a connection of its own


def test_ids_that_are_none_are_not_found(gateway):
    bearer, ident = everything(), negotiate(gateway, everything())["connectionToken"]
    middle = ident[:20] + ("A" if ident[20] != "A" else "B") + ident[21:]
    for wrong in ("x", ident[:-1], ident + "A", middle, "A" * len(ident), "a" * 4000, ident.swapcase()):
        with Records(gateway) as c:
            assert c.open(bearer, query=f"?id={wrong}", expect=404).body == b"No Connection with that ID"
    with Raw(gateway) as c:
        status = c.ask(post(f"/ws?id={ident}", bearer, b"", headers=["Accept: text/event-stream"], method="PUT")).status
        assert status == 405


def test_requests_on_the_hubs_path_that_want_nothing_we_have(gateway):
    bearer = everything()
    for method in ("POST", "DELETE", "GET"):
        response = ask(gateway, post("/ws", bearer, b"" if method == "POST" else None, method=method))
        assert response.status == 400 and response.body == b"Connection ID required", (method, response.body)
    ident = negotiate(gateway, bearer)["connectionToken"]
    poll = ask(gateway, post(f"/ws?id={ident}", bearer, None, method="GET"))
    assert (poll.status, poll.body) == (404, b"LongPolling transport not supported by this end point type")
    assert ask(gateway, post(f"/ws?id={ident}", bearer, b"x")).status == 404
    with Records(gateway) as c:
        c.greet(bearer, query=f"?id={ident}")
        refused = ask(gateway, post(f"/ws?id={ident}", bearer, encoded(PING) + END))
        assert (refused.status, refused.body) == (405, b"POST requests are not allowed for WebSocket connections.")
        refused = ask(gateway, post(f"/ws?id={ident}", bearer, None, method="DELETE"))
        assert (refused.status, refused.body) == (400, b"Cannot terminate this connection using the DELETE endpoint.")
        stream = ask(gateway, post(f"/ws?id={ident}", bearer, None, method="GET", headers=["Accept: text/event-stream"]))
        assert (stream.status, stream.body) == (400, b"Cannot change transports mid-connection")
        assert c.call("SubscribeBalance", "A") == DONE


# ---- the handshake ----

@pytest.mark.parametrize("version", ["1", "2"])
def test_handshake_in_one_message_with_what_follows_it(records, version):
    records.open(everything()).say(f'{{"version":{version},"more":[1,{{}}],"protocol":"json"}}', PING, INVOKE, PING)
    assert records.next() == {}
    assert records.next()["target"] == "subscriptionConfirmed"
    assert records.next() == DONE


def test_handshake_split_over_messages_and_over_frames(gateway, records):
    data = encoded(HELLO) + END
    records.open(everything()).pieces(data, *range(1, len(data)))  # a byte a message
    assert records.next() == {}
    with Records(gateway) as other:
        other.open(everything()).fragments(data + encoded(INVOKE) + END, 7)
        assert other.next() == {} and other.next()["type"] == 1 and other.next() == DONE


UNEXPECTED = "An unexpected error occurred during connection handshake."


@pytest.mark.parametrize(("first", "words"), [
    ('{"protocol":"messagepack","version":1}', "The protocol 'messagepack' is not supported."),
    ('{"protocol":"x\\"y","version":1}', "The protocol 'x\"y' is not supported."),
    ('{"protocol":"json","version":9}', "The server does not support version 9 of the 'json' protocol."),
    ('{"protocol":"json","version":0}', "The server does not support version 0 of the 'json' protocol."),
    ('{"protocol":"json"}', UNEXPECTED), ('{"version":1}', UNEXPECTED), ('{"protocol":1,"version":1}', UNEXPECTED),
    ('{"protocol":"json","version":"1"}', UNEXPECTED), ("[]", UNEXPECTED), ("", UNEXPECTED), ('{"protocol"', UNEXPECTED),
    (b'{"protocol":"json","version":1}'.replace(b"j", b"\x00"), UNEXPECTED), (PING, UNEXPECTED),
    ("x" * 20000, "Handshake was canceled."), ("x" * 16 * 1024, UNEXPECTED)])
def test_handshake_that_cannot_be_taken_is_answered_and_ends_it(records, first, words):
    records.open(everything()).say(first)
    said, code = records.farewell()
    assert said == [{"error": words}] and code == 1000


def test_handshake_that_does_not_come_is_given_up():
    bearer = everything()
    for begun in (b"", b'{"protocol":"json"'):
        with Gateway(BGW_GREETING_S=3) as g, Records(g) as c:
            began = time.monotonic()
            c.open(bearer)
            if begun:
                c.pieces(begun)
            said, _code = c.farewell()
            assert 2.8 < time.monotonic() - began < 10
            assert said in ([], [{"error": "Handshake was canceled."}])
            if begun:
                assert said == [{"error": "Handshake was canceled."}]


# ---- calls ----

def test_answers_come_in_this_order_confirmation_completion_balance(gateway, feed, records):
    alice, nobody = account(), account()
    value = b'{"accountId" :"%s","minor":12,"currency":"NGN","pendingMinor":0,"v":1,"x":"\\u001e\xe2\x82\xa6"}' % alice.encode()
    feed.raw(alice, value)
    feed.flush()
    records.greet(everything()).say({"type": 1, "target": "SubscribeBalance", "arguments": [alice], "invocationId": "abc"})
    confirmed = records.next()
    assert confirmed["type"] == 1 and confirmed["target"] == "subscriptionConfirmed" and "invocationId" not in confirmed
    assert records.next() == {"type": 3, "invocationId": "abc", "result": None}
    raw = records.next_bytes()
    while raw == encoded(PING):
        raw = records.next_bytes()
    escaped = value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    assert raw == b'{"type":1,"target":"balanceUpdate","arguments":["' + escaped + b'"]}'

    records.say({"type": 1, "target": "SubscribeBalance", "arguments": [nobody], "invocationId": "2"})
    assert records.next()["target"] == "subscriptionConfirmed" and records.next()["type"] == 3
    state = records.next()
    assert state["target"] == "balanceState" and set(state["arguments"][0]) >= {"accountId", "state", "asOf", "v"}

    records.say({"type": 1, "target": "SubscribeBalance", "arguments": [alice], "invocationId": "3"})  # again: idempotent
    assert records.next()["target"] == "subscriptionConfirmed" and records.next()["invocationId"] == "3"


@pytest.mark.parametrize("ident", ["0", "", 'q"\\\n', "i" * 256, "₦😀", " "])
def test_ids_of_calls_come_back_as_they_were(records, ident):
    records.greet(everything()).say({"type": 1, "target": "Nothing", "arguments": [], "invocationId": ident},
                                    {"type": 1, "target": "Nothing", "arguments": [], "invocationId": "end"})
    first = records.until_type(3)
    assert first["invocationId"] == (ident or "end")  # an empty one is none
    assert "result" not in first and first["error"] == "Unknown hub method 'Nothing'"


def test_members_in_any_order_and_members_that_nobody_knows(records):
    records.greet(everything()).say('{"headers":{"a":"b"},"arguments":["A"],"x":[[[]]],"invocationId":"1","target":"subscribeBALANCE","type":1}')
    assert records.until_type(3) == DONE
    records.say('{"type":1,"target":"SubscribeBalance","arguments":["\\u0041"],"invocationId":"1","streamIds":[]}')
    assert records.until_type(3) == DONE
    records.say('{"type":1,"target":"SubscribeBalance","arguments":["A"],"invocationId":"1","streamIds":["s"]}')
    assert records.until_type(3)["error"] == "An unexpected error occurred invoking 'SubscribeBalance' on the server. " \
                                             "HubException: Client sent 1 stream(s), Hub method expects 0."


def test_what_is_of_no_use_is_ignored(records):
    records.greet(everything()).say(
        '{"type":99}', '{"type":-1,"x":1}', '{"type":3,"invocationId":"nobody","result":1}', '{"type":2,"invocationId":"nobody","item":1}',
        '{"type":5,"invocationId":"nobody"}', '{"type":8,"sequenceId":1}', '{"type":9,"sequenceId":1}', PING, INVOKE)
    assert records.until_type(3) == DONE


@pytest.mark.parametrize("nonsense", [
    "nonsense", "", "{}", '{"type":"1"}', '{"type":null}', "[1]", "1", '{"type":1,"target":"SubscribeBalance"}',
    '{"type":1,"arguments":[]}', '{"type":1,"target":"SubscribeBalance","arguments":"A"}', '{"type":1,"target":5,"arguments":[]}',
    '{"type":1,"target":"SubscribeBalance","arguments":["A"],"invocationId":7}', '{"type":6', '{"type":6}}', '{"type":6} {"type":6}',
    '{"type":6,"type":6}', '{"type":1,"target":"A","arguments":[' + "[" * 70 + "]" * 70 + "]}"])
def test_a_record_that_cannot_be_one_ends_the_connection_with_a_reason(records, nonsense):
    records.greet(everything()).say(INVOKE, nonsense, INVOKE)
    said, code = records.farewell()
    assert DONE in said, said  # what came before was done
    assert said[-1] == {"type": 7, "error": "Connection closed with an error.", "allowReconnect": True}, said
    assert [r for r in said if r.get("type") in (3, 7)] == [DONE, said[-1]] and code == 1000


@pytest.mark.parametrize(("opcode", "data", "code"), [(BINARY, encoded(PING) + END, 1003), (TEXT, b'{"type":6,"x":"\xff"}\x1e', 1007)])
def test_frames_that_are_not_text_end_the_connection(records, opcode, data, code):
    records.greet(everything()).frame(opcode, data)
    assert records.farewell()[1] == code


def test_the_client_says_goodbye(gateway, records):
    records.greet(everything()).say('{"type":7}')
    said, code = records.farewell()
    assert code == 1000 and not [r for r in said if r.get("error")]


# ---- records and messages ----

def test_many_records_in_one_message(records):
    calls = [{"type": 1, "target": "SubscribeBalance", "arguments": [f"N{i}"], "invocationId": str(i)} for i in range(200)]
    records.greet(everything()).say(*calls)
    for i in range(200):
        assert records.until_type(3)["invocationId"] == str(i)


def test_a_record_over_two_messages_and_over_many(records):
    data = encoded(INVOKE) + END
    records.greet(everything())
    for cut in range(1, len(data)):
        records.pieces(data, cut)
        assert records.until_type(3) == DONE
    records.pieces(data * 3, *range(1, 3 * len(data)))
    for _ in range(3):
        assert records.until_type(3) == DONE
    records.fragments(data * 3, 1)
    for _ in range(3):
        assert records.until_type(3) == DONE
    records.pieces(data + data[:9]).pieces(data[9:] + data)
    for _ in range(3):
        assert records.until_type(3) == DONE


def test_the_end_of_a_record_inside_a_string_is_the_end_of_the_record(records):
    records.greet(everything()).say('{"type":1,"target":"a\\u001eb","arguments":[],"invocationId":"1"}')
    assert records.until_type(3)["error"] == "Unknown hub method 'a\x1eb'"
    records.say('{"type":6,"x":"\x1e"}')
    assert [r["type"] for r in records.farewell()[0]] == [7]


@pytest.mark.parametrize(("size", "taken"), [(32 * 1024, True), (64 * 1024 - 1, True), (64 * 1024, True), (64 * 1024 + 1, False)])
def test_a_record_may_have_64_kib(records, size, taken):
    record = encoded({**INVOKE, "x": ""})
    record = record.replace(b'"x":""', b'"x":"' + b"y" * (size - len(record)) + b'"')
    assert len(record) == size
    records.greet(everything())
    for cut in (size // 2, size):
        records.pieces(record + END, cut)
        if taken:
            assert records.until_type(3) == DONE
        else:
            said, _ = records.farewell()
            assert said[-1] == {"type": 7, "error": "Connection closed with an error.", "allowReconnect": True}, said
            return


# ---- pings and silence ----

def test_the_server_pings_where_it_has_nothing_else_to_say(records):
    records.greet(everything())
    for _ in range(2):
        began = time.monotonic()
        assert records.next_bytes() == encoded(PING)
        assert time.monotonic() - began < 8


def test_who_has_pinged_and_falls_silent_is_let_go_and_who_never_did_is_kept(gateway, feed):
    alice = account()
    with Records(gateway) as quiet, Records(gateway) as pinged, Records(gateway) as pinging:
        for c in (quiet, pinged, pinging):
            c.greet(everything())
        quiet.call("SubscribeBalance", alice)
        pinged.say(PING)
        began = time.monotonic()
        pinging.say(PING)
        pinging.sock.settimeout(0.5)
        while time.monotonic() - began < 6.5:
            pinging.say(PING)
            try:
                assert pinging.next(pings=True) == {"type": 6}
            except TimeoutError:
                pass
        pinging.sock.settimeout(10)
        said, _ = pinged.farewell()
        assert said[-1] == {"type": 7, "allowReconnect": True}, said
        feed.put(alice, 1)
        feed.flush()
        while quiet.next().get("target") != "balanceUpdate":
            pass
        assert pinging.call("SubscribeBalance", alice) == DONE


def test_invalid_utf8_in_a_records_value_is_not_passed_on_and_the_account_is_said_to_be_stale(gateway, feed, records):
    alice = account()
    feed.put(alice, 1)
    feed.flush()
    records.greet(everything()).call("SubscribeBalance", alice)
    assert records.until_type(1)["target"] == "balanceUpdate"
    rejected = gateway.metric("bgw_records_rejected_total")
    for bad in (b'{"accountId":"%s","minor":2,"currency":"NGN","pendingMinor":0,"v":2,"x":"\xff"}', b'{"accountId":"%s","minor":2,"x":"\x1e"}'):
        feed.raw(alice, bad % alice.encode())
    feed.flush()
    state = records.until_type(1, target="balanceState")["arguments"][0]
    assert state["accountId"] == alice and state["state"] == "stale"
    assert gateway.metric("bgw_records_rejected_total") == rejected + 2
    feed.put(alice, 3, v=3)
    feed.flush()
    said = [records.until_type(1) for _ in range(2)]
    targets = [r["target"] for r in said]
    assert sorted(targets) == ["balanceState", "balanceUpdate"], said
    assert json.loads(said[targets.index("balanceUpdate")]["arguments"][0])["minor"] == 3
    assert said[targets.index("balanceState")]["arguments"][0]["state"] == "fresh"
