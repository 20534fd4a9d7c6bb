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


@pytest.mark.parametrize(
    ("change", "text", "advice"),
    [
        ({"known": {FOUND: "a.gguf of b"}}, "it is another pinned file: a.gguf of b", "ask for that model"),
        ({"start": b""}, "it is nothing, an empty file", "fetch it from another network or mirror"),
        ({"start": b"<html>"}, "it is a web page: '<html>'", "fetch it from another network or mirror"),
        ({"start": b" {}"}, "it is JSON, as servers put an error in: '{}'", "fetch it from another"),
        ({"start": b'12345678{"a'}, "it is a safetensors file, not GGUF", "fetch it from another"),
        (
            {"statement": Statement(FOUND, 1000, COMMIT), "revision": COMMIT},
            f"wrong pin: at the pinned commit {COMMIT} the hub has these very bytes",
            "compare the digests with a second source, then pin",
        ),
        (
            {"statement": Statement(FOUND, 1000, COMMIT)},
            "upstream changed: these are the bytes that the hub has now",
            "compare the digests with a second source, then pin",
        ),
        (
            {"statement": Statement(FOUND, 1000, "d4" * 20), "revision": COMMIT},
            "upstream changed: these are the bytes that the hub has now",
            "compare",
        ),
        ({"size_bytes": 400}, "it is truncated: 600 of 1000 bytes are missing", "fetch it again"),
        (
            {"fault": "140 bytes: 20 are missing", "pinned_bytes": None},
            "it is truncated: 140 bytes: 20 are missing",
            "fetch it again",
        ),
        ({"fault": "type 77"}, "it is damaged, and not sound GGUF: type 77", "fetch it again"),
        (
            {"file_type": 14},
            "it is another quantisation: Q4_K_S, pinned is Q4_K_M",
            "correct `file:` in the manifest, or pin this file as Q4_K_S",
        ),
        (
            {"file_type": 15},
            "it is a sound model file with other contents: upstream changed it, the pin is wrong, or it was damaged",
            "fetch it again; if the same digest comes",
        ),
        ({"file_type": 999}, "it is a sound model file with other contents", "fetch it again"),
    ],
)
def test_each_row_of_the_table(change: dict[str, object], text: str, advice: str) -> None:
    cause = diagnose(replace(BASE, **change))  # type: ignore[arg-type] # each is named here
    assert cause.text.startswith(text)
    assert cause.advice.startswith(advice)


def test_a_digest_that_is_known_says_more_than_anything_else() -> None:
    evidence = replace(BASE, known={FOUND: "a of b"}, start=b"<html>", size_bytes=1, fault="x", file_type=14)
    assert diagnose(evidence).text == "it is another pinned file: a of b"


def test_the_numbers_of_file_types_are_llama_cpps() -> None:
    assert (FILE_TYPES[0], FILE_TYPES[1], FILE_TYPES[7], FILE_TYPES[18], FILE_TYPES[32], FILE_TYPES[38]) == (
        "F32",
        "F16",
        "Q8_0",
        "Q6_K",
        "BF16",
        "MXFP4_MOE",
    )
    assert 4 not in FILE_TYPES
    assert 33 not in FILE_TYPES
