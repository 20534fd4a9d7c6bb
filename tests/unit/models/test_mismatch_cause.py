"""The cause of a mismatch: each row of the table, and that the surest sign is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recipes.core.digest import Sha256
from recipes.fetch.http.redirects import Statement
from recipes.models.mismatch_cause import FILE_TYPES, Evidence, diagnose

PINNED, FOUND = Sha256("a1" * 32), Sha256("b2" * 32)
COMMIT = "c3" * 20
BASE = Evidence(FOUND, 1000, b"GGUF\3\0\0\0", PINNED, 1000, "Q4_K_M", {})


HERE, ELSEWHERE = Statement(FOUND, 1000, COMMIT), Statement(FOUND, 1000, "d4" * 20)


@pytest.mark.parametrize(
    ("change", "text", "advice"),
    [
        ({"known": {FOUND: "a.gguf of b"}}, "another pinned file: a.gguf of b", "ask for that model"),
        ({"start": b""}, "an empty file", "another network"),
        ({"start": b"<html>"}, "a web page: '<html>'", "another network"),
        ({"start": b" {}"}, "JSON", "another network"),
        ({"start": b'12345678{"a'}, "safetensors", "another network"),
        (
            {"statement": HERE, "revision": COMMIT},
            f"wrong pin: at the pinned commit {COMMIT}",
            "second source",
        ),
        ({"statement": HERE}, "upstream changed: ", "second source"),
        ({"statement": ELSEWHERE, "revision": COMMIT}, "upstream changed: ", "second source"),
        ({"size_bytes": 400}, "truncated: 600 of 1000 bytes", "fetch it again"),
        (
            {"fault": "140 bytes: 20 are missing", "pinned_bytes": None},
            "truncated: 140 bytes: 20",
            "fetch it again",
        ),
        ({"fault": "type 77"}, "damaged", "fetch it again"),
        ({"file_type": 14}, "another quantisation: Q4_K_S, pinned is Q4_K_M", "as Q4_K_S"),
        ({"file_type": 15}, "other contents", "if the digest is the same"),
        ({"file_type": 999}, "other contents", "fetch it again"),
    ],
)
def test_each_row_of_the_table(change: dict[str, object], text: str, advice: str) -> None:
    cause = diagnose(replace(BASE, **change))  # type: ignore[arg-type] # each is named here
    assert text in cause.text
    assert advice in cause.advice


def test_a_digest_that_is_known_says_more_than_anything_else() -> None:
    evidence = replace(BASE, known={FOUND: "a of b"}, start=b"<html>", size_bytes=1, fault="x", file_type=14)
    assert "a of b" in diagnose(evidence).text


def test_the_numbers_of_file_types_are_llama_cpps() -> None:
    known = {0: "F32", 1: "F16", 7: "Q8_0", 18: "Q6_K", 32: "BF16", 38: "MXFP4_MOE"}
    assert {number: FILE_TYPES[number] for number in known} == known
    assert not {4, 33} & set(FILE_TYPES)
