# SPDX-License-Identifier: Apache-2.0
"""The operations whose instructions are counted, each once and without the tool that counts: that they still do what they are
counted for. And the judge of the counts."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "bench"))
from report import page  # noqa: E402
from scenarios import micro as scenario  # noqa: E402

MICRO = pathlib.Path(os.environ["BGW_SWARM"]).with_name("bgw-micro")
COUNTS = json.loads((TOP / "bench" / "micro" / "counts.json").read_text(encoding="utf-8"))


def run(*words):
    return subprocess.run([MICRO, *words], capture_output=True, text=True, timeout=60)


def test_what_is_counted_is_what_the_program_has():
    assert run("list").stdout.split() == list(COUNTS["counts"])


@pytest.mark.parametrize("name", COUNTS["counts"])
def test_each_operation_comes_out_right(name):
    done = run(name, "1")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["name"] == name and said["unit"] == COUNTS["counts"][name]["unit"]
    assert said["operations"] == said["right"] > 0
    assert COUNTS["counts"][name]["operations"] % said["operations"] == 0, "one chunk of those that are counted"


def test_twice_the_chunks_are_twice_the_operations():
    one, two = (json.loads(run("handoff/folded", n).stdout) for n in ("1", "2"))
    assert two["operations"] == 2 * one["operations"] and two["right"] == 2 * one["right"]


@pytest.mark.parametrize("words", [("no/such",), (), ("record/parse", "0"), ("record/parse", "many")])
def test_nonsense_is_refused(words):
    done = run(*words)
    assert done.returncode == 1 and done.stderr.startswith("bgw-micro: ") and not done.stdout


def changed(name, factor):
    counts = json.loads(json.dumps(COUNTS["counts"]))
    counts[name]["instructions"] = int(counts[name]["instructions"] * factor)
    return counts


def test_what_grows_by_more_than_a_twentieth_fails():
    compare, origin = scenario.micro.compare, COUNTS["origin"]
    assert compare(changed("hub/watched", 1.04), COUNTS, origin) == ([], [])
    bad, _ = compare(changed("hub/watched", 1.06), COUNTS, origin)
    assert len(bad) == 1 and bad[0].startswith("hub/watched: ")
    bad, remarks = compare(changed("hub/watched", 0.9), COUNTS, origin)
    assert bad == [] and len(remarks) == 1


def test_counts_of_another_compiler_are_not_compared_and_other_processors_only_without_openssl():
    compare, origin = scenario.micro.compare, COUNTS["origin"]
    bad, _ = compare(COUNTS["counts"], COUNTS, {**origin, "compiler": "another"})
    assert len(bad) == 1 and "nothing can be compared" in bad[0]
    bad, remarks = compare(changed("token/es256", 2), COUNTS, {**origin, "processor": "another"})
    assert bad == [] and any(r.startswith("token/es256: not compared") for r in remarks)
    assert compare(changed("token/es256", 2), COUNTS, origin)[0]
    assert compare(changed("record/parse", 2), COUNTS, {**origin, "processor": "another"})[0]


def test_a_case_that_is_new_or_gone_fails():
    compare, origin = scenario.micro.compare, COUNTS["origin"]
    less = {k: v for k, v in COUNTS["counts"].items() if k != "ws/encode_text"}
    assert compare(less, COUNTS, origin)[0] == ["ws/encode_text is in counts.json and not in the program"]
    assert compare(COUNTS["counts"], {**COUNTS, "counts": less}, origin)[0] == ["ws/encode_text is not in counts.json"]


def test_the_scenario_shows_every_case():
    said = scenario.table(COUNTS).text()
    drawn = page.svg("micro", "how many", scenario.charts(COUNTS), "here")
    for name in COUNTS["counts"]:
        assert name in said and name in drawn
