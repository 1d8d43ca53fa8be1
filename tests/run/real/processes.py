# SPDX-License-Identifier: Apache-2.0
"""Children that cannot outlive us, and what the system says of them. Only the main thread makes some: the system
ends a child together with the thread that made it."""

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
PRCTL = ctypes.CDLL(None).prctl
SETTLE_S = 1
RUNNING, PAUSED, STOPPED = "running", "paused", "stopped"


def spawn(argv, **how):
    """A child in a process group of its own, so that a terminal's Ctrl-C reaches us alone; killed if we are."""
    parent = os.getpid()

    def prepare():
        PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # we ended in between

    how = {"stdin": subprocess.DEVNULL, "preexec_fn": prepare, "process_group": 0} | how
    return subprocess.Popen(argv, **how)


def children(pid):
    """The process ids below one, all the way down."""
    try:
        straight = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [c for child in map(int, straight) for c in (child, *children(child))]


def state(proc):
    """Also of one that somebody else has stopped or killed."""
    if proc is None or proc.poll() is not None:
        return STOPPED
    with contextlib.suppress(OSError, IndexError):
        after_name = pathlib.Path(f"/proc/{proc.pid}/stat").read_text().rpartition(")")[2]
        return PAUSED if after_name.split()[0] in "Tt" else RUNNING
    return STOPPED


def ended_how(proc):
    return f"signal {-proc.returncode}" if proc.returncode < 0 else f"exit status {proc.returncode}"


def send(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def pause(proc):
    send([proc.pid, *children(proc.pid)], signal.SIGSTOP)
    settle(lambda: state(proc) != RUNNING)


def resume(proc):
    send([proc.pid, *children(proc.pid)], signal.SIGCONT)
    settle(lambda: state(proc) != PAUSED)


def settle(condition):
    """Many threads do not stop all at once."""
    deadline = time.monotonic() + SETTLE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)


def finish(procs, patience_s):
    """Waits until all have ended, together so long at most; those that have not are killed, with what is below them."""
    deadline = time.monotonic() + patience_s
    for proc, below in procs:
        try:
            proc.wait(max(deadline - time.monotonic(), 0.01))
        except subprocess.TimeoutExpired:
            below = {*below, *children(proc.pid)}
            proc.kill()
            proc.wait()
        # PostgreSQL's own: they end when they see that their parent is gone, unless they are paused
        send(below, signal.SIGCONT)


def end(procs, patience_s):
    """[(child, signal)]: asks all to end at once."""
    alive = [(proc, number) for proc, number in procs if proc is not None and proc.poll() is None]
    known = [(proc, children(proc.pid)) for proc, _ in alive]
    for proc, number in alive:
        resume(proc)
        send([proc.pid], number)
    finish(known, patience_s)
