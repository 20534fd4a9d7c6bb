"""What a difference from the reference means: passed, a known deviation, a fault by name, or unexplained."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from recipes.conformance.checks import numerics
from recipes.conformance.checks.numerics import FAULTY_REST, PRECISIONS, Precision, answers_outcome, outcome
from recipes.conformance.results.numerics import Explained, Tipped
from recipes.conformance.results.outcome import CheckVerdict, Outcome
from recipes.conformance.results.result import Distance
from recipes.evalset.golden import Deviation, GoldenCase, NearTie
from recipes.serve.llamacpp.server import ChatReply, TokenChoice

if TYPE_CHECKING:
    from pathlib import Path

FAILED = CheckVerdict.FAILED
EXACT = Precision("f32", strict=True, tolerance=0.01)
COARSE = Precision("Q8_0", strict=False, tolerance=0.5)
GRADE = Deviation(name="resize", words="images are resized otherwise", where="clip.cpp")
FAULT = Deviation(name="attention", words="tokens see later ones", where="mtmd", fails=True)


def case(name: str, *, with_images: bool, resized: bool) -> GoldenCase:
    return GoldenCase(
        name=name,
        with_images=with_images,
        resized=resized,
        prompt_tokens=9,
        answer="red",
        margin=5.0,
        tokens=("red",),
        logprobs={"": (-0.1,)},
    )


CASES = [
    case("text", with_images=False, resized=False),
    case("one", with_images=True, resized=False),
    case("odd", with_images=True, resized=True),
]


def checked(precision: Precision, explained: Explained, *off: str) -> Outcome:
    distances = [
        Distance(
            one.name,
            precision.weights,
            precision.setting,
            one.resized,
            explained.before,
            float(one.name in off),
        )
        for one in CASES
    ]
    return outcome(precision, explained, CASES, distances)


TIE = Tipped("one", NearTie(layer=0, token=17, gap=5.79e-5, logprobs={}), 0.09, 0.0004)
LITTLE, MUCH = (share * FAULTY_REST * 12.9 for share in (0.99, 1.01))


@pytest.mark.parametrize(
    ("precision", "explained", "off", "verdict", "key_words", "suspect"),
    [
        (EXACT, Explained((), 0.01, 0.01, "one"), (), CheckVerdict.PASSED, "0.0100", ""),
        (
            EXACT,
            Explained(((GRADE, 0.4),), 0.41, 0.002, "odd"),
            (),
            CheckVerdict.DEVIATES,
            "otherwise (0.400)",
            "",
        ),
        (EXACT, Explained((), 0.09, 0.0005, "odd", (TIE,)), (), CheckVerdict.DEVIATES, "`one` layer 0", ""),
        (EXACT, Explained(((FAULT, 1.5), (GRADE, 0.4)), 1.6, 0.002, "odd"), (), FAILED, "later ones", "mtmd"),
        # a fault that leaves a small share is named; one that leaves more is not, and a grade has no such allowance
        (EXACT, Explained(((FAULT, 12.0),), 12.9, LITTLE, "one"), (), FAILED, "later ones", "mtmd"),
        (EXACT, Explained(((FAULT, 12.0),), 12.9, MUCH, "one"), ("one", "odd"), FAILED, "`one`", "projector"),
        (EXACT, Explained(((GRADE, 12.0),), 12.9, 0.0101, "odd"), ("odd",), FAILED, "`odd`", "resized"),
        (EXACT, Explained((), 1.0, 1.0, "text"), ("text", "one"), FAILED, "`text`", "the language model"),
        (COARSE, Explained((), 1.0, 1.0, "one"), ("one",), FAILED, "`one`", "what f32 and f16 are off by"),
    ],
    ids=(
        *("within the tolerance", "known deviation", "near tie", "fault", "fault with a small rest"),
        *("fault with a large rest", "deviation with a rest", "text is off too", "coarse weights"),
    ),
)
def test_a_difference_passes_deviates_or_fails_with_the_place_to_look(  # noqa: PLR0913, PLR0917 - one table
    precision: Precision,
    explained: Explained,
    off: tuple[str, ...],
    verdict: CheckVerdict,
    key_words: str,
    suspect: str,
) -> None:
    found = checked(precision, explained, *off)
    assert found.verdict is verdict
    assert key_words in found.words
    assert suspect in found.suspect
    assert bool(found.suspect) is (verdict is FAILED)


@pytest.mark.parametrize(
    ("strict", "verdict"),
    [
        ({"red": -0.1}, CheckVerdict.PASSED),  # exact: what the default setting is off by is its own noise
        ({"red": -0.1, "blue": -2.997}, CheckVerdict.DEVIATES),
        ("the server is gone", CheckVerdict.DEVIATES),  # not known: any deviation may be there
    ],
)
def test_the_default_setting_has_no_deviation_that_the_strict_one_does_not_have(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    strict: dict[str, float] | str,
    verdict: CheckVerdict,
) -> None:
    small = Deviation(name="gelu", words="tanh", where="qwen3vl.cpp")
    golden_case = GoldenCase(
        name="one",
        with_images=True,
        resized=False,
        prompt_tokens=9,
        answer="red",
        margin=5.0,
        tokens=("red", "blue"),
        logprobs={"": (-0.1, -3.0), "gelu": (-0.1, -2.997)},
    )
    golden = SimpleNamespace(cases=(golden_case,), deviations=(small,))
    inputs: Any = SimpleNamespace(golden=golden, work=tmp_path, model=tmp_path, mmproj=tmp_path)
    noisy = {"red": -0.1, "blue": -2.984}  # 0.016 off, and 0.013 from the deviation

    def measured(_: object, precision: Precision, *_more: object) -> dict[str, ChatReply] | str:
        given = strict if precision.strict else noisy
        if isinstance(given, str):
            return given
        first = tuple(TokenChoice(*item) for item in ({"blue": -3.0} | given).items())
        return {"one": ChatReply("red", first)}

    monkeypatch.setattr(numerics, "write_f32", lambda _, path: path)
    monkeypatch.setattr(numerics, "measure", measured)
    found = numerics.check(inputs, ["one"], PRECISIONS[:2])
    assert found.outcomes[1].name == "f32, default setting"
    assert found.outcomes[1].verdict is verdict


@pytest.mark.parametrize(
    ("margins", "given", "verdict", "key_words"),
    [
        # Q8_0 may be off by 0.5: of a lead of 1 the reference is not sure enough
        ((5.0, 1.0, 1.1), ("red", "blue", "red"), CheckVerdict.PASSED, "2 sure answers of 3"),
        ((5.0, 1.0, 1.1), ("red", "blue", "blue"), FAILED, "`odd`: 'blue' instead of 'red'"),
        ((1.0, 0.5, 0.0), ("red", "red", "red"), FAILED, "0 sure answers"),
    ],
)
def test_quantised_weights_give_the_answers_of_which_the_reference_is_sure(
    margins: tuple[float, ...], given: tuple[str, ...], verdict: CheckVerdict, key_words: str
) -> None:
    cases = [structs.replace(one, margin=margin) for one, margin in zip(CASES, margins, strict=True)]
    answers = dict(zip((one.name for one in CASES), given, strict=True))
    found = answers_outcome(COARSE, cases, answers)
    assert (found.name, found.verdict) == ("Q8_0, answers", verdict)
    assert key_words in found.words
