"""The session `serve`: runs the pinned llama-server on a pinned model until it is told to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.core.errors import UsageError
from recipes.serve.api_key import demand_api_key, read_api_key
from recipes.serve.banner import key_words, ready_lines, saved_line
from recipes.serve.lifecycle import ended, exit_code, serving
from recipes.serve.llamacpp.listen_address import demand_free, is_loopback, parse_host
from recipes.serve.prepare import prepare

if TYPE_CHECKING:
    import argparse

    from recipes.build.context import Job


def run_serve(job: Job, options: argparse.Namespace) -> int:
    """Serve until a signal comes or the server ends; give its exit code.

    Raises
    ------
    RecipeError
        Where it cannot be started, or ends by itself.
    """
    demand_one_program(options)
    host = parse_host(options.host)
    api_key = read_api_key(options.api_key_file)
    if api_key is None and not is_loopback(host):
        raise demand_api_key(host)
    demand_free(host, options.port)
    prepared = prepare(
        job, options, text_only=options.text_only, host=host, port=options.port, api_key=api_key
    )
    if options.text_only:
        job.console.say(saved_line(prepared.ready))
    with serving(prepared.service) as server:
        try:
            words = key_words(options.api_key_file) if api_key else None
            lines = ready_lines(
                prepared.ready, prepared.subject.title, server.base, prepared.service.log, words
            )
            print("\n".join(lines), flush=True)
            status = server.process.wait()
        except KeyboardInterrupt:  # any signal that ends us; what it asks is passed on
            status = server.process.end()
            job.console.say("ended")
            return exit_code(status)
        if status:
            raise ended(prepared.service, status)
    job.console.say("the server was told to end by somebody else")
    return 0


def demand_one_program(options: argparse.Namespace) -> None:
    """Demand that a recipe or a bundle is named, not both.

    Raises
    ------
    UsageError
        Where both are.
    """
    if options.bundle is not None and options.recipe is not None:
        raise UsageError(
            where="--recipe and --bundle",
            expected="one of them: both say which llama.cpp is run",
            found="both",
            fix="leave one out",
        )
