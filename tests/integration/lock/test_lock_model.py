"""`lock -- --model NAME` against a server on loopback that answers as the hub's API does, by its own client."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import huggingface_hub
import pytest

from recipes.cli.main import main
from recipes.core.errors import FetchError
from recipes.core.settings import Settings
from recipes.fetch.http.hub_token import Credential
from recipes.lock.model_hub import read_repository
from tests.support import http_server as servers
from tests.support.http_server import Behaviour, Server
from tests.support.model_manifests import HUB, a_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recipes.manifest.load import Manifests

REVISION = "c3" * 20
ASKED = "/api/models/someone/Some-GGUF?blobs=true"
AGAIN = "python3 noxfile.py -s lock -- --project {} --model hub"


def answer(**changes: Any) -> bytes:  # noqa: ANN401 - JSON
    """As the hub's API writes it: a file in LFS has its digest, a small one in git has none."""
    siblings = [
        {"rfilename": "README.md", "size": 10, "blobId": "0" * 40},
        {
            "rfilename": "model.gguf",
            "size": 4321,
            "blobId": "1" * 40,
            "lfs": {"sha256": "d4" * 32, "size": 4321, "pointerSize": 135},
        },
        {
            "rfilename": "mmproj.gguf",
            "size": 4,
            "blobId": "2" * 40,
            "lfs": {"sha256": "b2" * 32, "size": 4, "pointerSize": 131},
        },
    ]
    data = {"_id": "1", "id": "someone/Some-GGUF", "modelId": "someone/Some-GGUF", "sha": REVISION}
    return json.dumps({**data, "siblings": siblings, "tags": [], "private": False, **changes}).encode()


@dataclass
class Bench:
    manifests: Manifests
    hub: Server
    capsys: pytest.CaptureFixture[str]

    def serve(self, body: bytes | None = None, behaviour: Behaviour | None = None) -> None:
        json_type = (("Content-Type", "application/json"),)
        self.hub.serve(ASKED, body or answer(), behaviour or Behaviour(headers=json_type))

    def lock(self, *more: str) -> tuple[int, str, str]:
        code = main(["lock", "--project", str(self.manifests.project), "--model", "hub", *more])
        captured = self.capsys.readouterr()
        return code, captured.out, captured.err

    @property
    def text(self) -> str:
        return (self.manifests.root / "models" / "hub.yaml").read_text()

    @property
    def again(self) -> str:
        return AGAIN.format(self.manifests.project)


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Bench]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(tmp_path / "store"))
    manifests = a_project(tmp_path / "project", hub=HUB)
    with Server() as hub:
        monkeypatch.setenv("PINNED_LLAMA_HUB_URL", hub.base)
        yield Bench(manifests, hub, capsys)


def test_the_difference_is_shown_and_nothing_is_written(bench: Bench) -> None:
    bench.serve()
    code, out, err = bench.lock()
    assert code == 0
    assert [line for line in out.splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}] == [
        "-revision_unlocked: never seen",
        f"+revision: {REVISION}",
        "-    max_bytes: 5000",
        "-    unlocked: no digest is known",
        "+    size_bytes: 4321",
        f"+    sha256: {'d4' * 32}",
    ]
    assert bench.text == HUB
    assert "trusted on first use" in err
    assert err.endswith(f": {bench.again} --write\n")


def test_with_write_the_pins_stand_in_the_manifest_and_the_next_time_there_is_nothing_to_propose(
    bench: Bench,
) -> None:
    bench.serve()
    assert bench.lock("--write")[0] == 0
    model = type(bench.manifests)(bench.manifests.project).model("hub")
    assert model.revision is not None
    assert model.revision.hex == REVISION
    assert [file.sha256.hex for file in model.files if file.sha256] == ["d4" * 32, "b2" * 32]
    code, out, err = bench.lock("--write")
    assert (code, out) == (0, "")
    assert err.endswith("nothing to propose\n")


def test_bytes_that_are_no_longer_the_pinned_ones_are_said_to_be_so(bench: Bench) -> None:
    bench.serve()
    bench.lock("--write")
    changed = answer().replace(b"d4" * 32, b"e5" * 32)
    bench.serve(changed)
    code, out, err = bench.lock()
    assert code == 0
    assert f"-    sha256: {'d4' * 32}\n+    sha256: {'e5' * 32}" in out
    assert f"model.gguf: pinned {'d4' * 32}, the hub has {'e5' * 32}" in err


def test_the_token_goes_to_the_hub_and_is_in_nothing_that_is_printed(bench: Bench) -> None:
    bench.serve()
    _, out, err = bench.lock()
    assert {request.headers.get("authorization") for request in bench.hub.log} == {"Bearer hf_secret"}
    assert "hf_secret" not in out + err


def test_where_the_hub_redirects_to_another_host_the_token_does_not_follow(bench: Bench) -> None:
    with Server() as elsewhere:
        target = elsewhere.serve("/moved", answer())
        bench.serve(behaviour=servers.redirects_to(target))
        assert bench.lock()[0] == 0
        assert [request.headers.get("authorization") for request in elsewhere.log] == [None]


def test_no_token_is_taken_from_a_file_that_the_clients_login_left(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("hf_of_a_file")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN")
    bench.serve()
    assert bench.lock()[0] == 0
    assert [request.headers.get("authorization") for request in bench.hub.log] == [None]


def test_a_file_that_the_repository_lacks_is_refused(bench: Bench) -> None:
    bench.serve(answer().replace(b'"model.gguf"', b'"Model.gguf"'))
    code, out, err = bench.lock("--write")
    assert (code, out, bench.text) == (13, "", HUB)
    assert f"manifests/models/hub.yaml, in someone/Some-GGUF at {REVISION}\n" in err
    assert "did you mean `Model.gguf`?" in err
    assert err.endswith(f"{bench.again}\n")


def test_what_would_not_be_a_valid_manifest_is_neither_shown_nor_written(bench: Bench) -> None:
    bench.serve(answer().replace(b'"size": 4321', b'"size": 0'))
    code, out, err = bench.lock()
    assert (code, out, bench.text) == (10, "", HUB)
    assert "  where:    manifests/models/hub.yaml, as proposed:13: files[0].size_bytes\n" in err


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_repository_that_cannot_be_read_is_refused(
    bench: Bench, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.serve(behaviour=Behaviour(status=status, body=b"{}"))
    code, _, err = bench.lock()
    assert code == 12
    assert f"{bench.hub.base}/someone/Some-GGUF\n" in err
    assert f"HTTP {status}" in err
    assert "nor for this token" in err
    monkeypatch.delenv("HF_TOKEN")
    assert f"HF_TOKEN=... {bench.again}\n" in bench.lock()[2]


@pytest.mark.parametrize(
    "body",
    [
        servers.PAGE,
        b"[]",
        answer(sha="main"),
        answer(sha=None),
        answer(siblings=[{"rfilename": "model.gguf"}]),
        answer(siblings=[{"rfilename": "a", "size": 1, "lfs": {"sha256": "0", "size": 1, "pointerSize": 1}}]),
    ],
)
def test_an_answer_that_is_not_a_hubs_is_refused(bench: Bench, body: bytes) -> None:
    bench.serve(body)
    code, _, err = bench.lock()
    assert code == 12
    assert "is this a model hub?" in err
    assert f"PINNED_LLAMA_HUB_URL=https://... {bench.again}\n" in err


def test_a_hub_that_is_not_there_is_a_network_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINNED_LLAMA_HUB_URL", f"http://127.0.0.1:{servers.closed_port()}")
    code, _, err = bench.lock()
    assert code == 12
    assert "connection refused" in err
    assert bench.again in err


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "ftp://host:21"])
def test_a_proxy_that_cannot_be_used_is_named(
    bench: Bench, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy", "all_proxy", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", proxy)
    huggingface_hub.close_session()  # the client reads the environment once in a process
    code, _, err = bench.lock()
    huggingface_hub.close_session()
    assert code == 2
    assert "ALL_PROXY" in err
    assert bench.hub.log == []


def test_offline_nothing_is_asked(bench: Bench, tmp_path: Path) -> None:
    settings = Settings(tmp_path, offline=True)
    with pytest.raises(FetchError) as caught:
        read_repository("someone/Some-GGUF", Credential(bench.hub.base), settings, "again")
    assert caught.value.fix == "PINNED_LLAMA_OFFLINE=0 again"
    assert bench.hub.log == []


def test_a_model_of_the_repository_has_nothing_to_ask_a_hub_for(bench: Bench, tmp_path: Path) -> None:
    local = replace(
        bench, manifests=a_project(tmp_path / "other", hub=HUB.split("hub: https")[0] + LOCAL_FILES)
    )
    code, _, err = local.lock()
    assert code == 2
    assert "manifests/models/hub.yaml\n" in err
    assert "a model of a hub" in err


LOCAL_FILES = "files:\n" + "".join(
    f"  - role: {role}\n    path: {role}.gguf\n    size_bytes: 1\n    sha256: {'a1' * 32}\n    quantisation: F16\n"
    for role in ("model", "mmproj")
)


def test_options_about_a_recipes_source_do_not_go_with_a_model(bench: Bench) -> None:
    code, _, err = bench.lock("--output")
    assert code == 2
    assert "--model and --output" in err


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_refusal_is_in_the_hub_s_own_words(bench: Bench, status: int) -> None:
    said = b'{"error": "Access to model someone/Some-GGUF is restricted."}'
    bench.serve(said, Behaviour(status=status, headers=(("Content-Type", "application/json"),)))
    code, out, err = bench.lock()
    assert (code, out) == (12, "")
    assert "it says: Access to model someone/Some-GGUF is restricted." in err


def test_a_login_page_is_named_as_what_it_may_be(bench: Bench) -> None:
    bench.serve(servers.PAGE, Behaviour(headers=(("Content-Type", "text/html"),)))
    code, _, err = bench.lock()
    assert code == 12
    assert "login page" in err
