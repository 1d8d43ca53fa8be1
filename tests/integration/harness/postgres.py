# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL as a child process, with the table `accounts` of the contracts; it can be killed and
started again on the same port and data. It does not run as root: `setpriv` makes it somebody else."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from .kafka import free_port
from .wait import until

TABLE = """create table accounts (account_id text not null, tenant_id text not null, currency text not null,
ledger_minor bigint not null, pending_minor bigint not null default 0, version bigint not null,
updated_at timestamptz not null default now(), primary key (account_id, tenant_id, currency))"""


def folder_of_programs():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    return found[-1] if found else pathlib.Path(shutil.which("initdb")).parent


class Postgres:
    spawn = staticmethod(subprocess.Popen)
    user_options = ["--reuid=postgres", "--regid=postgres", "--clear-groups"]  # of setpriv

    def __init__(self, port=0):
        """port: 0 for a free one."""
        self.dir = tempfile.TemporaryDirectory(prefix="pg-it-")
        self.data, self.port, self.bin = pathlib.Path(self.dir.name, "data"), port or free_port(), folder_of_programs()
        self.log = open(f"{self.dir.name}/log", "ab")
        self.proc = None
        if os.getuid() == 0:
            shutil.chown(self.dir.name, "postgres", "postgres")
        self.run("initdb", "-D", self.data, "-U", "bgw", "--auth=trust", "--no-sync", "--no-instructions", "-E", "UTF8", "--locale=C")
        self.start()
        self.sql(TABLE)

    def argv(self, program, *args):
        """In front of what may not be root."""
        front = ["setpriv", *self.user_options] if os.getuid() == 0 else []
        return [*front, str(self.bin / program), *map(str, args)]

    def run(self, program, *args):
        done = subprocess.run(self.argv(program, *args), capture_output=True, text=True, cwd=self.dir.name)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self):
        self.proc = self.spawn(
            self.argv("postgres", "-D", self.data, "-p", self.port, "-c", "listen_addresses=127.0.0.1", "-c",
                      "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=50"),
            stdout=self.log, stderr=self.log, cwd=self.dir.name)
        until(self.answers, 30, "PostgreSQL to answer")

    def answers(self):
        assert self.proc.poll() is None, "PostgreSQL ended"
        return self.psql("select 1").returncode == 0

    @property
    def uri(self):
        """For BGW_ORIGIN_PG."""
        return f"postgresql://bgw@127.0.0.1:{self.port}/postgres"

    def psql(self, text, **how):
        return subprocess.run([str(self.bin / "psql"), self.uri, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text],
                              capture_output=True, text=True, **how)

    def sql(self, text):
        """Rows, as lines of columns."""
        done = self.psql(text)
        assert done.returncode == 0, done.stderr
        return [line.split("|") for line in done.stdout.splitlines()]

    def put(self, account, minor, v, currency="NGN", tenant="tnt_demo", pending=0):
        self.sql(f"""insert into accounts (account_id, tenant_id, currency, ledger_minor, pending_minor, version)
            values ('{account}', '{tenant}', '{currency}', {minor}, {pending}, {v}) on conflict (account_id, tenant_id, currency)
            do update set ledger_minor = {minor}, pending_minor = {pending}, version = {v}, updated_at = now()""")

    @contextlib.contextmanager
    def locked(self):
        """Whoever reads the table waits."""
        holder = subprocess.Popen([str(self.bin / "psql"), self.uri, "-XAtq"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        try:
            holder.stdin.write("begin; lock table accounts in access exclusive mode; select 'held';\n")
            holder.stdin.flush()
            assert holder.stdout.readline() == "held\n"
            yield
        finally:
            holder.communicate("rollback;\n", timeout=10)

    def kill9(self):
        """The whole server, as a power cut would; its children end when they see it."""
        children = pathlib.Path(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children").read_text().split()
        self.proc.kill()
        self.proc.wait()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        until(lambda: not any(pathlib.Path(f"/proc/{c}").exists() for c in children), 10, "its children's end")

    def restart(self):
        if self.proc.poll() is None:
            self.kill9()
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.kill9()
        self.log.close()
        self.dir.cleanup()
