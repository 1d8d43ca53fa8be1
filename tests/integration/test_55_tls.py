# SPDX-License-Identifier: Apache-2.0
"""TLS as the shipped gateway speaks it: certificates by name, versions, a reload that drops nobody, client
certificates, both ports, and a start that refuses what would not work."""

import asyncio
import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import urllib.request

import pytest

from harness.certs import Authority
from harness.gateway import Gateway, clean_env
from harness.kafka import Feed
from harness.native import Native
from harness.tokens import SECRET, token
from harness.wait import until


def everyone():
    return token(everything=True)


def reload(gateway, result="ok"):
    name = f'bgw_reloads_total{{result="{result}"}}'
    before = gateway.metrics()[name]
    gateway.proc.send_signal(signal.SIGHUP)
    until(lambda: gateway.metrics()[name] == before + 1, 10, f"a reload that is {result}")


def shake(gateway, context, name="localhost"):
    """(certificate shown, version) of one handshake."""
    host, port = gateway.listen.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as plain, \
            context.wrap_socket(plain, server_hostname=name) as s:
        return s.getpeercert(True), s.version()


def shown(ca, gateway, name="localhost", context=None):
    return hashlib.sha256(shake(gateway, context or ca.trusting(), name)[0]).hexdigest()


def wss(gateway):
    return f"wss://localhost:{gateway.listen.rsplit(':', 1)[1]}/ws"


def test_a_reload_shows_the_new_certificate_and_drops_nobody(tmp_path):
    ca = Authority(tmp_path)
    first = ca.server()

    async def go(g):
        feed = Feed(g.bootstrap, g.topic, readers=[g])
        feed.put("A", 1)
        feed.flush()
        async with Native(wss(g), everyone(), ssl=ca.trusting()) as old:
            await old.sub("A")
            second = ca.server()  # the same files, another key
            assert shown(ca, g) == first.fingerprint
            reload(g)
            assert shown(ca, g) == second.fingerprint != first.fingerprint
            feed.put("A", 2)
            feed.flush()
            await old.until(lambda: old.balance("A") == 2)
            async with Native(wss(g), everyone(), ssl=ca.trusting()) as new:
                await new.sub("A")
                assert new.balance("A") == 2
            # a key that is not the certificate's: nothing changes, and the log says which file
            second.key.write_bytes(ca.key.read_bytes())
            reload(g, "refused")
            said = [json.loads(line) for line in g.log_text().splitlines() if "reload_refused" in line]
            assert str(second.key) in said[-1]["reason"] or str(second.cert) in said[-1]["reason"], said
            assert shown(ca, g) == second.fingerprint
            feed.put("A", 3)
            feed.flush()
            await old.until(lambda: old.balance("A") == 3)
            old.check()
    with Gateway(BGW_TLS_CERT=first.cert, BGW_TLS_KEY=first.key) as g:
        asyncio.run(go(g))
        assert g.metrics()['bgw_tls_handshakes_total{result="ok"}'] >= 4


def test_each_name_gets_its_own_certificate_and_strangers_the_first(tmp_path):
    ca = Authority(tmp_path)
    main, other, wild = ca.server(), ca.server("b.example"), ca.server("*.c.example")
    files = {"BGW_TLS_CERT": ",".join(str(c.cert) for c in (main, other, wild)),
             "BGW_TLS_KEY": ",".join(str(c.key) for c in (main, other, wild))}
    with Gateway(**files) as g:
        assert shown(ca, g, "localhost") == main.fingerprint
        assert shown(ca, g, "b.example") == other.fingerprint
        assert shown(ca, g, "x.c.example") == wild.fingerprint
        unchecked = ca.trusting()
        unchecked.check_hostname = False
        for name in ("c.example", "x.y.c.example", "nobody.example"):
            assert shown(ca, g, name, unchecked) == main.fingerprint


@pytest.mark.parametrize("least, refused", [("1.2", ssl.TLSVersion.TLSv1_1), ("1.3", ssl.TLSVersion.TLSv1_2)])
def test_older_versions_are_refused(tmp_path, least, refused):
    ca = Authority(tmp_path)
    server = ca.server()
    with Gateway(BGW_TLS_CERT=server.cert, BGW_TLS_KEY=server.key, BGW_TLS_MIN=least) as g:
        old = ca.trusting()
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = refused
        with pytest.raises((ssl.SSLError, ConnectionError)):
            shake(g, old)
        assert shake(g, ca.trusting())[1] == "TLSv1.3"
        until(lambda: g.metrics()['bgw_tls_handshakes_total{result="failed"}'] == 1, 5, "the failure to be counted")


def test_required_client_certificates_are_required_and_must_be_ours(tmp_path):
    ca, foreign = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs", "Other Authority")
    server = ca.server()

    def answers(client):
        """A TLS 1.3 client learns of a refused certificate when it reads."""
        host, port = g.listen.rsplit(":", 1)
        with socket.create_connection((host, int(port)), 10) as plain, \
                ca.trusting(client).wrap_socket(plain, server_hostname="localhost") as s:
            s.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            return s.recv(100).startswith(b"HTTP/1.1 200")
    with Gateway(BGW_TLS_CERT=server.cert, BGW_TLS_KEY=server.key, BGW_TLS_CLIENT_CA=ca.cert,
                 BGW_TLS_CLIENT_AUTH="required") as g:
        assert answers(ca.client("teller-1"))
        for bad in (None, foreign.client("teller-2"), ca.client("teller-3", days=-1)):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                answers(bad)


def test_the_admin_port_speaks_tls_when_asked(tmp_path):
    ca = Authority(tmp_path)
    server = ca.server()
    with Gateway(BGW_TLS_CERT=server.cert, BGW_TLS_KEY=server.key, BGW_ADMIN_TLS="on") as g:
        address = f"https://localhost:{g.info['admin'].rsplit(':', 1)[1]}"

        def ask(path, body=None):
            request = urllib.request.Request(address + path, body, {"Content-Type": "application/json"} if body else {})
            with urllib.request.urlopen(request, timeout=10, context=ca.trusting()) as reply:
                return reply.read().decode()
        assert "bgw_tls_handshakes_total" in ask("/metrics")
        assert json.loads(ask("/revocations", b'{"jti":"stolen"}')) == {"applied": True, "recorded": True}
        with pytest.raises(OSError):
            urllib.request.urlopen(f"http://{g.info['admin']}/metrics", timeout=5)


@pytest.mark.parametrize("what, words", [
    ("no key", "BGW_TLS_KEY"), ("other key", "key"), ("expired", "expired"), ("no file", "cannot be read"),
    ("no authority", "BGW_TLS_CLIENT_CA"), ("admin only", "BGW_TLS_CERT"), ("groups", "BGW_TLS_GROUPS")])
def test_a_start_that_could_not_work_is_refused_with_the_remedy(tmp_path, what, words):
    ca = Authority(tmp_path)
    server = ca.server(days=-1) if what == "expired" else ca.server()
    env = {"BGW_TLS_CERT": server.cert, "BGW_TLS_KEY": server.key}
    env.update({"no key": {"BGW_TLS_KEY": ""}, "other key": {"BGW_TLS_KEY": ca.key}, "expired": {},
                "no file": {"BGW_TLS_CERT": tmp_path / "none.pem"}, "no authority": {"BGW_TLS_CLIENT_AUTH": "required"},
                "admin only": {"BGW_TLS_CERT": "", "BGW_TLS_KEY": "", "BGW_ADMIN_TLS": "on"},
                "groups": {"BGW_TLS_GROUPS": "X25519:nonsense"}}[what])
    done = subprocess.run([os.environ["BGW_BIN"], "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
                          env=clean_env(KAFKA_BOOTSTRAP="embedded", BGW_JWT_SECRET=SECRET, **env),
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 3, done
    assert words in done.stderr, done.stderr
