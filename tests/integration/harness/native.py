# SPDX-License-Identifier: Apache-2.0
"""A client of bgw.v1 on the `websockets` package, which checks what every client may rely on: a
version never goes back inside an epoch, merged counts close every gap, the digest fits what it
holds, `live` comes after the last of its keys."""

import asyncio
import json

import websockets

FNV_INIT, FNV_PRIME, MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


def fnv64(text):
    h = FNV_INIT
    for byte in text.encode():
        h = ((h ^ byte) * FNV_PRIME) & MASK
    return h


def version_key(v):
    epoch, *numbers = v.split(".")
    seq, read = (numbers + ["0"])[:2]
    return epoch, (int(seq), int(read))


class Closed(Exception):
    def __init__(self, code, reason):
        super().__init__(f"{code} {reason}")
        self.code, self.reason = code, reason


class Native:
    def __init__(self, gateway, token=None, header=True, resume=None, **connect):
        self.url = gateway if isinstance(gateway, str) else gateway.ws
        self.token, self.header, self.resume = token, header, resume
        self.connect_args = connect
        self.balances, self.versions, self.states, self.hashes = {}, {}, {}, {}
        self.frames, self.errors = [], []
        self.live, self.hello, self.bye, self.revoked = set(), None, None, []
        self.merged, self.contiguous = 0, True
        self.next_id = 0

    async def __aenter__(self):
        headers = {"Authorization": f"Bearer {self.token}"} if self.token and self.header else None
        self.ws = await websockets.connect(self.url, subprotocols=["bgw.v1"], additional_headers=headers,
                                           compression=None, max_size=None, proxy=None, **self.connect_args)
        if not self.header or self.resume:
            hello = {"op": "hello"}
            hello.update({k: v for k, v in (("token", None if self.header else self.token),
                                            ("resume", self.resume)) if v})
            await self.send(hello)
        return self

    async def __aexit__(self, *unused):
        await self.ws.close()

    async def send(self, command):
        await self.ws.send(command if isinstance(command, str) else json.dumps(command))

    async def receive(self, timeout=10):
        try:
            text = await asyncio.wait_for(self.ws.recv(), timeout)
        except websockets.ConnectionClosed as closed:
            frame = closed.rcvd
            raise Closed(frame.code if frame else 1006, frame.reason if frame else "") from None
        frame = json.loads(text)
        self.frames.append(frame)
        getattr(self, f"on_{frame['ev']}", lambda f: None)(frame)
        return frame

    async def expect(self, ev, timeout=10, **members):
        """Reads on until a frame of this kind (and these members) has come."""
        async with asyncio.timeout(timeout):
            while True:
                frame = await self.receive(timeout)
                if frame["ev"] == ev and all(frame.get(k) == v for k, v in members.items()):
                    return frame

    async def until(self, condition, timeout=15, what="condition"):
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    await self.receive(timeout)
        except TimeoutError:
            raise AssertionError(f"in vain for {what}; last frames: {self.frames[-5:]}") from None

    async def drain(self, seconds):
        """Reads whatever comes for a while: to show that something does NOT come."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self.receive(seconds + 1)
        except TimeoutError:
            return

    async def command(self, op, **members):
        self.next_id += 1
        await self.send({"op": op, "id": self.next_id, **members})
        return self.next_id

    async def sub(self, *keys, live=True, **members):
        """Subscribes; waits for the reply, and for `live`."""
        ident = await self.command("sub", keys=list(keys), **members)
        reply = await self.expect("sub", id=ident)
        for key in reply["current"]:
            self.hold(key.split("/")[0], members.get("since", {}).get(key))
        if live:
            await self.until(lambda: ident in self.live, what="live")
        return reply

    def hold(self, account, version):
        for slot in [s for s in self.versions if s[0] == account]:
            self.hashes[slot] = fnv64(f"{slot[0]}|{slot[1]}|{version or self.versions[slot]}")

    # ---- what the server says ----
    def on_hello(self, frame):
        self.hello = frame
        self.resume = frame.get("resume") or self.resume

    def on_upd(self, frame):
        for entry in frame["u"]:
            slot = entry["k"], entry["d"]["currency"]
            new = version_key(entry["v"])
            old = self.versions.get(slot) and version_key(self.versions[slot])
            if old and old[0] == new[0]:
                if new[1] < old[1]:
                    self.errors.append(f"{slot} went back from {old} to {new}")
                if new[1] == old[1] and not entry.get("snap"):
                    self.errors.append(f"{slot} came twice: {new}")
                if not entry.get("snap") and self.contiguous and new[1][0] != old[1][0] + entry.get("merged", 0) + 1:
                    self.errors.append(f"{slot}: a gap from {old} to {new}, merged {entry.get('merged', 0)}")
            assert isinstance(entry["d"]["minor"], str), entry
            if entry.get("merged"):
                assert "deltaMinor" not in entry["d"] and "txnId" not in entry["d"], entry
            self.merged += entry.get("merged", 0)
            self.versions[slot] = entry["v"]
            self.balances[slot] = int(entry["d"]["minor"])
            self.hashes[slot] = fnv64(f"{slot[0]}|{slot[1]}|{entry['v']}")
            self.states[slot[0]] = self.states.get(slot[0]) if self.states.get(slot[0]) in ("delayed", "stale") else "fresh"

    def on_state(self, frame):
        for key in frame["keys"]:
            self.states[key] = frame["state"]
            if frame["state"] in ("removed", "unknown"):
                for slot in [s for s in self.hashes if s[0] == key.split("/")[0]]:
                    del self.hashes[slot]

    def on_mark(self, frame):
        self.resume = frame.get("resume") or self.resume
        digest = 0
        for value in self.hashes.values():
            digest ^= value
        if f"{digest:016x}" != frame["digest"]:
            self.errors.append(f"digest {frame['digest']}, held {digest:016x}")

    def on_live(self, frame):
        self.live.add(frame["id"])

    def on_revoked(self, frame):
        self.revoked += frame["keys"]

    def on_bye(self, frame):
        self.bye = frame

    def balance(self, account, currency="NGN"):
        return self.balances.get((account, currency))

    def check(self):
        assert not self.errors, self.errors[:5]
