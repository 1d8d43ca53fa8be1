# SPDX-License-Identifier: Apache-2.0
"""What it needs runs out, or lies: descriptors, memory, room for the log, ports, peers that vanish, the
clock. Nothing ends it, nothing spins, everybody else is served, and it recovers by itself."""

import asyncio
import json
import os
import pathlib
import re
import resource
import select
import socket
import struct
import subprocess
import threading
import time
import types

import pytest

from harness.gateway import Gateway, clean_env
from harness.kafka import Feed
from harness.native import Closed, Native
from harness.raw import Ended, Raw, cpu_seconds, get, lasts
from harness.tokens import SECRET, claims_of, sign, token
from harness.wait import until

RELEASE = os.environ["BGW_RELEASE_BIN"]
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def idle(gateway, seconds=1.5, share=0.25, seconds_of=cpu_seconds):
    """Nobody asks for anything: it uses less than this share of a core."""
    used = seconds_of(gateway.proc.pid)
    for _ in lasts(seconds):
        time.sleep(0.1)
    used = seconds_of(gateway.proc.pid) - used
    assert used < share * seconds, f"it spins: {used:.2f} s of processor time in {seconds} s"


def our_cpu_seconds(pid):
    """Of the gateway's own threads. librdkafka computes its waits from timespec_get, which libfaketime leaves
    alone, and ends them by a clock that it fakes: back in time they end at once, as they never would outside."""
    ticks = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name, fields = (task / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
        ticks += sum(map(int, fields.split()[11:13])) if name.startswith("bgw") else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def wrapped(folder, redirection, binary=None, before=""):
    """A script that becomes the binary, with other standard streams; same process id."""
    script = pathlib.Path(folder, "bgw-wrapped")
    script.write_text(f"#!/bin/sh\n{before}\nexec '{binary or os.environ['BGW_BIN']}' \"$@\" {redirection}\n")
    script.chmod(0o755)
    return str(script)


def session(gateway, tok, *keys):
    c = Raw(gateway)
    c.upgrade(tok)
    assert c.next_event()["ev"] == "hello"
    if keys:
        c.text({"op": "sub", "id": 1, "keys": list(keys)})
        c.next_event("live")
    return c


def admin(gateway):
    return Raw(types.SimpleNamespace(listen=gateway.info["admin"]))


def pong(c, ident=7):
    c.text({"op": "ping", "id": ident})
    assert c.next_event("pong")["id"] == ident


def told(c, state):
    """Reads on until it is told this state."""
    while c.next_event("state")["state"] != state:
        pass


def drops_lines(gateway):
    until(lambda: gateway.metric("bgw_log_dropped_total") > 0, 10, "lines that could not be logged to be counted")


def last_event(path):
    """Of the last whole line."""
    return json.loads(path.read_bytes().rpartition(b"\n")[0].splitlines()[-1])["event"]


def reset(sock):
    """Ends a connection by RST, in the middle of whatever comes."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# ---- descriptors: the broker, the admin port ----

def test_without_descriptors_kafka_comes_back_when_there_are_some(kafka):
    with Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=kafka.create(partitions=1), BGW_SHARDS=1, BGW_FRESH_MS=1000,
                 BGW_STALE_MS=2000, BGW_PING_S=3600, BGW_IDLE_S=3600, binary=RELEASE) as g:
        feed = Feed(g.bootstrap, g.topic, readers=[g])
        feed.put("A", 1)
        feed.flush()
        held = session(g, token(["A"]), "A")
        kafka.kill()
        told(held, "delayed")
        limit = resource.prlimit(g.proc.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(g.proc.pid, resource.RLIMIT_NOFILE, (descriptors(g.proc.pid) + 6, limit[1]))
        crowd = []
        try:
            def full():
                crowd.append(Raw(g))
                return crowd[-1].ask(get("/livez")).status == 503
            until(full, 10, "descriptors to run out")
            told(held, "stale")
            kafka.start()
            knocking = [admin(g) for _ in range(3)]  # at the admin port, which has none either
            idle(g)
            pong(held)
        finally:
            if kafka.proc.poll() is not None:
                kafka.start()
        for c in crowd + knocking:
            c.sock.close()
        resource.prlimit(g.proc.pid, resource.RLIMIT_NOFILE, limit)
        until(lambda: g.http("/readyz")[0] == 200, 30, "the broker to be found again")
        feed = Feed(g.bootstrap, g.topic)
        feed.put("A", 2, v=2)
        feed.flush()
        update = held.next_event("upd")
        assert update["u"][0]["d"]["minor"] == "2"
        held.sock.close()


def test_admin_port_without_descriptors_answers_again():
    with Gateway(BGW_SHARDS=1, binary=RELEASE) as g:
        g.metrics()
        limit = resource.prlimit(g.proc.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(g.proc.pid, resource.RLIMIT_NOFILE, (descriptors(g.proc.pid), limit[1]))
        knocking = [admin(g) for _ in range(5)]
        for c in knocking:
            c.send_as_far_as_taken(get("/livez"))
        idle(g)
        resource.prlimit(g.proc.pid, resource.RLIMIT_NOFILE, limit)
        for c in knocking:  # each is answered or was closed; none hangs
            try:
                assert c.response().status in (200, 503)
            except (Ended, OSError):
                pass
            c.sock.close()
        assert g.http("/livez", admin=True)[0] == 200


# ---- memory ----

def vm_size(pid):
    return int(re.search(r"VmSize:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) * 1024


LOW = {"ev": "bye", "code": 3013, "retry_ms": 2000, "reason": "over_capacity"}


def fill_memory(g, tok, crowd, most=4000):
    """Connections with 1,000 keys each until somebody is refused; who, and in which words."""
    for n in range(most):
        try:
            c = Raw(g, timeout=5)
            crowd.append(c)
            c.upgrade(tok)
            if (hello := c.next_event())["ev"] == "bye":
                return n, hello
            c.text({"op": "sub", "id": 1, "keys": [f"K{n}-{i}-{'x' * 40}" for i in range(1000)]})
            for _ in lasts(10):
                event = c.next_event()
                if event["ev"] == "bye":
                    return n, event
                if event["ev"] == "sub":
                    break
            else:
                raise AssertionError("a command without an answer")
        except (Ended, OSError) as refusal:
            return n, repr(refusal)
    raise AssertionError("memory did not run out")


def test_without_memory_it_refuses_in_words_serves_the_others_and_recovers():
    with Gateway(BGW_SHARDS=1, BGW_PING_S=3600, binary=RELEASE) as g:
        feed = Feed(g.bootstrap, g.topic, readers=[g])
        feed.put("A", 1)
        feed.flush()
        held = session(g, token(["A"]), "A")
        everything = token(everything=True)
        unlimited = resource.prlimit(g.proc.pid, resource.RLIMIT_AS)
        resource.prlimit(g.proc.pid, resource.RLIMIT_AS, (vm_size(g.proc.pid) + (4 << 20), unlimited[1]))
        crowd = []
        served, refusal = fill_memory(g, everything, crowd)
        assert served > 5, (served, refusal)
        until(lambda: fill_memory(g, everything, crowd)[1] == LOW, 30, "new sessions to be refused for want of memory")
        until(lambda: '"event":"memory_low"' in g.log_text(), 10, "the log to say so")
        assert g.metric("bgw_memory_reserve_spent_total") >= 1
        idle(g)
        pong(held)  # who was there before goes on, records included
        feed.put("A", 2)
        feed.flush()
        assert held.next_event("upd")["u"][0]["d"]["minor"] == "2"
        for c in crowd:
            c.sock.close()
        until(lambda: g.metrics()["bgw_connections"] <= 1, 20, "the crowd to be gone")
        until(lambda: '"event":"memory_back"' in g.log_text(), 20, "memory to be enough again, under the same limit")
        with session(g, everything, "A", "B") as again:
            pong(again)
        held.sock.close()


# ---- the log ----

def busy_log(g):
    """Makes it want to write: refused tokens and bad records are log lines."""
    feed = Feed(g.bootstrap, g.topic)
    for n in range(200):
        feed.raw("A", b"{")
        feed.raw(f"B{n % 7}", b'{"minor":1.5}')
    feed.flush()
    for _ in range(30):
        with Raw(g) as c:
            c.upgrade("not.a.token", expect=401)


def check_serves(g, account="S"):
    feed = Feed(g.bootstrap, g.topic, readers=[g])
    feed.put(account, 5)
    feed.flush()
    with session(g, token([account]), account) as c:
        pong(c)


def test_log_to_a_full_device_stops_nothing(tmp_path):
    with Gateway(binary=wrapped(tmp_path, ">/dev/full 2>/dev/full")) as g:
        busy_log(g)
        check_serves(g)
        drops_lines(g)
        idle(g)


def test_log_to_a_pipe_that_nobody_reads_stops_nothing_and_goes_on_later(tmp_path):
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    try:
        with Gateway(binary=wrapped(tmp_path, f"2>'{fifo}'")) as g:
            busy_log(g)
            check_serves(g)
            drops_lines(g)
            idle(g)
            while select_readable(reader):
                os.read(reader, 65536)

            def line_comes():  # there is room again
                busy_log(g)
                return select_readable(reader) and b'"event"' in os.read(reader, 65536)
            until(line_comes, 20, "the log to go on")
    finally:
        os.close(reader)
        os.close(writer)


def select_readable(fd):
    return bool(select.select([fd], [], [], 0)[0])


def test_log_whose_reader_is_gone_stops_nothing(tmp_path):
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with Gateway(binary=wrapped(tmp_path, f"2>'{fifo}'")) as g:
        os.close(reader)
        busy_log(g)  # EPIPE each time, and SIGPIPE if that is not ignored
        check_serves(g)
        drops_lines(g)


def test_log_file_that_may_not_grow_stops_nothing(tmp_path):
    log = tmp_path / "small.log"
    with Gateway(binary=wrapped(tmp_path, f"2>>'{log}'"), BGW_AUDIT_LOG=tmp_path / "audit.log") as g:
        size = max(log.stat().st_size, (tmp_path / "audit.log").stat().st_size) + 100
        resource.prlimit(g.proc.pid, resource.RLIMIT_FSIZE, (size, size))  # a write beyond it: SIGXFSZ, then EFBIG
        busy_log(g)
        check_serves(g)
        drops_lines(g)
        idle(g)


def test_full_file_system_of_the_logs_stops_nothing(tmp_path):
    room = tmp_path / "room"
    room.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(room)], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with Gateway(binary=wrapped(tmp_path, f"2>>'{room}/log'"), BGW_AUDIT_LOG=room / "audit") as g:
            with open(room / "ballast", "wb", buffering=0) as ballast, pytest.raises(OSError):
                while True:
                    ballast.write(b"x" * 1024)
            for _ in range(5):
                busy_log(g)
            check_serves(g)
            drops_lines(g)
            until(lambda: g.metrics()['bgw_audit_lines_total{result="lost"}'] > 0, 10, "audit events to be lost")
            idle(g)
            (room / "ballast").unlink()
            seen, torn = (room / "audit").stat().st_size, (room / "log").stat().st_size
            check_serves(g, "T")
            busy_log(g)
            until(lambda: (room / "audit").stat().st_size > seen, 10, "the audit log to go on")
            until(lambda: (room / "log").stat().st_size > torn, 10, "the log to go on")
            assert last_event(room / "log")  # behind the torn line, not in it
            assert last_event(room / "audit")
    finally:
        subprocess.run(["umount", "-l", str(room)], check=False)


# ---- ports ----

@pytest.mark.parametrize("key", ["BGW_LISTEN", "BGW_ADMIN_LISTEN"])
def test_port_in_use_ends_it_at_once_with_the_key_and_what_to_do(key):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        env = {"KAFKA_BOOTSTRAP": "embedded", "BGW_JWT_SECRET": SECRET, "BGW_LISTEN": "127.0.0.1:0",
               "BGW_ADMIN_LISTEN": "127.0.0.1:0", key: address}
        done = subprocess.run([os.environ["BGW_BIN"], "serve"], env=clean_env(**env), capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode in (1, 3), done
        words = [line for line in done.stderr.splitlines() if address in line]
        assert words and key in words[-1] and "another process" in words[-1], done.stderr


# ---- peers that vanish ----

def test_peers_that_reset_while_it_writes_harm_nobody():
    with Gateway(BGW_SHARDS=1) as g:
        feed = Feed(g.bootstrap, g.topic, readers=[g])
        feed.put("A", 0)
        feed.flush()
        tok = token(["A"])
        held = session(g, tok, "A")
        stop = threading.Event()

        def stream():
            minor = 1
            while not stop.is_set():
                feed.put("A", minor)
                feed.producer.poll(0)
                minor += 1
                time.sleep(0.0005)
            feed.put("A", 999999)
        thread = threading.Thread(target=stream)
        thread.start()
        try:
            for n in range(60):
                c = session(g, tok, "A")
                if n % 3 == 0:
                    c.next_event("upd")
                if n % 3 == 1:  # it asks for much and reads nothing of it
                    for i in range(50):
                        c.text({"op": "repair", "id": i})
                reset(c.sock)
                scrape = admin(g)
                scrape.send(get("/metrics") * 3)
                reset(scrape.sock)
        finally:
            stop.set()
            thread.join()
        feed.flush()
        while held.next_event("upd")["u"][0]["d"]["minor"] != "999999":
            pass
        until(lambda: g.metrics()["bgw_connections"] == 1, 10, "those who left to be gone")
        held.sock.close()


# ---- the clock ----

class Clock:
    """The wall clock of one gateway, by libfaketime; the monotonic one goes on as it is."""

    def __init__(self, folder):
        self.file = pathlib.Path(folder, "clock")
        self.set(0)
        self.env = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}

    def set(self, offset_s):
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{offset_s:+d}s\n")
        fresh.replace(self.file)


def at_wall(offset_s, accounts=("A",), ttl=600, **more):
    return sign(claims_of(accounts, **{"exp": int(time.time()) + offset_s + ttl, **more}))


def accepted(g, tok):
    with Raw(g) as c:
        c.send(f"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
               f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: bgw.v1\r\nAuthorization: Bearer {tok}\r\n\r\n")
        response = c.response()
        return response.status == 101 or response.code


async def keeps_its_pace(client, seconds):
    """A mark a second, and no flood of them."""
    await client.expect("pong", id=await client.command("ping"))  # what has come until now does not count
    began, before = time.monotonic(), sum(f["ev"] == "mark" for f in client.frames)
    await client.drain(seconds)
    marks = sum(f["ev"] == "mark" for f in client.frames) - before
    assert marks <= time.monotonic() - began + 2, marks


@pytest.fixture
def clock(tmp_path):
    assert os.path.exists(FAKETIME), "libfaketime is not installed"
    return Clock(tmp_path)


@pytest.mark.alone
def test_clock_jumps_forward_tokens_expire_and_values_stay_fresh(clock):
    async def scenario(g):
        feed = Feed(g.bootstrap, g.topic, readers=[g])
        feed.put("A", 1)
        feed.flush()
        short, long = token(["A"], ttl=600), token(["A"], ttl=86400 * 30)
        async with Native(g, short) as expiring, Native(g, long) as staying:
            await expiring.sub("A")
            await staying.sub("A")
            clock.set(7200)
            with pytest.raises(Closed) as closed:
                await expiring.drain(10)
            assert closed.value.code == 3005
            assert accepted(g, short) == "token_expired" and accepted(g, at_wall(7200)) is True
            await keeps_its_pace(staying, 3)
            idle(g, seconds_of=our_cpu_seconds)
            feed.put("A", 2)
            feed.flush()
            await staying.until(lambda: staying.balance("A") == 2)
            assert staying.states.get("A", "fresh") == "fresh"
            clock.set(0)
            until(lambda: accepted(g, short) is True, 15, "the old token to be good again")
            staying.check()
    with_gateway(clock, scenario)


@pytest.mark.alone
def test_clock_jumps_back_nothing_floods_and_tokens_expire_by_the_new_time(clock):
    async def scenario(g):
        feed = Feed(g.bootstrap, g.topic, readers=[g])
        feed.put("A", 1)
        feed.flush()
        almost = at_wall(0, ttl=8)
        async with Native(g, almost) as c, Native(g, token(["A"], ttl=86400)) as other:
            await c.sub("A")
            await other.sub("A")
            clock.set(-86400)
            await keeps_its_pace(c, 9)  # its timer ran off long ago, its token lives by the clock that there is
            idle(g, seconds_of=our_cpu_seconds)
            feed.put("A", 2)
            feed.flush()
            await c.until(lambda: c.balance("A") == 2)
            await other.until(lambda: other.balance("A") == 2)
            assert other.states.get("A", "fresh") == "fresh"
            assert accepted(g, at_wall(-86400)) is True
            assert accepted(g, at_wall(0, nbf=int(time.time()))) == "token_not_yet_valid"
            clock.set(0)
            with pytest.raises(Closed) as closed:
                await c.drain(10)
            assert closed.value.code == 3005
            await other.drain(1)
            other.check()
    with_gateway(clock, scenario)


@pytest.mark.alone
def test_clock_that_jumps_all_the_time_is_survived(clock):
    async def scenario(g):
        feed = Feed(g.bootstrap, g.topic, readers=[g])
        async with Native(g, sign(claims_of(["A"], exp=4102444800 * 2))) as c:
            await c.sub("A")
            for n in range(40):
                clock.set((n % 5 - 2) * 10 ** (n % 9))
                feed.put("A", n)
                feed.flush()
                await c.until(lambda n=n: c.balance("A") == n)
            clock.set(0)
            await keeps_its_pace(c, 2)
            idle(g, seconds_of=our_cpu_seconds)
            c.check()
    with_gateway(clock, scenario)


def with_gateway(clock, scenario):
    with Gateway(binary=RELEASE, BGW_MARK_S=1, BGW_SHARDS=1, **clock.env) as g:
        assert g.http("/readyz")[0] == 200
        asyncio.run(scenario(g))
        ready = json.loads(g.http("/readyz?verbose")[2])
        assert ready, ready
        assert g.proc.poll() is None


def test_harness_clock_is_really_faked(clock):
    with Gateway(binary=RELEASE, BGW_SHARDS=1, **clock.env) as g:
        clock.set(-86400)
        stamp = json.loads(g.http("/health")[2])["timestamp"]
        assert stamp[:10] == time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400)), stamp
        assert g.stop() == 0
