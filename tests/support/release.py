"""A bundle as somebody publishes it, in small: an archive, and the documents beside it; made by hand, in no time.

The documents have the form that `build`, `conformance` and `attest` give them. The story of a real release is
tests/integration/evidence/test_release.py.
"""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from recipes.build.advisories import findings
from recipes.build.bundle.layout import LICENCES, write_record
from recipes.build.compiled import Circumstances
from recipes.build.components.attribution import Used
from recipes.build.components.licences import TABLE, write_table
from recipes.build.components.page_packages import Package
from recipes.build.evidence_files import (
    CONFORMANCE,
    PROVENANCE,
    SBOM,
    VEX_CYCLONEDX,
    VEX_OPENVEX,
    evidence_of_archive,
    signed_name,
)
from recipes.build.plan.plan import Plan, make_plan
from recipes.build.project_commit import ProjectCommit
from recipes.build.provenance import Occasion, statement
from recipes.cli.main import main
from recipes.conformance.report.json_record import to_json
from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part
from recipes.conformance.results.result import Result
from recipes.core.digest import Sha256, hash_tree
from recipes.evidence.envelope import sign
from recipes.evidence.keys import digits_of, read_signer
from recipes.evidence.sbom import Materials, sbom
from recipes.evidence.vex import vex_documents
from recipes.fetch.archives.pack import pack
from recipes.manifest.load import Manifests
from tests.support.fixture_project import make_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recipes.manifest.schema import Recipe

PLATFORM = "linux-x86_64-cpu"
OPENVEX_CONTEXT = "https://openvex.dev/ns/v0.2.0"
BUILT = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)
POLICY = """\
schema: policy/1
summary: of a test
pin: required
statements: [provenance, sbom, vex, conformance]
signers: []
signatures: 0
isolation: required
compiler: pinned
conformance: whole
findings: none
"""


@dataclass
class Release:
    """A published bundle, and the checkout of whoever verifies it."""

    folder: Path
    project: Path
    bundle: Path
    archive: Path
    plan: Plan

    @property
    def evidence(self) -> Path:
        """Where the archive's documents lie."""
        return evidence_of_archive(self.archive)

    @property
    def tree(self) -> Sha256:
        """The bundle's digest."""
        return hash_tree(self.bundle, Sha256)

    def document(self, name: str) -> Path:
        return self.evidence / name

    def signed(self, name: str) -> Path:
        return self.evidence / signed_name(name)

    def edit(self, name: str, before: str, after: str) -> None:
        path = self.document(name)
        assert before in path.read_text(), before
        path.write_text(path.read_text().replace(before, after))

    def new_key(self, name: str) -> Path:
        """Make a key pair as a user does; return the private key's file."""
        path = self.folder / "keys" / name
        path.parent.mkdir(exist_ok=True)
        assert main(["attest", "--new-key", str(path)]) == 0
        return path

    def attest(self, key: Path) -> int:
        return main(["attest", str(self.archive), "--key", str(key), "--project", str(self.project)])

    def verify(self, *options: str) -> int:
        """Verify the archive as a user does, with the test's policy unless one is named."""
        if "--policy" not in options:
            options = (*options, "--policy", str(self.write_policy()))
        return main(["verify", str(self.archive), "--project", str(self.project), *options])

    def write_policy(self, *changes: tuple[str, str], text: str = POLICY, more: str = "") -> Path:
        for before, after in changes:
            assert before in text, before
            text = text.replace(before, after)
        path = self.folder / "policy.yaml"
        path.write_text(text + more)
        return path

    def learn(self, name: str, *, severity: str = "high", reach: str = "request") -> None:
        """Let this checkout know of a finding that affects the recipe, and write VEX that speaks of it."""
        folder = self.project / "manifests" / "advisories"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(ADVISORY.format(name=name, severity=severity, reach=reach))
        path = self.project / "manifests" / "recipes" / "fixture.yaml"
        text = path.read_text()
        text = text if "\nadvisories:\n" in text else text.replace("\ntargets:", "\nadvisories:\ntargets:")
        path.write_text(text.replace("\ntargets:", f"\n{STANDING.format(name=name)}targets:"))
        manifests = Manifests(self.project)
        recipe = manifests.recipe("fixture")
        for file, data in vex_documents(recipe, findings(recipe, manifests.advisories())).items():
            self.document(file).write_bytes(data)

    def pack(self) -> None:
        """Write the archive, and its checksum."""
        pack(self.bundle, self.archive, mtime=0, prefix=self.archive.name.removesuffix(".tar.zst"))
        write_checksum(self.archive)


ADVISORY = """\
schema: advisory/1
id: {name}
component: llama.cpp
summary: a request ends the server
severity: {severity}
reach: {reach}
affects: servers
links: [https://example.invalid/{name}]
says: it was looked at
checked: 2026-11-30
"""
STANDING = """\
  {name}:
    status: affected
    evidence: it was tried
    action: ask nobody
"""


def write_checksum(archive: Path) -> None:
    digest = Sha256.of_bytes(archive.read_bytes())
    archive.with_name(f"{archive.name}.sha256").write_text(f"{digest.hex}  {archive.name}\n")


def make_release(folder: Path, *, program: bytes = b"\x7fELF a program\n") -> Release:
    """Lay out a project, a bundle of its recipe that the recipe pins, its archive, and all documents."""
    folder.mkdir(exist_ok=True)
    project = make_project(folder, folder / "store")
    manifests = Manifests(project.root)
    recipe = manifests.recipe("fixture")
    plan = make_plan(recipe, PLATFORM, manifests.toolchain(recipe.platforms[PLATFORM].toolchain))
    bundle = folder / "bundle"
    (bundle / "bin").mkdir(parents=True)
    (bundle / "bin" / "fixture").write_bytes(program)
    (bundle / "bin" / "fixture").chmod(0o755)
    (bundle / "LICENSE").write_bytes(b"a licence\n")
    (bundle / LICENCES).mkdir()
    (bundle / LICENCES / TABLE).write_bytes(write_table(list(table_rows(recipe, plan))))
    write_record(bundle, plan.record())
    release = Release(
        folder, project.root, bundle, folder / "out" / f"llama.cpp-fixture-{PLATFORM}.tar.zst", plan
    )
    release.archive.parent.mkdir()
    text = project.manifest.read_text()
    start = text.index(f"  {PLATFORM}:")
    end = text.index("output_unpinned: a test pins it", start)
    project.manifest.write_text(
        f"{text[:end]}output: {release.tree.hex}{text[end + len('output_unpinned: a test pins it') :]}"
    )
    release.pack()
    write_documents(release)
    return release


def write_documents(release: Release) -> None:
    """Write what is said of the bundle."""
    release.evidence.mkdir(exist_ok=True)
    tree = release.tree
    release.document(SBOM).write_bytes(sbom(materials(release)))
    for name, content in {
        PROVENANCE: provenance(release),
        VEX_CYCLONEDX: {"bomFormat": "CycloneDX", "specVersion": "1.6", "vulnerabilities": []},
        VEX_OPENVEX: {"@context": OPENVEX_CONTEXT, "statements": []},
    }.items():
        release.document(name).write_text(json.dumps(content))
    release.document(CONFORMANCE).write_text(to_json(conformance(tree)))


def provenance(release: Release) -> dict[str, object]:
    """Return what `build` says of the bundle, as of a build in own namespaces."""
    manifests = Manifests(release.project)
    toolchain = manifests.toolchain(manifests.recipe("fixture").platforms[PLATFORM].toolchain)
    compiled = Circumstances(
        started=BUILT - timedelta(minutes=1),
        finished=BUILT,
        isolation="isolated by own namespaces",
        isolated=True,
        jobs=2,
        umask="0022",
        machine="a machine",
        cores=2,
        tools={},
    )
    wheels = {toolchain.name: toolchain.hosts["linux-x86_64"]}
    occasion = Occasion(compiled, BUILT, ProjectCommit("c" * 40), wheels, ())
    return statement(release.plan, release.tree.hex, occasion)


PACKAGE = Package(
    "@scope/name", "1.0.0", "MIT", f"sha512-{base64.b64encode(bytes(64)).decode()}", has_text=True
)


def table_rows(recipe: Recipe, plan: Plan) -> Iterator[tuple[str, str, str, str]]:
    """Give the rows of the bundle's table of components."""
    for each in plan.components:
        yield each.name, "", each.licence, f"{each.name}.txt"
    yield f"npm {PACKAGE.name}", PACKAGE.version, PACKAGE.licence, f"{recipe.name}-packages.md"


def materials(release: Release) -> Materials:
    """Return what the bundle is made of, as `build` finds it."""
    manifests = Manifests(release.project)
    recipe = manifests.recipe("fixture")
    return Materials(
        plan=release.plan,
        recipe=recipe,
        tree=release.tree,
        used=[Used(each, ("{source}/x.c",), ("bin/fixture",)) for each in release.plan.components],
        versions={},
        packages=[PACKAGE],
        tools=manifests.toolchain(recipe.platforms[PLATFORM].toolchain).hosts["linux-x86_64"],
        models=[],
    )


def conformance(tree: Sha256, *, without: Part | None = None) -> Result:
    """Return a result in which each part of the suite passed, but one that was not run."""
    parts = [part for part in Part if part is not Part.KERNELS]
    return Result(
        title="fixture",
        digest=str(tree),
        is_bundle=True,
        files=(),
        machine="a machine",
        command="conformance",
        started=BUILT,
        seconds=1.0,
        sections=(1, 1, 1),
        outcomes=tuple(
            Outcome(
                part, "a check", CheckVerdict.NOT_RUN if part is without else CheckVerdict.PASSED, "words"
            )
            for part in parts
        ),
    )


def sign_payload(payload: bytes, key: Path, into: Path) -> None:
    """Sign any payload, as somebody does who does not use `attest`."""
    into.write_bytes(sign(payload, read_signer(key.read_bytes())))


def key_digits(key: Path) -> str:
    """Return the public key of a private key's file, as policies name it."""
    return digits_of(read_signer(key.read_bytes()).public_key)


def copy_documents(source: Release, target: Release) -> None:
    """Put one release's documents, signed forms included, in the place of another's."""
    shutil.rmtree(target.evidence)
    shutil.copytree(source.evidence, target.evidence)
