"""What a difference from the reference means: passed, a known deviation, a fault by name, or unexplained."""

from __future__ import annotations

from recipes.conformance.checks.numerics import FAULTY_REST, Kind, coarse_suspect, outcome
from recipes.conformance.results.numerics import Explained, Tipped
from recipes.conformance.results.outcome import Outcome, Verdict
from recipes.conformance.results.result import Distance
from recipes.evalset.golden import Deviation, GoldenCase, NearTie

EXACT = Kind("f32", strict=True, tolerance=0.01)
COARSE = Kind("Q8_0", strict=False, tolerance=0.5)
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


def judged(kind: Kind, explained: Explained, *off: str) -> Outcome:
    distances = [
        Distance(one.name, kind.weights, kind.setting, one.resized, explained.before, float(one.name in off))
        for one in CASES
    ]
    return outcome(kind, explained, CASES, distances)


def test_what_is_within_the_tolerance_passes() -> None:
    found = judged(EXACT, Explained((), 0.01, 0.01, "one"))
    assert (found.verdict, found.words) == (Verdict.PASSED, "at most 0.0100 off")


def test_a_known_deviation_is_a_grade_with_its_size() -> None:
    found = judged(EXACT, Explained(((GRADE, 0.4),), 0.41, 0.002, "odd"))
    assert found.verdict is Verdict.DEVIATES
    assert found.words == "up to 0.410 off; known: images are resized otherwise (0.400); 0.0020 is left"


def test_a_near_tie_that_fell_the_other_way_is_named_with_its_place_and_size() -> None:
    tie = NearTie(layer=0, token=17, gap=5.79e-5, logprobs={})
    found = judged(EXACT, Explained((), 0.09, 0.0005, "odd", (Tipped("one", tie, 0.09, 0.0004),)))
    assert found.verdict is Verdict.DEVIATES
    assert found.words == (
        "up to 0.090 off; known: in `one` layer 0 takes another expert for token 17, which 5.8e-05 of probability"
        " keep apart (0.090); 0.0005 is left"
    )


def test_a_fault_fails_with_the_place_to_look() -> None:
    found = judged(EXACT, Explained(((FAULT, 1.5), (GRADE, 0.4)), 1.6, 0.002, "odd"))
    assert (found.verdict, found.suspect) == (Verdict.FAILED, "mtmd")
    assert found.words == "tokens see later ones: up to 1.600 off"


def test_a_fault_that_leaves_a_small_share_is_named_and_one_that_leaves_more_is_not() -> None:
    little, much = (share * FAULTY_REST * 12.9 for share in (0.99, 1.01))
    assert judged(EXACT, Explained(((FAULT, 12.0),), 12.9, little, "one")).suspect == "mtmd"
    found = judged(EXACT, Explained(((FAULT, 12.0),), 12.9, much, "one"), "one", "odd")
    assert found.verdict is Verdict.FAILED
    assert found.suspect == "the projector or how images reach the model: text alone is right"


def test_a_grade_gets_no_such_allowance() -> None:
    found = judged(EXACT, Explained(((GRADE, 12.0),), 12.9, 0.0101, "odd"), "odd")
    assert found.verdict is Verdict.FAILED
    assert found.suspect == "how images are resized: only those that need it are off"
    assert found.words == (
        "logarithms of probability are up to 12.900 off, and no known deviation explains it: 0.010 is left, in `odd`"
    )


def test_text_that_is_off_too_is_the_language_model() -> None:
    found = judged(EXACT, Explained((), 1.0, 1.0, "text"), "text", "one")
    assert found.suspect.startswith("the language model: text alone is off too")


def test_weights_too_coarse_to_tell_send_to_those_that_do() -> None:
    found = judged(COARSE, Explained((), 1.0, 1.0, "one"), "one")
    assert found.suspect == coarse_suspect(COARSE)
    assert (
        found.suspect
        == "what f32 and f16 are off by; where they are right, llama-quantize or the products with Q8_0"
    )
