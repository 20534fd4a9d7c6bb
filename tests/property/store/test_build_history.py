from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from recipes.store.build_history import explain_rebuild

NAMES = st.text(alphabet=string.ascii_letters + " -.", min_size=1, max_size=12)
VALUES = st.one_of(
    st.text(max_size=200).filter(lambda text: "+" not in text and "->" not in text),
    st.text(alphabet="0123456789abcdef", min_size=64, max_size=64).map(lambda digits: f"sha256:{digits}"),
    st.text(alphabet="ab", min_size=150, max_size=200),
)
INPUTS = st.dictionaries(NAMES, VALUES, max_size=6)


@given(st.none() | INPUTS, INPUTS)
def test_the_explanation_is_one_printable_line_of_bearable_length(
    before: dict[str, str] | None, after: dict[str, str]
) -> None:
    line = explain_rebuild(before, after)
    assert line.isprintable()
    assert 0 < len(line) < 1500  # a value of control characters is longer when it is spelled out


@given(INPUTS, INPUTS)
def test_it_counts_every_difference_and_names_the_first(
    before: dict[str, str], after: dict[str, str]
) -> None:
    changed = [name for name in after if name in before and before[name] != after[name]]
    new = [name for name in after if name not in before]
    gone = [name for name in before if name not in after]
    differing = changed + new + gone
    line = explain_rebuild(before, after)
    if not differing:
        assert ("no input changed" if list(before) == list(after) else "another order") in line
        return
    assert line.startswith(f"{differing[0]}: ")
    assert line.endswith(f", +{len(differing) - 1} more") == (len(differing) > 1)


@given(NAMES, VALUES, VALUES)
def test_two_different_values_are_shown_as_different(name: str, old: str, new: str) -> None:
    if old == new or {old, new} == {"", "nothing"}:
        return
    shown_old, separator, shown_new = (
        explain_rebuild({name: old}, {name: new}).removeprefix(f"{name}: ").partition(" -> ")
    )
    assert separator
    assert shown_old.removeprefix("sha256 ") != shown_new
