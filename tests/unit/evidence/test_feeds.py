"""Records of OSV and CVE JSON 5: what is read of them, and which recipe they are about."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from recipes.evidence.feeds.matching import News, is_mentioned, match_record
from recipes.evidence.feeds.proposal import propose, severity_of
from recipes.evidence.feeds.reading import FeedFile
from recipes.evidence.feeds.records import Record, parse_comparisons, parse_records
from recipes.evidence.feeds.survey import read_records
from recipes.manifest.advisory_checks import advisory_problems
from recipes.manifest.decode import parse
from recipes.manifest.load import Manifests
from recipes.manifest.schema import Advisory, AffectedRange
from recipes.manifest.strict_yaml import read
from tests.support.vulnerability_records import UPSTREAM, cve, events, osv

MANIFESTS = Manifests()
RECIPES = [MANIFESTS.recipe(name) for name in ("b6751", "b7827", "b11312")]
ADVISORIES = MANIFESTS.advisories()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def record(data: object) -> Record:
    (found,) = parse_records(data)
    assert isinstance(found, Record), found
    return found


def covered(data: object) -> dict[str, bool | None]:
    """What a record says of each recipe that it is about."""
    return {match.recipe: match.covers for match in match_record(record(data), RECIPES)}


def all_recipes(answers: tuple[bool | None, ...]) -> dict[str, bool | None]:
    return dict(zip(("b6751", "b7827", "b11312"), answers, strict=True))


ZERO = {"introduced": "0"}


@pytest.mark.parametrize(
    ("ranges", "answers"),
    [
        ([events({"introduced": "b7000"}, {"fixed": "b9000"})], (False, True, False)),
        ([events(ZERO, {"fixed": "b7827"})], (True, False, False)),
        ([events(ZERO, {"last_affected": "b7827"})], (True, True, False)),
        ([events({"introduced": "b7828"})], (False, False, True)),
        ([events(ZERO)], (True, True, True)),
        (
            [events(ZERO, {"fixed": "b6000"}, {"introduced": "b7000"}, {"fixed": "b8000"})],
            (False, True, False),
        ),
        ([events(ZERO, {"fixed": "b6000"}), events({"introduced": "b11000"})], (False, False, True)),
        # commits say nothing of build numbers: somebody has to look
        ([events(ZERO, {"fixed": COMMIT}, kind="GIT", repo=UPSTREAM)], (None, None, None)),
        ([events({"introduced": COMMIT}, kind="GIT", repo=UPSTREAM)], (None, None, None)),
        # ... unless the converter wrote them beside
        (
            [
                events(
                    ZERO,
                    {"fixed": COMMIT},
                    kind="GIT",
                    repo=UPSTREAM,
                    database_specific={"versions": [ZERO, {"fixed": "b7000"}]},
                )
            ],
            (True, False, False),
        ),
        # what is affected by one range is affected, whatever else cannot be read
        ([events(ZERO, {"fixed": COMMIT}), events(ZERO, {"fixed": "b7000"})], (True, None, None)),
        ([events({"introduced": "b9000"}, {"fixed": "b7000"})], (None, None, None)),
        ([events(ZERO, {"fixed": "0.5.0"})], (None, None, None)),
        ([events({"fixed": "b9000"})], (None, None, None)),
    ],
)
def test_ranges_of_osv(ranges: list[dict[str, Any]], answers: tuple[bool | None, ...]) -> None:
    assert covered(osv("CVE-2099-0001", *ranges)) == all_recipes(answers)


@pytest.mark.parametrize(
    ("version", "answers"),
    [
        ({"version": "b7000", "lessThan": "b9000", "status": "affected"}, (False, True, False)),
        ({"version": "b7492", "lessThanOrEqual": "b9060", "status": "affected"}, (False, True, False)),
        (
            {"version": "0", "lessThan": "b7824", "status": "affected", "versionType": "custom"},
            (True, False, False),
        ),
        ({"version": "b7000", "lessThan": "*", "status": "affected"}, (False, True, True)),
        ({"version": "< b7824", "status": "affected"}, (True, False, False)),
        ({"version": "<= b7827", "status": "affected"}, (True, True, False)),
        ({"version": ">= b7000, < b9000", "status": "affected"}, (False, True, False)),
        ({"version": "b7827", "status": "affected"}, (False, True, False)),
        ({"version": "= b7827", "status": "affected"}, (False, True, False)),
        ({"version": "*", "status": "affected"}, (True, True, True)),
        ({"version": "n/a", "status": "affected"}, (None, None, None)),
        ({"version": "commits 55d4206c8 and prior", "status": "affected"}, (None, None, None)),
        ({"version": "55abc39", "status": "affected"}, (None, None, None)),
        ({"version": "b7000", "status": "unaffected"}, (None, None, None)),
    ],
)
def test_versions_of_the_cve_program(version: dict[str, str], answers: tuple[bool | None, ...]) -> None:
    assert covered(cve("CVE-2099-0002", version)) == all_recipes(answers)


@pytest.mark.parametrize(
    ("affected", "components"),
    [
        ({"vendor": "ggml", "product": "llama.cpp"}, {"llama.cpp"}),
        ({"vendor": "ggerganov", "product": "llama.cpp"}, {"llama.cpp"}),
        ({"vendor": "n/a", "product": "llama.cpp"}, {"llama.cpp"}),
        ({"vendor": "GGML-ORG", "product": "Llama.cpp"}, {"llama.cpp"}),
        ({"vendor": "other", "product": "llama.cpp"}, set()),
        ({"vendor": "x", "product": "y", "repo": "https://github.com/yhirose/cpp-httplib"}, {"cpp-httplib"}),
        (
            {"vendor": "x", "product": "y", "packageURL": "pkg:github/yhirose/cpp-httplib@0.1?a=b"},
            {"cpp-httplib"},
        ),
        ({"vendor": "nothings", "product": "stb_image.h"}, {"stb_image"}),
        ({"vendor": "nothings", "product": "stb"}, {"stb_image"}),
        ({"vendor": "nlohmann", "product": "json"}, {"nlohmann-json"}),
        ({"vendor": "n/a", "product": "json"}, set()),
        ({"vendor": "abetlen", "product": "llama-cpp-python"}, set()),
    ],
)
def test_what_a_record_is_about(affected: dict[str, str], components: set[str]) -> None:
    found = match_record(
        record(cve("CVE-2099-0002", {"version": "*", "status": "affected"}, **affected)), RECIPES
    )
    assert {match.component for match in found} == components


def test_a_library_is_matched_by_the_version_that_a_recipe_carries() -> None:
    data = cve(
        versions=[{"version": "< 0.35.0", "status": "affected"}], vendor="yhirose", product="cpp-httplib"
    )
    assert covered(data) == all_recipes((True, True, False))
    # minja has no version: what is about it has to be looked at
    data = cve(versions=[{"version": "< 1.0", "status": "affected"}], vendor="google", product="minja")
    assert covered(data) == {"b6751": None}


def test_what_is_read_of_both_kinds_of_records() -> None:
    one = record(
        osv(aliases=["GHSA-aaaa-bbbb-cccc", "GHSA-aaaa-bbbb-cccc", 5, "no identifier at all"])
        | {"database_specific": {"severity": "MODERATE", "cwe_ids": ["CWE-20", "CWE-x"]}}
    )
    assert one.names == ("CVE-2099-0001", "GHSA-aaaa-bbbb-cccc")
    assert (one.rating, severity_of(one), one.weaknesses) == ("medium", "medium", ("CWE-20",))
    other = record(cve())
    assert (other.id, other.summary, other.rating) == ("CVE-2099-0002", "a file ends it", "high")
    assert (other.weaknesses, other.links) == (("CWE-787",), ("https://example.org/2",))


@pytest.mark.parametrize(
    ("vectors", "severity"),
    [
        (["CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"], "high"),
        (["CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"], "critical"),
        (
            ["CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:L", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:N/A:N"],
            "medium",
        ),
        (["CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N"], "none"),
        (["CVSS:3.1/AV:Q/AC:L"], None),
        (["nonsense"], None),
        ([], None),
    ],
)
def test_the_severity_that_a_vector_stands_for(vectors: list[str], severity: str | None) -> None:
    scores = [{"type": "CVSS", "score": vector} for vector in vectors]
    assert severity_of(record(osv() | {"severity": scores})) == severity


def test_answers_of_the_api_and_lists_are_read() -> None:
    names = ["CVE-2099-0001", "CVE-2099-0003"]
    both = [osv(name) for name in names]
    for data in (both, {"vulns": both}, {"results": [{"vulns": both[:1]}, {}, {"vulns": both[1:]}]}):
        assert [found.id for found in parse_records(data) if isinstance(found, Record)] == names
    assert list(parse_records({})) == []


@pytest.mark.parametrize(
    "data",
    [
        5,
        None,
        "CVE-2099-0001",
        [[]],
        {"nothing": 1},
        {"id": 5},
        {"id": "../../etc/passwd"},
        {"id": "x" * 200},
        {"cveMetadata": []},
        {"cveMetadata": {"cveId": "a b"}},
        {"dataType": "CVE_RECORD"},
    ],
)
def test_what_is_no_record_is_said_in_words(data: object) -> None:
    (found,) = parse_records(data)
    assert isinstance(found, str)
    assert found


def test_a_summary_is_one_printable_line() -> None:
    found = record(osv(summary="a\x1b[31m\nb\u202e: # c" + "d" * 5000))
    assert found.summary.startswith("a [31m b : # cd")
    assert len(found.summary) == 400
    assert found.summary.isprintable()


def test_comparisons() -> None:
    assert parse_comparisons("<= 0.26.0") == AffectedRange(last_affected="0.26.0")
    for text in ("", ",", "<", "< x", ">= b9, < b7", "= 1, = 2", "< 1 2"):
        assert parse_comparisons(text) is None, text


# What is new


def news(*data: object) -> News:
    found = News()
    for one in data:
        found.add(record(one), RECIPES, ADVISORIES)
    return found


def test_new_are_records_about_what_a_recipe_carries() -> None:
    found = news(
        osv("CVE-2099-0001"),
        osv("CVE-2099-0003", events(ZERO, {"fixed": "b5000"})),
        osv("CVE-2026-27940"),
        osv("GHSA-96JG-mvhq-q7q7"),
        osv("GHSA-zzzz-zzzz-zzzz", aliases=["CVE-2026-2069"]),
        cve("CVE-2099-0004", {"version": "*", "status": "affected"}, vendor="vllm", product="vllm"),
        osv("CVE-2099-0005", withdrawn="2099-01-01T00:00:00Z"),
    )
    assert list(found.new) == ["CVE-2099-0001"]
    assert (found.known, found.elsewhere) == (3, 2)


def test_the_same_record_under_two_identifiers_is_new_once() -> None:
    found = news(
        osv("GHSA-aaaa-bbbb-cccc", aliases=["CVE-2099-0001"]), osv("CVE-2099-0001", aliases=["PYSEC-1"])
    )
    ((one, _),) = found.new.values()
    assert set(one.names) == {"GHSA-aaaa-bbbb-cccc", "CVE-2099-0001", "PYSEC-1"}


def test_what_was_settled_otherwise_is_said() -> None:
    found = news(
        osv("CVE-2026-33298", events(ZERO, {"fixed": "b9000"})),  # b7827: fixed by upstream here
        osv("CVE-2026-27940", events(ZERO, {"fixed": "b8146"})),
        osv("CVE-2026-2069", withdrawn="2099-01-01T00:00:00Z"),
    )
    assert found.differs == [
        "CVE-2026-33298: fixed in b7827 here, and CVE-2026-33298 still says that it is affected",
        "CVE-2026-2069: CVE-2026-2069 was withdrawn",
    ]


def proposed(data: object) -> tuple[str, Advisory]:
    one = record(data)
    name, text = propose(one, match_record(one, RECIPES), "2099-01-02")
    advisory = parse(read(text, f"{name}.yaml"), Advisory, "lock it")
    assert list(advisory_problems(advisory, name)) == []
    return name, advisory


def test_a_proposal_is_a_valid_manifest_named_after_its_cve() -> None:
    name, advisory = proposed(osv("GHSA-aaaa-bbbb-cccc", aliases=["CVE-2099-0001"], summary='"a": # b\n- c'))
    assert (name, advisory.aliases, advisory.severity) == ("CVE-2099-0001", ("GHSA-aaaa-bbbb-cccc",), "high")
    assert advisory.affected == (AffectedRange(introduced="b7000", fixed="b9000"),)
    assert advisory.summary == '"a": # b - c'
    assert (advisory.checked, advisory.reach) == ("2099-01-02", "request")


def test_a_proposal_of_a_record_that_says_little_is_valid_too() -> None:
    data = osv("GHSA-aaaa-bbbb-cccc", events(ZERO, {"fixed": COMMIT}), summary="", severity=[], references=[])
    name, advisory = proposed(data)
    assert (name, advisory.affected, advisory.severity) == ("GHSA-aaaa-bbbb-cccc", (), "high")
    assert advisory.links == ("https://osv.dev/vulnerability/GHSA-aaaa-bbbb-cccc",)


# What is not even parsed


def test_a_file_that_names_no_component_is_not_parsed() -> None:
    assert is_mentioned(json.dumps(osv()).encode(), RECIPES)
    assert is_mentioned(json.dumps(cve()).encode(), RECIPES)
    assert not is_mentioned(b'{"id": "CVE-2099-0001", "summary": "json, and a lot of it', RECIPES)
    assert list(read_records(FeedFile("a", b'{"id": "CVE-2099-0001", '), RECIPES)) == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"/llama.cpp": ', "not JSON"),
        (b'"/llama.cpp" ' * 3, "not JSON"),
        (b'["/llama.cpp", ' + b"[" * 100_000, "deep"),
        (b'["/llama.cpp"' + b",1" * 600_000 + b"]", "values"),
        (b'{"id": "/llama.cpp", "id": "b"}', "id"),
        (b'{"id": "CVE-2099-0001", "x": "/llama.cpp\xff"}', "UTF-8"),
        (b"<!DOCTYPE html><p>log in</p>", "not JSON"),
        (b"", "not JSON"),
    ],
)
def test_a_file_that_is_no_sound_json_is_a_fault(data: bytes, says: str) -> None:
    (found,) = read_records(FeedFile("a", data), RECIPES)
    assert isinstance(found, str)
    assert says in found


def test_recipes_keep_what_the_matching_relies_on() -> None:
    assert all(msgspec.structs.asdict(recipe)["vendored"] for recipe in RECIPES)
