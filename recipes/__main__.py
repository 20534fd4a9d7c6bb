"""`python -m recipes SESSION`: what the nox sessions call."""

import io
import signal
import sys

from recipes.bootstrap import open_streams
from recipes.cli.main import main
from recipes.core.process import ENDINGS


def interrupt(*_: object) -> None:
    """End as Ctrl-C does, once: a second signal must not interrupt the cleaning up."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


open_streams()
if sys.stderr is None:
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for the whole run
if isinstance(sys.stdout, io.TextIOWrapper):  # what its encoding lacks is shown by its escape
    sys.stdout.reconfigure(errors="backslashreplace")
for ending in ENDINGS:
    if signal.getsignal(ending) is not signal.SIG_IGN:  # as nohup and a script's background have it
        signal.signal(ending, interrupt)
sys.exit(main())
