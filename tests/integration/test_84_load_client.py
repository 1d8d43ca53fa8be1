# SPDX-License-Identifier: Apache-2.0
"""The load client of the bench against servers that lie: what it does not find, no figure of it is worth."""

import json
import os
import signal
import socket
import struct
import subprocess
import threading

import pytest

from harness.wait import until

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
CLIENTS, MESSAGES = 5, 8


def frame(body, first=0x81):
    data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    return struct.pack("!BBH", first, 126, len(data)) + data


def entry(version, account=0, minor=None, **more):
    minor = version * 1000 + account if minor is None else minor
    return {"k": f"bench:{account:06d}", "v": f"e1.{version}", **more, "d": {"currency": "NGN", "minor": str(minor)}}


def upd(*entries):
    return frame({"ev": "upd", "u": entries})


class Liar:
    """Says to every client what `say` makes of a version that was published: frames, or None for the end of the connection."""

    def __init__(self, say, greet=b"", after=b""):
        self.say, self.greet, self.after, self.clients, self.asked = say, greet, after, [], []
        self.door, self.trigger = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        self.address, self.trigger_port = "127.0.0.1:%d" % self.door.getsockname()[1], str(self.trigger.getsockname()[1])
        for work in (self.welcome, self.feed):
            threading.Thread(target=work, daemon=True).start()

    def welcome(self):
        while True:
            try:
                c, _ = self.door.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        c.recv(65536)
        self.clients.append(c)
        c.sendall(UPGRADED + self.greet)
        if self.greet:
            self.asked.append(c.recv(65536))  # its subscription; b"": it went without one
            c.sendall(self.after)

    def feed(self):
        try:
            with self.trigger.accept()[0] as t, t.makefile() as lines:
                for line in lines:
                    for c in list(self.clients):
                        self.tell(c, int(line.split()[0]))
        except OSError:
            return

    def tell(self, c, version):
        frames = self.say(version)
        if frames is None:
            self.clients.remove(c)
            c.close()
        else:
            c.sendall(frames)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for s in (self.door, self.trigger, *self.clients):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()


def command(liar, *args):
    return [os.environ["BGW_SWARM"], "--url", liar.address, "--publish", f"trigger:{liar.trigger_port}", "--clients", str(CLIENTS),
            "--workers", "2", "--messages", str(MESSAGES), "--timeout-s", "3", *args]


def load(say, *args, **more):
    with Liar(say, **more) as liar:
        done = subprocess.run(command(liar, *args), capture_output=True, text=True, timeout=60, check=False)
    report = json.loads(done.stdout)
    right = report["completed"] and report["wrong"] == 0
    assert done.returncode == (0 if right else 1), (done.returncode, report)
    return report, done.stderr


RAW = ("--raw", "--rate", "100")
PATIENT = ("--timeout-s", "20")  # where all is to come


def test_truth_is_no_failure():
    report, err = load(lambda v: upd(entry(v)), *RAW, *PATIENT)
    assert (report["completed"], report["wrong"], report["entries"], report["behind"]) == (True, 0, CLIENTS * MESSAGES, 0)
    assert report["latency_us"]["n"] == CLIENTS * MESSAGES and report["workers"] == 2
    assert [line.split()[1] for line in err.splitlines()] == ["connect", "live", "feed", "settle", "done"]


def test_messages_in_pieces_and_together_are_read():
    held = []

    def say(version):
        held.append(upd(entry(version)))
        half = len(held[-1]) // 2
        return held[-1][:half] if version == 1 else held[0][half:] + held[-1] if version == 2 else held[-1]
    with Liar(lambda v: None) as liar:
        liar.tell = lambda c, v: c.sendall(say(v))
        done = subprocess.run(command(liar, *RAW, *PATIENT, "--clients", "1", "--workers", "1"), capture_output=True, text=True,
                              timeout=60, check=False)
    report = json.loads(done.stdout)
    assert (done.returncode, report["wrong"], report["entries"]) == (0, 0, MESSAGES), report


def spelled(text):
    return frame(text.encode())


@pytest.mark.parametrize("spelling", [
    lambda v: frame(json.dumps({"ev": "upd", "u": [entry(v)]}).encode()),
    lambda v: frame({"u": [entry(v)], "ev": "upd"}),
    lambda v: upd(dict(reversed(entry(v).items()))),
    lambda v: upd(entry(v) | {"d": {"minor": v * 1000, "note": None, "list": [1, {"minor": 2}]}}),
    lambda v: upd(entry(v) | {"d": {"minor": f"{v * 1000}", "name": "é\\\""}}),
    lambda v: upd(entry(v) | {"d": {f"m{i}": i for i in range(20)} | {"minor": f"{v * 1000}"}}),
    lambda v: upd(entry(v, snap=True) | {"extra": {}}),
    lambda v: upd(entry(v - 1), entry(v)) if v % 2 == 0 else b"",
    lambda v: upd(*(entry(i) for i in range(1, v + 1))) if v == MESSAGES else b"",
    lambda v: upd(entry(v, merged=1 if v > 1 else 0)) if v % 2 == 0 else b""])
def test_entry_is_read_however_it_is_spelled(spelling):
    report, err = load(spelling, *RAW, *PATIENT)
    assert report["protocol_errors"] == report["wrong_values"] == report["gaps"] == 0, (report, err)
    assert report["completed"] and report["behind"] == 0, report


@pytest.mark.parametrize("lie, found", [
    (lambda v: spelled('{"ev":"upd","u":[{"k":"bench:000000","v":"e1.%d","d":{"minor":"%d","minor":"%d"}}]}' % (v, v * 1000, v * 1000)), "protocol_errors"),
    (lambda v: spelled('{"ev":"upd","u":[{"k":"bench:000000","v":"e1.%d","d":{"minor":"%d"}}]}]' % (v, v * 1000)), "protocol_errors"),
    (lambda v: spelled('{"ev":"upd","u":[{"k":"bench:000000","v":"e1.%d","d":{"minor":"%d","a":01}}]}' % (v, v * 1000)), "protocol_errors"),
    (lambda v: spelled('{"ev":"upd","u":[{"k":"bench:000000","v":"e1.%d","d":{"minor":"%d",}}]}' % (v, v * 1000)), "protocol_errors"),
    (lambda v: frame(b'{"ev":"upd","u":[{"k":"bench:000000","v":"e1.%d","d":{"minor":"%d","a":"\xff"}}]}' % (v, v * 1000)), "protocol_errors"),
    (lambda v: upd(entry(v), entry(v, account=1)), "protocol_errors"),
    (lambda v: upd(entry(v, minor=v * 1000 + 1)), "wrong_values"),
    (lambda v: upd(entry(v, minor=(v - 1) * 1000)), "wrong_values"),
    (lambda v: upd(entry(v)) * 2, "duplicates"),
    (lambda v: upd(entry(v)) + (upd(entry(v - 1)) + upd(entry(v)) if v > 1 else b""), "regressions"),
    (lambda v: upd(entry(v)) if v % 2 else b"", "gaps"),
    (lambda v: upd(entry(v, merged=1)), "gaps"),
    (lambda v: upd(entry(v + 1)), "futures"),
    (lambda v: upd(entry(v, account=1)), "protocol_errors"),
    (lambda v: upd({"k": "bench:00000x", "v": f"e1.{v}", "d": {"minor": "0"}}), "protocol_errors"),
    (lambda v: upd(entry(v) | {"v": str(v)}), "protocol_errors"),
    (lambda v: frame(b'{"ev":"upd","u":'), "protocol_errors"),
    (lambda v: frame({"ev": "upd"}), "protocol_errors"),
    (lambda v: frame(json.dumps({"ev": "upd", "u": [entry(v)]}).encode(), first=0x82), "protocol_errors"),
    (lambda v: frame(json.dumps({"ev": "upd", "u": [entry(v)]}).encode(), first=0x01), "protocol_errors")])
def test_lie_is_found(lie, found):
    report, _ = load(lie, *RAW)
    assert report[found] >= CLIENTS and report["wrong"] >= CLIENTS, report


@pytest.mark.parametrize("silence", [
    lambda v: upd(entry(v)) if v < MESSAGES else b"",
    lambda v: b"",
    lambda v: upd(entry(v)) if v < MESSAGES else upd(entry(v))[:-1]])
def test_silence_is_no_completion(silence):
    report, _ = load(silence, *RAW, "--timeout-s", "2")
    assert not report["completed"] and report["behind"] == CLIENTS, report


def test_lost_messages_of_a_server_without_versions_are_counted_apart():
    report, _ = load(lambda v: None if v == 3 else upd(entry(v)), *RAW, *PATIENT, "--messages", "150")
    assert report["completed"] and report["wrong"] == 0 and report["lost"] == CLIENTS, report
    assert report["missed"] >= CLIENTS and report["connects"] == 2 * CLIENTS, report


HELLO = frame({"ev": "hello"})
LIVE = frame({"ev": "sub"}) + frame({"ev": "live"})


@pytest.mark.parametrize("after, found", [
    (LIVE + frame({"ev": "mark", "digest": "0123456789abcdef"}), "digest_mismatches"),
    (LIVE + frame({"ev": "mark"}), "protocol_errors"),
    (frame({"ev": "sub", "current": ["bench:000000"]}) + LIVE, "protocol_errors"),
    (frame({"ev": "sub", "denied": [{"k": "bench:000000"}]}) + LIVE, "protocol_errors"),
    (LIVE + frame({"ev": "surprise"}), "protocol_errors")])
def test_lie_of_the_native_dialect_is_found(after, found):
    report, err = load(lambda v: upd(entry(v)), "--rate", "100", greet=HELLO, after=after)
    assert report[found] == report["wrong"] == CLIENTS, report
    assert found != "protocol_errors" or "client 0: " in err, err


def test_mark_that_is_right_is_no_failure():
    def say(version):
        digest = 0xcbf29ce484222325
        for byte in f"bench:000000|NGN|e1.{version}".encode():
            digest = (digest ^ byte) * 0x100000001b3 & (1 << 64) - 1
        return upd(entry(version)) + frame({"ev": "mark", "digest": f"{digest:016x}"})
    report, _ = load(say, "--rate", "100", *PATIENT, greet=HELLO, after=LIVE)
    assert (report["wrong"], report["digests_checked"]) == (0, CLIENTS * MESSAGES), report


GREET_ONLY = ("--greet-only", "--messages", "0")


def test_who_is_only_greeted_is_live_and_asks_for_nothing():
    with Liar(lambda v: b"", greet=HELLO) as liar:
        done = subprocess.run(command(liar, *GREET_ONLY, *PATIENT), capture_output=True, text=True, timeout=60, check=False)
        until(lambda: len(liar.asked) == CLIENTS, 15, "every client to be gone")
    report = json.loads(done.stdout)
    assert (done.returncode, report["completed"], report["live"], report["connects"], report["wrong"]) == (0, True, CLIENTS, CLIENTS, 0), report
    assert liar.asked == [b""] * CLIENTS and report["feed"]["published"] == 0


def test_who_is_not_greeted_is_not_live():
    report, _ = load(lambda v: b"", *GREET_ONLY, "--timeout-s", "2")
    assert (report["completed"], report["live"]) == (False, 0), report


@pytest.mark.parametrize("more", [("--messages", "8"), ("--seconds", "1"), ("--raw",), ("--dialect", "sse")])
def test_greeting_alone_goes_with_nothing_that_has_to_be_told(more):
    with Liar(lambda v: b"", greet=HELLO) as liar:
        done = subprocess.run(command(liar, *GREET_ONLY, *more), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "") and "--greet-only" in done.stderr.splitlines()[0], done.stderr


def workers_of(process):
    with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as f:
        return [int(pid) for pid in f.read().split()]


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("who, number, status", [("worker", signal.SIGKILL, 3), ("worker", signal.SIGABRT, 3),
                                                 ("coordinator", signal.SIGTERM, -15), ("coordinator", signal.SIGKILL, -9)])
def test_process_that_ends_ends_the_run(who, number, status):
    with Liar(lambda v: upd(entry(v))) as liar:
        process = subprocess.Popen(command(liar, *RAW, "--seconds", "30", "--timeout-s", "40"), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        until(lambda: len(liar.clients) == CLIENTS, 10, "every client to connect")
        workers = workers_of(process)
        assert len(workers) == 2
        os.kill(workers[1] if who == "worker" else process.pid, number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == status and not out, (process.returncode, out, err)
    assert who == "coordinator" or f"worker 1 was ended by signal {int(number)}" in err, err
    until(lambda: all(gone(pid) for pid in workers), 15, "the workers to end")
