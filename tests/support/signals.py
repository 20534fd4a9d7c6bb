"""Signals in the programs that tests start."""

from __future__ import annotations

import signal


def end_on_signals() -> None:
    """Take back what is inherited from a script's background (SIGINT ignored) or nohup (SIGHUP): a `preexec_fn`."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
