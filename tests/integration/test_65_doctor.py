# SPDX-License-Identifier: Apache-2.0
"""`bgw doctor`: says nothing where nothing is wrong, and names each thing that is, with its remedy."""

import contextlib
import http.server
import json
import os
import re
import socket
import subprocess
import threading

import pytest

from harness.certs import Authority
from harness.gateway import clean_env
from harness.origin import Origin
from harness.postgres import Postgres
from harness.redis import Redis
from harness.tokens import SECRET, Key, key_set


def doctor(*args, **env):
    """(exit status, {check: [findings]})."""
    settings = {"KAFKA_BOOTSTRAP": "embedded", "BGW_JWT_SECRET": SECRET, "BGW_LISTEN": "127.0.0.1:0",
                "BGW_ADMIN_LISTEN": "127.0.0.1:0"} | {k: v for k, v in env.items() if v is not None}
    done = subprocess.run([os.environ["BGW_BIN"], "doctor", "--json", *map(str, args)], env=clean_env(**settings),
                          capture_output=True, text=True, timeout=60)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    report, found = json.loads(done.stdout), {}
    for c in report["checks"]:
        assert c["result"] == "ok" or len(c["fix"]) > 10, c
        found.setdefault(c["check"], []).append(c)
    assert done.returncode == (3 if not report["ok"] else 1 if report["fail"] else 0)
    return done.returncode, found


def results(found, check):
    return [c["result"] for c in found[check]]


def said(found, check, result):
    return " ".join(c["finding"] for c in found[check] if c["result"] == result)


def test_doctor_finds_nothing_wrong_where_nothing_is(tmp_path, kafka):
    ca = Authority(tmp_path)
    server = ca.server(days=90)
    topic = kafka.create()
    revocations = kafka.create(**{"cleanup.policy": "compact"})
    code, found = doctor(KAFKA_BOOTSTRAP=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, TOPIC_REVOCATIONS=revocations,
                         BGW_TLS_CERT=server.cert, BGW_TLS_KEY=server.key, BGW_AUDIT_LOG=tmp_path / "audit.log")
    assert code == 0, found
    assert not (tmp_path / "audit.log").exists()
    assert "localhost" in said(found, "certificates", "ok")
    assert topic in said(found, "kafka", "ok")
    bad = {c["check"] for findings in found.values() for c in findings if c["result"] != "ok"}
    assert bad <= {"clock", "memory", "backlog", "descriptors"}  # this machine's


def test_doctor_prints_lines_for_people():
    done = subprocess.run([os.environ["BGW_BIN"], "doctor"], env=clean_env(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert re.search(r"^fail  kafka +KAFKA_BOOTSTRAP is not set", done.stdout, re.M)
    assert re.search(r"^ +fix: set KAFKA_BOOTSTRAP", done.stdout, re.M)
    assert re.fullmatch(r"\d+ ok, \d+ warn, [1-9]\d* fail", done.stdout.splitlines()[-1])


@pytest.mark.parametrize("settings, word", [({"BGW_PING_S": "x"}, "BGW_PING_S"), ({"BGW_PINGS": "1"}, "BGW_PING_S")])
def test_doctor_says_3_for_a_configuration_that_cannot_be_read(settings, word):
    code, found = doctor(**settings)
    assert code == 3 and word in said(found, "configuration", "fail")


def test_doctor_tells_kafka_that_cannot_be_reached_or_lacks_topics(kafka):
    code, found = doctor(KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert code == 1 and "refused" in said(found, "kafka", "fail")
    code, found = doctor(KAFKA_BOOTSTRAP=kafka.bootstrap, TOPIC_BALANCE_UPDATES="not-there-1", TOPIC_REVOCATIONS="not-there-2")
    assert code == 1
    assert "not-there-1" in said(found, "kafka", "fail") and "not-there-2" in said(found, "kafka", "warn")
    plain = kafka.create()  # a topic that forgets
    code, found = doctor(KAFKA_BOOTSTRAP=kafka.bootstrap, TOPIC_BALANCE_UPDATES=plain, TOPIC_REVOCATIONS=plain)
    assert code == 1 and "not compacted" in said(found, "kafka", "fail")


def test_doctor_tells_ports_of_others_from_our_own(gateway):
    code, found = doctor(BGW_LISTEN=gateway.listen, BGW_ADMIN_LISTEN=gateway.info["admin"])
    assert results(found, "ports") == ["ok", "ok"], found["ports"]
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = "127.0.0.1:%d" % other.getsockname()[1]
        code, found = doctor(BGW_LISTEN=address)
        assert code == 1 and address in said(found, "ports", "fail")


def test_doctor_reads_certificates_as_the_gateway_would(tmp_path):
    ca, other = Authority(tmp_path / "a"), Authority(tmp_path / "b")
    cases = {
        "old": (ca.server("old.example", days=-1, stem="old"), None, "fail", "old"),
        "soon": (ca.server("soon.example", days=7, stem="soon"), None, "warn", "soon.example"),
        "wrong-key": (ca.server("key.example", stem="key"), other.server("key.example", stem="key").key, "fail", "key"),
        "early": (ca.server("early.example", starts_days=2, days=60, stem="early"), None, "fail", "early"),
    }
    for name, (server, key, result, word) in cases.items():
        code, found = doctor(BGW_TLS_CERT=server.cert, BGW_TLS_KEY=key or server.key)
        assert word in said(found, "certificates", result), (name, found)
        assert code == (1 if result == "fail" else 0)
    code, found = doctor(BGW_TLS_CERT=tmp_path / "none.pem", BGW_TLS_KEY=tmp_path / "none.key")
    assert code == 1 and "none" in said(found, "certificates", "fail")
    good = ca.server("good.example", days=90, stem="good")
    code, found = doctor(BGW_TLS_CERT=good.cert, BGW_TLS_KEY=good.key, BGW_TLS_CLIENT_AUTH="required",
                         BGW_TLS_CLIENT_CA=tmp_path / "no-ca.pem")
    assert code == 1 and "no-ca.pem" in said(found, "certificates", "fail")


@contextlib.contextmanager
def web_server(document, status=200):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *unused):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield "http://127.0.0.1:%d/keys" % server.server_port
    finally:
        server.shutdown()
        server.server_close()


def test_doctor_fetches_the_key_set_and_tries_its_keys(tmp_path):
    document = key_set(Key("ES256", "k1"), Key("EdDSA", "k2"))
    path = tmp_path / "jwks.json"
    path.write_bytes(document)
    with web_server(document) as url:
        for source in (url, path):
            code, found = doctor(BGW_JWT_JWKS=source)
            assert code == 0 and "2 keys" in said(found, "token keys", "ok"), found
    for status, body, word in ((500, b"{}", "500"), (200, b"<html>", "no key"), (200, b'{"keys":[]}', "no key")):
        with web_server(body, status) as url:
            code, found = doctor(BGW_JWT_JWKS=url)
            assert code == 1 and word in said(found, "token keys", "fail"), found
    code, found = doctor(BGW_JWT_JWKS=url)  # the server has gone
    assert code == 1 and url in said(found, "token keys", "fail")
    code, found = doctor(BGW_JWT_JWKS=tmp_path / "none.json")
    assert code == 1 and "none.json" in said(found, "token keys", "fail")
    code, found = doctor(BGW_JWT_JWKS="http://192.0.2.1/keys")
    assert code == 1 and "loopback" in said(found, "token keys", "fail")


def test_doctor_tries_secrets_and_public_keys(tmp_path):
    code, found = doctor(BGW_JWT_SECRET="short")
    assert code == 1 and "short" not in said(found, "token keys", "fail")
    pem = tmp_path / "key.pem"
    pem.write_text(Key("RS256").pem)
    code, found = doctor(BGW_JWT_SECRET="", BGW_JWT_PUBLIC_KEY=pem)
    assert code == 0 and "BGW_JWT_AUDIENCE" in said(found, "token keys", "warn")
    assert "BGW_RESUME_SECRET" in said(found, "resume secret", "warn")
    pem.write_text("-----BEGIN PUBLIC KEY-----\nbm9uc2Vuc2U=\n-----END PUBLIC KEY-----\n")
    code, found = doctor(BGW_JWT_PUBLIC_KEY=pem)
    assert code == 1 and "BGW_JWT_PUBLIC_KEY" in said(found, "token keys", "fail")


def test_doctor_tells_too_few_descriptors():
    code, found = doctor(BGW_CONNECTIONS_MAX=10000000)
    assert code == 1 and "BGW_CONNECTIONS_MAX" in said(found, "descriptors", "fail")


# ---- Redis and the origin ----

def test_doctor_asks_redis_and_the_origin_as_the_gateway_would_and_writes_nothing():
    with Redis(user="gateway", password="not-a-guess") as redis, Origin() as origin:
        code, found = doctor(LEDGER_INTERNAL=origin.url, BGW_ORIGIN_TIMEOUT_MS=4500, **redis.settings)
        assert results(found, "redis") == ["ok"] and results(found, "origin") == ["ok"], found
        assert origin.calls() == 1
        assert redis.call("DBSIZE") == 0
    code, found = doctor(LEDGER_INTERNAL=origin.url, **redis.settings)
    assert code == 1 and results(found, "redis") == ["fail"] and results(found, "origin") == ["fail"]


def test_doctor_finds_a_query_that_does_not_work_and_a_redis_that_refuses_us():
    with Postgres() as db:
        code, found = doctor(BGW_ORIGIN_PG=db.uri, BGW_ORIGIN_TIMEOUT_MS=4500)
        assert results(found, "origin") == ["ok"], found
        code, found = doctor(BGW_ORIGIN_PG=db.uri, BGW_ORIGIN_PG_QUERY="select 1 from nothing where $1=$2 and $3=''")
        assert code == 1 and "BGW_ORIGIN_PG" in said(found, "origin", "fail")
    with Redis(user="gateway", password="not-a-guess") as redis:
        code, found = doctor(REDIS=redis.url.replace("not-a-guess", "a-guess"))
        assert code == 1 and results(found, "redis") == ["fail"]
    code, found = doctor(REDIS="redis://[nonsense")
    assert code in (1, 3), found


def test_doctor_says_that_there_is_nobody_but_the_stream():
    _, found = doctor()
    assert results(found, "origin") == ["ok"] and "redis" not in found
