"""How a source is built for each platform."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from recipes.core.digest import Sha256
from recipes.manifest.schema.advisory import Standing
from recipes.manifest.schema.component import Listed
from recipes.manifest.schema.source import Patch, Source
from recipes.manifest.schema.words import CmakeValue, Name, PackageUrl, RelativePath, Text


class CompileFlags(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Flags of our own, exactly as given to CMake; {source}, {build} and {sdk} stand for folders."""

    c: Annotated[tuple[Text, ...], Meta(description="CMAKE_C_FLAGS")]
    cxx: Annotated[tuple[Text, ...], Meta(description="CMAKE_CXX_FLAGS")]
    link: Annotated[tuple[Text, ...], Meta(description="of programs, libraries and modules alike")]


class BundleContents(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which built files are shipped, by name."""

    bin: Annotated[
        tuple[Name, ...], Meta(min_length=1, description="programs, and backends loaded from beside them")
    ]
    lib: Annotated[tuple[Name, ...], Meta(description="shared libraries, by their SONAME")] = ()


class HostBuild(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What takes the place of the platform's own options and flags where the machine's compiler builds."""

    cmake: Annotated[dict[Name, CmakeValue], Meta(description="options of this platform only")]
    flags: CompileFlags


class Platform(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the artifact runs, and how it is built for there."""

    toolchain: Annotated[Name, Meta(description="a manifest in manifests/toolchains/")]
    target: Annotated[Text, Meta(description="the compiler's target, with the oldest libc it must run on")]
    cpu: Annotated[Text, Meta(description="the compiler's -mcpu for code outside the dispatched variants")]
    sdk: Annotated[
        Sha256 | None,
        Meta(
            description="the tree digest of recipes/build/apple_sdk/MacOSX.sdk, which flags and options name as {sdk}"
        ),
    ] = None
    cmake: Annotated[dict[Name, CmakeValue], Meta(description="options of this platform only")]
    architectures: Annotated[
        tuple[Name, ...],
        Meta(description="of GPUs, as CMAKE_CUDA_ARCHITECTURES names them; `--architecture` chooses fewer"),
    ] = ()
    libraries: Annotated[
        tuple[Name, ...],
        Meta(
            description="what may be linked with -l, and needed of Windows by its files, besides the C library's own"
        ),
    ] = ()
    isa_flags: Annotated[
        tuple[Text, ...], Meta(description="the only -m options that a compile command may carry")
    ] = ()
    march: Annotated[
        dict[Text, Text],
        Meta(description="a -march value that the build asks for, and the compiler's own -mcpu name for it"),
    ] = {}
    text_tools: Annotated[
        tuple[Literal["cat", "sed"], ...],
        Meta(
            description="what puts the Metal kernels together, where each is a file: written in the shell's words"
        ),
    ] = ()
    flags: CompileFlags
    runtime_flags: Annotated[
        tuple[Text, ...],
        Meta(description="what every compile command gets, those of zig's own runtime libraries included"),
    ] = ()
    host: Annotated[
        HostBuild | None, Meta(description="how the machine's own compiler builds it, with --toolchain host")
    ] = None
    environment: Annotated[
        dict[Name, Text],
        Meta(description="variables that `serve` and `ask` start its server with; the answers were compared"),
    ] = {}
    bundle: BundleContents
    output: Annotated[
        Sha256 | None, Meta(description="the bundle's tree digest, in git's SHA-256 object format")
    ] = None
    output_unpinned: Annotated[Text | None, Meta(description="why there is no digest to compare with")] = None
    # no part of a plan: it follows from the output and from manifests/images
    image: Annotated[
        Sha256 | None,
        Meta(description="of the manifest of its container image; `lock -- --image` computes it"),
    ] = None
    image_unpinned: Annotated[
        Text | None, Meta(description="why there is no digest of an image to compare with")
    ] = None


class Page(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server's web page that the source does not carry: built from its npm packages, and put into the source."""

    folder: Annotated[
        RelativePath,
        Meta(
            description="of the source; its package-lock.json pins every package, and is pinned by the source's tree"
        ),
    ]
    toolchain: Annotated[Name, Meta(description="node and npm: a manifest in manifests/toolchains/")]
    command: Annotated[
        tuple[Text, ...], Meta(min_length=1, description="what npm is asked once the packages are installed")
    ]
    environment: Annotated[
        dict[Name, str], Meta(description="variables for it; {page} stands for the folder that it is to fill")
    ] = {}
    into: Annotated[RelativePath, Meta(description="where in the source the build of llama.cpp looks for it")]
    tree_sha256: Annotated[
        Sha256 | None, Meta(description="the page's tree digest, in git's SHA-256 object format")
    ] = None
    tree_unpinned: Annotated[
        Text | None,
        Meta(description="why there is no digest yet; no bundle is built before `lock -- --page` has one"),
    ] = None


class KernelTests(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The program of the source that compares a backend's products with those of ggml's plain code for the CPU."""

    target: Annotated[Name, Meta(description="the one program that is built; it loads the bundle's backends")]
    cmake: Annotated[
        dict[Name, CmakeValue],
        Meta(
            description="options with another value than the recipe's, so that no backend is compiled again"
        ),
    ]


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pinned llama.cpp: source, patches, options, and the digest that comes out."""

    schema: Annotated[str, Meta(pattern="^recipe/1$", description="the format of this file")]
    name: Annotated[Name, Meta(description="the file's name without its ending")]
    summary: Annotated[Text, Meta(description="what it is, in a line")]
    source: Source
    patches: Annotated[tuple[Patch, ...], Meta(description="applied in this order, exactly")] = ()
    components: Annotated[
        Listed | None,
        Meta(description="of the source; none: it is one component, with its licence in LICENSE"),
    ] = None
    page: Annotated[
        Page | None, Meta(description="the server's web page, where the source does not carry it")
    ] = None
    vendored: Annotated[
        dict[Name, PackageUrl], Meta(description="libraries that the source carries, as package URLs")
    ] = {}
    advisories: Annotated[
        dict[Name, Standing],
        Meta(description="how it stands to each finding of manifests/advisories; no part of a plan"),
    ] = {}
    targets: Annotated[tuple[Name, ...], Meta(min_length=1, description="what ninja is asked to build")]
    probe: Annotated[
        tuple[Text, ...],
        Meta(description="a program of the bundle and its arguments, that prints `version: BUILD (COMMIT)`"),
    ] = ()
    cmake: Annotated[dict[Name, CmakeValue], Meta(description="options of every platform")]
    kernels: Annotated[
        KernelTests | None,
        Meta(description="what `kernels` builds beside the bundle; none where there is none"),
    ] = None
    platforms: Annotated[
        dict[Name, Platform],
        Meta(min_length=1, description="what it can be built for, as system-arch-backend"),
    ]
