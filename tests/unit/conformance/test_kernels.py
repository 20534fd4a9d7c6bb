"""What the output of ggml's test-backend-ops says: which cases ran, which are wrong, and which it does not have.

OUTPUT is what the program of b11312 prints on a processor when one of its products is replaced by another one.
"""

from __future__ import annotations

import pytest

from recipes.conformance.results.kernels import ASKED, Asked, Case, judge, parse_cases, parse_devices
from recipes.conformance.results.outcome import CheckVerdict
from recipes.core.process import Captured

SHAPE = "type_b=f32,n_mats=8,n_used=4,b=0,m=768,n=1,k=2048,amax=1.000000,m_v=0"
OUTPUT = f"""\
Testing 2 devices

Backend 1/2: CUDA0
  Device description: AMD EPYC
  Device memory: 24105 MB (24105 MB free)

[MUL_MAT_ID] ERR = 0.652393330 > 0.000500000   MUL_MAT_ID(type_a=q4_0,{SHAPE}): \x1b[1;31mFAIL\x1b[0m
[MUL_MAT_ID] ERR = 0.628531650 > 0.000500000   MUL_MAT_ID(type_a=q4_0,{SHAPE},skewed=1): \x1b[1;31mFAIL\x1b[0m
  MUL_MAT_ID(type_a=q8_0,{SHAPE}): \x1b[1;32mOK\x1b[0m
  MUL_MAT_ID(type_a=q8_0,{SHAPE},skewed=1): \x1b[1;32mOK\x1b[0m
  MUL_MAT_ID(type_a=q6_K,{SHAPE}): not supported [CUDA0] \n\
  2/4 tests passed

Failing tests:
  MUL_MAT_ID(type_a=q4_0,{SHAPE})
  MUL_MAT_ID(type_a=q4_0,{SHAPE},skewed=1)
  Backend CUDA0: \x1b[1;31mFAIL\x1b[0m
Backend 2/2: CPU
  Skipping
1/2 backends passed
\x1b[1;31mFAIL\x1b[0m
"""
# The same without what is wrong.
GOOD = "\n".join(
    line for line in OUTPUT.splitlines() if "q4_0" not in line and line != "Failing tests:"
).replace("1/2 backends", "2/2 backends")
NONE = "Testing 1 devices\n\n  0/0 tests passed\n1/1 backends passed\n"
FEW = Asked("MUL_MAT_ID", "", ({"type_a": "q4_0", "skewed": "0"}, {"type_a": "q8_0", "skewed": "1"}))
RIGHT_ONES = Asked("MUL_MAT_ID", "", ({"type_a": "q8_0", "skewed": "0", "n_mats": "8"},))
PASSED, FAILED, NOT_RUN = CheckVerdict.PASSED, CheckVerdict.FAILED, CheckVerdict.NOT_RUN


def test_each_case_is_read_with_how_it_ended_and_its_error() -> None:
    assert [(case.said, case.error, case.params.partition(",")[0]) for case in parse_cases(OUTPUT)] == [
        ("FAIL", 0.65239333, "type_a=q4_0"),
        ("FAIL", 0.62853165, "type_a=q4_0"),
        ("OK", None, "type_a=q8_0"),
        ("OK", None, "type_a=q8_0"),
        ("not supported", None, "type_a=q6_K"),
    ]
    assert parse_devices(OUTPUT) == ("CUDA0", "CPU")


@pytest.mark.parametrize(
    ("params", "wanted", "fits"),
    [
        ("type=f32,ne_a=[128,12,2,1],mode=40", {"mode": "40"}, True),
        ("type=f32,ne_a=[128,12,2,1],mode=40", {"ne_a": "[128,12,2,1]"}, True),
        ("type=f32,ne_a=[128,12,2,1],mode=40", {"12": "0", "mode": "4"}, False),
        ("n=1,k=2048", {"n": "1", "skewed": "0"}, True),
        ("n=1,k=2048,skewed=1", {"n": "1", "skewed": "0"}, False),
        ("n=1,k=2048", {"n": "1", "skewed": "1"}, False),
    ],
)
def test_a_case_is_known_by_its_parameters(params: str, wanted: dict[str, str], *, fits: bool) -> None:
    assert Case("ROPE", params, "OK").fits(wanted) is fits


@pytest.mark.parametrize(
    ("asked", "done", "verdicts", "key_words"),
    [
        (RIGHT_ONES, Captured(0, GOOD, ""), [PASSED], ["2 of 3 cases are right, 1 are not supported"]),
        (FEW, Captured(1, OUTPUT, ""), [FAILED], ["2 of 5 cases are wrong; the worst error is 0.652"]),
        # of what is asked for a part is not there
        (FEW, Captured(0, GOOD, ""), [PASSED, NOT_RUN], ["right", "lacks 1 of the 2 cases: type_a=q4_0"]),
        # nothing is selected
        (FEW, Captured(0, NONE, ""), [NOT_RUN], ["lacks 2 of the 2 cases: type_a=q4_0"]),
        # it dies, though what it said before is right
        (
            RIGHT_ONES,
            Captured(-6, GOOD, "GGML_ASSERT(x)"),
            [FAILED],
            ["status -6 after 3 cases: GGML_ASSERT(x)"],
        ),
        (RIGHT_ONES, Captured(0, GOOD.replace("backends", ""), "out of"), [FAILED], ["status 0 after 3"]),
        # it fails without a case that is wrong
        (RIGHT_ONES, Captured(1, GOOD, "failed to allocate"), [FAILED], ["not name: failed to allocate"]),
        # it ends well, though a case is wrong
        (RIGHT_ONES, Captured(0, OUTPUT, ""), [FAILED], ["2 of 5 cases are wrong"]),
        (RIGHT_ONES, Captured(0, GOOD.replace("q8_0", "q4_0"), ""), [PASSED, NOT_RUN], ["", "type_a=q8_0"]),
        (
            RIGHT_ONES,
            Captured(0, GOOD.replace("\x1b[1;32mOK", "not supported"), ""),
            [NOT_RUN],
            ["none of the 3"],
        ),
    ],
    ids=(
        *("right", "wrong", "a case is missing", "all are missing", "killed", "cut short", "unnamed failure"),
        *("wrong with status 0", "other cases", "not supported"),
    ),
)
def test_what_the_program_says_is_judged(
    asked: Asked, done: Captured, verdicts: list[CheckVerdict], key_words: list[str]
) -> None:
    outcomes = judge(asked, "CUDA0", done)
    assert [outcome.verdict for outcome in outcomes] == verdicts
    for outcome, word in zip(outcomes, key_words, strict=True):
        assert word in outcome.words
        assert outcome.name.startswith("MUL_MAT_ID on CUDA0")
        assert bool(outcome.suspect) is (outcome.verdict is FAILED)


def test_the_figures_count_and_name_every_case() -> None:
    (outcome,) = judge(FEW, "CUDA0", Captured(1, OUTPUT, ""))
    assert outcome.figures == {
        "op": "MUL_MAT_ID",
        "device": "CUDA0",
        "cases": 5,
        "right": 2,
        "wrong": 2,
        "not supported": 1,
        "worst error": 0.65239333,
        "failing": f"MUL_MAT_ID(type_a=q4_0,{SHAPE}); MUL_MAT_ID(type_a=q4_0,{SHAPE},skewed=1)",
    }


def test_the_experts_of_qwen3_vl_moe_are_asked_for() -> None:
    products = next(asked for asked in ASKED if asked.op == "MUL_MAT_ID")
    assert len(products.cases) == len({tuple(case.items()) for case in products.cases}) == 96
