# SPDX-License-Identifier: Apache-2.0
"""Three tenants with the same account ids, a hundred thousand random commands, and every account of
all of them changing: nobody is sent a byte of another tenant, and each denial is told and counted.
BGW_SEED repeats a run, BGW_COMMANDS shortens it."""

import asyncio
import json
import os
import random
import re
import threading
import time

import websockets

from harness.gateway import Gateway
from harness.kafka import Feed
from harness.tokens import token

COMMANDS = int(os.environ.get("BGW_COMMANDS", 100_000))
TENANTS = ("tnt_amber", "tnt_birch", "tnt_cedar")
ACCOUNTS = [f"acc-{i:02d}" for i in range(60)]
CONNECTIONS = 20  # a tenant
PIPELINED = 16
BASE = 10 ** 15   # tenant 0 has 1 and fifteen digits, tenant 1 has 2 and fifteen, tenant 2 has 3; no time is that long
AMOUNT = re.compile(rb'(?<!\d)(?<!"digest":")([1-9])\d{15}(?!\d)')  # one digest in two thousand is as long
ANSWERED = ("sub", "ok", "err", "pong")


class Party:
    """One connection: sends random commands, and knows what each may be answered."""

    def __init__(self, gateway, tenant, rng):
        self.gateway, self.tenant, self.rng = gateway, tenant, rng
        self.sub = f"user-{rng.randrange(5)}"  # subjects too have the same names in every tenant
        self.sent = self.answered = self.amounts = self.frames = 0
        self.expected, self.asked, self.counts, self.wrong = {}, {}, {}, []
        self.granted = self.choose()
        self.history = [self.granted]  # a sub that waits is answered by the grants of that moment
        self.strangers = [t.encode() for t in TENANTS if t != TENANTS[tenant]]
        self.room = asyncio.Event()

    def choose(self):
        return set(ACCOUNTS) if self.rng.random() < 0.2 else set(self.rng.sample(ACCOUNTS, self.rng.randrange(1, 30)))

    def token(self, accounts, tenant=None, sub=None):
        name = TENANTS[self.tenant if tenant is None else tenant]
        return token(sorted(accounts), sub=sub or self.sub, tenant=name, everything=len(accounts) == len(ACCOUNTS))

    def keys(self):
        keys = {}
        for account in self.rng.sample(ACCOUNTS, self.rng.randrange(1, 5)):
            roll = self.rng.random()
            other = TENANTS[(self.tenant + 1) % 3]
            if roll < 0.8:
                keys[account + self.rng.choice(("", "", "/NGN"))] = None if account in self.granted else "no_grant"
            elif roll < 0.9:
                keys[self.rng.choice((f"{account}|{other}|NGN", f"{other}/{account}", f"{other}|{account}"))] = "bad_id"
            else:
                keys[f"stranger-{self.rng.randrange(1000)}"] = None if len(self.granted) == len(ACCOUNTS) else "no_grant"
        return keys

    def command(self):
        ident, roll = self.sent + 1, self.rng.random()
        if roll < 0.6:
            keys = self.keys()
            command = {"op": "sub", "keys": list(keys)}
            if self.rng.random() < 0.2:
                command["since"] = {k: f"nowhere.{self.rng.randrange(9)}" for k, bad in keys.items() if bad != "bad_id"}
            self.expected[ident] = ("late sub" if "since" in command else "sub", {k: bad for k, bad in keys.items() if bad})
            self.asked[ident] = list(keys), len(self.history) - 1
        elif roll < 0.85:
            command = {"op": "unsub", "keys": self.rng.sample(ACCOUNTS, 10)}
            self.expected[ident] = ("ok", None)
        elif roll < 0.95:
            command = {"op": "ping"}
            self.expected[ident] = ("pong", None)
        elif roll < 0.96:
            command = {"op": "repair"}
            self.expected[ident] = ("ok", None)
        elif roll < 0.98:
            other = self.rng.randrange(3)
            stolen = self.token(set(ACCOUNTS), tenant=other, sub=None if other != self.tenant else "somebody")
            command = {"op": "auth", "token": stolen}
            self.expected[ident] = ("err", "other_subject")
        else:
            self.granted = self.choose()
            self.history.append(self.granted)
            command = {"op": "auth", "token": self.token(self.granted)}
            self.expected[ident] = ("ok", None)
        self.sent = ident
        return {**command, "id": ident}

    def on_frame(self, raw):
        self.frames += 1
        for stranger in self.strangers:
            if stranger in raw and b'"denied"' not in raw:  # a denial repeats the key that was asked for
                self.wrong.append(f"{TENANTS[self.tenant]} was sent {raw[:300]}")
        for digit in AMOUNT.findall(raw):
            self.amounts += 1
            if digit != b"%d" % (self.tenant + 1):
                self.wrong.append(f"{TENANTS[self.tenant]} was sent an amount of another: {raw[:300]}")
        if raw.startswith((b'{"ev":"upd"', b'{"ev":"mark"', b'{"ev":"state"', b'{"ev":"live"')):
            return
        frame = json.loads(raw)
        if frame["ev"] in ANSWERED and "id" in frame:
            self.on_answer(frame)

    def on_answer(self, frame):
        kind, what = self.expected.pop(frame["id"], ("nothing", None))
        got = {"sub": lambda: {d["key"]: d["code"] for d in frame["denied"]},
               "err": lambda: frame["code"]}.get(frame["ev"], lambda: None)()
        keys, since = self.asked.pop(frame["id"], ([], 0))
        if kind == "late sub":  # it waited for the topic to be looked at: each refresh since then counts
            kind, what = "sub", {k: self.late(k, what.get(k), got.get(k), self.history[since:]) for k in keys}
            what = {k: bad for k, bad in what.items() if bad}
        if (frame["ev"], got) != (kind, what):
            self.wrong.append(f"command {frame['id']}: {frame} instead of {kind} {what}")
        for code in (got.values() if frame["ev"] == "sub" else [got] if frame["ev"] == "err" else []):
            self.counts[code] = self.counts.get(code, 0) + 1
        self.answered += 1
        self.room.set()

    @staticmethod
    def late(key, at_once, got, grants):
        """What `key` may be answered: `got`, if some grants since the command explain it."""
        account = key.split("/")[0]
        verdicts = {None if len(g) == len(ACCOUNTS) or account in g else "no_grant" for g in grants}
        return at_once if at_once == "bad_id" or got not in verdicts else got

    async def send_all(self, ws, commands):
        for _ in range(commands):
            while self.sent - self.answered >= PIPELINED:
                self.room.clear()
                await self.room.wait()
            await ws.send(json.dumps(self.command()))

    async def run(self, commands, timeout):
        async with websockets.connect(self.gateway.ws, subprotocols=["bgw.v1"], compression=None, max_size=None, proxy=None,
                                      additional_headers={"Authorization": f"Bearer {self.token(self.granted)}"}) as ws:
            sender = asyncio.create_task(self.send_all(ws, commands))
            async with asyncio.timeout(timeout):
                while self.answered < commands or not sender.done():
                    self.on_frame(await ws.recv(decode=False))
            await sender


class Changes(threading.Thread):
    """Every account of every tenant, over and over, on a thread of its own: the clients' loop is busy."""

    def __init__(self, gateway):
        super().__init__(daemon=True)
        self.feed, self.over, self.count = Feed(gateway.bootstrap, gateway.topic), threading.Event(), 0

    def run(self):
        while not self.over.is_set():
            for account in ACCOUNTS:
                for tenant, name in enumerate(TENANTS):
                    self.count += 1
                    self.feed.put(account, (tenant + 1) * BASE + self.count, tenant=name, key=f"{account}|{name}|NGN",
                                  txnId=f"tx-{name}-{self.count}")
                self.over.wait(0.002)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *unused):
        self.over.set()
        self.join(10)
        self.feed.flush()


def test_no_byte_of_another_tenant_in_a_hundred_thousand_commands(kafka):
    seed = int(os.environ.get("BGW_SEED", time.time_ns() % 1_000_000_000))
    print(f"seed {seed}")

    async def go(gateway):
        rng = random.Random(seed)
        parties = [Party(gateway, tenant, random.Random(rng.random())) for tenant in range(3) for _ in range(CONNECTIONS)]
        await asyncio.gather(*(p.run(COMMANDS // len(parties) + 1, 150) for p in parties))
        return parties

    began = time.monotonic()
    with Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=kafka.create(), binary=os.environ["BGW_RELEASE_BIN"],
                 BGW_COMMANDS_PER_S=0) as gateway:
        with Changes(gateway) as changes:
            parties = asyncio.run(go(gateway))
        wrong = [w for p in parties for w in p.wrong]
        assert not wrong, f"seed {seed}: {len(wrong)} wrong, first: {wrong[:3]}"
        counts = {code: sum(p.counts.get(code, 0) for p in parties) for code in ("no_grant", "bad_id", "other_subject")}
        amounts = [sum(p.amounts for p in parties if p.tenant == t) for t in range(3)]
        print(f"{sum(p.answered for p in parties)} commands, {changes.count} changes, {sum(p.frames for p in parties)} frames with "
              f"{amounts} amounts, denials {counts}, {time.monotonic() - began:.0f} s")
        metrics = gateway.metrics()
        for code, count in counts.items():
            assert count > 100 and metrics[f'bgw_command_errors_total{{code="{code}"}}'] == count, (code, count)
        assert sum(p.answered for p in parties) >= COMMANDS and not any(p.expected for p in parties)
        assert changes.count > 10 * 3 * len(ACCOUNTS) and min(amounts) > 1000  # each tenant really was sent its own
