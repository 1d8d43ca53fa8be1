# SPDX-License-Identifier: Apache-2.0
"""The load client of the bench, used here for its checks: every client verifies order, gaps,
values and digests."""

import json
import os
import subprocess

from .tokens import token


def start(gateways, *args):
    argv = [os.environ["BGW_SWARM"], "--kafka", gateways[0].bootstrap, "--topic", gateways[0].topic,
            "--token", token(everything=True, ttl=3600)]
    for g in gateways:
        argv += ["--url", g.listen]
    return subprocess.Popen(argv + [str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(process, timeout=170):
    out, err = process.communicate(timeout=timeout)
    assert out, err
    report = json.loads(out)
    assert report["completed"] and report["wrong"] == 0, report
    assert report["behind"] == 0, report
    return report


def run(gateways, *args):
    return result(start(gateways, *args))
