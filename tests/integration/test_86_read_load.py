# SPDX-License-Identifier: Apache-2.0
"""The read load of the bench against servers that lie: what it does not find, no figure of it is worth."""

import itertools
import json
import os
import socket
import subprocess
import threading

import pytest


class Liar:
    """Answers each GET with what `say` makes of its number and the account that was asked for."""

    def __init__(self, say):
        self.say, self.numbers = say, itertools.count(1)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        with c:
            while data := c.recv(65536):
                account = data.split(b"/", 4)[3].decode()
                c.sendall(self.say(next(self.numbers), account))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def answer(account, seq, minor=None, status="200 OK", v=None, more=""):
    """As the gateway's; the value belongs to the version."""
    minor = seq * 1000 + int(account[-6:]) % 1000 if minor is None else minor
    body = json.dumps({"accountId": account, "minor": minor, "v": v or f"e1.{seq}"}, separators=(",", ":")).encode()
    return f"HTTP/1.1 {status}\r\nX-Cache-Status: HIT\r\nX-Balance-Source: l1\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def load(say, *args):
    with Liar(say) as liar:
        done = subprocess.run([os.environ["BGW_SWARM"], "reads", "--url", liar.address, "--steps", "200:1", "--connections", "2", *args],
                              capture_output=True, text=True, timeout=60, check=False)
    step, = json.loads(done.stdout)["steps"]
    assert step["asked"] == 200 and (done.returncode == 1) == (step["wrong"] > 0), (done.returncode, step)
    return step


def test_truth_is_no_failure():
    step = load(lambda n, account: answer(account, n, v=f"e1.{n}.7"), "--spread", "uniform", "--keys", "50")
    assert (step["ok"], step["wrong"], step["failed"]) == (200, 0, 0)
    assert step["cache"]["HIT"] == step["source"]["l1"] == 200 and step["latency_us"]["n"] == 200


@pytest.mark.parametrize("lie, found", [
    (lambda n, account: answer(account, 1000 - n), "regressions"),
    (lambda n, account: answer(account, 5, v=f"e1.5.{1000 - n}"), "regressions"),
    (lambda n, account: answer(account, n, minor=0), "values"),
    (lambda n, account: answer(account, 0), "values"),
    (lambda n, account: answer(account[:-1] + "9", n, minor=n * 1000), "accounts"),
    (lambda n, account: answer(account, n, v="5"), "strange"),
    (lambda n, account: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "strange"),
    (lambda n, account: answer(account, n) + b"HTTP", "strange"),
    (lambda n, account: b"no answer at all\r\n\r\n", "strange"),
    (lambda n, account: b"HTTP/1.1 200 OK\r\n\r\n", "strange")])
def test_lie_is_found(lie, found):
    step = load(lie)
    assert step["wrongs"][found] > 150, step
    assert step["wrong"] == step["wrongs"][found], step


def test_version_beyond_the_origins_clock_is_found():
    assert load(lambda n, account: answer(account, 10**12), "--period-ms", "1000")["wrongs"]["futures"] == 200


def test_other_epoch_is_not_older():
    step = load(lambda n, account: answer(account, 1000 - n, v=f"e{n}.{1000 - n}"))
    assert step["wrong"] == 0 and step["epochs"] > 150, step


@pytest.mark.parametrize("status, counted", [("503 Service Unavailable", "503"), ("404 Not Found", "404"), ("500 Oops", "other")])
def test_refusal_is_a_failure_and_no_lie(status, counted):
    step = load(lambda n, account: answer(account, n, status=status))
    assert (step["ok"], step["failed"], step["failures"][counted], step["wrong"]) == (0, 200, 200, 0)


def test_connection_that_ends_with_its_answer_is_opened_again():
    step = load(lambda n, account: answer(account, n, more="Connection: close\r\n"))
    assert (step["ok"], step["failed"], step["wrong"]) == (200, 0, 0) and step["reconnects"] >= 198


def test_pause_of_the_server_is_in_the_latency_of_all_who_were_due():
    """Half a second in which nobody is answered: those that could not even be sent meanwhile waited too."""
    wait = threading.Event()

    def say(n, account):
        if n == 50:
            wait.wait(0.5)
        elif 50 < n < 53:
            wait.wait(0.5)
        return answer(account, n)
    step = load(say, "--connections", "1")
    assert step["ok"] == 200 and step["latency_us"]["p90"] > 300000 and step["service_us"]["p90"] < 100000, step
