"""A source from the first of its origins that gives the pinned tree; toolchain wheels by the same path.

Origins of one source are interchangeable: what identifies the source is the digest of its tree, never the
archive. An origin that gives another tree, or whose own git directory has another commit, is skipped, and the reason
is kept.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.digest import Sha1, Sha256, hash_tree
from recipes.core.errors import ArchiveError, RecipeError, VerifyError
from recipes.core.filesystem import remove_tree, storage_errors
from recipes.core.settings import OFFLINE_VARIABLE
from recipes.fetch.archives.unpack import unpack
from recipes.fetch.commit_proof import commits_of_archive, verify_commit
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
    refused: RecipeError | None = (
        None  # where its archive is the pinned one and unsafe, or has another commit
    )
    proves_commit: bool = False


@dataclass(frozen=True)
class FetchedSource:
    """Which origin delivered, and why those before it did not."""

    origin_label: str
    proves_commit: bool
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class _Wanted:
    """A source, the recipe that pins it, and the place of its origins in the manifest."""

    recipe_name: str
    source: Source
    where: str

    @property
    def tree(self) -> Tree:
        return Tree(self.source.tree, self.source.tree_sha256)

    def relock(self, origin: Origin) -> str:
        """Return the command that proposes what an origin gives now."""
        if isinstance(origin, PypiOrigin):
            place = f"{origin.project}=={origin.version}"
        else:
            place = origin.url if isinstance(origin, ArchiveOrigin) else f"b{self.source.build_number}"
        lock = f"python3 noxfile.py -s lock -- --recipe {self.recipe_name} --source {place}"
        return f"{lock}  # proposes what it gives now"


def fetch_wheel(wheel: Wheel, where: str, context: Context) -> Path:
    """Return a pinned wheel of the store, downloaded if it is not there; raises what `Fetcher.fetch_blob` does."""
    fetcher = Fetcher.of(context)
    return fetcher.fetch_blob(BlobPin(wheel.sha256, wheel.size_bytes), (_indexed(wheel, fetcher),), where)


def fetch_source(
    recipe_name: str, source: Source, where: str, context: Context, *, into: Path
) -> FetchedSource:
    """Lay out the pinned tree, from the first origin that gives it; what the store holds is tried first.

    `into` is an empty folder on the store's file system; `where` is the place of the origins in the manifest. Where no
    origin gives the tree: a VerifyError if each gave another one, an archive has other bytes, or one has the tree and
    another commit; the ArchiveError of a single origin, else a FetchError with all reasons; a StoreError where the
    store fails.
    """
    fetcher = Fetcher.of(context)
    wanted = _Wanted(recipe_name, source, where)
    results: list[OriginResult] = []
    for origin in sorted(source.origins, key=lambda origin: not _is_here(origin, context.store)):
        result = _try_origin(origin, wanted, fetcher, into)
        results.append(result)
        if result.tree == wanted.tree:
            return FetchedSource(result.label, result.proves_commit, _all_failures(results))
    failures = _all_failures(results)
    found = "\n".join(str(failure) for failure in failures)
    if len(results) == 1 and results[0].refused:
        raise results[0].refused
    for result in results:
        if isinstance(result.refused, VerifyError):  # certain, and told by name, whatever the others lack
            others = [str(failure) for other in results if other is not result for failure in other.failures]
            result.refused.found = "\n".join([result.refused.found, *others])
            raise result.refused
    if all(result.tree for result in results):
        raise VerifyError(
            where=where, expected=str(wanted.tree), found=found, fix=wanted.relock(source.origins[0])
        )
    raise fetcher.error(where, str(wanted.tree), failures)


def compare_origins(
    recipe_name: str, source: Source, where: str, fetcher: Fetcher
) -> tuple[OriginResult, ...]:
    """Unpack the source from each of its origins, and return what each delivered: the proof that all are one."""
    wanted, results = _Wanted(recipe_name, source, where), []
    for origin in source.origins:
        with fetcher.store.scratch(f"origin-{source.commit.hex}") as scratch:
            into = scratch / "tree"
            into.mkdir()
            results.append(_try_origin(origin, wanted, fetcher, into))
    return tuple(results)


def origin_label(origin: Origin) -> str:
    """Return what an origin is called in messages."""
    if isinstance(origin, PypiOrigin):
        return f"pypi {origin.project} {origin.version}"
    kind = "git" if isinstance(origin, GitOrigin) else "archive"
    return f"{kind} {shown_url(origin.url)}"


def _try_origin(origin: Origin, wanted: _Wanted, fetcher: Fetcher, into: Path) -> OriginResult:
    """Lay out what an origin gives, and check its tree and its commit; where it is refused, `into` is empty again.

    1. Bring its bytes, and lay out the source.
    2. Compare the tree with the pinned one.
    3. Prove the commit: git fetched it by its id; an archive may carry a git directory.
    """
    label = origin_label(origin)
    place = f"{wanted.where}, {label}"
    skipped: tuple[Failure, ...] = ()
    # 1. The source.
    try:
        if isinstance(origin, GitOrigin):
            _check_out(origin, wanted.source, fetcher, into)
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
        return _refusal(label, place, skipped, error)
    # 2. The tree.
    tree = Tree(hash_tree(into, Sha1), hash_tree(into, Sha256))
    if tree != wanted.tree:
        kept = fetcher.store.reject(into, f"from {label}\nfound {tree}\npinned {wanted.tree}")
        _empty(into)
        return OriginResult(label, tree, (*skipped, Failure(label, f"it gives {tree}, kept in {kept}")))
    # 3. The commit.
    try:
        is_proven = isinstance(origin, GitOrigin) or _prove_commit(origin, wanted, fetcher.store, place)
    except (ArchiveError, VerifyError) as error:
        _empty(into)
        return _refusal(label, place, skipped, error)
    return OriginResult(label, tree, skipped, proves_commit=is_proven)


def _prove_commit(origin: PypiOrigin | ArchiveOrigin, wanted: _Wanted, store: Store, place: str) -> bool:
    """Prove the pinned commit by the git directory of an archive; return whether it has one."""
    if origin.git_directory is None:
        return False
    where = f"{place}, git directory {origin.git_directory}"
    archive = store.blob_path(origin.sha256)
    with closing(commits_of_archive(archive, origin.git_directory, store, where)) as commits:
        verify_commit(commits, wanted.source, where, wanted.relock(origin))
    return True


def _refusal(label: str, place: str, skipped: tuple[Failure, ...], error: RecipeError) -> OriginResult:
    part = error.where.removeprefix(place).lstrip(":, ")
    shown = f", {part}" if part else ""
    reason = f"its archive{shown}: expected {error.expected}, found {error.found}"
    return OriginResult(label, None, (*skipped, Failure(label, reason)), error)


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
