# SPDX-License-Identifier: Apache-2.0
"""A small real ledger: `python -m tests.run.real.ledger --postgres URI --kafka HOST:PORT --ready-file F`.

Money moves in PostgreSQL, one transaction a transfer (ledger.sql), and what was written to the outbox there is
published in its order. What Kafka has not acknowledged stays in the outbox; what it has, even if we ended before we
could say so, is not published again: the topic's last record tells. Either server may go away and come back.

The topic has ONE partition: the projector numbers an account's events as it reads them, the ledger as it commits
them, and both count the same events alike only where there is one order."""

import argparse
import contextlib
import json
import pathlib
import random
import signal
import subprocess
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.integration.harness.postgres import folder_of_programs

from .processes import spawn

ACCOUNTS, SHOPS, USD_EVERY = 300, 10, 25
HOUSE = "house::treasury"
NOTES = (5000, 10000, 20000, 50000, 100000, 100000, 200000, 500000)
TOPIC = "ledger-events"
OUTBOX_MAX = 50000  # then no more money moves until Kafka takes some
IN_FLIGHT_MAX = 1000
RETRY_S = 0.5
COUNT_S = 10
END_S = 2


class Lost(Exception):
    """PostgreSQL: the transaction under way happened or did not; the tables say which."""


class Database:
    """One psql, kept open."""

    END = "==end=="

    def __init__(self, uri):
        self.psql = spawn([str(folder_of_programs() / "psql"), uri, "-XAtq", "-v", "ON_ERROR_STOP=1"], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def ask(self, text):
        """The rows of one or more statements, as lists of columns."""
        rows = []
        with contextlib.suppress(BrokenPipeError):
            self.psql.stdin.write(f"{text};\n\\echo {self.END}\n")
            self.psql.stdin.flush()
        for line in self.psql.stdout:
            if line.rstrip("\n") == self.END:
                return rows
            rows.append(line.rstrip("\n").split("|"))
        raise Lost(" ".join(rows[-1]) if rows else "psql ended")

    def close(self):
        self.psql.kill()
        self.psql.wait()
        for pipe in (self.psql.stdin, self.psql.stdout):
            with contextlib.suppress(OSError):
                pipe.close()


class Outbox:
    """What was committed, on its way to Kafka, in order and once."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.producer = None
        self.sent = self.acked = self.forgotten = 0
        self.retry_at = 0

    def open(self, database):
        """False: Kafka does not say yet what it has."""
        if time.monotonic() < self.retry_at:
            return False
        self.retry_at = time.monotonic() + RETRY_S
        last = self.last_published()
        if last is None:
            return False
        database.ask(f"delete from outbox where id <= {last}")
        self.sent = self.acked = self.forgotten = last
        self.producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": 0,
                                  "message.timeout.ms": 0, "log_level": 0})
        return True

    def last_published(self):
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "ledger", "enable.auto.commit": False,
                             "log_level": 0})
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=1)
            if low == high:
                return 0
            consumer.assign([TopicPartition(TOPIC, 0, high - 1)])
            record = consumer.poll(2)
            return None if record is None or record.error() else int(json.loads(record.value())["entryId"].split("-")[1])
        except KafkaException:
            return None
        finally:
            consumer.close()

    def relay(self, database):
        if self.producer is None and not self.open(database):
            return None
        if self.acked > self.forgotten:
            acked = self.acked
            database.ask(f"delete from outbox where id <= {acked}")
            self.forgotten = acked
        room = IN_FLIGHT_MAX - len(self.producer)
        if room <= 0:
            return None
        for number, entry in database.ask(f"select id, entry from outbox where id > {self.sent} order by id limit {room}"):
            try:
                self.producer.produce(TOPIC, key=json.loads(entry)["entryId"], value=entry, partition=0,
                                      on_delivery=lambda error, _m, n=int(number): self.delivered(error, n))
            except (KafkaException, BufferError) as error:
                return self.delivered(error, 0)
            self.sent = int(number)
        return None

    def delivered(self, error, number):
        if error:  # fatal: nothing else ends a message that may wait for ever. What Kafka has is asked for anew.
            print(f"Kafka: {error}", flush=True)
            self.producer = None
        else:
            self.acked = max(self.acked, number)

    def wait(self, seconds):
        """Hears what was acknowledged meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.producer is None:
                time.sleep(left)
            else:
                self.producer.poll(left)


def account(i):
    """Those of the demonstration without servers."""
    return f"msisdn::{2348100000001 + i}"


def openings(database):
    """House to whom, how much: accounts that have not been opened yet."""
    known = {tuple(row) for row in database.ask("select account_id, currency from accounts")}
    for i in range(ACCOUNTS):
        if (account(i), "NGN") not in known:
            yield account(i), "NGN", random.randint(20000, 500000) * 100
    for i in range(0, ACCOUNTS, USD_EVERY):
        if (account(i), "USD") not in known:
            yield account(i), "USD", random.randint(80, 2000) * 100


def choose():
    """From whom, to whom, in what, how much at most: as people pay each other and a few shops, and shops pay wages."""
    kind = random.randint(1, 100)
    currency = "NGN"
    people = [account(random.randrange(SHOPS, ACCOUNTS)) for _ in range(2)]
    shop = account(random.randrange(SHOPS))
    if kind <= 6:
        currency, people = "USD", [account(random.randrange(0, ACCOUNTS, USD_EVERY)) for _ in range(2)]
    elif kind > 98:
        people[1] = HOUSE
    elif kind > 96:
        people[0] = HOUSE
    elif kind > 76:
        people[0] = shop
    elif kind > 50:
        people[1] = shop
    most = random.choice(NOTES) * random.randint(1, 9) // (500 if currency == "USD" else 1)
    return *people, currency, most + (random.randint(1, 99) if random.random() < 0.2 else 0)


class Ledger:
    def __init__(self, args):
        self.args = args
        self.outbox = Outbox(args.kafka)
        self.transfers = self.waiting = self.count_at = self.last = 0
        self.ending = False

    def transfer(self, database, source, dest, currency, most):
        moved = database.ask(f"select transfer('{source}', '{dest}', '{currency}', {most})")[0][0]
        if moved:
            self.transfers += 1
            self.last = int(moved)

    def session(self, database):
        """As long as PostgreSQL is there."""
        database.ask("set client_min_messages = warning")
        database.ask(pathlib.Path(__file__).with_name("ledger.sql").read_text())
        for dest, currency, minor in openings(database):
            self.transfer(database, HOUSE, dest, currency, minor)
        pathlib.Path(self.args.ready_file).touch()
        while not self.ending:
            if self.waiting < OUTBOX_MAX:
                self.transfer(database, *choose())
            self.outbox.relay(database)
            self.count(database)
            self.outbox.wait(random.uniform(0.012, 0.048) if random.random() < 0.99 else random.uniform(0.2, 0.6))

        while self.outbox.sent < self.last or self.outbox.acked < self.outbox.sent:
            self.outbox.relay(database)
            self.outbox.wait(0.01)

    def count(self, database):
        if time.monotonic() < self.count_at:
            return
        self.count_at = time.monotonic() + COUNT_S
        self.waiting = int(database.ask("select count(*) from outbox")[0][0])
        print(f"{self.transfers} transfers, {self.waiting} entries wait for Kafka", flush=True)

    def run(self):
        while not self.ending:
            database = Database(self.args.postgres)
            try:
                self.session(database)
            except Lost as why:
                print(f"PostgreSQL: {why}", flush=True)
            finally:
                database.close()
            self.outbox.wait(0 if self.ending else RETRY_S)

    def end(self, *_unused):
        """What was written is published first, where both servers are there; else soon enough."""
        self.ending = True
        signal.setitimer(signal.ITIMER_REAL, END_S)


def main():
    parser = argparse.ArgumentParser(prog="ledger")
    parser.add_argument("--postgres", required=True)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--ready-file", required=True)
    ledger = Ledger(parser.parse_args())
    signal.signal(signal.SIGTERM, ledger.end)
    signal.signal(signal.SIGINT, ledger.end)
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(0))
    ledger.run()


main()
