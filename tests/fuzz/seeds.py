# SPDX-License-Identifier: Apache-2.0
"""Writes the hand-made part of the corpora: `python3 -m tests.fuzz.seeds`, from the checkout. What
fuzzing found (found-*, regress-*) lies beside it and is left alone."""

import json
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
        if body.startswith(b'{"minor"') and k:  # each needs its account
            body = b'{"accountId":"%s",' % k.split(b"|")[0] + body[1:]
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


def commands():
    hello = '{"op":"hello","token":"$1"}'
    sub = '{"op":"sub","id":1,"keys":["A","B/USD","C"]}'
    scripts = {
        "plain": [hello, sub, "!pA NGN 100", "!pB USD 5", "!t1000", '{"op":"unsub","id":2,"keys":["A"]}', "!pA NGN 101", "!t1500"],
        "values-first": ["!pA NGN 100", "!pA USD 7", "!pB NGN 1", hello, sub, "!t1000", "!xA", "!t1000"],
        "header-token": ["!o2", '{"op":"sub","id":1,"keys":["A","A/USD","D"]}', "!pA USD 1", "!pD NGN 2", "!t1500"],
        "since": ["!pA NGN 100", hello, sub, "!t1000", "!c", hello, '{"op":"sub","id":1,"keys":["A"],"since":{"A":"$v"}}', "!t1500"],
        "since-ahead": [hello, '{"op":"sub","id":1,"keys":["A"],"since":{"A":"e1.900"}}', "!b", "!t400", "!pA NGN 1", "!t1500"],
        "since-parts": [hello, '{"op":"sub","id":1,"keys":["A"],"since":{"A":{"NGN":"e1.1","USD":"zz.1.2"}}}', "!pA NGN 1", "!t1500"],
        "resume": ["!pA NGN 1", hello, sub, "!t1500", "!c", '{"op":"hello","token":"$1","resume":"$r"}', sub, "!t1500"],
        "resume-other": ["!pA NGN 1", hello, sub, "!t1500", "!c", '{"op":"hello","token":"$2","resume":"$r"}', sub, "!t1500"],
        "refresh": ["!pA NGN 1", hello, sub, "!t1000", '{"op":"auth","id":3,"token":"$3"}', "!pB USD 1", "!t12000"],
        "refresh-other": [hello, '{"op":"auth","id":3,"token":"$2"}', '{"op":"auth","id":4,"token":"x"}'],
        "rate": [hello, sub, '{"op":"rate","id":5,"max_hz":0.5,"max_bytes_s":64}', "!pA NGN 1", "!pA NGN 2", "!t3000", '{"op":"rate","id":6}', "!t1000"],
        "repair": ["!pA NGN 1", hello, sub, "!t1000", '{"op":"repair","id":5}', "!t1000", '{"op":"ack","w":"$w"}', '{"op":"ping","id":0}'],
        "slow": [hello, sub, "!w", "!pA NGN 1", "!pA NGN 2", '{"op":"ping","id":9}', "!pA NGN 3", "!t1000", "!w", "!t1500"],
        "stalled": [hello, sub, "!w", "!pA NGN 1", "!t40000"],
        "two": [hello, sub, "!s1", '{"op":"hello","token":"$2"}', '{"op":"sub","id":1,"keys":["A","E"]}', "!pA NGN 1", "!s0", "!c", "!pA NGN 2", "!t1500"],
        "epoch": [hello, sub, "!pA NGN 1", "!t1000", "!e", "!t1000", "!pA NGN 2", "!t1500"],
        "errors": [hello, "", "{", '{"op":"x","id":1}', '{"op":"sub","id":2}', '{"op":"sub","id":3,"feed":"y","keys":[]}', '{"op":"ping"}',
                   '{"op":"ping","id":-1}', '{"op":"sub","id":4,"keys":["a b","A/ngn","\\u0041"]}', hello, '{"op":"ack"}', "[]", "1"],
        "early": ['{"op":"ping","id":1}', '{"op":"sub","id":2,"keys":["A"]}', '{"op":"hello"}', '{"op":"hello","token":"a.b.c"}'],
        "silence": ["!o0", "!t6000"],
        "unanswered": ["!pA NGN 1", hello, '{"op":"sub","id":1,"keys":["A"],"since":{"A":"e1.0"}}', '{"op":"unsub","id":2,"keys":["A"]}', "!t1500"],
        "twice": [hello, sub, sub.replace("1", "2"), '{"op":"unsub","id":3,"keys":["A","A","nope"]}', "!pA NGN 1", "!t1500"],
        "escapes": [hello, '{"op":"sub","id":1,"keys":["\\u0041","\\ud83d\\ude00"],"since":{"\\u0041":"e1.1"},"x":{"y":[1,2]}}', "!t1000"],
        "revoked-key": ["!pA NGN 1", "!pB USD 2", hello, sub, "!t1000", '!r{"sub":"ann","accounts":["A"]}', "!pA NGN 2", "!t1500", sub, "!t1000"],
        "revoked-subject": ["!pA NGN 1", hello, sub, "!t1000", '!r{"sub":"ann","before":1800000050}', "!t1500", hello],
        "revoked-waiting": [hello, "!b", '{"op":"sub","id":1,"keys":["A"],"since":{"A":"e1.900"}}', '!r{"sub":"ann","accounts":["A","B"]}', "!t1500"],
        "removed": ["!pA NGN 1", "!xA", hello, sub, "!t1000", "!pA NGN 5", "!xA|NGN", "!t1500"],
    }
    for name, lines in scripts.items():
        yield name, "\n".join(lines).encode()


def signalr():
    end = "\x1e"
    hi = '{"protocol":"json","version":1}' + end

    def call(target, arguments, number=None, kind=1):
        record = {"target": target, "arguments": arguments, "type": kind}
        return json.dumps(record | ({"invocationId": str(number)} if number is not None else {})) + end

    sub = call("SubscribeBalance", ["A"], 0)
    scripts = {
        "plain": [hi, sub, "!pA NGN 1", "!t500", "!pA NGN 2", '{"type":6}' + end, call("UnsubscribeBalance", ["A"]), "!pA NGN 3", "!t500"],
        "coalesced": ["!pA NGN 1", hi + '{"type":6}' + end + sub + call("foo", [], 1), "!t500"],
        "many": [hi, call("subscribemultiplebalances", [["A", "B/USD", "C", "a b", ""]], 7), "!pB USD 5", "!pC NGN 1", "!t500"],
        "two-halves": [hi[:9], hi[9:] + sub[:30], "!pA NGN 1", sub[30:], "!t500"],
        "late-value": [hi, "!b", sub, "!pA NGN 1", "!t400", "!b", "!pA NGN 2", "!t500"],
        "stale": ["!pA NGN 1", hi, sub, "!t500", "!b", "!t35000", "!b", "!t1000"],
        "removed": ["!pA NGN 1", hi, sub, "!t500", "!xA", "!t500"],
        "errors": [hi, call("Nope", [], 1) + call("SubscribeBalance", [], 2) + call("SubscribeBalance", [5], 3) + call("SubscribeBalance", ["X"], 4) +
                   call("SubscribeBalance", ["A"], 5, 4) + call("SubscribeBalance", ["X"]) + call("SubscribeBalance", ["A"], "")],
        "streams": [hi, '{"type":1,"target":"SubscribeBalance","arguments":["A"],"streamIds":["1"],"invocationId":"a\\"b"}' + end],
        "ignored": [hi, '{"type":2,"invocationId":"1","item":1}' + end + '{"type":3,"invocationId":"1"}' + end + '{"type":5,"invocationId":"1"}' + end +
                    '{"type":8,"sequenceId":1}' + end + '{"type":99}' + end],
        "fatal": [hi, sub, '{"type":"6"}' + end + sub],
        "fatal-json": [hi, sub + "{" + end + sub],
        "fatal-id": [hi, call("x", [], "i" * 257)],
        "fatal-both": [hi, '{"type":3,"invocationId":"1","result":1,"error":"e"}' + end + sub],
        "fatal-type": [hi, '{"type":6,"arguments":{}}' + end + sub],
        "fatal-missing": [hi, '{"type":1,"target":"SubscribeBalance"}' + end + sub],
        "bye": [hi, sub + '{"type":7}' + end + sub, "!t500"],
        "protocol": ['{"protocol":"messagepack","version":1}' + end + sub],
        "version": ['{"protocol":"json","version":9}' + end + hi + sub],
        "version-2": ['{"version":2,"protocol":"JSON","x":[]}' + end + sub],
        "no-handshake": [sub + hi],
        "too-long-early": ["x" * 300 + end + hi],
        "too-long": [hi, sub + '{"type":6,"x":"' + "y" * 1500],
        "too-late": ["!t16000", hi],
        "quiet": [hi, "!t40000"],
        "silent": [hi, '{"type":6}' + end, "!t40000"],
        "empty-records": [hi, end + end],
        "escapes": [hi, '{"t\\u0079pe":1,"target":"Subscribe\\u0042alance","arguments":["\\u0041"],"invocationId":"\\ud83d\\ude00\\u001e"}' + end],
    }
    for number, (name, lines) in enumerate(scripts.items()):
        yield name, bytes([number & 1, number * 37 & 255]) + "\n".join(lines).encode()
        yield name + "-other", bytes([~number & 1, 0]) + "\n".join(lines).encode()


def app():
    def call(method, args):
        return json.dumps({"type": "invoke", "method": method, "args": args})

    sub = call("SubscribeBalance", ["A"])
    scripts = {
        "plain": ["!pA NGN 1", sub, "!t500", "!pA NGN 2", call("UnsubscribeBalance", ["A"]), "!pA NGN 3", "!t500"],
        "many": [call("subscribemultiplebalances", [["A", "B/USD", "C", "a b", ""]]), "!pB USD 5", "!t500"],
        "none": [call("SubscribeMultipleBalances", [[]]), call("UnsubscribeBalance", ["Z"])],
        "nonsense": ["{", "[]", "{}", '{"type":6}', '{"type":"invoke"}', '{"type":"invoke","method":"x"}', call("x", []), call("SubscribeBalance", []),
                     call("SubscribeBalance", [["A"]]), "\x1e", sub],
        "mixed": [sub, call("SubscribeBalance", ["X"])] * 11,
        "late-value": ["!b", sub, "!pA NGN 1", "!t400", "!b", "!pA NGN 2", "!t500"],
        "stale": ["!pA NGN 1", sub, "!t500", "!b", "!t35000"],
        "escapes": ['{"t\\u0079pe":"inv\\u006fke","method":"Subscribe\\u0042alance","args":["\\u0041"]}', call("\"\u0001", [])],
        "handshake": ['{"protocol":"json","version":1}\x1e', sub],
    }
    for name, lines in scripts.items():
        yield name, "\n".join(lines).encode()


def edits(*changes):
    return b"".join(struct.pack(">BHB", op, at, byte) for op, at, byte in changes)


def jwt():
    for alg in range(5):
        yield f"good-{alg}", bytes([alg, 0])
        yield f"bit-{alg}", bytes([alg, 0]) + edits((1, 60, 0))
        yield f"end-{alg}", bytes([alg, 0]) + edits((1, 65535, 1), (2, 65535, 61))
        yield f"cut-{alg}", bytes([alg, 0]) + edits((3, 70, 30))
        yield f"payload-of-next-{alg}", bytes([alg, 0x80 | (alg + 1) % 5])
        yield f"signature-of-next-{alg}", bytes([alg, 0xc0 | (alg + 1) % 5])
    yield "none", b"\x08eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIiwiZXhwIjo0MTAyNDQ0ODAwfQ."
    yield "two-parts", b"\x08a.b"
    yield "padded", b"\x08eyJhbGciOiJIUzI1NiJ9.e30=.AA"
    head, ends = b'{"alg":"HS256"}', b'"sub":"ann","exp":4102444800'
    signed = {
        "accounts": b'{%s,"scope":"accounts.read","accounts":["A","B"]}' % ends,
        "all": b'{%s,"scope":"x accounts.read.all ops.read","tenant":"t1"}' % ends,
        "details": b'{%s,"authorization_details":[{"type":"account_balance","actions":["read"],"identifiers":["A"]}]}' % ends,
        "array-scope": b'{%s,"scope":["accounts.read"],"accounts":["\\u0041"]}' % ends,
        "no-exp": b'{"sub":"ann"}', "no-sub": b'{"exp":4102444800}', "text-exp": b'{"sub":"a","exp":"4102444800"}',
        "fraction-exp": b'{"sub":"a","exp":4102444800.5}', "late": b'{"sub":"a","exp":9223372036854775807}',
        "early": b'{%s,"nbf":4102444000,"iat":1,"jti":"j"}' % ends, "past": b'{"sub":"a","exp":1}',
        "twice": b'{%s,"exp":1}' % ends, "array": b"[]", "nested": b'{%s,"accounts":[["A"]]}' % ends,
    }
    for name, payload in signed.items():
        yield "signed-" + name, b"\x10" + head + b"\n" + payload
    for name, header in {"crit": b'{"alg":"HS256","crit":["x"]}', "b64": b'{"alg":"HS256","b64":false}', "kid": b'{"alg":"HS256","kid":"r","typ":"JWT"}',
                         "confused": b'{"alg":"RS256","kid":"r"}', "twice": b'{"alg":"HS256","alg":"none"}', "case": b'{"alg":"hs256"}'}.items():
        yield "header-" + name, b"\x10" + header + b"\n" + signed["accounts"]


def jwks():
    text = (CORPUS.parent / "tokens.h").read_text(encoding="utf-8")
    text = text[text.index("fuzz_jwks[]"):text.index("fuzz_tokens[FUZZ_TOKENS] = {")]
    good = json.loads("".join(json.loads(line.strip().rstrip(";")) for line in text.splitlines() if line.startswith("    ")))
    rsa, pss, elliptic, edwards = good["keys"]

    def document(*keys, **more):
        return json.dumps({"keys": list(keys), **more}, separators=(",", ":")).encode()

    def without(key, *names):
        return {k: v for k, v in key.items() if k not in names}

    yield "good", document(*good["keys"])
    yield "edwards", document(edwards)
    yield "elliptic", document(elliptic, more=[1])
    yield "nameless", document(without(edwards, "kid"))
    yield "nameless-two", document(without(edwards, "kid"), elliptic)
    yield "twice", document(edwards, edwards)
    yield "off-curve", document({**elliptic, "y": elliptic["x"]})
    yield "short", document({**elliptic, "x": elliptic["x"][:-2]}, edwards)
    yield "private", document({**edwards, "d": "AAAA"}, elliptic)
    yield "symmetric", document({"kty": "oct", "k": "A" * 44, "alg": "HS256"})
    yield "symmetric-beside", document({"kty": "oct", "k": "A" * 44, "kid": "s"}, edwards)
    yield "use", document({**edwards, "use": "enc"}, {**elliptic, "use": "sig", "key_ops": ["verify"]})
    yield "exponent", document({**rsa, "e": "AQ"}, {**pss, "e": "AQAA"})
    yield "small", document({**rsa, "n": rsa["n"][:40]})
    yield "confused", document({**elliptic, "alg": "HS256"}, {**rsa, "alg": "ES256"})
    yield "unknown", document({"kty": "X"}, [], 1)
    yield "empty", document()
    yield "no-keys", b"{}"
    yield "array", b"[]"


def proxy():
    sign = b"\r\n\r\n\0\r\nQUIT\n"
    four, six = bytes([192, 0, 2, 1, 198, 51, 100, 1]) + struct.pack(">HH", 50000, 443), bytes(range(32)) + struct.pack(">HH", 1, 2)
    yield "tcp4", sign + b"\x21\x11" + struct.pack(">H", 12) + four + b"GET /"
    yield "tcp6", sign + b"\x21\x21" + struct.pack(">H", 36) + six
    yield "local", sign + b"\x20\x00\0\0"
    yield "local-tcp4", sign + b"\x20\x11" + struct.pack(">H", 12) + four
    yield "unspec", sign + b"\x21\x00\0\x04abcd"
    yield "tlv", sign + b"\x21\x11" + struct.pack(">H", 19) + four + b"\x04\x00\x04abcd"
    yield "short", sign + b"\x21\x11" + struct.pack(">H", 11) + four
    yield "long", sign + b"\x21\x11\xff\xff" + four
    yield "udp", sign + b"\x21\x12" + struct.pack(">H", 12) + four
    yield "unix", sign + b"\x21\x31\0\xd8"
    yield "version-1", b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n"
    yield "command", sign + b"\x22\x11\0\x0c" + four
    yield "http", b"GET / HTTP/1.1\r\n"


def forwarded():
    texts = {
        "plain": b"192.0.2.1\n", "list": b"192.0.2.1, 10.0.0.1 , 2001:db8::7\n", "ports": b"192.0.2.1:80, [2001:db8:1::1]:443\n",
        "unknown": b"unknown, _hidden\n", "nonsense": b"a b, ,;\"\n", "standard": b"\nfor=192.0.2.1;proto=https;by=10.0.0.1, for=\"[2001:db9::1]:80\"",
        "quoted": b"\nfor=\"_x\\\"y\", for=\"unknown\"", "open-quote": b"\nfor=\"192.0.2.1", "open-escape": b"\nfor=\"192.0.2.1\\",
        "for-twice": b"\nfor=192.0.2.1;for=192.0.2.2", "both": b"192.0.2.9\nfor=192.0.2.9", "disagree": b"192.0.2.9\nfor=192.0.2.8",
        "case": b"\nFOR=192.0.2.1;Host=x", "no-for": b"\nproto=http, by=x", "zone": b"fe80::1%eth0\n", "mapped": b"::ffff:192.0.2.1\n",
    }
    for number, (name, text) in enumerate(texts.items()):
        for which in (0, 1, 2, 3, 4 + 1, 8 + 2)[number % 2::2]:
            yield f"{name}-{which}", bytes([which]) + text


def revocation():
    texts = {
        "jti": {"jti": "j1"}, "jti-exp": {"jti": "j1", "exp": 1900000000, "tenant": "t1"}, "before": {"sub": "ann", "before": 1800000000},
        "accounts": {"sub": "ann", "accounts": ["A", "B", "A"], "exp": 1800000100}, "past": {"jti": "j", "exp": 1700000000},
        "edge": {"jti": "j", "exp": 1800000000}, "future": {"sub": "a", "before": 1800000061}, "both": {"jti": "a", "sub": "b", "before": 1},
        "before-accounts": {"sub": "a", "before": 1, "accounts": ["A"]}, "neither": {"exp": 1900000000}, "unknown": {"jti": "j", "x": 1},
        "empty-list": {"sub": "a", "accounts": []}, "bad-account": {"sub": "a", "accounts": ["a b"]}, "milliseconds": {"jti": "j", "exp": 1800000000000},
        "tenant": {"sub": "a", "before": 5, "tenant": "a b"}, "empty": {"jti": ""},
    }
    for name, value in texts.items():
        yield name, json.dumps(value).encode()
    yield "twice", b'{"jti":"a","jti":"b"}'
    yield "escaped", b'{"\\u0073ub":"\\u00e9","accounts":["\\u0041"]}'
    yield "array", b"[]"


def resume():
    def body(hashes, subject=1, flags=1, count=None):
        return (struct.pack(">BQQQQBB", 1, 0x3165, subject, 1, 1799999999000, flags, len(hashes) if count is None else count) +
                b"".join(struct.pack(">Q", h) for h in hashes))

    shown = 0xcbf29ce484222325
    for byte in b"A|NGN|e1.7":
        shown = (shown ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    yield "given", b"\0"
    yield "bit", b"\0" + edits((1, 20, 0))
    yield "cut", b"\0" + edits((3, 30, 4))
    yield "longer", b"\0" + edits((2, 65535, 65))
    yield "end", b"\0" + edits((1, 77, 0), (1, 78, 1))
    yield "another-subject", b"\3"
    yield "text", b"\1AQAAAAAAADFl"
    yield "empty", b"\1"
    yield "nonsense", b"\1?*="
    yield "signed", b"\2" + body([shown])
    yield "signed-other-hash", b"\2" + body([1, 2, 3])
    yield "signed-other-subject", b"\2" + body([shown], subject=9)
    yield "signed-empty", b"\2" + body([])
    yield "signed-count", b"\2" + body([shown], count=200)
    yield "signed-many", b"\2" + body([shown] * 100)
    yield "signed-form", b"\2\2" + body([shown])[1:]
    yield "signed-short", b"\2\1"


def sources():
    def answers(*texts, seed=7):
        return b"\0" + struct.pack(">H", seed) + b"".join(t.encode().replace(b"\n", b"\r\n") for t in texts)

    yield "hash", answers("*3\n$3\n123\n$1\n7\n$13\n1700000000000\n")
    yield "missing", answers("*3\n$-1\n$-1\n$-1\n", "$-1\n", "_\n")
    yield "errors", answers("-WRONGTYPE Operation\n", "-NOSCRIPT No\n", "-READONLY You\n", "!5\nERR a\n")
    yield "message", answers("*3\n$7\nmessage\n$18\nbalance:invalidate\n$1\na\n", seed=0)
    yield "push", answers(">2\n$10\ninvalidate\n*2\n$15\nbalance:t:a:NGN\n$9\nbalance:x\n", ">2\n$10\ninvalidate\n_\n")
    yield "resp3", answers("%2\n+a\n:1\n+b\n#t\n", "~2\n,1.5\n(123456789012345678901\n", "|1\n+x\n:1\n", "=7\ntxt:abc\n")
    yield "many", answers("*20\n" + ":1\n" * 20, ":2\n")
    yield "deep", answers("*1\n" * 12 + ":1\n")
    yield "too-many", answers("*4097\n:1\n")
    yield "negative", answers("*-2\n", "$-5\nx\n")
    yield "cut", answers("$10\nabc")
    yield "sentinel", answers("*2\n$9\n127.0.0.1\n$4\n6379\n", "*3\n$6\nmaster\n:0\n*0\n")

    def balance(first, **members):
        return b"\1" + first + json.dumps(members).encode()

    whole = {"accountId": "acc", "minor": 9007199254740993, "currency": "NGN", "pendingMinor": -1, "v": 7, "ts": 1700000000000, "tenant": "tnt_demo"}
    yield "balance", balance(b"\1", **whole)
    yield "balance-bare", balance(b"\1", accountId="acc", balance=5)
    yield "balance-names", balance(b"\1", accountId="acc", balance=5, availableMinor=5, balanceMinor=5, extra=[{"a": "\u20ac"}])
    yield "balance-quoted-v", balance(b"\1", accountId="acc", minor=5, v="9007199254740995")
    yield "balance-other", balance(b"\0", accountId="msisdn::1", minor=-5, currency="USD", tenant="t2")
    yield "balance-mismatch", balance(b"\0", **whole)
    yield "balance-float", b'\1\1{"accountId":"acc","minor":1.0}'
    yield "balance-twice", b'\1\1{"accountId":"acc","minor":1,"minor":2}'
    yield "list", b'\2["a", "msisdn::2", {"accountId":"b","tenant":"t2"} ]'
    yield "list-lines", b'\2a\nmsisdn::2\r\n"c"\n{"accountId":"b","tenant":"t2"}\n'
    yield "list-empty", b"\2[]"
    yield "list-escapes", b'\2["\\u0061","\\""]'
    yield "list-broken", b'\2["a","b'
    yield "list-page", b"\2<html>\n"
    yield "list-long", b'\2["' + b"a" * 66 + b'"]'
    yield "invalidation", b'\3{"accountId":"a","tenant":"t","currency":"USD","v":9007199254740993}'
    yield "invalidation-bare", b"\3msisdn::234"
    yield "invalidation-quoted", b'\3{"accountId":"a","tenant":"t","currency":"USD","v":"12"}'
    yield "invalidation-null", b'\3{"accountId":"a","tenant":null,"currency":null,"v":null}'
    yield "key", b"\4balance:t:a::b:USD"
    yield "key-short", b"\4balance:t:USD"


TARGETS = {f.__name__: f for f in (http, ws, kafka, config, commands, jwt, jwks, proxy, forwarded, revocation, resume, signalr, app, sources)}


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
