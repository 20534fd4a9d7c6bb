"""Which records of a feed are about what a recipe carries, and which of them nobody here has looked at yet. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from recipes.manifest.affected import LLAMA_CPP, component_version, is_affected, package_urls, version_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from recipes.evidence.feeds.records import Affected, Record
    from recipes.manifest.schema import Advisory, AffectedRange, Recipe

# What vendors call the owners of repositories that moved, or that NVD names otherwise.
OTHER_OWNERS = {
    "ggml-org": {"ggml", "ggerganov"},
    "yhirose": {"cpp-httplib_project"},
    "nlohmann": {"json_project", "json-for-modern-cpp_project"},
    "nothings": {"stb_project", "stb_image.h_project"},
}
TELLING_NAME = 9  # letters of a name that is enough without an owner: llama.cpp, not json
OTHER_NAMES = {"stb": {"stb_image", "stb_image.h"}, "json": {"json-for-modern-cpp"}}


@dataclass(frozen=True)
class Match:
    """A record about a component that a recipe carries; `covers` is None where its versions could not be read."""

    record: Record
    recipe: str
    component: str
    covers: bool | None
    ranges: tuple[AffectedRange, ...]


@dataclass
class News:
    """What a feed says that the manifests do not: of what nobody looked at, of what was settled otherwise."""

    new: dict[str, tuple[Record, tuple[Match, ...]]] = field(default_factory=dict)
    differs: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    known: int = 0
    elsewhere: int = 0  # about other versions than those that any recipe carries
    read: int = 0

    def add(self, record: Record, recipes: Sequence[Recipe], advisories: Mapping[str, Advisory]) -> None:
        """Judge one record; the same one under another of its identifiers is not new twice."""
        matches = tuple(match_record(record, recipes))
        if not matches:
            return
        advisory = known_as(record, advisories)
        if advisory is not None:
            self.known += 1
            self.differs += differences(record, matches, advisory, recipes)
        elif record.is_withdrawn or all(match.covers is False for match in matches):
            self.elsewhere += 1
        elif twin := next(
            (key for key, (one, _) in self.new.items() if {*one.names} & {*record.names}), None
        ):
            first, found = self.new[twin]
            self.new[twin] = replace(first, aliases=(*{*first.aliases, *record.names} - {first.id},)), found
        else:
            self.new[record.id] = record, matches


def differences(
    record: Record, matches: Iterable[Match], advisory: Advisory, recipes: Iterable[Recipe]
) -> list[str]:
    """Return what a record says of a finding that was settled otherwise here, in words."""
    if record.is_withdrawn:
        return [f"{advisory.id}: {record.id} was withdrawn"]
    fixed = {
        each.name
        for each in recipes
        if (standing := each.advisories.get(advisory.id))
        and standing.status == "fixed"
        and standing.patch is None
    }
    return [
        f"{advisory.id}: fixed in {match.recipe} here, and {record.id} still says that it is affected"
        for match in matches
        if match.covers and match.recipe in fixed
    ]


def match_record(record: Record, recipes: Iterable[Recipe]) -> Iterator[Match]:
    """Find what a record says of each recipe: by package URL or vendor and product, and by version."""
    for recipe in recipes:
        for component, url in package_urls(recipe).items():
            parts = [each for each in record.affected if _is_about(each, url)]
            if parts:
                ranges = tuple(dict.fromkeys(one for each in parts for one in _fitting(each, component)))
                covers = _covers(parts, component, component_version(recipe, component))
                yield Match(record, recipe.name, component, covers, ranges)


def is_mentioned(data: bytes, recipes: Iterable[Recipe]) -> bool:
    """Return whether the bytes of a record name a component at all: most of a dump does not, and is not parsed."""
    lower = data.lower()
    return any(word in lower for word in mentioned_words(recipes))


def mentioned_words(recipes: Iterable[Recipe]) -> frozenset[bytes]:
    """Return the words of which a record about a component has one: its name, alone or behind its owner's."""
    names = {
        url.partition("@")[0].rpartition("/")[2] for each in recipes for url in package_urls(each).values()
    }
    names |= {other for name in names for other in OTHER_NAMES.get(name, ())}
    return frozenset(word.encode() for name in names for word in (f"/{name}", f'"{name}"'))


def known_as(record: Record, advisories: Mapping[str, Advisory]) -> Advisory | None:
    """Return the finding that a record is, by any of its identifiers."""
    names = {name.upper() for name in record.names}
    for advisory in advisories.values():
        if names & {name.upper() for name in (advisory.id, *advisory.aliases)}:
            return advisory
    return None


def _is_about(affected: Affected, url: str) -> bool:
    owner, name = url.partition("@")[0].split("/")[1:3]
    owner, name = owner.lower(), name.lower()
    owners = {owner, *OTHER_OWNERS.get(owner, ())}
    if len(name) >= TELLING_NAME:
        owners |= {"", "n/a", name}
    return affected.owner in owners and affected.name in {name, *OTHER_NAMES.get(name, ())}


def _fitting(affected: Affected, component: str) -> Iterator[AffectedRange]:
    """Return the ranges whose versions are of the component's kind: builds of llama.cpp, versions of libraries."""
    for one in affected.ranges:
        versions = [each for each in (one.introduced, one.fixed, one.last_affected) if each]
        if all(each.startswith("b") == (component == LLAMA_CPP) for each in versions):
            yield one


def _covers(parts: list[Affected], component: str, version: str | None) -> bool | None:
    """Return whether a version is affected: yes if any part says so, no if all could be read and none does."""
    if version is None:
        return None
    key = version_key(version)
    is_whole = True
    for each in parts:
        fitting = tuple(_fitting(each, component))
        listed = {one for one in each.versions if one.startswith("b") == (component == LLAMA_CPP)}
        is_listed = each.is_all or any(version_key(one) == key for one in listed)
        if is_listed or (fitting and is_affected(version, fitting)):
            return True
        is_whole = is_whole and each.is_whole and len(fitting) == len(each.ranges) and listed == each.versions
    return False if is_whole else None
