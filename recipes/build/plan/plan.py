"""Manifest + platform -> plan: exact commands, environment and input digests of a build. Pure: no I/O.

A plan speaks of folders only through placeholders, so that it is the same on every machine and its digest can
name the output: same plan digest, same output bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from recipes.build.plan.cmake_call import build_environment, configure_command, resolve_cache
from recipes.build.plan.compiler_wrappers import Wrapper, compiler_wrappers
from recipes.core.digest import Sha1, Sha256
from recipes.core.errors import UsageError
from recipes.manifest.schema import Component, TextPart
from recipes.manifest.target_triple import glibc_of_target, macos_of_target, program_file, system_of_target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from recipes.manifest.schema import BundleContents, Recipe, Toolchain

PLACEHOLDER = re.compile(r"\{(source|build|toolchain|wrappers|sdk)\}")
PLAN_FORMAT = "plan/2"  # raise it where the same inputs would be built in another way
OWN_FILES = ("*", "{build}/*")  # of a source that is one component
# what a compiler of the machine's own brings: recorded, and not ours to ship texts of
MACHINE = Component(name="machine", licence="NOASSERTION", files=("/*",), interface=True)
COMPILE_FORMAT = "compile/1"  # raise it where the same inputs would be compiled, or recorded, in another way


@dataclass(frozen=True)
class ToolchainPin:
    """What identifies a toolchain, and how it calls itself: its wheels of every host, and what they unpack to.

    Every host's, as a bundle must not depend on which host built it.
    """

    name: str
    kind: str
    compiler: str
    hosts: tuple[tuple[str, tuple[tuple[str, Sha256], ...], Sha256 | None], ...]

    @classmethod
    def of(cls, toolchain: Toolchain) -> ToolchainPin:
        """Take it from the manifest."""
        hosts = (
            (host, tuple((wheel.file, wheel.sha256) for wheel in wheels), toolchain.trees.get(host))
            for host, wheels in sorted(toolchain.hosts.items())
        )
        return cls(toolchain.name, toolchain.kind, toolchain.compiler, tuple(hosts))

    def as_data(self) -> dict[str, object]:
        """Return it as plain data."""
        return {"name": self.name, "kind": self.kind, "compiler": self.compiler, "hosts": self._hosts()}

    @property
    def digest(self) -> Sha256:
        """Its name: what it is called for people is no part of it."""
        return Sha256.of_bytes(canonical_json({"kind": self.kind, "hosts": self._hosts()}))

    @property
    def wheels_digest(self) -> Sha256:
        """Name it by its wheels alone: what they unpack to follows from them."""
        wheels = {host: [digest.hex for _, digest in wheels] for host, wheels, _ in self.hosts}
        return Sha256.of_bytes(canonical_json({"kind": self.kind, "wheels": wheels}))

    def _hosts(self) -> dict[str, object]:
        return {
            host: {
                "wheels": {file: digest.hex for file, digest in wheels},
                **({"tree_sha256": tree.hex} if tree else {}),
            }
            for host, wheels, tree in self.hosts
        }


@dataclass(frozen=True)
class PlanInputs:
    """What identifies the bytes that a plan reads, and whose they are."""

    repository: str
    commit: Sha1
    licence: str
    source_tree: Sha1
    source_tree_sha256: Sha256
    patches: tuple[tuple[str, Sha256], ...]
    patched_tree: Sha1
    patched_tree_sha256: Sha256
    toolchain: ToolchainPin
    page: Sha256 | None = None
    sdk: Sha256 | None = None


@dataclass(frozen=True)
class Plan:
    """How one recipe is built for one platform.

    Parameters
    ----------
    recipe, platform
        Names, for people; they do not tell two plans apart.
    version
        What `--version` of the built programs must say: build number and short commit.
    system, machine
        What the platform is, as manifests name machines: linux, macos or windows, and the processor.
    max_glibc, minimum_os
        The newest glibc version that a symbol may ask for, and the oldest macOS; "" on another platform.
    environment
        The whole environment of each command.
    wrappers
        Compiler commands to lay out before configure.
    configure, compile
        Exact argv, with placeholders; `compile` gets a `-j` of the machine's own appended.
    cache
        What CMake's cache must hold after configure.
    isa_flags, march
        The only `-m` options and `-march` values that a compile command may carry.
    libraries
        What may be linked with -l, besides the C library's own.
    components
        What a file that is compiled or read can belong to, in the order of asking.
    probe
        A program of the bundle and its arguments, that prints the version; or nothing.
    whole
        False where only some targets are built, so that the bundle has no pinned digest.
    overridden
        The options of CMake that have another value than the manifest's; those of a part that they switch off are not
        used then.
    hermetic
        False where the compiler is the machine's own: then paths of the machine are part of the build.
    """

    recipe: str
    platform: str
    version: str
    system: str
    machine: str
    max_glibc: str
    minimum_os: str
    inputs: PlanInputs
    environment: tuple[tuple[str, str], ...]
    wrappers: tuple[Wrapper, ...]
    configure: tuple[str, ...]
    compile: tuple[str, ...]
    cache: tuple[tuple[str, str], ...]
    isa_flags: tuple[str, ...]
    march: tuple[str, ...]
    contents: BundleContents
    components: tuple[Component, ...] = ()
    probe: tuple[str, ...] = ()
    whole: bool = True
    hermetic: bool = True
    libraries: tuple[str, ...] = ()
    overridden: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> Sha256:
        """The plan's name: SHA-256 of its canonical JSON."""
        return Sha256.of_bytes(canonical_json(self.as_data()))

    @property
    def name(self) -> str:
        """Recipe and platform, as a person would say them."""
        return f"{self.recipe}@{self.platform}"

    @property
    def bundle_key(self) -> str:
        """The store entry that holds this plan's bundle."""
        return f"bundle-{self.recipe}-{self.platform}-{self.digest.hex[:32]}"

    @property
    def compiled_key(self) -> str:
        """The store entry that holds what this plan compiles: another packaging of the same files has the same."""
        digest = Sha256.of_bytes(canonical_json(self.compile_data()))
        return f"compiled-{self.recipe}-{self.platform}-{digest.hex[:32]}"

    def compile_data(self) -> dict[str, object]:
        """Return what shapes the compiled bytes, or what they are judged by while they are compiled."""
        return {
            "format": COMPILE_FORMAT,
            "machine": self.machine,
            "source": self.inputs.patched_tree_sha256.hex,
            "toolchain": self.inputs.toolchain.wheels_digest.hex,
            "page": self.inputs.page.hex if self.inputs.page else None,
            "sdk": self.inputs.sdk.hex if self.inputs.sdk else None,
            "environment": dict(self.environment),
            "wrappers": {wrapper.name: wrapper.script for wrapper in self.wrappers},
            "configure": list(self.configure),
            "compile": list(self.compile),
            "cache": dict(self.cache),
            "overridden": list(self.overridden),
            "isa_flags": list(self.isa_flags),
            "march": list(self.march),
            "libraries": list(self.libraries),
        }

    def as_data(self) -> dict[str, object]:
        """Return the plan as plain JSON data: what `build.json` records, and what the digest is taken of."""
        return {
            "format": PLAN_FORMAT,
            "version": self.version,
            "machine": self.machine,
            "max_glibc": self.max_glibc,
            "inputs": {
                "repository": self.inputs.repository,
                "commit": self.inputs.commit.hex,
                "licence": self.inputs.licence,
                "source_tree": self.inputs.source_tree.hex,
                "source_tree_sha256": self.inputs.source_tree_sha256.hex,
                "patches": [{"file": name, "sha256": digest.hex} for name, digest in self.inputs.patches],
                "patched_tree": self.inputs.patched_tree.hex,
                "patched_tree_sha256": self.inputs.patched_tree_sha256.hex,
                "toolchain": self.inputs.toolchain.as_data(),
                **({"page_tree_sha256": self.inputs.page.hex} if self.inputs.page else {}),
                **({"sdk": self.inputs.sdk.hex} if self.inputs.sdk else {}),
            },
            "environment": dict(self.environment),
            "wrappers": {wrapper.name: wrapper.script for wrapper in self.wrappers},
            "configure": list(self.configure),
            "compile": list(self.compile),
            "cache": dict(self.cache),
            "isa_flags": list(self.isa_flags),
            "march": list(self.march),
            "contents": msgspec.to_builtins(self.contents),
            "components": self.components_digest.hex,
            "probe": list(self.probe),
            "whole": self.whole,
            **({"libraries": list(self.libraries)} if self.libraries else {}),
        }

    def record(self) -> dict[str, object]:
        """Return what build.json holds: the plan, and which recipe and platform it is of."""
        return {"recipe": self.recipe, "platform": self.platform, "plan": self.as_data()}

    @property
    def components_digest(self) -> Sha256:
        """Name what is said of whose files there are: the licences in the bundle follow from it."""
        return Sha256.of_bytes(canonical_json(msgspec.to_builtins(self.components, enc_hook=str)))

    def compilers(self) -> list[str]:
        """Return all that the runtime libraries of the target depend on, besides the toolchain: how zig is called.

        The translation of -march is left out: zig gives no such flag to its own libraries.
        """
        lines = [line for wrapper in self.wrappers for line in wrapper.script.splitlines()]
        return [line for line in lines if line.startswith(("exec ", "export "))]

    def named_inputs(self) -> dict[str, str]:
        """Return each input by the name a person knows it by, for "what changed since the last build"."""
        rows = {
            "repository": self.inputs.repository,
            "commit": str(self.inputs.commit),
            "licence": self.inputs.licence,
            "source": str(self.inputs.source_tree),
            "toolchain": str(self.inputs.toolchain.digest),
            "compiler": self.inputs.toolchain.compiler,
        }
        if self.inputs.page:
            rows["page"] = str(self.inputs.page)
        if self.inputs.sdk:
            rows["sdk"] = str(self.inputs.sdk)
        rows |= {f"patch {name}": str(digest) for name, digest in self.inputs.patches}
        rows |= {f"cmake {name}": value for name, value in self.cache}
        rows |= {f"environment {name}": value for name, value in self.environment}
        rows |= {f"wrapper {wrapper.name}": wrapper.script for wrapper in self.wrappers}
        rows["ISA options"] = " ".join((*self.isa_flags, *self.march))
        rows["version"] = self.version
        rows["targets"] = " ".join(self.compile)
        rows["contents"] = " ".join((*self.contents.bin, *self.contents.lib))
        rows["components"] = str(self.components_digest)
        rows["plan format"] = PLAN_FORMAT
        return rows


def make_plan(recipe: Recipe, platform_name: str, toolchain: Toolchain) -> Plan:
    """Decide how a recipe is built for a platform."""
    platform = recipe.platforms[platform_name]
    cache = resolve_cache(recipe, platform, toolchain)
    last = recipe.patches[-1] if recipe.patches else recipe.source
    return Plan(
        recipe=recipe.name,
        platform=platform_name,
        version=f"{recipe.source.build_number} ({recipe.source.commit.hex[:8]})",
        system=system_of_target(platform.target),
        machine=platform.target.partition("-")[0],
        max_glibc=glibc_of_target(platform.target),
        minimum_os=macos_of_target(platform.target),
        inputs=PlanInputs(
            repository=recipe.source.repository,
            commit=recipe.source.commit,
            licence=recipe.source.licence,
            source_tree=recipe.source.tree,
            source_tree_sha256=recipe.source.tree_sha256,
            patches=tuple((patch.file, patch.sha256) for patch in recipe.patches),
            patched_tree=last.tree,
            patched_tree_sha256=last.tree_sha256,
            toolchain=ToolchainPin.of(toolchain),
            page=recipe.page.tree_sha256 if recipe.page else None,
            sdk=platform.sdk,
        ),
        environment=build_environment(recipe.source.epoch, toolchain),
        wrappers=compiler_wrappers(platform, toolchain),
        configure=configure_command(cache),
        compile=("{toolchain}/bin/ninja", "-C", "{build}", *recipe.targets),
        cache=tuple(sorted(cache.items())),
        isa_flags=platform.isa_flags,
        march=tuple(platform.march),
        contents=platform.bundle,
        components=listed_components(recipe, toolchain),
        probe=tuple(program_file(each, platform.target) for each in recipe.probe[:1]) + recipe.probe[1:],
        hermetic=toolchain.kind != "host",
        libraries=platform.libraries,
    )


def final_tree(recipe: Recipe) -> Sha256:
    """Return the tree digest of a recipe's source once all its patches are applied."""
    return (recipe.patches[-1] if recipe.patches else recipe.source).tree_sha256


def with_architectures(recipe: Recipe, platform_name: str, chosen: tuple[str, ...]) -> Recipe:
    """Return the recipe with one platform compiled for some of its GPU architectures, in the manifest's order.

    None chosen stands for all. Raises UsageError where the platform does not list one of them.
    """
    platform = recipe.platforms[platform_name]
    unknown = [name for name in chosen if name not in platform.architectures]
    if unknown:
        raise UsageError(
            where=f"manifests/recipes/{recipe.name}.yaml: platforms.{platform_name}.architectures",
            expected=f"some of {', '.join(platform.architectures)}"
            if platform.architectures
            else "a platform that is compiled for GPU architectures",
            found=f"--architecture {unknown[0]}",
            fix="name one of them, or add it to the manifest"
            if platform.architectures
            else "leave --architecture out, or choose another platform with --platform",
        )
    if not chosen:
        return recipe
    kept = tuple(name for name in platform.architectures if name in chosen)
    changed = msgspec.structs.replace(platform, architectures=kept)
    return msgspec.structs.replace(recipe, platforms={**recipe.platforms, platform_name: changed})


def narrow(
    plan: Plan,
    targets: tuple[str, ...],
    *,
    cmake: Mapping[str, str] | None = None,
    programs: tuple[str, ...] = (),
) -> Plan:
    """Return the plan that builds only some targets; its bundle holds what of the contents they make.

    `cmake` has values that differ from the manifest's, and `programs` are files that the whole bundle does not have.
    """
    command = plan.compile[: plan.compile.index("{build}") + 1]
    small = replace(plan, compile=(*command, *targets), whole=False)
    if programs:
        contents = msgspec.structs.replace(plan.contents, bin=(*plan.contents.bin, *programs))
        small = replace(small, contents=contents)
    if cmake:
        cache = dict(plan.cache) | dict(cmake)
        small = replace(
            small,
            configure=configure_command(cache),
            cache=tuple(sorted(cache.items())),
            overridden=tuple(sorted(cmake)),
        )
    return small


def listed_components(recipe: Recipe, toolchain: Toolchain) -> tuple[Component, ...]:
    """Return the components that a file can belong to: the recipe's, and the toolchain's."""
    ours = recipe.components
    if not isinstance(ours, tuple):
        text = ((TextPart(file="LICENSE"),),)
        ours = (Component(name=recipe.name, licence=recipe.source.licence, files=OWN_FILES, text=text),)
    theirs = toolchain.components if isinstance(toolchain.components, tuple) else ()
    return (*ours, *theirs, *((MACHINE,) if toolchain.kind == "host" else ()))


def fill(text: str, folders: Mapping[str, Path]) -> str:
    """Put real folders in the place of the placeholders of a plan."""
    return PLACEHOLDER.sub(lambda match: str(folders[match[1]]), text)


def canonical_json(data: object) -> bytes:
    """Return JSON with sorted keys and no white space, as RFC 8785 orders it for the ASCII keys used here."""
    return msgspec.json.encode(data, order="deterministic")
