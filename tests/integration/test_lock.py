"""`lock` against real servers, archives and repositories: what it proposes, what it refuses, what it writes.

Upstream is a small git repository with two tags, b7 and b8. The recipe pins b7, and its patches meet each of
the fates that a patch can have on b8.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.servers import WEB_PAGE, Behaviour, Server, redirects_to, sends

from recipes import cli
from recipes.console import Plain
from recipes.digest import Sha1, Sha256, hash_tree
from recipes.errors import (
    ArchiveError,
    FetchError,
    ManifestError,
    PatchError,
    RecipeError,
    StoreError,
    UsageError,
    VerifyError,
)
from recipes.lock import propose
from recipes.manifest import Manifests
from recipes.outputs import digest_of_listing
from recipes.patch import apply_patch, parse_patch
from recipes.pipeline import Job
from recipes.proposal import Change
from recipes.replacing import write_proposal
from recipes.sandbox import Surroundings
from recipes.settings import Settings
from recipes.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DATA = Path(__file__).parent.parent / "data" / "manifests" / "project"
RECIPE = "manifests/recipes/small.yaml"
AGAIN = "python3 noxfile.py -s lock -- --recipe small"
PLATFORM = "linux-x86_64-cpu"
DAY_7, DAY_8 = 1_699_920_000, 1_700_006_400  # 2023-11-14 and 2023-11-15
NO_GIT_CONFIG = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ["PATH"]}


def lines(*changed: tuple[int, str]) -> str:
    """Give forty lines, some of them with another text."""
    texts = {number: f"line {number}" for number in range(1, 41)} | dict(changed)
    return "".join(f"{text}\n" for text in texts.values())


OLD = {"LICENSE": "yours\n", "exact.c": lines(), "moved.c": lines(), "fuzzy.c": lines()}
OLD |= {"applied.c": lines(), "conflict.c": lines()}
NEW = {
    "LICENSE": "yours\n",
    "exact.c": lines((1, "another first line")),
    "moved.c": "a new line\na second one\n" + lines(),
    "fuzzy.c": lines((17, "another line 17")),
    "applied.c": lines((20, "mended")),
    "conflict.c": lines((20, "rewritten upstream")),
}
SERIES = ("exact", "moved", "fuzzy", "applied", "conflict")


def git(*arguments: str, at: Path, **extra: str) -> bytes:
    done = subprocess.run(
        ["git", *arguments], cwd=at, check=True, capture_output=True, env={**NO_GIT_CONFIG, **extra}
    )
    return done.stdout


def write_tree(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def sdist(top: str, files: Mapping[str, str], *, below: str = "vendor/upstream") -> bytes:
    """Give a source distribution that carries a source, and the stray link that a submodule leaves."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in {f"{below}/.git": "gitdir: elsewhere\n", **{f"{below}/{n}": t for n, t in files.items()}}.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


@dataclass(frozen=True)
class Upstream:
    """A repository, what its tags are, and its archives as a forge would serve them."""

    repository: Path
    commits: Mapping[str, str]
    trees: Mapping[str, str]
    archives: Mapping[str, bytes]

    @property
    def url(self) -> str:
        return self.repository.as_uri()


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    repository = tmp_path_factory.mktemp("upstream")
    git("init", "-q", "-b", "main", at=repository)
    commits, trees, archives = {}, {}, {}
    for tag, files, day in (("b7", OLD, DAY_7), ("b8", NEW, DAY_8)):
        write_tree(repository, files)
        git("add", "--all", at=repository)
        who = ("-c", "user.name=upstream", "-c", "user.email=upstream@example.org")
        when = f"{day + 3600} +0000"
        git(*who, "commit", "-q", "-m", tag, at=repository, GIT_AUTHOR_DATE=when, GIT_COMMITTER_DATE=when)
        git(*who, "tag", "-a", "-m", tag, tag, at=repository)
        commits[tag] = git("rev-parse", "HEAD", at=repository).decode().strip()
        trees[tag] = git("rev-parse", "HEAD^{tree}", at=repository).decode().strip()
        archives[tag] = gzip.compress(git("archive", f"--prefix=up-{tag}/", tag, at=repository), mtime=0)
    return Upstream(repository, commits, trees, archives)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@dataclass
class Workshop:
    """A project with one recipe, a store, and the servers that it is locked against."""

    project: Path
    root: Path
    server: Server
    upstream: Upstream
    capsys: pytest.CaptureFixture[str]

    @property
    def manifest(self) -> Path:
        return self.project / RECIPE

    @property
    def text(self) -> str:
        return self.manifest.read_text(encoding="utf-8")

    def job(self, *, platform: str = PLATFORM, offline: bool = False, log: io.StringIO | None = None) -> Job:
        manifests = Manifests(self.project)
        settings = Settings(self.root, index_url=self.server.url("/simple"), offline=offline, timeout_s=10)
        console = Plain(log or io.StringIO())
        store = Store.open(self.root)
        return Job(manifests, manifests.recipe("small"), platform, store, console, settings, Surroundings(jobs=1))

    def lock(self, *arguments: str, offline: bool = False) -> tuple[str, str]:
        """Run the session; give the difference, and what was said without the lines that tell a duration."""
        options = cli.parser().parse_args(["lock", "--recipe", "small", *arguments])
        log = io.StringIO()
        job = self.job(platform=options.platform or PLATFORM, offline=offline, log=log)
        assert propose(job, options) == 0
        said = [line for line in log.getvalue().splitlines() if not line.startswith("fetch ")]
        return self.capsys.readouterr().out, "\n".join(said)

    def refuse(self, *arguments: str, kind: type[RecipeError], offline: bool = False) -> RecipeError:
        """Run the session to its error; nothing of the project has changed, and nothing is proposed."""
        before = snapshot(self.project)
        with pytest.raises(kind) as caught:
            self.lock(*arguments, offline=offline)
        assert snapshot(self.project) == before
        assert self.capsys.readouterr().out == ""
        return caught.value

    def publish(self, version: str, data: bytes, *, digest: str | None = None, name: str = "") -> str:
        """Put a source distribution into the index; give its address."""
        name = name or f"small_source-{version}.tar.gz"
        url = self.server.serve(f"/files/{name}", data)
        entry: dict[str, object] = {"filename": name, "url": url, "hashes": {}, "size": len(data)}
        if digest is None or digest:
            entry["hashes"] = {"sha256": digest or hashlib.sha256(data).hexdigest()}
        entry["upload-time"] = "2023-11-16T10:20:30.000000Z"
        page = {"meta": {"api-version": "1.1"}, "name": "small-source", "files": [entry], "versions": [version]}
        kind = (("Content-Type", "application/vnd.pypi.simple.v1+json"),)
        self.server.serve("/simple/small-source/", json.dumps(page).encode(), Behaviour(headers=kind))
        return url

    def tag(self, tag: str, data: bytes | None = None, *behaviours: Behaviour) -> str:
        """Serve a tag's archive as a forge does; give its address."""
        data = self.upstream.archives[tag] if data is None else data
        return self.server.serve(f"/up/archive/{tag}.tar.gz", data, *behaviours)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def workshop(
    tmp_path: Path, server: Server, upstream: Upstream, capsys: pytest.CaptureFixture[str]
) -> Workshop:
    return make_workshop(tmp_path, server, upstream, capsys, ("exact",))


def make_workshop(
    place: Path,
    server: Server,
    upstream: Upstream,
    capsys: pytest.CaptureFixture[str],
    series: Sequence[str],
) -> Workshop:
    """Make a project whose recipe pins b7 and some of the patches, and a store that has b7's archive."""
    project = place / "project"
    shutil.copytree(DATA / "manifests/toolchains", project / "manifests/toolchains")
    (project / "manifests/recipes").mkdir()
    shutil.copy(DATA / "manifests/defaults.yaml", project / "manifests/defaults.yaml")
    tree = place / "tree"
    tree.mkdir()
    write_tree(tree, OLD)
    tree_sha256 = hash_tree(tree, Sha256)
    patches = ""
    for number, name in enumerate(series, 1):
        file = f"b7/{number:04}-{name}.patch"
        write_patch(project / "patches" / file, f"{name}.c", place)
        apply_patch(parse_patch((project / "patches" / file).read_bytes(), file), tree)
        patches += f"""\
  # why patch {number} is here
  - file: {file}
    sha256: {Sha256.of_bytes((project / "patches" / file).read_bytes()).hex}
    reason: {name} is mended # and so on
    upstream: https://example.org/issues/{number}
    tree: {hash_tree(tree, Sha1).hex}
    tree_sha256: {hash_tree(tree, Sha256).hex}
"""
    old = sdist("small_source-0.1.0", OLD)
    store = Store.open(place / "store")
    store.blob_path(Sha256.of_bytes(old)).write_bytes(old)
    commit = upstream.commits["b7"]
    (project / RECIPE).write_text(
        f"""\
# yaml-language-server: $schema=../schema/recipe.schema.json
# Upstream b7, of 2023-11-14.
schema: recipe/1
name: small
summary: one of everything
source:
  repository: {server.url("/up")}
  commit: {commit}
  build_number: 7
  tree: {upstream.trees["b7"]}
  tree_sha256: {tree_sha256.hex}
  epoch: {DAY_7} # 2023-11-14, midnight UTC
  licence: MIT
  origins:
    # the package carries the whole tree
    - kind: pypi
      project: small-source
      version: 0.1.0
      file: small_source-0.1.0.tar.gz
      size_bytes: {len(old)}
      sha256: {Sha256.of_bytes(old).hex}
      subdirectory: small_source-0.1.0/vendor/upstream
      drop: [.git] # a stray link
    - kind: git
      url: {upstream.url}
{"patches:" if series else ""}
{patches}targets: [server]
cmake:
  BUILD_SHARED_LIBS: ON
  OUR_BUILD_COMMIT: {commit[:8]} # shown by --version
  OUR_BUILD_NUMBER: 7
platforms:
  {PLATFORM}:
    toolchain: zig-1
    target: x86_64-linux-gnu.2.28
    cpu: x86_64
    cmake: {{}}
    flags:
      c: []
      cxx: []
      link: []
    bundle:
      bin: [server]
    output: {"d1" * 32} # of the machine at work
  macos-arm64-metal:
    toolchain: host
    target: arm64-apple-macos13.0
    cpu: apple-m1
    cmake: {{}}
    flags:
      c: []
      cxx: []
      link: []
    bundle:
      bin: [server]
    output_unpinned: the host toolchain is not pinned
""",
        encoding="utf-8",
    )
    return Workshop(project, place / "store", server, upstream, capsys)


def write_patch(path: Path, file: str, place: Path, mended: str = "mended") -> None:
    """Write the patch, as git makes it, that mends line 20 of a file."""
    for side, text in (("a", lines()), ("b", lines((20, mended)))):
        write_tree(place / side, {file: text})
    done = subprocess.run(
        ["git", "diff", "--no-index", "--no-prefix", f"a/{file}", f"b/{file}"],
        cwd=place,
        check=False,
        capture_output=True,
        env=NO_GIT_CONFIG,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(done.stdout)


# --- a tag ---


def test_a_tag_is_proposed_with_its_archive_and_each_patch_is_told_its_fate(
    tmp_path: Path, server: Server, upstream: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = make_workshop(tmp_path, server, upstream, capsys, SERIES)
    url, before = shop.tag("b8"), snapshot(shop.project)
    archive = upstream.archives["b8"]
    tree = tmp_path / "new"
    write_tree(tree, NEW)

    diff, said = shop.lock("--source", "b8")

    assert snapshot(shop.project) == before
    assert said == f"""\
warning: nothing pins b8 yet: it is taken on trust, this once, because you asked for it
seen: {url}
  {len(archive)} bytes, {Sha256.of_bytes(archive)}
  nothing but the server that sent them vouches for these bytes
  in it, up-b8: sha1:{upstream.trees["b8"]}, {hash_tree(tree, Sha256)}
  commit {upstream.commits["b8"]}, as the archive says
  {upstream.url} has the same tree of that commit
patches/b7/0001-exact.patch: applies exactly
patches/b7/0002-moved.patch: applies only at another line
  line 5 of the patch: moved.c:17: hunk 1 applies only at another line, 2 lines further down
patches/b7/0003-fuzzy.patch: applies only with fuzz
  line 5 of the patch: fuzzy.c:17: hunk 1 applies only with fuzz
    line 17: expected 'line 17', found 'another line 17'
patches/b7/0004-applied.patch: is applied already
patches/b7/0005-conflict.patch: does not apply
  line 5 of the patch: conflict.c:17: hunk 1 does not apply
    line 20: expected 'line 20', found 'rewritten upstream'
warning: these lines still speak of the old source, and are yours to change:
  {RECIPE}:2: # Upstream b7, of 2023-11-14.
  {RECIPE}:25: - file: b7/0001-exact.patch
  {RECIPE}:32: - file: b7/0002-moved.patch
  {RECIPE}:39: - file: b7/0003-fuzzy.patch
  {RECIPE}:46: - file: b7/0004-applied.patch
  {RECIPE}:53: - file: b7/0005-conflict.patch
warning: patches/b7/0002-moved.patch applies only at another line: change the patch so that it fits exactly; \
its pins stay as they are
warning: patches/b7/0003-fuzzy.patch applies only with fuzz: change the patch so that it fits exactly; \
its pins stay as they are
warning: patches/b7/0004-applied.patch is applied already: take it out of `patches:` in the manifest; \
its pins stay as they are
warning: patches/b7/0005-conflict.patch does not apply: change the patch so that it fits exactly; \
its pins stay as they are
nothing is written; to write this: {AGAIN} --source b8 --write"""
    patched = tree / "exact.c"
    patched.write_text(lines((1, "another first line"), (20, "mended")), encoding="utf-8")
    added = [line[1:].strip() for line in diff.splitlines() if line.startswith("+")]
    assert added == [
        f"++ b/{RECIPE}",
        f"commit: {upstream.commits['b8']}",
        "build_number: 8",
        f"tree: {upstream.trees['b8']}",
        f"tree_sha256: {tree_sha256(tmp_path / 'again', NEW)}",
        f"epoch: {DAY_8} # 2023-11-15, midnight UTC",
        "- kind: archive",
        f"url: {url}",
        f"sha256: {hashlib.sha256(archive).hexdigest()}",
        f"size_bytes: {len(archive)}",
        "subdirectory: up-b8",
        f"tree: {hash_tree(tree, Sha1).hex}",
        f"tree_sha256: {hash_tree(tree, Sha256).hex}",
        f"OUR_BUILD_COMMIT: {upstream.commits['b8'][:8]} # shown by --version",
        "OUR_BUILD_NUMBER: 8",
        "output_unpinned: not built yet from these pins # of the machine at work",
    ]


def tree_sha256(place: Path, files: Mapping[str, str]) -> str:
    write_tree(place, files)
    return hash_tree(place, Sha256).hex


def test_with_write_the_manifest_becomes_what_the_difference_says_and_then_there_is_nothing_to_propose(
    workshop: Workshop, tmp_path: Path
) -> None:
    workshop.tag("b8")
    shutil.copytree(workshop.project, copy := tmp_path / "copy")
    diff, _ = workshop.lock("--source", "b8")
    written, said = workshop.lock("--source", "b8", "--write")

    assert written == diff
    assert said.endswith(f"written: {RECIPE}")
    subprocess.run(["git", "apply"], input=diff.encode(), cwd=copy, check=True, env=NO_GIT_CONFIG)
    assert workshop.text == (copy / RECIPE).read_text(encoding="utf-8")
    assert snapshot(workshop.project).keys() == {
        str(workshop.project / path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()
    }
    source = workshop.job().recipe.source
    assert (source.commit.hex, source.build_number) == (workshop.upstream.commits["b8"], 8)
    assert [type(origin).__name__ for origin in source.origins] == ["ArchiveOrigin", "GitOrigin"]
    assert workshop.lock()[1].endswith("nothing to propose")
    assert workshop.lock("--source", "b8")[0] == ""
    assert workshop.lock("--source", "b8")[1].endswith("nothing to propose")


def test_an_archive_of_the_pinned_tree_joins_the_other_origins_and_leaves_the_output_pinned(
    workshop: Workshop,
) -> None:
    workshop.tag("b7")
    diff, said = workshop.lock("--source", "b7", "--write")
    assert not [line for line in diff.splitlines()[2:] if line.startswith("-")]
    assert "still speak" not in said
    recipe = workshop.job().recipe
    assert [type(origin).__name__ for origin in recipe.source.origins] == ["PypiOrigin", "ArchiveOrigin", "GitOrigin"]
    assert recipe.platforms[PLATFORM].output == Sha256("d1" * 32)


def test_an_archive_that_does_not_say_its_commit_is_asked_of_git_by_its_tag(workshop: Workshop) -> None:
    workshop.tag("b8", gzip.compress(tar_of("up-8", NEW)))
    _, said = workshop.lock("--source", "b8")
    assert f"  commit {workshop.upstream.commits['b8']}, which {workshop.upstream.url} calls b8\n" in said
    workshop.server.serve("/up/archive/b9.tar.gz", gzip.compress(tar_of("up-9", NEW)))
    error = workshop.refuse("--source", "b9", kind=UsageError)
    assert str(error).splitlines()[1:] == [
        "  where:    --source b9",
        "  expected: to know which commit this source is",
        "  found:    an archive that does not say of which commit it is;",
        f"            {workshop.upstream.url}: it has no tag b9",
        f"  fix:      {AGAIN} --source b9 --commit ID  # the full id",
    ]


def tar_of(top: str, files: Mapping[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def test_a_commit_that_contradicts_the_archive_is_refused(workshop: Workshop) -> None:
    workshop.tag("b8")
    error = workshop.refuse("--source", "b8", "--commit", "0" * 40, kind=UsageError)
    assert (error.where, error.found) == ("--commit", "0" * 40)
    assert error.expected == f"{workshop.upstream.commits['b8']}, which git wrote into the archive"


def test_a_build_number_that_contradicts_the_tag_is_refused(workshop: Workshop) -> None:
    workshop.tag("b8")
    error = workshop.refuse("--source", "b8", "--build-number", "9", kind=UsageError)
    assert (error.where, error.expected, error.found) == ("--build-number", "8, as the tag says", "9")


def test_an_archive_whose_tree_is_not_that_of_its_commit_is_refused(workshop: Workshop) -> None:
    forged = dict(NEW, LICENSE="mine\n")
    workshop.tag("b8", gzip.compress(tar_of("up-8", forged)))
    error = workshop.refuse("--source", "b8", kind=VerifyError)
    assert error.expected == (
        f"sha1:{workshop.upstream.trees['b8']}, the tree of commit {workshop.upstream.commits['b8']}"
        f" at {workshop.upstream.url}"
    )
    assert error.found.endswith(" in the archive")
    assert workshop.upstream.trees["b8"] not in error.found


def test_where_git_cannot_be_asked_the_proposal_says_that_the_commit_was_not_compared(workshop: Workshop) -> None:
    gone = (workshop.root / "gone").as_uri()
    workshop.manifest.write_text(workshop.text.replace(workshop.upstream.url, gone), encoding="utf-8")
    workshop.tag("b8")
    _, said = workshop.lock("--source", "b8")
    assert f"\nwarning: the commit could not be compared with {gone}: git fetch ended with status 128: " in said


# --- an address ---


def test_an_address_is_followed_and_pinned_as_it_was_asked_for(workshop: Workshop) -> None:
    target = workshop.server.serve("/elsewhere.tgz", workshop.upstream.archives["b8"])
    url = workshop.server.serve("/moved/b8.tar.gz", b"", redirects_to(target))
    workshop.lock("--source", url, "--write")
    first = workshop.job().recipe.source.origins[0]
    assert getattr(first, "url", "") == url
    assert workshop.job().recipe.source.build_number == 8


def test_an_address_without_a_number_asks_for_it(workshop: Workshop) -> None:
    url = workshop.server.serve("/some.tar.gz", workshop.upstream.archives["b8"])
    error = workshop.refuse("--source", url, kind=UsageError)
    assert (error.expected, error.found, error.fix) == (
        "to know upstream's build number of this commit",
        "a name that does not say it",
        f"{AGAIN} --source {url} --build-number N  # upstream's tag of the commit is bN",
    )
    diff, _ = workshop.lock("--source", url, "--build-number", "8")
    assert "+  build_number: 8\n" in diff


BAD_ARCHIVES = {
    "a web page": (WEB_PAGE, FetchError, "it sent a web page, kept in "),
    "a web page in chunks": (replace(WEB_PAGE, framing="chunked"), FetchError, "it sent a web page, kept in "),
    "nothing there": (Behaviour(status=404, body=b""), FetchError, "HTTP 404 Not Found"),
    "text": (sends(b"this is no archive\n"), ArchiveError, "text; it begins 'this is no archive"),
    "a path that escapes": (sends(tar_of("..", NEW)), ArchiveError, "a path with `..`"),
}


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_what_is_no_safe_archive_is_refused_and_nothing_is_proposed(workshop: Workshop, name: str) -> None:
    behaviour, kind, found = BAD_ARCHIVES[name]
    url = workshop.server.serve("/up/archive/b8.tar.gz", b"", behaviour)
    error = workshop.refuse("--source", "b8", "--subdirectory", "up-b8", kind=kind)
    assert found in error.found
    assert error.where.startswith("--source b8")
    assert error.fix.startswith(f"{AGAIN} --source b8")
    assert (url in error.found) is (kind is FetchError)
    kept = [path for path in (workshop.root / "v1/rejected").rglob("archive") if path.is_file()]
    assert [path.read_bytes() for path in kept] == ([behaviour.body] if "web page" in name else [])
    assert not list((workshop.root / "v1/tmp").iterdir())


def test_without_the_network_nothing_new_can_be_pinned(workshop: Workshop) -> None:
    workshop.tag("b8")
    error = workshop.refuse("--source", "b8", kind=FetchError, offline=True)
    assert error.found.endswith("/up/archive/b8.tar.gz: PINNED_LLAMA_OFFLINE=1 forbids the network")
    assert error.fix == f"PINNED_LLAMA_OFFLINE=0 {AGAIN} --source b8"
    assert workshop.server.log == []


# --- a version ---


def test_a_version_is_proposed_in_the_place_of_the_one_before_it(workshop: Workshop) -> None:
    data = sdist("small_source-0.2.0", NEW)
    url = workshop.publish("0.2.0", data)
    extra = ("--commit", workshop.upstream.commits["b8"], "--build-number", "8")
    diff, said = workshop.lock("--source", "small-source==0.2.0", *extra)
    assert f"seen: {url}\n  {len(data)} bytes, {Sha256.of_bytes(data)}\n  the package index's own digest agrees\n" in said
    assert f"  commit {workshop.upstream.commits['b8']}, as you say\n" in said
    assert f"  {workshop.upstream.url} has the same tree of that commit\n" in said
    changed = [line[1:].strip() for line in diff.splitlines() if line.startswith("+")]
    assert changed[6:11] == [
        "version: 0.2.0",
        "file: small_source-0.2.0.tar.gz",
        f"size_bytes: {len(data)}",
        f"sha256: {hashlib.sha256(data).hexdigest()}",
        "subdirectory: small_source-0.2.0/vendor/upstream",
    ]
    assert changed[5] == f"epoch: {DAY_8 + 86400} # 2023-11-16, midnight UTC"
    assert "       drop: [.git] # a stray link\n" in diff
    assert said.endswith(f"{AGAIN} --source small-source==0.2.0 {' '.join(extra)} --write")


def test_a_version_does_not_say_its_commit(workshop: Workshop) -> None:
    workshop.publish("0.2.0", sdist("small_source-0.2.0", NEW))
    error = workshop.refuse("--source", "small-source==0.2.0", kind=UsageError)
    assert (error.where, error.found) == (
        "--source small-source==0.2.0",
        "an archive that does not say of which commit it is",
    )
    assert error.fix == f"{AGAIN} --source small-source==0.2.0 --commit ID  # the full id"


def test_a_version_with_the_pinned_tree_needs_no_commit_and_keeps_the_output(workshop: Workshop) -> None:
    workshop.publish("0.1.1", sdist("small_source-0.1.1", OLD))
    diff, said = workshop.lock("--source", "Small_Source == 0.1.1")
    assert f"  commit {workshop.upstream.commits['b7']}, which is pinned for the same tree\n" in said
    assert "+      version: 0.1.1\n" in diff
    assert "output" not in diff


def test_a_commit_that_has_another_tree_is_refused(workshop: Workshop) -> None:
    workshop.publish("0.2.0", sdist("small_source-0.2.0", NEW))
    wrong = workshop.upstream.commits["b7"]
    error = workshop.refuse(
        "--source", "small-source==0.2.0", "--commit", wrong, "--build-number", "8", kind=VerifyError
    )
    assert error.found == f"sha1:{workshop.upstream.trees['b8']} in the archive"
    assert error.expected.startswith(f"sha1:{workshop.upstream.trees['b7']}, the tree of commit {wrong}")


def test_bytes_that_are_not_what_the_index_states_are_refused_and_kept(workshop: Workshop) -> None:
    data = sdist("small_source-0.2.0", NEW)
    workshop.publish("0.2.0", data, digest="ab" * 32)
    error = workshop.refuse("--source", "small-source==0.2.0", kind=FetchError)
    assert error.expected == f"sha256:{'ab' * 32}"
    assert f"it sent other bytes ({Sha256.of_bytes(data)}), kept in " in error.found
    kept = Path(error.found.rpartition("kept in ")[2])
    assert kept.read_bytes() == data


def test_an_index_that_states_no_digest_vouches_for_nothing(workshop: Workshop) -> None:
    workshop.publish("0.1.1", sdist("small_source-0.1.1", OLD), digest="")
    _, said = workshop.lock("--source", "small-source==0.1.1")
    assert "nothing but the server that sent them vouches for these bytes" in said


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (
            "small-source==0.3",
            "pypi small-source 0.3: the index has no source distribution of small-source 0.3; newest of all: 0.2.0",
        ),
        ("other==0.3", "pypi other 0.3: the index has no project other"),
    ],
)
def test_what_the_index_does_not_have_is_named(workshop: Workshop, source: str, found: str) -> None:
    workshop.publish("0.2.0", sdist("small_source-0.2.0", NEW))
    error = workshop.refuse("--source", source, kind=FetchError)
    assert error.found == found


def test_a_package_that_no_recipe_knows_asks_where_the_source_lies(workshop: Workshop) -> None:
    data = sdist("small_source-0.1.1", OLD, below="deep/er")
    workshop.publish("0.1.1", data)
    workshop.manifest.write_text(
        workshop.text.replace("project: small-source", "project: another-source"), encoding="utf-8"
    )
    error = workshop.refuse("--source", "small-source==0.1.1", kind=UsageError)
    assert error.found == "no recipe with an origin of small-source, to tell it by"
    assert error.fix.startswith(f"{AGAIN} --source small-source==0.1.1 --subdirectory PATH")
    workshop.lock(
        *("--source", "small-source==0.1.1", "--subdirectory", "small_source-0.1.1/deep/er", "--write")
    )
    assert len(workshop.job().recipe.source.origins) == 3
    error = workshop.refuse(
        "--source", "small-source==0.1.1", "--subdirectory", "small_source-0.1.1/deeper", kind=ArchiveError
    )
    assert error.found.startswith("none; at the top is 'small_source-0.1.1'")
    assert "--subdirectory PATH" in error.fix


def test_a_proposal_that_would_not_be_valid_is_refused_and_nothing_is_written(workshop: Workshop) -> None:
    data = sdist("small_source-1!0", OLD)
    workshop.publish("1!0", data, name="small_source-1!0.tar.gz")
    error = workshop.refuse("--source", "small-source==1!0", "--write", kind=ManifestError)
    assert error.where == f"{RECIPE}, as proposed:18: source.origins[0].version"


# --- the recipe's own patches ---


def test_a_changed_patch_is_pinned_anew_with_all_trees_from_there_on(
    tmp_path: Path, server: Server, upstream: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = make_workshop(tmp_path, server, upstream, capsys, ("exact", "moved"))
    assert shop.lock() == (
        "",
        "source of small: commit " + upstream.commits["b7"] + ", from pypi small-source 0.1.0\n"
        "patches/b7/0001-exact.patch: applies exactly\npatches/b7/0002-moved.patch: applies exactly\n"
        "nothing to propose",
    )
    write_patch(shop.project / "patches/b7/0001-exact.patch", "exact.c", tmp_path, "mended well")
    before = shop.job().recipe
    diff, _ = shop.lock("--write")
    after = shop.job().recipe
    assert [line.split()[1] for line in diff.splitlines() if line.startswith("+")] == [
        f"b/{RECIPE}",
        *("sha256:", "tree:", "tree_sha256:", "tree:", "tree_sha256:", "output_unpinned:"),
    ]
    assert after.patches[1].sha256 == before.patches[1].sha256
    tree = tmp_path / "expected"
    mended = {"exact.c": lines((20, "mended well")), "moved.c": lines((20, "mended"))}
    write_tree(tree, OLD | mended)
    assert after.patches[1].tree_sha256 == hash_tree(tree, Sha256)
    assert shop.lock()[1].endswith("nothing to propose")


def test_a_patch_that_does_not_fit_its_own_source_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    patch = workshop.project / "patches/b7/0001-exact.patch"
    patch.write_text(patch.read_text(encoding="utf-8").replace("-line 20", "-line twenty"), encoding="utf-8")
    error = workshop.refuse("--write", kind=PatchError)
    assert error.where == f"{RECIPE}: patches[0]"
    assert error.found.splitlines()[-1] == "    line 20: expected 'line twenty', found 'line 20'"
    assert error.fix == f"change the patch so that it fits exactly, then {AGAIN}"


# --- the output ---


def stage_bundle(shop: Workshop, platform: str = PLATFORM) -> Path:
    job = shop.job(platform=platform)
    with job.store.stage(job.plan().bundle_key, "bundle", {}) as staging:
        write_tree(staging.path, {"bin/server": "a program\n", "licences/LICENSE": "yours\n"})
        (staging.path / "bin/server").chmod(0o755)
    return staging.entry.path


@pytest.mark.parametrize("pinned", [True, False])
def test_the_bundle_of_the_store_is_pinned_with_the_listing_of_its_files(workshop: Workshop, pinned: bool) -> None:
    if not pinned:
        workshop.manifest.write_text(
            workshop.text.replace(f"output: {'d1' * 32}", "output_unpinned: not yet"), encoding="utf-8"
        )
    bundle = stage_bundle(workshop)
    digest = hash_tree(bundle, Sha256)
    before = snapshot(workshop.project)
    diff, said = workshop.lock("--output")
    assert snapshot(workshop.project) == before
    assert said == (
        f"bundle: {bundle}\n  {digest}, hashed again just now; plan {workshop.job().plan().digest}\n"
        f"nothing is written; to write this: {AGAIN} --output --write"
    )
    listing = f"manifests/outputs/small-{PLATFORM}.txt"
    assert diff.startswith(f"--- /dev/null\n+++ b/{listing}\n@@ -0,0 +1,2 @@\n+100755 blob ")
    assert f"+    output: {digest.hex} # of the machine at work\n" in diff
    workshop.lock("--output", "--write")
    assert workshop.job().recipe.platforms[PLATFORM].output == digest
    assert digest_of_listing((workshop.project / listing).read_text(encoding="utf-8")) == digest
    assert workshop.lock("--output")[1].endswith("nothing to propose")
    assert not [path for path in workshop.project.rglob(".lock-*")]


def test_without_a_bundle_the_command_that_builds_it_is_named(workshop: Workshop) -> None:
    workshop.manifest.write_text(
        workshop.text.replace(f"output: {'d1' * 32}", "output_unpinned: not yet"), encoding="utf-8"
    )
    error = workshop.refuse("--output", "--write", kind=UsageError)
    assert str(error) == f"""\
error: this command line names something that does not exist
  where:    {RECIPE}: platforms.{PLATFORM}
  expected: the bundle of these pins, built: plan {workshop.job().plan().digest}
  found:    none in {workshop.root}/v1
  fix:      python3 noxfile.py -s build -- --recipe small --platform {PLATFORM}"""


def test_without_a_bundle_a_pinned_digest_must_first_be_given_up(workshop: Workshop) -> None:
    error = workshop.refuse("--output", kind=UsageError)
    assert error.fix == (
        "in the manifest, write `output_unpinned: WHY` in the place of `output: ...`, then\n"
        f"python3 noxfile.py -s build -- --recipe small --platform {PLATFORM}\n{AGAIN} --output"
    )


def test_a_bundle_that_was_changed_is_not_pinned(workshop: Workshop) -> None:
    program = stage_bundle(workshop) / "bin/server"
    program.chmod(0o755)
    program.write_text("another program\n", encoding="utf-8")
    error = workshop.refuse("--output", "--write", kind=StoreError)
    assert error.fix == "python3 noxfile.py -s gc -- --damaged"


def test_what_a_host_toolchain_makes_cannot_be_pinned(workshop: Workshop) -> None:
    stage_bundle(workshop, "macos-arm64-metal")
    error = workshop.refuse("--output", "--platform", "macos-arm64-metal", kind=UsageError)
    assert (error.expected, error.found) == (
        f"a platform with a pinned toolchain: {PLATFORM}",
        "the toolchain `host`: what it makes depends on the machine, so there is nothing to pin",
    )


# --- writing ---


def test_a_file_that_changed_meanwhile_is_not_written_over(workshop: Workshop) -> None:
    before, good = snapshot(workshop.project), workshop.text
    changes = (Change("manifests/outputs/new.txt", None, "new\n"), Change(RECIPE, "what was read\n", good + "#\n"))
    with pytest.raises(ManifestError) as caught:
        write_proposal(changes, Manifests(workshop.project))
    assert caught.value.found == "one that was changed meanwhile"
    assert snapshot(workshop.project) == before


def test_an_invalid_manifest_is_not_written_and_neither_is_its_listing(workshop: Workshop) -> None:
    before, good = snapshot(workshop.project), workshop.text
    spoiled = good.replace("licence: MIT", "licence: MIT\n  colour: red")
    changes = (Change("manifests/outputs/new.txt", None, "new\n"), Change(RECIPE, good, spoiled))
    with pytest.raises(ManifestError) as caught:
        write_proposal(changes, Manifests(workshop.project))
    assert caught.value.where == f"{RECIPE}, as proposed:14: source.colour"
    assert snapshot(workshop.project) == before


def test_a_project_that_cannot_be_written_to_is_named(workshop: Workshop) -> None:
    stage_bundle(workshop)
    (workshop.project / "manifests/outputs").write_text("a file in the folder's place", encoding="utf-8")
    before = snapshot(workshop.project)
    with pytest.raises(StoreError) as caught:
        workshop.lock("--output", "--write")
    assert caught.value.where == str(workshop.project / "manifests/outputs")
    assert caught.value.expected == "a folder of the project that can be written to"
    assert snapshot(workshop.project) == before


def test_the_mode_of_a_manifest_is_kept(workshop: Workshop) -> None:
    workshop.manifest.chmod(0o640)
    workshop.tag("b7")
    workshop.lock("--source", "b7", "--write")
    assert workshop.manifest.stat().st_mode & 0o777 == 0o640


def test_the_command_line_prints_the_difference_alone_to_standard_output(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "PROJECT", workshop.project)
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(workshop.root))
    monkeypatch.setenv("PINNED_LLAMA_INDEX_URL", workshop.server.url("/simple"))
    workshop.tag("b8")
    assert cli.main(["lock", "--recipe", "small", "--platform", PLATFORM, "--source", "b8"]) == 0
    printed = workshop.capsys.readouterr()
    assert printed.out.startswith(f"--- a/{RECIPE}\n+++ b/{RECIPE}\n")
    assert printed.err.endswith(f"--platform {PLATFORM} --source b8 --write\n")
    assert cli.main(["lock", "--recipe", "small", "--platform", PLATFORM, "--source", "b 8"]) == 2
    assert workshop.capsys.readouterr().err == """\
error: this command line names something that does not exist
  where:    --source
  expected: PROJECT==VERSION, a tag such as b1234, or the http or https address of an archive
  found:    'b 8'
  fix:      write one of these
"""
