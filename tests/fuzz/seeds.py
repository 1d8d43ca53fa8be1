# SPDX-License-Identifier: Apache-2.0
"""Writes the hand-made part of the corpora: `python3 -m tests.fuzz.seeds`, from the checkout. What
fuzzing found (found-*, regress-*) lies beside it and is left alone."""

import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"


def http():
    def request(*lines, body=b""):
        return "\r\n".join((*lines, "", "")).encode("latin-1") + body

    host = "Host: a.example:8080"
    upgrade = ("Upgrade: websocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Version: 13",
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    plain = {
        "get": request("GET / HTTP/1.1", host),
        "get-1.0": request("GET /a HTTP/1.0"),
        "upgrade": request("GET /ws?access_token=e%79J.x.y HTTP/1.1", host, *upgrade, "Sec-WebSocket-Protocol: x, bgw.v1"),
        "absolute": request("GET http://a.example:8080/a?b HTTP/1.1", host),
        "options": request("OPTIONS * HTTP/1.1", host),
        "post": request("POST /p HTTP/1.1", host, "Content-Length: 5", body=b"hello"),
        "chunked": request("POST /p HTTP/1.1", host, "Transfer-Encoding: chunked", body=b"5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n"),
        "extension": request("POST /p HTTP/1.1", host, "Transfer-Encoding: chunked", body=b"5;a=b\r\nhello\r\n0\r\n\r\n"),
        "trailer": request("POST /p HTTP/1.1", host, "Transfer-Encoding: chunked", body=b"0\r\nA: b\r\n\r\n"),
        "cl-te": request("POST /p HTTP/1.1", host, "Content-Length: 3", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        "two-hosts": request("GET / HTTP/1.1", host, "Host: b.example"),
        "fold": request("GET / HTTP/1.1", host, "A: b", " c"),
        "bare-lf": b"GET / HTTP/1.1\nHost: a\n\n",
        "nul": request("GET / HTTP/1.1", host, "A: b\0c"),
        "empty-value": request("GET / HTTP/1.1", host, "A:", "B: \t "),
        "space-name": request("GET / HTTP/1.1", host, "A : b"),
        "expect": request("POST / HTTP/1.1", host, "Expect: 100-continue", "Content-Length: 1", body=b"x"),
        "h2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "two": request("GET /1 HTTP/1.1", host) + request("GET /2 HTTP/1.1", host),
        "close": request("GET / HTTP/1.1", host, "Connection: close"),
        "list": request("GET / HTTP/1.1", host, "If-None-Match: , \"a\",,\"b\" ", "Origin: null", "Authorization: Bearer x"),
        "six": request("GET / HTTP/1.1", "Host: [2001:db8::1]:443"),
        "percent": request("GET /%41%2e%2E/%2f?a=%zz HTTP/1.1", host),
        "signs": request("POST /p HTTP/1.1", host, "Content-Length: +5", body=b"hello"),
        "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    }
    for name, data in plain.items():
        seed = len(name) % 4 and len(data) * 2654435761 & 0xffffffff
        yield name, bytes([4]) + struct.pack(">I", seed) + data


def ws():
    def frame(first, payload=b"", mask=b"\x01\x02\x03\x04", masked=True, form=None):
        length = len(payload)
        form = form or (7 if length < 126 else 16 if length < 65536 else 64)
        flag = 0x80 if masked else 0
        head = {7: bytes([flag | length & 127]), 16: bytes([flag | 126]) + struct.pack(">H", length & 0xffff),
                64: bytes([flag | 127]) + struct.pack(">Q", length)}[form]
        if masked:
            payload = bytes(b ^ mask[i & 3] for i, b in enumerate(payload))
        return bytes([first]) + head + (mask if masked else b"") + payload

    euro = "a\u20ac\U0001f600".encode()
    streams = {
        "text": frame(0x81, b"hello"),
        "binary": frame(0x82, bytes(range(200))),
        "empty": frame(0x81) + frame(0x82),
        "fragments": frame(0x01, euro[:2]) + frame(0x89, b"p") + frame(0x00, euro[2:5]) + frame(0x80, euro[5:]),
        "many": frame(0x01, b"a") + frame(0x00) * 5 + frame(0x80, b"z"),
        "ping": frame(0x89, b"x" * 125) + frame(0x8a, b"y"),
        "close": frame(0x88, b"\x03\xe8bye") + frame(0x81, b"after"),
        "close-empty": frame(0x88),
        "close-one": frame(0x88, b"\x03"),
        "close-1012": frame(0x88, b"\x03\xf4"),
        "close-1005": frame(0x88, b"\x03\xed"),
        "close-3000": frame(0x88, b"\x0b\xb8" + euro),
        "close-utf8": frame(0x88, b"\x03\xe8\xff"),
        "utf8": frame(0x81, b"\xed\xa0\x80"),
        "utf8-cut": frame(0x81, b"\xe2\x82"),
        "utf8-late": frame(0x01, b"\xf0\x90") + frame(0x80, b"\x80A"),
        "unmasked": frame(0x81, b"hello", masked=False),
        "rsv": frame(0xc1, b"hello"),
        "opcode-3": frame(0x83, b"x"),
        "opcode-11": frame(0x8b, b"x"),
        "continuation": frame(0x80, b"x"),
        "interrupted": frame(0x01, b"a") + frame(0x81, b"b"),
        "control-fragment": frame(0x09, b"a"),
        "control-126": frame(0x89, b"a" * 126),
        "length-16": frame(0x81, b"short", form=16),
        "length-64": frame(0x81, b"short", form=64),
        "length-126": frame(0x81, b"a" * 126),
        "length-top": b"\x81\xff\x80\0\0\0\0\0\0\x01abcd",
        "large": frame(0x82, b"a" * 1001),
        "large-header": b"\x81\xff\0\0\0\0\xff\xff\xff\xffabcdx",
        "mixed": frame(0x89) + frame(0x01, b"a" * 70) + frame(0x8a, b"b") + frame(0x80, b"c" * 70) + frame(0x81, b"d"),
    }
    for number, (name, data) in enumerate(streams.items()):
        yield name, bytes([number & 15]) + struct.pack(">I", number % 3 and number * 2654435761 & 0xffffffff) + data


def kafka():
    key, value, tenant, version, second, watched, timeless = 1, 2, 4, 8, 16, 32, 64

    def record(what, k=b"", t=b"", v=b"", body=b""):
        rest = b"\n".join((k, t, v, body))
        return bytes([what]) + struct.pack(">H", len(rest)) + rest

    full = (b'{"accountId":"msisdn::2348100000001","tenantId":"tnt_demo","currency":"NGN","minor":125000,'
            b'"pendingMinor":-5,"deltaMinor":9223372036854775807,"txnId":"t-\\u00e9","ts":1760000000000,"v":7}')
    yield "full", record(key | value | watched, b"msisdn::2348100000001", body=full)
    yield "plain", record(key | value, b"A", body=b'{"minor":9007199254740993}')
    yield "stream", b"".join(record(key | value | watched, b"A|NGN", v=b"", body=b'{"minor":%d,"v":%d}' % (n, n)) for n in (1, 2, 2, 1, 3))
    yield "versions", b"".join(record(key | value | version | watched, b"A", v=b"%d" % n, body=b'{"minor":%d}' % n) for n in (5, 4, 6))
    yield "tombstone", record(key | value | watched, b"A", body=b'{"minor":1}') + record(key, b"A") + record(key | watched, b"A|USD")
    yield "tenants", record(key | value | tenant | watched, b"A", b"t1", body=b'{"minor":1}') + record(key | value, b"A", body=b'{"minor":2,"tenantId":"t2"}')
    yield "mode", record(key | value | watched, b"A", body=b'{"minor":1,"v":1}') + record(key | value, b"A", body=b'{"minor":2}')
    yield "no-key", record(value, body=b'{"accountId":"A","minor":1,"v":3}') + record(value | second, body=b'{"accountId":"A","minor":1}')
    yield "mismatch", record(key | value, b"A", body=b'{"accountId":"B","minor":1}')
    yield "mismatch-v", record(key | value | version, b"A", v=b"8", body=b'{"minor":1,"v":7}')
    yield "double", record(key | value, b"A", body=b'{"minor":1,"minor":2}')
    yield "fraction", record(key | value, b"A", body=b'{"minor":1.0}') + record(key | value, b"A", body=b'{"minor":1e2}')
    yield "range", record(key | value, b"A", body=b'{"minor":9223372036854775808}') + record(key | value, b"A", body=b'{"minor":-9223372036854775808}')
    yield "text", record(key | value, b"A", body=b'{"minor":"1"}')
    yield "empty", record(key | value, b"A") + record(key | value, b"", body=b'{"minor":1}')
    yield "array", record(key | value, b"A", body=b'[{"minor":1}]')
    yield "escaped", record(key | value, b"A", body=b'{"m\\u0069nor":3,"accountId":"\\u0041","currency":"\\u0055SD"}')
    yield "txn", record(key | value, b"A", body=b'{"minor":1,"txnId":12345678901234567890,"ts":null}')
    yield "deep", record(key | value, b"A", body=b'{"minor":1,"x":' + b"[" * 17 + b"]" * 17 + b"}")
    yield "timeless", record(key | value | timeless | watched, b"A", body=b'{"minor":1}')
    yield "keys", b"".join(record(key | value | watched, b"K%d" % n, body=b'{"minor":%d}' % n) for n in range(36))


def config():
    yield "empty", b""
    yield "file", b"# ours\nKAFKA_BOOTSTRAP=a:9092,b:9092\n\nBGW_SHARDS = 4 # four\nBGW_LISTEN=\"[::1]:0\"\r\nBGW_DEMO=false\n"
    yield "env", b"\0KAFKA_BOOTSTRAP=embedded\0BGW_REWIND=10m\0PATH=x\0BGW_PORT=tcp://10.0.0.1:80"
    yield "flags", b"\0--shards\0=2\0--demo\0--listen=127.0.0.1:0\0--max-none"
    yield "secret-file", b"BGW_JWT_SECRET=SECRETSECRETSECRETSECRETSECRETSECRET\n"
    yield "secret-env", b"BGW_SHARDS=1\n\0BGW_RESUME_SECRET=SECRETSECRETSECRETSECRETSECRETSECRET"
    yield "secret-bad", b"BGW_JWT_SECRET=short\nBGW_RESUME_SECRET=SECRETSECRETSECRETSECRETSECRETSECRET\nBGW_SHARDS=65\n"
    yield "from-file", b"BGW_JWT_SECRET_FILE=/nonexistent\n"
    yield "unknown", b"BGW_SHARD=1\n"
    yield "twice", b"BGW_SHARDS=1\nBGW_SHARDS=1\n"
    yield "range", b"BGW_SHARDS=-1\n"
    yield "properties", b"KAFKA_SECURITY_PROTOCOL=ssl\nKAFKA_SASL_PASSWORD=x\n\0KAFKA_SECURITY_PROTOCOL=plaintext\0KAFKA_BOOTSTRAP_SERVERS=x"
    yield "properties-ok", b"KAFKA_SECURITY_PROTOCOL=ssl\nKAFKA_SASL_PASSWORD=x\n\0KAFKA_SECURITY_PROTOCOL=plaintext"
    yield "relation", b"\0BGW_FRESH_MS=600\0BGW_STALE_MS=500"
    yield "lists", b"BGW_TRUSTED_PROXIES=10.0.0.0/8, 2001:db8::/32\nBGW_ORIGINS=https://a.example,*\nBGW_JWT_ALGS=ES256,EdDSA\n"
    yield "tls", b"BGW_TLS_CERT=a.pem,b.pem\nBGW_TLS_KEY=a.key,b.key\nBGW_TLS_MIN=1.3\nBGW_TLS_GROUPS=X25519:P-256\nBGW_TLS_CLIENT_AUTH=staff\n"
    yield "no-equals", b"BGW_SHARDS\n"
    yield "help", b"\0--\0-x\0=y\0--shards"


TARGETS = {f.__name__: f for f in (http, ws, kafka, config)}


def main():
    for target, make in TARGETS.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in make():
            assert len(data) < 2048, (target, name)
            (folder / name).write_bytes(data)
        print(f"{target}: {len(list(folder.iterdir()))} files")


if __name__ == "__main__":
    main()
