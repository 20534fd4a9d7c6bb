"""Container images: the same bits from the same pins, as skopeo, umoci and a registry read them, and as they run."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from recipes.build.bundle.layout import write_record
from recipes.build.plan.plan import make_plan
from recipes.cli.main import main
from recipes.core.console import Silent
from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import (
    BundleMissingError,
    KnownVulnerabilityError,
    ManifestError,
    OutputError,
    RegistryError,
    UsageError,
    VerifyError,
)
from recipes.manifest.load import Manifests
from recipes.serve.container.document import FOLDER, USER_ID
from recipes.store.store import Store
from tests.support.debian_packages import package
from tests.support.docker_registry import DockerRegistry
from tests.support.fixture_project import FixtureProject, make_project
from tests.support.oci_registry import FakeRegistry, Rule, error
from tests.support.programs import demand_program

if TYPE_CHECKING:
    from collections.abc import Iterator

X86, ARM = "linux-x86_64-cpu", "linux-aarch64-cpu"
LOADER = "lib64/ld-linux-x86-64.so.2"
LIBRARIES = "lib/x86_64-linux-gnu"
DIGEST = re.compile(r"^digest: +(sha256:[0-9a-f]{64})", re.MULTILINE)
BASE = """\
schema: image/1
name: test
summary: what this machine's own programs link
health: [/usr/bin/true]
machines:
"""
MACHINE = """\
  {machine}:
    - package: libc6
      version: "1"
      pool: pool/libc6.deb
      size_bytes: {size}
      sha256: {sha256}
      licence: LGPL-2.1-or-later
      take:
        usr/bin/true: usr/bin/true
        {loader}: {loader}
        {libraries}/libc.so.6: {libraries}/libc.so.6
"""

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="it packs this machine's own C library"
)


@dataclass
class Yard:
    """A project whose bundle is a program of this machine, and what images of it are made on."""

    project: FixtureProject
    folder: Path

    def image(self, *words: str, to: str | None = None) -> int:
        return main(
            [
                "image",
                "--project",
                str(self.project.root),
                "--to",
                to or f"oci:{self.folder / 'image'}",
                *words,
            ]
        )

    def lock(self, *words: str) -> int:
        return main(["lock", "--project", str(self.project.root), "--image", *words])

    def relock(self, *words: str) -> int:
        """Pin the bundle that the store has."""
        return main(["lock", "--project", str(self.project.root), "--output", *words])

    def put_bundle(self, name: str, *, program: str) -> Sha256:
        manifests = Manifests(self.project.root)
        recipe = manifests.recipe("fixture")
        plan = make_plan(recipe, name, manifests.toolchain(recipe.platforms[name].toolchain))

        def make(folder: Path) -> None:
            (folder / "bin").mkdir()
            shutil.copy(program, folder / "bin" / "llama-server")
            (folder / "bin" / "llama-server").chmod(0o755)
            write_record(folder, plan.record())

        store = Store.open(self.project.store)
        entry, _ = store.ensure(plan.bundle_key, "bundle", plan.named_inputs(), make, console=Silent())
        return entry.tree

    def pin(self, tree: Sha256) -> None:
        self.project.edit("output_unpinned: a test pins it\n  linux-a", f"output: {tree.hex}\n  linux-a")


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    project = make_project(tmp_path, tmp_path / "store")
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(project.store))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker"))
    programs = ("usr/bin/true", LOADER)
    libraries = {name: (Path(f"/{name}").read_bytes(), 0o755) for name in programs}
    libraries[f"{LIBRARIES}/libc.so.6"] = Path(f"/{LIBRARIES}/libc.so.6").read_bytes(), 0o755
    data = package(libraries)
    sha256 = Sha256.of_bytes(data)
    blobs = project.store / "v1" / "blobs" / "sha256"
    blobs.mkdir(parents=True, mode=0o700)
    (blobs / sha256.hex).write_bytes(data)
    (blobs / sha256.hex).chmod(0o444)
    (project.root / "manifests" / "images").mkdir()
    pin = {"size": len(data), "sha256": sha256.hex, "loader": LOADER, "libraries": LIBRARIES}
    machines = "".join(MACHINE.format(machine=name, **pin) for name in ("linux-x86_64", "linux-aarch64"))
    (project.root / "manifests" / "images" / "test.yaml").write_text(BASE + machines)
    defaults = project.root / "manifests" / "defaults.yaml"
    defaults.write_text(defaults.read_text() + "image: test\n")
    made = Yard(project, tmp_path)
    made.put_bundle(X86, program="/bin/echo")
    return made


def run(*words: str | Path, **environ: str) -> str:
    done = subprocess.run(words, check=True, capture_output=True, text=True, env={**os.environ, **environ})
    return done.stdout


def digest_of(capsys: pytest.CaptureFixture[str]) -> str:
    found = DIGEST.search(capsys.readouterr().out)
    assert found
    return found[1]


def test_two_people_make_the_same_image(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    assert yard.image() == 0
    first = digest_of(capsys)
    before = os.umask(0o077)
    try:
        assert yard.image(to=f"oci:{yard.folder / 'again'}") == 0
    finally:
        os.umask(before)
    assert digest_of(capsys) == first
    one, two = (sorted((yard.folder / name / "blobs").rglob("*")) for name in ("image", "again"))
    assert [path.name for path in one] == [path.name for path in two]
    # what is in the folder already stays; a second time changes nothing
    index = (yard.folder / "image" / "index.json").read_bytes()
    assert yard.image() == 0
    assert (yard.folder / "image" / "index.json").read_bytes() == index


def test_skopeo_and_umoci_read_it_and_the_bundle_in_it_is_the_same(
    yard: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    skopeo, umoci = demand_program("skopeo"), demand_program("umoci")
    tree = yard.put_bundle(X86, program="/bin/echo")
    assert yard.image() == 0
    digest = digest_of(capsys)
    layout = f"{yard.folder / 'image'}:fixture"
    assert json.loads(run(skopeo, "inspect", "--override-arch", "amd64", f"oci:{layout}"))["Os"] == "linux"
    raw = run(skopeo, "inspect", "--raw", f"oci:{layout}-{X86}")
    assert str(Sha256.of_bytes(raw.encode())) == digest
    copied = yard.folder / "copied"
    run(skopeo, "copy", "--all", f"oci:{layout}", f"oci:{copied}:x")
    rootless = () if os.geteuid() == 0 else ("--rootless",)
    run(umoci, "unpack", *rootless, "--image", f"{layout}-{X86}", yard.folder / "unpacked")
    root = yard.folder / "unpacked" / "rootfs"
    assert hash_tree(root / FOLDER, Sha256) == tree
    assert {path.stat().st_mtime for path in (root / FOLDER).rglob("*") if path.is_file()} == {1767225600}
    if os.geteuid() == 0:
        assert {(path.stat().st_uid, path.stat().st_gid) for path in root.rglob("*")} == {(0, 0)}
    process = json.loads((yard.folder / "unpacked" / "config.json").read_text())["process"]
    assert (process["user"]["uid"], process["user"]["gid"]) == (USER_ID, USER_ID)
    assert process["args"][0] == "/opt/llama/bin/llama-server"
    assert "/run/secrets/llama/api-key" in process["args"]
    if os.geteuid() == 0:
        assert runs(root, process["args"]).startswith("--host 0.0.0.0 --port 8080")


def runs(root: Path, words: list[str]) -> str:
    """Run a command in an unpacked image as its user, where nothing can be written; return what it prints."""
    unshare = shutil.which("unshare") or pytest.skip("unshare is not installed")
    script = (
        'mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"'
        f' && ! touch "$0/x" 2>/dev/null && exec chroot --userspec={USER_ID}:{USER_ID} "$0" "$@"'
    )
    return run(unshare, "--mount", "sh", "-c", script, root, *words)


def test_the_image_of_a_pinned_bundle_is_pinned_by_lock_and_another_one_is_refused(
    yard: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    assert yard.lock("--platform", X86, "--write") == UsageError.exit_code
    assert "lock -- --recipe fixture --platform linux-x86_64-cpu --output --write" in capsys.readouterr().err
    yard.pin(yard.put_bundle(X86, program="/bin/echo"))
    assert yard.image() == 0
    out = capsys.readouterr().out
    assert "not pinned: pin it with" in out
    assert yard.lock("--platform", X86) == 0
    assert "+    image: " in capsys.readouterr().out
    assert yard.lock("--platform", X86, "--write") == 0
    capsys.readouterr()
    assert yard.image() == 0
    assert "(the pinned one)" in capsys.readouterr().out
    base = yard.project.root / "manifests" / "images" / "test.yaml"
    base.write_text(base.read_text().replace("[/usr/bin/true]", "[/usr/bin/true, again]"))
    index = (yard.folder / "image" / "index.json").read_bytes()
    assert yard.image() == VerifyError.exit_code
    assert "--image --write" in capsys.readouterr().err
    assert (yard.folder / "image" / "index.json").read_bytes() == index
    assert yard.lock("--platform", X86, "--write") == 0
    assert yard.image() == 0
    # of another bundle no image is pinned, until it is made
    name = Manifests(yard.project.root).recipe("fixture").platforms[X86]
    assert (name.image is not None, name.image_unpinned) == (True, None)
    yard.project.edit(f"output: {name.output.hex if name.output else ''}", f"output: {'0' * 64}")
    assert yard.relock("--platform", X86, "--write") == 0
    name = Manifests(yard.project.root).recipe("fixture").platforms[X86]
    assert (name.image, name.image_unpinned) == (None, "not made yet of this bundle")
    capsys.readouterr()
    assert yard.image() == 0
    assert "not pinned: not made yet of this bundle; pin it with" in capsys.readouterr().out
    assert yard.lock("--platform", X86, "--write") == 0
    assert yard.image() == 0
    assert "(the pinned one)" in capsys.readouterr().out


def test_what_is_said_of_the_recipe_may_be_worded_anew_and_the_licences_are_those_of_all_that_is_in_it(
    yard: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    assert yard.image() == 0
    first = digest_of(capsys)
    summary = Manifests(yard.project.root).recipe("fixture").summary
    yard.project.edit(f"summary: {summary}", "summary: the same in other words")
    assert yard.image() == 0
    assert digest_of(capsys) == first
    config = configuration(yard.folder / "image", f"fixture-{X86}")
    assert config["Labels"]["org.opencontainers.image.licenses"] == "MIT AND LGPL-2.1-or-later"
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/bin/true"]
    assert config["Cmd"][-2:] == ["--cache-ram", "0"]


def test_what_serve_refuses_is_refused(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    yard.project.advise("high", "request")
    assert yard.image() == KnownVulnerabilityError.exit_code
    assert "--permit squares-are-round" in capsys.readouterr().err
    assert not (yard.folder / "image").exists()
    assert yard.image("--permit", "CVE-2000-0002") == 0
    yard.pin(Sha256("0" * 64))
    assert yard.image("--permit", "CVE-2000-0002") == OutputError.exit_code
    assert "Traceback" not in capsys.readouterr().err


def test_layers_that_a_registry_has_are_not_sent_again_and_names_are_given_last(
    yard: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeRegistry() as registry:
        refuses = Rule("PUT", r"/blobs/uploads/", error(403))
        registry.rules.append(refuses)
        assert yard.image(to=registry.repository("team/images")) == RegistryError.exit_code
        assert registry.manifests == {}
        registry.rules.remove(refuses)
        assert yard.image(to=registry.repository("team/images")) == 0
        assert sent(registry, 0) > 2_000_000
        assert registry.tags == {"image-fixture", f"image-fixture-{X86}"}
        before = len(registry.log)
        assert yard.image(to=registry.repository("team/images")) == 0
        assert yard.image("--mount-from", "team/images", to=registry.repository("other/images")) == 0
        assert sent(registry, before) < 10_000
    assert capsys.readouterr().out.count("image-fixture-linux-x86_64-cpu") == 3


def sent(registry: FakeRegistry, before: int) -> int:
    """How many bytes of blobs arrived since a request."""
    uploads = (each for each in registry.log[before:] if each.method in {"PATCH", "PUT"})
    return sum(each.body_bytes for each in uploads)


def test_a_platform_that_is_not_built_is_left_out_of_the_index(
    yard: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    assert yard.image("--all-platforms") == 0
    said = capsys.readouterr()
    assert "fixture@linux-aarch64-cpu is left out" in said.err
    assert len(DIGEST.findall(said.out)) == 1
    index = document(yard.folder / "image", "fixture")
    assert [each["platform"]["architecture"] for each in index["manifests"]] == ["amd64"]


def document(layout: Path, name: str) -> dict[str, Any]:
    """What a name of a layout stands for."""
    named = json.loads((layout / "index.json").read_bytes())["manifests"]
    (digest,) = (
        each["digest"] for each in named if each["annotations"]["org.opencontainers.image.ref.name"] == name
    )
    found: dict[str, Any] = json.loads(blob(layout, digest))
    return found


def configuration(layout: Path, name: str) -> dict[str, Any]:
    config = json.loads(blob(layout, document(layout, name)["config"]["digest"]))["config"]
    return dict(config)


def blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()


def test_what_cannot_be_an_image_is_refused(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    for words, status, word in (
        (("--platform", ARM), BundleMissingError.exit_code, "build -- --recipe fixture"),
        (("--with-model", "nothing"), UsageError.exit_code, "nothing"),
        (("--platform", X86, "--all-platforms"), UsageError.exit_code, "--all-platforms"),
        (("--mount-from", "team/others"), UsageError.exit_code, "--mount-from"),
    ):
        assert yard.image(*words) == status
        assert word in capsys.readouterr().err
    for to in ("oci:", "nowhere", "h.example/r@sha256:" + "0" * 64, f"oci:{yard.project.root}"):
        assert yard.image(to=to) == UsageError.exit_code
        assert "Traceback" not in capsys.readouterr().err
    assert not (yard.folder / "image").exists()


def test_a_bundle_that_links_what_is_not_in_the_image_is_refused(
    yard: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    base = yard.project.root / "manifests" / "images" / "test.yaml"
    text = base.read_text()
    base.write_text(text.replace(f"        {LIBRARIES}/libc.so.6: {LIBRARIES}/libc.so.6\n", ""))
    assert yard.image() == VerifyError.exit_code
    assert "not there: libc.so.6" in capsys.readouterr().err
    base.write_text(text.replace(f"{LOADER}: {LOADER}", f"{LOADER}: lib/elsewhere.so"))
    assert yard.image() == VerifyError.exit_code
    assert f"/{LOADER}" in capsys.readouterr().err
    base.write_text(text.replace(f"{LOADER}: {LOADER}", f"lib/no-such-file: {LOADER}"))
    assert yard.image() == ManifestError.exit_code
    assert "lib/no-such-file" in capsys.readouterr().err
    assert not (yard.folder / "image").exists()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("registry"), is_secure=True, has_login=True) as started:
        yield started


def test_platforms_that_are_sent_one_by_one_are_one_index_in_a_registry(
    yard: Yard, registry: DockerRegistry
) -> None:
    skopeo = demand_program("skopeo")
    yard.put_bundle(ARM, program="/etc/hostname")  # no program of this machine
    to, known_by = registry.repository("team/images"), registry.log_in(yard.folder / "docker")
    refused = yard.project.recipes(
        "image", "--to", to, PIP_CERT=known_by["PIP_CERT"], DOCKER_CONFIG="/nowhere"
    )
    assert refused.status == RegistryError.exit_code
    assert "docker login" in refused.err
    digests = []
    for name in (X86, ARM):
        sent = yard.project.recipes("image", "--platform", name, "--to", to, **known_by)
        assert sent.status == 0, sent.err
        digests += DIGEST.findall(sent.out)
    first, second = digests
    known = (
        "--authfile",
        str(yard.folder / "docker" / "config.json"),
        "--cert-dir",
        str(certificates(registry)),
    )
    name = f"docker://{to}:image-fixture"
    index = json.loads(run(skopeo, "inspect", *known, "--raw", name))
    assert {each["platform"]["architecture"]: each["digest"] for each in index["manifests"]} == {
        "amd64": first,
        "arm64": second,
    }
    assert Sha256.of_bytes(run(skopeo, "inspect", *known, "--raw", f"{name}-{X86}").encode()).hex in first
    # the index of a folder is the same one
    assert yard.image("--all-platforms") == 0
    layout = run(skopeo, "inspect", "--raw", f"oci:{yard.folder / 'image'}:fixture")
    assert {each["digest"] for each in json.loads(layout)["manifests"]} == {first, second}
    named = yard.project.recipes("image", "--platform", X86, "--to", f"{to}:release-1", **known_by)
    assert named.status == 0, named.err
    assert json.loads(run(skopeo, "inspect", *known, "--raw", f"docker://{to}:release-1"))


def certificates(registry: DockerRegistry) -> Path:
    """Return a folder as skopeo reads it, with the registry's own authority."""
    assert registry.authority
    folder = registry.folder / "certificates"
    folder.mkdir(exist_ok=True)
    shutil.copy(registry.authority, folder / "authority.crt")
    return folder
