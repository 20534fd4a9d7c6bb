"""Strict YAML: never anything but data or a refusal, and the same with and without libyaml."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from recipes.core.errors import ManifestError
from recipes.manifest import strict_yaml as document
from recipes.manifest.strict_yaml import Document, Place, Steps, Value, read

if TYPE_CHECKING:
    from collections.abc import Iterator


KEYS = st.from_regex(r"[A-Za-z][A-Za-z0-9_.+-]{0,8}", fullmatch=True)
VISIBLE = st.characters(
    blacklist_categories=("Cs", "Cc", "Cf", "Zl", "Zp", "Co", "Cn"), blacklist_characters="\xa0\u3000\u1680"
).filter(lambda one: not document._STRANGE.search(one))
TEXTS = st.text(VISIBLE, max_size=12)
DATA = st.recursive(
    TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
# text near YAML: its signs, in any order
NEAR_YAML = st.lists(
    st.sampled_from([*"ab:- \n[]{},#&*!|>'\"%@`?~<=\t\\", ": ", "\n  ", "- ", "a: b\n", "<<", "---", "..."])
).map("".join)


@contextmanager
def parser(loader: type[yaml.SafeLoader | yaml.CSafeLoader]) -> Iterator[None]:
    with mock.patch.object(document, "_LOADER", loader):
        yield


def outcome(text: str) -> tuple[Value, dict[Steps, Place]] | None:
    try:
        found = read(text, "a.yaml")
    except ManifestError:
        return None
    return found.data, dict(found.places)


@given(NEAR_YAML | st.text())
def test_any_text_gives_data_or_a_refusal_that_names_the_file(text: str) -> None:
    refusal = None
    try:
        read(text, "a.yaml")
    except ManifestError as error:
        refusal = error
    if refusal:
        assert re.fullmatch(r"a\.yaml(:[1-9][0-9]*(: .+)?)?", refusal.where)
        assert refusal.expected
        assert refusal.found
        assert refusal.fix


@given(DATA, st.booleans(), st.integers(20, 200))
def test_what_is_written_is_read_again(data: Value, flow: bool, width: int) -> None:  # noqa: FBT001 - hypothesis calls it
    text = yaml.safe_dump(data, default_flow_style=flow, width=width, allow_unicode=True, sort_keys=False)
    assert read(text, "a.yaml").data == data


@given(DATA)
def test_libyaml_and_pyyaml_read_a_valid_text_alike_with_every_place(data: Value) -> None:
    text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    with parser(yaml.SafeLoader):
        slow = outcome(text)
    with parser(yaml.CSafeLoader):
        assert outcome(text) == slow
    assert slow is not None


@given(DATA)
def test_every_value_has_a_place_and_a_scalar_stands_there(data: Value) -> None:
    text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    found = read(text, "a.yaml")
    assert set(found.places) == set(paths(data, ()))
    for path, place in found.places.items():
        value = at(data, path)
        shown = text[place.start : place.end]
        if isinstance(value, str):
            assert read(f"k: {shown}\n", "b.yaml").data == {"k": value} if "\n" not in shown else True
        assert 1 <= place.line <= text.count("\n") + 1


@given(st.dictionaries(KEYS, TEXTS.filter(lambda text: "'" not in text), min_size=1, max_size=9))
def test_the_line_of_a_key_is_where_it_is_written(data: dict[str, str]) -> None:
    lines = [line for key, value in data.items() for line in ("# a comment", f"{key}: '{value}'", "")]
    found = read("\n".join(lines), "a.yaml")
    for index, key in enumerate(data):
        assert found.line_of((key,)) == 3 * index + 2


@given(st.lists(KEYS, min_size=1, max_size=6, unique=True), st.data())
def test_a_key_that_stands_twice_is_refused_with_both_lines(keys: list[str], draw: st.DataObject) -> None:
    twice = draw.draw(st.sampled_from(keys))
    place = draw.draw(st.integers(keys.index(twice) + 1, len(keys)))
    listed = [*keys[:place], twice, *keys[place:]]
    with pytest.raises(ManifestError) as caught:
        read("".join(f"{key}: 'v'\n" for key in listed), "a.yaml")
    assert caught.value.found == f"`{twice}` on line {keys.index(twice) + 1} and again on line {place + 1}"


@given(data=st.binary(max_size=40))
def test_any_bytes_give_data_or_a_refusal(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    try:
        found: Document | None = document.read_file(path, "a.yaml")
    except ManifestError:
        found = None
    assert found is None or data.decode() == found.text


def paths(data: Value, path: Steps) -> Iterator[Steps]:
    yield path
    if isinstance(data, dict):
        for key, value in data.items():
            yield from paths(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from paths(value, (*path, index))


def at(data: Value, path: Steps) -> Value:
    for step in path:
        data = data[step]  # type: ignore[index] # the path is one of the data's own
    return data
