"""Compares the first token's probabilities with the reference, and says by which known deviations they leave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.conformance.results.inputs import STRICT, SURE, Findings, messages, pass_or_fail
from recipes.conformance.results.numerics import Explained, account, candidates, difference, explain
from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part
from recipes.conformance.results.result import Distance
from recipes.models.gguf.rewrite import write_f32
from recipes.serve.llamacpp.server import ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from recipes.conformance.results.inputs import CheckInputs
    from recipes.evalset.golden import Deviation, GoldenCase
    from recipes.serve.llamacpp.server import ChatReply, Server

QUANTISE_S = 60.0
# Of a difference: what a fault may leave unexplained and still be named; it fails either way.
FAULTY_REST = 0.05
ANSWER_TOKENS = 16  # more than any answer has
CHOICES = 544  # every row of the pocket model's embedding


@dataclass(frozen=True)
class Precision:
    """One way to run the model: the type of its matrices, and how it computes; `strict` in f32 throughout.

    The tolerance is how far a logarithm may be off, once the known deviations are taken into account.
    """

    weights: str
    strict: bool
    tolerance: float

    @property
    def setting(self) -> str:
        """Return `strict` or `default`."""
        return "strict" if self.strict else "default"

    @property
    def name(self) -> str:
        """Return the name of its check."""
        return f"{self.weights}, {self.setting} setting"

    @property
    def tells_deviations(self) -> bool:
        """Return whether it tells deviations apart; the noise of coarser types drowns what does."""
        return self.weights in {"f32", "f16"}

    @property
    def sure(self) -> float:
        """Return the lead that an answer needs to be the reference's: two logarithms may be off by the tolerance."""
        return max(SURE, 2 * self.tolerance)


# At least twice what b7827 and Debian's 0.7.0 leave, on an AMD EPYC with AVX-512; other processors round otherwise.
PRECISIONS = (
    Precision("f32", strict=True, tolerance=0.02),
    Precision("f32", strict=False, tolerance=0.03),
    Precision("f16", strict=True, tolerance=0.03),
    Precision("f16", strict=False, tolerance=0.05),
    Precision("Q8_0", strict=False, tolerance=0.5),
    # of the pocket model's tensors: the experts' gate and up are Q4_K, down is Q5_0 and Q8_0, since its rows are short
    Precision("Q4_K_M", strict=False, tolerance=2.5),
)


def check(
    inputs: CheckInputs, cases: Sequence[str], precisions: Sequence[Precision] = PRECISIONS
) -> Findings:
    """Compare each precision with the reference."""
    exact = write_f32(inputs.model, inputs.work / "model-f32.gguf")
    exact_mmproj = write_f32(inputs.mmproj, inputs.work / "mmproj-f32.gguf")
    found = Findings(())
    known: Sequence[Deviation] = ()
    # what was found in the strict setting, by the type of the weights
    strict: dict[str, Sequence[Deviation]] = {}
    for precision in precisions:
        try:
            model = model_of(inputs, precision, exact)
        except (FileNotFoundError, RuntimeError) as error:
            found += Findings((_outcome(precision, CheckVerdict.NOT_RUN, str(error)),))
            continue
        mmproj = exact_mmproj if precision.weights == "f32" else inputs.mmproj
        replies = measure(inputs, precision, model, mmproj, cases)
        if isinstance(replies, str):
            failed = _outcome(precision, CheckVerdict.FAILED, replies, "the server does not answer")
            found += Findings((failed,))
            continue
        measured = {name: reply.logprobs for name, reply in replies.items()}
        compared = [case for case in inputs.golden.cases if case.name in measured]
        if precision.tells_deviations:
            may_be = inputs.golden.deviations
            if not precision.strict:
                may_be = tuple(candidates(may_be, strict.get(precision.weights)))
            explained = explain(measured, compared, may_be, precision.tolerance)
            known = [deviation for deviation, _ in explained.deviations]
            if precision.strict:
                strict[precision.weights] = known
        else:  # its deviations are those of f16 and f32
            explained = account(measured, compared, known, precision.tolerance)
        found += compare(precision, compared, measured, explained)
        if not precision.tells_deviations:
            given = {name: reply.text.strip() for name, reply in replies.items()}
            found += Findings((answers_outcome(precision, compared, given),))
    return found


def model_of(inputs: CheckInputs, precision: Precision, exact: Path) -> Path:
    """Return the model in a type, made with the subject's own llama-quantize where it is a quantised one.

    A FileNotFoundError is raised where the subject has no llama-quantize, a RuntimeError where that fails.
    """
    if precision.tells_deviations:
        return exact if precision.weights == "f32" else inputs.model
    target = inputs.work / f"model-{precision.weights}.gguf"
    if inputs.subject.path("llama-quantize") is None:
        raise FileNotFoundError("there is no llama-quantize to make it with")
    done = inputs.subject.run(
        "llama-quantize", (str(exact), str(target), precision.weights), inputs.work, QUANTISE_S
    )
    if done.status != 0:
        raise RuntimeError(f"llama-quantize ended with status {done.status}: {done.err[-300:]}")
    return target


def measure(
    inputs: CheckInputs, precision: Precision, model: Path, mmproj: Path, cases: Sequence[str]
) -> dict[str, ChatReply] | str:
    """Return for each case the reply, with the logarithm of each first token that the server lists; or why not."""
    try:
        with inputs.server(*(STRICT if precision.strict else ()), model=model, mmproj=mmproj) as server:
            return {name: ask(inputs, precision, server, name) for name in cases}
    except ServerError as error:
        return str(error)


def ask(inputs: CheckInputs, precision: Precision, server: Server, name: str) -> ChatReply:
    """Return the reply to a case: the first token, and with quantised weights the whole answer."""
    prompt, case = inputs.case(name)
    is_whole = not precision.tells_deviations and case.margin > precision.sure
    return server.chat(messages(prompt), max_tokens=ANSWER_TOKENS if is_whole else 1, choices=CHOICES)


def answers_outcome(precision: Precision, cases: Sequence[GoldenCase], given: Mapping[str, str]) -> Outcome:
    """Return whether quantised weights give each answer of which the reference is surer than their noise."""
    sure = [case for case in cases if case.margin > precision.sure]
    wrong = [
        f"`{case.name}`: {given[case.name]!r} instead of {case.answer!r}"
        for case in sure
        if given[case.name] != case.answer
    ]
    return pass_or_fail(
        Part.NUMERICS,
        f"{precision.weights}, answers",
        is_right=bool(sure) and not wrong,
        words="; ".join(wrong)
        or f"{len(sure)} sure answers of {len(cases)} prompts: all equal the reference's",
        suspect=suspect(precision, (), ()),
        sure=len(sure),
    )


def compare(
    precision: Precision,
    cases: Sequence[GoldenCase],
    measured: Mapping[str, Mapping[str, float]],
    explained: Explained,
) -> Findings:
    """Return the outcome of one precision, with each case's distance."""
    distances = tuple(distance(precision, case, measured[case.name], explained) for case in cases)
    return Findings((outcome(precision, explained, cases, distances),), (), distances)


def distance(
    precision: Precision, case: GoldenCase, measured: Mapping[str, float], explained: Explained
) -> Distance:
    """Return one case's distance from the reference, before and after it is explained."""
    names = frozenset(deviation.name for deviation, _ in explained.deviations)
    tipped = [one.left for one in explained.tipped if one.case == case.name]
    left = tipped[0] if tipped else difference(measured, case.tokens, case.with_deviations(names))
    return Distance(
        case=case.name,
        weights=precision.weights,
        setting=precision.setting,
        resized=case.resized,
        size=difference(measured, case.tokens, case.with_deviations(frozenset())),
        explained=left,
    )


def outcome(
    precision: Precision, explained: Explained, cases: Sequence[GoldenCase], distances: Sequence[Distance]
) -> Outcome:
    """Return one precision's outcome: faults and unexplained differences fail, known deviations are named."""
    figures: dict[str, float | int | str] = {
        "largest difference": round(explained.before, 4),
        "left unexplained": round(explained.after, 4),
        "tolerance": precision.tolerance,
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
    named = max(precision.tolerance, FAULTY_REST * explained.before) if faults else precision.tolerance
    if explained.after > named:
        words = (
            f"logarithms of probability are up to {explained.before:.3f} off,"
            f" and no known deviation explains it: {explained.after:.3f} is left, in `{explained.worst}`"
        )
        return _outcome(precision, CheckVerdict.FAILED, words, suspect(precision, cases, distances), figures)
    if faults:
        words = "; ".join(fault.words for fault in faults) + f": up to {explained.before:.3f} off"
        places = "; ".join(fault.where for fault in faults)
        return _outcome(precision, CheckVerdict.FAILED, words, places, figures)
    if grades:
        words = f"up to {explained.before:.3f} off; known: {'; '.join(grades)}; {explained.after:.4f} is left"
        return _outcome(precision, CheckVerdict.DEVIATES, words, figures=figures)
    words = f"at most {explained.before:.4f} off"
    return _outcome(precision, CheckVerdict.PASSED, words, figures=figures)


def _outcome(
    precision: Precision,
    verdict: CheckVerdict,
    words: str,
    where: str = "",
    figures: Mapping[str, float | int | str] | None = None,
) -> Outcome:
    return Outcome(Part.NUMERICS, precision.name, verdict, words, where, figures or {})


def suspect(precision: Precision, cases: Sequence[GoldenCase], distances: Sequence[Distance]) -> str:
    """Return where to look, by which kinds of prompts are off; coarse weights cannot tell."""
    if not precision.tells_deviations:
        return (
            "what f32 and f16 are off by; where they are right, llama-quantize or the products"
            f" with {precision.weights}"
        )
    by_name = {item.case: item.explained for item in distances}
    off = [case for case in cases if by_name[case.name] > precision.tolerance]
    if any(not case.with_images for case in off):
        return "the language model: text alone is off too (rotary embedding, router, experts, attention)"
    if all(case.resized for case in off):
        return "how images are resized: only those that need it are off"
    return "the projector or how images reach the model: text alone is right"
