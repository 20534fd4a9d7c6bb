from __future__ import annotations

import pytest

from recipes.core import errors
from recipes.core.errors import INTERRUPTED, RecipeError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RecipeError)]


@pytest.mark.parametrize("kind", KINDS)
def test_each_error_says_where_what_was_expected_and_found_and_how_to_fix_it(kind: type[RecipeError]) -> None:
    error = kind(where="here", expected="this", found="that,\nand more", fix="do so")
    assert str(error) == (
        f"error: {kind.title}\n"
        "  where:    here\n"
        "  expected: this\n"
        "  found:    that,\n"
        "            and more\n"
        "  fix:      do so"
    )


def test_each_kind_has_an_exit_code_a_title_and_a_docstring_of_its_own() -> None:
    for each in ({kind.exit_code for kind in KINDS}, {kind.title for kind in KINDS}):
        assert len(each) == len(KINDS)
    assert all(0 < kind.exit_code < INTERRUPTED - 2 for kind in KINDS)
    assert all(kind.__doc__ for kind in KINDS)
