"""Vulnerability records: OSV 1.7 (ossf.github.io/osv-schema) and CVE JSON 5 (cveproject.github.io/cve-schema). Pure.

What is not understood of a record is left out, and never guessed: a range that names commits alone says nothing of
build numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recipes.manifest.affected import version_key
from recipes.manifest.schema import AffectedRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    _Read = AffectedRange | str | None  # a range, a single version or EVERY, or what could not be read

MOST_TEXT = 400  # characters of a summary; what is longer is cut
VERSION = re.compile(r"v?(b?[0-9]{1,12}(?:\.[0-9]{1,12}){0,5})")
COMPARISON = re.compile(r"(<=|>=|<|>|=)\s*([^\s<>=,]+)")
GITHUB = re.compile(r"https?://github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?/?", re.ASCII)
PACKAGE_URL = re.compile(r"pkg:([a-z]+)/([\w.%-]+)/([\w.%-]+?)(?:@[^?#]*)?(?:[?#].*)?", re.ASCII)
VECTOR = re.compile(r"CVSS:[0-9]\.[0-9](/[A-Za-z]{1,4}:[A-Za-z]{1,8}){1,40}")
WEAKNESS = re.compile(r"CWE-[0-9]{1,6}")
LINK = re.compile(r"https?://[!-~]{1,1000}")
RATINGS = ("low", "medium", "high", "critical")
NO_START = ("0", "*", "unspecified")  # how records say that there is no first version
ENDS = ("fixed", "last_affected")
EVERY = "every version"
MOST_ITEMS = 20  # links, aliases and the like of one record
CVSS_FIELDS = ("cvssV4_0", "cvssV3_1", "cvssV3_0")


@dataclass(frozen=True)
class Affected:
    """One package that a record says is affected.

    `owner` and `name` are those of a repository, or a vendor and a product, in lower case. `ranges` are those that
    could be read, `versions` the versions that are listed one by one, and `is_all` is True where it says that every
    version is affected; `is_whole` is False where a part could not be read.
    """

    owner: str
    name: str
    ranges: tuple[AffectedRange, ...] = ()
    versions: frozenset[str] = frozenset()
    is_whole: bool = True
    is_all: bool = False


@dataclass(frozen=True)
class Record:
    """One record of a feed: what it is called, what it says, and what it is about."""

    id: str
    aliases: tuple[str, ...]
    summary: str
    rating: str | None
    vectors: tuple[str, ...]
    weaknesses: tuple[str, ...]
    links: tuple[str, ...]
    affected: tuple[Affected, ...] = field(default=())
    is_withdrawn: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every identifier of it."""
        return (self.id, *self.aliases)


def parse_records(data: object) -> Iterator[Record | str]:
    """Return the records in a JSON value: one, a list, or an answer of OSV's API; of one that is none, why.

    >>> [record.id for record in parse_records({"vulns": [{"id": "CVE-2000-0001", "modified": "2026-01-01"}]})]
    ['CVE-2000-0001']
    """
    for item in _items(data):
        if not isinstance(item, dict):
            yield f"a record is an object, not {_kind(item)}"
        elif item.get("dataType") == "CVE_RECORD" or "cveMetadata" in item:
            yield _cve(item)
        elif "id" in item:
            yield _osv(item)
        else:
            yield "an object without `id` and without `cveMetadata`"


def _items(data: object) -> Iterator[object]:
    if isinstance(data, list):
        yield from data
    elif isinstance(data, dict) and isinstance(data.get("vulns"), list):
        yield from data["vulns"]
    elif isinstance(data, dict) and isinstance(data.get("results"), list):
        for result in data["results"]:
            yield from _list(result, "vulns")
    elif data != {}:  # what the API answers where it knows nothing
        yield data


def _osv(data: dict[str, object]) -> Record | str:
    name = data.get("id")
    if not isinstance(name, str) or not _is_identifier(name):
        return "an `id` that is no identifier"
    affected = [each for item in _list(data, "affected") for each in _osv_affected(item)]
    severities = [data, *_list(data, "affected")]
    vectors = [_text(each, "score") for item in severities for each in _list(item, "severity")]
    ratings = [_text(_value(item, "database_specific"), "severity") for item in severities]
    return Record(
        id=name,
        aliases=_identifiers(_list(data, "aliases")),
        summary=_line(_text(data, "summary") or _text(data, "details")),
        rating=next((rating for each in ratings if (rating := _rating(each))), None),
        vectors=_first(vector for vector in vectors if VECTOR.fullmatch(vector)),
        weaknesses=_weaknesses(_list(_value(data, "database_specific"), "cwe_ids")),
        links=_links(_text(each, "url") for each in _list(data, "references")),
        affected=tuple(affected),
        is_withdrawn=bool(_text(data, "withdrawn")),
    )


def _osv_affected(item: object) -> Iterator[Affected]:
    package = _value(item, "package")
    places = {place for place in (_place(_text(package, "purl")), _place(_text(package, "name"))) if place}
    read: list[_Read] = [version for each in _list(item, "versions") if (version := _version(each))]
    for each in _list(item, "ranges"):
        if place := _place(_text(each, "repo")):
            places.add(place)
        # what a converter made of a CPE says it in versions, where the events themselves name commits
        said = _osv_ranges(_list(_value(each, "database_specific"), "versions"))
        read += said or _osv_ranges(_list(each, "events")) or [None]
    yield from _at(places, read)


def _osv_ranges(events: list[object]) -> list[_Read]:
    """Read events in order: each `introduced` begins a range, and `fixed` or `last_affected` ends it."""
    found: list[_Read] = []
    begun: str | None = None
    for event in events:
        begun = _text(event, "introduced") or begun
        if begun and (ends := {key: _text(event, key) for key in ENDS if _text(event, key)}):
            found.append(_range(begun, ends))
            begun = None
    return [*found, _range(begun, {})] if begun else found


def _range(first: str, ends: dict[str, str]) -> _Read:
    """Return a range of versions; None where one of them is none, as a commit is, or it ends before it begins."""
    versions = {key: _version(text) for key, text in ends.items()}
    introduced = None if first in NO_START else _version(first)
    if None in versions.values() or (introduced is None and first not in NO_START):
        return None
    if introduced is None and not versions:
        return EVERY
    last = versions.get("fixed") or versions.get("last_affected")
    if introduced and last and version_key(last) < version_key(introduced):
        return None
    fixed = versions.get("fixed")
    return AffectedRange(
        introduced=introduced, fixed=fixed, last_affected=None if fixed else versions.get("last_affected")
    )


def _at(places: Iterable[tuple[str, str]], read: list[_Read]) -> Iterator[Affected]:
    """Return what was read of one package under each of its names."""
    ranges = tuple(dict.fromkeys(each for each in read if isinstance(each, AffectedRange)))
    versions = frozenset(each for each in read if isinstance(each, str) and each != EVERY)
    for owner, name in sorted(places):
        yield Affected(
            owner, name, ranges, versions, is_whole=bool(read) and None not in read, is_all=EVERY in read
        )


def _cve(data: dict[str, object]) -> Record | str:
    name = _text(_value(data, "cveMetadata"), "cveId")
    if not _is_identifier(name):
        return "a `cveId` that is no identifier"
    containers = _value(data, "containers")
    parts = [
        part for part in (_value(containers, "cna"), *_list(containers, "adp")) if isinstance(part, dict)
    ]
    metrics = [each for part in parts for each in _list(part, "metrics")]
    scores = [score for each in metrics for key in CVSS_FIELDS if (score := _value(each, key))]
    descriptions = [_text(each, "value") for part in parts for each in _list(part, "descriptions")]
    problems = [each for part in parts for each in _list(part, "problemTypes")]
    return Record(
        id=name,
        aliases=(),
        summary=_line(
            next((_text(part, "title") for part in parts if _text(part, "title")), "")
            or "".join(descriptions[:1])
        ),
        rating=next((rating for each in scores if (rating := _rating(_text(each, "baseSeverity")))), None),
        vectors=_first(vector for each in scores if VECTOR.fullmatch(vector := _text(each, "vectorString"))),
        weaknesses=_weaknesses(
            _text(each, "cweId") for item in problems for each in _list(item, "descriptions")
        ),
        links=_links(_text(each, "url") for part in parts for each in _list(part, "references")),
        affected=tuple(
            each for part in parts for item in _list(part, "affected") for each in _cve_affected(item)
        ),
        is_withdrawn=_text(_value(data, "cveMetadata"), "state") == "REJECTED",
    )


def _cve_affected(item: object) -> Iterator[Affected]:
    places = {place for key in ("packageURL", "repo") if (place := _place(_text(item, key)))}
    if product := _text(item, "product") or _text(item, "packageName"):
        places.add((_text(item, "vendor").lower(), product.rpartition("/")[2].lower()))
    stated = [each for each in _list(item, "versions") if _text(each, "status") in {"affected", ""}]
    yield from _at(places, [_cve_range(each) for each in stated])


def _cve_range(item: object) -> _Read:
    """Read one version or range: by its fields, or by comparisons as GitHub writes them; None where it is neither."""
    text = _text(item, "version")
    limits = {"fixed": _text(item, "lessThan"), "last_affected": _text(item, "lessThanOrEqual")}
    limits = {key: limit for key, limit in limits.items() if limit}
    if "*" in limits.values():
        return _range(text, {})
    if limits:
        return _range(text or "0", limits)
    return EVERY if text in NO_START else _version(text) or parse_comparisons(text)


def parse_comparisons(text: str) -> AffectedRange | str | None:
    """Read versions as GitHub's advisories compare them.

    >>> parse_comparisons(">= b7492, < b9061")
    AffectedRange(introduced='b7492', fixed='b9061', last_affected=None)
    >>> parse_comparisons("= 1.2"), parse_comparisons("commit 55d4206c8 and prior")
    ('1.2', None)
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        match = COMPARISON.fullmatch(part.strip())
        if match is None:
            return None
        if match[1] == "=":
            return _version(match[2]) if part == text else None
        found[{"<": "fixed", "<=": "last_affected"}.get(match[1], "introduced")] = match[2]
    read = _range(found.pop("introduced", "0"), found)
    return None if read == EVERY else read


def _place(text: str) -> tuple[str, str] | None:
    """Return owner and name of what a package URL or an address of a repository names."""
    if match := PACKAGE_URL.fullmatch(text):
        return match[2].lower(), match[3].lower()
    if match := GITHUB.fullmatch(text) or GITHUB.fullmatch(f"https://{text}"):
        return match[1].lower(), match[2].lower()
    return None


def _version(value: object) -> str | None:
    match = VERSION.fullmatch(value.strip()) if isinstance(value, str) else None
    return match[1] if match else None


def _rating(text: str) -> str | None:
    word = {"moderate": "medium"}.get(text.lower(), text.lower())
    return word if word in RATINGS else None


def _is_identifier(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{2,99}", text) is not None


def _identifiers(items: Iterable[object]) -> tuple[str, ...]:
    return _first(item for item in items if isinstance(item, str) and _is_identifier(item))


def _weaknesses(items: Iterable[object]) -> tuple[str, ...]:
    return _first(item for item in items if isinstance(item, str) and WEAKNESS.fullmatch(item))


def _links(items: Iterable[str]) -> tuple[str, ...]:
    return _first(item for item in items if LINK.fullmatch(item))


def _first(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))[:MOST_ITEMS]


def _line(text: str) -> str:
    """Return text in one line without characters that a terminal or YAML would act on."""
    words = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * MOST_TEXT]).split())
    return words if len(words) <= MOST_TEXT else words[: MOST_TEXT - 3] + "..."


def _value(data: object, key: str) -> object:
    return data.get(key) if isinstance(data, dict) else None


def _text(data: object, key: str) -> str:
    found = _value(data, key)
    return found if isinstance(found, str) else ""


def _list(data: object, key: str) -> list[object]:
    found = _value(data, key)
    return found if isinstance(found, list) else []


def _kind(value: object) -> str:
    return (
        "a list" if isinstance(value, list) else "a text" if isinstance(value, str) else "a number or nothing"
    )
