from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.cli.ask import show
from recipes.cli.conversation import Conversation, Line, parse_line
from recipes.core.console import Plain
from recipes.core.errors import AnswerError, ServerEndedError
from recipes.manifest.load import PROJECT
from recipes.serve.chat_client import Question
from recipes.serve.door.clip_plan import ClipWish
from recipes.serve.door.image_decode import Detail
from recipes.serve.server_limits import ServerLimits
from recipes.serve.sse import Piece
from recipes.serve.video_input import InputClip, VideoReader
from tests.support.videos import animation, video

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

IMAGE = PROJECT / "docs" / "assets" / "shapes.png"
START = Question("", (), Detail.LOW, 0.0)


class Talk:
    """A conversation with lines that are typed, and answers that are made."""

    def __init__(self, log: TextIO) -> None:
        self.asked: list[Question] = []
        self.console = Plain(log)
        self.faults: list[BaseException] = []
        self.reads_videos: bool | None = True

    def ask(self, question: Question) -> Iterator[Piece]:
        self.asked.append(question)
        yield Piece("hm", is_thought=True)
        yield Piece(f"answer {len(self.asked)}")
        if self.faults:
            raise self.faults.pop(0)
        yield Piece(" whole")

    def type(self, *lines: str | BaseException) -> None:
        given = iter(lines)

        def read(_: str) -> str:
            line = next(given, EOFError())
            if isinstance(line, BaseException):
                raise line
            return line

        limits = ServerLimits(4096, videos=self.reads_videos)
        videos = VideoReader(self.console, ClipWish(), START.detail, lambda: limits)
        Conversation(self.ask, show, self.console, START, videos).run(read)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TextIO]:
    with (tmp_path / "log").open("w+", encoding="utf-8") as log:
        yield log


def said(log: TextIO) -> str:
    log.seek(0)
    return log.read()


@pytest.fixture
def talk(log: TextIO) -> Talk:
    return Talk(log)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", Line("nothing")),
        ("   ", Line("nothing")),
        ("what's that?", Line("", ("what's that?",))),
        ("/quit", Line("quit")),
        ("/EXIT", Line("quit")),
        ("/image a.png 'b c.heic'", Line("image", ("a.png", "b c.heic"))),
        ("/home/someone/none is what?", Line("", ("/home/someone/none is what?",))),
        (str(IMAGE), Line("image", (str(IMAGE),))),
        (f"'{IMAGE}' {IMAGE}", Line("image", (str(IMAGE), str(IMAGE)))),
        ("/unknown", Line("unknown")),
    ],
)
def test_a_line_is_a_command_a_file_or_words(text: str, line: Line) -> None:
    assert parse_line(text) == line


def test_what_was_said_goes_with_each_question_until_it_begins_again(
    talk: Talk, capsys: pytest.CaptureFixture[str]
) -> None:
    talk.type(
        f"/image {IMAGE}", "which colour?", "and the other?", "/history", "/new", "hello", "/quit", "never"
    )
    first, second, third = talk.asked
    assert [one.name for one in first.media] == ["shapes.png"]
    assert (first.earlier, third.earlier, second.media) == ((), (), ())
    (turn,) = second.earlier
    assert (turn.text, turn.answer, turn.media) == ("which colour?", "answer 1 whole", first.media)
    out = capsys.readouterr().out
    assert "> which colour? [shapes.png]\nanswer 1 whole\n" in out
    assert second.body().count(b'"role": "assistant"') == 1


def test_videos_are_added_too_and_share_the_context_with_what_was_said(
    talk: Talk, log: TextIO, tmp_path: Path
) -> None:
    (tmp_path / "a.mp4").write_bytes(video(50))
    (tmp_path / "b.gif").write_bytes(animation(4))
    talk.type(
        f"/video {tmp_path / 'a.mp4'} {tmp_path / 'b.gif'}",
        "what moves?",
        str(tmp_path / "a.mp4"),
        "and now?",
    )
    first, second = talk.asked
    assert [one.name for one in first.media] == ["a.mp4", "b.gif"]
    assert all(isinstance(one, InputClip) and len(one.pngs) in {10, 4} for one in first.media)
    assert second.earlier[0].media == first.media
    assert second.tokens == first.tokens + second.media[0].tokens > 0
    assert "10 frames of 96x64" in said(log)


def test_a_server_without_videos_is_not_sent_one(talk: Talk, log: TextIO, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(video(5))
    talk.reads_videos = False
    talk.type(f"/video {tmp_path / 'a.mp4'}", "hello")
    assert talk.asked[0].media == ()
    assert "it reads none" in said(log)


def test_ctrl_c_ends_an_answer_and_at_the_prompt_nothing(talk: Talk, log: TextIO) -> None:
    talk.faults = [KeyboardInterrupt()]
    talk.type("one?", KeyboardInterrupt(), "two?")
    assert [question.text for question in talk.asked] == ["one?", "two?"]
    assert [turn.answer for turn in talk.asked[1].earlier] == ["answer 1"]
    assert "stopped" in said(log)
    assert "/quit" in said(log)


def test_a_refusal_is_said_and_the_talk_goes_on(talk: Talk, log: TextIO, tmp_path: Path) -> None:
    (tmp_path / "x.heic").write_bytes(b"%PDF")
    talk.faults = [AnswerError(where="x", expected="an answer", found="the context is full", fix="/new")]
    talk.type(f"/image {tmp_path / 'none.png'}", f"/image {tmp_path / 'x.heic'}", "one?", "two?")
    assert [question.earlier for question in talk.asked] == [(), ()]
    assert "a PDF" in said(log)
    assert "No such file" in said(log)
    assert "the context is full" in said(log)


def test_a_server_that_died_ends_it(talk: Talk) -> None:
    talk.faults = [ServerEndedError(where="x", expected="x", found="x", fix="x")]
    with pytest.raises(ServerEndedError):
        talk.type("one?", "two?")
