# SPDX-License-Identifier: Apache-2.0
"""A console in a state that is always the same: its clock stands at one moment, and the test says what its gateway says.
For pictures that can be compared."""

import json
import math

from playwright.sync_api import expect

from .console import Scripted, sign_in

BEFORE = "2026-11-21T12:00:00Z"
NOON = "2026-11-21T12:03:00Z"
NOON_MS = 1795262580000
FRAME_MS = 16
ACCOUNTS = [f"msisdn::23481000000{i:02}" for i in range(1, 11)]
BALANCES = [24491877, 51874536, 39533670, 31992680, 4471157, 58375882, 10505905, 47885724, 24330624, 5290184]
MOVES = [(-300000, 1200050, 45000), (-120000, 64000), (-180081,), (800000, -35000, 1250000), (1000000,), (3000000, -450000), (185000,),
         (700000, 12500, 12500), (-60000, 250000), (45000, -9000)]


def ops_at(second):
    """/v1/ops of a busy replica."""
    wave = round(6 + 4 * math.sin(second / 11) + 2 * math.sin(second / 3.7))
    stamp = f"2026-11-21T12:{second // 60:02}:{second % 60:02}.000Z"
    latency = {"count": 0, "p50_s": None, "p90_s": None, "p99_s": None, "max_s": None}
    return {
        "timestamp": stamp, "seq": second,
        "process": {"version": "0.1.0", "instance": "replica-1:5851", "shards": 4, "uptime_s": 93784, "state": "ready", "since": stamp,
                    "reasons": [], "degraded": []},
        "connections": {"total": 48210 + wave, "by_dialect": {"native": 31877, "signalr": 14120, "signalr_sse": 12, "app": 2104, "sse": 97,
                                                              "undecided": 0},
                        "by_transport": {"websocket": 48101}, "accepted_per_s": 41, "refused_total": 87},
        "sessions": 48210, "subscriptions": 61400, "watched_keys": 52913,
        "records": {"consumed_total": 81234567, "consumed_per_s": 2412 + 9 * wave, "rejected_total": 0, "rejected_per_s": 0},
        "deliveries": {"delivered_total": 90000000, "delivered_per_s": 3184 + 31 * wave, "merged_total": 5120, "merged_per_s": 0,
                       "abandoned_total": 12, "pending": 3, "bytes_per_s": 741200},
        "latency": {"handoff": {"count": 31840, "p50_s": 0.000112 + wave * 4e-6, "p90_s": 0.0003, "p99_s": 0.0011 + wave * 5e-5, "max_s": 0.0045},
                    "read": {"count": 412, "p50_s": 0.0009, "p90_s": 0.002, "p99_s": 0.0061, "max_s": 0.011},
                    "redis": {"count": 398, "p50_s": 0.0004, "p90_s": 0.001, "p99_s": 0.0024, "max_s": 0.005}, "origin": latency},
        "kafka": {"proof": {"state": "fresh", "age_s": 0.4}, "lag_records": wave, "lag_s": 0.02, "partition_count": 6,
                  "partitions": [{"partition": p, "lag_records": wave if p == 0 else 0, "lag_s": 0.02 if p == 0 else 0} for p in range(6)]},
        "sources": {"redis": {"state": "up", "since": stamp, "breaker": "closed"}, "invalidations": {"state": "up", "since": stamp},
                    "origin": {"kind": "postgresql", "state": "up", "since": stamp, "breaker": "closed", "calls_per_s": 1.4, "failed_total": 0}},
        "hedges": {"total": 21, "per_s": 0.2, "won_by_cache_total": 14, "won_by_database_total": 7},
        "reads": {"total": 190000, "per_s": 212.4, "waiting": 1, "by_source_per_s": {}},
        "caches": {"l1": {"hit_ratio": 0.962}, "l2": {"hit_ratio": 0.884}},
        "slow_clients": {"stalled_now": 2, "closed_total": 1, "merged_total": 5120},
        "shedding": {"tokens": 800, "rate_per_s": 400, "burst": 800, "shed_total": 0, "shed_per_s": 0},
        "handshakes": {"ok_per_s": 41, "refused_total": 87, "refused_by_reason_total": {"token_expired": 61, "forbidden_origin": 26}},
        "flags": {"shedding": True, "l1": True, "l2": True, "hedge": True, "push": True, "filter": True, "stale": True},
        "memory": {"resident_bytes": 734003200, "book_keys": 52913, "book_slots": 53100},
    }


def stream_of_ops():
    """For the page, in place of the gateway's: three minutes at once, and then silence."""
    events = "".join(f"event: ops\ndata: {json.dumps(ops_at(second))}\n\n" for second in range(180))
    return f"""(() => {{
        const real = window.fetch;
        window.fetch = (what, how) => !String(what).includes('/v1/ops/stream') ? real(what, how) : Promise.resolve(new Response(
            new ReadableStream({{start(to) {{ to.enqueue(new TextEncoder().encode({json.dumps(events)})); }}}}),
            {{headers: {{'content-type': 'text/event-stream'}}}}));
    }})()"""


COUNT_FRAMES = """(() => {
    const Real = window.WebSocket;
    window.framesCame = 0;
    window.WebSocket = class extends Real {
        constructor(...how) { super(...how); this.addEventListener('message', () => window.framesCame++); }
    };
})()"""


class Still(Scripted):
    """The scripted gateway, with balances and moves that are always the same and come at moments that are always the same:
    the page's clock moves on only when the page has got all that was said, however quick the machine is."""

    def __init__(self, page, gateway):
        super().__init__(page)
        self.page, self.said = page, 0
        page.clock.install(time=BEFORE)  # it goes until it is halted, and can be halted only at a moment to come
        page.clock.pause_at(NOON)
        page.add_init_script(stream_of_ops())
        page.add_init_script(COUNT_FRAMES)
        page.route("**/readyz*", lambda route: route.fulfill(json={"ok": True}))
        page.goto(f"http://{gateway.listen}/")
        self.align_frames()
        self.versions = 100
        self.pass_time(100)
        sign_in(page, "any", *ACCOUNTS)
        self.pass_time(100)
        self.move()

    def align_frames(self):
        """The page's frames come each 16 ms since its clock was installed, which was some milliseconds before it was halted."""
        self.page.clock.run_for(FRAME_MS - self.page.evaluate("performance.now()") % FRAME_MS)
        self.page.clock.set_system_time(NOON)

    def say(self, **frame):
        super().say(**frame)
        self.said += 1

    def pass_time(self, ms):
        """In steps, between which what was sent arrives."""
        for _ in range(5):
            self.page.wait_for_function("n => framesCame === n", arg=self.said, polling=10)
            self.page.clock.run_for(ms // 5)

    def pass_until(self, ms):
        """To a moment after noon."""
        left = NOON_MS + ms - self.page.evaluate("Date.now()")
        assert left >= 0, left
        self.pass_time(left // 5 * 5)
        self.page.clock.run_for(left % 5)

    def put(self, account, minor, v, currency="NGN", **more):
        if account in ACCOUNTS and v.startswith("e.") and int(v[2:]) < 100:  # the snapshot
            minor = str(BALANCES[ACCOUNTS.index(account)])
            more = {"ts": NOON_MS - 60_000}
        super().put(account, minor, v, currency, **more)

    def move(self):
        now = dict(zip(ACCOUNTS, BALANCES))
        expect(self.page.locator("#rows tr[data-state=fresh]")).to_have_count(10)
        for turn in range(6):
            self.pass_until((turn + 1) * 1000 + 200 + turn * 15)
            for account, moves in zip(ACCOUNTS, MOVES):
                change = moves[turn % len(moves)] // (turn + 1)
                now[account] += change
                self.versions += 1
                self.put(account, str(now[account]), f"e.{self.versions}", deltaMinor=str(change), txnId=f"txn-{self.versions:05}",
                         ts=NOON_MS + (turn + 1) * 1000)
            self.settle(now)
        self.pass_until(7000)
        self.say(ev="state", keys=[ACCOUNTS[6]], state="delayed", reason="source_lagging", lag_ms=4000)
        self.say(ev="state", keys=[ACCOUNTS[8]], state="stale", reason="source_lagging", lag_ms=40000)
        self.pass_time(100)
        expect(self.page.locator("#rows tr[data-state=stale]")).to_have_count(1)
        self.page.get_by_role("button", name=f"Pin {ACCOUNTS[3]}/NGN").click()
        self.page.mouse.move(0, 0)
        self.pass_time(500)

    def settle(self, now):
        """Until each row shows its amount."""
        self.pass_time(100)
        for account, minor in now.items():
            row = self.page.locator("#rows tr").filter(has_text=account.split("::")[1])
            expect(row.locator("td.balance")).to_have_text(f"{minor // 100:,}.{minor % 100:02} NGN")
