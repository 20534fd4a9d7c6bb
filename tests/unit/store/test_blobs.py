from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.core.digest import Sha256
from recipes.core.errors import StoreError
from tests.support.store_files import overwrite, put_blob

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.store.store import Store

DATA = b"pinned bytes\n"
SHA = Sha256.of_bytes(DATA)


def adopt(store: Store) -> Path:
    return put_blob(store, DATA)


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"


def test_a_file_that_is_not_there_is_none(store: Store) -> None:
    assert store.verified_blob(SHA) is None
    assert store.verified_blob(SHA, 5) is None


def test_an_adopted_file_lies_under_its_digest_read_only_and_nowhere_else(store: Store) -> None:
    path = adopt(store)
    assert path == store.blob_path(SHA) == store.root / "blobs" / "sha256" / SHA.hex
    assert path.read_bytes() == DATA
    assert mode(path) == "444"
    assert list(store.partial.iterdir()) == []
    assert store.verified_blob(SHA) == store.verified_blob(SHA, len(DATA)) == path


def test_adopting_what_another_process_adopted_meanwhile_gives_that_file(store: Store) -> None:
    path = adopt(store)
    assert store.adopt_blob(store.partial_path(SHA), SHA) == path  # the download is gone: it was renamed
    assert adopt(store) == path  # a second download of the same bytes replaces the first
    assert store.verified_blob(SHA) == path


def test_adopting_a_download_that_is_gone_says_so(store: Store) -> None:
    with pytest.raises(StoreError, match="removed meanwhile") as caught:
        store.adopt_blob(store.partial_path(SHA), SHA)
    assert caught.value.where == str(store.partial / SHA.hex)


def test_a_fresh_download_heals_a_damaged_file(store: Store) -> None:
    overwrite(adopt(store), b"damage")
    path = adopt(store)
    assert store.verified_blob(SHA) == path


@pytest.mark.parametrize("data", [b"Pinned bytes\n", b"", DATA[:-1], DATA + b"x"])
def test_a_changed_file_is_refused_and_stays(store: Store, data: bytes) -> None:
    path = adopt(store)
    overwrite(path, data)
    with pytest.raises(StoreError) as caught:
        store.verified_blob(SHA, len(DATA))
    assert caught.value.where == str(path)
    assert str(SHA) in caught.value.expected
    found = (
        str(Sha256.of_bytes(data)) if len(data) == len(DATA) else f"{len(data)} bytes"
    )  # that one is unread
    assert caught.value.found == found
    assert "--damaged" in caught.value.fix
    assert path.read_bytes() == data


def test_rejected_bytes_are_kept_apart_each_with_its_reason(store: Store) -> None:
    kept = []
    for number in range(3):
        path = store.partial_path(SHA)
        path.write_bytes(b"wrong %d" % number)
        kept.append(store.reject(path, f"from mirror {number}\nfound x"))
        assert not path.exists()
    assert kept == [store.rejected / f"{SHA.hex}-{number}" / SHA.hex for number in (1, 2, 3)]
    assert [path.read_bytes() for path in kept] == [b"wrong 0", b"wrong 1", b"wrong 2"]
    reasons = [path.with_name("why.txt").read_text(encoding="utf-8") for path in kept]
    assert reasons == [f"from mirror {number}\nfound x\n" for number in range(3)]


def test_a_read_only_folder_can_be_rejected(store: Store) -> None:
    folder = store.tmp.root / "tree"
    folder.mkdir()
    (folder / "file").touch()
    folder.chmod(0o555)
    kept = store.reject(folder, "because")
    assert (kept / "file").exists()
    assert not folder.exists()


def test_a_dangling_link_can_be_rejected(store: Store) -> None:
    link = store.partial / "link"
    link.symlink_to("nowhere")
    assert store.reject(link, "because").is_symlink()
    assert not link.is_symlink()
