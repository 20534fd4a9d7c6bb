"""The options of `lock`: the command that asks the same again, and what contradicts itself."""

from __future__ import annotations

import pytest

from recipes.cli.parser import parser
from recipes.core.errors import UsageError
from recipes.lock.recipe import command_again, read_question
from recipes.lock.request import Question, Tag

AGAIN = "python3 noxfile.py -s lock"


def again(*arguments: str) -> str:
    return command_again(parser().parse_args(["lock", *arguments]))


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
    assert again(*arguments) == command


def test_more_options_follow_the_separator() -> None:
    assert command_again(parser().parse_args(["lock"]), "--write") == f"{AGAIN} -- --write"


def test_a_question_holds_what_the_user_knows() -> None:
    options = parser().parse_args(["lock", "--source", "b7", "--commit", "ab" * 20, "--subdirectory", "s"])
    question = read_question(options, "again")
    assert isinstance(question, Question)
    assert (question.place, question.where, question.again) == (Tag("b7"), "--source b7", "again")
    assert (question.commit and question.commit.hex, question.subdirectory, question.build_number) == (
        "ab" * 20,
        "s",
        None,
    )
    assert read_question(parser().parse_args(["lock", "--output"]), "again") is None


@pytest.mark.parametrize(
    ("arguments", "where", "expected", "found", "fix"),
    [
        (
            ("--build-number", "7"),
            "--build-number",
            "--source with it: it says something about a new source",
            "no --source",
            f"{AGAIN} -- --build-number 7 --source ...",
        ),
        (
            ("--source", "b7", "--output"),
            "--output",
            "one of --source and --output: a new source must be built before its output is pinned",
            "both",
            f"{AGAIN} -- --source b7",
        ),
        (
            ("--source", "b/7"),
            "--source",
            "PROJECT==VERSION, a tag such as b1234, or the http or https address of an archive",
            "'b/7'",
            "write one of these",
        ),
        (
            ("--source", "b7", "--commit", "abc"),
            "--commit",
            "a full commit id",
            "a sha1 digest has 40 digits, this has 3",
            "copy the id again, in full",
        ),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    arguments: tuple[str, ...], where: str, expected: str, found: str, fix: str
) -> None:
    options = parser().parse_args(["lock", *arguments])
    with pytest.raises(UsageError) as caught:
        read_question(options, command_again(options))
    error = caught.value
    assert (error.where, error.expected, error.found, error.fix) == (where, expected, found, fix)
