"""Brings a model's files into the store: from this machine where it has them, else from a mirror or the hub.

A file gets its name in the store once its digest holds. What has arrived survives a lost network, Ctrl-C, `kill -9`
and a reboot; bytes that are not the pinned ones are kept beside, with the cause.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from recipes.core.digest import hash_file
from recipes.core.errors import StoreError, VerifyError
from recipes.core.filesystem import STORE_VARIABLE, free_bytes, remove_tree, size_text, storage_errors
from recipes.core.invocation import this_command
from recipes.fetch.download.piece_file import note_path, pieces_path
from recipes.fetch.fetcher import Candidate, Fetcher, pin_text
from recipes.fetch.http.hub_token import Credential
from recipes.fetch.http.network_errors import OriginError, shown_url
from recipes.fetch.http.sniff import SNIFF_BYTES
from recipes.models.files import PinnedFile, known_pins, pinned_files
from recipes.models.gguf.reader import read_gguf
from recipes.models.local_copies import HubCache, candidates, take_over
from recipes.models.mismatch_cause import Cause, Evidence, diagnose
from recipes.models.verify import verify_pinned
from recipes.store.stat_cache import is_unchanged, note_sight

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.core.console import Console
    from recipes.fetch.download.downloader import Downloader, Fetched
    from recipes.fetch.http.redirects import Route, Statement
    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Model
    from recipes.store.store import Store

NEWEST = "main"  # what the hub calls a repository's newest commit


@dataclass(frozen=True)
class ModelFetcher:
    """What models are fetched with."""

    manifests: Manifests
    fetcher: Fetcher

    @property
    def store(self) -> Store:
        """Where the files go."""
        return self.fetcher.store

    @property
    def console(self) -> Console:
        """Who is told."""
        return self.fetcher.console

    def fetch(self, model: Model, named: Path | None = None) -> tuple[PinnedFile, ...]:
        """Return a model's files, each on this machine and verified.

        `named` is a file or folder of this machine that may have them. Where a file has no digest, nothing is fetched
        and a PinMissingError raised; a VerifyError where what came is not the pinned file, a FetchError where no
        place delivered, a StoreError where the disk has no room, or refuses.
        """
        files = pinned_files(model, self.manifests, self.store)
        missing = [file for file in files if not self._is_here(file)]
        for number, file in enumerate(missing):
            later_bytes = sum(other.file.size_bytes or 0 for other in missing[number + 1 :])
            with self.store.lock(file.sha256.hex, self.console):
                if not self._is_here(file):  # another process may have fetched it while this one waited
                    self._obtain(file, named, later_bytes)
        return files

    def _is_here(self, file: PinnedFile) -> bool:
        if file.path.is_file() and is_unchanged(file.path, file.sha256, self.store):
            return True
        if not file.is_local and not file.path.exists():
            return False
        verify_pinned(file, self.fetcher)
        return True

    def _obtain(self, file: PinnedFile, named: Path | None, later_bytes: int) -> None:
        if self._take_from_here(file, named):
            return

        def receive(downloader: Downloader, route: Route | None) -> Path:
            fetched = downloader.fetch(route, lambda size: self._check_room(file, size, later_bytes))
            if fetched.digest != file.sha256:
                raise self._refusal(file, fetched, downloader, route.statement if route else None)
            blob = self.store.adopt_blob(fetched.path, file.sha256)
            note_sight(blob, file.sha256, self.store)
            downloader.forget()
            return blob

        places = (self._at_hub(file),) if file.model.repository else ()
        delivery = self.fetcher.deliver(file.pin, places, file.name, receive)
        if delivery.blob is None:
            raise self.fetcher.error(
                f"{file.where}, {file.name}",
                pin_text(file.pin),
                delivery.failures,
                again(file.model),
                f"python3 noxfile.py -s lock -- --model {file.model.name}",
            )
        for failure in delivery.failures:
            self.console.warn(f"skipped: {failure}")

    def _at_hub(self, file: PinnedFile) -> Candidate:
        settings = self.fetcher.settings
        hub = settings.hub_url or str(file.model.hub)
        revision = file.model.revision.hex if file.model.revision else NEWEST
        address = f"{hub}/{file.model.repository}/resolve/{revision}/{quote(str(file.file.file))}"
        return Candidate(shown_url(hub), address, Credential(hub, settings.hub_token))

    def _take_from_here(self, file: PinnedFile, named: Path | None) -> bool:
        """Reuse a local file, if there is one with the right bytes."""
        folder = self.fetcher.settings.hub_cache
        cache = HubCache(folder) if folder else None
        for place in candidates(file.model, file.file, file.sha256, cache, named):
            size_bytes = place.stat().st_size
            if file.file.size_bytes not in {None, size_bytes}:
                self.console.warn(
                    f"{place} is another file: {size_bytes} bytes, pinned are {file.file.size_bytes}"
                )
                continue
            pieces = pieces_path(self.store, file.sha256)
            target = pieces.with_suffix(".taken")
            with storage_errors(target):
                remove_tree(target)
            how = take_over(place, target)
            with self.console.task(f"hash {place}, by {how}", None):
                found = hash_file(target)
            if found == file.sha256:
                blob = self.store.adopt_blob(target, file.sha256, is_shared=how == "hard link")
                note_sight(blob, file.sha256, self.store)
                with storage_errors(pieces):
                    pieces.unlink(missing_ok=True)
                    note_path(pieces).unlink(missing_ok=True)
                self.console.say(f"{file.name}: reused local file {place} ({how})")
                return True
            with storage_errors(target):
                target.unlink()
            self.console.warn(f"{place} is another file: {found}, pinned is {file.sha256}")
        return False

    def _check_room(self, file: PinnedFile, size_bytes: int, later_bytes: int) -> None:
        path = pieces_path(self.store, file.sha256)
        with storage_errors(path):
            arrived_bytes = path.stat().st_blocks * 512 if path.exists() else 0
        needed_bytes = max(0, size_bytes - arrived_bytes) + later_bytes
        free = free_bytes(path)
        if needed_bytes > free:
            raise StoreError(
                where=str(self.store.root),
                expected=f"{size_text(needed_bytes)} free, for {file.name}"
                + (" and what comes after it" if later_bytes else ""),
                found=f"{size_text(free)} free",
                fix=f"free some space, or set {STORE_VARIABLE} to a folder with room, then {again(file.model)}",
            )

    def _refusal(
        self, file: PinnedFile, fetched: Fetched, downloader: Downloader, statement: Statement | None
    ) -> OriginError:
        """Set a whole file aside that is not the pinned one."""
        cause = self._cause(file, fetched, statement)
        found = f"found {fetched.digest}, {fetched.size_bytes} bytes"
        origin = f"from {downloader.label}"
        kept = self.store.reject(fetched.path, f"{cause.text}\n{found}\n{origin}\npinned {file.sha256}")
        downloader.forget()
        return OriginError(f"{cause.text}\n  {found}, kept in {kept}", advice=cause.advice)

    def _cause(self, file: PinnedFile, fetched: Fetched, statement: Statement | None) -> Cause:
        with storage_errors(fetched.path), fetched.path.open("rb") as reading:
            start = reading.read(SNIFF_BYTES)
        evidence = Evidence(
            fetched.digest or hash_file(fetched.path),
            fetched.size_bytes,
            start,
            file.sha256,
            file.file.size_bytes,
            file.file.quantisation,
            known_pins(self.manifests, file.sha256),
            statement,
            file.model.revision.hex if file.model.revision else None,
        )
        try:
            value = read_gguf(fetched.path).metadata.get("general.file_type")
        except VerifyError as error:
            return diagnose(replace(evidence, fault=error.found))
        return diagnose(
            replace(evidence, file_type=value.content if value and type(value.content) is int else None)
        )


def again(model: Model) -> str:
    """Return the command that fetches a model, as it was typed."""
    return this_command(f"models fetch {model.name}")
