"""An archive's name says what it is a part of, none overwrites another, its checksum and documents lie beside it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from recipes.build.archive import archive_name, write_archive
from recipes.build.context import Job
from recipes.build.evidence_files import evidence_folder
from recipes.build.plan.host_override import on_host
from recipes.build.plan.plan import narrow, with_architectures
from recipes.core.console import Silent
from recipes.core.digest import Sha256
from recipes.core.errors import UsageError
from recipes.core.sandbox import Surroundings
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.store.entry import Entry
from recipes.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

MANIFESTS = Manifests()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        Store.open(tmp_path / "store"),
        Silent(),
        read_settings(),
        manifests=MANIFESTS,
        recipe=MANIFESTS.recipe("b11312"),
        platform_name="linux-x86_64-cpu",
        surroundings=Surroundings(jobs=1),
    )


def bundle(job: Job, tmp_path: Path, content: str) -> Entry:
    folder = tmp_path / content
    folder.mkdir()
    (folder / "file").write_text(content)
    return Entry(job.plan().bundle_key, "bundle", Sha256("ab" * 32), {}, folder)


def test_parts_other_compilers_and_fewer_gpus_have_names_of_their_own(job: Job) -> None:
    whole = archive_name(job, job.plan())
    assert whole == "llama.cpp-b11312-linux-x86_64-cpu"
    mac = replace(job, platform_name="macos-arm64-metal")
    own = replace(mac, recipe=on_host(job.recipe, "macos-arm64-metal"))
    gpu = replace(job, platform_name="linux-x86_64-cuda")
    few = replace(
        gpu, recipe=with_architectures(job.recipe, "linux-x86_64-cuda", gpu.platform.architectures[:1])
    )
    names = [
        whole,
        archive_name(job, narrow(job.plan(), ("llama-server",))),
        archive_name(job, narrow(job.plan(), tuple(f"a-very-long-target-{n}" for n in range(9)))),
        archive_name(mac, mac.plan()),
        archive_name(own, own.plan()),
        archive_name(gpu, gpu.plan()),
        archive_name(few, few.plan()),
    ]
    assert len(set(names)) == len(names)
    assert "-llama-server-" in names[1]
    assert "-host-" in names[4]
    assert max(map(len, names)) < 150


def test_beside_an_archive_are_its_checksum_and_the_documents_of_its_bundle(job: Job, tmp_path: Path) -> None:
    documents = evidence_folder(job.store, job.plan().bundle_key)
    documents.mkdir(parents=True)
    (documents / "provenance.json").write_text(json.dumps({"subject": [{"name": "x"}]}))
    (documents / "sbom.cdx.json").write_text("{}")
    entry, out = bundle(job, tmp_path, "one"), tmp_path / "out"
    archive = write_archive(job, job.plan(), entry, out)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    name = archive.name
    assert (out / f"{name}.sha256").read_text() == f"{digest}  {name}\n"
    beside = out / f"{name.removesuffix('.tar.zst')}.evidence"
    assert sorted(path.name for path in beside.iterdir()) == ["provenance.json", "sbom.cdx.json"]
    subjects = json.loads((beside / "provenance.json").read_text())["subject"]
    assert subjects == [{"name": "x"}, {"name": name, "digest": {"sha256": digest}}]
    assert len(list(out.iterdir())) == 3
    assert write_archive(job, job.plan(), entry, out) == archive  # the same bytes again


def test_an_archive_of_other_bytes_is_not_overwritten(job: Job, tmp_path: Path) -> None:
    archive = write_archive(job, job.plan(), bundle(job, tmp_path, "one"), tmp_path / "out")
    before = archive.read_bytes()
    with pytest.raises(UsageError) as caught:
        write_archive(job, job.plan(), bundle(job, tmp_path, "two"), tmp_path / "out")
    assert caught.value.where == str(archive)
    assert archive.read_bytes() == before
    assert len(list((tmp_path / "out").iterdir())) == 3
