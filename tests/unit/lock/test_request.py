"""What a person means by --source."""

from __future__ import annotations

import pytest

from recipes.lock.request import Address, Release, Tag, number_of_build, parse_place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("b7900", Tag("b7900")),
        ("v1.2-rc+3", Tag("v1.2-rc+3")),
        ("xllamacpp==0.2.11", Release("xllamacpp", "0.2.11")),
        ("a.b-c_d == 1!2+local", Release("a.b-c_d", "1!2+local")),
        ("https://example.org/a.tar.gz?b==c", Address("https://example.org/a.tar.gz?b==c")),
        ("http://127.0.0.1:80/a", Address("http://127.0.0.1:80/a")),
    ],
)
def test_each_spelling_names_its_kind_of_place(text: str, place: object) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize(
    "text",
    [
        *("", "a b", "==1", "a==", "a=1", "a==1==2", "../b7", "tags/b7", "-b7", "b7\n"),
        *("file:///a.tar", "ftp://a/b", "https://", "https:///a"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"PROJECT==VERSION, a tag such as b1234, or the http or https address"
    ):
        parse_place(text)


@pytest.mark.parametrize(
    ("place", "number"),
    [
        (Tag("b7900"), 7900),
        (Tag("v7900"), None),
        (Tag("b79a"), None),
        (Tag("rb79"), None),
        (Address("https://example.org/archive/b12.tar.gz"), 12),
        (Address("https://example.org/archive/b12.zip"), 12),
        (Address("https://example.org/archive/sub12.zip"), None),
        (Address("https://example.org/b12/source.zip"), None),
        (Release("b7900", "b7900"), None),
    ],
)
def test_only_a_tag_says_a_build_number(place: Tag | Address | Release, number: int | None) -> None:
    assert number_of_build(place) == number
