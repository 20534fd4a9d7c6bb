from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.build.audit.cmake import CacheEntry, check_cache, parse_cache
from recipes.core.errors import AuditError

LINE = st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])
# CMake itself cannot read back a name with an equals sign or a quote, nor a value between apostrophes.
NAMES = st.text(st.characters(exclude_characters='\n\r="', exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name.strip(" \t") == name and not name.startswith("#")
)
TYPES = st.sampled_from(["BOOL", "PATH", "FILEPATH", "STRING", "INTERNAL", "STATIC", "UNINITIALIZED"])
VALUES = st.text(LINE).filter(lambda value: not (len(value) > 1 and value[0] == value[-1] == "'"))


def write_cache(entries: dict[str, CacheEntry]) -> str:
    """Write as CMake does: quote a name with a colon or slashes, and a value that ends in white space."""
    lines = ["# This is the CMakeCache file.", ""]
    for name, entry in entries.items():
        shown = f'"{name}"' if ":" in name or name.startswith("//") else name
        value = f"'{entry.value}'" if entry.value.endswith((" ", "\t")) else entry.value
        lines += ["//what it is for", f"{shown}:{entry.type}={value}", ""]
    return "\n".join(lines)


@given(st.dictionaries(NAMES, st.builds(CacheEntry, TYPES, VALUES)))
def test_what_cmake_writes_is_read_back_as_it_was(entries: dict[str, CacheEntry]) -> None:
    assert parse_cache(write_cache(entries)) == entries


@given(st.text())
def test_any_text_is_a_cache_or_refused_with_a_line(text: str) -> None:
    try:
        parse_cache(text)
    except ValueError as error:
        assert str(error).startswith("line ")  # noqa: PT017 - either outcome is right; the message is the claim


OPTIONS = st.dictionaries(
    st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9 ;=.-]{0,9}[A-Za-z0-9]", fullmatch=True),
    min_size=1,
)


@given(OPTIONS, st.data())
def test_any_one_changed_value_is_a_departure_and_names_its_option(
    options: dict[str, str], data: st.DataObject
) -> None:
    held = {name: CacheEntry("STRING", value) for name, value in options.items()}
    check_cache(write_cache(held), options, allowed_roots=[Path("/build")], where="here")
    name = data.draw(st.sampled_from(sorted(options)))
    other = data.draw(VALUES.filter(lambda value: value != options[name]))
    held[name] = CacheEntry("STRING", other)
    with pytest.raises(AuditError) as caught:
        check_cache(write_cache(held), options, allowed_roots=[Path("/build")], where="here")
    assert caught.value.expected == f"{name}={options[name]}"
    assert caught.value.found == f"{name}={other} (type STRING)"


@given(
    st.lists(st.sampled_from(["..", ".", "a", "b", "somewhere", "usr", "build", "source"]), max_size=6),
    st.sampled_from(["", "x;", "-I", "-Wl,", "A=", "[", "'", '"']),
)
def test_a_path_passes_exactly_where_it_ends_up_in_a_folder_of_the_plan(
    steps: list[str], before: str
) -> None:
    path = "/".join(["/somewhere/build", *steps])
    place: list[str] = []
    for step in path.split("/")[1:]:
        if step == "..":
            place = place[:-1]
        elif step != ".":
            place.append(step)
    text = f"A:STRING={before}{path}\n"
    if place[:2] == ["somewhere", "build"]:
        check_cache(text, {}, allowed_roots=[Path("/somewhere/build")], where="here")
    else:
        with pytest.raises(AuditError):
            check_cache(text, {}, allowed_roots=[Path("/somewhere/build")], where="here")
