"""Two records of what bundles are built from: what differs, in words, and which pin it comes from. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.filesystem import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ABSENT = "absent"
WORDS_SHOWN = 6
# What a part of a record is to a person, and the pin that it comes from; R and P stand for recipe and platform.
RECIPE = "manifests/recipes/{recipe}.yaml"
PLATFORM = f"{RECIPE}: platforms.{{platform}}"
MEANINGS = (
    (r"plan\.inputs\.patches\.(.+)", r"patch \1", f"patches/\\1, listed in {RECIPE}: patches"),
    (r"plan\.inputs\.source_tree(_sha256)?", r"tree of the source\1", f"{RECIPE}: source.tree\\1"),
    (
        r"plan\.inputs\.patched_tree(_sha256)?",
        r"tree with its patches\1",
        f"{RECIPE}: the last patch's tree\\1",
    ),
    (r"plan\.inputs\.page_tree_sha256", "web page", f"{RECIPE}: page.tree_sha256"),
    (r"plan\.inputs\.toolchain(\.name)?", "toolchain", f"{PLATFORM}.toolchain"),
    (
        r"plan\.inputs\.toolchain\.(.+)",
        r"toolchain: \1",
        f"manifests/toolchains: the one that {PLATFORM}.toolchain names",
    ),
    (r"plan\.inputs\.sdk", "SDK", f"{PLATFORM}.sdk"),
    (r"plan\.inputs\.(.+)", r"\1", f"{RECIPE}: source"),
    (r"plan\.environment\.SOURCE_DATE_EPOCH", "time given to the build", f"{RECIPE}: source.epoch"),
    (r"plan\.environment\.(.+)", r"environment \1", "this checkout's code"),
    (r"plan\.cache\.CMAKE_(C|CXX)_FLAGS", r"flags of \1", f"{PLATFORM}.flags"),
    (r"plan\.cache\.CMAKE_.+_LINKER_FLAGS", "flags of the linker", f"{PLATFORM}.flags.link"),
    (r"plan\.cache\.(.+)", r"option \1", f"{RECIPE}: cmake.\\1, or {PLATFORM}.cmake.\\1"),
    (
        r"plan\.wrappers\.(.+)",
        r"how \1 is called",
        f"{PLATFORM}: target, cpu, march; the toolchain's cxx_flags",
    ),
    (r"plan\.(isa_flags|march)", r"\1", f"{PLATFORM}.\\1"),
    (r"plan\.(machine|max_glibc|minimum_os|system)", r"\1", f"{PLATFORM}.target"),
    (r"plan\.contents\.(.+)", r"contents of \1", f"{PLATFORM}.bundle.\\1"),
    (r"plan\.libraries", "libraries that may be linked", f"{PLATFORM}.libraries"),
    (r"plan\.components", "whose files there are", f"{RECIPE}: components; manifests/components"),
    (r"plan\.probe", "program that says its version", f"{RECIPE}: probe"),
    (r"plan\.compile", "targets", f"{RECIPE}: targets"),
    (r"plan\.version", "version", f"{RECIPE}: source.build_number, source.commit"),
    (r"plan\.whole", "whole bundle", "--target"),
    (r"plan\.format", "format of plans", "this checkout's code"),
    (r"recipe", "recipe", "--recipe"),
    (r"platform", "platform", "--platform"),
)
# said by the options, a line each
FOLLOWS = frozenset(("plan.configure",))


@dataclass(frozen=True)
class Difference:
    """One thing that differs: what it is, its two values, and the pin that it comes from, "" where none is known."""

    what: str
    left: str
    right: str
    pin: str


def compare_records(left: Mapping[str, object], right: Mapping[str, object]) -> tuple[Difference, ...]:
    """Return what differs between two records in the form of build.json, in the order of their parts."""
    ours, theirs = dict(flatten(left)), dict(flatten(right))
    names = {"recipe": str(right.get("recipe", "")), "platform": str(right.get("platform", ""))}
    found = []
    for key in (*ours, *(key for key in theirs if key not in ours)):
        one, other = ours.get(key, ABSENT), theirs.get(key, ABSENT)
        if one != other and key not in FOLLOWS:
            what, pin = meaning(key, names)
            found.append(Difference(what, *only_different(one, other), pin))
    return tuple(found)


def flatten(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Return each value of a record by its path; a list of words is one value, a list of files one a file."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flatten(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            name = item.get("file") or item.get("name") if isinstance(item, dict) else None
            rest = {key: each for key, each in item.items() if each is not name} if name else item
            single = next(iter(rest.values())) if isinstance(rest, dict) and len(rest) == 1 else rest
            yield from flatten(single, f"{path}.{name or index}")
    elif isinstance(value, list | tuple):
        if value:
            yield path, "\n".join(map(str, value))
    else:
        yield path, str(value)


def meaning(key: str, names: Mapping[str, str]) -> tuple[str, str]:
    """Return what a part of a record is in words, and the pin that it comes from.

    >>> meaning("plan.cache.GGML_AVX2", {"recipe": "b1", "platform": "p"})[0]
    'option GGML_AVX2'
    """
    for pattern, what, pin in MEANINGS:
        if match := re.fullmatch(pattern, key):
            return match.expand(what).replace("_sha256", " (SHA-256)"), match.expand(pin).format(**names)
    return key, ""


def only_different(left: str, right: str) -> tuple[str, str]:
    """Return of two values with many words those words that the other has not, and both whole where they are short.

    >>> only_different("a b c d e f g h i j k l m", "a b c d e f g h i j k l")
    ('m', 'nothing more')
    """
    if ABSENT in {left, right} or max(len(left.split()), len(right.split())) < WORDS_SHOWN:
        return shown(left.replace("\n", " ")), shown(right.replace("\n", " "))
    ours, theirs = Counter(left.split()), Counter(right.split())
    more, others = _words(ours - theirs), _words(theirs - ours)
    if not more and not others:
        return "the same words", "in another order"
    return more or "nothing more", others or "nothing more"


def _words(words: Iterable[str]) -> str:
    return shown(" ".join(words))
