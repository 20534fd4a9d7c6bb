"""The session `ask`: answers a question about pictures in the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from recipes.cli.serve import demand_one_program
from recipes.core.errors import AnswerError, UsageError
from recipes.serve.api_key import read_api_key
from recipes.serve.chat_client import ask_server, parse_url
from recipes.serve.image_input import read_picture
from recipes.serve.lifecycle import ended, serving
from recipes.serve.llamacpp.listen_address import LOOPBACK
from recipes.serve.llamacpp.server import free_port
from recipes.serve.prepare import prepare

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from recipes.build.context import Job
    from recipes.core.console import Console
    from recipes.serve.sse import Piece

GONE_S = 5.0  # how long a server that hung up may take to be gone
OF_OUR_SERVER = ("model", "recipe", "bundle", "context", "threads", "start_timeout")


def run_ask(job: Job, options: argparse.Namespace) -> int:
    """Answer the question.

    Raises
    ------
    RecipeError
        Where it cannot be answered.
    """
    demand_question(options)
    pictures = [read_picture(path, elsewhere=options.url is not None) for path in options.image]
    for picture in pictures:
        if picture.is_turned:
            job.console.warn(
                f"{picture.name} is stored turned, with a note how to turn it back that llama.cpp does not read:"
                " the model sees it turned"
            )
    key = read_api_key(options.api_key_file)
    if options.url is not None:
        pieces = ask_server(
            parse_url(options.url), pictures, options.question, key=key, temperature=options.temperature
        )
        show(pieces, job.console)
        return 0
    prepared = prepare(job, options, text_only=not pictures, host=LOOPBACK, port=free_port(), api_key=None)
    with serving(prepared.service) as server:
        try:
            show(
                ask_server(
                    server.base, pictures, options.question, key=None, temperature=options.temperature
                ),
                job.console,
            )
        except AnswerError as error:
            # a server that died hung up; one that refuses lives on
            status = server.process.wait(GONE_S if error.__cause__ else 0)
            if status is not None:
                raise ended(prepared.service, status) from error
            raise
    prepared.service.log.unlink(missing_ok=True)  # nobody will ask for it
    return 0


def demand_question(options: argparse.Namespace) -> None:
    """Demand that something is asked, and that no option is given that has no effect.

    Raises
    ------
    UsageError
        Otherwise.
    """
    if not options.question.strip():
        raise UsageError(
            where="ask",
            expected="a question",
            found="none",
            fix='python3 noxfile.py -s ask -- --image FILE "What is in this picture?"',
        )
    demand_one_program(options)
    if options.url is None:
        return
    given = [name for name in OF_OUR_SERVER if getattr(options, name) is not None]
    if given:
        raise UsageError(
            where=f"--url and --{given[0].replace('_', '-')}",
            expected="one of them: a server that runs already has its model and its options",
            found="both",
            fix="leave one out",
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
