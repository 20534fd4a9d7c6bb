"""The session `ask`: answers a question about images in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.cli.conformance import OF_THE_BUNDLE
from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, not_negative, refuse_beside
from recipes.cli.serve import add_server, demand_one_program
from recipes.core import log
from recipes.core.errors import AnswerError, UsageError
from recipes.serve.api_key import read_api_key
from recipes.serve.chat_client import Question, ask_server, parse_url
from recipes.serve.door.admission import Admission
from recipes.serve.door.image_decode import READ
from recipes.serve.image_input import STANDARD_INPUT, read_copied_image, read_image
from recipes.serve.lifecycle import GONE_S, ended, serving
from recipes.serve.llamacpp.listen_address import LOOPBACK, free_port
from recipes.serve.prepare import prepare

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from recipes.core.console import Console
    from recipes.serve.sse import Piece

SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jfif", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif")
}
OF_OUR_SERVER = (
    *OF_THE_BUNDLE,
    *("bundle", "model", "context", "threads", "allow_architecture", "ignore_memory", "start_timeout"),
    *("image_max_tokens", "permit", "yes"),
)


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    parser.add_argument(
        "question", nargs="?", metavar="QUESTION", help="what to ask: the last word, in quotes"
    )
    parser.add_argument(
        "--image",
        action="append",
        nargs="+",
        default=[],
        metavar="FILE",
        help=f"images: {READ}; - is standard input",
    )
    parser.add_argument("--clipboard", action="store_true", help="ask about the image that was copied")
    parser.add_argument("--url", metavar="URL", help="ask a server that runs (default: one just for this)")
    parser.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="with --url: a file with the server's key (default: the variable PINNED_LLAMA_API_KEY)",
    )
    parser.add_argument(
        "--temperature",
        type=not_negative,
        default=0.0,
        metavar="T",
        help="how freely it answers (default: 0, the same question gives the same answer)",
    )
    add_server(parser)


def run(options: argparse.Namespace) -> int:
    """Answer the question; raise a RecipeError where it cannot be answered."""
    paths, question = split_words(options.image, options.question)
    demand_question(options, question)
    job = open_job(options)
    images = [read_image(path, options.detail) for path in paths]
    images += [read_copied_image(options.detail)] if options.clipboard else []
    for image in images:
        if image.notes:
            job.console.say(f"{image.name}: {', '.join(image.notes)}")
    asking = Question(question, tuple(images), options.detail, options.temperature)
    if options.url is not None:
        key = read_api_key(options.api_key_file)
        log.hide(key)
        base = parse_url(options.url)
        show(ask_server(base, asking, key=key), job.console)
        return 0
    prepared = prepare(job, options, Admission(LOOPBACK, free_port()), text_only=not images)
    with serving(prepared.service) as server:
        try:
            show(ask_server(server.base, asking, key=None), job.console)
        except AnswerError as error:
            # a server that died hung up; one that refuses lives on
            status = server.process.wait(GONE_S if error.__cause__ else 0)
            if status is not None:
                raise ended(prepared.service, status) from error
            raise
    prepared.service.log.unlink(missing_ok=True)  # nobody will ask for it
    return 0


def split_words(images: list[list[str]], question: str | None) -> tuple[list[Path], str]:
    """Return the images and the question; `--image` takes all words that follow it, a question at the end too.

    >>> split_words([["a.png", "b.png", "Which is red?"]], None)
    ([PosixPath('a.png'), PosixPath('b.png')], 'Which is red?')
    """
    words = [word for group in images for word in group]
    if question is None and images and len(images[-1]) > 1 and not is_file_name(words[-1]):
        question = words.pop()
    return [Path(word) for word in words], question or ""


def is_file_name(word: str) -> bool:
    """Whether a word names an image rather than being a question: a file has it, or it ends as one."""
    return word == STANDARD_INPUT or Path(word).suffix.lower() in SUFFIXES or Path(word).exists()


def demand_question(options: argparse.Namespace, question: str) -> None:
    """Raise a UsageError unless something is asked, and no option is given that has no effect."""
    if not question.strip():
        raise UsageError(
            where="ask",
            expected="a question, as the last word and in quotes",
            found="none",
            fix='python3 noxfile.py -s ask -- --image FILE "What is in this image?"',
        )
    if options.url is not None:
        refuse_beside(
            options, "ask", "--url", OF_OUR_SERVER, "a running server has its own model and options"
        )
        return
    demand_one_program(options, "ask")
    if options.api_key_file is not None:
        raise UsageError(
            where="ask: --api-key-file",
            expected="--url with it: a server just for this question needs no key",
            found="no --url",
            fix="leave --api-key-file out, or name a server with --url",
        )


def show(pieces: Iterable[Piece], console: Console) -> None:
    """Print an answer as it comes; what the model only thinks goes to standard error."""
    is_cut = False
    last = "\n"
    for piece in pieces:
        is_cut = is_cut or piece.is_cut
        if piece.text:
            out = sys.stderr if piece.is_thought else sys.stdout
            out.write(piece.text)
            out.flush()
            last = piece.text[-1]
    if last != "\n":
        print(flush=True)
    if is_cut:
        console.warn("the answer is cut: the context is full; a longer one is asked for with --context")


SESSION = Session(
    "ask",
    "Answer a question about images in the terminal.",
    add_options,
    run,
    example='--image first.jpg second.png "What is the difference?"',
)
