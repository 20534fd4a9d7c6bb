"""A bundle through a registry on loopback: pull against curl, publish against skopeo, and a build from a warm cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from recipes.build.pull import pull_bundle
from recipes.cli.publish import of_store
from recipes.core.console import Silent
from recipes.core.digest import Sha256, hash_tree
from recipes.core.filesystem import STORE_VARIABLE, remove_tree
from recipes.core.settings import CACHES_VARIABLE
from recipes.fetch.fetcher import Candidate, Fetcher
from recipes.fetch.http.response_rules import BlobPin
from recipes.manifest.load import PROJECT
from recipes.registry.caches import Wanted, take_from
from recipes.registry.client import Client
from recipes.registry.division import divide
from recipes.registry.documents import Manifest
from recipes.registry.names import stage_tag
from recipes.registry.publish import Publication, publish
from recipes.registry.reference import parse_repository
from recipes.registry.tree import SCHEMA, SOURCE, TreeFacts
from recipes.registry.workers import Worker
from recipes.store.context import Context
from recipes.store.store import Store
from tests.benchmarks.comparison import Comparison, Kind, Target
from tests.benchmarks.project import built_bundle, open_job
from tests.benchmarks.report import Measured
from tests.benchmarks.sample_files import room, write_random
from tests.benchmarks.turns import Options, Say, UnmeasurableError, run_program, take_turns, time_call
from tests.support.docker_registry import PROGRAM, DockerRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.fetch.download.downloader import Downloader
    from recipes.fetch.http.redirects import Route
    from recipes.registry.reference import Repository

TITLE = "a bundle through a registry on loopback against curl and skopeo"
TURNS = 5
ROOM_BYTES = 2 << 30
LEAST = Target(Kind.RATIO_AT_LEAST, 0.8)
BUILD_S = 20.0
TREE_BYTES, QUICK_TREE_BYTES, FILES = 30_000_000, 1_000_000, 20
STAGES, STAGE_S = 16, 3.0  # two recipes for eight platforms; a build takes two hundred times as long
TWICE = Target(Kind.RATIO_AT_LEAST, 1.8)
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"

CURL = "curl -s -o"
CURL_UNPACKED = "curl -s | tee | openssl dgst, tar --zstd -x, then sync of the files"
SKOPEO = "skopeo copy of the finished artifact"
SKOPEO_PACKS = "skopeo copy, zstd at the same level"


@dataclass(frozen=True)
class Stand:
    """A registry, what is published to it, and a folder for all else."""

    registry: DockerRegistry
    job: Job
    publication: Publication
    folder: Path
    tree_bytes: int

    @property
    def repository(self) -> Repository:
        return parse_repository(self.registry.repository())

    def publish(self) -> None:
        publish(self.job, self.repository, [self.publication])

    def forget(self) -> None:
        """Empty the registry: nothing is mounted, and nothing is there already."""
        remove_tree(self.registry.data / "docker")

    def layer(self, publication: Publication) -> tuple[str, int]:
        """Return the address and the size of a published layer."""
        with Client(self.repository, self.job) as client:
            found = client.find_manifest(self.repository.at(publication.tag))
        if found is None or not isinstance(found.document, Manifest):
            raise UnmeasurableError("the registry has no such bundle")
        (layer,) = found.document.layers
        return self.repository.url("blobs", layer.digest), layer.size

    def skopeo(self, *words: str) -> None:
        """Run skopeo with no memory of what it has sent before."""
        home = self.folder / "skopeo"
        environment = {**os.environ, "HOME": str(home), "XDG_DATA_HOME": str(home)}
        run_program(("skopeo", "copy", "--insecure-policy", "--quiet", *words), env=environment)
        remove_tree(home)


@contextmanager
def stand(options: Options) -> Iterator[Stand]:
    """Start a registry, and publish a recipe's bundle to it; raises UnmeasurableError where a program is missing."""
    for name in (PROGRAM, "skopeo", "curl", "tar"):
        if shutil.which(name) is None:
            raise UnmeasurableError(f"{name} is not installed")
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"  # a user's proxy is not for loopback
    job = replace(open_job(options.recipe), console=Silent())
    built_bundle(job)
    with room(options.folder, ROOM_BYTES) as folder, DockerRegistry(folder / "registry") as registry:
        tree_bytes = QUICK_TREE_BYTES if options.quick else TREE_BYTES
        made = Stand(registry, job, of_store(job)[1], folder, tree_bytes)
        made.publish()
        yield made


def measure(options: Options, say: Say) -> Measured:
    turns = options.turns(TURNS)
    with stand(options) as it:
        rows = (
            *takes(it, turns, say),
            *pulls(it, turns, say),
            *builds(it, turns, say),
            *publishes(it, turns, say),
            *divisions(it, min(turns, 2), say),
        )
    notes = (
        "rates are of the layer's bytes; the registry is docker-registry, without TLS",
        "downloaded: with SHA-256, as `pull` does it; random bytes, which do not pack",
        "taken: the same with manifest and configuration, unpacked, and hashed as a tree",
        "pull: the same with a bundle's documents, then hashed, synced and recorded in an empty store",
        "publish: packed by zstd, sent with all its documents, named, listed in the index, read again",
        "build: the whole command, with an empty store and that registry as its cache",
        "workers: each with its own store, threads of one process; a build is a sleep, which needs no core",
        "the registry is emptied before each publication, and skopeo has no memory of the one before",
    )
    return Measured(rows, notes)


def rate(size_bytes: int, action: Callable[[], object], clean: Callable[[], object]) -> Callable[[], float]:
    """Return what takes a figure in MB/s, and cleans up after it in any case."""
    return lambda: size_bytes / rated(action, clean) / 1e6


def pulls(it: Stand, turns: int, say: Say) -> tuple[Comparison, ...]:
    """A bundle: all of `pull`, against the same work by curl and tar."""
    url, size_bytes = it.layer(it.publication)
    store, folder = it.folder / "store", it.folder / "unpacked"

    def pull() -> None:
        pull_bundle(replace(it.job, store=Store.open(store)), it.job.plan(), it.repository)

    script = (
        'set -eo pipefail; mkdir "$2"; curl -s -f "$1" | tee >(openssl dgst -sha256 >&2)'
        ' | tar --zstd -x -C "$2"; find "$2" -type f -exec sync {} +'
    )
    argv = ("bash", "-c", script, "bash", url, str(folder))
    actions = {
        "pull": rate(size_bytes, pull, lambda: remove_tree(store)),
        CURL_UNPACKED: rate(size_bytes, lambda: run_program(argv), lambda: remove_tree(folder)),
    }
    actions["pull"]()  # imports what it needs
    figures = take_turns(turns, actions, say, "MB/s")
    what = f"pull of {it.job.plan().name}, {size_bytes / 1e6:.0f} MB"
    return (Comparison(what, CURL_UNPACKED, "MB/s", figures["pull"], figures[CURL_UNPACKED], LEAST),)


def takes(it: Stand, turns: int, say: Say) -> tuple[Comparison, ...]:
    """A tree that does not pack: what is taken of a registry, against curl of the same blob."""
    tree = publication(it.folder / "random", it.tree_bytes)
    publish(it.job, it.repository, [tree])
    url, size_bytes = it.layer(tree)
    store, into, file = it.folder / "store", it.folder / "taken", it.folder / "layer"
    wanted = Wanted(SOURCE, tree.tag, Sha256(tree.facts.tree), "a benchmark")

    def take() -> None:
        into.mkdir()
        if take_from(replace(it.job, store=Store.open(store)), it.repository, wanted, into) is None:
            raise UnmeasurableError("the registry has no such tree")

    pin = BlobPin(Sha256(url.rpartition(":")[2]), size_bytes)

    def download() -> None:
        fetcher = Fetcher(Store.open(store), it.job.console, it.job.settings)
        fetcher.deliver(pin, (Candidate("loopback", url),), "benchmark", receive)

    def receive(downloader: Downloader, route: Route | None) -> Path:
        fetched = downloader.fetch(route)
        if fetched.digest != pin.sha256:
            raise UnmeasurableError("other bytes came")
        return fetched.path

    def clean() -> None:
        for folder in (into, store):
            if folder.exists():
                remove_tree(folder)

    actions = {
        "take": rate(size_bytes, take, clean),
        "download": rate(size_bytes, download, clean),
        CURL: rate(size_bytes, lambda: run_program(("curl", "-s", "-f", "-o", str(file), url)), file.unlink),
    }
    actions["take"]()
    figures = take_turns(turns, actions, say, "MB/s")
    what = f"{size_bytes / 1e6:.0f} MB"
    return (
        Comparison(f"{what} downloaded", CURL, "MB/s", figures["download"], figures[CURL], LEAST),
        Comparison(f"{what} taken", CURL, "MB/s", figures["take"], figures[CURL], LEAST),
    )


def publication(folder: Path, size_bytes: int) -> Publication:
    """Make a tree of random bytes, and say how it is published."""
    folder.mkdir()
    for number in range(FILES):
        write_random(folder / str(number), size_bytes // FILES)
    tree = hash_tree(folder, Sha256)
    facts = TreeFacts(schema=SCHEMA, kind=SOURCE, tree=tree.hex)
    return Publication(folder, stage_tag(SOURCE, tree), facts, {}, 0, pinned=True)


def publishes(it: Stand, turns: int, say: Say) -> tuple[Comparison, ...]:
    """A bundle, packed and sent, against skopeo that packs and sends; and beside it one that only sends."""
    _, size_bytes = it.layer(it.publication)
    finished, plain = it.folder / "finished", it.folder / "plain"
    source = f"docker://{it.registry.host}/team/llama:{it.publication.tag}"
    it.skopeo("--src-tls-verify=false", source, f"oci:{finished}:it")
    write_layout(it.publication.folder, plain)
    to = ("--dest-tls-verify=false", f"docker://{it.registry.host}/team/llama:it")
    level = ("--dest-compress-format", "zstd", "--dest-compress-level", "9")
    actions = {
        "publish": rate(size_bytes, it.publish, it.forget),
        SKOPEO: rate(size_bytes, lambda: it.skopeo(f"oci:{finished}:it", *to), it.forget),
        SKOPEO_PACKS: rate(size_bytes, lambda: it.skopeo(*level, f"oci:{plain}:it", *to), it.forget),
    }
    it.forget()
    figures = take_turns(turns, actions, say, "MB/s")
    what = f"publish of {it.job.plan().name}, {size_bytes / 1e6:.0f} MB"
    return tuple(
        Comparison(what, peer, "MB/s", figures["publish"], figures[peer], target)
        for peer, target in ((SKOPEO_PACKS, LEAST), (SKOPEO, None))
    )


def builds(it: Stand, turns: int, say: Say) -> tuple[Comparison, ...]:
    store = it.folder / "built"
    environment = {**os.environ, STORE_VARIABLE: str(store), CACHES_VARIABLE: it.registry.repository()}
    argv = (sys.executable, "-m", "recipes", "build", "--recipe", it.job.recipe.name)

    def build() -> float:
        try:
            return time_call(lambda: run_program(argv, cwd=PROJECT, env=environment))
        finally:
            remove_tree(store)

    figures = take_turns(turns, {"build": build}, say)["build"]
    most = Target(Kind.RATIO_AT_MOST, 1.0)
    return (
        Comparison(
            "build, empty store, warm cache", "the limit", "s", figures, (BUILD_S,) * len(figures), most
        ),
    )


def divisions(it: Stand, turns: int, say: Say) -> tuple[Comparison, ...]:
    """All stages of two recipes by two workers, against one: a stage is a sleep, so that each has its own cores."""
    stages = {}
    for number in range(STAGES):
        tree = publication(it.folder / f"stage-{number}", FILES)
        stages[tree.tag] = tree

    def work(number: int) -> None:
        context = Context(Store.open(it.folder / f"worker-{number}"), Silent(), it.job.settings)
        with Worker(context, it.repository) as worker:

            def is_there(tree: Publication) -> bool:
                wanted = Wanted(SOURCE, tree.tag, Sha256(tree.facts.tree), "a benchmark")
                return worker.find(wanted) is not None

            def make(tree: Publication) -> None:
                time.sleep(STAGE_S)
                publish(context, it.repository, [tree])

            divide(worker, stages, is_there, make, lambda _: None)

    def together(workers: int) -> None:
        with ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(work, number) for number in range(workers)]:
                done.result()

    actions = {
        name: (lambda workers=workers: STAGES / rated(lambda: together(workers), it.forget))
        for name, workers in (("two", 2), ("one", 1))
    }
    it.forget()
    figures = take_turns(turns, actions, say, "stages/s")
    what = f"two workers, {STAGES} stages that sleep {STAGE_S:g} s"
    return (Comparison(what, "one worker", "stages/s", figures["two"], figures["one"], TWICE),)


def rated(action: Callable[[], object], clean: Callable[[], object]) -> float:
    """Return how long an action takes, and clean up after it."""
    try:
        return time_call(action)
    finally:
        clean()


def write_layout(tree: Path, layout: Path) -> None:
    """Write an OCI layout of an image whose one layer is a folder's plain tar."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layer = blobs / "layer"
    with tarfile.open(layer, "w") as tar:
        for path in sorted(tree.rglob("*")):
            if path.is_file():
                tar.add(path, path.relative_to(tree).as_posix())
    digest = hashlib.sha256(layer.read_bytes()).hexdigest()
    layer.rename(blobs / digest)

    def put(document: dict[str, object], media_type: str) -> dict[str, object]:
        data = json.dumps(document).encode()
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}

    config = put(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "history": [],
        },
        "application/vnd.oci.image.config.v1+json",
    )
    size = (blobs / digest).stat().st_size
    layers = [{"mediaType": LAYER_TYPE, "digest": f"sha256:{digest}", "size": size}]
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = put(
        {"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": layers}, manifest_type
    )
    named = {**manifest, "annotations": {"org.opencontainers.image.ref.name": "it"}}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
