from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from recipes.core.console import Silent
from recipes.core.digest import Sha256
from recipes.core.errors import FetchError, PinMissingError, StoreError
from recipes.core.settings import Settings
from recipes.fetch.fetcher import Candidate, Delivery, Failure, Fetcher, fetch_error
from recipes.fetch.http.network_errors import OriginError
from recipes.fetch.http.response_rules import BlobPin, Patience
from recipes.fetch.http.retry import Tempo
from recipes.store.store import Store

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
    assert str(caught.value) == (
        "error: a pin is missing, and nothing is used without one\n"
        "  where:    manifests/recipes/x.yaml: source.origins\n"
        "  expected: size_bytes, or max_bytes where the size was never seen\n"
        "  found:    neither, so nothing would end the download\n"
        "  fix:      write `size_bytes:` or `max_bytes:` beside the sha256 in the manifest"
    )


def test_offline_a_missing_file_is_named_and_nobody_is_asked(fetcher: Fetcher) -> None:
    with pytest.raises(FetchError) as caught:
        offline(fetcher).fetch_blob(PIN, NOBODY, "the wheel of cmake")
    assert str(caught.value) == (
        "error: no origin delivered the pinned bytes\n"
        "  where:    the wheel of cmake\n"
        f"  expected: {PIN.sha256}, 16 bytes\n"
        "  found:    the wheel of cmake: not in the store, and PINNED_LLAMA_OFFLINE=1 forbids the network\n"
        "  fix:      PINNED_LLAMA_OFFLINE=0 python3 noxfile.py -s fetch"
    )


def test_a_download_that_has_all_its_bytes_is_finished_offline(fetcher: Fetcher) -> None:
    put(fetcher, DATA)
    assert offline(fetcher).fetch_blob(PIN, NOBODY, "here").read_bytes() == DATA
    assert list(fetcher.store.partial.iterdir()) == []


def test_a_download_with_all_bytes_but_wrong_ones_is_kept_apart(fetcher: Fetcher) -> None:
    put(fetcher, DATA.upper())
    with pytest.raises(FetchError):
        offline(fetcher).fetch_blob(PIN, NOBODY, "here")
    assert list(fetcher.store.partial.iterdir()) == []
    assert list(fetcher.store.blobs.iterdir()) == []
    (folder,) = fetcher.store.rejected.iterdir()
    assert (folder / PIN.sha256.hex).read_bytes() == DATA.upper()
    assert (folder / "why.txt").read_text() == (
        f"a download with all its bytes\nfound {Sha256.of_bytes(DATA.upper())}\npinned {PIN.sha256}\n"
    )


def test_a_download_that_lacks_bytes_is_left_as_it_is_offline(fetcher: Fetcher) -> None:
    path = put(fetcher, DATA[:5])
    with pytest.raises(FetchError):
        offline(fetcher).fetch_blob(PIN, NOBODY, "here")
    assert path.read_bytes() == DATA[:5]


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
    settings = fetcher.settings

    def fix(*failures: Failure, settings: Settings = settings) -> str:
        return fetch_error("here", "x", failures, settings).fix

    passing, lasting = Failure("a", "x", may_pass=True), Failure("b", "y")
    again = "python3 noxfile.py -s fetch  # once the network is back; it goes on from what has arrived"
    assert fix(lasting, passing) == again
    assert fix(lasting) == (
        "PINNED_LLAMA_MIRROR=https://... python3 noxfile.py -s fetch  # with a mirror that has it; or correct the pin"
    )
    assert fix(passing, settings=replace(settings, offline=True)).startswith("PINNED_LLAMA_OFFLINE=0 ")


def test_patience_comes_from_the_settings_unless_it_is_given(fetcher: Fetcher) -> None:
    slow = replace(fetcher, settings=replace(fetcher.settings, timeout_s=77.0))
    assert slow.pace.patience == Patience(timeout_s=77.0)
    given = Tempo(Patience(timeout_s=5))
    assert replace(slow, tempo=given).pace is given
