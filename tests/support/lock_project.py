"""A small upstream, a project whose recipe pins it, and the servers that `lock` looks at: for test_lock.py.

Upstream is a git repository with two tags, b7 and b8. The recipe pins b7, and its patches meet each of the
fates that a patch can have on b8.
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
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from recipes.build.context import Job
from recipes.cli.parser import parser
from recipes.core.console import Plain
from recipes.core.digest import Sha1, Sha256, hash_tree
from recipes.core.sandbox import Surroundings
from recipes.core.settings import Settings
from recipes.lock.bump import bump
from recipes.lock.recipe import propose
from recipes.manifest.incomplete import UnfinishedManifests
from recipes.patches.apply import apply_patch
from recipes.patches.parse import parse_patch
from recipes.store.store import Store
from tests.support import paths
from tests.support.http_server import Behaviour, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from recipes.core.errors import RecipeError

DATA = paths.DATA / "manifests" / "project"
RECIPE = "manifests/recipes/small.yaml"
AGAIN = "python3 noxfile.py -s lock -- --recipe small"
PLATFORM = "linux-x86_64-cpu"
DAY_7, DAY_8 = 1_699_920_000, 1_700_006_400  # 2023-11-14 and 2023-11-15
WHO = ("-c", "user.name=upstream", "-c", "user.email=upstream@example.org")
NO_GIT_CONFIG = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ["PATH"]}


def lines(*changed: tuple[int, str]) -> str:
    """Return forty lines, some of them with another text."""
    texts = {number: f"line {number}" for number in range(1, 41)} | dict(changed)
    return "".join(f"{text}\n" for text in texts.values())


OLD = {"LICENSE": "yours\n", "exact.c": lines(), "moved.c": lines(), "fuzzy.c": lines()}
OLD |= {"applied.c": lines(), "conflict.c": lines()}
NEW = {
    "LICENSE": "yours\n",
    "exact.c": lines((1, "another first line")),
    "moved.c": "a new line\na second one\n" + lines(),
    "fuzzy.c": lines((17, "another line 17")),
    "applied.c": lines((20, "fixed")),
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


def tar_of(top: str, files: Mapping[str, str], **headers: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers) as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{top}{name}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def sdist(top: str, files: Mapping[str, str], *, below: str = "vendor/upstream") -> bytes:
    """Return a source distribution that carries a source, and the stray link that a submodule leaves."""
    content = {".git": "gitdir: elsewhere\n", **files}
    return gzip.compress(tar_of(f"{top}/{below}/", content))


@dataclass(frozen=True)
class Upstream:
    """A repository, what its tags are, and its archives as a forge would serve them."""

    repository: Path
    commits: Mapping[str, str]
    trees: Mapping[str, str]
    archives: Mapping[str, bytes]
    old: Mapping[str, str]

    @property
    def url(self) -> str:
        return self.repository.as_uri()


def make_upstream(repository: Path, old: Mapping[str, str] = OLD, new: Mapping[str, str] = NEW) -> Upstream:
    """Make the repository in an empty folder, and the archives of its tags as `git archive` writes them."""
    git("init", "-q", "-b", "main", at=repository)
    commits, trees, archives = {}, {}, {}
    for tag, files, day in (("b7", old, DAY_7), ("b8", new, DAY_8)):
        write_tree(repository, files)
        git("add", "--all", at=repository)
        when = f"{day + 3600} +0000"
        git(*WHO, "commit", "-q", "-m", tag, at=repository, GIT_AUTHOR_DATE=when, GIT_COMMITTER_DATE=when)
        git(*WHO, "tag", "-a", "-m", tag, tag, at=repository)
        commits[tag] = git("rev-parse", "HEAD", at=repository).decode().strip()
        trees[tag] = git("rev-parse", "HEAD^{tree}", at=repository).decode().strip()
        archives[tag] = gzip.compress(git("archive", f"--prefix=up-{tag}/", tag, at=repository), mtime=0)
    return Upstream(repository, commits, trees, archives, old)


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

    def replace(self, old: str, new: str) -> None:
        """Change the manifest."""
        assert old in self.text
        self.manifest.write_text(self.text.replace(old, new, 1), encoding="utf-8")

    def job(
        self,
        *,
        platform: str = PLATFORM,
        offline: bool = False,
        log: io.StringIO | None = None,
        recipe: str = "small",
    ) -> Job:
        manifests = UnfinishedManifests(self.project)
        return Job(
            store=Store.open(self.root),
            console=Plain(log or io.StringIO()),
            settings=Settings(self.root, index_url=self.server.url("/simple"), offline=offline, timeout_s=10),
            manifests=manifests,
            recipe=manifests.recipe(recipe),
            platform_name=platform,
            surroundings=Surroundings(jobs=1),
        )

    def lock(self, *arguments: str, offline: bool = False) -> tuple[str, str]:
        """Run the session; return the difference, and what was said without the lines that tell a duration."""
        options = parser().parse_args(["lock", "--recipe", "small", *arguments])
        log = io.StringIO()
        job = self.job(platform=options.platform or PLATFORM, offline=offline, log=log)
        assert propose(job, options) == 0
        said = [line for line in log.getvalue().splitlines() if not line.startswith("fetch ")]
        return self.capsys.readouterr().out, "\n".join(said)

    def bump(self, *arguments: str, recipe: str = "small", offline: bool = False) -> tuple[str, str]:
        """Run the session `bump`; return its tables, and what was said."""
        chosen = () if "--all" in arguments else ("--recipe", recipe)
        options = parser().parse_args(["bump", *chosen, *arguments])
        log = io.StringIO()
        job = self.job(offline=offline, log=log, recipe=recipe)
        assert bump(job, options) == 0
        return self.capsys.readouterr().out, log.getvalue()

    def refuse(self, *arguments: str, kind: type[RecipeError], offline: bool = False) -> RecipeError:
        """Run the session to its error; nothing of the project has changed, and nothing is proposed."""
        return self._refuse(lambda: self.lock(*arguments, offline=offline), kind)

    def refuse_bump(
        self, *arguments: str, kind: type[RecipeError], recipe: str = "small", tables: bool = False
    ) -> RecipeError:
        """Run the session `bump` to its error; nothing of the project has changed."""
        return self._refuse(lambda: self.bump(*arguments, recipe=recipe), kind, tables=tables)

    def _refuse(
        self, act: Callable[[], object], kind: type[RecipeError], *, tables: bool = False
    ) -> RecipeError:
        before = snapshot(self.project)
        with pytest.raises(kind) as caught:
            act()
        assert snapshot(self.project) == before
        assert bool(self.capsys.readouterr().out) is tables
        return caught.value

    def name_after_build(self) -> None:
        """Call the recipe b7, and let its patches lie where such a recipe has them."""
        self.manifest.with_name("b7.yaml").write_text(
            self.text.replace("name: small", "name: b7", 1), encoding="utf-8"
        )
        self.manifest.unlink()
        defaults = self.project / "manifests/defaults.yaml"
        defaults.write_text(defaults.read_text().replace("recipe: small", "recipe: b7"))

    def publish(self, version: str, data: bytes, *, digest: str | None = None, name: str = "") -> str:
        """Put a source distribution into the index; return its address."""
        name = name or f"small_source-{version}.tar.gz"
        url = self.server.serve(f"/files/{name}", data)
        entry: dict[str, object] = {"filename": name, "url": url, "hashes": {}, "size": len(data)}
        if digest is None or digest:
            entry["hashes"] = {"sha256": digest or hashlib.sha256(data).hexdigest()}
        entry["upload-time"] = "2023-11-16T10:20:30.000000Z"
        page = {
            "meta": {"api-version": "1.1"},
            "name": "small-source",
            "files": [entry],
            "versions": [version],
        }
        kind = (("Content-Type", "application/vnd.pypi.simple.v1+json"),)
        self.server.serve("/simple/small-source/", json.dumps(page).encode(), Behaviour(headers=kind))
        return url

    def tag(self, tag: str, data: bytes | None = None, *behaviours: Behaviour) -> str:
        """Serve a tag's archive as a forge does; return its address."""
        data = self.upstream.archives[tag] if data is None else data
        return self.server.serve(f"/up/archive/{tag}.tar.gz", data, *behaviours)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
    write_tree(tree, upstream.old)
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
    reason: {name} is fixed # and so on
    upstream: https://example.org/issues/{number}
    tree: {hash_tree(tree, Sha1).hex}
    tree_sha256: {hash_tree(tree, Sha256).hex}
"""
    old = sdist("small_source-0.1.0", upstream.old)
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
    flags: {{c: [], cxx: [], link: []}}
    bundle: {{bin: [server]}}
    output: {"d1" * 32} # of the machine at work
  macos-arm64-metal:
    toolchain: host
    target: arm64-apple-macos13.0
    cpu: apple-m1
    cmake: {{}}
    flags: {{c: [], cxx: [], link: []}}
    bundle: {{bin: [server]}}
    output_unpinned: the host toolchain is not pinned
""",
        encoding="utf-8",
    )
    return Workshop(project, place / "store", server, upstream, capsys)


def write_patch(path: Path, file: str, place: Path, fixed: str = "fixed") -> None:
    """Write the patch, as git makes it, that fixes line 20 of a file."""
    for side, text in (("a", lines()), ("b", lines((20, fixed)))):
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
