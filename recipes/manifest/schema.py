"""The shape of a manifest, as types. The published JSON Schema and the reference page come from here.

Every scalar of a manifest is read as text (see `recipes.manifest.strict_yaml`) and converted by these types, so that
`1.10` stays a version and `0123456` stays a commit.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from recipes.core.digest import Digest, Sha1, Sha256

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", description="letters, digits, dot, underscore, plus, dash"
    ),
]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s]+$", description="a full http or https address")]
Text = Annotated[str, Meta(min_length=1)]
RelativePath = Annotated[
    str,
    Meta(
        pattern=r"^(?!/)(?!.*(^|/)\.\.(/|$))[^\x00-\x1f\\]+$",
        description="a POSIX path below the folder it is read in: no leading slash, no `..`",
    ),
]
CacheAddress = Annotated[
    str,
    Meta(
        pattern=r"^(https?://)?[^\s/@]+/[^\s@:]+$",
        description="a repository of a registry, as HOST[:PORT]/REPOSITORY; https, unless http:// stands before it",
    ),
]
Repository = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="a repository of a hub, as OWNER/NAME",
    ),
]
Version = Annotated[
    str,
    Meta(
        pattern=r"^b?[0-9]+(\.[0-9]+)*$", description="a version of digits and dots, or b and a build number"
    ),
]
PackageUrl = Annotated[
    str,
    Meta(
        pattern=r"^pkg:[a-z]+/[A-Za-z0-9._-]+/[A-Za-z0-9._-]+(@[A-Za-z0-9._+-]+)?$",
        description="a package URL, as pkg:github/OWNER/NAME@VERSION",
    ),
]
GitDirectory = Annotated[
    RelativePath | None,
    Meta(description="where the archive has a git directory, whose objects prove the source's commit"),
]
Day = Annotated[str, Meta(pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]$", description="a day, as 2026-11-30")]
PatchNumber = Annotated[int, Meta(ge=1)]
Justification = Annotated[
    str,
    Meta(
        pattern=(
            "^(component_not_present|vulnerable_code_not_present|vulnerable_code_not_in_execute_path"
            "|vulnerable_code_cannot_be_controlled_by_adversary|inline_mitigations_already_exist)$"
        ),
        description="why a recipe is not affected, in OpenVEX's words",
    ),
]
SizeBytes = Annotated[int, Meta(ge=1, le=1 << 40, description="its size, exactly")]
CmakeValue = Annotated[str, Meta(description="the exact value that CMake's cache must hold after configure")]


class _Pin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all manifest types share: immutable, by keyword, unknown keys refused."""


class PypiOrigin(_Pin, frozen=True, kw_only=True, tag_field="kind", tag="pypi"):
    """A file of the Python package index that carries the source in a subdirectory."""

    project: Annotated[Name, Meta(description="the package's name")]
    version: Annotated[Name, Meta(description="its version")]
    file: Annotated[Name, Meta(description="the file's name in the index")]
    size_bytes: SizeBytes
    sha256: Annotated[Sha256, Meta(description="of the file's bytes")]
    subdirectory: Annotated[RelativePath, Meta(description="where the source lies in the archive")]
    drop: Annotated[
        tuple[RelativePath, ...],
        Meta(description="files in it that are not part of the commit, such as a stray .git"),
    ] = ()
    git_directory: GitDirectory = None


class ArchiveOrigin(_Pin, frozen=True, kw_only=True, tag_field="kind", tag="archive"):
    """A plain archive at an address."""

    url: Url
    sha256: Annotated[Sha256, Meta(description="of the file's bytes")]
    size_bytes: Annotated[
        SizeBytes | None,
        Meta(description="absent only where the bytes were never seen: then max_bytes caps the download"),
    ] = None
    max_bytes: Annotated[
        SizeBytes | None, Meta(description="cap of the download where the size is not known")
    ] = None
    subdirectory: Annotated[RelativePath, Meta(description="where the source lies in the archive")]
    drop: Annotated[
        tuple[RelativePath, ...], Meta(description="files in it that are not part of the commit")
    ] = ()
    git_directory: GitDirectory = None


class GitOrigin(_Pin, frozen=True, kw_only=True, tag_field="kind", tag="git"):
    """A git repository, fetched by the source's full commit id: it verifies itself, and the tree is checked too."""

    url: Annotated[str, Meta(pattern=r"^(https?|file)://[^\s]+$", description="the repository's address")]


Origin = PypiOrigin | ArchiveOrigin | GitOrigin


class Source(_Pin, frozen=True, kw_only=True):
    """One upstream commit, and the places it can come from."""

    repository: Annotated[Url, Meta(description="where upstream lives, for people")]
    commit: Annotated[Sha1, Meta(description="the upstream commit")]
    build_number: Annotated[int, Meta(ge=0, description="what `--version` prints as the build")]
    tree: Annotated[Sha1, Meta(description="git's tree id of the source, as upstream's commit names it")]
    tree_sha256: Annotated[Sha256, Meta(description="the same tree in git's SHA-256 object format")]
    epoch: Annotated[
        int, Meta(ge=0, description="seconds since 1970 given to the build as SOURCE_DATE_EPOCH")
    ]
    licence: Annotated[Text, Meta(description="its SPDX identifier")]
    origins: Annotated[
        tuple[Origin, ...], Meta(min_length=1, description="tried in order; all give the same tree")
    ]


class Patch(_Pin, frozen=True, kw_only=True):
    """One patch of the series, in order."""

    file: Annotated[RelativePath, Meta(description="below patches/")]
    sha256: Annotated[Sha256, Meta(description="of the file's bytes")]
    reason: Annotated[Text, Meta(description="why the source needs it")]
    upstream: Annotated[Url, Meta(description="where upstream discusses or fixed it, or the code it fixes")]
    tree: Annotated[Sha1, Meta(description="git's tree id once this patch is applied")]
    tree_sha256: Annotated[Sha256, Meta(description="the same in git's SHA-256 object format")]


class AffectedRange(_Pin, frozen=True, kw_only=True):
    """A range of versions that a finding affects, in OSV's words: builds of llama.cpp, or versions of a library."""

    introduced: Annotated[
        Version | None, Meta(description="the first that is affected; none from the very first")
    ] = None
    fixed: Annotated[Version | None, Meta(description="the first that is not; none where none is known")] = (
        None
    )
    last_affected: Annotated[
        Version | None, Meta(description="the last that is said to be affected, where no fix is named")
    ] = None


class Advisory(_Pin, frozen=True, kw_only=True):
    """One finding against llama.cpp, against a library that it carries, or against what a recipe makes of them."""

    schema: Annotated[str, Meta(pattern="^advisory/1$", description="the format of this file")]
    id: Annotated[Name, Meta(description="the file's name without its ending: a CVE's, a GHSA's, or our own")]
    aliases: Annotated[tuple[Name, ...], Meta(description="the same finding's other identifiers")] = ()
    component: Annotated[
        Name, Meta(description="`llama.cpp`, or a library that recipes list under `vendored`")
    ]
    summary: Annotated[Text, Meta(description="what goes wrong, in a sentence")]
    severity: Annotated[
        str,
        Meta(
            pattern="^(none|low|medium|high|critical)$",
            description="as its publisher rates it, ours by CVSS; none: a fault, but no vulnerability",
        ),
    ]
    cvss: Annotated[tuple[Text, ...], Meta(description="its CVSS vectors, as published")] = ()
    reach: Annotated[
        str,
        Meta(
            pattern="^(request|file|option|unshipped)$",
            description=(
                "what is enough for it: a request to a server with its defaults, a model's file given to a program;"
                " or an option that is off by default and that `serve` never gives; or it is in no bundle"
            ),
        ),
    ]
    affects: Annotated[Text, Meta(description="the use that is affected")]
    affected: Annotated[
        tuple[AffectedRange, ...], Meta(description="the versions that are affected; without any: all")
    ] = ()
    weaknesses: Annotated[tuple[Name, ...], Meta(description="of the CWE list, as CWE-787")] = ()
    links: Annotated[tuple[Url, ...], Meta(min_length=1, description="where it is reported or fixed")]
    says: Annotated[Text, Meta(description="what these sources say")]
    checked: Annotated[Day, Meta(description="the day on which they were looked at")]
    hostile: Annotated[
        tuple[Text, ...],
        Meta(
            description="what of the session `hostile` it lets through: kinds, or single attacks as `kind: name`"
        ),
    ] = ()


class Standing(_Pin, frozen=True, kw_only=True):
    """How a recipe stands to one finding, in the words of VEX."""

    status: Annotated[
        str,
        Meta(
            pattern="^(affected|not_affected|fixed|under_investigation)$",
            description="fixed: by a patch of ours, or by upstream before this source",
        ),
    ]
    justification: Justification | None = None
    patch: Annotated[
        PatchNumber | None, Meta(description="which of the recipe's patches fixes it, counted from 1")
    ] = None
    evidence: Annotated[Text, Meta(description="the line, the patch or the trial that shows it")]
    action: Annotated[Text | None, Meta(description="what who is affected can do")] = None


class TextPart(_Pin, frozen=True, kw_only=True):
    """A file, or the lines of it from one with some words to the next one with others, both included."""

    file: Annotated[Text, Meta(description="of the source, or below {toolchain}/")]
    begins: Annotated[Text | None, Meta(description="words of its first line; none: the file's first")] = None
    ends: Annotated[Text | None, Meta(description="words of its last line; none: the file's last")] = None


class VersionIn(_Pin, frozen=True, kw_only=True):
    """Where a file says which version it is."""

    file: Annotated[Text, Meta(description="of the source, or below {toolchain}/")]
    pattern: Annotated[Text, Meta(description="a regular expression whose groups are its numbers")]


class PinnedTexts(_Pin, frozen=True, kw_only=True):
    """Texts that no file of the source has, kept in this project: sections `## NAME - VERSION (LICENCE)`."""

    file: Annotated[RelativePath, Meta(description="below manifests/components/")]
    sha256: Annotated[Sha256, Meta(description="of the file's bytes")]


class PagePackages(_Pin, frozen=True, kw_only=True):
    """The npm packages of a web page: those that its bundler listed, or those of the lock that its code imports."""

    listed: Annotated[
        RelativePath | None,
        Meta(description="the bundler's list: `## NAME - VERSION (LICENCE)`, and the text"),
    ] = None
    lock: Annotated[
        RelativePath | None,
        Meta(description="the folder of its package-lock.json, which has their digests and licences"),
    ] = None
    also: Annotated[tuple[Text, ...], Meta(description="packages that it holds, and that neither names")] = ()
    licences: Annotated[
        dict[Text, Text], Meta(description="of packages whose licence the lock does not name")
    ] = {}
    texts: Annotated[
        PinnedTexts | None, Meta(description="the licences of packages whose texts the source does not have")
    ] = None


class Component(_Pin, frozen=True, kw_only=True):
    """A work of somebody's own: which files are its, and where its licence is."""

    name: Annotated[Name, Meta(description="as its authors call it")]
    licence: Annotated[Text, Meta(description="an SPDX expression")]
    files: Annotated[
        tuple[Text, ...],
        Meta(
            description="patterns of paths, * is any text: of the source, or of {build}, {toolchain} or {sdk}"
        ),
    ] = ()
    within: Annotated[
        tuple[Text, ...], Meta(description="files of other components that hold a part of it")
    ] = ()
    linked: Annotated[
        tuple[Literal["linux", "macos", "windows"], ...],
        Meta(description="the systems on which the compiler links it into every file"),
    ] = ()
    text: Annotated[
        tuple[tuple[TextPart, ...], ...],
        Meta(description="where its licence's text is: the first whose files are all there"),
    ] = ()
    interface: Annotated[
        bool, Meta(description="only declarations of it are used, so that no text of it is shipped")
    ] = False
    notices: Annotated[
        tuple[Text, ...] | None,
        Meta(
            description="words of its own copyright notices: any other in its files is one of a component not listed"
        ),
    ] = None
    version: Annotated[
        tuple[VersionIn, ...] | None,
        Meta(description="where it says its version, the first that is there; none: that of what it is in"),
    ] = None
    purl: Annotated[Text | None, Meta(description="its package URL, without a version")] = None
    packages: Annotated[
        tuple[PagePackages, ...], Meta(description="of a web page: the first whose files are there")
    ] = ()


class Components(_Pin, frozen=True, kw_only=True):
    """The components of a source or a toolchain; the first whose patterns match a file has it."""

    schema: Annotated[str, Meta(pattern="^components/1$", description="the format of this file")]
    name: Annotated[Name, Meta(description="the file's name without its ending")]
    summary: Text
    components: Annotated[tuple[Component, ...], Meta(min_length=1, description="in the order of asking")]


# no pattern on the name: msgspec 0.22.0 frees the expression of a text in a union twice, which ends the process
Listed = Annotated[
    str | tuple[Component, ...],
    Meta(description="what files are of which component: a manifest in manifests/components/, or the list"),
]


class CompileFlags(_Pin, frozen=True, kw_only=True):
    """Flags of our own, exactly as given to CMake; {source}, {build} and {sdk} stand for folders."""

    c: Annotated[tuple[Text, ...], Meta(description="CMAKE_C_FLAGS")]
    cxx: Annotated[tuple[Text, ...], Meta(description="CMAKE_CXX_FLAGS")]
    link: Annotated[tuple[Text, ...], Meta(description="of programs, libraries and modules alike")]


class BundleContents(_Pin, frozen=True, kw_only=True):
    """Which built files are shipped, by name."""

    bin: Annotated[
        tuple[Name, ...], Meta(min_length=1, description="programs, and backends loaded from beside them")
    ]
    lib: Annotated[tuple[Name, ...], Meta(description="shared libraries, by their SONAME")] = ()


class HostBuild(_Pin, frozen=True, kw_only=True):
    """What takes the place of the platform's own options and flags where the machine's compiler builds."""

    cmake: Annotated[dict[Name, CmakeValue], Meta(description="options of this platform only")]
    flags: CompileFlags


class Platform(_Pin, frozen=True, kw_only=True):
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


class Page(_Pin, frozen=True, kw_only=True):
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
    tree_sha256: Annotated[Sha256, Meta(description="the page's tree digest, in git's SHA-256 object format")]


class KernelTests(_Pin, frozen=True, kw_only=True):
    """The program of the source that compares a backend's products with those of ggml's plain code for the CPU."""

    target: Annotated[Name, Meta(description="the one program that is built; it loads the bundle's backends")]
    cmake: Annotated[
        dict[Name, CmakeValue],
        Meta(
            description="options with another value than the recipe's, so that no backend is compiled again"
        ),
    ]


class Recipe(_Pin, frozen=True, kw_only=True):
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


class Wheel(_Pin, frozen=True, kw_only=True):
    """One file of the Python package index that carries a tool."""

    project: Annotated[Name, Meta(description="the package's name")]
    version: Annotated[Name, Meta(description="its version")]
    file: Annotated[Name, Meta(description="the file's name in the index")]
    size_bytes: SizeBytes
    sha256: Annotated[Sha256, Meta(description="of the file's bytes")]


class HostTool(_Pin, frozen=True, kw_only=True):
    """A program of the building machine; what it says of itself is recorded with each build."""

    ask: Annotated[
        tuple[Text, ...],
        Meta(min_length=1, description="the program by its full path, and what makes it speak"),
    ]
    what: Annotated[Text, Meta(description="what it is, for the error where it is missing")]
    install: Annotated[
        Text | None, Meta(description="how to install it; without it a build does without the tool")
    ] = None


class Toolchain(_Pin, frozen=True, kw_only=True):
    """Compiler, CMake and ninja, pinned per host, or taken from the host and recorded; or what builds a page."""

    schema: Annotated[str, Meta(pattern="^toolchain/1$", description="the format of this file")]
    name: Name
    kind: Annotated[
        str,
        Meta(
            pattern="^(zig|host|node)$",
            description="zig: hermetic, from wheels; host: found on the machine; node: builds web pages",
        ),
    ]
    summary: Text
    compiler: Annotated[Text, Meta(description="what the compiler says of itself, for people")]
    cxx_flags: Annotated[
        tuple[Text, ...],
        Meta(description="added to every C++ compilation, that of zig's own runtime libraries included"),
    ] = ()
    components: Annotated[
        Listed | None, Meta(description="of its headers and runtime libraries; none: none of it is shipped")
    ] = None
    tools: Annotated[
        tuple[HostTool, ...], Meta(description="of kind `host`: what is used of the machine, in this order")
    ] = ()
    hosts: Annotated[
        dict[Name, tuple[Wheel, ...]],
        Meta(description="the wheels of each machine that can build, as system-arch"),
    ]
    # no part of a plan: it says of the same bytes as the wheels' digests what they are once they are unpacked
    trees: Annotated[
        dict[Name, Sha256],
        Meta(description="the tree digest of what each machine's wheels unpack to; `lock` computes it"),
    ] = {}


class Defaults(_Pin, frozen=True, kw_only=True):
    """What a command without options means, and what it may do."""

    schema: Annotated[str, Meta(pattern="^defaults/1$", description="the format of this file")]
    recipe: Name
    model: Annotated[
        Name | None,
        Meta(description="the model that conformance asks, and that needs no download"),
    ] = None
    served: Annotated[
        tuple[Name, ...],
        Meta(description="the models of `serve` and `ask`, the best first: the first that fits into memory"),
    ] = ()
    platforms: Annotated[
        dict[Name, Name], Meta(description="the default platform of each machine, as system-arch")
    ]
    caches: Annotated[
        tuple[CacheAddress, ...],
        Meta(description="repositories of registries that `build` asks first, in order, for what is pinned"),
    ] = ()
    cache_policy: Annotated[
        RelativePath | None,
        Meta(description="the policy, below manifests/, by whose signatures they may also give what is not"),
    ] = None


class ModelFile(_Pin, frozen=True, kw_only=True):
    """One file of a model: in this repository, or in the model's repository of the hub."""

    role: Annotated[
        str, Meta(pattern="^(model|mmproj)$", description="the language model, or the projector for images")
    ]
    path: Annotated[RelativePath | None, Meta(description="where it lies in this repository")] = None
    file: Annotated[RelativePath | None, Meta(description="its name in the repository of the hub")] = None
    size_bytes: Annotated[
        SizeBytes | None,
        Meta(description="absent only where the bytes were never seen: then max_bytes caps the download"),
    ] = None
    max_bytes: Annotated[
        SizeBytes | None, Meta(description="cap of the download where the size is not known")
    ] = None
    sha256: Annotated[Sha256 | None, Meta(description="of the file's bytes")] = None
    unlocked: Annotated[
        Text | None,
        Meta(description="why there is no sha256; such a file is refused until `lock` has pinned it"),
    ] = None
    quantisation: Annotated[Name, Meta(description="the type of its matrices")]


class Memory(_Pin, frozen=True, kw_only=True):
    """What a model needs to run, as an estimate; `models -- inspect` computes it from the files."""

    size_bytes: Annotated[int, Meta(ge=1, le=1 << 40, description="with the projector, all files and caches")]
    context: Annotated[int, Meta(ge=1, description="the tokens of context that it is for")]


class Baseline(_Pin, frozen=True, kw_only=True):
    """A llama.cpp from before it knew the model's architecture: it must refuse the model in words."""

    recipe: Annotated[Name, Meta(description="a manifest in manifests/recipes/")]
    patches: Annotated[int, Meta(ge=0, description="how many of its patches are applied, from the first")]
    target: Annotated[
        Name, Meta(description="the one program that is built, which takes `-m` and a model's file")
    ]
    cmake: Annotated[
        dict[Name, CmakeValue],
        Meta(description="options with another value than the recipe's, so that less is compiled"),
    ] = {}
    says: Annotated[Text, Meta(description="what it must say")]


class Model(_Pin, frozen=True, kw_only=True):
    """A model: its files, and what a reference says of it."""

    schema: Annotated[str, Meta(pattern="^model/1$", description="the format of this file")]
    name: Annotated[Name, Meta(description="the file's name without its ending")]
    summary: Annotated[Text, Meta(description="what it is, in a line")]
    architecture: Annotated[Name, Meta(description="its name in GGUF")]
    projector: Annotated[Name, Meta(description="the projector's type in GGUF")]
    licence: Annotated[Text, Meta(description="its SPDX identifier")]
    memory: Memory | None = None
    hub: Annotated[Url | None, Meta(description="the model hub that has its repository")] = None
    repository: Annotated[Repository | None, Meta(description="its repository there, as OWNER/NAME")] = None
    revision: Annotated[Sha1 | None, Meta(description="the repository's commit")] = None
    revision_unlocked: Annotated[
        Text | None,
        Meta(description="why there is no revision: then the newest is asked, and the digests decide"),
    ] = None
    taken_from: Annotated[
        Text | None,
        Meta(description="of a user's own model that no hub has: the folder that its files were taken from"),
    ] = None
    golden: Annotated[
        RelativePath | None, Meta(description="the reference's values, which conformance compares with")
    ] = None
    baseline: Annotated[
        Baseline | None, Meta(description="what must refuse it; none where every llama.cpp knows it")
    ] = None
    files: Annotated[tuple[ModelFile, ...], Meta(min_length=2, description="one of each role")]


AnyManifest = Recipe | Toolchain | Components | Model | Defaults | Advisory
T = TypeVar("T", bound=Struct)


def convert(data: object, kind: type[T]) -> T:
    """Return the typed manifest that plain data (all scalars text) describes.

    Raises msgspec.ValidationError with the path of the first value that does not fit, as `... - at `$.source.tree``.
    """
    return msgspec.convert(data, kind, strict=False, dec_hook=_decode)


def json_schema(kind: type[Struct]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one kind of manifest, for editors and the reference page."""
    schema = msgspec.json.schema(kind, schema_hook=_schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _decode(kind: type, value: object) -> object:
    if issubclass(kind, Digest) and isinstance(value, str):
        return kind(value)
    raise NotImplementedError(kind)


def _schema(kind: type) -> dict[str, Any]:
    if issubclass(kind, Digest):
        return {"type": "string", "pattern": f"^[0-9a-f]{{{kind.length}}}$"}
    raise NotImplementedError(kind)
