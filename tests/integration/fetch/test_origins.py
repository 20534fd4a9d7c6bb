"""One tree from an archive, from the package index and from git: the same digests, or the origin is refused."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
import zipfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from recipes.core.console import Silent
from recipes.core.digest import Sha1, Sha256, hash_tree
from recipes.core.errors import FetchError
from recipes.core.settings import Settings
from recipes.fetch.fetcher import Fetcher
from recipes.fetch.http.response_rules import TryLater
from recipes.fetch.http.retry import Patience, Tempo
from recipes.fetch.origins import OriginResult, Tree, _indexed, compare_origins, fetch_source, fetch_wheel
from recipes.fetch.package_index import IndexFile, PackageIndex
from recipes.manifest.schema import ArchiveOrigin, GitOrigin, Origin, PypiOrigin, Source, Wheel
from recipes.store.store import Store
from tests.support import git_server
from tests.support import http_server as servers
from tests.support.git_server import git
from tests.support.http_server import Behaviour, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JSON_TYPE = (("Content-Type", "application/vnd.pypi.simple.v1+json"),)
HTML_TYPE = (("Content-Type", "text/html"),)
RAW = "* -text -ident\n"


def write_tree(root: Path) -> None:
    """Lay out a tree with all that an origin could spoil: modes, links, line ends, keywords, odd names."""
    (root / "src/deep").mkdir(parents=True)
    (root / "src/main.c").write_text("int main(void) { return 0; }\n")
    (root / "src/deep/räksmörgås.txt").write_text("ä\n")
    (root / "windows.bat").write_bytes(b"echo hello\r\n")
    (root / "keyword.h").write_text("/* $Id$ $Format:%H$ */\n")
    (root / "converted.txt").write_bytes(b"one\ntwo\r\nthree\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("src/main.c")
    (root / ".gitattributes").write_text(
        "*.txt text eol=crlf\nkeyword.h ident export-subst\nwindows.bat filter=no\n"
    )


def tar_of(root: Path, prefix: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(root, prefix)
    return buffer.getvalue()


def zip_of(root: Path, prefix: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                continue
            info = zipfile.ZipInfo(f"{prefix}/{path.relative_to(root)}")
            info.create_system = 3
            info.external_attr = path.lstat().st_mode << 16
            is_link = stat.S_ISLNK(path.lstat().st_mode)
            archive.writestr(info, os.fsencode(path.readlink()) if is_link else path.read_bytes())
    return buffer.getvalue()


def make_repository(root: Path, tree: Path) -> Sha1:
    """Commit a tree byte for byte into a new bare repository; give the commit."""
    git("init", "--quiet", "--bare", str(root), cwd=tree)
    (root / "info/attributes").write_text(RAW)
    inside = (f"--git-dir={root}", f"--work-tree={tree}", "-c", "core.autocrlf=false")
    git(*inside, "add", "--all", cwd=tree)
    git(*inside, "commit", "--quiet", "--message=one", cwd=tree)
    first = git(*inside, "rev-parse", "HEAD", cwd=tree)
    # the commit that is wanted is not the newest: only its full id names it
    git(*inside, "commit", "--quiet", "--message=two", "--allow-empty", cwd=tree)
    (root / "info/attributes").unlink()
    return Sha1(first)


@dataclass
class Bench:
    """A server, a store, and one tree at several places."""

    root: Path
    tree: Path
    server: Server
    store: Store
    settings: Settings

    @property
    def fetcher(self) -> Fetcher:
        return Fetcher(self.store, Silent(), self.settings)

    def archive_origin(self, data: bytes, path: str = "/a", folder: str = "top") -> ArchiveOrigin:
        url = self.server.serve(path, data)
        return ArchiveOrigin(url=url, sha256=Sha256.of_bytes(data), size_bytes=len(data), subdirectory=folder)

    def pypi_origin(self, data: bytes, **of_file: object) -> PypiOrigin:
        self.publish("thing-1.0.tar.gz", data, **of_file)
        return PypiOrigin(
            project="Some.Thing",
            version="1.0",
            file="thing-1.0.tar.gz",
            size_bytes=len(data),
            sha256=Sha256.of_bytes(data),
            subdirectory="top",
        )

    def publish(self, name: str, data: bytes, **of_file: object) -> None:
        self.server.serve(f"/files/{name}", data)
        file = {
            "filename": name,
            "url": f"../../files/{name}",
            "hashes": {"sha256": Sha256.of_bytes(data).hex},
            "size": len(data),
            **of_file,
        }
        page = {"meta": {"api-version": "1.1"}, "name": "some-thing", "versions": ["1.0"], "files": [file]}
        self.page(json.dumps(page).encode())

    def page(self, body: bytes, headers: tuple[tuple[str, str], ...] = JSON_TYPE) -> None:
        self.server.serve("/simple/some-thing/", body, Behaviour(headers=headers))

    def source(self, *origins: Origin, commit: Sha1 = Sha1("1" * 40)) -> Source:  # noqa: B008 - a frozen value
        return Source(
            repository="https://host.example/x",
            commit=commit,
            build_number=1,
            tree=hash_tree(self.tree, Sha1),
            tree_sha256=hash_tree(self.tree, Sha256),
            epoch=1,
            licence="MIT",
            origins=origins,
        )

    def fetch(self, *origins: Origin, commit: Sha1 = Sha1("1" * 40)) -> tuple[str, list[str]]:  # noqa: B008 - as above
        into = self.store.root / "staged"
        into.mkdir()
        source = self.source(*origins, commit=commit)
        fetched = fetch_source("x", source, "x.yaml: origins", self.fetcher, into=into)
        assert hash_tree(into, Sha1) == source.tree
        return fetched.origin_label, [str(failure) for failure in fetched.failures]

    def reasons(self, *origins: Origin, commit: Sha1 = Sha1("1" * 40)) -> list[str]:  # noqa: B008 - as above
        with pytest.raises(FetchError) as caught:
            self.fetch(*origins, commit=commit)
        return caught.value.found.splitlines()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("NO_PROXY", "*")
    tree = tmp_path / "tree"
    write_tree(tree)
    with Server() as server:
        store = Store.open(tmp_path / "store")
        settings = Settings(store.root, index_url=f"{server.base}/simple/")
        yield Bench(tmp_path, tree, server, store, settings)


def test_archives_of_two_kinds_the_package_index_and_git_give_one_tree(bench: Bench) -> None:
    repository = bench.root / "repository.git"
    commit = make_repository(repository, bench.tree)
    origins = (
        bench.archive_origin(tar_of(bench.tree, "top"), "/tar"),
        bench.archive_origin(zip_of(bench.tree, "other/name"), "/zip", "other/name"),
        bench.pypi_origin(tar_of(bench.tree, "top")),
        GitOrigin(url=f"file://{repository}"),
    )
    source = bench.source(*origins, commit=commit)
    # git itself says which tree the commit has
    assert git("rev-parse", f"{commit.hex}^{{tree}}", cwd=repository) == source.tree.hex
    wanted = Tree(source.tree, source.tree_sha256)
    assert compare_origins("x", source, "x.yaml: origins", bench.fetcher) == (
        OriginResult(f"archive {bench.server.url('/tar')}", wanted),
        OriginResult(f"archive {bench.server.url('/zip')}", wanted),
        OriginResult("pypi Some.Thing 1.0", wanted),
        OriginResult(f"git file://{repository}", wanted, proves_commit=True),
    )
    assert list(bench.store.rejected.iterdir()) == []


def test_comparing_names_the_origin_that_differs_and_the_one_that_is_gone(bench: Bench) -> None:
    good, gone = (
        bench.archive_origin(tar_of(bench.tree, "top"), "/tar"),
        GitOrigin(url=f"file://{bench.root}/none"),
    )
    pinned = bench.source(good)
    (bench.tree / "src/main.c").write_text("int main(void) { return 1; }\n")
    changed = bench.archive_origin(tar_of(bench.tree, "top"), "/changed")
    source = Source(
        **{name: getattr(pinned, name) for name in pinned.__struct_fields__}
        | {"origins": (good, changed, gone)}
    )
    results = compare_origins("x", source, "x.yaml: origins", bench.fetcher)
    other = Tree(hash_tree(bench.tree, Sha1), hash_tree(bench.tree, Sha256))
    assert [result.tree for result in results] == [Tree(source.tree, source.tree_sha256), other, None]
    assert results[1].failures[0].reason.startswith(f"it gives {other}, kept in {bench.store.rejected}")
    assert "status 128" in results[2].failures[0].reason


def test_an_origin_that_is_gone_and_one_with_a_changed_byte_are_skipped(bench: Bench) -> None:
    good = tar_of(bench.tree, "top")
    pypi = bench.pypi_origin(good)
    gone = replace_origin(bench.archive_origin(b"x", "/gone"), url=bench.server.url("/none"))
    wanted = bench.source(pypi)
    (bench.tree / "run.sh").write_text("#!/bin/SH\n")
    changed = bench.archive_origin(tar_of(bench.tree, "top"), "/changed")
    (bench.tree / "run.sh").write_text("#!/bin/sh\n")
    assert bench.source(pypi) == wanted
    label, failures = bench.fetch(gone, changed, pypi)
    assert label == "pypi Some.Thing 1.0"
    assert failures[0] == f"archive {bench.server.url('/none')}: HTTP 404 Not Found"
    assert failures[1].startswith(f"archive {bench.server.url('/changed')}: it gives tree sha1:")
    assert len(failures) == 2
    (kept,) = bench.store.rejected.glob("*/staged/run.sh")
    assert kept.read_text() == "#!/bin/SH\n"


def replace_origin(origin: ArchiveOrigin, **fields: str) -> ArchiveOrigin:
    return ArchiveOrigin(**{name: getattr(origin, name) for name in origin.__struct_fields__} | fields)


def test_once_fetched_a_source_needs_no_network(bench: Bench) -> None:
    origin = bench.archive_origin(tar_of(bench.tree, "top"))
    bench.fetch(origin)
    (bench.store.root / "staged").rename(bench.root / "first")
    bench.server.log.clear()
    bench.settings = replace(bench.settings, offline=True)
    bench.fetch(GitOrigin(url="https://host.example/x.git"), origin)
    assert bench.server.log == []


# --- the package index ---


def test_a_page_in_html_is_understood_as_well(bench: Bench) -> None:
    data = tar_of(bench.tree, "top")
    origin = bench.pypi_origin(data)
    link = f'<a href="/files/{origin.file}#sha256={origin.sha256.hex}">{origin.file}</a>'
    bench.page(f"<!DOCTYPE html><html><body>{link}</body></html>".encode(), HTML_TYPE)
    assert bench.fetch(origin) == ("pypi Some.Thing 1.0", [])
    # the project's name is asked for as the index normalizes it
    assert [request.path for request in bench.server.log] == ["/simple/some-thing/", f"/files/{origin.file}"]


@pytest.mark.parametrize("of_file", [{"yanked": "a reason"}, {"hashes": {}, "size": None}])
def test_a_file_that_is_yanked_or_of_which_the_index_says_nothing_is_still_the_pinned_one(
    bench: Bench, of_file: dict[str, object]
) -> None:
    assert bench.fetch(bench.pypi_origin(tar_of(bench.tree, "top"), **of_file)) == ("pypi Some.Thing 1.0", [])


@pytest.mark.parametrize(
    ("of_file", "reason"),
    [
        ({"hashes": {"sha256": "0" * 64}}, f"the index says sha256:{'0' * 64}"),
        ({"size": 5}, "the index says 5 bytes"),
        ({"filename": "thing-2.0.tar.gz"}, "the index has no file thing-1.0.tar.gz"),
        ({"url": "file:///etc/passwd"}, "invalid schema"),
    ],
)
def test_what_the_index_says_of_a_file_is_checked_before_the_download(
    bench: Bench, of_file: dict[str, object], reason: str
) -> None:
    (found,) = bench.reasons(bench.pypi_origin(tar_of(bench.tree, "top"), **of_file))
    assert found.startswith(f"pypi Some.Thing 1.0: {reason}")
    assert [request.path for request in bench.server.log] == ["/simple/some-thing/"]


NO_PAGE = "not a page"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Behaviour(body=b"{", headers=JSON_TYPE), NO_PAGE),
        (Behaviour(body=b"{}", headers=JSON_TYPE), NO_PAGE),
        (Behaviour(body=b"[]", headers=JSON_TYPE), NO_PAGE),
        (
            Behaviour(body=b'{"meta": {"api-version": "9.0"}, "name": "x", "files": []}', headers=JSON_TYPE),
            NO_PAGE,
        ),
        (Behaviour(body=b"x", headers=(("Content-Type", "image/png"),)), NO_PAGE),
        (servers.WEB_PAGE, "no file thing-1.0.tar.gz"),
        (servers.NOT_FOUND, "no project"),
        (Behaviour(status=403), "HTTP 403"),
    ],
)
def test_an_index_that_does_not_have_the_file_is_said_so(
    bench: Bench, answer: Behaviour, reason: str
) -> None:
    origin = bench.pypi_origin(tar_of(bench.tree, "top"))
    bench.server.serve("/simple/some-thing/", b"", answer)
    (found,) = bench.reasons(origin)
    assert found.startswith("pypi Some.Thing 1.0: ")
    assert reason in found


def test_an_index_that_is_not_there_is_said_so(bench: Bench) -> None:
    origin = bench.pypi_origin(tar_of(bench.tree, "top"))
    bench.settings = replace(bench.settings, index_url=f"http://127.0.0.1:{servers.closed_port()}/simple")
    (reason,) = bench.reasons(origin)
    assert reason.startswith("pypi Some.Thing 1.0: the index: ")
    assert "refused" in reason


def test_an_index_that_is_busy_is_asked_again_when_it_says(bench: Bench) -> None:
    waits: list[float] = []
    data = tar_of(bench.tree, "top")
    origin = bench.pypi_origin(data)
    (script,) = (value for path, value in bench.server._scripts.items() if path.startswith("/simple/"))
    script.behaviours = (servers.asks_to_wait("6", 503), servers.HANGS_UP, *script.behaviours)
    fetcher = replace(bench.fetcher, tempo=Tempo(Patience(timeout_s=5), sleep=waits.append))
    place = _indexed(origin, fetcher)
    assert callable(place.address)
    assert place.address() == bench.server.url("/files/thing-1.0.tar.gz")
    assert waits == [6.0, 2.0]


def test_an_index_that_is_silent_is_tried_later(bench: Bench) -> None:
    bench.server.serve("/simple/some-thing/", b"", servers.SILENT)
    wanted = IndexFile("some-thing", "x", Sha256.of_bytes(b""), 1)
    found = PackageIndex(bench.settings.index_url, 0.05).find_address(wanted)
    assert isinstance(found, TryLater)
    assert "0.05 s" in found.reason


def test_the_indexs_password_is_used_for_its_own_files_and_for_no_others(bench: Bench) -> None:
    data = b"x"
    bench.publish("x.whl", data)
    wanted = IndexFile("some-thing", "x.whl", Sha256.of_bytes(data), len(data))
    assert bench.settings.index_url
    with_password = bench.settings.index_url.replace("//", "//user:secret@")
    with_it, without = PackageIndex(with_password, 5), PackageIndex(bench.settings.index_url, 5)
    own = with_it.find_address(wanted)
    assert own == bench.server.url("/files/x.whl").replace("//", "//user:secret@")
    bench.publish("x.whl", data, url=bench.server.url("/files/x.whl"))
    assert with_it.find_address(wanted) == own
    assert without.find_address(wanted) == bench.server.url("/files/x.whl")
    bench.publish("x.whl", data, url="https://elsewhere.example/x.whl")
    assert with_it.find_address(wanted) == "https://elsewhere.example/x.whl"


def test_a_wheel_comes_by_the_same_path_and_a_mirror_goes_first(bench: Bench) -> None:
    data = os.urandom(5000)
    wheel = Wheel(
        project="some-thing", version="1.0", file="x.whl", size_bytes=len(data), sha256=Sha256.of_bytes(data)
    )
    bench.publish("x.whl", data)
    bench.settings = replace(bench.settings, mirrors=(f"{bench.server.base}/mirror",))
    blob = fetch_wheel(wheel, "zig.yaml: hosts", bench.fetcher)
    assert blob.read_bytes() == data
    asked = [request.path for request in bench.server.log]
    assert asked == [f"/mirror/{wheel.sha256.hex}", "/simple/some-thing/", "/files/x.whl"]


def test_a_wheel_that_no_place_has_is_an_error_that_names_them(bench: Bench) -> None:
    wheel = Wheel(project="none", version="1", file="x.whl", size_bytes=5, sha256=Sha256("0" * 64))
    with pytest.raises(FetchError) as caught:
        fetch_wheel(wheel, "zig.yaml: hosts", bench.fetcher)
    assert caught.value.where == "zig.yaml: hosts"
    assert "pypi none 1: " in caught.value.found
    assert "no project" in caught.value.found


# --- git ---


def test_a_commit_is_fetched_by_its_full_id_over_http(bench: Bench) -> None:
    if not git_server.has_http_backend(bench.root):
        pytest.skip("this machine's git has no http-backend")
    commit = make_repository(bench.root / "served" / "x.git", bench.tree)
    with git_server.serve(bench.root / "served") as base:
        label, failures = bench.fetch(GitOrigin(url=f"{base}/x.git"), commit=commit)
    assert (label, failures) == (f"git {base}/x.git", [])


def test_nothing_of_this_machines_git_configuration_reaches_the_tree(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = bench.root / "repository.git"
    commit = make_repository(repository, bench.tree)
    home, template = bench.root / "home", bench.root / "template"
    (template / "hooks").mkdir(parents=True)
    hook = template / "hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {bench.root}/hook-ran\n")
    hook.chmod(0o755)
    home.mkdir()
    (home / ".gitconfig").write_text(
        f"[core]\n autocrlf = true\n hooksPath = {template}/hooks\n symlinks = false\n"
        f"[init]\n templateDir = {template}\n"
        '[url "file:///nowhere/"]\n insteadOf = file:///\n'
        '[filter "no"]\n smudge = false\n required = true\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(template))
    monkeypatch.setenv("GIT_DIR", str(bench.root / "elsewhere"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.autocrlf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    bench.fetch(GitOrigin(url=f"file://{repository}"), commit=commit)
    assert not (bench.root / "hook-ran").exists()
    staged = bench.store.root / "staged"
    assert (staged / "converted.txt").read_bytes() == b"one\ntwo\r\nthree\n"
    assert (staged / "keyword.h").read_text() == "/* $Id$ $Format:%H$ */\n"
    assert not (staged / ".git").exists()
    assert list(bench.store.tmp.root.iterdir()) == []


def test_a_commit_that_the_repository_lacks_is_said_in_gits_words(bench: Bench) -> None:
    repository = bench.root / "repository.git"
    make_repository(repository, bench.tree)
    (reason,) = bench.reasons(GitOrigin(url=f"file://{repository}"), commit=Sha1("2" * 40))
    assert reason.startswith(f"git file://{repository}: ")
    assert "status 128" in reason
    assert "2" * 40 in reason


def test_a_machine_without_git_is_said_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(bench.root))
    url = f"file://{bench.root}/x.git"
    (reason,) = bench.reasons(GitOrigin(url=url))
    assert reason.startswith(f"git {url}: ")
    assert "not installed" in reason


def test_a_password_in_gits_address_is_not_shown(bench: Bench) -> None:
    url = f"http://user:secret@127.0.0.1:{servers.closed_port()}/x.git"
    (reason,) = bench.reasons(GitOrigin(url=url))
    assert "secret" not in reason
    assert reason.startswith("git http://127.0.0.1:")
