"""The command as it was typed, as a fix names it."""

from __future__ import annotations

import pytest

from recipes.core.invocation import corrected, this_command, typed, typed_options


def test_the_command_is_the_typed_one_with_its_options() -> None:
    with typed(["serve", "--model", "a b"]):
        assert this_command("build") == "python3 noxfile.py -s serve -- --model 'a b'"
    assert this_command("fetch --recipe x") == "python3 noxfile.py -s fetch -- --recipe x"


@pytest.mark.parametrize(
    ("words", "fixed"),
    [
        (["serve", "--recipe", "b675", "--port", "1"], "serve -- --recipe b6751 --port 1"),
        (["serve", "--recipe=b675"], "serve -- --recipe=b6751"),
        (["models", "fetch", "b675"], "models -- fetch b6751"),
        (["conformance"], "conformance -- --recipe b6751"),  # a default was wrong
        (["b675"], "b675 -- --recipe b6751"),  # a session's name is none of its options
    ],
)
def test_one_value_is_corrected_where_it_was_typed(words: list[str], fixed: str) -> None:
    with typed(words):
        assert corrected("--recipe", "b675", "b6751", default="build") == f"python3 noxfile.py -s {fixed}"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["serve", "--port", "1"], ()),
        (["serve", "--model", "a", "--architecture=b", "--port=1"], ("--architecture=b",)),
        (
            ["ask", "--architecture", "a", "--architecture", "b", "what"],
            ("--architecture", "a", "--architecture", "b"),
        ),
    ],
)
def test_options_are_passed_on_as_typed(words: list[str], found: tuple[str, ...]) -> None:
    with typed(words):
        assert typed_options("--architecture") == found


def test_an_error_of_an_inner_command_leaves_the_outer_one() -> None:
    with typed(["serve"]):
        with pytest.raises(ValueError, match="inner"), typed(["build"]):
            raise ValueError("inner")
        assert this_command("fetch") == "python3 noxfile.py -s serve"
