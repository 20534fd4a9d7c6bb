"""`python -m tests.scale`: writes docs/scale.md; with --measure, of sizes that are measured now in the user's store."""

from __future__ import annotations

import argparse

from recipes.manifest.load import PROJECT
from tests.benchmarks.__main__ import utc_now
from tests.benchmarks.turns import say
from tests.scale.report import PAGE, Record, read, write
from tests.scale.sizes import measure


def main() -> None:
    top = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    top.add_argument(
        "--measure", action="store_true", help="measure what the store has, instead of what is recorded"
    )
    folder = PROJECT / "docs"
    record = Record(utc_now(), measure(say)) if top.parse_args().measure else read(folder)
    write(record, folder)
    say(f"written: docs/{PAGE}")


if __name__ == "__main__":
    main()
