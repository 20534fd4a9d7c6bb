from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from recipes.core.console import Silent
from recipes.core.digest import Sha256
from recipes.core.errors import FetchError, PinMissingError, StoreError, VerifyError
from recipes.core.settings import Settings
from recipes.fetch.download.piece_file import pieces_path
from recipes.fetch.fetcher import Candidate, Delivery, Failure, Fetcher
from recipes.fetch.http.network_errors import OriginError
from recipes.fetch.http.response_rules import BlobPin
from recipes.fetch.http.retry import Patience, Tempo
from recipes.store.store import Store
from tests.support.pieces import leave_pieces

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"the pinned bytes"
PIN = BlobPin(Sha256.of_bytes(DATA), len(DATA))


def never() -> str:
    raise AssertionError("nobody may be asked for an address")


NOBODY = (Candidate("nobody", never),)


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return Fetcher(Store.open(tmp_path / "store"), Silent(), Settings(tmp_path / "store"))


def offline(fetcher: Fetcher) -> Fetcher:
    return replace(fetcher, settings=replace(fetcher.settings, offline=True))


def put(fetcher: Fetcher, data: bytes) -> Path:
    path = fetcher.store.partial_path(PIN.sha256)
    path.write_bytes(data)
    return path


def arrive(fetcher: Fetcher, data: bytes) -> Path:
    path = pieces_path(fetcher.store, PIN.sha256)
    leave_pieces(path, data, len(DATA), 4)
    return path


def test_a_file_of_the_store_is_given_without_asking_or_locking(fetcher: Fetcher) -> None:
    fetcher.store.adopt_blob(put(fetcher, DATA), PIN.sha256)
    assert fetcher.fetch_blob(PIN, NOBODY, "here").read_bytes() == DATA
    # so a store that is read-only serves what it has
    assert list(fetcher.store.locks.iterdir()) == []


def test_a_file_of_the_store_that_was_changed_is_refused_before_anyone_is_asked(fetcher: Fetcher) -> None:
    blob = fetcher.store.adopt_blob(put(fetcher, DATA), PIN.sha256)
    blob.chmod(0o644)
    blob.write_bytes(DATA.upper())
    with pytest.raises(StoreError) as caught:
        fetcher.fetch_blob(PIN, NOBODY, "here")
    assert caught.value.where == str(blob)


def test_without_a_size_and_without_a_cap_nothing_is_fetched(fetcher: Fetcher) -> None:
    with pytest.raises(PinMissingError) as caught:
        fetcher.fetch_blob(BlobPin(PIN.sha256), NOBODY, "manifests/recipes/x.yaml: source.origins")
    assert caught.value.where == "manifests/recipes/x.yaml: source.origins"
    assert "max_bytes" in caught.value.expected


def test_offline_a_missing_file_is_named_and_nobody_is_asked(fetcher: Fetcher) -> None:
    with pytest.raises(FetchError) as caught:
        offline(fetcher).fetch_blob(PIN, NOBODY, "the wheel of cmake")
    assert (caught.value.where, caught.value.expected) == ("the wheel of cmake", f"{PIN.sha256}, 16 bytes")
    assert "PINNED_LLAMA_OFFLINE=1" in caught.value.found
    assert caught.value.fix == "PINNED_LLAMA_OFFLINE=0 python3 noxfile.py -s fetch"


def test_a_download_that_has_all_its_bytes_is_finished_offline(fetcher: Fetcher) -> None:
    arrive(fetcher, DATA)
    assert offline(fetcher).fetch_blob(PIN, NOBODY, "here").read_bytes() == DATA
    assert list(fetcher.store.partial.iterdir()) == []


def test_a_download_with_all_bytes_but_wrong_ones_is_kept_apart(fetcher: Fetcher) -> None:
    arrive(fetcher, DATA.upper())
    with pytest.raises(VerifyError) as caught:
        offline(fetcher).fetch_blob(PIN, NOBODY, "here")
    assert str(Sha256.of_bytes(DATA.upper())) in caught.value.found
    assert list(fetcher.store.partial.iterdir()) == []
    assert list(fetcher.store.blobs.iterdir()) == []
    (kept,) = fetcher.store.rejected.glob(f"*/{PIN.sha256.hex}.pieces")
    assert kept.read_bytes() == DATA.upper()


def test_a_download_that_lacks_bytes_is_left_as_it_is_offline(fetcher: Fetcher) -> None:
    path = arrive(fetcher, DATA[:5])
    with pytest.raises(FetchError):
        offline(fetcher).fetch_blob(PIN, NOBODY, "here")
    assert path.read_bytes()[:5] == DATA[:5]


def test_each_place_is_asked_in_order_and_its_reason_kept(fetcher: Fetcher) -> None:
    asked = []

    def place(name: str) -> Candidate:
        def ask() -> str:
            asked.append(name)
            raise OriginError(f"{name} has no such file", may_pass=name == "b")

        return Candidate(name, ask)

    places = [place(name) for name in "abc"]
    delivery = fetcher.try_blob(PIN, places, "here")
    assert asked == ["a", "b", "c"]
    assert delivery == Delivery(
        None,
        (
            Failure("a", "a has no such file"),
            Failure("b", "b has no such file", may_pass=True),
            Failure("c", "c has no such file"),
        ),
    )


def test_the_fix_depends_on_whether_a_reason_may_pass(fetcher: Fetcher) -> None:
    def error(*failures: Failure, fetcher: Fetcher = fetcher) -> FetchError | VerifyError:
        return fetcher.error("here", "x", failures, "again", "relock")

    passing, lasting = Failure("a", "x", may_pass=True), Failure("b", "y")
    upstream, wrong = Failure("c", "upstream changed"), Failure("d", "other bytes", advice="try another")
    assert error(lasting, passing).fix.startswith("again  # ")
    assert error(lasting).fix.startswith("PINNED_LLAMA_MIRROR=https://... again")
    assert error(lasting, upstream).fix.startswith("relock")
    assert error(passing, fetcher=offline(fetcher)).fix == "PINNED_LLAMA_OFFLINE=0 again"
    assert error(Failure("e", "its certificate is not trusted")).fix.startswith("PIP_CERT=")
    found = error(wrong, passing)
    assert (type(found), found.fix) == (VerifyError, "try another: again")
    assert type(error(passing)) is FetchError


def test_patience_comes_from_the_settings_unless_it_is_given(fetcher: Fetcher) -> None:
    slow = replace(fetcher, settings=replace(fetcher.settings, timeout_s=77.0))
    assert slow.pace.patience == Patience(timeout_s=77.0)
    given = Tempo(Patience(timeout_s=5))
    assert replace(slow, tempo=given).pace is given
