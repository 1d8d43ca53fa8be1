# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL with a certificate, that takes connections in the clear as well: whoever is not served over TLS and does
not come in the clear was told not to."""

import os
import pathlib
import shutil
import socket
import threading

from .certs import Authority
from .postgres import Postgres


class TlsPostgres(Postgres):
    def __init__(self, *names):
        """names: those of its certificate."""
        self.names, self.authority = names, None
        super().__init__()

    def start(self):
        if not self.authority:
            self.authority = Authority(pathlib.Path(self.dir.name, "pki"))
            made = self.authority.server(*self.names)
            if os.getuid() == 0:
                for path in (made.cert, made.key):
                    shutil.chown(path, "postgres", "postgres")
                os.chmod(self.authority.folder, 0o755)
            os.chmod(made.key, 0o600)
            with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
                conf.write(f"\nssl = on\nssl_cert_file = '{made.cert}'\nssl_key_file = '{made.key}'\n")
        super().start()

    def secured(self, authority=None, host="localhost"):
        """For BGW_ORIGIN_PG: nobody but a server of that name and of that authority."""
        return (f"postgresql://bgw@{host}:{self.port}/postgres?sslmode=verify-full&sslrootcert={(authority or self.authority).cert}"
                "&application_name=gateway")

    def connections(self):
        """Of gateways: [encrypted?], one each."""
        return [row[0] == "t" for row in self.sql("select s.ssl from pg_stat_ssl s join pg_stat_activity a using (pid) "
                                                  "where a.application_name = 'gateway'")]


class Silent:
    """A server that says yes to TLS and not a byte more."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.connections = self.listener.getsockname()[1], []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
                c.recv(8)  # SSLRequest
                c.sendall(b"S")
            except OSError:
                return
            self.connections.append(c)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for c in self.connections:
            c.close()
