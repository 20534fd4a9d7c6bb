"""The command line: what each session takes, what it refuses, and that it says so in one line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recipes.cli.ask_words import NamedMedia, split_words
from recipes.cli.options import CommandLineError
from recipes.cli.parser import NAMES, parser, session

if TYPE_CHECKING:
    import argparse

SESSIONS = {name: session(name) for name in NAMES}


def parse(line: str) -> argparse.Namespace:
    return parser().parse_args(line.split())


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_what_it_does_and_an_example_that_can_be_parsed(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(f"{name} --help")
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert f"usage: python3 noxfile.py -s {name} --" in text
    assert SESSIONS[name].summary.split(",")[0] in text
    if (example := SESSIONS[name].example) and "--help" not in example:
        assert f"python3 noxfile.py -s {name} -- {example}" in text
        parse(f"{name} {example}")


@pytest.mark.parametrize("name", NAMES)
def test_every_session_takes_verbose_and_a_project_where_it_reads_one(name: str) -> None:
    words = {
        "models": " list",
        "payload": " folder",
        "why": " a b",
        "publish": " --to h.example/r",
        "image": " --to oci:folder",
    }.get(name, "")
    assert parse(f"{name} --verbose{words}").verbose
    assert parse(f"{name}{words} --verbose").verbose
    assert not parse(f"{name}{words}").verbose
    if name != "payload":
        for line in (f"{name} --project p{words}", f"{name}{words} --project p"):
            assert parse(line).project == Path("p")


@pytest.mark.parametrize(
    ("line", "names", "option", "value"),
    [
        ("models verify --full pocket", ["pocket"], "full", True),
        ("models verify pocket --full", ["pocket"], "full", True),
        ("models verify a --full b", ["a", "b"], "full", True),
        ("models verify", [], "full", False),
        ("models fetch --connections 8 pocket", ["pocket"], "connections", 8),
        ("models fetch pocket --connections 8 --from x", ["pocket"], "connections", 8),
        ("models inspect --context 64 a.gguf --mmproj b.gguf", ["a.gguf"], "mmproj", Path("b.gguf")),
        ("models list a b", ["a", "b"], "action", "list"),
    ],
)
def test_options_stand_before_between_or_after_the_names(
    line: str, names: list[str], option: str, value: object
) -> None:
    options = parse(line)
    assert (options.names, getattr(options, option)) == (names, value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("models verify --connections 8 pocket", "it is an option of models -- fetch"),
        ("models list --full", "it is an option of models -- verify"),
        ("models fetch --context 9 a", "it is an option of models -- inspect"),
        ("models list --mmproj x", "no effect"),
        ("models verfy", "did you mean verify?"),
        ("models", "ACTION"),
        ("models fetch", "NAME"),
        ("biuld", "did you mean build?"),
        ("build --recip x", "did you mean --recipe?"),
        ("build --rec x", "no option --rec"),  # no abbreviation: a new option could make it another
        ("build word", "`word` is one word too many"),
        ("build --jobs 0", "--jobs: a whole number from 1"),
        ("build --jobs ²", "--jobs: a whole number from 1"),
        ("build --toolchain hots", "did you mean host?"),
        ("serve --port http", "--port"),
        ("serve --temperature nan", "--temperature: a number from 0"),
        ("ask --start-timeout 0", "--start-timeout: seconds"),
        ("mac-check --compare one", "--compare: expected 2 arguments"),
        ("fetch --architecture sm_90", "--architecture"),
        ("fetch --jobs 2", "--jobs"),
        ("patch --platform linux-x86_64-cpu", "--platform"),
        ("reproduce --toolchain host", "--toolchain"),
        ("reproduce --architecture 90", "--architecture"),
        ("gc --recipe b6751", "--recipe"),
        ("gc --platform x", "--platform"),
        ("docs --recipe b6751", "--recipe"),
        ("lock --architecture 90", "--architecture"),
        ("payload --project x folder", "--project"),
        ("serve --image x.png", "--image"),
        ("conformance --jobs 2", "--jobs"),
        ("verify --archive x", "--archive"),
    ],
)
def test_a_mistake_is_refused_in_one_line(line: str, words: str) -> None:
    with pytest.raises(CommandLineError) as caught:
        parse(line)
    text = str(caught.value)
    assert words in text
    assert text.startswith("error: ")
    assert "\n" not in text
    assert "--help" in text


@pytest.mark.parametrize(
    ("line", "images", "question"),
    [
        ("ask --image a.png b.png What?", ["a.png", "b.png"], "What?"),
        ("ask --image a.png --image b.png What?", ["a.png", "b.png"], "What?"),
        ("ask What? --image a.png b.png", ["a.png", "b.png"], "What?"),
        ("ask --image a.png --context 64 What?", ["a.png"], "What?"),
        ("ask --image a.png b.png What? --context 64", ["a.png", "b.png"], "What?"),
        ("ask --image a.png", ["a.png"], ""),
        (f"ask --image a.png {__file__}", ["a.png", __file__], ""),  # a file is no question
        ("ask --image a.png b.JPG", ["a.png", "b.JPG"], ""),  # nor is what is called like an image
        ("ask What?", [], "What?"),
    ],
)
def test_a_question_is_the_last_word_however_many_images_there_are(
    line: str, images: list[str], question: str
) -> None:
    options = parse(line)
    assert split_words(options.media, options.question) == (
        [NamedMedia(Path(image)) for image in images],
        question,
    )


def test_images_and_videos_keep_their_order() -> None:
    options = parse("ask --video a.mp4 b.gif --image c.png --video d.webm What?")
    named, question = split_words(options.media, options.question)
    assert [(one.path.name, one.is_video) for one in named] == [
        *(("a.mp4", True), ("b.gif", True), ("c.png", False), ("d.webm", True))
    ]
    assert question == "What?"
    assert parse("ask What?").media == []


def test_build_takes_several_recipes_and_the_others_the_last_one() -> None:
    options = parser().parse_args(["build", "--recipe", "a", "--recipe=b"])
    assert (options.recipe, options.recipes) == ("b", ["a", "b"])
    assert parser().parse_args(["build"]).recipes is None
    assert parser().parse_args(["patch", "--recipe", "a", "--recipe", "b"]).recipe == "b"
