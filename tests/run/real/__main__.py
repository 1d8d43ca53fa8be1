# SPDX-License-Identifier: Apache-2.0
"""The composer:

    python -m tests.run.real [--state FOLDER] [--any-port] [--without PART]

Main thread alone. Invariant: whatever it started has ended when it has, however it ends."""

import argparse
import contextlib
import json
import os
import pathlib
import secrets
import selectors
import shutil
import signal
import tempfile
import time
import urllib.request

from . import control, parts, processes
from .box import box

PORTS = {"kafka": 19092, "redis": 16379, "postgres": 15432, "replica-1": (5851, 5852), "replica-2": (5853, 5854),
         "projector": 5855}
TICK_S = 0.25
READY_S = 60
ANSWER_S = 15  # what started and is not ready by then is said to be starting
END_S = 4
CONSOLE = pathlib.Path("build/console")


class Demo:
    def __init__(self, args):
        self.args = args
        self.parts = {}
        self.told = {}
        self.waiting = []  # (until, socket, part): whoever asked for a start
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bgw-real-"))
        self.folder.chmod(0o711)  # PostgreSQL runs as somebody else
        self.web = self.folder / "web"
        self.announcement = None

    # ---- start ----

    def port(self, name):
        return (0, 0) if self.args.any_port and name.startswith("replica") else 0 if self.args.any_port else PORTS[name]

    def add(self, part):
        self.parts[part.name] = part
        return part

    def begin(self):
        tempfile.tempdir = str(self.folder)  # the servers' data too
        listener = control.listen(self.folder / "control")
        self.announcement = control.Announcement(self.args.state, self.folder, self.folder / "control")
        say("PostgreSQL and Redis …")
        postgres = self.add(parts.PostgresPart(self.port("postgres")))
        redis = self.add(parts.RedisPart(self.port("redis")))
        say("Kafka …")
        kafka = self.add(parts.KafkaPart(self.port("kafka")))
        say("the ledger …")
        shutil.copytree(CONSOLE, self.web)
        self.add(parts.Ledger(self.folder, postgres, kafka)).start()
        self.wait_ready()  # whoever reads the list of accounts finds all of them
        say("the projector and two replicas …")
        bgw = parts.find_bgw()
        stream = {"KAFKA_BOOTSTRAP": kafka.address, "REDIS": redis.server.url}
        if "projector" not in self.args.without:
            self.add(parts.Projector(self.folder, bgw, self.port("projector"), stream)).start()
        settings = stream | {"BGW_ORIGIN_PG": postgres.server.uri, "BGW_JWT_SECRET": secrets.token_hex(32),
                             "BGW_WEB_ROOT": self.web}
        for number in (1, 2):
            self.add(parts.Replica(self.folder, bgw, number, self.port(f"replica-{number}"), **settings)).start()
        self.tell_page()
        self.wait_ready()
        self.take_token()
        return listener

    def wait_ready(self):
        deadline = time.monotonic() + READY_S
        for part in self.parts.values():
            while part.state == parts.STARTING and time.monotonic() < deadline:
                time.sleep(0.02)
            if part.state != processes.RUNNING:
                end = part.log.read_text(errors="replace")[-2000:]
                raise SystemExit(f"{end}\nreal: {part.name} is {part.state} instead of ready; above the end of its log")

    def take_token(self):
        address = self.parts["replica-1"].address
        with urllib.request.urlopen(f"http://{address}/demo/token.json", timeout=10) as reply:
            token = json.load(reply)["token"]
        path = self.folder / "token"
        path.touch(0o600)
        path.write_text(token)

    def moved(self):
        for part in self.parts.values():
            usual = PORTS.get(part.name)
            usual = usual[0] if isinstance(usual, tuple) else usual
            if usual and not self.args.any_port and not part.address.endswith(f":{usual}"):
                yield f"port {usual}, usually {part.name}'s, was taken"

    # ---- life ----

    def serve(self, listener):
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while True:
                if selector.select(TICK_S):
                    self.take(listener.accept()[0])
                self.look()

    def look(self):
        """Says what changed, whoever did it: on the terminal, and to the page."""
        now = {name: part.state for name, part in self.parts.items()}
        for name, state in now.items():
            if self.told.get(name, state) != state:
                how = f" ({processes.ended_how(self.parts[name].proc)}): ./dev part {name} start" if state == processes.STOPPED else ""
                say(f"{name} is {state}{how}")
        if now != self.told:
            self.told = now
            self.tell_page()
        self.answer_waiting()

    def tell_page(self):
        states = [{"name": name, "state": part.state} for name, part in self.parts.items()]
        beside = self.web / ".parts"
        beside.write_text(json.dumps({"parts": states}))
        beside.rename(self.web / "parts.json")

    def take(self, connection):
        connection.settimeout(1)
        try:
            words = connection.makefile().readline().split(" ")
            self.obey(connection, words[0], words[1].strip() if len(words) > 1 else "")
        except OSError:
            connection.close()

    def obey(self, connection, name, action):
        if name == "status":
            lines = "\n".join(map(self.line, self.parts.values()))
            return self.answer(connection, True, lines, parts={p.name: self.told_of(p) for p in self.parts.values()})
        part = self.parts.get(name)
        if part is None:
            return self.answer(connection, False, f"no part \"{name}\"; there are: {' '.join(self.parts)}")
        if action not in ("log", "status"):
            try:
                getattr(part, action)()
            except Exception as why:  # noqa: BLE001 - whatever it is, the others go on
                return self.answer(connection, False, f"{name}: {why}", **self.told_of(part))
        self.waiting.append((time.monotonic() + ANSWER_S, connection, part))
        return None

    def answer_waiting(self):
        left = []
        for until, connection, part in self.waiting:
            if part.state == parts.STARTING and time.monotonic() < until:
                left.append((until, connection, part))
            else:
                self.answer(connection, True, self.line(part), **self.told_of(part))
        self.waiting = left

    @staticmethod
    def answer(connection, ok, text, **more):
        with connection, contextlib.suppress(OSError):
            connection.sendall(json.dumps({"ok": ok, "text": text, **more}).encode())

    @staticmethod
    def told_of(part):
        return {"state": part.state, "address": part.address, "pid": part.proc.pid, "log": str(part.log)}

    @staticmethod
    def line(part):
        pid = f"pid {part.proc.pid}" if part.state != processes.STOPPED else ""
        return f"{part.name:<10} {part.state:<9} {part.address:<16} {pid}".rstrip()

    # ---- end ----

    def end(self):
        processes.end([(part.proc, part.ending) for part in self.parts.values()], END_S)
        # of what was still being made
        below = processes.children(os.getpid())
        processes.send(below, signal.SIGCONT)
        processes.send(below, signal.SIGKILL)
        if self.announcement:
            self.announcement.withdraw()
        shutil.rmtree(self.folder, ignore_errors=True)


def say(text):
    print(f"==> {text}", flush=True)


def end_on(number, _frame):
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # it is under way: everything has END_S
    raise SystemExit(128 + number if number == signal.SIGHUP else 0)


def up(args):
    if control.is_running(args.state):
        raise SystemExit("real: a demonstration runs here already; `./dev part` shows it")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_on)
    demo = Demo(args)
    try:
        listener = demo.begin()
        print(box(list(demo.parts.values()), demo.folder, list(demo.moved())), flush=True)
        demo.serve(listener)
    finally:
        demo.end()


def main():
    parser = argparse.ArgumentParser(prog="./dev up --real")
    parser.add_argument("--state", default="build/real", help="folder in which the running demonstration is announced")
    parser.add_argument("--any-port", action="store_true", help="free ports instead of the usual ones")
    parser.add_argument("--without", action="append", default=[], choices=["projector"], help="a part to leave out")
    up(parser.parse_args())


main()
