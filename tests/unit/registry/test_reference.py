from __future__ import annotations

import pytest

from recipes.core.digest import Sha256
from recipes.registry.reference import Reference, Repository, parse_reference, parse_repository, tag_of

DIGITS = "0a" * 32


@pytest.mark.parametrize(
    ("text", "base", "path"),
    [
        ("example.org/llama", "https://example.org", "llama"),
        ("https://example.org/llama/", "https://example.org", "llama"),
        ("example.org:5000/team/llama.cpp", "https://example.org:5000", "team/llama.cpp"),
        ("http://127.0.0.1:5000/a/b__c-d", "http://127.0.0.1:5000", "a/b__c-d"),
        ("localhost/a", "https://localhost", "a"),
        ("[::1]:5000/a", "https://[::1]:5000", "a"),
    ],
)
def test_a_repository_is_a_host_and_a_path(text: str, base: str, path: str) -> None:
    assert parse_repository(text) == Repository(base, path)
    assert parse_repository(str(parse_repository(text))) == Repository(base, path)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "HOST"),
        ("llama", "HOST"),
        ("team/llama", "HOST"),  # no registry is meant by no name
        ("example.org", "HOST"),
        ("example.org/", "HOST"),
        ("example.org/Team/llama", "small ones"),
        ("example.org/a//b", "name of a repository"),
        ("example.org/../b", "name of a repository"),
        ("user:secret@example.org/a", "HOST"),
        ("ftp://example.org/a", "http"),
        ("example.org/a?x=1", "name of a repository"),
        ("example.org/a b", "name of a repository"),
        ("exa mple.org/a", "HOST"),
        ("example.org/" + "a" * 256, "name of a repository"),
        ("example.org/a:tag", "without a tag"),
        (f"example.org/a@sha256:{DIGITS}", "without a tag"),
    ],
)
def test_what_is_no_repository_says_why(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_repository(text)


def test_a_reference_has_a_tag_or_a_digest() -> None:
    repository = Repository("https://example.org", "a")
    assert parse_reference("example.org/a") == repository
    assert parse_reference("example.org/a:b11312") == Reference(repository, "b11312")
    assert parse_reference(f"example.org/a@sha256:{DIGITS}") == Reference(repository, Sha256(DIGITS))
    # with both, as `docker pull` has it, the digest counts
    assert parse_reference(f"example.org/a:tag@sha256:{DIGITS}") == Reference(repository, Sha256(DIGITS))
    assert str(Reference(repository, "b11312")) == "example.org/a:b11312"
    assert str(Reference(repository, Sha256(DIGITS))) == f"example.org/a@sha256:{DIGITS}"


@pytest.mark.parametrize(
    "text",
    [
        "example.org/a:",
        "example.org/a:-x",
        f"example.org/a:{'t' * 129}",
        "example.org/a@md5:0",
        "h.x/a@sha256:0",
    ],
)
def test_a_tag_or_digest_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"tag|digest"):
        parse_reference(text)


def test_a_name_becomes_a_tag() -> None:
    assert tag_of("b6751+x", "y/z") == "b6751_x-y_z"
    assert len(tag_of("t" * 300)) == 128
