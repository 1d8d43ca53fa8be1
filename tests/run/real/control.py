# SPDX-License-Identifier: Apache-2.0
"""How another terminal reaches the running demonstration: a file says where, a socket takes one line
`PART ACTION` and answers with a JSON object.

    python -m tests.run.real.control STATE-FOLDER [NAME ACTION]"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

ACTIONS = ("stop", "start", "pause", "resume", "log", "status")
STATE_FILE = "demo.json"
ANSWER_S = 70  # longer than Kafka may take to start
LINES = 40


class NoDemo(Exception):
    pass


class Announcement:
    """The file, while the demonstration runs. What an earlier one left that was killed is cleared away."""

    def __init__(self, state_dir, folder, control):
        self.path = pathlib.Path(state_dir, STATE_FILE)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.clear_up()
        beside = self.path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps({"pid": os.getpid(), "folder": str(folder), "control": str(control)}))
        beside.rename(self.path)

    def clear_up(self):
        try:
            left = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return
        if pathlib.Path(left["folder"]).name.startswith("bgw-real-"):
            shutil.rmtree(left["folder"], ignore_errors=True)

    def withdraw(self):
        self.path.unlink(missing_ok=True)


def is_running(state_dir):
    try:
        ask(state_dir, "status", "")
        return True
    except NoDemo:
        return False


def ask(state_dir, part, action):
    """What the demonstration answers: {"ok":…,"text":…} and for one part its log."""
    try:
        where = json.loads(pathlib.Path(state_dir, STATE_FILE).read_text())
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(ANSWER_S)
            s.connect(where["control"])
            s.sendall(f"{part} {action}\n".encode())
            return json.loads(s.makefile().read())
    except (OSError, ValueError) as why:
        raise NoDemo("no demonstration runs here: start one with ./dev up --real") from why


def listen(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    os.chmod(path, 0o600)
    s.listen(8)
    return s


def run(state_dir, words):
    """The command: 0, or 1 with a sentence."""
    if not words or words in (["status"], ["help"]):
        words = ["status", ""]
    if len(words) != 2 or words[1] and words[1] not in ACTIONS:
        print(f"usage: ./dev part NAME {'|'.join(ACTIONS)}; without words: how all parts are")
        return 2
    try:
        answer = ask(state_dir, *words)
    except NoDemo as why:
        print(f"part: {why}")
        return 1
    print(answer["text"])
    if words[1] == "log" and answer["ok"]:
        subprocess.run(["tail", "-n", str(LINES), answer["log"]], check=False)
    return 0 if answer["ok"] else 1


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
