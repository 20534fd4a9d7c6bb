"""Signals in the programs that tests start."""

from __future__ import annotations

import signal

# Put before a program's code: it gets the signal {number} after it started a program, before it has what ends that.
AS_IT_STARTS_ANOTHER = """
import os, subprocess
started = subprocess.Popen._execute_child
def start(process, *arguments):
    started(process, *arguments)
    print(process.pid, flush=True)
    os.kill(os.getpid(), {number})
subprocess.Popen._execute_child = start
"""


def end_on_signals() -> None:
    """Take back what is inherited from a script's background (SIGINT ignored) or nohup (SIGHUP): a `preexec_fn`."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
