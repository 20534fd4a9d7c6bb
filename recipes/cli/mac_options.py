"""What the sessions understand that are about Macs and signatures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_mac_check(command: argparse.ArgumentParser) -> None:
    """Add what `mac-check` understands."""
    command.add_argument(
        "--bundle",
        type=Path,
        metavar="PATH",
        help="an unpacked bundle, or a .tar.zst of one (default: the recipe's bundle, built where it is missing)",
    )
    command.add_argument(
        "--result", type=Path, metavar="FILE", help="where the JSON goes (default: out/mac-check.json)"
    )
    command.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar="FILE",
        help="try nothing; compare two such results, as of a cross build and of a native one",
    )


def add_payload(command: argparse.ArgumentParser) -> None:
    """Add what `payload` understands."""
    command.add_argument("bundle", type=Path, metavar="FOLDER", help="an unpacked bundle")
    command.add_argument(
        "other", type=Path, nargs="?", metavar="OTHER", help="another, signed in another way"
    )
