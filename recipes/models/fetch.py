"""Brings a model's files into the store: from this machine where it has them, else from a mirror or the hub.

A file gets its name in the store once its digest holds. What has arrived survives a lost network, Ctrl-C, `kill -9`
and a reboot; bytes that are not the pinned ones are kept beside, with the cause.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from recipes.core.digest import hash_file
from recipes.core.errors import FetchError, StoreError, VerifyError
from recipes.core.filesystem import STORE_VARIABLE, free_bytes, remove_tree, size_text, storage_errors
from recipes.core.invocation import this_command
from recipes.core.settings import MIRROR_VARIABLE, OFFLINE_VARIABLE, PIP_CERT_VARIABLE, Settings
from recipes.fetch.download.parallel import CONNECTIONS, Fetched, PieceDownloader
from recipes.fetch.download.piece_file import note_path
from recipes.fetch.download.piece_map import PIECE_BYTES
from recipes.fetch.fetcher import Failure
from recipes.fetch.http.hub_token import Credential
from recipes.fetch.http.network_errors import UNTRUSTED, OriginError, shown_url
from recipes.fetch.http.redirects import Route
from recipes.fetch.http.response_rules import SNIFF_BYTES, Patience
from recipes.fetch.http.retry import Tempo
from recipes.models.files import PinnedFile, known_pins, pinned_files
from recipes.models.gguf.reader import read_gguf
from recipes.models.local_copies import HubCache, candidates, take_over
from recipes.models.mismatch_cause import Cause, Evidence, diagnose
from recipes.models.verify import verify_pinned
from recipes.store.stat_cache import is_unchanged, note_sight

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.core.console import Console
    from recipes.fetch.http.redirects import Statement
    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Model
    from recipes.store.store import Store

NEWEST = "main"  # what the hub calls a repository's newest commit


@dataclass(frozen=True)
class Mismatch:
    """A file that came whole and is not the pinned one.

    Parameters
    ----------
    label
        Where it came from.
    cause
        Why.
    found
        Its digest and size.
    kept
        Where its bytes are.
    """

    label: str
    cause: Cause
    found: str
    kept: Path

    def __str__(self) -> str:
        return f"{self.label}: {self.cause.text}\n  {self.found}, kept in {self.kept}"


@dataclass(frozen=True)
class ModelFetcher:
    """What models are fetched with.

    Parameters
    ----------
    manifests, store, console, settings
        What is pinned, where to, who is told, and what the user asked for.
    tempo
        How patiently; by default as the settings say.
    connections
        For each file, at a time.
    piece_bytes
        What is noted of a file at once.
    """

    manifests: Manifests
    store: Store
    console: Console
    settings: Settings
    tempo: Tempo | None = None
    connections: int = CONNECTIONS
    piece_bytes: int = PIECE_BYTES

    def fetch(self, model: Model, named: Path | None = None) -> tuple[PinnedFile, ...]:
        """Give a model's files, each on this machine and verified.

        Parameters
        ----------
        model
            Which.
        named
            A file or folder of this machine that may have them.

        Raises
        ------
        PinMissingError
            Where a file has no digest; then nothing is fetched.
        VerifyError
            Where what came is not the pinned file.
        FetchError
            Where no place delivered.
        StoreError
            Where the disk has no room, or refuses.
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
        verify_pinned(file, self.store, self.console)
        return True

    def _obtain(self, file: PinnedFile, named: Path | None, later_bytes: int) -> None:
        if self._take_from_here(file, named):
            return
        failures: list[Failure] = []
        mismatches: list[Mismatch] = []
        downloader = self._downloader(file, file.name)
        fetched = downloader.finish()  # one that was killed after its last byte
        if fetched and self._adopt(file, fetched, "what had arrived", None, mismatches):
            return
        if self.settings.offline:
            failures.append(
                Failure(file.name, f"not on this machine, and {OFFLINE_VARIABLE}=1 forbids the network")
            )
        else:
            for label, route in self._routes(file):
                downloader = self._downloader(file, label)
                try:
                    fetched = downloader.fetch(route, lambda size: self._check_room(file, size, later_bytes))
                except OriginError as error:
                    kept = self._keep_strange(file, downloader.strange, str(error))
                    failures.append(Failure(label, f"{error}{kept}", error.may_pass))
                    continue
                if self._adopt(file, fetched, label, route.statement, mismatches):
                    for problem in (*failures, *mismatches):
                        self.console.warn(f"passed over: {problem}")
                    return
        raise self._error(file, failures, mismatches)

    def _downloader(self, file: PinnedFile, label: str) -> PieceDownloader:
        tempo = self.tempo or Tempo(Patience(timeout_s=self.settings.timeout_s))
        return PieceDownloader(
            label,
            file.pin,
            pieces_path(file, self.store),
            self.console,
            tempo,
            connections=self.connections,
            certificates=self.settings.certificates,
            piece_bytes=self.piece_bytes,
        )

    def _routes(self, file: PinnedFile) -> tuple[tuple[str, Route], ...]:
        hub = self.settings.hub_url or str(file.model.hub)
        revision = file.model.revision.hex if file.model.revision else NEWEST
        address = f"{hub}/{file.model.repository}/resolve/{revision}/{quote(str(file.file.file))}"
        mirrors = [
            (f"mirror {shown_url(base)}", Route(f"{base}/{file.sha256.hex}"))
            for base in self.settings.mirrors
        ]
        return (*mirrors, (shown_url(hub), Route(address, Credential(hub, self.settings.hub_token))))

    def _take_from_here(self, file: PinnedFile, named: Path | None) -> bool:
        """Take the file over from elsewhere on this machine, if it is there and right."""
        cache = HubCache(self.settings.hub_cache) if self.settings.hub_cache else None
        for place in candidates(file.model, file.file, file.sha256, cache, named):
            size_bytes = place.stat().st_size
            if file.file.size_bytes not in {None, size_bytes}:
                self.console.warn(
                    f"{place} is another file: {size_bytes} bytes, pinned are {file.file.size_bytes}"
                )
                continue
            target = pieces_path(file, self.store).with_suffix(".taken")
            with storage_errors(target):
                remove_tree(target)
            how = take_over(place, target)
            with self.console.task(f"hash {place}, by {how}", None):
                found = hash_file(target)
            if found == file.sha256:
                blob = self.store.adopt_blob(target, file.sha256, is_shared=how == "hard link")
                note_sight(blob, file.sha256, self.store)
                self._forget_pieces(file)
                self.console.say(f"{file.name}: taken over from {place} by {how}")
                return True
            with storage_errors(target):
                target.unlink()
            self.console.warn(f"{place} is another file: {found}, pinned is {file.sha256}")
        return False

    def _check_room(self, file: PinnedFile, size_bytes: int, later_bytes: int) -> None:
        path = pieces_path(file, self.store)
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

    def _adopt(
        self,
        file: PinnedFile,
        fetched: Fetched,
        label: str,
        statement: Statement | None,
        mismatches: list[Mismatch],
    ) -> bool:
        """Make a whole file one of the store, or set it aside and note why."""
        if fetched.digest == file.sha256:
            blob = self.store.adopt_blob(fetched.path, file.sha256)
            note_sight(blob, file.sha256, self.store)
            self._forget_pieces(file)
            return True
        cause = self._cause(file, fetched, statement)
        found = f"found {fetched.digest}, {fetched.size_bytes} bytes"
        kept = self.store.reject(fetched.path, f"{cause.text}\n{found}\nfrom {label}\npinned {file.sha256}")
        self._forget_pieces(file)
        mismatches.append(Mismatch(label, cause, found, kept))
        return False

    def _cause(self, file: PinnedFile, fetched: Fetched, statement: Statement | None) -> Cause:
        with storage_errors(fetched.path), fetched.path.open("rb") as reading:
            start = reading.read(SNIFF_BYTES)
        evidence = Evidence(
            fetched.digest,
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

    def _keep_strange(self, file: PinnedFile, strange: bytes, reason: str) -> str:
        """Keep an answer that was not the file, and say where."""
        if not strange:
            return ""
        path = pieces_path(file, self.store).with_suffix(".answer")
        with storage_errors(path):
            path.write_bytes(strange)
        return f", kept in {self.store.reject(path, reason)}"

    def _forget_pieces(self, file: PinnedFile) -> None:
        path = pieces_path(file, self.store)
        with storage_errors(path):
            path.unlink(missing_ok=True)
            note_path(path).unlink(missing_ok=True)

    def _error(
        self, file: PinnedFile, failures: list[Failure], mismatches: list[Mismatch]
    ) -> VerifyError | FetchError:
        size = f", {file.file.size_bytes} bytes" if file.file.size_bytes is not None else ""
        where, expected = f"{file.where}, {file.name}", f"{file.sha256}{size}"
        found = "\n".join(str(problem) for problem in (*mismatches, *failures))
        command = again(file.model)
        if mismatches:
            return VerifyError(
                where=where, expected=expected, found=found, fix=f"{mismatches[-1].cause.advice}: {command}"
            )
        if self.settings.offline:
            fix = f"{OFFLINE_VARIABLE}=0 {command}"
        elif any(UNTRUSTED in failure.reason for failure in failures):
            fix = f"{PIP_CERT_VARIABLE}=/path/to/authority.pem {command}  # your network's own, if it has one"
        elif any(failure.may_pass for failure in failures):
            fix = f"{command}  # once the network is back; it goes on from what has arrived"
        elif any("upstream changed" in failure.reason for failure in failures):
            fix = f"python3 noxfile.py -s lock -- --model {file.model.name}  # shows what the hub has now"
        else:
            fix = f"{MIRROR_VARIABLE}=https://... {command}  # with a mirror that has it; or correct the pin"
        return FetchError(where=where, expected=expected, found=found, fix=fix)


def pieces_path(file: PinnedFile, store: Store) -> Path:
    """Where a file's pieces are kept until it is whole."""
    return store.partial_path(file.sha256).with_suffix(".pieces")


def again(model: Model) -> str:
    """Return the command that fetches a model, as it was typed."""
    return this_command(f"models fetch {model.name}")
