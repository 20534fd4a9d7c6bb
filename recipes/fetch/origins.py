"""A source from the first of its origins that gives the pinned tree; toolchain wheels by the same path.

Origins of one source are interchangeable: what identifies the source is the digest of its tree, never the
archive. An origin that gives another tree is skipped, and the reason is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.digest import Sha1, Sha256, hash_tree
from recipes.core.errors import ArchiveError, VerifyError
from recipes.core.filesystem import remove_tree, storage_errors
from recipes.core.settings import OFFLINE_VARIABLE
from recipes.fetch.archives.unpack import unpack
from recipes.fetch.fetcher import Candidate, Failure, Fetcher
from recipes.fetch.git_checkout import GitClient
from recipes.fetch.http.network_errors import OriginError, shown_url
from recipes.fetch.http.response_rules import BlobPin, TryLater
from recipes.fetch.package_index import IndexFile
from recipes.manifest.schema import ArchiveOrigin, GitOrigin, Origin, PypiOrigin, Source, Wheel

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from recipes.store.context import Context
    from recipes.store.store import Store


@dataclass(frozen=True)
class Tree:
    """Both digests of an unpacked source."""

    sha1: Sha1
    sha256: Sha256

    def __str__(self) -> str:
        return f"tree {self.sha1}, {self.sha256}"


@dataclass(frozen=True)
class OriginResult:
    """What one origin gave."""

    label: str
    tree: Tree | None
    failures: tuple[Failure, ...] = ()  # why it gave no tree, and which mirrors were skipped before
    refused: ArchiveError | None = None  # where its archive is the pinned one and cannot be unpacked


@dataclass(frozen=True)
class FetchedSource:
    """Which origin delivered, and why those before it did not."""

    origin_label: str
    failures: tuple[Failure, ...]


def fetch_wheel(wheel: Wheel, where: str, context: Context) -> Path:
    """Return a pinned wheel of the store, downloaded if it is not there; raises what `Fetcher.fetch_blob` does."""
    fetcher = Fetcher.of(context)
    return fetcher.fetch_blob(BlobPin(wheel.sha256, wheel.size_bytes), (_indexed(wheel, fetcher),), where)


def fetch_source(
    recipe_name: str, source: Source, where: str, context: Context, *, into: Path
) -> FetchedSource:
    """Lay out the pinned tree, from the first origin that gives it; what the store holds is tried first.

    `into` is an empty folder on the store's file system; `where` is the place of the origins in the manifest. Where no
    origin gives the tree: a VerifyError if each gave another one or an archive has other bytes, the ArchiveError of a
    single origin, else a FetchError with all reasons; a StoreError where the store fails.
    """
    fetcher = Fetcher.of(context)
    wanted = Tree(source.tree, source.tree_sha256)
    results: list[OriginResult] = []
    for origin in sorted(source.origins, key=lambda origin: not _is_here(origin, context.store)):
        result = _try_origin(origin, source, where, fetcher, into)
        results.append(result)
        if result.tree == wanted:
            return FetchedSource(result.label, _all_failures(results))
    failures = _all_failures(results)
    if len(results) == 1 and results[0].refused:
        raise results[0].refused
    if all(result.tree for result in results):
        relock = f"python3 noxfile.py -s lock -- --recipe {recipe_name} --source {_place(source)}"
        raise VerifyError(
            where=where,
            expected=str(wanted),
            found="\n".join(str(failure) for failure in failures),
            fix=f"{relock}  # proposes what it gives now",
        )
    raise fetcher.error(where, str(wanted), failures)


def _place(source: Source) -> str:
    """Return the first origin as `lock --source` takes it."""
    origin = source.origins[0]
    if isinstance(origin, PypiOrigin):
        return f"{origin.project}=={origin.version}"
    return origin.url if isinstance(origin, ArchiveOrigin) else f"b{source.build_number}"


def compare_origins(source: Source, where: str, fetcher: Fetcher) -> tuple[OriginResult, ...]:
    """Unpack the source from each of its origins, and return what each delivered: the proof that all are one."""
    results = []
    for origin in source.origins:
        with fetcher.store.scratch(f"origin-{source.commit.hex}") as scratch:
            into = scratch / "tree"
            into.mkdir()
            results.append(_try_origin(origin, source, where, fetcher, into))
    return tuple(results)


def origin_label(origin: Origin) -> str:
    """Return what an origin is called in messages."""
    if isinstance(origin, PypiOrigin):
        return f"pypi {origin.project} {origin.version}"
    kind = "git" if isinstance(origin, GitOrigin) else "archive"
    return f"{kind} {shown_url(origin.url)}"


def _try_origin(origin: Origin, source: Source, where: str, fetcher: Fetcher, into: Path) -> OriginResult:
    """Lay out what an origin gives and check its tree; if it isn't the pinned one, `into` is empty again."""
    label = origin_label(origin)
    place = f"{where}, {label}"
    skipped: tuple[Failure, ...] = ()
    try:
        if isinstance(origin, GitOrigin):
            _check_out(origin, source, fetcher, into)
        else:
            delivery = fetcher.try_blob(*_archive_pin(origin, fetcher), place)
            skipped = delivery.failures
            if delivery.blob is None:
                return OriginResult(label, None, skipped)
            unpack(delivery.blob, into, subdirectory=origin.subdirectory, drop=origin.drop, where=place)
    except OriginError as error:
        _empty(into)
        return OriginResult(label, None, (Failure(label, str(error), error.may_pass),))
    except ArchiveError as error:
        member = error.where.removeprefix(place).lstrip(":, ")
        shown = f", {member}" if member else ""
        reason = f"its archive{shown}: expected {error.expected}, found {error.found}"
        return OriginResult(label, None, (*skipped, Failure(label, reason)), error)
    tree = Tree(hash_tree(into, Sha1), hash_tree(into, Sha256))
    pinned = Tree(source.tree, source.tree_sha256)
    if tree == pinned:
        return OriginResult(label, tree, skipped)
    kept = fetcher.store.reject(into, f"from {label}\nfound {tree}\npinned {pinned}")
    _empty(into)
    return OriginResult(label, tree, (*skipped, Failure(label, f"it gives {tree}, kept in {kept}")))


def _all_failures(results: Iterable[OriginResult]) -> tuple[Failure, ...]:
    return tuple(failure for result in results for failure in result.failures)


def _is_here(origin: Origin, store: Store) -> bool:
    return not isinstance(origin, GitOrigin) and store.blob_path(origin.sha256).exists()


def _archive_pin(
    origin: PypiOrigin | ArchiveOrigin, fetcher: Fetcher
) -> tuple[BlobPin, tuple[Candidate, ...]]:
    if isinstance(origin, PypiOrigin):
        return BlobPin(origin.sha256, origin.size_bytes), (_indexed(origin, fetcher),)
    pin = BlobPin(origin.sha256, origin.size_bytes, origin.max_bytes)
    return pin, (Candidate(origin_label(origin), origin.url),)


def _indexed(pinned: PypiOrigin | Wheel, fetcher: Fetcher) -> Candidate:
    """Return a file of the package index as a place whose address the index must be asked for."""
    label = f"pypi {pinned.project} {pinned.version}"
    wanted = IndexFile(pinned.project, pinned.file, pinned.sha256, pinned.size_bytes)

    def ask() -> str | TryLater:
        return fetcher.index.find_address(wanted)

    return Candidate(label, lambda: fetcher.pace.persist(label, ask, fetcher.console))


def _check_out(origin: GitOrigin, source: Source, fetcher: Fetcher, into: Path) -> None:
    settings = fetcher.settings
    if settings.offline and not origin.url.startswith("file:"):
        raise OriginError(f"{OFFLINE_VARIABLE}=1 forbids the network")
    label = origin_label(origin)
    with (
        fetcher.store.scratch(f"git-{source.commit.hex}") as scratch,
        fetcher.console.task(f"fetch from {label}", None),
    ):
        client = GitClient(scratch, settings.network, fetcher.pace.patience.timeout_s)
        client.lay_out(origin.url, source.commit, into)


def _empty(folder: Path) -> None:
    with storage_errors(folder):
        remove_tree(folder)
        folder.mkdir()
