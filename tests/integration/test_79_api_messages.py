# SPDX-License-Identifier: Apache-2.0
"""docs/api/asyncapi.yaml is true: every message of every dialect that a client sends or sees is judged
by its schema, up to the last words of a drain. And docs/examples/: what they promise."""

import json
import os
import pathlib
import subprocess
import time

import pytest

from harness.asked import UPGRADE, answer, draining, head_of, made, method_of, request
from harness.documents import AsyncApi, OpenApi
from harness.gateway import Gateway
from harness.kafka import Feed, free_port
from harness.raw import CLOSE, TEXT, Raw
from harness.records import END, Records, negotiate
from harness.tokens import token
from harness.wait import until

ROOT = pathlib.Path(__file__).parents[2]
ALICE, BOB = "msisdn::2348100000001", "msisdn::2348100000002"


@pytest.fixture
def asyncapi():
    return AsyncApi()


# ---- messages ----

class Seen:
    """One of each dialect, and what they were told."""

    def __init__(self, asyncapi):
        self.asyncapi = asyncapi

    def native(self, c, until_ev=None, **members):
        """Judges frames of a native connection up to this one."""
        while True:
            opcode, payload = c.next_frame()
            if opcode == CLOSE:
                assert until_ev is None, payload
                return None
            if opcode != TEXT:
                continue
            frame = json.loads(payload)
            self.asyncapi.judge("sayNative", frame)
            if frame["ev"] == until_ev and all(frame.get(k) == v for k, v in members.items()):
                return frame

    def say(self, c, command):
        self.asyncapi.judge("hearNative", command)
        c.text(command)

    def hub(self, c, wanted):
        while True:
            record = json.loads(c.next_bytes())
            name = self.asyncapi.judge("saySignalr", record)
            if name == "balanceUpdate":
                self.asyncapi.judge("readBalances", json.loads(record["arguments"][0]))
            if name == wanted:
                return record

    def call(self, c, record):
        self.asyncapi.judge("hearSignalr", record)
        c.say(json.dumps(record))

    def app(self, c, wanted):
        while True:
            opcode, payload = c.next_frame()
            assert opcode != CLOSE, payload
            if opcode != TEXT:
                continue
            frame = json.loads(payload)
            name = self.asyncapi.judge("sayApp", frame)
            if name == wanted:
                return frame

    def invoke(self, c, method, *args):
        frame = {"type": "invoke", "method": method, "args": list(args)}
        self.asyncapi.judge("hearApp", frame)
        c.text(frame)

    def stream(self, c, wanted):
        """Judges blocks of an event stream up to this event; its fields."""
        while True:
            while b"\n\n" not in c.buffer:
                c.fill(len(c.buffer) + 1)
            block, c.buffer = c.buffer.split(b"\n\n", 1)
            fields = {}
            for line in block.decode().split("\n"):
                name, _, value = line.partition(":")
                assert name in ("", "event", "data", "id", "retry"), block
                fields[name] = value.removeprefix(" ")
            if "event" in fields:
                self.asyncapi.judge("sayStream", json.loads(fields["data"]), fields["event"])
            if fields.get("event", "comment" if "" in fields else None) == wanted:
                return fields


def opened_stream(gateway, bearer, *accounts):
    c = Raw(gateway)
    c.send(request("/v1/stream?" + "&".join(f"account={a}" for a in accounts), bearer=bearer))
    assert head_of(c).status == 200
    return c


def opened_app(gateway, bearer):
    c = Records(gateway)
    c.open(bearer)
    return c


@pytest.fixture(scope="module")
def lively():
    """A gateway that soon says whatever it says at times."""
    with Gateway(BGW_MARK_S=1, BGW_HEARTBEAT_S=1, BGW_REWIND="beginning") as g:
        g.feed = Feed(g.bootstrap, g.topic, readers=[g])
        g.feed.put(ALICE, 9007199254740993, ts=1760000000000, deltaMinor=-5, txnId="t-1")
        g.feed.put(BOB, 3)
        g.feed.flush()
        yield g


def test_native_frames_are_as_documented(lively, asyncapi):
    seen, bearer = Seen(asyncapi), token([ALICE, "nobody"], sub="native")
    with Raw(lively) as c:
        c.upgrade()
        seen.say(c, {"op": "hello", "token": bearer, "client": "test/1"})
        hello = seen.native(c, "hello")
        seen.say(c, {"op": "sub", "id": 1, "keys": [ALICE, "nobody", "stranger"]})
        assert seen.native(c, "sub")["denied"] == [{"key": "stranger", "code": "no_grant"}]
        seen.native(c, "live", id=1)
        lively.feed.put(ALICE, 4, deltaMinor=1, txnId="t-2")
        lively.feed.flush()
        version = seen.native(c, "upd")["u"][-1]["v"]
        seen.say(c, {"op": "unsub", "id": 2, "keys": ["nobody"]})
        seen.native(c, "ok", id=2)
        seen.say(c, {"op": "rate", "id": 3, "max_hz": 0.5, "max_bytes_s": 100000})
        seen.native(c, "ok", id=3)
        seen.say(c, {"op": "ping", "id": 4})
        seen.native(c, "pong", id=4)
        seen.say(c, {"op": "repair", "id": 5})
        seen.native(c, "ok", id=5)
        mark = seen.native(c, "mark")
        seen.say(c, {"op": "ack", "w": mark["w"]})
        c.text({"op": "subscribe", "id": 6})
        assert seen.native(c, "err")["code"] == "bad_op"
        seen.say(c, {"op": "auth", "id": 7, "token": token(["nobody"], sub="native")})
        assert seen.native(c, "revoked")["reason"] == "grant_removed"
    with Raw(lively) as c:
        c.upgrade(bearer)
        seen.say(c, {"op": "hello", "resume": hello["resume"]})
        seen.say(c, {"op": "sub", "id": 1, "keys": [ALICE], "since": {ALICE: version}})
        assert seen.native(c, "sub")["current"] == [ALICE]
        seen.native(c, "live", id=1)
    assert asyncapi.unseen("sayNative") == {"bye"} and asyncapi.unseen("hearNative") == set()  # bye: test_a_drain


def test_hub_records_are_as_documented(lively, asyncapi):
    seen, bearer = Seen(asyncapi), token([ALICE, BOB, "nobody"], sub="hub")
    with Records(lively) as c:
        c.open(bearer)
        seen.call(c, {"protocol": "json", "version": 1})
        seen.hub(c, "handshakeReply")
        seen.call(c, {"type": 6})
        seen.call(c, {"type": 1, "target": "subscribebalance", "arguments": [ALICE], "invocationId": "0"})
        assert seen.hub(c, "subscriptionConfirmed")["arguments"][0]["groupName"] == f"acct::{ALICE}"
        assert seen.hub(c, "completion")["result"] is None
        assert json.loads(seen.hub(c, "balanceUpdate")["arguments"][0])["accountId"] == ALICE
        seen.call(c, {"type": 1, "target": "SubscribeMultipleBalances", "arguments": [[BOB, "nobody", "stranger"]], "invocationId": "1"})
        assert "stranger" in seen.hub(c, "completion")["error"]
        assert seen.hub(c, "balanceState")["arguments"][0]["state"] == "unknown"
        seen.call(c, {"type": 1, "target": "UnsubscribeBalance", "arguments": ["nobody"]})
        seen.hub(c, "ping")
        revoke(lively, {"sub": "hub", "accounts": [BOB], "exp": int(time.time()) + 600})
        assert seen.hub(c, "subscriptionRevoked")["arguments"] == [{"accountId": BOB, "reason": "revoked"}]
        asyncapi.judge("hearSignalr", {"type": 7})
        c.say("not json")
        seen.hub(c, "close")
    with Records(lively) as c:
        c.open(bearer).say('{"protocol":"messagepack","version":1}')
        assert seen.hub(c, "handshakeReply")["error"] == "The protocol 'messagepack' is not supported."
    assert asyncapi.unseen("saySignalr") == set() == asyncapi.unseen("hearSignalr") - {"close"}


def test_hub_records_of_an_event_stream_are_as_documented(lively, asyncapi):
    bearer = token([ALICE], sub="hub-stream")
    path = f"/ws?id={negotiate(lively, bearer)['connectionToken']}"
    with Raw(lively) as c:
        c.send(request(path, "Accept: text/event-stream", bearer=bearer))
        assert head_of(c).status == 200
        for record in ({"protocol": "json", "version": 1},
                       {"type": 1, "target": "SubscribeBalance", "arguments": [ALICE], "invocationId": "7"}):
            asyncapi.judge("hearSignalr", record)
            assert answer(lively, request(path, bearer=bearer, method="POST", body=json.dumps(record) + "\x1e")).status == 200
        wanted = {"handshakeReply", "subscriptionConfirmed", "completion", "balanceUpdate", "ping"}
        while asyncapi.seen.get("saySignalr", set()) < wanted:
            while b"\r\n\r\n" not in c.buffer:
                c.fill(len(c.buffer) + 1)
            event, c.buffer = c.buffer.split(b"\r\n\r\n", 1)
            data = event.removeprefix(b":\r\n").removeprefix(b"data: ")
            assert data.endswith(END), event  # whole records
            for record in data[:-1].split(END):
                asyncapi.judge("saySignalr", json.loads(record))
    assert asyncapi.seen["saySignalr"] == wanted


def test_app_frames_are_as_documented(lively, asyncapi):
    seen, bearer = Seen(asyncapi), token([ALICE, BOB, "nobody"], sub="app")
    with opened_app(lively, bearer) as c:
        seen.invoke(c, "SubscribeBalance", ALICE)
        seen.app(c, "subscriptionConfirmed")
        assert json.loads(seen.app(c, "balanceUpdate")["arguments"][0])["accountId"] == ALICE
        seen.invoke(c, "SubscribeMultipleBalances", [BOB, "nobody"])
        assert seen.app(c, "balanceState")["arguments"][0]["accountId"] == "nobody"
        seen.invoke(c, "SubscribeBalance", "stranger")
        assert seen.app(c, "error")["arguments"][0]["code"] == "no_grant"
        c.text("nonsense")
        seen.app(c, "error")
        seen.invoke(c, "UnsubscribeBalance", "nobody")
        revoke(lively, {"sub": "app", "accounts": [BOB], "exp": int(time.time()) + 600})
        seen.app(c, "subscriptionRevoked")
    assert asyncapi.unseen("sayApp") == set() == asyncapi.unseen("hearApp")


def test_events_of_streams_are_as_documented(lively, asyncapi):
    seen, bearer = Seen(asyncapi), token([ALICE, BOB, "nobody"], sub="stream")
    with opened_stream(lively, bearer, ALICE, BOB, "nobody", "stranger") as c:
        assert json.loads(seen.stream(c, "sub")["data"])["denied"] == [{"key": "stranger", "code": "no_grant"}]
        seen.stream(c, "upd")
        seen.stream(c, "live")
        seen.stream(c, "comment")
        revoke(lively, {"sub": "stream", "accounts": [BOB], "exp": int(time.time()) + 600})
        seen.stream(c, "revoked")
        revoke(lively, {"sub": "stream", "before": int(time.time()), "exp": int(time.time()) + 600})
        assert json.loads(seen.stream(c, "bye")["data"])["code"] == 3510
    assert asyncapi.unseen("sayStream") - {"state"} == {"err"}  # a stream has no commands, so nothing of them fails


def revoke(gateway, what):
    AsyncApi().judge("readRevocations", what)

    class Admin:
        listen = gateway.info["admin"]
    body = json.dumps(what)
    with Raw(Admin) as c:
        response = c.ask(f"POST /revocations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
                         f"\r\n\r\n{body}")
        assert response.status == 200, response.body


def test_a_drain_says_what_is_documented(asyncapi):
    seen, openapi = Seen(asyncapi), OpenApi()
    with Gateway(BGW_DRAIN_S=8, BGW_REWIND="beginning") as g:
        g.token = token([ALICE], sub="drain")
        feed = Feed(g.bootstrap, g.topic, readers=[g])
        feed.put(ALICE, 1)
        feed.flush()
        with Raw(g) as native, Records(g) as hub, opened_app(g, g.token) as app, opened_stream(g, g.token, ALICE) as stream:
            native.upgrade(g.token)
            hub.greet(g.token)
            seen.invoke(app, "SubscribeBalance", ALICE)
            seen.app(app, "balanceUpdate")
            seen.stream(stream, "live")
            g.proc.terminate()
            until(lambda: draining(g), 10, "the drain")
            for path, what in (("/readyz", request("/readyz?verbose")), ("/v1/stream", request(f"/v1/stream?account={ALICE}")),
                               ("/ws/negotiate", request("/ws/negotiate", method="POST", body="")), ("/ws", request("/ws", *UPGRADE))):
                response = answer(g, made(g, what))
                assert response.status == 503, (path, response.line)
                openapi.judge(method_of(what), path, response)
            assert seen.native(native, "bye")["code"] == 3001
            assert seen.hub(hub, "close") == {"type": 7, "allowReconnect": True}
            bye = seen.stream(stream, "bye")
            assert json.loads(bye["data"])["code"] == 3001
            assert app.close_code() == 3001
        g.finish(15)


# ---- the example ----

EXAMPLE = """
import { createRequire } from "node:module";
import { retryDelay, retryForever, stayConnected } from %(example)s;
const load = createRequire(%(folder)s + "/package.json");
const { HubConnectionBuilder, LogLevel } = load(%(package)s);
const say = (what, more) => console.log(JSON.stringify({ what, ...more }));
for (let attempt = 0; attempt < 2000; attempt++)
    for (const random of [() => 0, () => 0.999999]) {
        const ms = retryDelay(attempt, random);
        if (!(ms >= 500 && ms <= 20000)) throw new Error(`${attempt}: ${ms}`);
    }
const quick = { nextRetryDelayInMilliseconds: (c) => Math.min(100, retryForever.nextRetryDelayInMilliseconds(c)) };
const hub = new HubConnectionBuilder().withUrl(%(url)s, { accessTokenFactory: () => %(token)s })
    .withAutomaticReconnect(quick).configureLogging(LogLevel.None).build();
hub.on("balanceUpdate", (text) => say("balance", JSON.parse(text)));
hub.on("subscriptionConfirmed", () => {});
hub.on("balanceState", () => {});
const keeper = stayConnected(hub, new Set(%(accounts)s), {
    onRefused: (error) => say("refused", { error: error.message }), onStale: () => say("stale"),
    onEnded: (error) => { say("ended", { error: error ? error.message : null }); process.exit(0); } });
keeper.start().then(() => say("started"));
process.stdin.on("data", () => keeper.stop());
"""


class Example:
    """docs/examples/signalr-client.mjs in a Node process of its own."""

    def __init__(self, url, bearer, accounts, folder, package):
        program = EXAMPLE % {k: json.dumps(v) for k, v in {
            "example": (ROOT / "docs/examples/signalr-client.mjs").as_uri(), "folder": os.environ["SIGNALR_CLIENTS"],
            "package": package, "url": url, "token": bearer, "accounts": accounts}.items()}
        path = folder / "main.mjs"
        path.write_text("delete globalThis.fetch;\n" + program.lstrip() if package != "signalr10" else program)
        self.said = {}
        self.process = subprocess.Popen(["node", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def next(self, what):
        """The next that it says of this kind; a call's result and an event may come in either order."""
        while not self.said.get(what):
            line = self.process.stdout.readline()
            assert line, f"it ended without {what}: {self.process.wait(5)}"
            event = json.loads(line)
            self.said.setdefault(event["what"], []).append(event)
        return self.said[what].pop(0)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize("package", ["signalr3", "signalr10"])
def test_example_of_the_migration_page_comes_back_and_subscribes_again(tmp_path, package):
    port = free_port()
    bearer = token([ALICE, BOB], sub="example")
    settings = {"BGW_LISTEN": f"127.0.0.1:{port}", "BGW_DRAIN_S": 1, "BGW_REWIND": "beginning"}
    with Example(f"http://127.0.0.1:{port}/ws", bearer, [ALICE, "stranger"], tmp_path, package) as app:
        for minor in (11, 12):
            with Gateway(**settings) as g:
                feed = Feed(g.bootstrap, g.topic, readers=[g])
                feed.put(ALICE, minor)
                feed.flush()
                assert "stranger" in app.next("refused")["error"]
                assert app.next("balance")["minor"] == minor
            app.next("stale")
        app.process.stdin.write("stop\n")
        app.process.stdin.flush()
        assert app.next("ended")


def test_example_stops_at_a_token_that_is_refused(lively, tmp_path):
    with Example(f"http://{lively.listen}/ws", "nonsense", [ALICE], tmp_path, "signalr10") as app:
        assert "token_malformed" in app.next("ended")["error"]
