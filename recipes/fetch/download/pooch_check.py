"""A file that pooch checks: its registry holds the pin, it hashes the file itself; the downloader is ours."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.digest import hash_file
from recipes.core.filesystem import remove_tree, storage_errors
from recipes.fetch.http.network_errors import OriginError, shown_url
from recipes.fetch.http.sniff import SNIFF_BYTES, name_wrong_start

if TYPE_CHECKING:
    from recipes.fetch.download.downloader import Downloader
    from recipes.fetch.http.redirects import Route
    from recipes.fetch.http.response_rules import BlobPin
    from recipes.store.blobs import BlobStore

ADVICE = "fetch it from another mirror, or correct the pin"


def fetch_checked(downloader: Downloader, pin: BlobPin, route: Route | None, store: BlobStore) -> Path:
    """Download a file, have pooch check it, and make it one of the store.

    The file is hashed once, by pooch, after its last byte. pooch gets a hard link: it deletes what has another hash,
    and those bytes are kept for diagnosis. Without a route, what has arrived is used. The caller holds the store's lock
    of this file. An OriginError is raised where this place does not deliver the pinned bytes, a StoreError where the
    disk refuses.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")  # what is done is said by the console
    name = pin.sha256.hex
    url = shown_url(route.address) if route else downloader.path.as_uri()
    folder = downloader.path.with_suffix(".pooch")
    keeper = pooch.create(folder, base_url="", registry={name: str(pin.sha256)}, urls={name: url})
    is_handed_over = False

    def download(_url: str, output_file: str, _pooch: object) -> None:
        nonlocal is_handed_over
        fetched = downloader.fetch(route, hashes=False)
        _link(fetched.path, Path(output_file))
        is_handed_over = True

    with storage_errors(folder):
        remove_tree(folder)  # what a killed process left
        folder.mkdir()  # where it cannot be made, pooch's error would not say why
        try:
            while True:
                try:
                    checked = Path(keeper.fetch(name, downloader=download))
                    break
                except ValueError:  # how pooch says that the hash differs
                    if not is_handed_over:
                        raise
                    if not downloader.drop_misfits():
                        raise _refusal(downloader, pin, url, store) from None
            downloader.forget()
            return store.adopt_blob(checked, pin.sha256)
        finally:
            remove_tree(folder)


def _link(path: Path, target: Path) -> None:
    target.unlink()
    try:
        os.link(path, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, target)


def _refusal(downloader: Downloader, pin: BlobPin, url: str, store: BlobStore) -> OriginError:
    """Set bytes aside that are not the pinned ones."""
    with downloader.path.open("rb") as file:
        page = name_wrong_start(file.read(SNIFF_BYTES))
    what = f"other bytes ({hash_file(downloader.path)})" + (f": {page}" if page else "")
    kept = store.reject(downloader.path, f"{what}\nfrom {url}\npinned {pin.sha256}")
    downloader.forget()
    return OriginError(f"{what}, kept in {kept}", advice=ADVICE)
