# SPDX-License-Identifier: Apache-2.0
"""A result: the figures of one scenario and what somebody else needs to repeat them: command, date, commit, machine."""

import json
import os
import pathlib
import platform
import re
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent


def git(*args):
    done = subprocess.run(["git", "-c", "safe.directory=*", "-C", str(TOP), *args], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def commit():
    """None where there is no git, as in an unpacked archive."""
    try:
        name = git("rev-parse", "--short=12", "HEAD")
        return {"id": name, "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))} if name else None
    except FileNotFoundError:
        return None


def first(pattern, path):
    try:
        found = re.search(pattern, pathlib.Path(path).read_text(), re.M)
    except OSError:
        return None
    return found.group(1).strip() if found else None


def machine():
    memory_kib = first(r"^MemTotal:\s+(\d+)", "/proc/meminfo")
    return {"cores": os.cpu_count(), "model": first(r"^model name\s*:\s*(.+)$", "/proc/cpuinfo"), "kernel": platform.release(),
            "memory_gib": round(int(memory_kib) / 2**20, 1) if memory_kib else None}


def make(name, command, figures):
    return {"scenario": name, "command": command, "date": time.strftime("%Y-%m-%d"), "commit": commit(), "machine": machine(),
            "figures": figures}


def write(result, path):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def origin_line(result):
    """Where it was measured, in one line."""
    m, c = result["machine"], result["commit"]
    where = f"{m['cores']} cores" + (f", {m['model']}" if m["model"] else "") + (f", {m['memory_gib']} GiB" if m["memory_gib"] else "")
    what = f"commit {c['id']}{' with changes' if c['dirty'] else ''}" if c else "no commit"
    return f"{result['command']}  ·  {result['date']}  ·  {what}  ·  {where}, Linux {m['kernel']}"
