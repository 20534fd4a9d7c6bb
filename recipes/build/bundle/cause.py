"""Why two builds of one plan differ, as far as the bytes tell: what each kind of leak leaves behind. Pure.

A build that is not reproducible lets one of five things in: the path it was built in, the time, an order that a file
system or a thread decided, the processor, or a stamp that names one build. Each is looked for where it would be.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from recipes.build.bundle.parts import STAMPS, TIMES, Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class Cause(Enum):
    """What probably made a difference."""

    PATH = "path"
    TIME = "time"
    ORDER = "order"
    PROCESSOR = "processor"
    STAMP = "stamp"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class LikelyCause:
    """A cause, the part of the file that shows it ("" for the whole), and what is there in the two."""

    cause: Cause
    part: str
    left: str
    right: str

    def __str__(self) -> str:
        if self.cause is Cause.UNKNOWN:
            return "cause unknown: neither path, time, order, processor nor stamp shows"
        place = f" in {self.part}" if self.part else ""
        return f"likely {self.cause.value}{place}: {self.left!r} against {self.right!r}"


STRING = re.compile(rb"[\t\x20-\x7e]{4,}")
BLOCK_BYTES = 16  # what compilers align functions to
MOST = 0.5  # of the blocks of two codes: then they are the same code
MOST_SHOWN = 80
MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
# in the order in which they are looked for: a time in a path's name is a time
PATTERNS = (
    (
        Cause.TIME,
        re.compile(
            rf"\b({MONTHS}) [ 0-3]\d [12]\d{{3}}\b"  # __DATE__
            r"|(?<!\d)[0-2]\d:[0-5]\d:[0-6]\d(?!\d)"  # __TIME__
            r"|(?<!\d)(19|20)\d\d-[01]\d-[0-3]\d(?!\d)"
            r"|(?<!\d)1[0-9]{9}(?!\d)"  # seconds since 1970
        ),
    ),
    (Cause.PATH, re.compile(r"(?:^|[\s=:'\"(,])(?:/[\w.+@ -]+){2,}|\b[A-Za-z]:\\[\w.\\ -]+")),
    (
        Cause.PROCESSOR,
        re.compile(
            r"-m(arch|cpu|tune)=\S+|\b(znver\d|skylake|haswell|x86-64-v\d|armv\d[\w.+-]*|apple-m\d)\b|\bavx512\w*"
        ),
    ),
    (
        Cause.STAMP,
        re.compile(r"\b[0-9a-f]{7,64}\b|\bbuild[ -]?(id|number)?[ :=]*\d+|\w+@[\w.-]+", re.IGNORECASE),
    ),
)


def likely_causes(left: Sequence[Part], right: Sequence[Part]) -> tuple[LikelyCause, ...]:
    """Return what probably made two files differ, the surest first; UNKNOWN alone where nothing tells.

    1. Parts that hold a stamp or a time and nothing else.
    2. Texts that only one of them has, by what they look like.
    3. Where both have the same texts, or the same blocks of code, in another order: the order.
    4. Where only code differs otherwise: the processor that it is for.
    """
    ours, theirs = _by_name(left), _by_name(right)
    found = [*_stamps(ours, theirs), *_texts(left, right)]
    if not found:
        found += _orders(left, right, ours, theirs)
    if not found:
        found += _code(ours, theirs)
    return tuple(found) or (LikelyCause(Cause.UNKNOWN, "", "", ""),)


def _by_name(parts: Sequence[Part]) -> dict[str, bytes]:
    joined: dict[str, bytes] = {}
    for part in parts:
        joined[part.name] = joined.get(part.name, b"") + part.data
    return joined


def _stamps(ours: dict[str, bytes], theirs: dict[str, bytes]) -> Iterator[LikelyCause]:
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(name, b""), theirs.get(name, b"")
        if one != other and name in STAMPS | TIMES:
            cause = Cause.STAMP if name in STAMPS else Cause.TIME
            yield LikelyCause(cause, name, one[-20:].hex() or "none", other[-20:].hex() or "none")


def _texts(left: Sequence[Part], right: Sequence[Part]) -> Iterator[LikelyCause]:
    ours, theirs = _located(left), _located(right)
    only_ours = [text for text in ours if text not in theirs]
    only_theirs = [text for text in theirs if text not in ours]
    for cause, pattern in PATTERNS:
        mine = next((text for text in only_ours if pattern.search(text)), "")
        other = next((text for text in only_theirs if pattern.search(text)), "")
        if mine or other:
            yield LikelyCause(cause, ours.get(mine, theirs.get(other, "")), _shown(mine), _shown(other))
        only_ours = [text for text in only_ours if not pattern.search(text)]
        only_theirs = [text for text in only_theirs if not pattern.search(text)]


def _orders(
    left: Sequence[Part], right: Sequence[Part], ours: dict[str, bytes], theirs: dict[str, bytes]
) -> Iterator[LikelyCause]:
    for name, data in ours.items():
        one, other = _strings(data), _strings(theirs.get(name, b""))
        if not Part(name, b"").is_code and one != other and Counter(one) == Counter(other):
            first = next(pair for pair in zip(one, other, strict=True) if pair[0] != pair[1])
            yield LikelyCause(Cause.ORDER, name, _shown(first[0]), _shown(first[1]))
            return
    names = [part.name for part in left], [part.name for part in right]
    if names[0] != names[1] and Counter(names[0]) == Counter(names[1]):
        yield LikelyCause(Cause.ORDER, "", _shown(" ".join(names[0])), _shown(" ".join(names[1])))
        return
    for name, code in ours.items():
        other_code = theirs.get(name, b"")
        if Part(name, b"").is_code and code != other_code and _share(code, other_code) > MOST:
            yield LikelyCause(Cause.ORDER, name, "the same blocks of code", "in another order")
            return


def _code(ours: dict[str, bytes], theirs: dict[str, bytes]) -> Iterator[LikelyCause]:
    for name, one in ours.items():
        other = theirs.get(name, b"")
        if Part(name, b"").is_code and one != other:
            yield LikelyCause(
                Cause.PROCESSOR, name, f"{len(one)} bytes of code", f"{len(other)} of other code"
            )
            return


def _share(one: bytes, other: bytes) -> float:
    """Return how many of two codes' aligned blocks are the same, wherever they lie."""
    blocks = Counter(_blocks(one)), Counter(_blocks(other))
    return sum((blocks[0] & blocks[1]).values()) / max(1, *(sum(each.values()) for each in blocks))


def _blocks(code: bytes) -> Iterable[bytes]:
    return (code[at : at + BLOCK_BYTES] for at in range(0, len(code), BLOCK_BYTES))


def _located(parts: Sequence[Part]) -> dict[str, str]:
    """Return each text outside of code, and the part that it is in."""
    return {text: part.name for part in parts if not part.is_code for text in _strings(part.data)}


def _strings(data: bytes) -> list[str]:
    return [found.decode("ascii") for found in STRING.findall(data)]


def _shown(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
