# SPDX-License-Identifier: Apache-2.0
"""The parts of the demonstration: how each is started, told apart from one that is gone, paused and ended."""

import pathlib
import shutil
import signal
import socket
import sys

from tests.integration.harness.gateway import clean_env
from tests.integration.harness.kafka import Kafka, free_port
from tests.integration.harness.postgres import Postgres
from tests.integration.harness.redis import Redis

from . import processes

STARTING = "starting"
# librdkafka up to 2.8 at least reads memory that nobody wrote, and may crash, when an answer names a leader for some
# of a topic's partitions and none for others (its issue 5280): a broker that is stopped and started does that.
PARTITIONS = 1
STOP_S = 5


def port_or_another(wanted):
    """The well-known one where it is free: people remember it. 0: any."""
    if wanted:
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", wanted))
                return wanted
            except OSError:
                pass
    return free_port()


class Part:
    """name: as `./dev part` says it. `shown`: what the box prints of it, (words, command)."""

    ending = signal.SIGTERM
    name = what = address = ""

    def __init__(self):
        self.shown = []
        self.proc = None

    def launch(self):
        raise NotImplementedError

    def is_ready(self):
        return True

    @property
    def log(self):
        raise NotImplementedError

    @property
    def state(self):
        now = processes.state(self.proc)
        return STARTING if now == processes.RUNNING and not self.is_ready() else now

    def start(self):
        if self.state == processes.PAUSED:
            self.resume()
        elif self.state == processes.STOPPED:
            self.launch()

    def stop(self):
        processes.end([(self.proc, self.ending)], STOP_S)

    def pause(self):
        if self.state != processes.STOPPED:
            processes.pause(self.proc)

    def resume(self):
        if self.proc is not None:
            processes.resume(self.proc)


class Server(Part):
    """One of the integration tests' servers."""

    def __init__(self, server):
        super().__init__()
        self.server = server
        self.address = f"127.0.0.1:{server.port}"

    def launch(self):
        self.server.start()

    @property
    def proc(self):
        return self.server.proc

    @proc.setter
    def proc(self, _none):
        pass  # the server's own

    @property
    def log(self):
        return pathlib.Path(self.server.log.name)


class OurKafka(Kafka):
    spawn = staticmethod(processes.spawn)
    java_options = ["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]  # soon there, and little work


class OurRedis(Redis):
    spawn = staticmethod(processes.spawn)
    appendonly = "yes"  # the projector's positions are there


class OurPostgres(Postgres):
    spawn = staticmethod(processes.spawn)
    # becoming somebody else forgets who is to be told of our end
    user_options = [*Postgres.user_options, "--pdeathsig=KILL"]


class KafkaPart(Server):
    name, what = "kafka", "Apache Kafka"
    # a broker that comes back is let in once the one that it was is given up
    quick_return = ("broker.session.timeout.ms=2000", "broker.heartbeat.interval.ms=400")

    def __init__(self, port):
        super().__init__(OurKafka(port_or_another(port), self.quick_return))
        self.server.create("balance-updates", PARTITIONS)
        self.server.create("ledger-events", 1)
        self.server.create("bgw-revocations", 1, **{"cleanup.policy": "compact"})
        self.shown = [("records", f"./dev exec kcat -b {self.address} -C -o end -q -t balance-updates"),
                      ("the journal", f"./dev exec kcat -b {self.address} -C -o end -q -t ledger-events")]


class RedisPart(Server):
    name, what = "redis", "Redis"

    def __init__(self, port):
        super().__init__(OurRedis(port=port_or_another(port)))
        cli = f"./dev exec redis-cli -p {self.server.port}"
        self.shown = [("an account", f"{cli} hgetall balance:tnt_demo:msisdn::2348100000001:NGN"),
                      ("invalidations", f"{cli} subscribe balance:invalidate")]


class PostgresPart(Server):
    name, what = "postgres", "PostgreSQL"
    ending = signal.SIGINT  # does not wait for its clients

    def __init__(self, port):
        super().__init__(OurPostgres(port_or_another(port)))
        self.shown = [("accounts", f"./dev exec psql {self.server.uri} -c 'select * from accounts order by 1, 3 limit 12'")]

    def launch(self):
        self.server.restart()


class Program(Part):
    """One of ours: says that it is ready by a file."""

    def __init__(self, folder, argv, **env):
        super().__init__()
        self.argv, self.env = argv, env
        self.ready_file = folder / f"{self.name}.ready"
        self.log_file = folder / f"{self.name}.log"

    def launch(self):
        self.ready_file.unlink(missing_ok=True)
        with open(self.log_file, "ab") as log:
            self.proc = processes.spawn(self.argv, env=clean_env(**self.env), stdout=log, stderr=log)

    def is_ready(self):
        return self.ready_file.exists()

    @property
    def log(self):
        return self.log_file


class Ledger(Program):
    name, what, address = "ledger", "ledger", "(none: it writes to PostgreSQL and Kafka)"

    def __init__(self, folder, postgres, kafka):
        super().__init__(folder, [sys.executable, "-m", "tests.run.real.ledger", "--postgres", postgres.server.uri,
                                  "--kafka", kafka.address, "--ready-file", str(folder / "ledger.ready")])
        self.shown = [("the outbox", f"./dev exec psql {postgres.server.uri} -c 'select count(*) from outbox'")]


class Projector(Program):
    name, what = "projector", "bgw project"

    def __init__(self, folder, bgw, admin, sources):
        self.address = f"127.0.0.1:{port_or_another(admin)}"
        super().__init__(folder, [bgw, "project"], **sources, BGW_ADMIN_LISTEN=self.address,
                         BGW_READY_FILE=folder / "projector.ready", BGW_LOG_FORMAT="json")
        self.shown = [("metrics", f"curl -s http://{self.address}/metrics | grep bgw_project")]


class Replica(Program):
    def __init__(self, folder, bgw, number, ports, **settings):
        self.name, self.what = f"replica-{number}", f"bgw serve, replica {number}"
        self.address = f"127.0.0.1:{port_or_another(ports[0])}"
        self.admin = f"127.0.0.1:{port_or_another(ports[1])}"
        super().__init__(folder, [bgw, "serve", "--demo"], **settings, BGW_LISTEN=self.address, BGW_ADMIN_LISTEN=self.admin,
                         BGW_READY_FILE=folder / f"{self.name}.ready", BGW_LOG_FORMAT="json", BGW_DRAIN_S=1)
        self.shown = [("page", f"http://{self.address}/"),
                      ("health", f"curl -s 'http://{self.address}/readyz?verbose'"),
                      ("reads", f"curl -s http://{self.address}/v1/stats/cache"),
                      ("metrics", f"curl -s http://{self.admin}/metrics")]


def find_bgw():
    found = shutil.which("bgw")
    if not found:
        raise SystemExit("real: bgw is not on PATH; run this as ./dev up --real")
    return found
