"""What the reference said, as a file: read or refused, and held against what is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.core.digest import Sha256
from recipes.core.errors import VerifyError
from recipes.evalset.golden import JOIN, Deviation, Golden, GoldenCase, HeldOut, read_golden, verify_golden

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODEL, MMPROJ = b"a model", b"its projector"
PROMPTS = Sha256.of_bytes(b"prompts").hex
OTHER = Sha256.of_bytes(b"other prompts").hex


def case(**logprobs: float) -> GoldenCase:
    """A case with one token; what it says with each combination, `_` between names, `exact` without any."""
    keys: dict[str, tuple[float, ...]] = {
        "" if name == "exact" else name.replace("_", JOIN): (value,) for name, value in logprobs.items()
    }
    return GoldenCase(
        name="a case",
        with_images=True,
        resized=False,
        prompt_tokens=12,
        answer="red",
        margin=2.5,
        tokens=("red",),
        logprobs=keys,
    )


GOLDEN = Golden(
    made_with={"torch": "2"},
    model=Sha256.of_bytes(MODEL).hex,
    mmproj=Sha256.of_bytes(MMPROJ).hex,
    prompts=PROMPTS,
    sections=(14, 10, 8),
    deviations=(Deviation(name="mask", words="w", where="h", fails=True),),
    clip_deviations=(Deviation(name="swapped", words="w", where="h", fails=True),),
    cases=(case(exact=-0.1, mask=-3.0),),
    clips=(case(exact=-0.2, swapped=-4.0),),
    held_out=(HeldOut(task="shape", answers=("ring", "star"), margins=(3.0, 0.5)),),
)
TEXT = msgspec.json.encode(GOLDEN)


def refusal(act: Callable[[], object]) -> VerifyError:
    with pytest.raises(VerifyError) as refused:
        act()
    return refused.value


@pytest.mark.parametrize(
    ("names", "value"),
    [
        ((), -1.0),
        (("half",), -2.0),
        (("half", "filter"), -3.0),
        (("theta",), -1.0),
        (("theta", "half"), -2.0),
        (("filter", "theta", "half", "x"), -3.0),
    ],
)
def test_deviations_that_do_not_touch_a_case_change_nothing(names: tuple[str, ...], value: float) -> None:
    touched = case(exact=-1.0, half=-2.0, filter=-2.5, filter_half=-3.0)
    assert touched.with_deviations(frozenset(names)) == (value,)


def test_a_combination_that_the_reference_was_not_asked_with_is_no_other_one() -> None:
    with pytest.raises(KeyError, match=r"half\+mask"):
        case(exact=-1.0, half=-2.0, mask=-2.5).with_deviations(frozenset({"mask", "half"}))


@given(st.sets(st.sampled_from("abcdef")))
def test_the_order_in_which_deviations_are_named_is_of_no_account(names: set[str]) -> None:
    key = JOIN.join(sorted(names))
    asked = GoldenCase(
        name="",
        with_images=False,
        resized=False,
        prompt_tokens=1,
        answer="",
        margin=0.0,
        tokens=("x",),
        logprobs={"": (0.0,), key: (1.0,)},
    )
    assert asked.with_deviations(frozenset(sorted(names, reverse=True))) == (1.0,)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "golden.json"
    path.write_bytes(msgspec.json.format(TEXT, indent=1))
    assert read_golden(path) == GOLDEN


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    error = refusal(lambda: read_golden(tmp_path / "golden.json"))
    assert error.where == str(tmp_path / "golden.json")
    assert "reference -- --write" in error.fix


def changed(**changes: object) -> dict[str, Any]:
    return {**msgspec.json.decode(TEXT), **changes}


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ([], "`array`"),
        ({"made_with": {}}, "`model`"),
        (changed(more=1), "`more`"),
        (changed(sections=[14, 10]), "`$.sections`"),
        (changed(cases=[{"name": 1}]), "`$.cases[0].name`"),
        (
            changed(deviations=[{"name": "a", "words": "b", "where": "c", "fails": "yes"}]),
            "`$.deviations[0].fails`",
        ),
    ],
)
def test_a_file_of_another_form_is_refused_with_what_is_wrong(
    tmp_path: Path, data: object, found: str
) -> None:
    path = tmp_path / "golden.json"
    path.write_bytes(msgspec.json.encode(data))
    assert found in refusal(lambda: read_golden(path)).found


@given(st.integers(0, len(TEXT) - 1))
def test_a_file_that_was_cut_short_is_refused(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "golden.json"
    path.write_bytes(TEXT[:size])
    assert refusal(lambda: read_golden(path)).where == str(path)


@given(st.integers(0, len(TEXT) - 1), st.binary(min_size=1, max_size=3))
def test_bytes_that_changed_are_read_as_another_value_or_refused(
    tmp_path_factory: pytest.TempPathFactory, start: int, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("changed") / "golden.json"
    path.write_bytes(TEXT[:start] + data + TEXT[start + len(data) :])
    try:
        assert isinstance(read_golden(path), Golden)
    except VerifyError as error:
        assert error.where == str(path)  # noqa: PT017 - refused or not, both are right


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    model, mmproj = tmp_path / "model.gguf", tmp_path / "mmproj.gguf"
    model.write_bytes(MODEL)
    mmproj.write_bytes(MMPROJ)
    return model, mmproj


def test_the_files_and_prompts_that_it_was_made_with_are_accepted(files: tuple[Path, Path]) -> None:
    verify_golden(GOLDEN, *files, PROMPTS)


@pytest.mark.parametrize("index", [0, 1])
def test_another_file_is_refused(files: tuple[Path, Path], index: int) -> None:
    files[index].write_bytes(b"another")
    error = refusal(lambda: verify_golden(GOLDEN, *files, PROMPTS))
    assert (error.where, error.found) == (str(files[index]), f"sha256:{Sha256.of_bytes(b'another').hex}")
    assert (GOLDEN.model, GOLDEN.mmproj)[index] in error.expected


def test_prompts_that_are_drawn_differently_are_refused(files: tuple[Path, Path]) -> None:
    error = refusal(lambda: verify_golden(GOLDEN, *files, OTHER))
    assert "prompts" in error.where
    assert (PROMPTS in error.expected, error.found) == (True, f"sha256:{OTHER}")


def test_model_and_projector_cannot_change_places(files: tuple[Path, Path]) -> None:
    assert refusal(lambda: verify_golden(GOLDEN, files[1], files[0], PROMPTS)).where == str(files[1])
