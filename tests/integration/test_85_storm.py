# SPDX-License-Identifier: Apache-2.0
"""Fifteen thousand clients lose their replica: by a drain, who are all told, and by kill -9, who are not.
The load client checks every client's order, gaps, values and digests all the while."""

import os
import signal

import pytest

from harness import swarm
from harness.gateway import Gateway
from harness.wait import until

CLIENTS = 15000
WINDOW_S = 10


def replica(kafka, topic, **more):
    return Gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic, binary=os.environ["BGW_RELEASE_BIN"],
                   BGW_DRAIN_S=WINDOW_S, BGW_LOG_LEVEL="warn", **more)


def start(gateways, messages, rate=100):
    return swarm.start(gateways, "--clients", CLIENTS, "--accounts", 3000, "--per-client", 2, "--messages", messages,
                       "--rate", rate, "--connect-per-s", 3000, "--timeout-s", 150)


def all_connected(*gateways):
    until(lambda: sum(g.metric("bgw_sessions") for g in gateways) >= CLIENTS, 60, "every client to connect")
    before = sum(g.metric("bgw_updates_delivered_total") for g in gateways)
    until(lambda: sum(g.metric("bgw_updates_delivered_total") for g in gateways) > before, 30, "updates to flow")


@pytest.mark.alone
def test_drain_of_15000_clients_tells_everybody_and_spreads_their_return(kafka):
    topic = kafka.create()
    with replica(kafka, topic) as a, replica(kafka, topic) as b:
        process = start([a, b], messages=4000)
        all_connected(a, b)
        held = a.metric("bgw_sessions")
        a.proc.send_signal(signal.SIGTERM)
        a.finish(WINDOW_S + 5)
        assert a.proc.returncode == 0
        report = swarm.result(process)
        assert report["lost"] >= held, report
        assert report["byes"] == report["lost"], f"{report['lost'] - report['byes']} were cut off without a bye: {report}"
        told = sum(report["wait_tenths"])
        assert 0.9 * WINDOW_S * 1000 < report["longest_wait_ms"] <= WINDOW_S * 1000, report
        assert all(0.07 * told < n < 0.13 * told for n in report["wait_tenths"]), report["wait_tenths"]
        assert report["live"] == CLIENTS
        print("drain:", {k: report[k] for k in ("lost", "byes", "refused", "back_ms", "wait_tenths", "latency_us")})


@pytest.mark.alone
def test_kill_9_of_one_of_two_replicas_leaves_99_percent_current_within_10_s(kafka):
    topic = kafka.create()
    with replica(kafka, topic) as a, replica(kafka, topic) as b:
        process = start([a, b], messages=4000)
        all_connected(a, b)
        a.kill()
        report = swarm.result(process)
        assert report["lost"] >= CLIENTS // 3, report
        assert 0 < report["back_ms"] <= 10000, report
        assert report["live"] == CLIENTS
        print("kill -9:", {k: report[k] for k in ("lost", "refused", "back_ms", "latency_us")})
