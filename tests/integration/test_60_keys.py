# SPDX-License-Identifier: Apache-2.0
"""The keys of tokens: where they come from, which algorithm they are bound to, and what happens when
their server is down, slow, lying, or the target of a flood."""

import asyncio
import itertools
import json
import os
import pathlib
import signal
import socket
import statistics
import threading
import time

import pytest

from harness.certs import Authority, replace
from harness.gateway import Gateway
from harness.handshake import knock
from harness.jwks import KeySetServer, new_keys
from harness.kafka import Feed
from harness.native import Closed, Native
from harness.tokens import ALGS, Key, b64, compact, claims_of, key_set, sign
from harness.wait import until, until_async

DEADLINE_S = 5  # of authentication, by default
COOLDOWN_S = 1  # of key sets, the shortest there is


def run(coroutine):
    return asyncio.run(coroutine)


def with_keys(server, wait=True, **more):
    """A gateway that has nothing but this key set, and asks for it as often as it is allowed to."""
    settings = dict(BGW_JWT_SECRET="", BGW_JWT_JWKS=getattr(server, "url", server), BGW_JWKS_COOLDOWN_S=COOLDOWN_S,
                    BGW_RESUME_SECRET="resume-secret-0123456789abcdef-0123456789")
    return Gateway(wait=wait, **{**settings, **more})


def addresses(gateway):
    """Of a gateway that is not ready yet: from its log."""
    def started():
        assert gateway.proc.poll() is None, gateway.log_text()[-3000:]
        for line in gateway.log_text().splitlines():
            if '"event":"started"' in line:
                return json.loads(line)
        return None
    line = until(started, 30, "the gateway to start")
    gateway.info = {k: line[k] for k in ("listen", "admin", "kafka")}
    return gateway


def fetches(gateway, result):
    return gateway.metrics().get(f'bgw_jwks_fetches_total{{result="{result}"}}', 0)


async def cooldown_over():
    """After a fetch that was seen to end: a key that is not known is asked for again. Nothing outside tells when that is."""
    await asyncio.sleep(COOLDOWN_S + 0.1)


def not_ready_because(gateway, words):
    """Kafka may be another reason, for a moment."""
    until(lambda: words in gateway.http("/readyz?verbose", admin=True)[2], what=f"/readyz to say: {words}")
    assert gateway.http("/readyz")[0] == 503


def accepted(gateway, token):
    answer = run(knock(gateway, token))
    assert answer.status == 101, answer
    return answer


def refused(gateway, token, status=401, code=None):
    answer = run(knock(gateway, token))
    assert answer.status == status, answer
    assert code is None or answer.code == code, answer
    return answer


# ---- what is accepted ----

@pytest.mark.parametrize("scheme", ["http", "https"])
def test_tokens_of_every_algorithm_in_a_fetched_set_open_a_session(scheme, tmp_path):
    keys, tls, more = new_keys(), None, {}
    if scheme == "https":
        ca = Authority(tmp_path)
        tls, more = ca.serving(ca.server("127.0.0.1")), {"BGW_JWT_JWKS_CA": ca.cert}

    async def go(g):
        feed = Feed(g.bootstrap, readers=[g])
        feed.put("A", 7)
        feed.flush()
        for key in keys.values():
            async with Native(g, key.token(["A"])) as c:
                await c.sub("A")
                assert c.balance("A") == 7
            async with Native(g, key.token(["A"]), header=False) as c:
                await c.expect("hello")
    with KeySetServer(*keys.values(), tls=tls) as server, with_keys(server, **more) as g:
        run(go(g))
        assert fetches(g, "ok") == 1 and server.count == 1
        assert g.metrics()["bgw_jwks_keys"] == 4


@pytest.mark.parametrize("alg", ALGS)
def test_a_configured_public_key_verifies_and_is_no_secret(alg, tmp_path):
    key, other = Key(alg), Key(alg)
    file = pathlib.Path(tmp_path, "public.pem")
    file.write_text(key.pem)
    value = file if alg in ("RS256", "EdDSA") else key.pem  # a file, or the text itself
    with Gateway(BGW_JWT_SECRET="", BGW_JWT_PUBLIC_KEY=value, BGW_JWT_ALGS=alg) as g:
        accepted(g, key.token(["A"]))
        refused(g, other.token(["A"]), code="bad_signature")
        for secret in (key.pem, key.pem.strip()):  # "the secret is the public key"
            refused(g, sign(claims_of(["A"]), secret=secret), code="token_unsupported")
        refused(g, compact({"alg": "none"}, claims_of(["A"]), lambda data: b""))


def test_an_rsa_key_serves_the_one_algorithm_that_it_is_bound_to():
    key = Key("RS256")
    for bound, free in (("PS256", "RS256"), ("RS256", "PS256")):
        with Gateway(BGW_JWT_SECRET="", BGW_JWT_PUBLIC_KEY=key.pem, BGW_JWT_ALGS=bound) as g:
            accepted(g, key.token(["A"], alg=bound))
            refused(g, key.token(["A"], alg=free), code="token_unsupported")
    mixed = Key("PS256", "k")
    with KeySetServer(mixed) as server, with_keys(server) as g:
        accepted(g, mixed.token(["A"]))
        refused(g, mixed.token(["A"], alg="RS256"))
        # the header says what the key is bound to, and the signature is of the other kind
        refused(g, compact({"alg": "PS256", "kid": "k"}, claims_of(["A"]), lambda d: mixed.signature(d, "RS256")))


def test_a_key_of_the_set_is_no_secret_either():
    keys = new_keys()
    with KeySetServer(*keys.values()) as server, with_keys(server) as g:
        for key in keys.values():
            header = {"alg": "HS256", "kid": key.kid}
            for secret in (key.pem, json.dumps(key.jwk()), server.document):
                refused(g, sign(claims_of(["A"]), secret=secret, header=header))


def test_a_secret_and_a_key_set_serve_side_by_side():
    key = Key("ES256", "k")
    with KeySetServer(key) as server, with_keys(server, BGW_JWT_SECRET="s" * 40) as g:
        accepted(g, key.token(["A"]))
        accepted(g, sign(claims_of(["A"]), secret="s" * 40))


# ---- files ----

def test_a_key_file_is_read_again_on_sighup(tmp_path):
    old, new = Key("ES256", "old"), Key("EdDSA", "new")
    file = pathlib.Path(tmp_path, "keys.json")
    file.write_bytes(key_set(old))
    with with_keys(file, BGW_JWKS_COOLDOWN_S=3600) as g:
        accepted(g, old.token(["A"]))
        refused(g, new.token(["A"]))
        replace(file, key_set(new))
        g.proc.send_signal(signal.SIGHUP)
        until(lambda: fetches(g, "ok") == 2, what="the file to be read again")
        accepted(g, new.token(["A"]))
        refused(g, old.token(["A"]))
        replace(file, b'{"keys":[')  # half of it
        g.proc.send_signal(signal.SIGHUP)
        until(lambda: fetches(g, "unusable") == 1, what="the bad file to be counted")
        accepted(g, new.token(["A"]))


# ---- rotation ----

def test_keys_rotate_under_load_and_nobody_notices():
    keys = [Key(alg, f"k{i}") for i, alg in enumerate(("ES256", "EdDSA", "RS256", "ES256"))]
    in_use, done, outcomes = [keys[0]], False, []

    async def connect(g):
        while not done:
            for key in list(in_use):
                answer = await knock(g, key.token(["A"]))
                outcomes.append((key.kid, answer))

    async def go(g, server):
        nonlocal done
        feed = Feed(g.bootstrap)
        async with Native(g, keys[0].token(["A"])) as watcher:
            feed.put("A", 0)
            await watcher.sub("A")
            load = [asyncio.create_task(connect(g)) for _ in range(4)]
            for i, new in enumerate(keys[1:], 1):
                old = keys[i - 1]
                await cooldown_over()
                # published, then used beside the old one, which then goes: what issuers do
                server.publish(old, new)
                in_use[:] = [old, new]
                before = len(outcomes)
                await until_async(lambda b=before, k=new.kid: sum(o[0] == k for o in outcomes[b:]) >= 20, 30, "new tokens")
                in_use[:] = [new]
                server.publish(new)
                feed.put("A", i)
                await watcher.until(lambda n=i: watcher.balance("A") == n)
            done = True
            await asyncio.gather(*load)
            watcher.check()
    with KeySetServer(keys[0]) as server, with_keys(server, BGW_JWKS_REFRESH_S=3600) as g:
        run(go(g, server))
        bad = [o for o in outcomes if o[1].status != 101]
        assert not bad, bad[:5]
        assert {kid for kid, _ in outcomes} == {k.kid for k in keys}
        assert server.count == len(keys)  # the start, and once for each new key


def test_a_hello_and_a_refresh_wait_for_a_key_that_is_being_fetched():
    keys = [Key("ES256", f"k{i}") for i in range(3)]

    async def publish(server, *some):
        await cooldown_over()
        server.answer(key_set(*some), delay=0.3)

    async def go(g, server):
        feed = Feed(g.bootstrap)
        feed.put("A", 1)
        await publish(server, *keys[:2])
        async with Native(g, keys[1].token(["A"]), header=False) as c:
            await c.expect("hello")
            await c.sub("A")
            await publish(server, *keys[1:])
            ident = await c.command("auth", token=keys[2].token(["A"]))
            await c.expect("ok", id=ident)
            ident = await c.command("auth", token=Key("ES256", "unknown").token(["A"]))
            assert (await c.expect("err", id=ident))["code"] == "bad_signature"
            feed.put("A", 2)
            await c.until(lambda: c.balance("A") == 2)
            c.check()
        async with Native(g, Key("ES256", "unknown").token(["A"]), header=False) as c:
            with pytest.raises(Closed) as closed:
                await c.drain(DEADLINE_S + 5)
            assert closed.value.code == 3500
    with KeySetServer(keys[0]) as server, with_keys(server, BGW_JWKS_REFRESH_S=3600, BGW_JWKS_TIMEOUT_MS=4500) as g:
        run(go(g, server))


# ---- down ----

def test_without_keys_at_the_start_it_is_not_ready_until_the_server_is_up():
    key = Key("ES256", "k")
    with KeySetServer(key, up=False) as server, with_keys(server, wait=False, BGW_AUTH_DEADLINE_S=1) as g:
        addresses(g)
        until(lambda: fetches(g, "failed") >= 1, what="a failed fetch")
        not_ready_because(g, "the key set has not been read yet: the server takes no connection")
        answer = refused(g, key.token(["A"]), 503, "key_unavailable")
        assert 0.9 < answer.seconds < DEADLINE_S
        assert not g.ready_path.exists()
        server.up()
        g.wait_ready()
        accepted(g, key.token(["A"]))
        until(lambda: g.http("/readyz")[0] == 200, what="ready")


def test_a_server_of_another_authority_is_not_believed_until_its_own_is_configured(tmp_path):
    right, wrong, key = Authority(tmp_path / "right"), Authority(tmp_path / "wrong"), Key("ES256", "k")
    trusted = pathlib.Path(tmp_path, "ca.pem")
    replace(trusted, wrong.cert.read_bytes())
    with KeySetServer(key, tls=right.serving(right.server("127.0.0.1"))) as server, \
            with_keys(server, wait=False, BGW_JWT_JWKS_CA=trusted) as g:
        addresses(g)
        until(lambda: fetches(g, "failed") >= 1, what="a failed fetch")
        not_ready_because(g, "certificate is not trusted")
        assert server.count == 0  # nothing was even asked for
        replace(trusted, right.cert.read_bytes())
        g.wait_ready()
        accepted(g, key.token(["A"]))


def test_a_certificate_of_another_name_is_not_believed(tmp_path):
    ca = Authority(tmp_path)
    with KeySetServer(Key("ES256", "k"), tls=ca.serving(ca.server("elsewhere.example"))) as server, \
            with_keys(server, wait=False, BGW_JWT_JWKS_CA=ca.cert) as g:
        addresses(g)
        until(lambda: fetches(g, "failed") >= 1, what="a failed fetch")
        assert server.count == 0 and not g.ready_path.exists()


def test_the_last_good_keys_serve_for_a_bounded_time_and_recovery_needs_nobody():
    key, max_age_s, margin_s = Key("ES256", "k"), 9, 5

    async def go(g, server):
        feed = Feed(g.bootstrap)
        feed.put("A", 1)
        async with Native(g, key.token(["A"])) as c:
            await c.sub("A")
            until(lambda: fetches(g, "ok") >= 2, what="a regular fetch")
            server.down()
            down_at = time.monotonic()
            while time.monotonic() < down_at + max_age_s - margin_s:  # the last good one is a refresh older, or a little more
                assert (await knock(g, key.token(["A"]))).status == 101
            assert g.http("/readyz")[0] == 200

            async def too_old():
                return (await knock(g, key.token(["A"]))).status == 503
            while not await too_old():
                assert time.monotonic() < down_at + max_age_s + 6
            assert time.monotonic() > down_at + max_age_s - margin_s
            answer = await knock(g, key.token(["A"]))
            assert (answer.status, answer.code) == (503, "key_unavailable")
            not_ready_because(g, "takes no connection")
            feed.put("A", 2)  # who is in stays in
            await c.until(lambda: c.balance("A") == 2)
            server.up()
            await until_async(lambda: g.http("/readyz")[0] == 200, 20, "recovery")
            assert (await knock(g, key.token(["A"]))).status == 101
            feed.put("A", 3)
            await c.until(lambda: c.balance("A") == 3)
            c.check()
    settings = {"BGW_JWKS_MAX_AGE_S": max_age_s, "BGW_JWKS_REFRESH_S": 1, "BGW_AUTH_DEADLINE_S": 1}
    with KeySetServer(key) as server, with_keys(server, **settings) as g:
        run(go(g, server))


# ---- proxies ----

def test_another_machine_is_reached_through_the_proxy_and_a_loopback_address_never(tmp_path):
    asked = []

    def proxy(listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(4096).decode())
                connection.sendall(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n")

    ca, key = Authority(tmp_path), Key("ES256", "k")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=proxy, args=(listener,), daemon=True).start()
        env = {name: f"http://127.0.0.1:{listener.getsockname()[1]}" for name in ("HTTPS_PROXY", "http_proxy", "https_proxy")}
        env |= {"NO_PROXY": "", "no_proxy": ""}
        with KeySetServer(key, tls=ca.serving(ca.server("127.0.0.1"))) as server, \
                with_keys(server, BGW_JWT_JWKS_CA=ca.cert, **env) as g:
            accepted(g, key.token(["A"]))
        with KeySetServer(key) as server, with_keys(server, **env) as g:
            accepted(g, key.token(["A"]))
        assert not asked
        with with_keys("https://idp.example/keys", wait=False, **env) as g:
            addresses(g)
            until(lambda: asked, what="the proxy to be asked")
            assert asked[0].startswith("CONNECT idp.example:443 HTTP/1.1\r\n"), asked
            not_ready_because(g, "the proxy refuses to connect")
        listener.shutdown(socket.SHUT_RDWR)


# ---- slow ----

def test_a_slow_server_delays_only_who_needs_its_answer():
    key = Key("ES256", "k")

    async def go(g, server):
        server.answer(server.document, delay=20)
        while server.count == 1:  # in the cooldown of the first fetch a stranger is refused at once
            stranger = asyncio.create_task(knock(g, Key("ES256", "unknown").token(["A"])))
            await until_async(lambda waits=stranger: waits.done() or server.count == 2, what="the slow fetch")
        assert server.count == 2
        for _ in range(10):
            answer = await knock(g, key.token(["A"]))
            assert answer.status == 101 and answer.seconds < 3, answer
        assert not stranger.done()
        answer = await stranger
        assert (answer.status, answer.code) == (401, "bad_signature") and answer.seconds < 12
        assert fetches(g, "failed") == 1
        assert "jwks" in g.http("/readyz?verbose", admin=True)[2]  # degraded, not unready
        assert g.http("/readyz")[0] == 200
    with KeySetServer(key) as server, with_keys(server, BGW_JWKS_TIMEOUT_MS=5000, BGW_JWKS_REFRESH_S=3600,
                                                    BGW_AUTH_DEADLINE_S=12) as g:
        run(go(g, server))


def test_a_slow_server_at_the_start_is_waited_for():
    key = Key("ES256", "k")
    with KeySetServer(key) as server:
        server.answer(server.document, delay=20)
        with with_keys(server, wait=False) as g:
            addresses(g)
            until(lambda: fetches(g, "failed") >= 1, what="a failed fetch")
            not_ready_because(g, "no whole answer came in time")
            server.publish(key)
            g.wait_ready()
            accepted(g, key.token(["A"]))


def test_a_stop_does_not_wait_for_a_slow_server():
    key = Key("ES256", "k")
    with KeySetServer(key) as server:
        server.answer(server.document, delay=60)
        with with_keys(server, wait=False, BGW_JWKS_TIMEOUT_MS=60000) as g:
            addresses(g)
            until(lambda: server.count == 1, what="the fetch")
            began = time.monotonic()
            assert g.stop() == 0
            assert time.monotonic() - began < 14


# ---- lying ----

LIES = {
    "html": b"<!doctype html><title>Sign in</title>",
    "nothing": b"",
    "no_keys": b'{"keys":[]}',
    "no_object": b"[]",
    "half": b'{"keys":[{"kty":"EC","crv":"P-256"',
    "twice": b'{"keys":[],"keys":[]}',
    "with_its_private_part": json.dumps({"keys": [Key("ES256", "k").jwk(d=b64(b"\1" * 32))]}).encode(),
    "not_on_the_curve": json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k", "x": b64(b"\1" * 32), "y": b64(b"\1" * 32)}]}).encode(),
    "small_rsa": json.dumps({"keys": [{"kty": "RSA", "kid": "k", "n": b64(b"\xff" * 64), "e": "AQAB"}]}).encode(),
}


def test_a_lying_server_leaves_the_old_keys_in_place():
    key, forged = Key("ES256", "k"), Key("ES256", "k")
    with KeySetServer(key) as server, with_keys(server, BGW_JWKS_REFRESH_S=3600) as g:
        for lie in LIES.values():
            server.answer(lie)
            asked, before = server.count, fetches(g, "unusable")  # it is asked by itself too, sooner or later
            g.proc.send_signal(signal.SIGHUP)
            until(lambda n=asked, b=before: server.count > n and fetches(g, "unusable") > b, what=f"the lie {lie[:40]} to be counted")
            accepted(g, key.token(["A"]))
            refused(g, forged.token(["A"]))
        for body, status in ((b'{"keys":[]}' + b" " * 300000, 200), (key_set(forged), 500), (key_set(forged), 302)):
            server.answer(body, status)
            asked, before = server.count, fetches(g, "failed")
            g.proc.send_signal(signal.SIGHUP)
            until(lambda n=asked, b=before: server.count > n and fetches(g, "failed") > b, what=f"status {status} to be counted")
            accepted(g, key.token(["A"]))
            refused(g, forged.token(["A"]))
        server.publish(forged)  # then it is the issuer's word
        g.proc.send_signal(signal.SIGHUP)
        until(lambda: fetches(g, "ok") >= 2, what="the new set")
        accepted(g, forged.token(["A"]))


# ---- flood ----

def test_a_flood_of_unknown_key_ids_is_one_fetch_a_cooldown_and_clients_notice_nothing():
    flood, cooldown_s, key = 2000, 2, Key("ES256", "k")

    def strange(i):
        return compact({"alg": "ES256", "kid": f"nobody-{i}"}, claims_of(["A"]), lambda data: os.urandom(64))

    async def pour(g, first, gaps):
        answers = []
        for i in itertools.count(first, 50):
            if i >= flood and len(gaps) > 5:  # it lasts until the client was watched for a while
                return answers
            answers.append(await knock(g, strange(i)))

    async def go(g, server):
        feed, began, gaps = Feed(g.bootstrap), time.monotonic(), []
        feed.put("A", 0)
        async with Native(g, key.token(["A"])) as c:
            await c.sub("A")
            stuck = asyncio.gather(*(pour(g, i, gaps) for i in range(50)))
            n = 0
            while not stuck.done():
                n += 1
                sent = time.monotonic()
                feed.put("A", n)
                await c.until(lambda want=n: c.balance("A") == want)
                gaps.append(time.monotonic() - sent)
                assert (await knock(g, key.token(["A"]))).status == 101
            answers = [a for part in await stuck for a in part]
            c.check()
        took = time.monotonic() - began
        assert len(answers) >= flood and {a.status for a in answers} == {401}, {a.status for a in answers}
        assert max(a.seconds for a in answers) < DEADLINE_S + 5
        assert server.count <= 1 + took / cooldown_s + 1, (server.count, took)
        pauses = [b - a for a, b in zip(server.requests, server.requests[1:])]
        assert all(p > cooldown_s * 0.95 for p in pauses), pauses
        assert len(gaps) > 5 and max(gaps) < 6 and statistics.median(gaps) < 2, (len(gaps), max(gaps))
    with KeySetServer(key) as server:
        with with_keys(server, BGW_JWKS_COOLDOWN_S=cooldown_s, BGW_JWKS_REFRESH_S=3600, BGW_JWKS_TIMEOUT_MS=3000) as g:
            run(go(g, server))
            lines = g.log_text().count("\n")
        assert lines < 300, "the log was flooded"


def test_an_unknown_key_id_while_the_server_is_down_gets_its_answer_within_the_deadline():
    key = Key("ES256", "k")
    with KeySetServer(key) as server, with_keys(server) as g:
        server.down()
        for _ in range(3):
            answer = refused(g, Key("ES256", "unknown").token(["A"]), 401, "bad_signature")
            assert answer.seconds < DEADLINE_S


# ---- configuration ----

@pytest.mark.parametrize("url, words", [("http://idp.example/keys", "use https://"),
                                        ("https://user:secret@idp.example/keys", "logs"),
                                        ("ftp://127.0.0.1/keys", "https://")])
def test_an_address_that_cannot_be_trusted_is_a_configuration_error(url, words):
    ends_with_exit_3("BGW_JWT_JWKS", words, url)


def ends_with_exit_3(key, words, url, **more):
    """Ends with exit 3 and a sentence that names the key."""
    g = with_keys(url, wait=False, **more)
    try:
        assert g.proc.wait(30) == 3
        log = g.log_text()
        assert key in log and words in log, log
    finally:
        g.ended = True
        g.proc.kill()
        g.log.close()
        g.dir.cleanup()


def test_keys_that_would_be_too_old_before_the_next_fetch_are_a_configuration_error(tmp_path):
    ends_with_exit_3("BGW_JWKS_MAX_AGE_S", "shorter refresh", str(tmp_path / "keys.json"), BGW_JWKS_MAX_AGE_S=60, BGW_JWKS_REFRESH_S=61)
