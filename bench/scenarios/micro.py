# SPDX-License-Identifier: Apache-2.0
"""Instructions that small operations take: figures that a busy machine does not change. bench/micro/run.py counts; it also
compares with the counts that are kept, and says what is in one."""

from micro import run as micro
from report.plot import Bar, Bars
from report.table import Table, number

from .scenario import Scenario, short


def instructions(args):
    """How many instructions do a record, an encoding, a delivery, a hand-off, a timer, a frame and a token take in the gateway,
    without the kernel?"""
    def say(name, found):
        print(f"  {name}: {number(micro.each(found))} instructions per {found['unit']}", flush=True)
    return {"origin": micro.origin(), "counts": micro.measure(short(args, None, micro.names()[:3]), on_done=say)}


def table(figures):
    rows = [[name, number(each), unit] for name, unit, each in micro.rows(figures["counts"])]
    return Table(["operation", "instructions", "per"], rows)


def charts(figures):
    bars = [Bar(f"{name}, per {unit}", each) for name, unit, each in micro.rows(figures["counts"])]
    return [Bars("Instructions an operation", "", bars, log=True)]


SCENARIOS = [Scenario("micro", instructions, 0, "3 min", table, charts, needs=("tools",), pairs=1)]
