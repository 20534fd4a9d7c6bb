"""`models -- add` and `models -- remove`: a file of one's own, a file of a hub on loopback, and what is left."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from recipes.cli.main import main
from recipes.core.digest import Sha256
from recipes.manifest.load import Manifests
from recipes.serve.llamacpp.listen_address import free_port
from recipes.serve.running import RunningServer, announced
from recipes.store.store import Store
from tests.support.fake_llama_server import tell, write_server
from tests.support.gguf_drafts import MMPROJ, MODEL
from tests.support.http_server import Behaviour, Server
from tests.support.model_manifests import BARE, a_project, hub_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REVISION = "c3" * 20
WORD = "hf:someone/Some-GGUF:sub/Some-Q4_K_M.gguf"
JSON = Behaviour(headers=(("Content-Type", "application/json"),))


@dataclass
class Bench:
    folder: Path
    hub: Server
    capsys: pytest.CaptureFixture[str]

    def __post_init__(self) -> None:
        self.store = Store.open(self.folder / "store")
        self.project = self.folder / "project"
        a_project(self.project, hub=hub_with(b"x", b"y"), bare=BARE)

    @property
    def own(self) -> Path:
        return self.folder / "config" / "pinned-llama" / "models"

    def manifests(self) -> Manifests:
        return Manifests(self.project, self.own)

    def models(self, *words: str | Path) -> tuple[int, str, str]:
        code = main(["models", "--project", str(self.project), *map(str, words)])
        captured = self.capsys.readouterr()
        return code, captured.out, captured.err

    def files(self) -> Path:
        folder = self.folder / "mine"
        folder.mkdir(exist_ok=True)
        (folder / "My Model.gguf").write_bytes(MODEL)
        (folder / "mmproj-my.gguf").write_bytes(MMPROJ)
        return folder / "My Model.gguf"

    def has(self, data: bytes) -> bool:
        return self.store.blob_path(Sha256.of_bytes(data)).exists()

    def publish(self, *more: tuple[str, bytes], revision: str = "") -> None:
        """Have the hub's API say what a repository has, and the files be there."""
        files = (("sub/Some-Q4_K_M.gguf", MODEL), ("mmproj-F16.gguf", MMPROJ), *more)
        siblings = [
            {
                "rfilename": name,
                "size": len(data),
                "blobId": "1" * 40,
                "lfs": {"sha256": Sha256.of_bytes(data).hex, "size": len(data), "pointerSize": 135},
            }
            for name, data in files
        ]
        siblings.append({"rfilename": "README.md", "size": 10, "blobId": "0" * 40})
        said = {"_id": "1", "id": "someone/Some-GGUF", "modelId": "someone/Some-GGUF", "sha": REVISION}
        body = json.dumps({**said, "siblings": siblings, "tags": [], "private": False}).encode()
        at = f"/revision/{revision}" if revision else ""
        self.hub.serve(f"/api/models/someone/Some-GGUF{at}?blobs=true", body, JSON)
        for name, data in files:
            self.hub.serve(f"/someone/Some-GGUF/resolve/{REVISION}/{name}", data)


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Bench]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with Server() as hub:
        monkeypatch.setenv("PINNED_LLAMA_HUB_URL", hub.base)
        yield Bench(tmp_path, hub, capsys)


def test_a_file_of_ones_own_is_served_by_its_digest_and_forgotten_again(bench: Bench) -> None:
    path = bench.files()
    code, out, err = bench.models("add", path)
    assert code == 0, err
    assert Sha256.of_bytes(MODEL).hex in out
    model = bench.manifests().model("my-model")
    assert [file.sha256 for file in model.files] == [Sha256.of_bytes(MODEL), Sha256.of_bytes(MMPROJ)]
    assert bench.own.is_dir()
    assert not (bench.project / "manifests" / "models" / "my-model.yaml").exists()
    path.unlink()  # the store has it
    assert bench.models("verify", "my-model")[0] == 0
    bundle = bench.folder / "bundle"
    bundle.mkdir()
    write_server(bundle)
    tell(bundle, ends=0)
    words = ("--project", str(bench.project), "--bundle", str(bundle), "--port", str(free_port()))
    assert main(["serve", "--model", "my-model", *words]) == 0
    assert bench.capsys.readouterr().out.splitlines()[0].split()[1] == "my-model,"
    assert main(["gc", "--project", str(bench.project)]) == 0
    assert bench.has(MODEL)
    bench.capsys.readouterr()
    code, out, _ = bench.models("remove", "my-model")
    assert (code, "my-model" in out) == (0, True)
    assert not bench.has(MODEL)
    assert not bench.has(MMPROJ)
    assert "my-model" not in bench.manifests().model_names()
    assert bench.models("remove", "my-model")[0] == 2


def test_a_file_whose_bytes_are_gone_from_the_store_says_how_to_add_it_again(bench: Bench) -> None:
    bench.models("add", bench.files())
    bench.store.blob_path(Sha256.of_bytes(MODEL)).unlink()
    code, _, err = bench.models("verify", "my-model")
    assert code == 23
    assert "models -- add" in err


@pytest.mark.parametrize(
    ("spoil", "code", "word"),
    [
        ("no projector", 2, "--mmproj"),
        ("two projectors", 2, "several"),
        ("no model", 13, "text"),
        ("swapped", 13, "mmproj"),
        ("nothing", 23, "no such file"),
        ("name", 2, "--name"),
    ],
)
def test_what_is_no_model_is_refused_and_nothing_is_taken(
    bench: Bench, spoil: str, code: int, word: str
) -> None:
    path = bench.files()
    projector = path.with_name("mmproj-my.gguf")
    words: list[str | Path] = [path]
    match spoil:
        case "no projector":
            projector.unlink()
        case "two projectors":
            path.with_name("mmproj-other.gguf").write_bytes(MMPROJ)
        case "no model":
            path.write_text("this is a text\n" * 10)
        case "swapped":
            words = [projector, "--mmproj", path]
        case "nothing":
            path.unlink()
        case _:
            words += ["--name", "hub"]
    found, out, err = bench.models("add", *words)
    assert (found, out) == (code, ""), err
    assert word in err
    assert not bench.own.exists()
    assert not bench.has(MODEL)


@pytest.mark.parametrize("revision", ["", "main"])
def test_a_file_of_a_hub_is_pinned_by_its_commit_and_digest_and_then_fetched(
    bench: Bench, revision: str
) -> None:
    bench.publish(revision=revision)
    word = WORD.replace(":sub", f"@{revision}:sub") if revision else WORD
    code, out, err = bench.models("add", word)
    assert code == 0, err
    assert REVISION in out
    assert bench.hub.base in out  # whose word is trusted
    assert not bench.has(MODEL)
    model = bench.manifests().model("some-q4_k_m")
    assert model.revision is not None
    assert (model.revision.hex, model.files[0].quantisation) == (REVISION, "Q4_K_M")
    assert bench.models("fetch", "some-q4_k_m")[0] == 0
    assert bench.has(MODEL)
    assert bench.models("list", "some-q4_k_m")[1].count(": here") == 2


def test_bytes_that_the_hub_changed_are_refused(bench: Bench) -> None:
    bench.publish()
    bench.models("add", WORD)
    bench.hub.serve(f"/someone/Some-GGUF/resolve/{REVISION}/sub/Some-Q4_K_M.gguf", MODEL[:-1] + b"x")
    assert bench.models("fetch", "some-q4_k_m")[0] == 13
    assert not bench.has(MODEL)


def test_of_several_projectors_the_usual_one_is_taken_or_the_one_that_is_named(bench: Bench) -> None:
    bench.publish(("mmproj-F32.gguf", b"other"))
    bench.models("add", WORD)
    assert bench.manifests().model("some-q4_k_m").files[1].file == "mmproj-F16.gguf"
    code, _, err = bench.models("add", WORD, "--name", "other", "--mmproj", "mmproj-F32.gguf")
    assert code == 0, err
    assert bench.manifests().model("other").files[1].file == "mmproj-F32.gguf"


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("hf:someone", 2, "hf:OWNER/REPOSITORY:FILE"),
        ("hf:someone/Some-GGUF:other.gguf", 13, "sub/Some-Q4_K_M.gguf"),
        ("hf:someone/Some-GGUF:x-00001-of-00002.gguf", 13, "part"),
        ("hf:someone/None-GGUF:x.gguf", 12, "None-GGUF"),
        ("https://example.org/x.gguf", 2, "an address"),
    ],
)
def test_what_the_hub_does_not_have_is_named(bench: Bench, word: str, code: int, said: str) -> None:
    bench.publish()
    found, out, err = bench.models("add", word)
    assert (found, out) == (code, ""), err
    assert said in err
    assert not bench.own.exists()


def test_a_shared_file_stays_and_one_that_is_served_is_not_removed(bench: Bench) -> None:
    path = bench.files()
    bench.models("add", path)
    bench.models("add", path, "--name", "same")
    server = RunningServer(
        base="http://127.0.0.1:1",
        port=1,
        pid=1,
        models=("same",),
        title="x",
        images=("same",),
        needs_key=False,
    )
    with announced(bench.store, server):
        code, _, err = bench.models("remove", "same")
    assert (code, "--stop 1" in err) == (2, True)
    assert bench.models("remove", "same")[0] == 0
    assert bench.has(MODEL)
    assert bench.models("remove", "my-model")[0] == 0
    assert not bench.has(MODEL)


def test_a_model_of_the_repository_is_not_removed(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "remove", "pocket"]) == 2
    assert "files of this repository" in capsys.readouterr().err
    assert "hub" in bench.manifests().model_names()
