"""Models: fetched over several connections against curl, verified against openssl, and looked at, at full size."""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING

from recipes.core.console import Silent
from recipes.core.cores import usable_cores
from recipes.core.digest import hash_file
from recipes.core.settings import Settings
from recipes.fetch.download.downloader import Downloader, Fetched
from recipes.fetch.http.redirects import Route
from recipes.fetch.http.retry import Tempo
from recipes.models.files import PinnedFile, pinned_files
from recipes.models.gguf.lint import lint_model
from recipes.models.gguf.reader import read_gguf
from recipes.models.verify import verify_files
from recipes.store.context import Context
from recipes.store.stat_cache import note_sight
from recipes.store.store import Store
from tests.benchmarks.comparison import Comparison, Kind, Target
from tests.benchmarks.fetching import CURL, CURL_SCRIPT, CURL_SYNC, LEAST, Race, races
from tests.benchmarks.report import Measured
from tests.benchmarks.sample_files import write_random
from tests.benchmarks.sparse_model import write_mmproj, write_model
from tests.benchmarks.turns import Options, Say, UnmeasurableError, run_program, take_turns, time_call
from tests.support.model_manifests import HUB, a_project

if TYPE_CHECKING:
    from pathlib import Path

TITLE = "models: fetch against curl, verify against openssl, a look at the full size"
TURNS = 5
PROJECTOR_SHARE = 17  # the projector has a 17th of the model's bytes
OURS, OURS_DURABLE = "fetch with hash", "fetch with hash and fsync"
CURL_HASH = "curl -s | tee FILE | openssl dgst -sha256"
CURL_HASH_SYNC = f"{CURL_HASH}, then sync of FILE"
REVERIFY_S, LINT_S, LINT_MB = 0.05, 1.0, 200.0


def measure(options: Options, say: Say) -> Measured:
    turns = options.turns(TURNS)
    rows: tuple[Comparison, ...] = ()
    with races(options, 3) as every:
        for race in every:
            rows += fetching(race, turns, say)
        rows += verifying(every[0].served, every[0].folder, turns, say)
        rows += looking(every[0].folder, turns, say)
    notes = (
        (
            "fetch with hash: download over 4 connections, SHA-256 of the whole, a CRC-32 and a note of each MiB; the"
            " bytes are in the page cache. With fsync: the same, then fsync, rename into the store, and fsync of its"
            " folder, as a session does it. Modules are imported before"
        ),
        (
            "curl -s -o: one connection, no hash, bytes in the page cache; with tee and openssl: hashed beside, by"
            " another process; sync: coreutils' `sync FILE`, which is fsync"
        ),
        (
            "the server is another process, and sends a file of the page cache with sendfile; all that is dirty is"
            " synced before each turn"
        ),
        (
            "verify: as `models -- verify --full`, a model and a projector of a 17th of its size, in the page cache, by"
            " the digests of their chunks, which the first verification has noted; modules imported before"
        ),
        (
            "the full size is a head of the published shape with holes where the tensors are, 18.6 GB and 1.1 GB, and a"
            " digest that is recorded and not its own: what is not read cannot tell. Both in a process that runs; the"
            " start of Python is beyond it"
        ),
    )
    return Measured(rows, notes)


def fetching(race: Race, turns: int, say: Say) -> tuple[Comparison, ...]:
    """Take turns with curl in one place: without waiting for the disk, and with the file on it."""
    pin, path = race.pin, race.folder / "ours.pieces"
    store = Store.open(race.folder / "store")
    context = Context(store, Silent(), Settings(store.root))

    def download() -> Fetched:
        fetched = Downloader("loopback", pin, path, context, Tempo()).fetch(Route(race.url))
        if fetched.digest != pin.sha256:
            raise UnmeasurableError(f"it fetched {fetched.digest}")
        return fetched

    def clean() -> None:
        for left in (*race.folder.glob("ours.pieces*"), store.blob_path(pin.sha256)):
            left.unlink(missing_ok=True)

    whole, hashed = f'{CURL_SCRIPT} -o "$2"', f'{CURL_SCRIPT} | tee "$2" | openssl dgst -sha256'
    actions = {
        OURS: race.rate(download, clean),
        CURL: race.curl(whole),
        CURL_HASH: race.curl(hashed),
    }
    pairs = [(OURS, CURL), (OURS, CURL_HASH)]
    if race.name == "disk":
        actions |= {
            OURS_DURABLE: race.rate(lambda: store.adopt_blob(download().path, pin.sha256), clean),
            CURL_SYNC: race.curl(f'{whole}; sync "$2"'),
            CURL_HASH_SYNC: race.curl(f'{hashed}; sync "$2"'),
        }
        pairs += [(OURS_DURABLE, CURL_SYNC), (OURS_DURABLE, CURL_HASH_SYNC)]
    figures = take_turns(turns, actions, say, "GB/s")
    what = f"of {race.size_bytes >> 20} MiB to {race.name}, 4 connections"
    return tuple(
        Comparison(f"{name} {what}", peer, "GB/s", figures[name], figures[peer], LEAST)
        for name, peer in pairs
    )


def verifying(model: Path, folder: Path, turns: int, say: Say) -> tuple[Comparison, ...]:
    """Take turns with openssl over a model and its projector, as `models -- verify --full` reads them."""
    mmproj = folder / "mmproj.bin"
    write_random(mmproj, model.stat().st_size // PROJECTOR_SHARE)
    paths = (model, mmproj)
    total_bytes = sum(path.stat().st_size for path in paths)
    store = Store.open(folder / "verified")
    digests = [hash_file(path) for path in paths]
    text = HUB.replace("unlocked: no digest is known", f"sha256: {digests[0].hex}")
    text = text.replace("b2" * 32, digests[1].hex).replace(
        "size_bytes: 4\n", f"size_bytes: {mmproj.stat().st_size}\n"
    )
    manifests = a_project(
        folder / "of-verify", hub=text.replace("max_bytes: 5000", f"max_bytes: {total_bytes}")
    )
    files = pinned_files(manifests.model("hub"), manifests, store)
    for file, path in zip(files, paths, strict=True):
        file.path.hardlink_to(path)
    context = Context(store, Silent(), Settings(store.root))
    verify_files(files, context)  # the digests of the chunks are noted

    def verify() -> None:
        if [row.state for row in verify_files(files, context, full=True)] != ["ok", "ok"]:
            raise UnmeasurableError("a file changed while it was measured")

    openssl = ("openssl", "dgst", "-sha256", *map(str, paths))
    actions = {
        "ours": lambda: total_bytes / time_call(verify) / 1e9,
        "openssl, 1 core": lambda: total_bytes / time_call(lambda: run_program(openssl)) / 1e9,
    }
    figures = take_turns(turns, actions, say, "GB/s")
    what = f"verify of model and projector, {total_bytes / 1e9:.2f} GB, {usable_cores()} cores"
    least = Target(Kind.RATIO_AT_LEAST, 1.7)
    return (
        Comparison(what, "openssl dgst, 1 core", "GB/s", figures["ours"], figures["openssl, 1 core"], least),
    )


def looking(folder: Path, turns: int, say: Say) -> tuple[Comparison, ...]:
    """Verify again what did not change, and lint a head, both at full size."""
    store = Store.open(folder / "store")
    manifests = a_project(
        folder / "project", hub=HUB.replace("unlocked: no digest is known", f"sha256: {'a1' * 32}")
    )
    files: tuple[PinnedFile, ...] = pinned_files(manifests.model("hub"), manifests, store)
    for file, write in zip(files, (write_model, write_mmproj), strict=True):
        write(file.path)
        note_sight(file.path, file.sha256, store)

    def verify() -> None:
        fresh = pinned_files(manifests.model("hub"), manifests, store)
        if [row.state for row in verify_files(fresh, Context(store, Silent(), Settings(store.root)))] != [
            "unchanged",
            "unchanged",
        ]:
            raise UnmeasurableError("it was read")

    script = (
        "import resource, sys, time\n"
        "from pathlib import Path\n"
        "from tests.benchmarks.models import lint\n"
        "print(lint(Path(sys.argv[1])))"
    )
    run = run_program((sys.executable, "-c", script, str(files[0].path)))
    memory_mb = float(run.split()[-1])
    figures = take_turns(
        turns,
        {
            "verify again": lambda: time_call(verify),
            "lint": lambda: time_call(lambda: lint_model(read_gguf(files[0].path))),
        },
        say,
    )
    most = Target(Kind.RATIO_AT_MOST, 1.0)
    limits = {"verify again": REVERIFY_S, "lint": LINT_S}
    rows = [
        Comparison(f"{name} of the full size", "the limit", "s", row, (limits[name],) * len(row), most)
        for name, row in figures.items()
    ]
    rows.append(Comparison("peak memory of that lint", "the limit", "MB", (memory_mb,), (LINT_MB,), most))
    return tuple(rows)


def lint(path: Path) -> float:
    """Lint a model; give the most memory that this process had, in MB."""
    lint_model(read_gguf(path))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
