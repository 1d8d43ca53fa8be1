# SPDX-License-Identifier: Apache-2.0
"""What an operator does and sees: the service manager's word, SIGHUP, the audit log, what no log says."""

import asyncio
import contextlib
import ctypes
import errno
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from harness.gateway import Gateway
from harness.handshake import knock
from harness.kafka import Feed
from harness.native import Closed, Native, fnv64
from harness.tokens import SECRET, token
from harness.wait import until

TOP = pathlib.Path(__file__).parents[2]
A, B = "msisdn::2348100000001", "msisdn::2348100000002"


# ---- a service manager ----

class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.told = []

    def drain(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.told.append(self.socket.recv(4096, socket.MSG_DONTWAIT).decode())
        return self.told

    def statements(self):
        return [line for message in self.drain() for line in message.split("\n")]

    def wait_for(self, statement, count=1, timeout=20):
        until(lambda: self.statements().count(statement) >= count, timeout, f"{statement} ({count}); told {self.told}")


@pytest.fixture
def manager(tmp_path):
    return Manager(tmp_path)


def log_lines(gateway, event):
    found = []
    for line in gateway.log_text().splitlines():
        if f'"{event}"' in line and line.startswith("{"):
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return [line for line in found if line.get("event") == event]


def reload(gateway, result="ok"):
    """SIGHUP, and its end as the metrics tell it."""
    name = f'bgw_reloads_total{{result="{result}"}}'
    before = gateway.metrics()[name]
    gateway.proc.send_signal(signal.SIGHUP)
    until(lambda: gateway.metrics()[name] == before + 1, 10, f"a reload that is {result}")


def test_a_service_manager_is_told_ready_reloading_and_stopping(manager):
    with Gateway(NOTIFY_SOCKET=manager.path) as g:
        manager.wait_for("READY=1")
        assert manager.told[0].startswith("READY=1\nSTATUS="), manager.told
        before = time.clock_gettime(time.CLOCK_MONOTONIC)
        reload(g)
        manager.wait_for("RELOADING=1")
        manager.wait_for("READY=1", 2)
        message = next(m for m in manager.told if m.startswith("RELOADING=1"))
        stamp = int(re.search(r"^MONOTONIC_USEC=(\d+)$", message, re.M)[1]) / 1e6
        assert before <= stamp <= time.clock_gettime(time.CLOCK_MONOTONIC)
        assert "WATCHDOG=1" not in manager.statements()  # nobody asked
        assert g.stop() == 0
        manager.wait_for("STOPPING=1")
        order = [s for s in manager.statements() if s in ("READY=1", "RELOADING=1", "STOPPING=1")]
        assert order == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]


def test_it_is_not_ready_before_its_broker_is(manager):
    with Gateway(kafka="127.0.0.1:1", wait=False, NOTIFY_SOCKET=manager.path, WATCHDOG_USEC=200000) as g:
        manager.wait_for("WATCHDOG=1")  # alive
        assert "READY=1" not in manager.statements()
        assert g.stop() == 0


def test_watchdog_is_fed_in_time_and_only_by_a_live_process(manager):
    with Gateway(NOTIFY_SOCKET=manager.path, WATCHDOG_USEC=400000) as g:
        start = time.monotonic()
        manager.wait_for("WATCHDOG=1", 6)
        assert time.monotonic() - start < 10  # each 200 ms
        g.proc.send_signal(signal.SIGSTOP)
        try:
            threads = pathlib.Path(f"/proc/{g.proc.pid}/task")
            until(lambda: all((t / "stat").read_text().rsplit(")", 1)[1].split()[0] == "T" for t in threads.iterdir()), 15,
                  "it to stand still")
            fed = manager.statements().count("WATCHDOG=1")
            time.sleep(0.6)  # three of its intervals: a silence cannot be awaited
            assert manager.statements().count("WATCHDOG=1") == fed
        finally:
            g.proc.send_signal(signal.SIGCONT)
        manager.wait_for("WATCHDOG=1", fed + 3)
        assert not log_lines(g, "watchdog_withheld")


class Held:
    """One thread of a process stands still, as if it hung; the others go on. (ptrace, so from one thread of ours.)"""

    SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17

    def __init__(self, pid, name):
        tasks = pathlib.Path(f"/proc/{pid}/task")
        self.tid = next(int(t.name) for t in tasks.iterdir() if (t / "comm").read_text().strip() == name)
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def ptrace(self, request):
        if self.libc.ptrace(request, self.tid, None, None):
            error = ctypes.get_errno()
            if error in (errno.EPERM, errno.ENOSYS):
                pytest.skip("this system does not let us hold a thread")
            raise OSError(error, os.strerror(error))

    def __enter__(self):
        self.ptrace(self.SEIZE)
        self.ptrace(self.INTERRUPT)
        os.waitpid(self.tid, 0x40000000)  # __WALL

    def __exit__(self, *unused):
        self.ptrace(self.DETACH)


@pytest.mark.parametrize("thread", ["bgw-hub", "bgw-shard-0"])
def test_watchdog_is_withheld_while_one_thread_hangs(manager, thread):
    with Gateway(NOTIFY_SOCKET=manager.path, WATCHDOG_USEC=1000000) as g:
        manager.wait_for("WATCHDOG=1", 2)
        with Held(g.proc.pid, thread):
            until(lambda: log_lines(g, "watchdog_withheld"), 15, "the watchdog to be withheld")
            fed = manager.statements().count("WATCHDOG=1")
            until(lambda: len(log_lines(g, "watchdog_withheld")) >= 3, 15, "more of the same")
            assert manager.statements().count("WATCHDOG=1") == fed
        assert thread.startswith(log_lines(g, "watchdog_withheld")[0]["thread"])
        manager.wait_for("WATCHDOG=1", fed + 1)  # it has recovered


def test_a_manager_that_went_away_changes_nothing(tmp_path):
    manager = Manager(tmp_path)
    with Gateway(NOTIFY_SOCKET=manager.path, WATCHDOG_USEC=100000) as g:
        manager.wait_for("WATCHDOG=1")
        manager.socket.close()
        until(lambda: log_lines(g, "notify_failed"), 10, "the log to say so")
        assert g.http("/readyz")[0] == 200


# ---- reload ----

@pytest.fixture
def configured(tmp_path):
    """A gateway with a configuration file: a function that writes it, and one that starts the gateway."""
    path = tmp_path / "bgw.conf"

    def write(**settings):
        path.write_text("".join(f"{k}={v}\n" for k, v in settings.items()))

    def start(**settings):
        return Gateway(args=("--config", str(path)), **settings)
    return write, start


def upgrade_status(gateway, origin):
    host, port = gateway.listen.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as s:
        s.sendall((f"GET /ws HTTP/1.1\r\nHost: {gateway.listen}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                   f"Sec-WebSocket-Protocol: bgw.v1\r\nOrigin: {origin}\r\n\r\n").encode())
        return int(s.recv(4096).split()[1])


def test_sighup_takes_over_origins_log_level_and_limits(configured):
    write, start = configured
    write(BGW_ORIGINS="https://a.example", BGW_LOG_LEVEL="info")

    async def run(g):
        async with Native(g, token([A, B])) as c:
            await c.sub(A)
            assert upgrade_status(g, "https://a.example") == 101
            assert upgrade_status(g, "https://b.example") == 403
            write(BGW_ORIGINS="https://b.example", BGW_LOG_LEVEL="error", BGW_KEYS_MAX="1")
            reload(g)
            until(lambda: upgrade_status(g, "https://b.example") == 101, 5, "the new origin")
            until(lambda: upgrade_status(g, "https://a.example") == 403, 5, "the old one to be gone")
            # the connection has lived through it, and obeys the new limit
            async with asyncio.timeout(15):
                while not (reply := await c.sub(B, live=False))["denied"]:  # its shard takes the limit a moment later
                    await c.expect("ok", id=await c.command("unsub", keys=[B]))
            assert [d["code"] for d in reply["denied"]] == ["too_many_keys"]
            c.check()
    with start() as g:
        asyncio.run(run(g))
        # error alone is written now: of the reload that brings `info` back nothing, of the next something
        size = len(g.log_text())
        write(BGW_LOG_LEVEL="info")
        reload(g)
        reload(g)
        until(lambda: '"reloaded"' in g.log_text()[size:], 5, "the log level to be back")


def test_what_needs_a_restart_is_named_and_keeps_its_value(configured):
    write, start = configured
    write(BGW_FRESH_MS="3000")
    with start() as g:
        write(BGW_FRESH_MS="4000", BGW_PING_S="7")
        reload(g)
        until(lambda: log_lines(g, "reload_needs_restart"), 5, "the key to be named")
        assert [line["key"] for line in log_lines(g, "reload_needs_restart")] == ["BGW_FRESH_MS"]

        async def ping_of_a_new_session():
            async with Native(g, token([A])) as c:
                return (await c.expect("hello"))["ping_s"]
        until(lambda: asyncio.run(ping_of_a_new_session()) == 7, 10, "each shard to take it over")


@pytest.mark.parametrize("settings, word", [
    ({"BGW_KEYS_MAX": "many"}, "BGW_KEYS_MAX"),
    ({"BGW_KEYS_MAXX": "5"}, "BGW_KEYS_MAX"),
    ({"BGW_TRUSTED_PROXIES": "10.0.0.1/8"}, "BGW_TRUSTED_PROXIES"),
    ({"BGW_JWT_PUBLIC_KEY": "/nowhere/key.pem"}, "BGW_JWT_PUBLIC_KEY"),
    ({"BGW_TLS_CERT": "/nowhere/cert.pem", "BGW_TLS_KEY": "/nowhere/key.pem"}, "/nowhere/"),
])
def test_a_bad_file_keeps_everything_and_says_why(configured, settings, word):
    write, start = configured
    write(BGW_ORIGINS="https://a.example")
    with start() as g:
        write(BGW_ORIGINS="https://b.example", **settings)
        reload(g, "refused")
        said = until(lambda: log_lines(g, "reload_refused"), 5, "the log to say so")
        assert word in said[0]["reason"], said
        assert upgrade_status(g, "https://a.example") == 101
        assert upgrade_status(g, "https://b.example") == 403
        write(BGW_ORIGINS="https://b.example")
        reload(g)
        until(lambda: upgrade_status(g, "https://b.example") == 101, 5, "the file, mended")


def test_a_file_that_is_gone_keeps_everything(configured, tmp_path):
    write, start = configured
    write(BGW_ORIGINS="https://a.example")
    with start() as g:
        (tmp_path / "bgw.conf").unlink()
        reload(g, "refused")
        assert upgrade_status(g, "https://a.example") == 101


def test_a_storm_of_reloads_loses_nobody(configured):
    write, start = configured
    write(BGW_PING_S="20")

    async def run(g):
        feed = Feed(g.bootstrap, g.topic)
        async with Native(g, token([A])) as c:
            await c.sub(A)
            for i in range(50):
                write(BGW_PING_S=str(10 + i % 5), BGW_ORIGINS=f"https://{i}.example")
                g.proc.send_signal(signal.SIGHUP)
                feed.put(A, i)
            feed.flush()
            await c.until(lambda: c.balance(A) == 49, what="the last balance")
            c.check()
    with start() as g:
        asyncio.run(run(g))
        until(lambda: g.metrics()['bgw_reloads_total{result="ok"}'] >= 1, 10, "a reload")  # signals of one kind fold
        assert g.metrics()['bgw_reloads_total{result="refused"}'] <= 1  # a file that was half written then


def test_second_sigterm_ends_it_at_once_and_sighup_is_no_second_signal():
    with Gateway(BGW_DRAIN_S=60) as g:
        with socket.create_connection(tuple(g.listen.rsplit(":", 1))) as s:
            s.sendall(b"GET /ws")  # somebody who would keep it for a while
            g.proc.send_signal(signal.SIGTERM)
            until(lambda: log_lines(g, "draining"), 10, "the drain")
            g.proc.send_signal(signal.SIGHUP)
            g.proc.send_signal(signal.SIGTERM)
            start = time.monotonic()
            assert g.proc.wait(10) == 1
            assert time.monotonic() - start < 8
            until(lambda: log_lines(g, "stopped_at_once"), 5, "the log to say so")
            g.ended = True


# ---- the audit log ----

def audit_of(path):
    whole = pathlib.Path(path).read_bytes().rpartition(b"\n")[0]  # the rest is being written
    return [json.loads(line) for line in whole.decode().splitlines()]


def test_audit_says_who_saw_what_and_who_was_refused(tmp_path):
    log = tmp_path / "audit.log"
    raw = []

    async def run(g):
        good = token([A], sub="user-17", jti="token-1", tenant="tnt_demo")
        raw.append(good)
        async with Native(g, good) as c:
            await c.sub(A, B)
            ident = await c.command("unsub", keys=[A])
            await c.expect("ok", id=ident)
        expired = token([A], ttl=-60, sub="user-18")
        raw.append(expired)
        async with Native(g, expired, header=False) as c:
            with contextlib.suppress(Closed):
                await c.expect("bye")
        answer = await knock(g, expired)
        assert (answer.status, answer.code) == (401, "token_expired")
    with Gateway(BGW_AUDIT_LOG=log) as g:
        asyncio.run(run(g))
        until(lambda: log.exists() and {"session", "subscribed", "denied", "unsubscribed", "ended", "refused"} <=
              {line["event"] for line in audit_of(log)}, 10, "each kind of line")
        conn = next(line["conn"] for line in audit_of(log) if line["event"] == "session")
        assert g.stop() == 0
    lines, text = audit_of(log), log.read_text()
    of = lambda event: [line for line in lines if line["event"] == event]
    who = {"conn": conn, "tenant": "tnt_demo", "sub": f"{fnv64('user-17'):016x}", "jti": f"{fnv64('token-1'):016x}"}
    for event in ("session", "subscribed", "denied", "unsubscribed", "ended"):
        line = next(line for line in of(event) if line.get("conn") == conn)
        assert {k: line.get(k) for k in who} == who, line
        assert line["address"] == "127.0.0.1" and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"])
    assert of("subscribed")[0]["account"] == "msisdn::2348…01"
    assert of("denied")[0]["account"] == "msisdn::2348…02" and of("denied")[0]["code"] == "no_grant"
    assert of("refused")[0]["code"] == "token_expired"
    assert not re.search(r"2348100000", text)  # no account
    for t in raw:  # no token, whole or in parts
        assert not any(part in text for part in t.split("."))
    assert "user-17" not in text and "token-1" not in text


def test_audit_ids_can_be_computed_as_the_page_says(tmp_path):
    page = (TOP / "docs/operations.md").read_text()
    names = {}
    exec(re.search(r"```python\n(.*?)```", page, re.S)[1], names)
    log = tmp_path / "audit.log"

    async def run(g):
        async with Native(g, token([A], sub="user-17")) as c:
            await c.sub(A)
    for secret in (SECRET, "another-secret-for-resume-tokens-0123456789"):
        with Gateway(BGW_AUDIT_LOG=log, **({} if secret == SECRET else {"BGW_RESUME_SECRET": secret})) as g:
            asyncio.run(run(g))
        line = [line for line in audit_of(log) if line["event"] == "subscribed"][-1]
        assert line["account_id"] == names["account_id"](secret, A)
        assert line["sub"] == names["fnv64"]("user-17")


def test_audit_log_is_rotated_by_sighup(tmp_path):
    log, old = tmp_path / "audit.log", tmp_path / "audit.log.1"

    async def session(g):
        async with Native(g, token([A])) as c:
            await c.sub(A)
    with Gateway(BGW_AUDIT_LOG=log) as g:
        asyncio.run(session(g))
        until(lambda: any(line["event"] == "ended" for line in audit_of(log)), 10, "the first session's end")
        log.rename(old)
        reload(g)
        until(log.exists, 10, "the new file")
        asyncio.run(session(g))
        assert g.stop() == 0
    for path in (old, log):
        assert [line["event"] for line in audit_of(path)].count("session") == 1
    assert log.stat().st_mode & 0o137 == 0


def test_audit_to_a_full_target_disturbs_nobody(tmp_path):
    async def run(g, feed):
        async with Native(g, token([A])) as c:
            await c.sub(A)
            for i in range(200):
                feed.put(A, i)
            feed.flush()
            await c.until(lambda: c.balance(A) == 199, what="the newest balance")
            c.check()
    with Gateway(BGW_AUDIT_LOG="/dev/full") as g:
        feed = Feed(g.bootstrap, g.topic, readers=[g])
        asyncio.run(run(g, feed))
        until(lambda: g.metrics()['bgw_audit_lines_total{result="lost"}'] >= 3, 10, "losses to be counted")
        assert g.metrics()['bgw_audit_lines_total{result="written"}'] == 0
        assert len(log_lines(g, "audit_not_written")) == 1
        assert g.stop() == 0


def test_a_disk_that_fills_costs_lines_that_are_counted_and_no_half_ones(tmp_path):
    # inside a chroot the root is no mount point, and mounts there do not spread anyway
    ways = (["unshare", "-m"], ["unshare", "-m", "--propagation", "unchanged"])
    way = next((w for w in ways if subprocess.run([*w, "true"], capture_output=True).returncode == 0), None)
    if not way:
        pytest.skip("this system does not let us mount")
    disk, wrapper = tmp_path / "disk", tmp_path / "on-a-small-disk"
    disk.mkdir()
    wrapper.write_text(f"#!/bin/sh\nset -e\nmount -t tmpfs -o size=64k none {disk}\n"
                       f"head -c 45056 /dev/zero >{disk}/filler\nexec {os.environ['BGW_BIN']} \"$@\"\n")
    wrapper.chmod(0o755)
    inside = tmp_path / "inside"
    inside.write_text(f"#!/bin/sh\nexec {' '.join(way)} {wrapper} \"$@\"\n")
    inside.chmod(0o755)

    async def sessions(g, n):
        for _ in range(n):
            async with Native(g, token([A])) as c:
                await c.sub(A)
    with Gateway(binary=str(inside), BGW_AUDIT_LOG=disk / "audit.log") as g:
        seen = pathlib.Path(f"/proc/{g.proc.pid}/root{disk}")
        lost = 'bgw_audit_lines_total{result="lost"}'
        for _ in range(40):
            asyncio.run(sessions(g, 10))
            if g.metrics()[lost] > 20:
                break
        until(lambda: g.metrics()[lost] > 20, 10, "losses")
        (seen / "filler").unlink()  # room again
        asyncio.run(sessions(g, 3))
        until(lambda: g.metrics()["bgw_sessions"] == 0, 10, "the sessions to end")
        until(lambda: sum(line["count"] for line in audit_of(seen / "audit.log") if line["event"] == "lost") == g.metrics()[lost], 10,
              "the losses to be told")
        until(lambda: len([x for x in audit_of(seen / "audit.log") if x["event"] != "lost"]) ==
              g.metrics()['bgw_audit_lines_total{result="written"}'], 10, "as many lines as were counted")
        until(lambda: len(log_lines(g, "audit_written_again")) == 1, 10, "the log to say so")
        assert g.stop() == 0


def test_audit_to_a_pipe_that_nobody_reads_disturbs_nobody_and_recovers(tmp_path):
    fifo = tmp_path / "audit.pipe"
    os.mkfifo(fifo)

    async def session(g):
        async with Native(g, token([A])) as c:
            await c.sub(A)
    with Gateway(BGW_AUDIT_LOG=fifo) as g:
        asyncio.run(session(g))
        until(lambda: g.metrics()['bgw_audit_lines_total{result="lost"}'] >= 3, 10, "losses to be counted")
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        try:
            def written():
                asyncio.run(session(g))
                return g.metrics()['bgw_audit_lines_total{result="written"}'] > 0
            until(written, 15, "the pipe to be found")
            asyncio.run(session(g))
            until(lambda: g.metrics()["bgw_sessions"] == 0, 10, "the sessions to end")
            m = g.metrics()
            assert g.stop() == 0
            lines = [json.loads(line) for line in os.read(reader, 1 << 20).decode().splitlines()]
        finally:
            os.close(reader)
    assert lines[0]["event"] == "lost" and lines[0]["count"] >= m['bgw_audit_lines_total{result="lost"}'] - 20
    assert any(line["event"] == "session" for line in lines)


def test_audit_log_that_cannot_be_opened_is_told_at_the_start():
    g = Gateway(wait=False, BGW_AUDIT_LOG="/nowhere/at/all.log")
    assert g.proc.wait(20) != 0
    g.ended = True
    assert "BGW_AUDIT_LOG" in g.log_text() and "/nowhere/at/all.log" in g.log_text()
    g.dir.cleanup()


# ---- what never leaves ----

def test_no_token_stands_in_any_log_page_or_metric(tmp_path):
    audit = tmp_path / "audit.log"
    good, other = token([A], sub="user-17"), token([B], sub="user-18")
    bad = [good[:-4] + "AAAA", token([A], ttl=-60), "nonsense-that-is-no-token-at-all"]

    async def run(g):
        async with Native(g, good) as c:
            await c.sub(A)
            ident = await c.command("auth", token=other)
            assert (await c.expect("err", id=ident))["code"] == "other_subject"
        async with Native(f"{g.ws}?access_token={good}") as c:
            await c.sub(A)
        for t in bad:
            async with Native(g, t, header=False) as c:
                with contextlib.suppress(Closed):
                    await c.expect("bye")
                    await c.receive()
    with Gateway(BGW_AUDIT_LOG=audit, BGW_LOG_LEVEL="debug") as g:
        asyncio.run(run(g))
        said = ""
        for t in (good, *bad):
            for path, headers in ((f"/ws?access_token={t}", {}), ("/ws", {"Authorization": f"Bearer {t}"}), (f"/{t}", {})):
                said += g.http(path, headers=headers)[2]
        for page in ("/metrics", "/health", "/readyz?verbose", "/version", f"/{good}"):
            said += g.http(page, admin=True)[2]
        assert g.stop() == 0
        said += g.log_text()
    said += audit.read_text()
    secret_parts = {part for t in (good, other, *bad) for part in t.split(".")[1:] or [t]}
    assert SECRET not in said
    assert not [part for part in secret_parts if part in said]


def test_the_revocation_command_of_the_page_works(tmp_path):
    page = (TOP / "docs/operations.md").read_text()
    commands = re.findall(r"^curl .*/revocations .*$", page, re.M)
    assert len(commands) == 3
    soon = int(time.time()) + 600
    with Gateway(BGW_AUDIT_LOG=tmp_path / "audit.log") as g:
        for command in commands:
            command = command.replace("127.0.0.1:5852", g.info["admin"]).replace("4f1c…", "4f1c")
            command = re.sub(r'"before":\d+', f'"before":{soon - 600}', command).replace("1790000000", str(soon))
            done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30)
            assert json.loads(done.stdout) == {"applied": True, "recorded": True}, done
        assert g.metrics()['bgw_revocations_total{result="applied"}'] >= 3
        until(lambda: [line for line in audit_of(tmp_path / "audit.log") if line["event"] == "admin"], 5, "the operator's calls")
    calls = [line for line in audit_of(tmp_path / "audit.log") if line["event"] == "admin"]
    assert len(calls) == 3 and all(line["path"] == "/revocations" for line in calls), calls


# ---- the unit ----

def test_the_unit_of_systemd_is_well_formed_and_fits_the_defaults(tmp_path):
    text = (TOP / "deploy/systemd/bgw.service").read_text()
    unit = dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Z]\w+=", line))
    assert unit["Type"] == "notify-reload" and unit["NotifyAccess"] == "main"
    config = (TOP / "server/config/config.def").read_text()
    drain = int(re.search(r'"BGW_DRAIN_S", "drain-s", (\d+)', config)[1])
    assert int(unit["TimeoutStopSec"]) >= drain + 10
    assert int(unit["WatchdogSec"]) >= 20  # twice the 5 s after which a thread counts as stuck, and room
    assert unit["CapabilityBoundingSet"] == "" and unit["NoNewPrivileges"] == "yes" and unit["ProtectSystem"] == "strict"
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / "bgw.service"
    copy.write_text(re.sub(r"^(User|Group)=.*", r"\1=root", text.replace("/usr/bin/bgw", os.environ["BGW_BIN"]), flags=re.M))
    done = subprocess.run([analyze, "verify", "--recursive-errors=no", copy], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr
