# SPDX-License-Identifier: Apache-2.0
"""Our own cases over raw sockets, for what the Autobahn cases do not ask: unmasked frames, lengths
that are not minimal, close codes one by one, data after close, bursts, and the opening handshake."""

import socket
import ssl
import struct
import traceback

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"
GOOD = ["GET / HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

CASES = []


def case(function):
    CASES.append(function)
    return function


def frame(opcode, payload=b"", fin=True, rsv=0, mask=MASK, length=None):
    """`length`: 2 or 8 bytes of it although fewer would do, or those bytes themselves."""
    n = len(payload)
    flag = 0x80 if mask is not None else 0
    if isinstance(length, bytes):
        size = bytes([flag | 127]) + length
    elif length == 8 or (length is None and n > 65535):
        size = bytes([flag | 127]) + struct.pack(">Q", n)
    elif length == 2 or (length is None and n > 125):
        size = bytes([flag | 126]) + struct.pack(">H", n)
    else:
        size = bytes([flag | n])
    if mask is not None:
        payload = mask + bytes(b ^ mask[i & 3] for i, b in enumerate(payload))
    return bytes([(0x80 if fin else 0) | rsv << 4 | opcode]) + size + payload


class Client:
    def __init__(self, port, secure, lines=None, behind=b""):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        if secure:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.had = b""
        self.say("\r\n".join(lines or GOOD).encode() + b"\r\n\r\n" + behind)
        self.head = self.until(b"\r\n\r\n")
        self.status = int(self.head.split()[1]) if self.head else None
        if lines is None:
            assert self.status == 101 and ACCEPT in self.head, self.head

    def say(self, data):
        self.socket.sendall(data)

    def more(self):
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError) as e:
            raise AssertionError(f"ended without order: {e!r}") from e
        self.had += data
        return bool(data)

    def take(self, n):
        while len(self.had) < n:
            assert self.more(), f"ended after {self.had!r}"
        data, self.had = self.had[:n], self.had[n:]
        return data

    def until(self, mark):
        while mark not in self.had:
            if not self.more():
                return self.take(len(self.had))
        return self.take(self.had.index(mark) + len(mark))

    def hear(self):
        first, second = self.take(2)
        assert first & 0xf0 == 0x80 and not second & 0x80, "whole, unmasked frames are expected"
        n = second
        if second == 126:
            (n,) = struct.unpack(">H", self.take(2))
        elif second == 127:
            (n,) = struct.unpack(">Q", self.take(8))
        return first & 15, self.take(n)

    def ended(self):
        while self.more():
            pass
        assert self.had == b"", f"more than was expected: {self.had[:80]!r}"

    def closes_with(self, code):
        opcode, payload = self.hear()
        assert opcode == CLOSE and struct.unpack(">H", payload[:2]) == (code,), (opcode, payload)
        self.ended()


def refused(connect, code, *frames):
    client = connect()
    client.say(b"".join(frames))
    client.closes_with(code)


def close(code, reason=b""):
    return frame(CLOSE, struct.pack(">H", code) + reason)


# ---- frames ----


@case
def unmasked_frame_is_1002(connect):
    refused(connect, 1002, frame(TEXT, b"hello", mask=None))
    refused(connect, 1002, frame(PING, mask=None))


@case
def any_mask_will_do(connect):
    client = connect()
    client.say(frame(TEXT, b"hello", mask=b"\0\0\0\0") + frame(TEXT, b"world", mask=b"\xff\xff\xff\xff"))
    assert [client.hear(), client.hear()] == [(TEXT, b"hello"), (TEXT, b"world")]


@case
def length_that_is_not_minimal_is_1002(connect):
    refused(connect, 1002, frame(TEXT, b"x" * 125, length=2))
    refused(connect, 1002, frame(TEXT, b"x" * 125, length=8))
    refused(connect, 1002, frame(TEXT, b"x" * 65535, length=8))
    refused(connect, 1002, frame(TEXT, b"", length=2))


@case
def length_beyond_every_limit_is_refused_before_its_bytes_come(connect):
    refused(connect, 1002, frame(TEXT, b"x", length=b"\x80" + b"\0" * 7))
    refused(connect, 1009, frame(TEXT, b"x", length=b"\x40" + b"\0" * 7))
    refused(connect, 1009, frame(TEXT, b"x", length=b"\x7f" + b"\xff" * 7))


@case
def reserved_bits_and_opcodes_are_1002(connect):
    for rsv in (1, 2, 4, 7):
        refused(connect, 1002, frame(TEXT, b"x", rsv=rsv))
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        refused(connect, 1002, frame(opcode))


@case
def control_frames_are_short_and_whole(connect):
    for opcode in (CLOSE, PING, PONG):
        refused(connect, 1002, frame(opcode, b"\x03\xe8" + b"x" * 124))
        refused(connect, 1002, frame(opcode, b"\x03\xe8", fin=False))


@case
def every_byte_may_come_alone(connect):
    client = connect()
    for byte in frame(TEXT, "grün".encode(), fin=False) + frame(PING, b"p") + frame(0, "ß".encode()):
        client.say(bytes([byte]))
    assert client.hear() == (PONG, b"p")
    assert client.hear() == (TEXT, "grünß".encode())


@case
def burst_of_pings_is_answered_one_by_one_in_order(connect):
    client = connect()
    client.say(b"".join(frame(PING, b"%d" % i) for i in range(100)))
    assert [client.hear() for _ in range(100)] == [(PONG, b"%d" % i) for i in range(100)]


@case
def thousand_messages_in_one_segment_are_answered_in_order(connect):
    client = connect()
    client.say(b"".join(frame(BINARY, b"%d" % i) for i in range(1000)))
    assert [client.hear() for _ in range(1000)] == [(BINARY, b"%d" % i) for i in range(1000)]


@case
def frames_behind_the_handshake_in_one_segment_are_heard(connect):
    client = connect(behind=frame(TEXT, b"early"))
    assert client.hear() == (TEXT, b"early")


# ---- close ----


@case
def close_codes_are_judged_one_by_one(connect):
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999):
        refused(connect, code, close(code))
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        refused(connect, 1002, close(code))


@case
def close_of_one_byte_is_1002_and_a_reason_that_is_no_text_1007(connect):
    refused(connect, 1002, frame(CLOSE, b"\x03"))
    refused(connect, 1007, close(1000, b"\xc3\x28"))
    refused(connect, 1007, close(1000, b"\xed\xa0\x80"))


@case
def what_follows_a_close_frame_is_not_answered(connect):
    client = connect()
    client.say(close(1000) + frame(TEXT, b"late") + frame(PING, b"late") + close(1001))
    client.closes_with(1000)


@case
def close_without_a_code_is_answered_without_one(connect):
    client = connect()
    client.say(frame(CLOSE))
    assert client.hear() == (CLOSE, b"")
    client.ended()


# ---- the opening handshake ----


def answered(connect, lines, *statuses):
    client = connect(lines)
    assert client.status in statuses, client.head
    return client


def without(name):
    return [line for line in GOOD if not line.startswith(name)]


@case
def version_is_13_or_the_right_one_is_named(connect):
    for lines in (without("Sec-WebSocket-Version"), without("Sec-WebSocket-Version") + ["Sec-WebSocket-Version: 8"],
                  without("Sec-WebSocket-Version") + ["Sec-WebSocket-Version: 13, 8"]):
        answered(connect, lines, 426)


@case
def key_is_16_bytes_and_stands_once(connect):
    key = "Sec-WebSocket-Key: "
    for lines in (without(key), without(key) + [key], without(key) + [key + "dGhlIHNhbXBsZSBub25jZQ"],
                  without(key) + [key + "AAAA"], without(key) + [key + "!" * 24], GOOD + [GOOD[-1]]):
        answered(connect, lines, 400)


@case
def method_host_and_version_of_http_are_checked(connect):
    answered(connect, ["POST / HTTP/1.1"] + GOOD[1:], 400, 405, 426)
    answered(connect, ["GET / HTTP/1.0"] + GOOD[1:], 400, 426)
    answered(connect, without("Host"), 400)
    answered(connect, GOOD + ["Host: other"], 400)
    answered(connect, without("Upgrade"), 400)
    answered(connect, without("Upgrade") + ["Upgrade: h2c"], 400, 426)
    answered(connect, without("Connection") + ["Connection: close"], 400, 426)


@case
def refusal_says_why_and_ends_in_order(connect):
    client = answered(connect, without("Sec-WebSocket-Key"), 400)
    body = b""
    while client.more():
        pass
    body = client.had
    assert b'"code":"bad_websocket_key"' in body, body


# ---- running ----


def run(name, port, secure):
    """(passed, failed)"""
    failed = 0

    def connect(lines=None, behind=b""):
        return Client(port, secure, lines, behind)

    for test in CASES:
        try:
            test(connect)
        except Exception:  # whatever it is, this case has failed and the others are still of interest
            failed += 1
            print(f"{name} {test.__name__}   <-- NOT GOOD")
            traceback.print_exc()
    print(f"{name}: {len(CASES) - failed} of {len(CASES)} cases of our own")
    return len(CASES) - failed, failed
