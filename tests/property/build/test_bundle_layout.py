from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.build.bundle.layout import write_record

KEYS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | KEYS,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


def shuffle(value: object) -> object:
    """Return an equal value whose mappings were made in the opposite order."""
    if isinstance(value, dict):
        return {key: shuffle(item) for key, item in reversed(value.items())}
    return [shuffle(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=50)
@given(st.dictionaries(KEYS, VALUES))
def test_a_record_is_written_the_same_from_any_order_and_reads_back(record: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first = write_record(Path(folder), record).read_bytes()
        shuffled = shuffle(record)
        assert isinstance(shuffled, dict)
        assert write_record(Path(folder), shuffled).read_bytes() == first
    assert json.loads(first) == record
