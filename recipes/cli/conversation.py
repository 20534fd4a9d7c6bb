"""`ask` without a question: a conversation in the terminal, with images, videos, streamed answers and past lines."""

from __future__ import annotations

import shlex
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.cli.ask_words import is_file_name, is_video_name
from recipes.core.errors import AnswerError, PictureError
from recipes.serve.image_input import read_copied_image, read_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from recipes.core.console import Console
    from recipes.serve.chat_client import Question
    from recipes.serve.door.image_decode import Detail
    from recipes.serve.sse import Piece
    from recipes.serve.video_input import Media, VideoReader

PROMPT = "> "
MOST_LINES = 1000  # of the history that is kept
QUIT = {"/quit", "/exit", "/bye", "/q"}
HELP = """\
/image FILE ...  add images to the next question; a file alone, as one that is dragged here, is added too
/video FILE ...  add videos
/clipboard       add the image that was copied
/new             begin again, without what was said
/history         show what was said
/quit            leave (also Ctrl-D); Ctrl-C stops an answer"""


@dataclass(frozen=True)
class Line:
    """What a person typed: a command without its slash, with its words; or words to the model, of the command ""."""

    command: str
    words: tuple[str, ...] = ()


def parse_line(text: str) -> Line:
    """Read a typed line.

    >>> parse_line("/image 'my photo.heic' b.png"), parse_line("what is it?")
    (Line(command='image', words=('my photo.heic', 'b.png')), Line(command='', words=('what is it?',)))
    """
    text = text.strip()
    if not text:
        return Line("nothing")
    try:
        words = shlex.split(text)
    except ValueError:  # an apostrophe
        words = text.split()
    if words and all(is_file_name(word) and Path(word).expanduser().is_file() for word in words):
        return Line("video" if any(map(is_video_name, words)) else "image", tuple(words))
    if text.lower() in QUIT:
        return Line("quit")
    if text.startswith("/") and "/" not in words[0][1:]:
        return Line(words[0][1:].lower(), tuple(words[1:]))
    return Line("", (text,))


class Conversation:
    """What was said, the images of the next question, and who answers."""

    def __init__(
        self,
        ask: Callable[[Question], Iterator[Piece]],
        show: Callable[[Iterable[Piece], Console], str],
        console: Console,
        start: Question,
        videos: VideoReader,
    ) -> None:
        self._ask, self._show, self._console, self._next = ask, show, console, start
        self._videos = videos

    def run(self, read: Callable[[str], str]) -> None:
        """Talk until the person leaves; a server that died is raised as a RecipeError."""
        self._console.say("ask; /image FILE adds an image, /help says what else there is, Ctrl-D leaves")
        while True:
            try:
                line = parse_line(read(PROMPT))
            except EOFError:
                print()
                return
            except KeyboardInterrupt:
                print()
                self._console.say("Ctrl-D or /quit leaves")
                continue
            if line.command == "quit":
                return
            try:
                self._do(line)
            except (PictureError, AnswerError) as error:
                self._console.warn(f"{error.where}: {error.found}\n  {error.fix}")

    def _do(self, line: Line) -> None:
        match line.command:
            case "nothing":
                pass
            case "":
                self._answer(line.words[0])
            case "image":
                self._add([read_image(Path(word).expanduser(), self._detail) for word in line.words])
            case "video":
                for word in line.words:
                    self._add([self._videos.read(Path(word).expanduser(), self._next.tokens)])
            case "clipboard":
                self._add([read_copied_image(self._detail)])
            case "new":
                self._next = replace(self._next, media=(), earlier=())
            case "history":
                for turn in self._next.earlier:
                    names = "".join(f" [{image.name}]" for image in turn.media)
                    print(f"{PROMPT}{turn.text}{names}\n{turn.answer}")
            case _:
                self._console.say(HELP)

    @property
    def _detail(self) -> Detail:
        return self._next.detail

    def _add(self, media: Sequence[Media]) -> None:
        for one in media:
            notes = f": {', '.join(one.notes)}" if one.notes else ""
            self._console.say(f"{one.name}{notes}")
        self._next = replace(self._next, media=(*self._next.media, *media))

    def _answer(self, text: str) -> None:
        question = replace(self._next, text=text)
        pieces = self._ask(question)
        answer = self._show(stoppable(pieces, self._console), self._console)
        self._next = replace(self._next, media=(), earlier=question.answered(answer))


def stoppable(pieces: Iterator[Piece], console: Console) -> Iterator[Piece]:
    """Yield an answer until Ctrl-C, which ends it alone; the server hears that nobody listens any more."""
    try:
        yield from pieces
    except KeyboardInterrupt:
        close = getattr(pieces, "close", None)
        if close:
            close()
        sys.stdout.write("\n")
        console.say("stopped")


@contextmanager
def line_reader(history: Path) -> Iterator[Callable[[str], str]]:
    """Yield what reads a line with editing, and earlier lines, of this and of the last times."""
    try:
        import readline
    except ImportError:  # a Python without it, as on Windows
        yield input
        return
    with suppress(OSError):
        readline.read_history_file(history)
    readline.set_history_length(MOST_LINES)
    try:
        yield input
    finally:
        with suppress(OSError):
            history.touch(mode=0o600)
            readline.write_history_file(history)
