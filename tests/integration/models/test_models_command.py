"""The session `models` from its command line: what it prints, and what it ends with."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from recipes.cli.main import main
from recipes.core.digest import Sha256
from recipes.fetch.download.piece_file import PieceFile
from recipes.fetch.download.piece_map import PieceLayout, Version
from recipes.manifest.load import PROJECT
from recipes.models.gguf.reader import read_gguf
from recipes.models.inspect import (
    GROUPS,
    OTHER,
    MemoryEstimate,
    Share,
    estimate_memory,
    group_of,
    inspect,
    share_out,
)
from recipes.models.quantisation_chart import draw_mix
from recipes.models.report import count_text, inspection_lines, template_text
from recipes.store.store import Store
from tests.benchmarks.sparse_model import TEMPLATE, write_mmproj, write_model
from tests.support.gguf_drafts import F32, MMPROJ, MODEL, model_keys, model_tensors, whole_draft, word, words
from tests.support.http_server import Server
from tests.support.model_manifests import BARE, a_project, hub_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Bench:
    def __init__(self, folder: Path, hub: Server, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.hub, self._capsys = folder, hub, capsys
        self.project = folder / "project"
        self.blobs = folder / "store" / "v1" / "blobs" / "sha256"
        a_project(self.project, hub=hub_with(MODEL, MMPROJ), bare=BARE)
        for name, data in (("model", MODEL), ("mmproj", MMPROJ)):
            hub.serve(f"/someone/Some-GGUF/resolve/main/{name}.gguf", data)

    def run(self, *words: str) -> tuple[int, str, str]:
        code = main(["models", *words, "--project", str(self.project)])
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Bench]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "none"))
    with Server() as hub:
        monkeypatch.setenv("PINNED_LLAMA_HUB_URL", hub.base)
        yield Bench(tmp_path, hub, capsys)


def test_fetch_prints_where_each_file_is(bench: Bench) -> None:
    code, out, _ = bench.run("fetch", "hub")
    assert code == 0
    paths = [bench.blobs / Sha256.of_bytes(data).hex for data in (MODEL, MMPROJ)]
    assert out.split() == ["model", str(paths[0]), "mmproj", str(paths[1])]


def test_verify_has_a_row_for_each_file_and_leaves_out_what_is_not_pinned(bench: Bench) -> None:
    bench.run("fetch", "hub")
    code, out, _ = bench.run("verify")
    assert code == 0
    assert out.split() == [
        *("unchanged", "hub:", "model.gguf", str(Sha256.of_bytes(MODEL))),
        *("unchanged", "hub:", "mmproj.gguf", str(Sha256.of_bytes(MMPROJ))),
    ]
    assert [line.split()[0] for line in bench.run("verify", "hub", "--full")[1].splitlines()] == ["ok", "ok"]


def test_verify_of_a_model_that_is_not_pinned_is_refused_if_it_is_named(bench: Bench) -> None:
    code, _, err = bench.run("verify", "bare")
    assert code == 11
    assert "unlocked" in err


def test_verify_of_a_missing_model_fails_if_it_is_named(bench: Bench) -> None:
    code, out, err = bench.run("verify", "hub")
    assert code == 23
    assert [line.split()[0] for line in out.splitlines()] == ["absent", "absent"]
    assert "where:    manifests/models/hub.yaml: files[0]\n" in err
    assert err.endswith("models -- fetch hub\n")
    code, out, _ = bench.run("verify")
    assert (code, {line.split()[0] for line in out.splitlines()}) == (0, {"absent"})


def test_verify_says_what_is_wrong_and_ends_with_its_code(bench: Bench) -> None:
    bench.run("fetch", "hub")
    path = bench.blobs / Sha256.of_bytes(MODEL).hex
    path.chmod(0o644)
    path.write_bytes(MODEL[:-1])
    code, out, err = bench.run("verify", "hub")
    assert code == 20
    assert out.split()[:3] == ["BAD", "hub:", "model.gguf"]
    assert str(Sha256.of_bytes(MODEL[:-1])) in err


def test_list_says_what_is_here_what_is_not_and_what_is_refused(bench: Bench) -> None:
    def listed() -> list[str]:
        return bench.run("list")[1].splitlines()

    bare, bare_model, bare_mmproj, hub, model, mmproj = listed()
    assert bare.startswith("bare: ")
    assert "Apache-2.0" in bare
    assert all(word in bare_model for word in ("Q4_K_M", "5.0 kB", ": unlocked"))
    assert "lock -- --model bare" in bare_model
    assert bare_mmproj.endswith("mmproj.gguf (F16, 4 B): pinned")
    assert hub.startswith("hub: ")
    assert model.endswith(f"model.gguf (Q4_K_M, {len(MODEL) / 1000:.1f} kB): not here")
    assert mmproj.endswith(f"mmproj.gguf (F16, {len(MMPROJ) / 1000:.1f} kB): not here")
    bench.run("fetch", "hub")
    assert listed()[4].endswith(": here")
    (bench.folder / "store/v1/sightings" / f"{Sha256.of_bytes(MODEL).hex}.json").unlink()
    assert "here, not verified" in listed()[4]


def test_list_says_how_much_of_a_download_has_arrived(bench: Bench) -> None:
    path = Store.open(bench.folder / "store").partial_path(Sha256.of_bytes(MODEL)).with_suffix(".pieces")
    with PieceFile(path, PieceLayout(len(MODEL), 1024)) as file:
        version = file.version(Version("there"))
        for index in range(file.layout.count // 4):
            file.note(index, 0, version)
    assert (
        f": {file.layout.count // 4 / file.layout.count:.0%} " in bench.run("list", "hub")[1].splitlines()[1]
    )


def test_a_name_is_asked_for(bench: Bench) -> None:
    code, _, err = bench.run("fetch")
    assert code == 2
    assert "NAME" in err


def test_inspect_says_what_a_model_is_and_draws_its_mix(bench: Bench) -> None:
    bench.run("fetch", "hub")
    picture = bench.folder / "mix.svg"
    code, out, _ = bench.run("inspect", "hub", "--context", "100", "--picture", str(picture))
    assert code == 0
    rows = {label: text.strip() for label, _, text in (line.partition(":") for line in out.splitlines())}
    assert rows["architecture"] == "qwen3vlmoe (Tiny)"
    # 18,432 in experts, of which half is used, and 3,680 elsewhere
    assert rows["parameters"].startswith("22.11 k, 12.90 k ")
    assert "64" in rows["context"]
    assert rows["chat template"].startswith("none")
    assert rows["projector"] == "fits the model"
    assert "100 tokens" in rows["memory"]
    assert rows["lint"] == "0 errors, 0 warnings"
    assert str(picture) in out
    assert picture.read_text().startswith('<svg xmlns="http://www.w3.org/2000/svg"')


def test_inspect_takes_files_and_refuses_a_projector_of_another_model(bench: Bench) -> None:
    keys = {
        **model_keys("qwen3vlmoe"),
        "qwen3vlmoe.n_deepstack_layers": model_keys("qwen3vl")["qwen3vl.block_count"],
    }
    model, mmproj = bench.folder / "a.gguf", bench.folder / "b.gguf"
    model.write_bytes(whole_draft(keys, model_tensors("qwen3vlmoe")).encode())
    mmproj.write_bytes(MMPROJ)
    code, out, err = bench.run("inspect", str(model), "--mmproj", str(mmproj))
    assert code == 13
    assert "does NOT fit the model\n" in out
    assert "error: both: mmproj: v.deepstack " in out
    assert "where:    a.gguf, both: mmproj: v.deepstack\n" in err


@pytest.mark.parametrize("name", ["X.GGUF", "sha256-" + "0a" * 32, "folder/x", "plain"])
def test_inspect_takes_a_file_with_any_name(bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(bench.folder)
    (bench.folder / "folder").mkdir()
    (bench.folder / name).write_bytes(MODEL)
    code, out, _ = bench.run("inspect", name)
    assert (code, "lint: 0 errors, 0 warnings" in out) == (0, True)


def test_inspect_says_what_is_no_model_and_what_to_do(bench: Bench) -> None:
    path = bench.folder / "imatrix.gguf"
    path.write_bytes(whole_draft({"general.type": word("imatrix")}, {"a": (F32, (8,))}).encode())
    code, _, err = bench.run("inspect", str(path))
    assert (code, "importance matrix" in err, "--imatrix" in err) == (13, True, True)
    for line in (("inspect", "https://hub.example/x.gguf"), ("inspect", "hub", "--recipe", "of-nobody")):
        assert bench.run(*line)[0] == 2


def test_inspect_of_a_recipe_without_a_table_names_the_command_that_makes_it(bench: Bench) -> None:
    (bench.project / "manifests/loaders/small.json").unlink()
    code, _, err = bench.run("inspect", "hub")
    assert (code, "lock -- --recipe small --loader --write" in err) == (11, True)


def test_inspect_warns_of_a_kind_that_is_not_checked_whole(bench: Bench) -> None:
    path = bench.folder / "x.gguf"
    keys = {"general.architecture": word("llama"), "tokenizer.ggml.tokens": words("a")}
    path.write_bytes(whole_draft(keys, {"a": (F32, (8,))}).encode())
    code, out, _ = bench.run("inspect", str(path))
    assert (code, "--allow-architecture" in out) == (0, True)


def test_inspect_of_what_is_not_here_names_the_command_that_fetches_it(bench: Bench) -> None:
    code, _, err = bench.run("inspect", "hub")
    assert code == 23
    assert err.endswith("models -- fetch hub\n")


def test_inspect_of_a_hostile_file_is_a_refusal(bench: Bench) -> None:
    path = bench.folder / "evil.gguf"
    path.write_bytes(b"GGUF" + bytes([3, 0, 0, 0]) + b"\xff" * 16)
    code, _, err = bench.run("inspect", str(path))
    assert code == 13
    assert "at most 65536 tensors" in err


# The full size, from its head alone


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    write_model(folder / "model.gguf")
    write_mmproj(folder / "mmproj.gguf")
    return folder


def test_the_model_that_people_want_is_sound_and_its_figures_are_the_published_ones(large: Path) -> None:
    found = inspect(read_gguf(large / "model.gguf"), read_gguf(large / "mmproj.gguf"), 8192)
    assert (found.findings, found.fits) == ((), True)
    assert (count_text(found.parameters), count_text(found.active_parameters)) == ("30.53 B", "3.35 B")
    assert found.template == TEMPLATE
    memory = found.memory
    assert memory is not None
    # keys and values: 48 layers, 4 heads of 128, two of them, in 2 bytes
    assert memory.cache == 8192 * 48 * 4 * (128 + 128) * 2
    assert memory.weights == sum(share.size_bytes for share in found.model_shares)
    assert memory.projector == sum(share.size_bytes for share in found.mmproj_shares)
    assert memory.total == memory.without_projector + memory.projector + memory.image
    experts = [share for share in found.model_shares if share.group == "experts"]
    assert [(share.type, share.tensors, share.bits) for share in experts] == [
        ("Q4_K", 120, 4.5),
        ("Q6_K", 24, 6.5625),
    ]
    assert {share.group for share in (*found.model_shares, *found.mmproj_shares)} == {
        name for name, _ in GROUPS if name != "feed forward"
    }


def test_text_only_needs_less(large: Path) -> None:
    model, mmproj = read_gguf(large / "model.gguf"), read_gguf(large / "mmproj.gguf")
    alone, both = estimate_memory(model, None, 1000), estimate_memory(model, mmproj, 1000)
    assert alone is not None
    assert both is not None
    assert alone.total == alone.needed(images=False) == both.needed(images=False) < both.needed(images=True)


def test_a_file_that_does_not_say_its_sizes_has_no_estimate(large: Path) -> None:
    projector = read_gguf(large / "mmproj.gguf")
    assert estimate_memory(projector, None, 1000) is None
    lines = "\n".join(inspection_lines(inspect(projector, None, 1000), 1000))
    assert "memory:        cannot be estimated" in lines
    assert "projector:     none" in lines


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("token_embd.weight", "token embedding"),
        ("output.weight", "output"),
        ("output_norm.weight", "norms"),
        ("blk.0.attn_q_norm.weight", "norms"),
        ("blk.11.ffn_norm.weight", "norms"),
        ("blk.3.ffn_down_exps.weight", "experts"),
        ("blk.3.ffn_gate_inp.weight", "router"),
        ("blk.3.ffn_gate.weight", "feed forward"),
        ("blk.3.attn_output.weight", "attention"),
        ("v.patch_embd.weight.1", "vision: patches"),
        ("v.blk.2.ln1.bias", "vision: norms"),
        ("v.blk.2.ffn_up.bias", "vision: feed forward"),
        ("v.deepstack.8.norm.weight", "vision: norms"),
        ("v.deepstack.8.fc1.weight", "vision: mergers"),
        ("mm.0.weight", "vision: mergers"),
        ("rope_freqs.weight", OTHER),
    ],
)
def test_each_tensor_belongs_to_its_part(name: str, group: str) -> None:
    assert group_of(name) == group


def test_nothing_is_left_out_of_the_shares_and_nothing_counted_twice(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(
        whole_draft(model_keys("qwen3vl"), {**model_tensors("qwen3vl"), "strange": (0, (5,))}).encode()
    )
    file = read_gguf(path)
    shares = share_out(file)
    assert sum(share.tensors for share in shares) == len(file.tensors)
    assert sum(share.size_bytes for share in shares) == sum(tensor.size_bytes for tensor in file.tensors)
    assert shares[-1].group == OTHER


def test_a_hostile_template_is_safe_to_print() -> None:
    assert template_text("\x1b[2J{{ image }}\n").endswith("with images: \\x1b[2J{{ image }}")
    long = template_text("x" * 500 + "tools")
    assert all(word in long for word in ("505 ", "text only", "tools: xxx"))
    assert template_text("x" * 500).endswith("xxx...")


def test_a_hostile_name_is_safe_to_print(tmp_path: Path) -> None:
    # found by the changed heads: seed 16497
    path = tmp_path / "x.gguf"
    keys = {"general.architecture": word("\x1b[2J"), "general.name": word("a\nb\u202e" + "c" * 99)}
    path.write_bytes(whole_draft(keys, {}).encode())
    first = next(inspection_lines(inspect(read_gguf(path), None, 10), 10))
    assert first == f"architecture:  \\x1b[2J (a\\nb\\u202e{'c' * 56}...), not covered by conformance"


def test_whoever_reads_the_answer_may_have_enough_of_it(bench: Bench) -> None:
    argv = (sys.executable, "-m", "recipes", "models", "list", "--project", str(bench.project))
    reading, writing = os.pipe()
    os.close(reading)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        argv, cwd=PROJECT, env=environment, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_chart_is_well_formed_whatever_the_names_are() -> None:
    from xml.etree import ElementTree as ET

    text = draw_mix("<&>", (Share("a <b>", "Q&K", 1, 8, 4), Share("c", "F32", 1, 1, 4_000_000)))
    root = ET.fromstring(text)  # noqa: S314 - it is ours
    assert root.tag.endswith("svg")
    assert len(root.findall(".//{http://www.w3.org/2000/svg}rect")) == 5
    assert draw_mix("", ()).startswith("<svg")


def test_memory_adds_up() -> None:
    memory = MemoryEstimate(1, 20, 300, 4000, 50_000)
    assert (memory.without_projector, memory.total) == (321, 54_321)
