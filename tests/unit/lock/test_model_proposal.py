"""What the hub has, as a model's manifest that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.core.digest import Sha1, Sha256
from recipes.lock.model_hub import HubFile, HubRepository
from recipes.lock.model_proposal import changed_files, propose_model
from recipes.manifest.schema import Model, convert
from recipes.manifest.strict_yaml import read
from tests.support.model_manifests import HUB, the_model

if TYPE_CHECKING:
    from pathlib import Path

REVISION = Sha1("c3" * 20)
MODEL, MMPROJ = Sha256("d4" * 32), Sha256("b2" * 32)
HUB_HAS = HubRepository(
    REVISION,
    {
        "model.gguf": HubFile(4321, MODEL),
        "mmproj.gguf": HubFile(4, MMPROJ),
        "README.md": HubFile(10, None),
    },
)


def test_every_placeholder_becomes_its_pin_where_it_stands(tmp_path: Path) -> None:
    text = propose_model(HUB, the_model(tmp_path, HUB), HUB_HAS)
    expected = HUB.replace("revision_unlocked: never seen", f"revision: {REVISION.hex}")
    expected = expected.replace("max_bytes: 5000", "size_bytes: 4321")
    expected = expected.replace("unlocked: no digest is known", f"sha256: {MODEL.hex}")
    assert text == expected
    locked = the_model(tmp_path / "again", text)
    assert (locked.revision, locked.files[0].sha256, locked.files[0].size_bytes) == (REVISION, MODEL, 4321)


def test_pins_that_are_there_are_changed_and_what_agrees_is_left(tmp_path: Path) -> None:
    locked = propose_model(HUB, the_model(tmp_path, HUB), HUB_HAS)
    model = the_model(tmp_path / "locked", locked)
    assert propose_model(locked, model, HUB_HAS) == locked
    assert changed_files(model, HUB_HAS) == ()
    other = HubRepository(Sha1("e5" * 20), {**HUB_HAS.files, "mmproj.gguf": HubFile(5, Sha256("f6" * 32))})
    assert changed_files(model, other) == (f"mmproj.gguf: pinned {MMPROJ.hex}, the hub has {'f6' * 32}",)
    assert propose_model(locked, model, other) == locked.replace(REVISION.hex, "e5" * 20).replace(
        f"size_bytes: 4\n    sha256: {MMPROJ.hex}", f"size_bytes: 5\n    sha256: {'f6' * 32}"
    )


@pytest.mark.parametrize(
    ("files", "key_word"),
    [
        (
            {"Model.gguf": HubFile(1, MODEL), "mmproj.gguf": HubFile(4, MMPROJ)},
            "`Model.gguf`",
        ),
        ({}, "`model.gguf`"),
        (
            {"model.gguf": HubFile(1, None), "mmproj.gguf": HubFile(4, MMPROJ)},
            "without a sha256",
        ),
    ],
)
def test_a_file_without_a_digest_on_the_hub_is_refused(
    files: dict[str, HubFile], key_word: str, tmp_path: Path
) -> None:
    with pytest.raises(LookupError, match=key_word):
        propose_model(HUB, the_model(tmp_path, HUB), HubRepository(REVISION, files))


DIGESTS = st.binary(min_size=32, max_size=32).map(lambda data: Sha256(data.hex()))


@given(
    st.binary(min_size=20, max_size=20), DIGESTS, DIGESTS, st.integers(1, 1 << 40), st.integers(1, 1 << 40)
)
def test_whatever_the_hub_has_is_what_the_proposal_pins(
    revision: bytes, model: Sha256, mmproj: Sha256, model_bytes: int, mmproj_bytes: int
) -> None:
    before = convert(read(HUB, "hub").data, Model)
    seen = HubRepository(
        Sha1(revision.hex()),
        {"model.gguf": HubFile(model_bytes, model), "mmproj.gguf": HubFile(mmproj_bytes, mmproj)},
    )
    text = propose_model(HUB, before, seen)
    after = convert(read(text, "hub").data, Model)
    assert after.revision == seen.revision
    assert [(file.sha256, file.size_bytes) for file in after.files] == [
        (model, model_bytes),
        (mmproj, mmproj_bytes),
    ]
    assert [file.max_bytes or file.unlocked for file in after.files] == [None, None]
    assert propose_model(text, after, seen) == text
    assert len(text.splitlines()) == len(HUB.splitlines())
