"""A page's packages from a loopback registry that misbehaves, by the real npm; and the page that is built from them."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from recipes.build.toolchain.toolchain import ensure_toolchain
from recipes.build.webpage.build_page import PageJob, ensure_page, find_page
from recipes.build.webpage.npm_packages import CONTENT, ensure_packages, npm_command, packages_key
from recipes.core.console import Silent
from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import BuildError, FetchError, VerifyError
from recipes.core.sandbox import Surroundings
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.manifest.schema import Page
from recipes.store.context import Context
from recipes.store.store import Store
from tests.support import http_server as servers
from tests.support.http_server import Behaviour, Server
from tests.support.lock_project import write_tree
from tests.support.npm_page import PATH, TINY, archive_of, page_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recipes.core.settings import Settings
    from recipes.manifest.schema import Recipe
from recipes.store.store import Entry

MANIFESTS = Manifests()
NODE = MANIFESTS.toolchain(MANIFESTS.recipe("b11312").page.toolchain)  # type: ignore[union-attr]  # it has one


def content_of(data: bytes) -> str:
    digest = hashlib.sha512(data).hexdigest()
    return f"{digest[:2]}/{digest[2:4]}/{digest[4:]}"


@dataclass(frozen=True)
class Bench:
    """A source with a page in it, a registry, and an empty store."""

    source: Path
    registry: Server
    store: Store
    node: Entry
    settings: Settings

    @property
    def folder(self) -> Path:
        return self.source / "ui"

    def write_lock(self, resolved: str) -> None:
        """Let the lock name the one package, at an address."""
        write_tree(self.folder, page_files(resolved))

    @property
    def key(self) -> str:
        return packages_key(hash_tree(self.source, Sha256), "ui", self.node.key)

    def fetch(self) -> Entry:
        context = Context(self.store, Silent(), self.settings)
        return ensure_packages(self.key, self.folder, self.node, "test: page", context)

    def job(self, page: Page) -> PageJob:
        recipe = recipe_with(page, hash_tree(self.source, Sha256))
        return PageJob(
            recipe=recipe,
            page=page,
            toolchain=NODE,
            source=self.source,
            node=self.node,
            store=self.store,
            console=Silent(),
            settings=self.settings,
            surroundings=Surroundings(jobs=1),
        )


def recipe_with(page: Page, tree: Sha256) -> Recipe:
    """Return a recipe without patches, of this tree."""
    recipe = MANIFESTS.recipe("b7827")
    source = msgspec.structs.replace(recipe.source, tree_sha256=tree)
    return msgspec.structs.replace(recipe, source=source, patches=(), page=page)


@pytest.fixture(scope="session")
def node(shared_store: Path) -> Entry:
    return ensure_toolchain(NODE, Context(Store.open(shared_store), Silent(), read_settings()))


@pytest.fixture
def bench(tmp_path: Path, node: Entry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    source = tmp_path / "source"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # no configuration of the user's
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(tmp_path / "npmrc"))
    monkeypatch.setenv("NPM_CONFIG_FETCH_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("PINNED_LLAMA_OFFLINE", raising=False)
    with Server() as registry:
        made = Bench(source, registry, Store.open(tmp_path / "store"), node, read_settings())
        made.write_lock(registry.serve(PATH, TINY))
        yield made


def tree_of_page(folder: Path, text: str) -> Sha256:
    folder.mkdir()
    (folder / "index.html").write_text(text)
    return hash_tree(folder, Sha256)


def page_of(folder: Path, text: str, extra: str = "") -> Page:
    """Return a page that is pinned by its text."""
    return Page(
        folder="ui",
        toolchain=NODE.name,
        command=("run", "build"),
        environment={"OUT": "{page}", "EXTRA": extra},
        into="ui/dist",
        tree_sha256=tree_of_page(folder / "wanted", text),
    )


def test_what_the_lock_names_is_fetched_and_nothing_else(bench: Bench) -> None:
    entry = bench.fetch()
    files = [path for path in entry.path.rglob("*") if path.is_file()]
    assert files == [entry.path / CONTENT / content_of(TINY)]
    assert files[0].read_bytes() == TINY
    assert [request.path for request in bench.registry.log] == [PATH]
    assert bench.fetch().path == entry.path
    assert len(bench.registry.log) == 1  # not asked again


OTHER = archive_of(package_json='{"name": "tiny", "version": "1.0.0"}', index_js="module.exports = 'evil';")


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (servers.sends(OTHER), VerifyError),
        (servers.sends(TINY[:-1]), VerifyError),
        (servers.WEB_PAGE, VerifyError),
        (servers.closes_after(20), FetchError),
        (servers.NOT_FOUND, FetchError),
        (servers.HANGS_UP, FetchError),
        (servers.asks_to_wait("1"), FetchError),
    ],
    ids=["other bytes", "a byte less", "a web page", "truncated", "missing", "hangs up", "asks to wait"],
)
def test_a_registry_that_misbehaves_gives_nothing_and_a_good_one_mends_it(
    bench: Bench, behaviour: Behaviour, kind: type[Exception]
) -> None:
    bench.registry.serve(PATH, TINY, behaviour)
    with pytest.raises(kind) as caught:
        bench.fetch()
    error = caught.value
    assert isinstance(error, VerifyError | FetchError)
    assert error.where == "test: page"
    assert "npm ended with exit status" in error.found
    assert "npm config get registry" in error.fix
    assert bench.store.find(bench.key) is None
    bench.registry.serve(PATH, TINY)
    assert (bench.fetch().path / CONTENT / content_of(TINY)).read_bytes() == TINY


def test_a_registry_that_is_not_there_is_said(bench: Bench) -> None:
    bench.registry.stop()
    with pytest.raises(FetchError, match="ECONNREFUSED"):
        bench.fetch()


def test_offline_nothing_is_asked_and_the_command_that_fetches_is_named(bench: Bench) -> None:
    offline = replace(bench, settings=replace(bench.settings, offline=True))
    with pytest.raises(FetchError) as caught:
        offline.fetch()
    assert "PINNED_LLAMA_OFFLINE" in caught.value.fix
    assert bench.registry.log == []
    online = bench.fetch()
    assert offline.fetch().path == online.path


def test_a_lock_of_the_public_registry_is_fetched_from_the_users_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = subprocess.run(
        npm_command(bench.node.path, "config", "get", "registry"), capture_output=True, text=True, check=True
    ).stdout.strip()
    assert public.startswith("https://")
    bench.write_lock(public.rstrip("/") + PATH)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", bench.registry.base)
    bench.fetch()
    assert [request.path for request in bench.registry.log] == [PATH]


def test_a_users_wish_for_less_leaves_nothing_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPM_CONFIG_OMIT", "dev")
    assert (bench.fetch().path / CONTENT / content_of(TINY)).is_file()


def test_the_page_is_built_without_a_network_from_what_is_pinned(bench: Bench, tmp_path: Path) -> None:
    page = page_of(tmp_path, "a page")
    entry = ensure_page(bench.job(page))
    assert (entry.path / "index.html").read_text() == "a page"
    asked = len(bench.registry.log)
    bench.registry.stop()
    assert ensure_page(bench.job(page)).path == entry.path
    assert len(bench.registry.log) == asked == 1


def test_another_page_than_the_pinned_one_is_refused_and_kept(bench: Bench, tmp_path: Path) -> None:
    page = page_of(tmp_path, "a page", extra=" and more")
    with pytest.raises(VerifyError) as caught:
        ensure_page(bench.job(page))
    found = tree_of_page(tmp_path / "found", "a page and more")
    assert caught.value.expected == str(page.tree_sha256)
    assert caught.value.found.startswith(str(found))
    assert f"tree_sha256: {found.hex}" in caught.value.fix
    job = bench.job(page)
    assert find_page(bench.store, job.key, page, job.where) is None


def test_a_page_that_nothing_pins_is_built_and_compared_once_it_is_pinned(
    bench: Bench, tmp_path: Path
) -> None:
    pinned = page_of(tmp_path, "a page")
    unpinned = msgspec.structs.replace(pinned, tree_sha256=None, tree_unpinned="not yet")
    entry = ensure_page(bench.job(unpinned))
    assert entry.tree == pinned.tree_sha256
    assert ensure_page(bench.job(pinned)) == entry
    other = msgspec.structs.replace(pinned, tree_sha256=Sha256("d1" * 32))
    with pytest.raises(VerifyError, match="d1d1d1"):
        ensure_page(bench.job(other))


def test_a_build_that_fails_names_the_command_and_its_log(bench: Bench, tmp_path: Path) -> None:
    (bench.folder / "build.js").write_text("console.log('no page today'); process.exit(3);")
    job = bench.job(page_of(tmp_path, "a page"))
    with pytest.raises(BuildError, match="npm run build") as caught:
        ensure_page(job)
    assert "no page today" in caught.value.found
    assert "no page today" in job.log.read_text()


def test_the_build_of_a_page_has_no_network_and_not_the_users_environment(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.registry.serve("/more", b"more")
    monkeypatch.setenv("SECRET", "seen")
    (bench.folder / "build.js").write_text(
        "const fs = require('fs'), http = require('http');"
        f"http.get('{bench.registry.url('/more')}', () => done('network')).on('error', () => done('none'));"
        "function done(text) { fs.writeFileSync(process.env.OUT + '/index.html', text + process.env.SECRET); }"
    )
    page = page_of(tmp_path, "noneundefined")
    ensure_page(bench.job(page))
    assert [request.path for request in bench.registry.log] == [PATH]
