"""What every check works with: the llama.cpp that is judged, the model files, and what the reference says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.conformance.results.outcome import Outcome, Part, Verdict
from recipes.evalset.prompts import Prompt, png
from recipes.evalset.render import draw
from recipes.serve.llamacpp.installation import SERVER
from recipes.serve.llamacpp.server import Server, assistant, serve, user

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Any

    from recipes.conformance.results.result import Distance, Exhibit
    from recipes.evalset.golden import Golden, GoldenCase
    from recipes.serve.llamacpp.installation import Installation

CONTEXT_TOKENS = 4096
STRICT = ("-fa", "off", "-ctk", "f32", "-ctv", "f32")  # so that the language model computes in f32 throughout
SURE = 1.0  # a lead over the runner-up, in natural logarithms, that no known grade of deviation turns around
STARTS_S = 60.0
# llama.cpp's threads wait for each other by spinning: on a busy machine two of them take a hundred times as long as
# one. The pocket model needs no more than one; the server's own default is tried where many ask at once.
THREADS = "1"


@dataclass(frozen=True)
class Context:
    """One judgement.

    Parameters
    ----------
    subject
        What is judged.
    model, mmproj
        The files.
    golden
        What the reference says of them.
    prompts
        Those of the golden cases, in the same order.
    work
        An empty folder.
    with_page
        Whether the web page is looked at.
    """

    subject: Installation
    model: Path
    mmproj: Path
    golden: Golden
    prompts: tuple[Prompt, ...]
    work: Path
    with_page: bool = True

    def server(
        self, *more: str, model: Path | None = None, mmproj: Path | None = None, text_only: bool = False
    ) -> AbstractContextManager[Server]:
        """Start the subject's server on files (default: the pinned ones); options that it does not know are left out.

        Parameters
        ----------
        more
            Further arguments.
        model, mmproj
            Other files.
        text_only
            Without the projector.
        """
        files = (model or self.model, None if text_only else mmproj or self.mmproj)
        return start_server(self.subject, *files, self.work, more)

    def case(self, name: str) -> tuple[Prompt, GoldenCase]:
        """Give a prompt and what the reference says to it, by its name."""
        return next(pair for pair in self.pairs if pair[0].name == name)

    @property
    def pairs(self) -> tuple[tuple[Prompt, GoldenCase], ...]:
        """Each prompt with what the reference says to it."""
        return tuple(zip(self.prompts, self.golden.cases, strict=True))


@dataclass(frozen=True)
class Findings:
    """What a check gives: outcomes, and what goes with them into the report."""

    outcomes: tuple[Outcome, ...]
    exhibits: tuple[Exhibit, ...] = ()
    distances: tuple[Distance, ...] = ()

    def __add__(self, other: Findings) -> Findings:
        """Give both."""
        return Findings(
            self.outcomes + other.outcomes, self.exhibits + other.exhibits, self.distances + other.distances
        )


def start_server(
    subject: Installation, model: Path, mmproj: Path | None, work: Path, more: Sequence[str]
) -> AbstractContextManager[Server]:
    """Start a subject's server; options that it does not know are left out.

    Parameters
    ----------
    subject
        Whose it is.
    model, mmproj
        The files; without a projector it takes text alone.
    work
        Where it runs.
    more
        Further arguments.
    """
    path = subject.path(SERVER)
    if path is None:
        raise FileNotFoundError(SERVER)
    arguments = ["-m", str(model), "-t", THREADS, "--temp", "0"]
    if mmproj is not None:
        arguments += ["--mmproj", str(mmproj)]
    if "-c" not in more:
        arguments += ["-c", str(CONTEXT_TOKENS)]
    if "-np" not in more:
        arguments += ["-np", "1"]
    # the warm-up encodes an image of thousands of patches: seconds for each server, and it proves nothing
    arguments += [option for option in ("--no-warmup",) if option in subject.server_options]
    return serve(path, (*arguments, *subject.model_options, *more), work, timeout_s=STARTS_S)


def judged(
    part: Part, name: str, *, is_right: bool, words: str, suspect: str = "", **figures: float | str
) -> Outcome:
    """Give an outcome that passed or failed; what to suspect is said only where it failed."""
    verdict = Verdict.PASSED if is_right else Verdict.FAILED
    return Outcome(part, name, verdict, words, "" if is_right else suspect, figures)


def pictures(prompt: Prompt) -> tuple[bytes, ...]:
    """Give a prompt's images as PNG files."""
    return tuple(png(draw(scene)) for scene in prompt.scenes)


def messages(prompt: Prompt) -> list[dict[str, Any]]:
    """Give a prompt as the OpenAI API takes it."""
    listed = []
    for index, turn in enumerate(prompt.turns):
        listed.append(user(*(part if isinstance(part, str) else png(draw(part)) for part in turn.parts)))
        if index + 1 < len(prompt.turns):
            listed.append(assistant(turn.answer))
    return listed
