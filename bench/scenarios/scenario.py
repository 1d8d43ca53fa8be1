# SPDX-License-Identifier: Apache-2.0
"""What a scenario is: a question, a run that gives figures, and how the figures become a table and a plot. Figures are
plain data (dicts, lists, numbers, text), so that tables and plots can be made again from the JSON alone."""

import dataclasses
import typing

from parts import ratios, summary
from report.plot import Bar, Bars
from report.table import Table, number


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    run: typing.Callable  # (args) -> figures; its docstring is the question
    clients: int  # unless --clients says otherwise
    takes: str  # on two cores, with the options' defaults
    table: typing.Callable = None  # (figures) -> Table
    charts: typing.Callable = None  # (figures) -> [Bars or Lines]
    needs: tuple = ()  # "kafka": Apache Kafka's jars; "tools": what bench/tools.py provides
    pairs: int = 7
    short_clients: int = 0  # with --short, unless --clients says otherwise; 0: as many as without

    @property
    def asks(self):
        return " ".join((self.run.__doc__ or "").split())

    def make_table(self, figures):
        return (self.table or table_of_summaries)(figures)

    def make_charts(self, figures):
        return (self.charts or charts_of_summaries)(figures)


def is_summary(x):
    return isinstance(x, dict) and {"min", "median", "max"} <= set(x)


def summaries(figures, path=()):
    """[("a, b", summary)] of all that lie anywhere within."""
    found = []
    for name, value in figures.items():
        if is_summary(value):
            found.append((", ".join((*path, name.replace("_", " "))), value))
        elif isinstance(value, dict):
            found += summaries(value, (*path, name))
    return found


def table_of_summaries(figures):
    return Table(["figure", "median", "least", "most"],
                 [[name, number(s["median"]), number(s["min"]), number(s["max"])] for name, s in summaries(figures)])


def charts_of_summaries(figures):
    return [Bars("Median, least and most", "", [Bar.of(name, s) for name, s in summaries(figures)], log=True)]


# ---- A B A B …: against the bare server ----

def pairs_of(args, ours, raw, unit="ns", key="cpu_ns_per_entry"):
    """`ours` and `raw`: functions that run once and give what the load client said. The ratio is raw / ours."""
    rows = {"raw": [], "bgw": []}
    p50 = []
    for i in range(args.pairs):
        rows["raw"].append(raw()[key])
        done = ours()
        rows["bgw"].append(done[key])
        p50.append(done["latency_us"]["p50"])
        print(f"  pair {i + 1}: raw {rows['raw'][-1]:.0f} {unit}, bgw {rows['bgw'][-1]:.0f} {unit}, "
              f"ratio {rows['raw'][-1] / rows['bgw'][-1]:.2f}", flush=True)
    return {"ratio": ratios(rows["raw"], rows["bgw"]), "bgw_cpu_ns": summary(rows["bgw"]), "raw_cpu_ns": summary(rows["raw"]),
            "latency_p50_us": summary(p50), "pairs": args.pairs, "clients": args.clients}


def pairs_table(figures):
    rows = [["CPU an update, bare server (ns)", figures["raw_cpu_ns"]], ["CPU an update, bgw (ns)", figures["bgw_cpu_ns"]],
            ["bare / bgw", figures["ratio"]], ["p50 from due to the client (µs)", figures["latency_p50_us"]]]
    return Table([f"{figures['clients']:,} clients, {figures['pairs']} pairs", "median", "least", "most"],
                 [[name, number(s["median"]), number(s["min"]), number(s["max"])] for name, s in rows])


def pairs_charts(target, what="CPU of the server an update"):
    """target: (ratio, text) or None."""
    def charts(figures):
        ratio = [Bar.of("bare server / bgw", figures["ratio"])]
        marks = [(1.0, "as the bare server")] + ([target] if target else [])
        return [Bars("Ratio, pair by pair (more is better)", "", ratio, marks=marks),
                Bars(what, "ns", [Bar.of("bare epoll server", figures["raw_cpu_ns"], 7), Bar.of("bgw", figures["bgw_cpu_ns"])])]
    return charts


def short(args, value, less):
    return less if args.short else value
