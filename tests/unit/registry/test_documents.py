from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.registry.documents import (
    EMPTY,
    EMPTY_TYPE,
    INDEX_TYPE,
    Index,
    Manifest,
    describe,
    make_index,
    make_manifest,
    parse_document,
)

CONFIG = describe(EMPTY, EMPTY_TYPE)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_what_is_written_is_read() -> None:
    data = make_manifest(CONFIG, (CONFIG,), "application/x", {"b": "1", "a": "2"}, CONFIG)
    document = parse_document(data)
    assert isinstance(document, Manifest)
    assert (document.type_text, document.subject, document.layers) == ("application/x", CONFIG, (CONFIG,))
    assert make_manifest(CONFIG, (CONFIG,), "application/x", {"a": "2", "b": "1"}, CONFIG) == data
    index = parse_document(make_index((CONFIG,)))
    assert isinstance(index, Index)
    assert index.manifests == (CONFIG,)


def test_what_others_add_is_ignored() -> None:
    data = json.loads(make_manifest(CONFIG, (), "application/x", {}))
    data |= {"urls": [], "more": {"deep": 1}}
    data["config"]["data"] = "e30="
    assert isinstance(parse_document(json.dumps(data).encode()), Manifest)
    assert isinstance(parse_document(b'{"schemaVersion": 2, "manifests": []}'), Index)


@given(JSON)
def test_any_other_json_is_refused_by_a_value_error(value: object) -> None:
    data = json.dumps(value).encode()
    try:
        parse_document(data)
    except ValueError:
        return
    pytest.fail(f"read as a document: {data!r}")


@given(st.sampled_from(("schemaVersion", "mediaType", "manifests", "annotations")), JSON)
def test_one_wrong_value_is_a_value_error_or_harmless(name: str, value: object) -> None:
    data = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [], name: value}).encode()
    try:
        document = parse_document(data)
    except ValueError:
        return
    assert msgspec.to_builtins(document)["schemaVersion"] == 2
