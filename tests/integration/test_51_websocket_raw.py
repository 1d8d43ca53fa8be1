# SPDX-License-Identifier: Apache-2.0
"""RFC 6455 over bare sockets: what no client library would send, each with the close code that the
RFC or docs/protocol.md gives it, and nothing delivered behind it."""

import json
import struct

import pytest

from harness.gateway import Gateway
from harness.raw import BINARY, CLOSE, CONT, PING, PONG, TEXT, Ended, Raw, frame
from harness.tokens import token
from harness.wait import until

PING_COMMAND = b'{"op":"ping","id":1}'


@pytest.fixture(scope="module")
def gw():
    with Gateway(BGW_MARK_S=3600) as g:  # no frame between those that are awaited
        yield g


@pytest.fixture
def ws(gw):
    with Raw(gw) as c:
        c.upgrade(token(["A"]))
        c.next_event("hello")
        yield c


def close_of(code, reason=b""):
    return frame(CLOSE, struct.pack(">H", code) + reason)


def failed_with(c, code):
    """The close frame, then the end, and not a byte between."""
    assert c.close_code() == code
    assert c.ended(), "bytes behind the close frame"


BROKEN = [
    ("not masked", frame(TEXT, b"hi", mask=False), 1002),
    ("an empty one that is not masked", frame(TEXT, b"", mask=False), 1002),
    ("a ping that is not masked", frame(PING, b"", mask=False), 1002),
    ("RSV1", frame(TEXT, b"hi", rsv=4), 1002),
    ("RSV2", frame(TEXT, b"hi", rsv=2), 1002),
    ("RSV3", frame(TEXT, b"hi", rsv=1), 1002),
    ("RSV1 on a ping", frame(PING, b"", rsv=4), 1002),
    *((f"opcode {op}", frame(op, b"hi"), 1002) for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    ("a length in 16 bits that fits into 7", frame(TEXT, b"hi", size=2), 1002),
    ("125 in 16 bits", frame(TEXT, b"h" * 125, size=2), 1002),
    ("a length in 64 bits that fits into 7", frame(TEXT, b"hi", size=8), 1002),
    ("65535 in 64 bits", frame(TEXT, b"h" * 65535, size=8), 1002),
    ("a length of 2^63", frame(TEXT, b"hi", length=1 << 63, size=8), 1002),
    ("a length of 2^64 - 1", frame(TEXT, b"hi", length=(1 << 64) - 1, size=8), 1002),
    ("a length of 2^63 - 1", frame(TEXT, b"hi", length=(1 << 63) - 1, size=8), 1009),
    ("a length of 2^62", frame(TEXT, b"hi", length=1 << 62, size=8), 1009),
    ("a ping of 126 bytes", frame(PING, b"p" * 126), 1002),
    ("a close of 126 bytes", frame(CLOSE, struct.pack(">H", 1000) + b"r" * 124), 1002),
    ("a ping in fragments", frame(PING, b"p", fin=False), 1002),
    ("a close in fragments", frame(CLOSE, struct.pack(">H", 1000), fin=False), 1002),
    ("a continuation of nothing", frame(CONT, b"hi"), 1002),
    ("an unfinished continuation of nothing", frame(CONT, b"hi", fin=False), 1002),
    ("a message inside a message", frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
    ("a binary message inside a message", frame(TEXT, b"{", fin=False) + frame(BINARY, b"}"), 1002),
    ("binary", frame(BINARY, PING_COMMAND), 1003),
    ("empty binary", frame(BINARY, b""), 1003),
    ("binary in fragments", frame(BINARY, b"h", fin=False), 1003),
    ("a byte that is not UTF-8", frame(TEXT, b'"\xff"'), 1007),
    ("a surrogate", frame(TEXT, b'"\xed\xa0\x80"'), 1007),
    ("an overlong form", frame(TEXT, b'"\xc0\xaf"'), 1007),
    ("beyond Unicode", frame(TEXT, b'"\xf4\x90\x80\x80"'), 1007),
    ("a character that does not end", frame(TEXT, b'"\xe2\x82'), 1007),
    ("a character cut by the last fragment", frame(TEXT, b'"\xe2', fin=False) + frame(CONT, b"\x82"), 1007),
    ("not UTF-8 in the second fragment", frame(TEXT, b'"a', fin=False) + frame(CONT, b"\xff"), 1007),
    ("not UTF-8, seen before the message ends", frame(TEXT, b'"\xf8', fin=False), 1007),
    ("a close of one byte", frame(CLOSE, b"\x03"), 1002),
    ("a close reason that is not UTF-8", close_of(1000, b"\xff"), 1007),
    *((f"close {code}", close_of(code), 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)),
]


@pytest.mark.parametrize("step", [None, 1], ids=["whole", "by-bytes"])
def test_broken_frames_fail_the_connection_with_their_code(gw, step):
    for what, data, code in BROKEN:
        if step and len(data) > 1000:
            continue
        with Raw(gw) as c:
            c.upgrade(token(["A"]))
            c.next_event("hello")
            # what follows in the same segment must have no effect
            c.send_as_far_as_taken(data + frame(TEXT, PING_COMMAND), step)
            try:
                failed_with(c, code)
            except (AssertionError, Ended, OSError) as error:
                raise AssertionError(f"{what}: {error!r}") from error


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
def test_codes_that_may_stand_on_the_wire_are_echoed(ws, code):
    ws.send(close_of(code, "Grüße".encode()))
    failed_with(ws, code)


def test_a_close_without_a_code_is_answered_without_one(ws):
    ws.send(frame(CLOSE))
    failed_with(ws, None)


def test_data_behind_a_close_has_no_effect(gw, ws):
    before = gw.metrics()['bgw_commands_total{op="ping"}']
    ws.send(close_of(1000) + frame(TEXT, PING_COMMAND) + frame(PING, b"x") + close_of(1001))
    failed_with(ws, 1000)
    assert gw.metrics()['bgw_commands_total{op="ping"}'] == before


def test_every_ping_of_a_burst_gets_its_pong_in_order(ws):
    payloads = [b"%d" % n for n in range(10)] + [b"", b"x" * 125]
    ws.send(b"".join(frame(PING, p) for p in payloads))
    assert [ws.next_frame() for _ in payloads] == [(PONG, p) for p in payloads]
    ws.send(frame(PING, b"slow"), step=1)
    assert ws.next_frame() == (PONG, b"slow")


def test_pings_between_fragments_are_answered_and_the_message_is_whole(ws):
    text = '{"op":"ping","id":7,"x":"€"}'.encode()
    ws.send(frame(TEXT, b"", fin=False))
    for i, byte in enumerate(text):  # every byte a fragment, characters cut, a ping between
        ws.send(frame(CONT, bytes([byte]), fin=False) + frame(PING, b"%d" % i))
    ws.send(frame(CONT, b""))
    for i in range(len(text)):
        assert ws.next_frame() == (PONG, b"%d" % i)
    assert ws.next_event() == {"ev": "pong", "id": 7}


def test_pongs_that_nobody_asked_for_are_taken(ws):
    ws.send(frame(PONG, b"") * 50 + frame(PONG, b"x" * 125) + frame(TEXT, PING_COMMAND))
    assert ws.next_event() == {"ev": "pong", "id": 1}


def test_a_flood_of_empty_fragments_is_cut_at_its_limit(gw):
    with Raw(gw) as c:
        c.upgrade(token(["A"]))
        c.next_event("hello")
        c.send(frame(TEXT, PING_COMMAND, fin=False) + frame(CONT, b"", fin=False) * 998 + frame(CONT, b""))
        assert c.next_event() == {"ev": "pong", "id": 1}  # a thousand are a message
        c.send(frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 998)
        c.send(frame(PING, b"still"))
        assert c.next_frame() == (PONG, b"still")
        c.send(frame(CONT, b"", fin=False) + frame(CONT, b"", fin=False))
        failed_with(c, 1008)


def filled(total, **members):
    """A command of exactly so many bytes."""
    text = json.dumps({**members, "x": ""}, separators=(",", ":"))
    return (text[:-2] + "x" * (total - len(text)) + text[-2:]).encode()


@pytest.mark.parametrize("limits, authenticated, hello, early", [
    ({}, 65536, 32768, 16384),
    ({"BGW_MESSAGE_BYTES_MAX": 20000, "BGW_EARLY_MESSAGE_BYTES_MAX": 2000}, 20000, 4000, 2000),
    ({"BGW_MESSAGE_BYTES_MAX": 1048576}, 1048576, 32768, 16384)], ids=["usual", "tight", "wide"])
def test_too_large_is_1009_to_the_byte(limits, authenticated, hello, early):
    with Gateway(**limits) as g:
        for total, taken in ((authenticated, True), (authenticated + 1, False)):
            message, half = filled(total, op="ping", id=1), total // 2
            for frames in (frame(TEXT, message), frame(TEXT, message[:half], fin=False) + frame(CONT, message[half:])):
                with Raw(g) as c:
                    c.upgrade(token(["A"]))
                    c.next_event("hello")
                    c.send_as_far_as_taken(frames)
                    if taken:
                        assert c.next_event() == {"ev": "pong", "id": 1}
                    else:
                        failed_with(c, 1009)
        for total, taken in ((hello, True), (hello + 1, False)):
            with Raw(g) as c:
                c.upgrade()
                c.send_as_far_as_taken(frame(TEXT, filled(total, op="hello", token=token(["A"]))))
                if taken:
                    assert c.next_event()["ev"] == "hello"
                else:
                    failed_with(c, 1009)
        for total, taken in ((early, True), (early + 1, False)):
            with Raw(g) as c:
                c.upgrade()
                c.send_as_far_as_taken(frame(TEXT, filled(total, op="ping", id=1)))
                if taken:
                    assert c.next_event()["code"] == "not_hello"
                else:
                    failed_with(c, 1009)
        # counted when the connection is gone, a moment after its last frame
        until(lambda: g.metrics()['bgw_connection_closes_total{code="1009"}'] == 4, 10, "four closes with 1009")


def test_a_length_that_is_too_large_is_refused_before_its_bytes_come(ws):
    ws.send(frame(TEXT, b"", length=65537, size=8))
    failed_with(ws, 1009)


def test_frames_behind_the_upgrade_in_one_segment_are_heard(gw):
    with Raw(gw) as c:
        request = ("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: other, bgw.v1\r\n"
                   f"Authorization: Bearer {token(['A'])}\r\n\r\n")
        response = c.send(request.encode() + frame(TEXT, PING_COMMAND)).response()
        assert response.status == 101
        assert response.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert response.headers["sec-websocket-protocol"] == "bgw.v1"
        assert "sec-websocket-extensions" not in response.headers
        assert {c.next_event()["ev"] for _ in range(2)} == {"hello", "pong"}


def test_extensions_are_not_agreed_to(gw):
    with Raw(gw) as c:
        c.upgrade(token(["A"]), headers=["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"])
        c.next_event("hello")
        c.text({"op": "ping", "id": 3})
        assert c.next_event() == {"ev": "pong", "id": 3}


def test_a_connection_cut_in_a_frame_leaves_nothing_behind(gw):
    for data in (b"\x81", b"\x81\xfe\x01", frame(TEXT, b"x" * 1000)[:500], frame(TEXT, b"x", fin=False), frame(PING, b"x" * 100)[:50]):
        with Raw(gw) as c:
            c.upgrade(token(["A"]))
            c.send(data)
    with Raw(gw) as c:
        c.upgrade(token(["A"]))
        assert c.next_event()["ev"] == "hello"
