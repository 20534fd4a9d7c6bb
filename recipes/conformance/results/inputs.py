"""What every check works with: the llama.cpp under test, the model files, and what the reference says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.conformance.results.model_choice import reference_of, verified_files
from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part
from recipes.evalset.clips import Clip
from recipes.evalset.golden import read_golden, verify_golden
from recipes.evalset.prompts import Prompt, compared, compared_clips, digest, everything, png
from recipes.evalset.render import draw
from recipes.models.files import default_model
from recipes.serve.llamacpp.installation import SERVER
from recipes.serve.llamacpp.server import Server, VideoFrames, assistant, serve, user

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Any

    from recipes.conformance.results.result import Distance, Exhibit
    from recipes.evalset.golden import Golden, GoldenCase
    from recipes.evalset.render import Scene
    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Model
    from recipes.serve.llamacpp.installation import Installation

CONTEXT_TOKENS = 4096
STRICT = ("-fa", "off", "-ctk", "f32", "-ctv", "f32")  # so that the language model computes in f32 throughout
SURE = 1.0  # a lead over the runner-up, in natural logarithms, that no known grade of deviation turns around
STARTS_S = 60.0
# llama.cpp's threads wait for each other by spinning: on a busy machine two of them take a hundred times as long as
# one. The pocket model needs no more than one; the server's own default is tried where many ask at once.
THREADS = "1"


@dataclass(frozen=True)
class CheckInputs:
    """The llama.cpp under test (`subject`), the model files, and the reference's answers (`golden`)."""

    subject: Installation
    model: Path
    mmproj: Path
    golden: Golden
    prompts: tuple[Prompt, ...]  # those of the golden cases, in the same order
    work: Path  # an empty folder
    with_page: bool = True  # whether the web page is looked at

    def server(
        self, *more: str, model: Path | None = None, mmproj: Path | None = None, text_only: bool = False
    ) -> AbstractContextManager[Server]:
        """Start the subject's server with `more` arguments, on the pinned files or on others."""
        files = (model or self.model, None if text_only else mmproj or self.mmproj)
        return start_server(self.subject, *files, self.work, more)

    def case(self, name: str) -> tuple[Prompt, GoldenCase]:
        """Return a prompt and what the reference says to it, by its name."""
        return next(pair for pair in self.pairs if pair[0].name == name)

    @property
    def pairs(self) -> tuple[tuple[Prompt, GoldenCase], ...]:
        """Each prompt with what the reference says to it."""
        return tuple(zip(self.prompts, self.golden.cases, strict=True))

    @property
    def clip_pairs(self) -> tuple[tuple[Prompt, GoldenCase], ...]:
        """Each prompt about clips with what the reference says to it."""
        return tuple(zip(compared_clips(), self.golden.clips, strict=True))


@dataclass(frozen=True)
class ReferenceModel:
    """A model whose files are the pinned ones, and the reference's answers to exactly these files."""

    manifest: Model
    files: Mapping[str, Path]
    golden: Golden

    def inputs(self, subject: Installation, work: Path, *, with_page: bool = True) -> CheckInputs:
        """Return what the checks of a subject work with."""
        return CheckInputs(
            subject, self.files["model"], self.files["mmproj"], self.golden, compared(), work, with_page
        )


def load_reference_model(manifests: Manifests, name: str | None = None) -> ReferenceModel:
    """Verify the files of a model (by default, the default one), and read the reference's answers.

    A PinMissingError is raised where there is no such model, or no reference for it; a VerifyError where a file is
    not the pinned one, or the reference was asked about other files or prompts.
    """
    model = manifests.model(name) if name else default_model(manifests)
    golden_path = reference_of(manifests, model)
    files = verified_files(manifests, model)
    golden = read_golden(golden_path)
    verify_golden(golden, files["model"], files["mmproj"], digest(everything()))
    return ReferenceModel(model, files, golden)


@dataclass(frozen=True)
class Findings:
    """The result of a check: outcomes, and what goes with them into the report."""

    outcomes: tuple[Outcome, ...]
    exhibits: tuple[Exhibit, ...] = ()
    distances: tuple[Distance, ...] = ()

    def __add__(self, other: Findings) -> Findings:
        """Return the findings of both."""
        return Findings(
            self.outcomes + other.outcomes, self.exhibits + other.exhibits, self.distances + other.distances
        )


def start_server(
    subject: Installation, model: Path, mmproj: Path | None, work: Path, more: Sequence[str]
) -> AbstractContextManager[Server]:
    """Start a subject's server in the folder `work`; without a projector it takes text alone."""
    path = subject.path(SERVER)
    if path is None:
        raise FileNotFoundError(SERVER)
    return serve(path, server_arguments(subject, model, mmproj, more), work, timeout_s=STARTS_S)


def server_arguments(
    subject: Installation, model: Path, mmproj: Path | None, more: Sequence[str]
) -> tuple[str, ...]:
    """Return the arguments of a subject's server for the checks, without host and port."""
    arguments = ["-m", str(model), "-t", THREADS, "--temp", "0"]
    if mmproj is not None:
        arguments += ["--mmproj", str(mmproj)]
    if "-c" not in more:
        arguments += ["-c", str(CONTEXT_TOKENS)]
    if "-np" not in more:
        arguments += ["-np", "1"]
    # the warm-up encodes an image of thousands of patches: seconds for each server, and it proves nothing
    arguments += [option for option in ("--no-warmup",) if option in subject.server_options]
    return (*arguments, *subject.model_options, *more)


def pass_or_fail(
    part: Part, name: str, *, is_right: bool, words: str, suspect: str = "", **figures: float | str
) -> Outcome:
    """Return an outcome that passed or failed; what to suspect is said only where it failed."""
    verdict = CheckVerdict.PASSED if is_right else CheckVerdict.FAILED
    return Outcome(part, name, verdict, words, "" if is_right else suspect, figures)


def wrong_answer(case: GoldenCase, given: str) -> str:
    """Return what is wrong with an answer; nothing where it is the reference's, or the reference is not sure."""
    if case.margin < SURE or given.strip() == case.answer:
        return ""
    return f"`{case.name}`: {given!r} instead of {case.answer!r}"


def images_of(prompt: Prompt) -> tuple[bytes, ...]:
    """Return a prompt's images, and the frames of its clips, as PNG files."""
    parts = (part for turn in prompt.turns for part in turn.parts if not isinstance(part, str))
    scenes = (scene for part in parts for scene in (part.frames if isinstance(part, Clip) else (part,)))
    return tuple(png(draw(scene)) for scene in scenes)


def _sent(part: Scene | Clip | str) -> str | bytes | VideoFrames:
    if isinstance(part, str):
        return part
    if isinstance(part, Clip):
        return VideoFrames(tuple(png(draw(frame)) for frame in part.frames), part.fps, part.indices)
    return png(draw(part))


def messages(prompt: Prompt) -> list[dict[str, Any]]:
    """Return a prompt as the OpenAI API takes it."""
    listed = []
    for index, turn in enumerate(prompt.turns):
        listed.append(user(*map(_sent, turn.parts)))
        if index + 1 < len(prompt.turns):
            listed.append(assistant(turn.answer))
    return listed
