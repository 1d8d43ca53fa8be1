# SPDX-License-Identifier: Apache-2.0
"""The registry: one module a subject, each with a list SCENARIOS. A module that only gives {name: (function, clients)}
gets a table and a plot of its medians."""

import importlib
import pathlib

from .scenario import Scenario


def of_module(name):
    given = importlib.import_module(f"scenarios.{name}").SCENARIOS
    if isinstance(given, dict):
        return [Scenario(key, run, clients, "some minutes") for key, (run, clients) in given.items()]
    return list(given)


def registry():
    modules = sorted(p.stem for p in pathlib.Path(__file__).parent.glob("*.py") if p.stem not in ("__init__", "scenario"))
    found = {}
    for scenario in (s for name in modules for s in of_module(name)):
        if scenario.name in found:
            raise SystemExit(f"two scenarios are called {scenario.name}")
        found[scenario.name] = scenario
    return found
