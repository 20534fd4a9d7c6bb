"""A project of our own in small: a C++/CMake source with a patch, and manifests that pin it with the real toolchain."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from recipes.build.plan.plan import Plan, make_plan
from recipes.core.digest import Sha1, Sha256, hash_tree
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.patches.apply import apply_patch
from recipes.patches.parse import parse_patch
from tests.support import paths
from tests.support.pinned_compiler import prepare_runtime

REPOSITORY = paths.PROJECT
FIXTURE = REPOSITORY / "tests" / "data" / "fixture"
PATCH = "fixture/0001-say-what-is-missing.patch"
TOOLS = "tools:\n  - ask: [/usr/bin/cc, --version]\n    what: a C compiler\n    install: install one"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

ADVISORY = """\
schema: advisory/1
id: squares-are-round
aliases: [CVE-2000-0002]
component: llama.cpp
summary: squares come out round
severity: {severity}
reach: {reach}
affects: every square
links: [https://example.invalid/2]
says: it was looked at
checked: 2026-11-30
"""
MANIFEST = """\
# yaml-language-server: $schema=../schema/recipe.schema.json
schema: recipe/1
name: fixture
summary: a small C++ project that takes the whole pipeline
source:
  repository: https://example.invalid/fixture
  commit: {commit}
  build_number: 7
  tree: {tree}
  tree_sha256: {tree_sha256}
  epoch: 1767225600
  licence: MIT
  origins:
    - kind: archive
      url: {url}
      size_bytes: {size_bytes}
      sha256: {sha256}
      subdirectory: fixture-1.0
patches:
  - file: {patch}
    sha256: {patch_sha256}
    reason: the program made a string of a null pointer
    upstream: https://example.invalid/fixture/1
    tree: {patched}
    tree_sha256: {patched_sha256}
targets: [fixture, fixture-tool]
probe: [fixture, --version]
cmake:
  CMAKE_BUILD_TYPE: Release
  CMAKE_BUILD_WITH_INSTALL_RPATH: ON
  CMAKE_EXPORT_COMPILE_COMMANDS: ON
  CMAKE_FIND_USE_CMAKE_SYSTEM_PATH: OFF
  CMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH: OFF
  CMAKE_INSTALL_PREFIX: /prefix
  CMAKE_TRY_COMPILE_CONFIGURATION: Release
  FIXTURE_NATIVE: OFF
  FIXTURE_BUILD_NUMBER: 7
  FIXTURE_COMMIT: 01234567
platforms:
{linux}\
  macos-arm64-metal:
    toolchain: host
    target: arm64-apple-macos13.0
    cpu: apple-m1
    cmake: {{}}
    flags: {{c: [], cxx: [], link: []}}
    bundle:
      bin: [fixture, fixture-tool]
    output_unpinned: the host toolchain is not pinned
"""
# a platform of Linux: its name, toolchain, target and processor, what is of it alone, flags, module and reason
LINUX = """\
  {}:
    toolchain: {}
    target: {}
    cpu: {}
    cmake:
      CMAKE_INSTALL_RPATH: "$ORIGIN;$ORIGIN/../lib"
      CMAKE_SYSTEM_NAME: Linux
      CMAKE_SYSTEM_PROCESSOR: {}
    {}
    flags: {}
    bundle:
      bin: [fixture, fixture-tool, libmodule-plain.so, libmodule-{}.so]
      lib: [libshapes.so.0]
    output_unpinned: {}
"""
FLAGS = (
    '{c: [-O3, -s, -g0, "-ffile-prefix-map={source}=/source", "-ffile-prefix-map={build}=/build",'
    " -Werror=date-time, -fvisibility=hidden],"
    ' cxx: [-O3, -s, -g0, "-ffile-prefix-map={source}=/source", "-ffile-prefix-map={build}=/build",'
    " -Werror=date-time, -fvisibility=hidden, -fvisibility-inlines-hidden,"
    " -D_LIBCPP_DISABLE_VISIBILITY_ANNOTATIONS], link: [-s]}"
)
OWN_FLAGS = (
    '{c: [-O3, "-ffile-prefix-map={source}=/source"],'
    ' cxx: [-O3, "-ffile-prefix-map={source}=/source"], link: [-s]}'
)

ISA, MARCH = "isa_flags: [-mavx2, -mfma]", "march:\n      armv8.2-a+dotprod: generic+v8_2a+dotprod"
ZIG, PINS = "zig-0.17.1", "a test pins it"
X86, ARM, OWN = "linux-x86_64-cpu", "linux-aarch64-cpu", "linux-x86_64-own"
PLATFORMS = (
    (X86, ZIG, "x86_64-linux-gnu.2.28", "x86_64", "x86_64", ISA, FLAGS, "avx2", PINS),
    (ARM, ZIG, "aarch64-linux-gnu.2.28", "generic", "aarch64", MARCH, FLAGS, "dotprod", PINS),
    (
        OWN,
        "own",
        "x86_64-linux-gnu",
        "x86-64",
        "x86_64",
        ISA,
        OWN_FLAGS,
        "avx2",
        "the compiler is the machine's own",
    ),
)


@dataclass(frozen=True)
class Answer:
    """What a command of ours printed, and its exit code."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class FixtureProject:
    """A project folder, its source archive and the store it uses."""

    root: Path
    archive: Path
    store: Path

    @property
    def manifest(self) -> Path:
        return self.root / "manifests" / "recipes" / "fixture.yaml"

    def plan(self, platform: str = "linux-x86_64-cpu") -> Plan:
        """Return what a build of a platform does."""
        manifests = Manifests(self.root)
        recipe = manifests.recipe("fixture")
        return make_plan(recipe, platform, manifests.toolchain(recipe.platforms[platform].toolchain))

    def edit(self, before: str, after: str) -> None:
        text = self.manifest.read_text()
        assert before in text, before
        self.manifest.write_text(text.replace(before, after))

    def number(self, build_number: int | None = None) -> int:
        """Return the project another build number, and so a plan whose bundle the shared store does not hold yet."""
        build_number = build_number or time.time_ns() % 10**9
        self.edit("build_number: 7\n", f"build_number: {build_number}\n")
        self.edit("FIXTURE_BUILD_NUMBER: 7\n", f"FIXTURE_BUILD_NUMBER: {build_number}\n")
        return build_number

    def advise(self, severity: str, reach: str) -> None:
        """Write a finding that affects the project's recipe."""
        folder = self.root / "manifests" / "advisories"
        folder.mkdir()
        (folder / "squares-are-round.yaml").write_text(ADVISORY.format(severity=severity, reach=reach))
        self.edit(
            "targets:",
            "advisories:\n  squares-are-round:\n    status: affected\n"
            "    evidence: it was tried\n    action: draw circles\ntargets:",
        )

    def recipes(self, *argv: str, **environ: str) -> Answer:
        """Run a command of ours in a process of its own."""
        done = subprocess.run(
            self.command(*argv),
            cwd=REPOSITORY,
            env=self.environment(**environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def command(self, name: str, *argv: str) -> list[str]:
        return [sys.executable, "-m", "recipes", name, "--project", str(self.root), *argv]

    def environment(self, **environ: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return {**kept, "PINNED_LLAMA_STORE": str(self.store), **environ}


def make_project(folder: Path, store: Path, source: Path | None = None) -> FixtureProject:
    """Lay out a project that pins the fixture's source, or a variation of it."""
    source = source or FIXTURE / "source"
    root = folder / "project"
    (root / "manifests" / "recipes").mkdir(parents=True)
    for name in ("toolchains", "components", "policies", "schema"):
        shutil.copytree(REPOSITORY / "manifests" / name, root / "manifests" / name)
    zig = (root / "manifests" / "toolchains" / "zig-0.17.1.yaml").read_text()
    (root / "manifests" / "toolchains" / "own.yaml").write_text(
        zig.replace("name: zig-0.17.1", "name: own")
        .replace("kind: zig", "kind: host\n" + TOOLS)
        .replace("components: zig\n", "")
    )
    (root / "manifests" / "defaults.yaml").write_text(
        "schema: defaults/1\nrecipe: fixture\nplatforms:\n  linux-x86_64: linux-x86_64-cpu\n"
        "  linux-aarch64: linux-aarch64-cpu\n  macos-arm64: macos-arm64-metal\n"
    )
    shutil.copytree(FIXTURE / "patches", root / "patches")
    archive = folder / "fixture-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, "fixture-1.0")
    patched = folder / "patched"
    shutil.copytree(source, patched)
    patch = (root / "patches" / PATCH).read_bytes()
    apply_patch(parse_patch(patch, PATCH), patched)
    text = MANIFEST.format(
        commit=COMMIT,
        tree=hash_tree(source, Sha1).hex,
        tree_sha256=hash_tree(source, Sha256).hex,
        url=f"http://127.0.0.1:9/{archive.name}",  # nothing listens there: a test that fetches serves it itself
        size_bytes=archive.stat().st_size,
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
        patch=PATCH,
        patch_sha256=hashlib.sha256(patch).hexdigest(),
        patched=hash_tree(patched, Sha1).hex,
        patched_sha256=hash_tree(patched, Sha256).hex,
        linux="".join(LINUX.format(*platform) for platform in PLATFORMS),
    )
    project = FixtureProject(root, archive, store)
    project.manifest.write_text(text)
    return project


def provide_source(project: FixtureProject) -> None:
    """Put the source archive into the store, as a fetch would have."""
    blob = (
        project.store / "v1" / "blobs" / "sha256" / hashlib.sha256(project.archive.read_bytes()).hexdigest()
    )
    blob.parent.mkdir(parents=True, exist_ok=True)
    if not blob.exists():
        shutil.copyfile(project.archive, blob)
        blob.chmod(0o444)


def prepare_platform(platform: str) -> None:
    """Make the runtime libraries that the fixture's builds for a platform start from."""
    with tempfile.TemporaryDirectory() as folder:
        manifests = Manifests(make_project(Path(folder), read_settings().store).root)
        recipe = manifests.recipe("fixture")
        toolchain = manifests.toolchain(recipe.platforms[platform].toolchain)
        prepare_runtime(make_plan(recipe, platform, toolchain), toolchain)
