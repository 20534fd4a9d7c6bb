"""Compares the first token's probabilities with the reference, and says by which known deviations they leave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.conformance.results.context import STRICT, Findings, messages
from recipes.conformance.results.numerics import Explained, account, difference, explain
from recipes.conformance.results.outcome import Outcome, Part, Verdict
from recipes.conformance.results.result import Distance
from recipes.models.gguf.rewrite import write_f32
from recipes.serve.llamacpp.server import ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from recipes.conformance.results.context import Context
    from recipes.evalset.golden import Deviation, GoldenCase
    from recipes.serve.llamacpp.server import Server

QUANTISE_S = 60.0
# Of a difference: what a fault may leave unexplained and still be named; it fails either way.
FAULTY_REST = 0.05
CHOICES = 512  # the whole vocabulary of the pocket model


@dataclass(frozen=True)
class Kind:
    """One way to run the model.

    Parameters
    ----------
    weights
        The type of its matrices.
    strict
        Whether the language model computes in f32 throughout.
    tolerance
        How far a logarithm may be off, once the known deviations are taken into account.
    """

    weights: str
    strict: bool
    tolerance: float

    @property
    def setting(self) -> str:
        """Its name."""
        return "strict" if self.strict else "default"


# At least twice what b7827 and Debian's 0.7.0 leave, on an AMD EPYC with AVX-512; other processors round otherwise.
KINDS = (
    Kind("f32", strict=True, tolerance=0.02),
    Kind("f32", strict=False, tolerance=0.03),
    Kind("f16", strict=True, tolerance=0.03),
    Kind("f16", strict=False, tolerance=0.05),
    Kind("Q8_0", strict=False, tolerance=0.5),
    Kind("Q4_K_S", strict=False, tolerance=2.5),
)
# The noise of coarser types drowns what tells deviations apart; theirs are those of f16 and f32.
EXPLAINING = frozenset({"f32", "f16"})


def check(context: Context, cases: Sequence[str], kinds: Sequence[Kind] = KINDS) -> Findings:
    """Judge each kind of weights and setting.

    Parameters
    ----------
    context
        The judgement.
    cases
        Names of those that are compared.
    kinds
        Which to judge.
    """
    exact = write_f32(context.model, context.work / "model-f32.gguf")
    exact_mmproj = write_f32(context.mmproj, context.work / "mmproj-f32.gguf")
    found = Findings(())
    known: Sequence[Deviation] = ()
    for kind in kinds:
        try:
            model = model_of(context, kind, exact)
        except (FileNotFoundError, RuntimeError) as error:
            found += Findings((Outcome(Part.NUMERICS, name_of(kind), Verdict.NOT_RUN, str(error)),))
            continue
        mmproj = exact_mmproj if kind.weights == "f32" else context.mmproj
        measured = measure(context, kind, model, mmproj, cases)
        if isinstance(measured, str):
            words = (measured, "the server does not answer")
            found += Findings((Outcome(Part.NUMERICS, name_of(kind), Verdict.FAILED, *words),))
            continue
        judged = [case for case in context.golden.cases if case.name in measured]
        if kind.weights in EXPLAINING:
            explained = explain(measured, judged, context.golden.deviations, kind.tolerance)
            known = [deviation for deviation, _ in explained.deviations]
        else:
            explained = account(measured, judged, known, kind.tolerance)
        found += judge(kind, judged, measured, explained)
    return found


def name_of(kind: Kind) -> str:
    """Give the check's name."""
    return f"{kind.weights}, {kind.setting} setting"


def model_of(context: Context, kind: Kind, exact: Path) -> Path:
    """Give the model in a type, made with the subject's own llama-quantize where it is a quantised one.

    Raises
    ------
    FileNotFoundError
        Where the subject has no llama-quantize.
    RuntimeError
        Where it fails.
    """
    if kind.weights in EXPLAINING:
        return exact if kind.weights == "f32" else context.model
    target = context.work / f"model-{kind.weights}.gguf"
    if context.subject.path("llama-quantize") is None:
        raise FileNotFoundError("there is no llama-quantize to make it with")
    done = context.subject.run(
        "llama-quantize", (str(exact), str(target), kind.weights), context.work, QUANTISE_S
    )
    if done.status != 0:
        raise RuntimeError(f"llama-quantize ended with status {done.status}: {done.err[-300:]}")
    return target


def measure(
    context: Context, kind: Kind, model: Path, mmproj: Path, cases: Sequence[str]
) -> dict[str, dict[str, float]] | str:
    """Give for each case the logarithm of each first token that the server lists; or why that could not be had."""
    try:
        with context.server(*(STRICT if kind.strict else ()), model=model, mmproj=mmproj) as server:
            return {name: first_tokens(context, server, name) for name in cases}
    except ServerError as error:
        return str(error)


def first_tokens(context: Context, server: Server, name: str) -> dict[str, float]:
    """Give the logarithm of each first token of a case's answer; of tokens with the same text the likeliest."""
    prompt, _ = context.case(name)
    reply = server.chat(messages(prompt), max_tokens=1, choices=CHOICES)
    found: dict[str, float] = {}
    for choice in reply.first:
        found.setdefault(choice.text, choice.logprob)
    return found


def judge(
    kind: Kind, cases: Sequence[GoldenCase], measured: Mapping[str, Mapping[str, float]], explained: Explained
) -> Findings:
    """Say what the differences mean."""
    distances = tuple(distance(kind, case, measured[case.name], explained) for case in cases)
    return Findings((outcome(kind, explained, cases, distances),), (), distances)


def distance(kind: Kind, case: GoldenCase, measured: Mapping[str, float], explained: Explained) -> Distance:
    """Give one case's distance from the reference, before and after it is explained."""
    names = frozenset(deviation.name for deviation, _ in explained.deviations)
    tipped = [one.left for one in explained.tipped if one.case == case.name]
    left = tipped[0] if tipped else difference(measured, case.tokens, case.with_deviations(names))
    return Distance(
        case=case.name,
        weights=kind.weights,
        setting=kind.setting,
        resized=case.resized,
        size=difference(measured, case.tokens, case.with_deviations(frozenset())),
        explained=left,
    )


def outcome(
    kind: Kind, explained: Explained, cases: Sequence[GoldenCase], distances: Sequence[Distance]
) -> Outcome:
    """Judge one kind: a fault fails, what nothing explains fails, a known grade is named with its size."""
    figures: dict[str, float | int | str] = {
        "largest difference": round(explained.before, 4),
        "left unexplained": round(explained.after, 4),
        "tolerance": kind.tolerance,
    }
    figures |= {
        f"largest, {label}": round(max((d.size for d in distances if d.resized is resized), default=0.0), 4)
        for label, resized in (("no resize", False), ("resized", True))
    }
    figures |= {deviation.name: round(size, 4) for deviation, size in explained.deviations}
    faults = [deviation for deviation, _ in explained.deviations if deviation.fails]
    grades = [
        f"{deviation.words} ({size:.3f})" for deviation, size in explained.deviations if not deviation.fails
    ]
    grades += [
        f"in `{one.case}` layer {one.tie.layer} takes another expert for token {one.tie.token}, which"
        f" {one.tie.gap:.1e} of probability keep apart ({one.size:.3f})"
        for one in explained.tipped
    ]
    name = name_of(kind)
    named = max(kind.tolerance, FAULTY_REST * explained.before) if faults else kind.tolerance
    if explained.after > named:
        words = (
            f"logarithms of probability are up to {explained.before:.3f} off,"
            f" and no known deviation explains it: {explained.after:.3f} is left, in `{explained.worst}`"
        )
        where = (
            suspect(cases, distances, kind.tolerance) if kind.weights in EXPLAINING else coarse_suspect(kind)
        )
        return Outcome(Part.NUMERICS, name, Verdict.FAILED, words, where, figures)
    if faults:
        words = "; ".join(fault.words for fault in faults) + f": up to {explained.before:.3f} off"
        return Outcome(
            Part.NUMERICS, name, Verdict.FAILED, words, "; ".join(f.where for f in faults), figures
        )
    if grades:
        words = f"up to {explained.before:.3f} off; known: {'; '.join(grades)}; {explained.after:.4f} is left"
        return Outcome(Part.NUMERICS, name, Verdict.DEVIATES, words, "", figures)
    return Outcome(Part.NUMERICS, name, Verdict.PASSED, f"at most {explained.before:.4f} off", "", figures)


def coarse_suspect(kind: Kind) -> str:
    """Say where to look where the weights are too coarse to tell."""
    return f"what f32 and f16 are off by; where they are right, llama-quantize or the products with {kind.weights}"


def suspect(cases: Sequence[GoldenCase], distances: Sequence[Distance], tolerance: float) -> str:
    """Say where to look: by which kinds of prompts are off."""
    by_name = {item.case: item.explained for item in distances}
    off = [case for case in cases if by_name[case.name] > tolerance]
    if any(not case.with_images for case in off):
        return "the language model: text alone is off too (rotary embedding, router, experts, attention)"
    if all(case.resized for case in off):
        return "how images are resized: only those that need it are off"
    return "the projector or how images reach the model: text alone is right"
