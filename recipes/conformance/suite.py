"""Runs every check against one llama.cpp, in an order in which a server that dies takes little with it."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from recipes.conformance.checks import answers as check_answers
from recipes.conformance.checks import files as check_files
from recipes.conformance.checks import loading as check_loading
from recipes.conformance.checks import numerics as check_numerics
from recipes.conformance.checks import server as check_server
from recipes.conformance.checks import video as check_video
from recipes.conformance.checks.browser import find_browser
from recipes.conformance.results.inputs import SURE, CheckInputs, Findings, images_of
from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part
from recipes.conformance.results.result import Result, UsedFile
from recipes.core.cores import usable_cores
from recipes.core.digest import hash_file
from recipes.serve.llamacpp.server import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from recipes.core.console import Console

SCREENSHOT = "web-page.png"
WEB_PROMPT = "colour, square"


def run_suite(inputs: CheckInputs, console: Console, command: str) -> Result:
    """Run every check on a llama.cpp with a model; the work folder of the inputs holds the screenshot afterwards.

    The caller has compared the files with the reference's (`verify_golden`), or changed them on purpose.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    found = check_all(inputs, console)
    screenshot = inputs.work / SCREENSHOT
    files = (("model", inputs.model), ("mmproj", inputs.mmproj))
    return Result(
        title=inputs.subject.title,
        digest=str(inputs.subject.digest),
        is_bundle=inputs.subject.is_bundle,
        files=tuple(UsedFile(role, path.name, str(hash_file(path))) for role, path in files),
        machine=f"{platform.machine()}, {usable_cores()} cores, {platform.system()} {platform.release()}",
        command=command,
        started=started,
        seconds=round(time.monotonic() - clock, 1),
        sections=inputs.golden.sections,
        outcomes=found.outcomes,
        exhibits=found.exhibits,
        distances=found.distances,
        screenshot=screenshot if screenshot.exists() else None,
        made_with=inputs.golden.made_with,
    )


def check_all(inputs: CheckInputs, console: Console) -> Findings:
    """Run the checks; where the model does not load, no more than that is said."""
    found = check_files.check(inputs.model, inputs.mmproj)
    steps: tuple[tuple[str, Part, Callable[[], Findings]], ...] = (
        ("load, answers and web page", Part.LOAD, lambda: check_with_one_server(inputs)),
        (
            "an image of more tokens than a ubatch",
            Part.SERVER,
            lambda: Findings((check_server.check_large_image(inputs),)),
        ),
        ("llama-mtmd-cli", Part.IMAGES, lambda: Findings((check_answers.check_mtmd(inputs),))),
        ("server", Part.SERVER, lambda: check_server.check(inputs)),
        ("video", Part.VIDEO, lambda: check_video.check(inputs)),
    )
    with console.task("conformance", len(steps) + 1, "checks") as task:
        for title, part, step in steps:
            console.say(f"  {title}")
            try:
                found += step()
            except (ServerError, OSError) as error:
                found += Findings((Outcome(part, title, CheckVerdict.FAILED, str(error), "the server"),))
                if part is Part.LOAD:
                    return found
            task.advance(1)
        console.say("  numerics")
        found += check_numerics.check(inputs, comparable(inputs, found))
        task.advance(1)
    return found


def comparable(inputs: CheckInputs, found: Findings) -> tuple[str, ...]:
    """Return the prompts whose probabilities are compared: without the one that makes this server abort."""
    aborts = any(
        o.verdict is CheckVerdict.FAILED and "is gone" in o.words
        for o in found.outcomes
        if o.part is Part.SERVER
    )
    return tuple(
        case.name for case in inputs.golden.cases if not (aborts and case.name == check_server.OVER_A_UBATCH)
    )


def check_with_one_server(inputs: CheckInputs) -> Findings:
    """Start the server once with the projector, and do all that needs no other."""
    names = [case.name for case in inputs.golden.cases if case.name != check_server.OVER_A_UBATCH]
    with inputs.server() as server:
        memory = check_loading.resident_bytes(server.process.pid)
        found = check_loading.check(inputs, server)
        found += check_answers.check_cases(inputs, server, names)
        found += Findings((check_answers.check_streaming(inputs, server),))
        found += check_answers.check_held_out(inputs, server)
        found += Findings((check_web_page(inputs, server.base),))
    return found + check_loading.check_text_only(inputs, memory)


def check_web_page(inputs: CheckInputs, base: str) -> Outcome:
    """Ask the web page in a browser."""
    reason = ""
    if not inputs.with_page:
        reason = "left out, as `--without web-page` asks"
    elif inputs.case(WEB_PROMPT)[1].margin < SURE:
        reason = "the reference is not sure of its answer"
    if reason:
        return Outcome(Part.PAGE, "question about an image", CheckVerdict.NOT_RUN, reason)
    # drives a browser through a package that a machine without one need not have
    from recipes.conformance.checks.web_page import look_at_page

    prompt, case = inputs.case(WEB_PROMPT)
    screenshot = inputs.work / SCREENSHOT
    return look_at_page(base, images_of(prompt)[0], prompt.question, case.answer, screenshot, find_browser())
