"""The options of `lock`: what --source names, the command that asks the same again, and contradictions."""

from __future__ import annotations

import pytest

from recipes.cli.parser import parser
from recipes.core.errors import UsageError
from recipes.lock.request import (
    Address,
    Release,
    SourceRequest,
    Tag,
    command_again,
    number_of_build,
    parse_place,
    read_request,
)

AGAIN = "python3 noxfile.py -s lock"


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
    with pytest.raises(ValueError, match="PROJECT==VERSION"):
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


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ((), AGAIN),
        (("--write",), AGAIN),
        (("--recipe", "a", "--output", "--write"), f"{AGAIN} -- --recipe a --output"),
        (("--source", "a == 1", "--build-number", "7"), f"{AGAIN} -- --source 'a == 1' --build-number 7"),
        (("--subdirectory", "a b", "--commit", "ab"), f"{AGAIN} -- --subdirectory 'a b' --commit ab"),
        (("--project", "/p", "--platform", "x"), f"{AGAIN} -- --project /p --platform x"),
    ],
)
def test_the_same_is_asked_again_without_write(arguments: tuple[str, ...], command: str) -> None:
    options = parser().parse_args(["lock", *arguments])
    assert command_again(options) == command
    more = command if " -- " in command else f"{command} --"
    assert command_again(options, "--write") == f"{more} --write"


def test_a_request_holds_what_the_user_knows() -> None:
    options = parser().parse_args(["lock", "--source", "b7", "--commit", "ab" * 20, "--subdirectory", "s"])
    request = read_request(options, "again")
    assert isinstance(request, SourceRequest)
    assert (request.place, request.where, request.again) == (Tag("b7"), "--source b7", "again")
    assert (request.commit and request.commit.hex, request.subdirectory, request.build_number) == (
        "ab" * 20,
        "s",
        None,
    )
    assert read_request(parser().parse_args(["lock", "--output"]), "again") is None


@pytest.mark.parametrize(
    ("arguments", "where", "found", "fix"),
    [
        (
            ("--build-number", "7"),
            "--build-number",
            "no --source",
            f"{AGAIN} -- --build-number 7 --source ...",
        ),
        (("--source", "b7", "--output"), "--output", "both", f"{AGAIN} -- --source b7"),
        (("--source", "b/7"), "--source", "'b/7'", ""),
        (("--source", "b7", "--commit", "abc"), "--commit", "40 digits", ""),
    ],
)
def test_options_that_contradict_each_other_or_are_invalid_are_refused(
    arguments: tuple[str, ...], where: str, found: str, fix: str
) -> None:
    options = parser().parse_args(["lock", *arguments])
    with pytest.raises(UsageError) as caught:
        read_request(options, command_again(options))
    assert caught.value.where == where
    assert found in caught.value.found
    assert fix in caught.value.fix
