#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the instructions that small operations take, by callgrind: figures that repeat on a busy machine.

bench/micro/run.py            a table of instructions an operation
bench/micro/run.py --check    fails if an operation takes over 5 % more than bench/micro/counts.json says
bench/micro/run.py --write    writes that file anew, from the release build
bench/micro/run.py --top 12   and the functions that are in it, by inclusive instructions

Counted is what lies inside the function `counted` of bench/micro/main.c. The programs have no threads, no clock and fixed
hash keys; their environment and arguments are always the same, and valgrind gives them the same addresses: two runs of one
build differ by nothing. What is left to differ between machines is OpenSSL and the C library, which choose their code by the
processor; so counts are compared only where compiler and C library are those of the file, and those of OpenSSL only on the same
processor. The default tests do not run this, for valgrind is not among the packages; they run each case once without it
(tests/integration/test_98_micro.py)."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
COUNTS = HERE / "counts.json"
GROWTH_MAX = 0.05
REPEAT_MAX = 0.001
BY_OPENSSL = ("token/", "shard/one_sse", "shard/sixteen_sse", "shard/arrive")
TOTAL = re.compile(r"^(?:summary|totals):\s*(\d+)", re.M)


def binary():
    return pathlib.Path(os.environ.get("BGW_MICRO") or HERE.parents[1] / "build" / "release" / "bin" / "bgw-micro").resolve()


def valgrind():
    """(argv, environment, folder of callgrind_annotate or None)"""
    if os.environ.get("BGW_VALGRIND"):
        return [os.environ["BGW_VALGRIND"]], {}, None
    sys.path.insert(0, str(HERE.parent))
    import tools
    argv, env, _ = tools.valgrind()
    return list(argv), dict(env), pathlib.Path(argv[0]).parent


def ask(*words):
    done = subprocess.run([binary(), *words], stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout


def names():
    return ask("list").split()


def processor():
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    return found.group(1).strip() if found else "unknown"


def origin():
    return {**json.loads(ask("about")), "processor": processor()}


def count(name, profile, chunks=None):
    """{"instructions", "operations", "unit"} of one case; the profile is left in the file."""
    argv, env, _ = valgrind()
    here = binary()
    done = subprocess.run(
        [*argv, "-q", "--tool=callgrind", "--toggle-collect=counted", f"--callgrind-out-file={profile}", f"./{here.name}", name,
         *([str(chunks)] if chunks else [])],
        cwd=here.parent, env={"PATH": "/usr/bin:/bin", **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"micro: {name} ended with {done.returncode}: {done.stderr[-2000:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    total = TOTAL.findall(pathlib.Path(profile).read_text(encoding="utf-8", errors="replace"))
    if not total or int(total[-1]) == 0 or said["right"] != said["operations"]:
        raise SystemExit(f"micro: {name}: nothing was counted, or the result is wrong: {said}, {total}")
    return {"instructions": int(total[-1]), "operations": said["operations"], "unit": said["unit"]}


def measure(wanted=None, jobs=None, folder=None, on_done=lambda name, found: None):
    """{name: {"instructions", "operations", "unit"}}, in the program's own order. Profiles go to `folder` if there is one."""
    wanted = list(wanted or names())
    valgrind()  # fetched once, before anybody runs
    with tempfile.TemporaryDirectory() as own, concurrent.futures.ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        runs = [pool.submit(count, name, pathlib.Path(folder or own) / f"{name.replace('/', '_')}.out") for name in wanted]
        for name, run in zip(wanted, runs):
            on_done(name, run.result())
        return {name: run.result() for name, run in zip(wanted, runs)}


def each(found):
    return found["instructions"] / found["operations"]


def rows(counts):
    """[[name, unit, instructions an operation]] for a table or bars."""
    return [[name, found["unit"], round(each(found), 1)] for name, found in counts.items()]


def compare(counts, baseline, now):
    """(what is wrong, what is worth saying): a case that has grown, is missing, or was never counted."""
    bad, remarks = [], []
    was = baseline["origin"]
    for key in ("compiler", "libc"):
        if now[key] != was[key]:
            return [f"counts.json was made with {key} {was[key]}, this is {now[key]}: nothing can be compared"], []
    for name, found in baseline["counts"].items():
        if name not in counts:
            bad.append(f"{name} is in counts.json and not in the program")
        elif name.startswith(BY_OPENSSL) and now["processor"] != was["processor"]:
            remarks.append(f"{name}: not compared, the processor is another one")
        else:
            growth = each(counts[name]) / each(found) - 1
            text = f"{name}: {each(found):,.1f} -> {each(counts[name]):,.1f} instructions per {found['unit']} ({growth:+.1%})"
            if growth > GROWTH_MAX:
                bad.append(text)
            elif growth < -GROWTH_MAX:
                remarks.append(text)
    bad += [f"{name} is not in counts.json" for name in counts if name not in baseline["counts"]]
    return bad, remarks


def same(first, second):
    """The cases whose two counts differ by more than a thousandth."""
    return [f"{name}: {each(first[name]):,.2f} and {each(second[name]):,.2f}" for name in first
            if abs(each(second[name]) / each(first[name]) - 1) > REPEAT_MAX]


def top(profile, how_many):
    """Lines `share  function`, by inclusive instructions, of what lies below `counted`."""
    _, env, folder = valgrind()
    tool = str(folder / "callgrind_annotate") if folder else "callgrind_annotate"
    text = subprocess.run([tool, "--inclusive=yes", "--threshold=100", str(profile)], env={**os.environ, **env},
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    lines = []
    for share, name in re.findall(r"^\s*[\d,]+ \(\s*([\d.]+)%\)\s+(?:\S*?/)?(?:\?\?\?|[^\s:]+):(\S+)", text, re.M):
        if name not in ("main", "counted", "(below", "__libc_start_main@@GLIBC_2.34") and not name.startswith("0x"):
            lines.append(f"{float(share):6.1f} %  {name}")
    return lines[:how_many]


def report(counts, args, folder):
    width = max(map(len, counts))
    for name, unit, instructions in rows(counts):
        print(f"{name:<{width}}  {instructions:>12,.1f}  per {unit}")
        for line in top(folder / f"{name.replace('/', '_')}.out", args.top) if args.top else ():
            print(f"    {line}")


def verdict(counts, args):
    if args.twice:
        apart = same(counts, measure(args.names))
        print("\n".join(apart) or "two runs, the same counts")
        if apart:
            return 1
    if args.write:
        COUNTS.write_text(json.dumps({"origin": origin(), "counts": counts}, indent=1) + "\n", encoding="utf-8")
    if not args.check:
        return 0
    baseline = json.loads(COUNTS.read_text(encoding="utf-8"))
    if args.names:
        baseline["counts"] = {k: v for k, v in baseline["counts"].items() if k in args.names}
    bad, remarks = compare(counts, baseline, origin())
    print("\n".join([*remarks, *(f"GROWN {line}" for line in bad)]) or "as counts.json says, or less")
    return 1 if bad else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases; none: all")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--twice", action="store_true", help="count again and fail if anything differs by over 0.1 %%")
    parser.add_argument("--top", type=int, default=0, metavar="N")
    parser.add_argument("--json", metavar="FILE", help="{name: {instructions, operations, unit}}")
    args = parser.parse_args()
    if args.write and args.names:
        parser.error("--write counts all cases")
    with tempfile.TemporaryDirectory() as folder:
        counts = measure(args.names, folder=folder)
        report(counts, args, pathlib.Path(folder))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    return verdict(counts, args)


if __name__ == "__main__":
    sys.exit(main())
