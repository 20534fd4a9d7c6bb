"""What the sessions `serve` and `ask` understand on their command line."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from recipes.serve.llamacpp.listen_address import LOOPBACK, PORT
from recipes.serve.memory_fit import ANYWAY


def add_serve(command: argparse.ArgumentParser) -> None:
    """Add what `serve` understands."""
    command.add_argument(
        "--host",
        default=LOOPBACK,
        metavar="ADDRESS",
        help=f"where to listen (default: {LOOPBACK}, which only this machine reaches; another one needs a key)",
    )
    command.add_argument(
        "--port", type=int, default=PORT, metavar="N", help=f"where to listen (default: {PORT})"
    )
    command.add_argument(
        "--text-only", action="store_true", help="do not load the projector: less memory, no pictures"
    )
    _add_service(command, temperature=None)


def add_ask(command: argparse.ArgumentParser) -> None:
    """Add what `ask` understands."""
    command.add_argument(
        "--image",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a picture: JPEG, PNG, GIF or BMP (repeat for more)",
    )
    command.add_argument("--url", metavar="URL", help="ask a server that runs (default: one just for this)")
    command.add_argument("question", nargs="?", default="", metavar="QUESTION", help="what to ask")
    _add_service(command, temperature=0.0)


def positive(text: str) -> int:
    """Read a whole number that is at least 1.

    Raises
    ------
    argparse.ArgumentTypeError
        Where it is less.
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {number}")
    return number


def _add_service(command: argparse.ArgumentParser, *, temperature: float | None) -> None:
    """Add what runs a server."""
    command.add_argument(
        "--model",
        metavar="NAME",
        help="a manifest in manifests/models/ (default: the default one where it is fetched, else the pocket model)",
    )
    command.add_argument(
        "--bundle",
        type=Path,
        metavar="FOLDER",
        help="a folder with llama-server in it or in its bin/, ours or not (default: the recipe's bundle)",
    )
    command.add_argument(
        "--context",
        type=positive,
        metavar="N",
        help="tokens of context (default: 8192, or as many as the model knows)",
    )
    command.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="to compute with (default: llama-server's choice, at most this process's cores)",
    )
    command.add_argument(
        "--temperature",
        type=_not_negative,
        default=temperature,
        metavar="T",
        help="how freely it answers (default: "
        + ("llama-server's" if temperature is None else "0, the same question gives the same answer")
        + ")",
    )
    command.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="a file with the key that clients show (default: the variable PINNED_LLAMA_API_KEY)",
    )
    command.add_argument(
        ANYWAY, action="store_true", help="start it where the memory that is left is too little"
    )
    command.add_argument(
        "--start-timeout",
        type=_seconds,
        metavar="SECONDS",
        help="how long loading may take (default: two minutes and one for each 3 GB)",
    )


def _not_negative(text: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"at least 0, not {text}")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"more than 0, not {text}")
    return number
