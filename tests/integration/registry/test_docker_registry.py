"""Bundles through Debian's docker-registry, with TLS of a private authority and a login: from one user to another."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from recipes.build.evidence_files import evidence_folder
from recipes.core.errors import FetchError, RegistryError
from recipes.store.store import Store
from tests.support.docker_registry import DockerRegistry
from tests.support.pinned_bundle import PinnedProject, make_pinned
from tests.support.programs import demand_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCUMENT = b'{"said": "by a test"}\n'


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("registry"), is_secure=True, has_login=True) as started:
        yield started


@pytest.fixture
def pinned(tmp_path: Path) -> PinnedProject:
    made = make_pinned(tmp_path / "builder")
    folder = evidence_folder(Store.open(made.project.store), made.plan.bundle_key)
    folder.mkdir(parents=True)
    (folder / "sbom.cdx.json").write_bytes(DOCUMENT)
    return made


def digests_of(out: str) -> set[str]:
    return set(re.findall(r"sha256:[0-9a-f]{64}", out))


def test_what_one_user_publishes_another_pulls_with_its_evidence_and_no_key(
    registry: DockerRegistry, pinned: PinnedProject, tmp_path: Path
) -> None:
    known = registry.log_in(tmp_path / "docker")
    to = registry.repository("one/llama")
    published = pinned.project.recipes("publish", "--to", to, **known)
    assert published.status == 0, published.err
    assert f"{to}:plan-{pinned.plan.digest.hex}" in published.out
    assert "with:     sbom.cdx.json" in published.out

    other = pinned.elsewhere(tmp_path / "other")
    pulled = other.recipes("pull", "--from", to, **known)
    assert pulled.status == 0, pulled.err
    assert f"digest:   {pinned.entry.tree} (the pinned one)" in pulled.out
    assert f"taken from {to}@sha256:" in pulled.out
    store = Store.open(other.store)
    entry = store.find_verified(pinned.plan.bundle_key)
    assert entry is not None
    assert entry.tree == pinned.entry.tree
    assert (entry.path / "bin" / "fixture").stat().st_mode & 0o111
    documents = evidence_folder(store, pinned.plan.bundle_key)
    assert (documents / "sbom.cdx.json").read_bytes() == DOCUMENT
    # no copy of the layer stays behind, nor anything of the download
    assert list(store.blobs.iterdir()) == []
    assert list(store.partial.iterdir()) == []

    again = other.recipes("pull", "--from", to, PINNED_LLAMA_OFFLINE="1")
    assert again.status == 0, again.err
    assert "built before, hashed again" in again.out


def test_the_same_again_sends_nothing(
    registry: DockerRegistry, pinned: PinnedProject, tmp_path: Path
) -> None:
    known = registry.log_in(tmp_path / "docker")
    first = pinned.project.recipes("publish", "--to", registry.repository("two"), **known)
    second = pinned.project.recipes("publish", "--to", registry.repository("two"), **known)
    assert "(sent now)" in first.out, first.err
    assert "(there before)" in second.out, second.err
    assert digests_of(first.out) == digests_of(second.out)


def test_a_tag_a_digest_and_the_index_of_the_recipe_name_the_same_bundle(
    registry: DockerRegistry, pinned: PinnedProject, tmp_path: Path
) -> None:
    known = registry.log_in(tmp_path / "docker")
    to = registry.repository("three")
    published = pinned.project.recipes("publish", "--to", to, **known)
    manifest = re.search(r"manifest: (sha256:[0-9a-f]{64})", published.out)
    assert manifest, published.err
    for number, reference in enumerate((f"{to}:fixture", f"{to}@{manifest[1]}")):
        other = pinned.elsewhere(tmp_path / f"other-{number}")
        pulled = other.recipes("pull", "--from", reference, **known)
        assert pulled.status == 0, pulled.err
        assert f"{to}@{manifest[1]}" in pulled.out
    other = pinned.elsewhere(tmp_path / "other-arm")
    other.edit(
        "output_unpinned: a test pins it\n  linux-x86_64-own", f"output: {'0' * 64}\n  linux-x86_64-own"
    )
    pulled = other.recipes("pull", "--platform", "linux-aarch64-cpu", "--from", f"{to}:fixture", **known)
    assert pulled.status == FetchError.exit_code
    assert "has nothing for linux-aarch64-cpu; it has linux-x86_64-cpu" in pulled.err


def test_build_takes_the_bundle_from_a_cache_and_needs_no_compiler(
    registry: DockerRegistry, pinned: PinnedProject, tmp_path: Path
) -> None:
    known = registry.log_in(tmp_path / "docker")
    to = registry.repository("four")
    assert pinned.project.recipes("publish", "--to", to, **known).status == 0
    other = pinned.elsewhere(tmp_path / "other")
    built = other.recipes("build", PINNED_LLAMA_CACHES=to, **known)
    assert built.status == 0, built.err
    assert f"fixture@linux-x86_64-cpu: taken from the cache {to}" in built.err
    assert f"taken from {to}@sha256:" in built.out
    assert not [
        each for each in (other.store / "v1" / "entries").iterdir() if each.name.startswith("toolchain")
    ]


def test_the_cache_of_the_defaults_is_asked_and_no_cache_leaves_it_out(
    registry: DockerRegistry, pinned: PinnedProject, tmp_path: Path
) -> None:
    known = registry.log_in(tmp_path / "docker")
    to = registry.repository("five")
    assert pinned.project.recipes("publish", "--to", to, **known).status == 0
    for name, options, environ, taken in (
        ("default", (), {}, True),
        ("option", ("--no-cache",), {}, False),
        ("empty", (), {"PINNED_LLAMA_CACHES": ""}, False),
        ("offline", (), {"PINNED_LLAMA_OFFLINE": "1"}, False),
    ):
        other = pinned.elsewhere(tmp_path / name)
        defaults = other.root / "manifests" / "defaults.yaml"
        defaults.write_text(defaults.read_text() + f"caches: [{to}]\n")
        built = other.recipes(
            "build", *options, **{"PINNED_LLAMA_OFFLINE": "0", **known, **environ, **NO_INDEX}
        )
        assert (built.status == 0) == taken, built.err
        assert ("taken from the cache" in built.err) == taken, built.err


# nothing that a build fetches can be had: one that takes no bundle from a cache ends early
NO_INDEX = {"PINNED_LLAMA_INDEX_URL": "http://127.0.0.1:9/simple/"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("password", "asked with the login of"),
        ("nobody", "asked without a login"),
        ("authority", "not trusted"),
    ],
)
def test_who_may_not_publish_is_told_why_and_nothing_is_there(
    registry: DockerRegistry, pinned: PinnedProject, tmp_path: Path, change: str, word: str
) -> None:
    known = registry.log_in(tmp_path / "docker", **({"password": "wrong"} if change == "password" else {}))
    if change == "nobody":
        (tmp_path / "docker" / "config.json").unlink()
    if change == "authority":
        del known["PIP_CERT"]
    to = registry.repository(f"refused-{change}")
    published = pinned.project.recipes("publish", "--to", to, **known)
    assert published.status == RegistryError.exit_code
    assert f"where:    {to}\n" in published.err
    assert word in published.err
    assert ("PIP_CERT=" if change == "authority" else f"docker login {registry.host}") in published.err
    assert "correct horse" not in published.err
    assert not (registry.data / "docker/registry/v2/repositories" / f"refused-{change}").exists()


def test_another_client_reads_what_was_published(
    registry: DockerRegistry, pinned: PinnedProject, tmp_path: Path
) -> None:
    skopeo = demand_program("skopeo")
    known = registry.log_in(tmp_path / "docker")
    to = registry.repository("six")
    published = pinned.project.recipes("publish", "--to", to, **known)
    assert published.status == 0, published.err
    layout = tmp_path / "layout"
    shutil.copyfile(registry.authority or "", registry.folder / "ca.crt")
    done = subprocess.run(
        [
            *(skopeo, "copy", "--all", "--insecure-policy", "--src-cert-dir", registry.folder),
            *("--authfile", tmp_path / "docker" / "config.json"),
            *(f"docker://{to}:plan-{pinned.plan.digest.hex}", f"oci:{layout}:bundle"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    index = json.loads((layout / "index.json").read_text())
    digest = index["manifests"][0]["digest"].removeprefix("sha256:")
    manifest = json.loads((layout / "blobs" / "sha256" / digest).read_text())
    assert manifest["artifactType"] == "application/vnd.pinned-llama.bundle.v1"
    assert (
        manifest["annotations"]["org.opencontainers.image.revision"]
        == "0123456789abcdef0123456789abcdef01234567"
    )
    layer = layout / "blobs" / "sha256" / manifest["layers"][0]["digest"].removeprefix("sha256:")
    listed = subprocess.run(["tar", "--zstd", "-tf", layer], capture_output=True, text=True, check=False)
    assert listed.stdout.split() == ["bin/fixture", "build.json"], listed.stderr


def test_a_credential_helper_is_asked_for_the_host(
    registry: DockerRegistry, pinned: PinnedProject, tmp_path: Path
) -> None:
    known = registry.log_in(tmp_path / "docker")
    helper = tmp_path / "bin" / "docker-credential-of-test"
    helper.parent.mkdir()
    helper.write_text(
        f'#!/bin/sh\nread host\necho "$1 $host" > {tmp_path}/asked\n'
        'echo \'{"ServerURL": "x", "Username": "builder", "Secret": "correct horse"}\'\n'
    )
    helper.chmod(0o755)
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"credHelpers": {registry.host: "of-test"}}))
    path = f"{helper.parent}:/usr/bin:/bin"
    published = pinned.project.recipes("publish", "--to", registry.repository("seven"), PATH=path, **known)
    assert published.status == 0, published.err
    assert (tmp_path / "asked").read_text() == f"get {registry.host}\n"
