"""Inspects a source that is not pinned yet: its bytes, its tree, and which commit that is."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from packaging.utils import canonicalize_name

from recipes.core.digest import Sha1, Sha256, hash_tree
from recipes.core.errors import ArchiveError, RecipeError, UsageError, VerifyError
from recipes.core.filesystem import storage_errors
from recipes.fetch.archives.unpack import unpack
from recipes.fetch.fetcher import Fetcher
from recipes.fetch.http.network_errors import OriginError
from recipes.lock.git_archive_metadata import ArchiveMetadata, read_metadata
from recipes.lock.git_directory import MAX_LINK_BYTES, prove_commit, read_git_directory
from recipes.lock.git_refs import find_commit, find_tree
from recipes.lock.proposal import NewSource, midnight
from recipes.lock.request import Address, Release, SourceRequest, Tag, number_of_build
from recipes.lock.unpinned_files import Asker, SeenFile
from recipes.manifest.incomplete import UnfinishedManifests
from recipes.manifest.schema import ArchiveOrigin, GitOrigin, Origin, PypiOrigin, Recipe, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes.build.context import Job
    from recipes.fetch.archives.git_commits import Commit
    from recipes.manifest.load import Manifests

STRAY = ".git"  # what a submodule leaves of itself in a source distribution; no commit holds it


class Fact(NamedTuple):
    """What only the user can say of a source: in words, by which option, and how it is written."""

    what: str
    option: str
    hint: str


SUBDIRECTORY = Fact(
    "where the source lies in the archive",
    "--subdirectory PATH",
    "PATH from the archive's top, `.` for all of it",
)
COMMIT = Fact("which commit this source is", "--commit ID", "the full id")
NUMBER = Fact(
    "upstream's build number of this commit", "--build-number N", "upstream's tag of the commit is bN"
)


class _Unpacked(NamedTuple):
    """Where the source lay, what was left out of it, and what its `.git` file says."""

    subdirectory: str
    drop: tuple[str, ...]
    link: bytes


def inspect_source(request: SourceRequest, job: Job, into: Path) -> NewSource:
    """Download a source, unpack it safely into a new folder, and find out what it is; each finding is printed.

    1. Download it. Its digest is trusted on first use, unless the package index states one.
    2. Unpack the folder that holds the source, and hash its tree.
    3. Find out the commit, by the archive's own git directory if it has one, and compare the tree with what git has
       for it.
    4. Find out the build number and the day.

    `into` is on the store's file system. Raises what fetching and unpacking raise, UsageError where something cannot be
    found out and the user must say it, and VerifyError where git has another tree of the commit.
    """
    source, console = job.recipe.source, job.console
    # 1. The bytes.
    console.warn(f"{request.text} is not pinned yet: trusted on first use")
    fetcher = Fetcher(job.store, console, job.settings)
    file = _fetch(request, job, Asker(fetcher, request.where, request.again))
    unconfirmed = "no second source confirms these bytes"
    said_by = "the digest that the package index states" if file.is_stated else unconfirmed
    console.say(f"downloaded: {file.url}\n  {file.size_bytes} bytes, {file.sha256}\n  {said_by}")
    # 2. The tree.
    metadata = read_metadata(file.blob)
    subdirectory = request.subdirectory or _find_subdirectory(request, file, metadata, job)
    unpacked = _unpack(request, file, subdirectory, into, job.recipe)
    tree, tree_sha256 = hash_tree(into, Sha1), hash_tree(into, Sha256)
    console.say(f"  in it, {subdirectory}: {tree}, {tree_sha256}")
    # 3. The commit.
    is_pinned = (tree, tree_sha256) == (source.tree, source.tree_sha256)
    said = replace(request, commit=request.commit or metadata.commit)
    directory = read_git_directory(said, file.blob, subdirectory, unpacked.link, fetcher)
    proven = prove_commit(said, directory, tree, source.commit, fetcher)
    commit = proven.id if proven else _find_commit(request, metadata, source, fetcher, is_pinned=is_pinned)
    number = _find_number(request, source, commit)
    is_pinned = is_pinned and commit == source.commit
    if not is_pinned:
        _compare_with_git(request, source, commit, tree, fetcher)
    # 4. The rest.
    return NewSource(
        origin=_origin(
            request.place, source, file, unpacked, directory.path if proven and directory else None
        ),
        git=GitOrigin(url=_repository(source)) if isinstance(request.place, Tag) else None,
        commit=commit,
        build_number=number,
        tree=tree,
        tree_sha256=tree_sha256,
        epoch=source.epoch if is_pinned else _find_epoch(proven, metadata, file, job),
    )


def _fetch(request: SourceRequest, job: Job, asker: Asker) -> SeenFile:
    place = request.place
    if isinstance(place, Release):
        return asker.fetch_sdist(place.project, place.version)
    return asker.fetch_archive(_address(place, job.recipe.source))


def _address(place: Tag | Address, source: Source) -> str:
    # as forges serve the tree of a tag
    return place.url if isinstance(place, Address) else f"{_repository(source)}/archive/{place.name}.tar.gz"


def _repository(source: Source) -> str:
    return source.repository.rstrip("/").removesuffix(".git")


def _find_subdirectory(request: SourceRequest, file: SeenFile, metadata: ArchiveMetadata, job: Job) -> str:
    """Return where the source lies in an archive: by the archive's name, or as in the manifest's origin."""
    if isinstance(request.place, Release):
        below = _known_folder(request.place.project, job.recipe, job.manifests)
        # https://packaging.python.org/en/latest/specifications/source-distribution-format/: named as the file
        top = re.sub(r"(\.tar\.\w+|\.tgz|\.zip)$", "", file.name)
        found = f"no recipe with an origin of {request.place.project}, to tell it by"
        subdirectory = str(PurePosixPath(top, below)) if below else ""
    else:
        found, subdirectory = "an archive whose first member lies in no folder", metadata.top or ""
    if subdirectory:
        return subdirectory
    missing = [SUBDIRECTORY]
    if not (request.commit or metadata.commit or isinstance(request.place, Tag)):
        missing.append(COMMIT)  # unless its git directory says it, which cannot be found yet
    raise _unknown(request, found, [*missing, *_number_if_unknown(request)])


def _known_folder(project: str, recipe: Recipe, manifests: Manifests) -> str | None:
    """Return the folder of a package's source in it, below its top, as some recipe's origin has it."""
    candidates: list[Origin] = [*recipe.source.origins]
    others = UnfinishedManifests(manifests.project)  # one whose patches are not pinned yet tells it as well
    for name in others.recipe_names():
        with suppress(RecipeError):  # another recipe may be broken: that is not what was asked
            candidates += others.recipe(name).source.origins
    for origin in candidates:
        if isinstance(origin, PypiOrigin) and canonicalize_name(origin.project) == canonicalize_name(project):
            return str(PurePosixPath(*PurePosixPath(origin.subdirectory).parts[1:]))
    return None


def _unpack(
    request: SourceRequest, file: SeenFile, subdirectory: str, into: Path, recipe: Recipe
) -> _Unpacked:
    """Unpack the source without what is not of the commit."""
    try:
        unpack(file.blob, into, subdirectory=subdirectory, drop=(), where=request.where)
    except ArchiveError as error:
        error.fix = f"{request.again} --subdirectory PATH  # if the source lies elsewhere in it"
        raise
    known = {
        name
        for origin in recipe.source.origins
        if isinstance(origin, PypiOrigin) and isinstance(request.place, Release)
        for name in origin.drop
    }
    dropped = tuple(sorted(name for name in known | {STRAY} if (into / name).is_file()))
    link = b""
    with storage_errors(into):
        if STRAY in dropped:
            with (into / STRAY).open("rb") as file_of_link:
                link = file_of_link.read(MAX_LINK_BYTES + 1)
        for name in dropped:
            (into / name).unlink()
    return _Unpacked(subdirectory, dropped, link)


def _origin(
    place: Release | Tag | Address,
    source: Source,
    file: SeenFile,
    unpacked: _Unpacked,
    git_directory: str | None,
) -> PypiOrigin | ArchiveOrigin:
    if isinstance(place, Release):
        return PypiOrigin(
            project=place.project,
            version=place.version,
            file=file.name,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            subdirectory=unpacked.subdirectory,
            drop=unpacked.drop,
            git_directory=git_directory,
        )
    return ArchiveOrigin(
        url=_address(place, source),
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        subdirectory=unpacked.subdirectory,
        drop=unpacked.drop,
        git_directory=git_directory,
    )


def _find_commit(
    request: SourceRequest, metadata: ArchiveMetadata, source: Source, fetcher: Fetcher, *, is_pinned: bool
) -> Sha1:
    """Return the commit: as the archive says, the user, the manifest for the same tree, or the tag in git."""
    asked, console, place = request.commit, fetcher.console, request.place
    if asked and metadata.commit and asked != metadata.commit:
        raise UsageError(
            where="--commit",
            expected=f"{metadata.commit.hex}, which git wrote into the archive",
            found=asked.hex,
            fix=f"{request.again}  # without --commit",
        )
    found = "an archive that does not say of which commit it is"
    for commit, source_of_it in (
        (metadata.commit, "as the archive says"),
        (asked, "as you say"),
        (source.commit if is_pinned else None, "which is pinned for the same tree"),
    ):
        if commit:
            console.say(f"  commit {commit.hex}, {source_of_it}")
            return commit
    if isinstance(place, Tag):
        url = git_url(source)
        try:
            commit = find_commit(url, place.name, fetcher)
        except OriginError as error:
            found += f";\n{url}: {error}"
        else:
            console.say(f"  commit {commit.hex}, which {url} calls {place.name}")
            return commit
    raise _unknown(request, found, [COMMIT, *_number_if_unknown(request)])


def _find_number(request: SourceRequest, source: Source, commit: Sha1) -> int:
    said, asked = number_of_build(request.place), request.build_number
    if said is not None and asked not in {None, said}:
        raise UsageError(
            where="--build-number",
            expected=f"{said}, as the tag says",
            found=str(asked),
            fix=f"{request.again}  # without --build-number",
        )
    known = source.build_number if commit == source.commit else None
    number = next((number for number in (said, asked, known) if number is not None), None)
    if number is not None:
        return number
    raise _unknown(request, "a name that does not say it", [NUMBER])


def _number_if_unknown(request: SourceRequest) -> tuple[Fact, ...]:
    return () if request.build_number is not None or number_of_build(request.place) is not None else (NUMBER,)


def _unknown(request: SourceRequest, found: str, missing: Sequence[Fact]) -> UsageError:
    """Return the error that asks for all that the user must say, at once."""
    return UsageError(
        where=request.where,
        expected=f"to know {', and '.join(fact.what for fact in missing)}",
        found=found,
        fix=f"{request.again} {' '.join(fact.option for fact in missing)}"
        f"  # {'; '.join(fact.hint for fact in missing)}",
    )


def git_url(source: Source) -> str:
    """Return where git has a source."""
    return next(
        (origin.url for origin in source.origins if isinstance(origin, GitOrigin)), _repository(source)
    )


def _compare_with_git(
    request: SourceRequest, source: Source, commit: Sha1, tree: Sha1, fetcher: Fetcher
) -> None:
    """Demand that git has the same tree of the commit; where git cannot be asked, say that."""
    url = git_url(source)
    try:
        found = find_tree(url, commit, fetcher)
    except OriginError as error:
        fetcher.console.warn(f"the commit could not be compared with {url}: {error}")
        return
    if found != tree:
        raise VerifyError(
            where=request.where,
            expected=f"{found}, the tree of commit {commit.hex} at {url}",
            found=f"{tree} in the archive",
            fix=f"{request.again} --commit ID  # of the commit that the archive is made of",
        )
    fetcher.console.say(f"  {url} has the same tree of that commit")


def _find_epoch(proven: Commit | None, metadata: ArchiveMetadata, file: SeenFile, job: Job) -> int:
    """Return the day of the commit, or else that on which the package was published."""
    for time_s in (proven and proven.time_s, metadata.time_s, file.time_s):
        if time_s is not None:
            return midnight(time_s)
    job.console.warn(
        "nothing says when this source was made: `epoch` stays as it is, and must be set by hand"
    )
    return job.recipe.source.epoch
