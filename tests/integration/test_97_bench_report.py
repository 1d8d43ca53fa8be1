# SPDX-License-Identifier: Apache-2.0
"""What the bench makes of figures: medians and ratios, tables, plots that are valid and complete, results that say where they
come from; and a registry in which every scenario says what it asks, can be tried, and has a plot."""

import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib.machinery import SourceFileLoader

import pytest

BENCH = pathlib.Path(__file__).resolve().parent.parent.parent / "bench"
sys.path.insert(0, str(BENCH))

from parts import percent, ratios, slope_a_minute, summary  # noqa: E402
from report import page, result  # noqa: E402
from report.plot import Bar, Bars, Line, Lines  # noqa: E402
from report.scale import Linear, Logarithmic, scale_for  # noqa: E402
from report.table import Table, number  # noqa: E402
from scenarios import registry  # noqa: E402
from scenarios.scenario import table_of_summaries  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
SCENARIOS = registry()


def s(low, median, high):
    return {"min": low, "median": median, "max": high, "n": 7}


PAIRS = {"ratio": s(0.91, 0.94, 1.02), "bgw_cpu_ns": s(6000, 6500, 7000), "raw_cpu_ns": s(5800, 6100, 6900), "latency_p50_us": s(900, 1000, 1200),
         "pairs": 7, "clients": 10000}
STEP = {"rate": 2000, "requests_s": 1999.5, "p50_ms": 0.06, "p99_ms": 0.2, "p999_ms": 2.79, "max_ms": 9.1, "failed_percent": 0.0}
TIMES = {"p50": 1.1, "p99": 12.5, "p999": 31.0, "max": 44.0}
RATE = {"rate": 5000, "records_s": 500, "kept_up_percent": 100.0, "completed": True, "feed_late_ms": 1, "failed": 0, "from_due_ms": TIMES,
        "from_commit_ms": TIMES, "server_cores": 0.4, "client_cores": 0.3}
IDLE = {"bytes_per_connection": {"one <hot> account": {"rss": s(1700, 1750, 1790), "kernel_slab": s(4000, 4100, 4200), "clients": 10000}}, "clients": 10000}
MOST = {"requests_s": s(90000, 99000, 104000), "p50_ms": s(0.2, 0.3, 0.4), "p99_ms": s(1, 2, 3), "server_cpu_us": s(10, 11, 12),
        "client_cpu_us": s(7, 7.5, 8)}
ARRIVAL = {"bgw_us": s(40, 45, 50), "raw_us": s(28, 30, 31), "bgw_over_raw": s(1.3, 1.5, 1.6)}
K6 = {"metrics": {"http_req_duration": {"med": 0.4, "p(99)": 4.2}, "checks": {"passes": 100, "fails": 0}}, "crossed": []}

# of each scenario figures as it makes them, as small as they can be
CANNED = {
    "fanout": PAIRS, "burst": PAIRS, "tls-fanout": PAIRS, "idle": IDLE, "idle-100k": IDLE, "tls-idle": IDLE,
    "fanout-100k": {"ratio": s(0.85, 0.9, 0.95), "raw_ratio": s(0.8, 0.9, 1), "against_raw_many": s(0.9, 0.95, 1), "pairs": 7, "clients": 100000,
                    "few": 10000, "processes": 6, "cpu_ns": {k: s(5000, 6000, 7000) for k in ("bgw few", "bgw many", "raw few", "raw many")}},
    "fanout-signalr": {"ratio": s(0.9, 1, 1.1), "cpu_ns": {"native": s(1, 2, 3), "signalr": s(1, 2, 3)}, "pairs": 7, "clients": 10000},
    "idle-dialects": {"bytes_per_connection": {"native, one hot account": s(1, 2, 3), "sse, an account each": s(2, 3, 4)}, "clients": 10},
    "idle-1m": {"clients": 1000000, "processes": 56, "bytes_per_connection": 1800.5, "kernel_slab_per_connection": 4200.0,
                "machine_bytes_per_connection": 11000.0, "received": 1000000, "broadcast_ms": {"p50": 900, "p99": 1800, "last": 2100}, "live": 1000000},
    "latency": {"clients": 50000, "accounts": 5000, "gateways": 3, "steps": [RATE, RATE | {"rate": 10000}], "most_held": 10000, "gave_way_at": None},
    "handoff": {"handoff_p50_us_upper_bound": s(32, 40, 56)},
    "hot": {"clients": 100000, "gateways": 6, "updates": 20, "entries": 2000000, "from_commit_ms": {"half": 200.0, "99 %": 390.0, "last": 410.0},
            "from_due_ms": {"half": 201.0, "99 %": 391.0, "last": 411.0}, "cpu_ns_per_delivery": 6000.0, "server_cores": 0.6},
    "storm": {"clients": 20000, "connect_per_s": 4000, "killed": [], "half_cut": [], "ready_s": s(0.5, 0.6, 0.7), "killed_back_s": s(5, 6, 7),
              "cut_back_s": s(2.5, 2.6, 2.7)},
    "slow": {"clients": 1000, "stalled": 100, "p99_ms": {"without": s(1, 2, 3), "with": s(1, 2, 3)}, "with_over_without": s(0.98, 1.01, 1.04),
             "rss_peak_kib": {"without": s(1, 2, 3), "with": s(1, 2, 3)}, "kib_a_stalled_client": s(-2, 20, 30), "last_stalled": {}},
    "soak": {"clients": 10000, "seconds": 600, "rss_kib": [[10.0, 40000], [20.0, 41000]], "rss_growth_kib_a_minute": -3.5,
             "minutes": [TIMES, TIMES], "entries": 3000000, "wrong": 0, "connects": 22000, "each_s": 60, "digests_checked": 5000},
    "accept": {"arrivals": {k: ARRIVAL | {"with_idle": ARRIVAL, "connect_per_s": 2000} for k in ("greeted", "live, TLS")}, "clients": 10000, "pairs": 5},
    "handshakes": {"per_core_second": {"bgw": s(2300, 2500, 2600), "raw": s(2500, 2700, 2900)}, "ratio": s(0.87, 0.9, 0.99)},
    "reads": {"estate": {"requests_s": 10737, "p99_ms": 47, "failed_percent": 0}, "one hot key": {"steps": [STEP, STEP | {"rate": 5000}], "origin_calls": 9}},
    "reads-mixed": {"steps": [STEP, STEP | {"rate": 5000}], "origin_calls": 9, "answers": 10},
    "reads-most": {"asked_for": 100000, "one key": MOST, "connections": 64, "seconds": 10},
    "rest": {"a core each": {"requests_s": s(94001.5, 112525.1, 116859.0), "p50_us": s(200, 224, 300), "p99_us": s(1000, 1800, 2000)}},
    "spike": {"fewer_origin_calls_percent": s(90, 91.3, 92), "promised": "60-90 %",
              "runs": {k: [{"origin_calls": n, "answers": 1000, "failed": 0, "spike": STEP}] for k, n in (("off", 1000), ("on", 87))}},
    "cold": {"sockets": 50000, "replicas": 3, "origin_calls": 1, "all_ms": 1494.0, "swarms": [{"asking_ms": 429.0}]},
    "versus": {"clients": 10000, "pairs": 5, "measures": {"CPU a delivery (ns)": {"before": s(8000, 8200, 8300), "now": s(7000, 7200, 7300),
                                                                                  "before_over_now": s(1.1, 1.14, 1.2)}}},
    "k6": {"reads.js, one key": K6},
    "micro": {"origin": {}, "counts": {"hub/step": {"instructions": 123456, "operations": 100, "unit": "record"},
                                       "wheel/tick": {"instructions": 5, "operations": 10, "unit": "tick"}}},
}


def drawn(name):
    figures = json.loads(json.dumps(CANNED[name]))  # as it comes back from a file
    found = {"command": f"./dev bench {name}", "date": "2026-01-02", "commit": {"id": "0123456789ab", "dirty": True},
             "machine": {"cores": 2, "model": "A <fast> & small one", "kernel": "6.1", "memory_gib": 23.5}}
    return figures, ET.fromstring(page.svg(name, SCENARIOS[name].asks, SCENARIOS[name].make_charts(figures), result.origin_line(found)).encode())


def texts(root):
    return [t.text or "" for t in root.iter(f"{SVG}text")]


# ---- figures ----

def test_a_ratio_is_the_median_of_the_pairs_ratios_not_the_ratio_of_medians():
    assert ratios([10, 100, 1000], [10, 50, 2000]) == {"min": 0.5, "median": 1.0, "max": 2.0, "n": 3}
    with pytest.raises(ValueError):
        ratios([1, 2], [1])


def test_a_summary_keeps_the_least_and_the_most():
    assert summary([5, 1, 4, 2]) == {"min": 1, "median": 3.0, "max": 5, "n": 4}


def test_growth_is_told_by_the_minute():
    assert slope_a_minute([(0, 100), (30, 110), (60, 120)]) == pytest.approx(20)
    assert slope_a_minute([(1, 5)]) == 0 == slope_a_minute([(1, 5), (1, 9)])


def test_a_part_of_nothing_is_no_percent():
    assert percent(3, 0) == 0 and percent(1, 4) == 25


@pytest.mark.parametrize("value,words", [(0.9349, "0.93"), (12.345, "12.3"), (1234.5, "1,234"), (1000000, "1,000,000"), (0, "0"), (0.0042, "0.0042"),
                                         (float("inf"), "-"), (None, "-"), (5, "5"), (-2.5, "-2.50")])
def test_numbers_have_three_digits_that_mean_something(value, words):
    assert number(value) == words


def test_what_an_idle_process_uses_is_no_part_of_an_arrival():
    without_idle = sys.modules["scenarios.accept"].without_idle
    assert without_idle(100.0, 0.02, 5.0, 10000) == pytest.approx(90.0)  # 100 ms in 5 s, on 10,000 arrivals
    assert without_idle(35.0, 0.0, 5.0, 10000) == 35.0


# ---- tables ----

def test_a_table_stands_in_columns_and_is_markdown_too():
    table = Table(["what", "median"], [["a|b", "1"], ["longer name", "1,000"]])
    lines = table.text().splitlines()
    assert len({len(line) for line in lines}) == 1 and lines[2].endswith("    1")
    assert table.markdown() == "| what | median |\n| --- | ---: |\n| a\\|b | 1 |\n| longer name | 1,000 |\n"
    with pytest.raises(ValueError):
        Table(["one"], [["a", "b"]])


def test_figures_without_a_table_of_their_own_show_all_their_medians():
    table = table_of_summaries({"a": {"b_c": s(1, 2, 3)}, "d": s(4, 5, 6), "e": 7})
    assert table.rows == [["a, b c", "2", "1", "3"], ["d", "5", "4", "6"]]


# ---- axes ----

@pytest.mark.parametrize("values", [[0.92, 0.94], [1], [0], [7972, 7450], [1e-7], [3, 999999], [-5, 20], [-7], [99.999999, 100.000001], [1e9]])
@pytest.mark.parametrize("log", [False, True])
def test_an_axis_reaches_beyond_all_its_values(values, log):
    scale = scale_for(values, log)
    for value in values:
        if not (isinstance(scale, Logarithmic) and value <= 0):
            assert scale.low <= value <= scale.high and -1e-9 <= scale.at(value) <= 1 + 1e-9
    assert 2 <= len(scale.ticks) <= 14 and scale.ticks == sorted(set(scale.ticks))
    assert all(-1e-9 <= scale.at(t) <= 1 + 1e-9 for t in scale.ticks)


def test_a_linear_axis_begins_at_zero_and_a_logarithmic_one_cannot():
    assert Linear([5000, 8000]).low == 0 and Linear([-3, 8]).low <= -3
    assert Logarithmic([5, 800]).low > 0 and Logarithmic([0, 10]).at(0) == 0


# ---- plots ----

def test_every_scenario_has_canned_figures_here_or_belongs_to_another_file():
    ours = {name for name, x in SCENARIOS.items() if x.run.__module__.removeprefix("scenarios.") not in ("peers", "ingest")}
    assert ours == set(CANNED)


@pytest.mark.parametrize("name", CANNED)
def test_a_plot_is_valid_and_says_everything(name):
    figures, root = drawn(name)
    assert root.tag == f"{SVG}svg" and root.find(f"{SVG}title").text == name
    assert SCENARIOS[name].asks in root.find(f"{SVG}desc").text
    said = texts(root)
    together = " ".join(said)
    for chart in SCENARIOS[name].make_charts(figures):
        assert any(chart.title in t for t in said)
        for one in chart.bars if isinstance(chart, Bars) else chart.lines:
            assert " ".join(one.label.split()) in together
        for _, words in chart.marks:
            assert words in said
        if isinstance(chart, Bars):
            assert all(any(number(b.median) in t for t in said) for b in chart.bars)
    assert "A <fast> & small one" in together and "0123456789ab with changes" in together


def numbers_of(element, *names):
    return [float(element.get(n)) for n in names if element.get(n)]


@pytest.mark.parametrize("name", CANNED)
def test_nothing_is_drawn_outside_of_the_card(name):
    _, root = drawn(name)
    width, height = (float(x) for x in root.get("viewBox").split()[2:])
    for group in root.iter(f"{SVG}g"):
        left, top = (float(x) for x in re.findall(r"[\d.]+", group.get("transform")))
        for element in group.iter():
            xs, ys = numbers_of(element, "x", "x1", "x2", "cx"), numbers_of(element, "y", "y1", "y2", "cy")
            if element.tag == f"{SVG}rect":
                xs.append(xs[0] + float(element.get("width")))
            for point in (element.get("points") or "").split():
                a, b = point.split(",")
                xs.append(float(a))
                ys.append(float(b))
            assert all(-left <= x <= width - left for x in xs), (element.attrib, xs)
            assert all(0 <= y <= height - top for y in ys), (element.attrib, ys)


def bars_drawn(chart):
    drawn_, _ = chart.draw(800, chart.gutter())
    root = ET.fromstring(f'<svg xmlns="http://www.w3.org/2000/svg">{drawn_}</svg>')
    return root, [(float(r.get("x")), float(r.get("width"))) for r in root.iter(f"{SVG}rect")]


def test_bars_are_as_long_as_their_values():
    _, bars = bars_drawn(Bars("t", "", [Bar("a", 10), Bar("b", 20), Bar("c", 0)]))
    assert bars[0][0] == bars[1][0] and bars[1][1] == pytest.approx(2 * bars[0][1], abs=0.02) and bars[2][1] <= 1


def test_a_whisker_reaches_from_the_least_to_the_most():
    root, bars = bars_drawn(Bars("t", "", [Bar("a", 10, 5, 20)]))
    zero, length = bars[0]
    whisker = [e for e in root.iter(f"{SVG}line") if e.get("stroke-width") == "1.4" and e.get("y1") == e.get("y2")]
    assert [float(whisker[0].get(k)) for k in ("x1", "x2")] == pytest.approx([zero + length / 2, zero + 2 * length], abs=0.05)


def test_a_bar_below_zero_goes_to_the_left():
    _, bars = bars_drawn(Bars("t", "", [Bar("a", -10), Bar("b", 10)]))
    assert bars[0][0] + bars[0][1] == pytest.approx(bars[1][0], abs=0.02) and bars[0][1] == pytest.approx(bars[1][1], abs=0.02)


def test_words_of_marks_and_of_lines_ends_do_not_lie_on_each_other():
    chart = Bars("t", "", [Bar("a", 1.0)], marks=[(0.92, "target 0.92"), (0.93, "the other one"), (0.94, "a third")])
    root, _ = bars_drawn(chart)
    levels = [e.get("y") for e in root.iter(f"{SVG}text") if e.text in ("target 0.92", "the other one", "a third")]
    assert len(set(levels)) == 3
    lines = Lines("t", "x", "ms", [Line(n, [(1, v), (2, v)]) for n, v in (("p50", 1.0), ("p99", 1.0), ("p99.9", 1.01))])
    root = ET.fromstring(f'<svg xmlns="http://www.w3.org/2000/svg">{lines.draw(800, 0)[0]}</svg>')
    ends = sorted(float(e.get("y")) for e in root.iter(f"{SVG}text") if e.text in ("p50", "p99", "p99.9"))
    assert ends[1] - ends[0] >= 12 and ends[2] - ends[1] >= 12


def test_a_line_goes_up_as_its_values_do_and_each_point_has_a_sign_of_its_lines_own_shape():
    lines = Lines("t", "x", "ms", [Line("a", [(10, 1), (100, 10), (1000, 100)]), Line("b", [(10, 2), (1000, 3)])], x_log=True, y_log=True)
    root = ET.fromstring(f'<svg xmlns="http://www.w3.org/2000/svg">{lines.draw(800, 0)[0]}</svg>')
    points = [[tuple(map(float, p.split(","))) for p in e.get("points").split()] for e in root.iter(f"{SVG}polyline")]
    first = points[0]
    assert first[1][0] - first[0][0] == pytest.approx(first[2][0] - first[1][0], abs=0.2)  # a decade is a decade
    assert first[0][1] - first[1][1] == pytest.approx(first[1][1] - first[2][1], abs=0.2)
    assert len(list(root.iter(f"{SVG}circle"))) == 3 and len(list(root.iter(f"{SVG}rect"))) == 2


def test_what_markup_means_is_escaped():
    hostile = '<script>alert("1")</script> & "so" on'
    text = page.svg(hostile, hostile, [Bars(hostile, hostile, [Bar(hostile, 1.5)], marks=[(1, hostile)]),
                                       Lines(hostile, hostile, hostile, [Line(hostile, [(1, 1)])], marks=[(1, hostile)])], hostile)
    assert "<script" not in text
    assert ET.fromstring(text.encode()).find(f"{SVG}title").text == hostile


# ---- results and the command ----

def test_a_result_says_where_it_comes_from(tmp_path):
    found = result.make("fanout", "./dev bench fanout", PAIRS)
    result.write(found, tmp_path / "deeper" / "fanout.json")
    again = result.read(tmp_path / "deeper" / "fanout.json")
    assert again == json.loads(json.dumps(found)) and again["figures"] == PAIRS
    assert again["machine"]["cores"] >= 1 and again["machine"]["kernel"] and re.fullmatch(r"\d{4}-\d\d-\d\d", again["date"])
    assert again["commit"] is None or re.fullmatch(r"[0-9a-f]{12,}", again["commit"]["id"])
    assert result.origin_line(again | {"commit": None}).count("no commit") == 1


def run_bench(*args):
    return subprocess.run([sys.executable, str(BENCH / "run"), *args], capture_output=True, text=True, timeout=60)


def test_published_plots_are_made_again_from_their_figures(tmp_path):
    for name in ("fanout", "latency"):
        result.write(result.make(name, f"./dev bench {name}", CANNED[name]), tmp_path / f"{name}.json")
    done = run_bench("report", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "2 plots in" in done.stdout and "deliveries/s" in done.stdout
    for name in ("fanout", "latency"):
        assert ET.parse(tmp_path / f"{name}.svg").getroot().find(f"{SVG}title").text == name


def test_results_of_a_scenario_that_is_unknown_are_refused(tmp_path):
    result.write(result.make("gone", "./dev bench gone", PAIRS), tmp_path / "gone.json")
    done = run_bench("report", "--out", str(tmp_path))
    assert done.returncode != 0 and "no scenario is called gone" in done.stderr


def test_without_memory_for_a_million_sockets_nothing_is_begun():
    idle = sys.modules["scenarios.idle"]
    with pytest.raises(SystemExit) as refused:
        idle.refuse_without_memory(10**12)
    assert "GiB" in str(refused.value) and "--clients" in str(refused.value)
    idle.refuse_without_memory(1)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_says_what_it_asks_and_can_be_tried_in_seconds(name):
    scenario = SCENARIOS[name]
    assert len(scenario.asks) > 20 and scenario.takes and scenario.charts is not None
    source = pathlib.Path(sys.modules[scenario.run.__module__].__file__).read_text(encoding="utf-8")
    assert scenario.short_clients or "short(args" in source or "args.short" in source
    assert set(scenario.needs) <= {"kafka", "tools"}


def test_the_command_lists_all_scenarios_and_says_what_they_need():
    listed = run_bench("--help").stdout
    for name, scenario in SCENARIOS.items():
        assert f"  {name} " in listed and scenario.asks[:40] in listed
    assert run_bench("--needs", "latency").stdout.split() == ["kafka"] and not run_bench("fanout", "--needs").stdout.strip()


def test_what_is_printed_as_the_command_is_what_was_asked():
    loader = SourceFileLoader("bench_run", str(BENCH / "run"))
    spec = importlib.util.spec_from_loader("bench_run", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    args = module.arguments(SCENARIOS).parse_args(["fanout", "--pairs", "9", "--short"])
    assert module.command_of(args) == "./dev bench fanout --pairs 9 --short"
    module.fill_in(args, SCENARIOS["fanout"])
    assert (args.pairs, args.clients) == (9, SCENARIOS["fanout"].short_clients)
