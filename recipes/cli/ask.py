"""The session `ask`: answers a question about images and videos in the terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.cli.ask_words import MediaWords, split_words
from recipes.cli.conformance import OF_THE_BUNDLE
from recipes.cli.conversation import Conversation, line_reader
from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, frame_count, frames_a_second, not_negative, refuse_beside
from recipes.cli.serve import NAMED, add_server, demand_one_program
from recipes.core import log
from recipes.core.errors import AnswerError, UsageError
from recipes.evalset.clip_rules import FPS, MOST_FRAMES
from recipes.serve.api_key import read_api_key
from recipes.serve.chat_client import Question, ask_server, parse_url
from recipes.serve.door.admission import Admission
from recipes.serve.door.clip_plan import ClipWish
from recipes.serve.door.image_decode import READ
from recipes.serve.door.video_files import READ as VIDEOS_READ
from recipes.serve.image_input import read_copied_image, read_image
from recipes.serve.lifecycle import GONE_S, ended, serving
from recipes.serve.llamacpp.listen_address import LOOPBACK, free_port
from recipes.serve.prepare import prepare
from recipes.serve.running import running_servers
from recipes.serve.server_limits import ServerLimits, server_limits
from recipes.serve.video_input import VideoReader, open_videos

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from recipes.build.context import Job
    from recipes.core.console import Console
    from recipes.serve.running import RunningServer
    from recipes.serve.sse import Piece

    Ask = Callable[[Question], Iterator[Piece]]

OF_OUR_SERVER = (
    *OF_THE_BUNDLE,
    *("bundle", "model", "context", "threads", "allow_architecture", "ignore_memory", "start_timeout"),
    *("image_max_tokens", "permit", "yes"),
)


# What a server that runs already may not be asked instead of: whoever names these wants another.
OF_ANOTHER = tuple(name for name in OF_OUR_SERVER if name not in {"model", "yes"})
HISTORY = "ask_history"  # the lines of conversations, in the store


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    parser.add_argument(
        "question",
        nargs="?",
        metavar="QUESTION",
        help="what to ask: the last word, in quotes; none: a conversation",
    )
    for option, read in (("--image", f"images: {READ}"), ("--video", f"videos: {VIDEOS_READ}")):
        parser.add_argument(
            option,
            action=MediaWords,
            dest="media",
            nargs="+",
            default=[],
            metavar="FILE",
            help=f"{read}; - is standard input",
        )
    parser.add_argument(
        "--fps",
        type=frames_a_second,
        metavar="N",
        help=f"frames that are read of each second of a video (default: {FPS:g})",
    )
    parser.add_argument(
        "--max-frames",
        type=frame_count,
        metavar="N",
        help=f"most frames of a video (default: as many as fit into the context, at most {MOST_FRAMES})",
    )
    parser.add_argument("--clipboard", action="store_true", help="ask about the image that was copied")
    parser.add_argument(
        "--url",
        metavar="URL",
        help="ask this server (default: the one that `serve` runs, else one just for this)",
    )
    parser.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="a file with the key of a server that runs (default: the variable PINNED_LLAMA_API_KEY)",
    )
    parser.add_argument(
        "--temperature",
        type=not_negative,
        default=0.0,
        metavar="T",
        help="how freely it answers (default: 0, the same question gives the same answer)",
    )
    add_server(parser, NAMED)


def run(options: argparse.Namespace) -> int:
    """Answer the question, or talk where there is none; raise a RecipeError where it cannot be answered."""
    named, question = split_words(options.media, options.question)
    is_conversation = not question.strip() and can_talk()
    has_video = any(one.is_video for one in named)
    demand_question(options, question, is_conversation=is_conversation, has_video=has_video)
    job = open_job(options)
    wish = ClipWish(options.fps or FPS, options.max_frames)
    with open_videos() as open_video:
        files = [
            open_video(one.path, wish, job.console) if one.is_video else read_image(one.path, options.detail)
            for one in named
        ]
        files += [read_copied_image(options.detail)] if options.clipboard else []
        with answering(job, options, images=bool(files) or is_conversation) as server:
            reader = VideoReader(job.console, wish, options.detail, server.limits)
            media = reader.read_all(files)
            for one in media:
                if one.notes:
                    job.console.say(f"{one.name}: {', '.join(one.notes)}")
            asking = Question(question, media, options.detail, options.temperature, model=options.model)
            if is_conversation:
                with line_reader(job.store.root / HISTORY) as read:
                    Conversation(server.ask, show, job.console, asking, reader).run(read)
            else:
                show(server.ask(asking), job.console)
    return 0


def can_talk() -> bool:
    """Whether a person types."""
    return sys.stdin is not None and sys.stdin.isatty()


@dataclass(frozen=True)
class Answering:
    """What answers a question, and what it says of itself."""

    ask: Ask
    limits: Callable[[], ServerLimits]


@contextmanager
def answering(job: Job, options: argparse.Namespace, *, images: bool) -> Iterator[Answering]:
    """Yield what answers a question: the server that is named, one that runs, or one that runs until the block ends."""
    if options.url is not None:
        key = read_api_key(options.api_key_file)
        log.hide(key)
        yield _asked_at(parse_url(options.url), key)
        return
    found = None if any(getattr(options, name) for name in OF_ANOTHER) else running_one(job, options, images)
    if found is not None:
        server, key = found
        job.console.say(f"asking {options.model or server.models[0]} at {server.base}, which runs")
        yield _asked_at(server.base, key)
        return
    names = (options.model,) if options.model else ()
    prepared = prepare(job, options, names, Admission(LOOPBACK, free_port()), text_only=not images)
    (service,) = prepared.services
    with serving(prepared.services, prepared.door) as started:

        def ask(question: Question) -> Iterator[Piece]:
            try:
                yield from ask_server(started.base, question, key=None)
            except AnswerError as error:
                # a server that died hung up; one that refuses lives on
                status = started.wait(GONE_S if error.__cause__ else 0)
                if status is not None:
                    raise ended(service, status) from error
                raise

        yield Answering(ask, partial(server_limits, started.base, key=None))
    service.log.unlink(missing_ok=True)  # nobody will ask for it


def _asked_at(base: str, key: str | None) -> Answering:
    return Answering(partial(ask_server, base, key=key), partial(server_limits, base, key=key))


def running_one(
    job: Job,
    options: argparse.Namespace,
    images: bool,  # noqa: FBT001
) -> tuple[RunningServer, str | None] | None:
    """Return a server of `serve` that runs, has the model and may be asked, and the key for it; None if none does."""
    key = read_api_key(options.api_key_file)
    log.hide(key)
    for server in running_servers(job.store):
        model = options.model or server.models[0]
        takes_it = model in (server.images if images else server.models)
        if takes_it and (key or not server.needs_key):
            return server, key if server.needs_key else None
    return None


def demand_question(
    options: argparse.Namespace, question: str, *, is_conversation: bool, has_video: bool
) -> None:
    """Raise a UsageError unless something is asked, and no option is given that has no effect."""
    if not question.strip() and not is_conversation:
        raise UsageError(
            where="ask",
            expected="a question, as the last word and in quotes; without one, a terminal to talk in",
            found="none",
            fix='python3 noxfile.py -s ask -- --image FILE "What is in this image?"',
        )
    for option, value in (("--fps", options.fps), ("--max-frames", options.max_frames)):
        if value is not None and not has_video and not is_conversation:
            raise UsageError(
                where=f"ask: {option}",
                expected="a video",
                found="none",
                fix=f"--video FILE {option} {value:g}",
            )
    if options.url is not None:
        refuse_beside(
            options, "ask", "--url", OF_OUR_SERVER, "a running server has its own model and options"
        )
        return
    demand_one_program(options, "ask")


def show(pieces: Iterable[Piece], console: Console) -> str:
    """Print an answer as it comes, and return it; what the model only thinks goes to standard error."""
    is_cut = False
    last, answer = "\n", ""
    for piece in pieces:
        is_cut = is_cut or piece.is_cut
        if piece.text:
            out = sys.stderr if piece.is_thought else sys.stdout
            out.write(piece.text)
            out.flush()
            last = piece.text[-1]
            answer += "" if piece.is_thought else piece.text
    if last != "\n":
        print(flush=True)
    if is_cut:
        console.warn("the answer is cut: the context is full; a longer one is asked for with --context")
    return answer


SESSION = Session(
    "ask",
    "Answer a question about images and videos in the terminal.",
    add_options,
    run,
    example='--image first.jpg second.png "What is the difference?"',
)
