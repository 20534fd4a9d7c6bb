"""Runs every check against one llama.cpp, in an order in which a server that dies takes little with it."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from recipes.conformance.checks import answers as check_answers
from recipes.conformance.checks import files as check_files
from recipes.conformance.checks import loading as check_loading
from recipes.conformance.checks import numerics as check_numerics
from recipes.conformance.checks import server as check_server
from recipes.conformance.checks.browser import find_browser
from recipes.conformance.results.context import SURE, Context, Findings, pictures
from recipes.conformance.results.outcome import Outcome, Part, Verdict
from recipes.conformance.results.result import File, Result
from recipes.core.digest import hash_file
from recipes.serve.llamacpp.server import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from recipes.core.console import Console

SCREENSHOT = "web-page.png"
WEB_PROMPT = "colour, square"


def judge(context: Context, console: Console, command: str) -> Result:
    """Judge a llama.cpp with a model.

    Parameters
    ----------
    context
        What is judged, with which files; the caller has compared them with the reference's (`verify_golden`), or
        changed them on purpose. Its work folder holds the screenshot afterwards.
    console
        Where progress is shown.
    command
        What was typed, for the report.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    found = check_all(context, console)
    screenshot = context.work / SCREENSHOT
    files = (("model", context.model), ("mmproj", context.mmproj))
    return Result(
        title=context.subject.title,
        digest=str(context.subject.digest),
        is_bundle=context.subject.is_bundle,
        files=tuple(File(role, path.name, str(hash_file(path))) for role, path in files),
        machine=f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        command=command,
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - clock, 1),
        sections=context.golden.sections,
        outcomes=found.outcomes,
        exhibits=found.exhibits,
        distances=found.distances,
        screenshot=screenshot if screenshot.exists() else None,
        made_with=context.golden.made_with,
    )


def check_all(context: Context, console: Console) -> Findings:
    """Run the checks; where the model does not load, no more than that is said."""
    found = check_files.check(context.model, context.mmproj)
    steps: tuple[tuple[str, Part, Callable[[], Findings]], ...] = (
        ("load, answers and web page", Part.LOAD, lambda: check_with_one_server(context)),
        (
            "an image of more tokens than a ubatch",
            Part.SERVER,
            lambda: check_server.check_large_image(context),
        ),
        ("llama-mtmd-cli", Part.IMAGES, lambda: check_answers.check_mtmd(context)),
        ("server", Part.SERVER, lambda: check_server.check(context)),
    )
    with console.task("conformance", len(steps) + 1, "checks") as task:
        for title, part, step in steps:
            console.say(f"  {title}")
            try:
                found += step()
            except (ServerError, OSError) as error:
                found += Findings((Outcome(part, title, Verdict.FAILED, str(error), "the server"),))
                if part is Part.LOAD:
                    return found
            task.advance(1)
        console.say("  numerics")
        found += check_numerics.check(context, comparable(context, found))
        task.advance(1)
    return found


def comparable(context: Context, found: Findings) -> tuple[str, ...]:
    """Give the prompts whose probabilities are compared: without the one that makes the server abort, where it does."""
    aborts = any(
        o.verdict is Verdict.FAILED and "is gone" in o.words for o in found.outcomes if o.part is Part.SERVER
    )
    return tuple(
        case.name for case in context.golden.cases if not (aborts and case.name == check_server.OVER_A_UBATCH)
    )


def check_with_one_server(context: Context) -> Findings:
    """Start the server once with the projector, and do all that needs no other."""
    names = [case.name for case in context.golden.cases if case.name != check_server.OVER_A_UBATCH]
    with context.server() as server:
        memory = check_loading.resident_bytes(server.process.pid)
        found = check_loading.check(context, server)
        found += check_answers.check_cases(context, server, names)
        found += check_answers.check_streaming(context, server)
        found += check_answers.check_held_out(context, server)
        found += look(context, server.base)
    return found + check_loading.check_text_only(context, memory)


def look(context: Context, base: str) -> Findings:
    """Ask the web page in a browser."""
    if not context.with_page:
        words = "left out, as `--without web-page` asks"
        return Findings((Outcome(Part.PAGE, "question about an image", Verdict.NOT_RUN, words),))
    # drives a browser through a package that a machine without one need not have
    from recipes.conformance.checks.web_page import look_at_page

    prompt, case = context.case(WEB_PROMPT)
    if case.margin < SURE:
        words = f"the reference is not sure of its answer to {prompt.question!r}"
        return Findings((Outcome(Part.PAGE, "question about an image", Verdict.NOT_RUN, words),))
    outcome = look_at_page(
        base, pictures(prompt)[0], prompt.question, case.answer, context.work / SCREENSHOT, find_browser()
    )
    return Findings((outcome,))
