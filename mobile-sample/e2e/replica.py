# SPDX-License-Identifier: Apache-2.0
"""The gateway that the phone talks to: it can be killed, and comes back at the same address."""

import json
import os
import urllib.parse

from harness.gateway import Gateway
from harness.kafka import free_port


class Replica:
    def __init__(self, ledger, origin):
        self.settings = dict(kafka=ledger.bootstrap, args=["--demo"], binary=os.environ["BGW_RELEASE_BIN"],
                             BGW_LISTEN=f"127.0.0.1:{free_port()}", BGW_ORIGINS=origin, BGW_EPOCH="one", BGW_REWIND="beginning")
        self.now = Gateway(**self.settings)
        self.address = self.now.listen

    def kill(self):
        self.now.kill()
        self.now.dir.cleanup()

    def again(self):
        self.now = Gateway(**self.settings)

    def demo(self):
        return json.loads(self.now.http("/demo/token.json")[2])

    def read(self, account, currency):
        path = f"/ledger/accounts/{urllib.parse.quote(account)}/balance?currency={currency}"
        status, _, body = self.now.http(path, headers={"Authorization": f"Bearer {self.demo()['token']}"})
        return status, json.loads(body)

    def balance(self, account):
        status, body = self.read(account, "NGN")
        assert status == 200, body
        return body
