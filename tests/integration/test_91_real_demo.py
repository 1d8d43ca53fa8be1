# SPDX-License-Identifier: Apache-2.0
"""`./dev up --real`: everybody says the same of an account, and whatever is stopped by hand shows in the page within
seconds and is over within seconds."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request

import pytest
from playwright.sync_api import expect, sync_playwright

from harness.postgres import folder_of_programs
from harness.redis import Resp
from harness.wait import until
from tests.run.real import control
from tests.run.real.processes import children

pytestmark = pytest.mark.alone
TOP = pathlib.Path(__file__).parents[2]
SECONDS = 1000
FIRST = "msisdn::2348100000001"
SHOWS_MS = 10 * SECONDS
OVER_MS = 30 * SECONDS
SAID_APART_MS = 4000  # 5 s from word to word, but when each is drawn may vary; the page looks every 2 s to 3.5 s
WORDS = {"redis": "Redis is away", "postgres": "The database is away", "kafka": "Kafka is away", "ledger": "The ledger is away",
         "projector": "The projector is away", "replica-2": "The other replica is away"}


class Real:
    """The composer, as ./dev runs it, on free ports; part() is ./dev part."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="real-it-")
        self.out = open(f"{self.dir.name}/out", "w+", encoding="utf-8")
        here = pathlib.Path(os.environ["BGW_RELEASE_BIN"]).parent
        self.proc = subprocess.Popen([sys.executable, "-m", "tests.run.real", "--state", self.dir.name, "--any-port"], cwd=TOP,
                                     stdout=self.out, stderr=self.out, env=os.environ | {"PATH": f"{here}:{os.environ['PATH']}"})
        until(self.is_up, 80, "the box")
        self.parts = self.part("status", "")["parts"]

    def text(self):
        return pathlib.Path(self.out.name).read_text(encoding="utf-8")

    def is_up(self):
        assert self.proc.poll() is None, self.text()
        return "Ctrl-C ends all of it" in self.text()

    def part(self, name, action):
        answer = control.ask(self.dir.name, name, action)
        assert answer["ok"], answer
        return answer

    @contextlib.contextmanager
    def without(self, name, away="stop", back="start"):
        assert self.part(name, away)["state"] == {"stop": "stopped", "pause": "paused"}[away]
        try:
            yield
        finally:
            self.part(name, back)
            until(lambda: self.part(name, "status")["state"] == "running", 30, f"{name} to run again")

    def get(self, name, path, bearer=None):
        request = urllib.request.Request(f"http://{self.parts[name]['address']}{path}",
                                         headers={"Authorization": f"Bearer {bearer}"} if bearer else {})
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)

    def sql(self, text):
        uri = f"postgresql://bgw@{self.parts['postgres']['address']}/postgres"
        done = subprocess.run([str(folder_of_programs() / "psql"), uri, "-XAtqc", text], capture_output=True, text=True, check=True)
        return [line.split("|") for line in done.stdout.splitlines()]

    def in_postgres(self):
        """{(account, currency): (minor, version)} of the accounts on the page."""
        rows = self.sql(f"""select account_id, currency, ledger_minor, version from accounts
            where account_id between '{FIRST}' and 'msisdn::2348100000010'""")
        return {(account, currency): (int(minor), int(v)) for account, currency, minor, v in rows}

    def in_redis(self, slots):
        with contextlib.closing(Resp(int(self.parts["redis"]["address"].split(":")[1]))) as redis:
            hashes = {slot: redis.call("HMGET", f"balance:tnt_demo:{slot[0]}:{slot[1]}", "minor", "v") for slot in slots}
        return {slot: tuple(int(x) if x is not None else None for x in pair) for slot, pair in hashes.items()}

    def in_replica(self, name, slots):
        """And the whole version strings."""
        bearer = self.get(name, "/demo/token.json")["token"]
        bodies = {(a, c): self.get(name, f"/ledger/accounts/{a}/balance?currency={c}", bearer) for a, c in slots}
        return ({slot: (b["minor"], int(b["v"].split(".")[1])) for slot, b in bodies.items()},
                {slot: b["v"] for slot, b in bodies.items()})

    def close(self):
        print(self.text()[-2000:])
        if self.proc.poll() is None:
            self.proc.terminate()
            self.proc.wait(20)
        self.out.close()
        self.dir.cleanup()


@pytest.fixture(scope="module")
def real():
    demo = Real()
    yield demo
    demo.close()


@pytest.fixture(scope="module")
def page(real):
    """The page of the first replica, open all the time; it remembers what was announced, and when."""
    complaints = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu", "--disable-quic"])
        page = chromium.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: "Content Security Policy" in line.text and complaints.append(line.text))
        page.goto(f"http://{real.parts['replica-1']['address']}/")
        page.wait_for_selector("#parts-said", state="attached")
        page.evaluate("""() => { window.said = []; new MutationObserver(() => window.said.push(performance.now()))
            .observe(document.getElementById('parts-said'), {childList: true}); }""")
        until_well(page)
        yield page
        chromium.close()
    assert not complaints, complaints


def until_well(page):
    expect(page.locator("#link-text")).to_have_text("Live", timeout=OVER_MS)
    expect(page.locator("#parts")).to_be_hidden(timeout=OVER_MS)
    expect(page.locator("#rows tr[data-state=fresh]").nth(9)).to_be_visible(timeout=OVER_MS)
    expect(page.locator("#rows tr:not([data-state=fresh])")).to_have_count(0, timeout=OVER_MS)


def on_page(page):
    """{(account, currency): minor}"""
    rows = page.locator("#rows tr").evaluate_all("all => all.map((r) => [r.querySelector('th a').innerText, r.children[1].innerText])")
    amounts = {account: re.fullmatch(r"([\d,]+)\.(\d\d) ([A-Z]{3})", balance) for account, balance in rows if balance.endswith("NGN")}
    return {(account, m[3]): int(m[1].replace(",", "") + m[2]) for account, m in amounts.items()}


def test_replicas_redis_and_postgres_say_the_same(real):
    assert real.sql("select currency from accounts group by 1 having sum(ledger_minor) <> 0") == []
    with real.without("ledger"):
        def all_the_same():
            truth = real.in_postgres()
            with contextlib.suppress(OSError):  # one that has just come back may not say it yet
                one, two = real.in_replica("replica-1", truth), real.in_replica("replica-2", truth)
                return len(truth) == 11 and one[0] == truth == two[0] == real.in_redis(truth) and one[1] == two[1]
            return False
        until(all_the_same, 30, "one truth")


@pytest.mark.parametrize(("name", "away", "back"), [
    ("redis", "stop", "start"), ("redis", "pause", "resume"), ("postgres", "stop", "start"), ("kafka", "pause", "resume"),
    ("kafka", "stop", "start"), ("replica-2", "stop", "start"), ("ledger", "stop", "start"), ("projector", "pause", "resume")])
def test_what_is_away_shows_within_seconds(real, page, name, away, back):
    with real.without(name, away, back):
        expect(page.locator("#parts")).to_contain_text(WORDS[name], timeout=SHOWS_MS)
        assert "—" not in page.locator("#rows").inner_text()
    until_well(page)


def test_one_that_is_killed_by_hand_shows_too(real, page):
    os.kill(real.part("redis", "status")["pid"], signal.SIGKILL)
    expect(page.locator("#parts")).to_contain_text(WORDS["redis"], timeout=SHOWS_MS)
    real.part("redis", "start")
    until_well(page)


def test_without_the_projector_balances_follow_the_database(real, page):
    before = real.in_postgres()
    with real.without("projector"):
        expect(page.locator("#parts")).to_contain_text(WORDS["projector"], timeout=SHOWS_MS)
        until(lambda: all(real.in_postgres()[slot][1] > v for slot, (_, v) in before.items() if slot[1] == "NGN"), 30, "changes")
        with real.without("ledger"):
            until(lambda: on_page(page) == {s: minor for s, (minor, _) in real.in_postgres().items() if s[1] == "NGN"}, 15, "the sweep")
    until_well(page)


def test_the_pages_own_replica_is_missed_and_found_again(real, page):
    with real.without("replica-1", "pause", "resume"):
        expect(page.locator("#parts")).to_contain_text("This replica does not answer", timeout=SHOWS_MS)
    until_well(page)
    with real.without("replica-1"):
        expect(page.locator("#parts")).to_contain_text("This replica does not answer", timeout=SHOWS_MS)
        expect(page.locator("#link-text")).to_have_text(re.compile("^Offline"), timeout=SHOWS_MS)
    until_well(page)


def test_nobody_is_talked_over(page):
    said = page.evaluate("() => window.said")
    assert len(said) >= 6
    assert min(b - a for a, b in zip(said, said[1:])) > SAID_APART_MS, said


def test_after_all_of_it_they_say_the_same(real):
    test_replicas_redis_and_postgres_say_the_same(real)


def test_the_end_is_the_end_of_all(real):
    real.part("postgres", "pause")
    real.part("replica-2", "pause")
    left = children(real.proc.pid)
    assert len(left) > 8
    real.proc.terminate()
    assert real.proc.wait(20) == 0
    until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in left), 10, f"the end of {left}")
    assert not pathlib.Path(real.dir.name, control.STATE_FILE).exists()
    with pytest.raises(control.NoDemo):
        control.ask(real.dir.name, "status", "")


def test_a_child_does_not_outlive_a_killed_parent():
    made = subprocess.Popen([sys.executable, "-c", "from tests.run.real.processes import spawn; import time\n"
                             "print(spawn(['sleep', '600']).pid, flush=True); time.sleep(600)"], cwd=TOP, stdout=subprocess.PIPE, text=True)
    child = int(made.stdout.readline())
    assert pathlib.Path(f"/proc/{child}").exists()
    made.kill()
    made.wait()
    until(lambda: not pathlib.Path(f"/proc/{child}").exists(), 10, "its end")
