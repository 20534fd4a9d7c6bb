"""What must hold between the parts of a manifest, beyond the type of each."""

from __future__ import annotations

import os
import re
from collections import Counter
from itertools import product
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from recipes.manifest.decode import Problem, any_of, closest, unknown
from recipes.manifest.schema import (
    ArchiveOrigin,
    CompileFlags,
    Defaults,
    GitOrigin,
    Origin,
    Page,
    Platform,
    PypiOrigin,
    Recipe,
    Toolchain,
)
from recipes.manifest.strict_yaml import dotted
from recipes.manifest.target_triple import program_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from recipes.manifest.strict_yaml import Steps

FLAG_PLACEHOLDERS = ("build", "source", "toolchain", "sdk")  # the folders that a flag may name

COMPILERS = ("zig", "host")  # kinds of toolchains that build llama.cpp
PAGE_BUILDERS = ("node",)

_PLACEHOLDER = re.compile(rf"\{{({'|'.join(FLAG_PLACEHOLDERS)})\}}")
_PATCH_NAME = re.compile(r"(?P<number>[0-9]{4})-[A-Za-z0-9._+-]+\.patch", re.ASCII)
# What a folder is called in the built files instead: made up, and the same on every machine.
_PREFIX_MAP = re.compile(r"-f(file|debug|macro)-prefix-map=\{[a-z]+\}[^=]*=/[A-Za-z0-9._/-]*", re.ASCII)
# A slash that begins a path: at the start, behind a sign that separates, or behind an option's name.
_ABSOLUTE = re.compile(
    r"(?:^|[=,:;@\"'\s(])(?:-(?:isystem|isysroot|iquote|idirafter|iframework|include|imacros|[A-Za-z]))?~?/"
)


def recipe_problems(
    recipe: Recipe, kinds: Mapping[str, str], known: Sequence[str], lock: str
) -> Iterator[Problem]:
    """Find what does not fit together in a recipe.

    `kinds` holds the kind of each toolchain that it names and that exists, `known` every toolchain that exists; `lock`
    is how to fix a wrong pin.
    """
    yield from _origins(recipe)
    yield from _repeated(("targets",), recipe.targets)
    yield from _patches(recipe, lock)
    if recipe.page is not None:
        yield from _page(recipe.page, lock)
        yield from _toolchain(recipe.page.toolchain, known, ("page",))
        yield from _kind(recipe.page.toolchain, kinds, PAGE_BUILDERS, ("page",))
    for name, platform in recipe.platforms.items():
        path: Steps = ("platforms", name)
        yield from _toolchain(platform.toolchain, known, path)
        yield from _kind(platform.toolchain, kinds, COMPILERS, path)
        yield from _output(platform, kinds, path)
        yield from _image(platform, path)
        yield from _options(recipe, platform, path)
        yield from _words(platform, path)
        yield from _march(platform, path)
        yield from _flags(platform, path)
        yield from _sdk(platform, path)
        yield from _bundle(recipe, platform, path)


def toolchain_problems(toolchain: Toolchain) -> Iterator[Problem]:
    """Find what does not fit together in a toolchain."""
    for host, wheels in toolchain.hosts.items():
        yield from _repeated(("hosts", host), [canonicalize_name(wheel.project) for wheel in wheels])
    for host in toolchain.trees:
        if host not in toolchain.hosts:
            yield Problem(
                ("trees", host),
                f"a machine of `hosts`: {any_of(toolchain.hosts)}",
                unknown(host, toolchain.hosts),
                "correct the name, or remove it: a tree is what the wheels of a machine unpack to",
            )
    if (toolchain.kind == "host") != bool(toolchain.tools):
        is_host = toolchain.kind == "host"
        yield Problem(
            ("kind",),
            "`tools`, by which the machine's own compiler is recorded"
            if is_host
            else "no `tools`: nothing is the machine's",
            "none" if is_host else "some",
            "add `tools:`, as manifests/toolchains/host.yaml has them" if is_host else "remove `tools:`",
        )


def defaults_problems(defaults: Defaults, recipe: Recipe) -> Iterator[Problem]:
    """Find default platforms that the default recipe does not have."""
    for machine, platform in defaults.platforms.items():
        if platform not in recipe.platforms:
            yield Problem(
                ("platforms", machine),
                f"a platform of {recipe.name}: {any_of(recipe.platforms)}",
                unknown(platform, recipe.platforms),
                "correct the name, or choose another default recipe",
            )


def name_problem(name: str, stem: str) -> Iterator[Problem]:
    """Find a manifest whose file is called otherwise than it is."""
    if name != stem:
        fix = f"write `name: {stem}`, or rename the file to {name}.yaml"
        yield Problem(("name",), f"`{stem}`, as the file is called", f"`{name}`", fix)


def patch_file_problems(recipe: Recipe, patches: Path, shown: str) -> Iterator[Problem]:
    """Find patches whose file is absent, or lies elsewhere than it seems to."""
    root = Path(os.path.realpath(patches))
    for index, patch in enumerate(recipe.patches):
        path: Steps = ("patches", index, "file")
        file = Path(os.path.realpath(patches / patch.file))  # a link that leads to itself is no error to it
        if not file.is_relative_to(root):
            fix = f"put the file itself into {shown}"
            yield Problem(path, f"a file below {shown}", f"a link that leads out of it: {patch.file}", fix)
        elif not os.path.isfile(file):  # noqa: PTH113 - Path.is_file raises where a folder cannot be entered
            there = [item.relative_to(patches).as_posix() for item in patches.glob("*/*.patch")]
            meant = closest(patch.file, there)
            fix = f"write `{meant}`" if meant else f"add the file {shown}/{patch.file}"
            yield Problem(path, f"a file below {shown}", f"no such file: {unknown(patch.file, there)}", fix)


def _origins(recipe: Recipe) -> Iterator[Problem]:
    seen: dict[tuple[str, ...], int] = {}
    for index, origin in enumerate(recipe.source.origins):
        path: Steps = ("source", "origins", index)
        first = seen.setdefault(_place(origin), index)
        if first != index:
            yield Problem(
                path, "each origin once", f"the same place as origins[{first}]", "remove one of the two"
            )
        if not isinstance(origin, GitOrigin) and origin.git_directory is not None:
            yield from _git_directory(origin.git_directory, origin.subdirectory, (*path, "git_directory"))
        if isinstance(origin, ArchiveOrigin):
            sizes = [name for name in ("size_bytes", "max_bytes") if getattr(origin, name) is not None]
            if len(sizes) != 1:
                fix = "add `size_bytes: ...`, or `max_bytes: ...` where the bytes were never seen"
                yield Problem(
                    path,
                    "exactly one of `size_bytes` and `max_bytes`",
                    "both" if sizes else "neither",
                    "remove `max_bytes`: the size is known" if sizes else fix,
                )


def _git_directory(folder: str, source: str, path: Steps) -> Iterator[Problem]:
    if PurePosixPath(folder).is_relative_to(PurePosixPath(source)):
        yield Problem(
            path,
            f"a folder outside of `subdirectory`, {source}: no tree holds the commit that names it",
            f"`{folder}`",
            "name the git directory outside of it, or remove `git_directory`: then nothing here proves the commit",
        )


def _place(origin: Origin) -> tuple[str, ...]:
    """Return where an origin fetches from, so that one place in two spellings is one place."""
    match origin:
        case PypiOrigin():
            return ("pypi", canonicalize_name(origin.project), origin.version, origin.file)
        case ArchiveOrigin():
            return ("archive", origin.url)
        case GitOrigin():
            return ("git", origin.url.removesuffix("/").removesuffix(".git"))


def _patches(recipe: Recipe, lock: str) -> Iterator[Problem]:
    before = recipe.source.tree, recipe.source.tree_sha256
    last: dict[str, str] = {}  # the name listed last, by folder
    seen: dict[PurePosixPath, int] = {}
    for index, patch in enumerate(recipe.patches):
        path: Steps = ("patches", index)
        file = PurePosixPath(patch.file)
        first = seen.setdefault(file, index)
        folder = str(file.parent)
        if first != index:
            yield Problem(
                (*path, "file"),
                "each patch once",
                f"`{file}`, as in patches[{first}]",
                "remove one of the two",
            )
        elif str(file) != patch.file:
            found = f"`{patch.file}`"
            yield Problem((*path, "file"), "a path in its shortest form", found, f"write `{file}`")
        elif not _PATCH_NAME.fullmatch(file.name) or len(file.parts) != 2:  # noqa: PLR2004 - folder and name
            yield Problem(
                (*path, "file"), "a name like TAG/0001-title.patch", f"`{patch.file}`", "rename the file"
            )
        elif file.name[:4] <= last.get(folder, "")[:4]:
            found = f"`{file.name}` behind `{last[folder]}`"
            yield Problem(
                (*path, "file"), "patches in the order of their numbers", found, "reorder, or renumber"
            )
        last[folder] = file.name
        after = patch.tree, patch.tree_sha256
        for field, old, new in zip(("tree", "tree_sha256"), before, after, strict=True):
            if old == new:
                fix = f"take out its `tree:` and `tree_sha256:`, then\n{lock} --write"
                yield Problem((*path, field), "a tree that the patch has changed", "the tree before it", fix)
        before = after


def _repeated(path: Steps, names: Iterable[str]) -> Iterator[Problem]:
    for name, count in Counter(names).items():
        if count > 1:
            yield Problem(path, "each name once", f"`{name}` {count} times", "keep one of them")


def _toolchain(name: str, known: Sequence[str], path: Steps) -> Iterator[Problem]:
    if name not in known:
        yield Problem(
            (*path, "toolchain"),
            f"a toolchain of manifests/toolchains: {any_of(known) if known else 'there is none'}",
            unknown(name, known),
            f"correct the name, or add manifests/toolchains/{name}.yaml",
        )


def _kind(name: str, kinds: Mapping[str, str], wanted: Sequence[str], path: Steps) -> Iterator[Problem]:
    others = [other for other, kind in kinds.items() if kind in wanted]
    if kinds.get(name, wanted[0]) not in wanted:
        yield Problem(
            (*path, "toolchain"),
            f"a toolchain of kind {any_of(wanted)}",
            f"`{name}`, of kind {kinds[name]}",
            f"write `{others[0]}`" if others else "name a toolchain of that kind",
        )


def _page(page: Page, lock: str) -> Iterator[Problem]:
    pinned, reason = page.tree_sha256 is not None, page.tree_unpinned is not None
    if pinned == reason:
        yield Problem(
            ("page",),
            "exactly one of `tree_sha256` and `tree_unpinned`",
            "both" if pinned else "neither",
            "remove one of them" if pinned else f"add `tree_unpinned: REASON`, then\n{lock} --page --write",
        )


def _output(platform: Platform, kinds: Mapping[str, str], path: Steps) -> Iterator[Problem]:
    pinned, reason = platform.output is not None, platform.output_unpinned is not None
    if pinned and kinds.get(platform.toolchain) == "host":
        yield Problem(
            (*path, "output"),
            "no pinned output: what a `host` toolchain makes is not reproducible",
            "`output`",
            "replace it by `output_unpinned: REASON`",
        )
    elif pinned == reason:
        yield Problem(
            path,
            "exactly one of `output` and `output_unpinned`",
            "both" if pinned else "neither",
            "remove one of them"
            if pinned
            else "add `output_unpinned: REASON` until a build has shown the digest",
        )


def _image(platform: Platform, path: Steps) -> Iterator[Problem]:
    if platform.image is None:
        return
    if platform.image_unpinned is not None:
        yield Problem(path, "at most one of `image` and `image_unpinned`", "both", "remove one of them")
    elif platform.output is None:
        yield Problem(
            (*path, "image"),
            "`output` beside it: an image follows from a bundle that is pinned",
            "no `output`",
            "replace it by `image_unpinned: REASON`",
        )


def _options(recipe: Recipe, platform: Platform, path: Steps) -> Iterator[Problem]:
    own: list[tuple[Steps, str]] = [((*path, "cmake", option), option) for option in platform.cmake]
    if platform.host is not None:
        own += [((*path, "host", "cmake", option), option) for option in platform.host.cmake]
    for where, option in own:
        if option in recipe.cmake:
            yield Problem(
                where,
                "each option once: for all platforms, or for each by itself",
                f"`{option}` here and in `cmake` of the recipe",
                "remove one of the two",
            )


def _words(platform: Platform, path: Steps) -> Iterator[Problem]:
    """Find what would be more than one word in the compiler's wrapper script."""
    words: dict[Steps, str] = {("target",): platform.target, ("cpu",): platform.cpu}
    for asked, given in platform.march.items():
        words |= {("march", asked): asked, ("march", asked, ""): given}
    words |= {("runtime_flags", index): flag for index, flag in enumerate(platform.runtime_flags)}
    for steps, word in words.items():
        is_flag = steps[0] == "runtime_flags"
        if not re.fullmatch(r"[A-Za-z0-9._+-]+" if not is_flag else r"-[A-Za-z0-9._+=-]+", word):
            where = (*path, *steps[:2])
            allowed = "letters, digits, dot, underscore, plus, dash"
            expected = f"a dash, then {allowed}, equals" if is_flag else allowed
            yield Problem(where, expected, f"`{word}`", "correct the name")


def _march(platform: Platform, path: Steps) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for asked, given in platform.march.items():
        first = seen.setdefault(given, asked)
        if first != asked:
            yield Problem(
                (*path, "march", asked),
                "a -mcpu name of its own for each -march value",
                f"`{given}`, as for `{first}`",
                "correct one of the two",
            )


def _flags(platform: Platform, path: Steps) -> Iterator[Problem]:
    names = any_of((f"{{{name}}}" for name in FLAG_PLACEHOLDERS), "and")
    groups: list[tuple[Steps, CompileFlags]] = [((*path, "flags"), platform.flags)]
    if platform.host is not None:
        groups.append(((*path, "host", "flags"), platform.host.flags))
    for steps, language in product(groups, ("c", "cxx", "link")):
        for index, flag in enumerate(getattr(steps[1], language)):
            where: Steps = (*steps[0], language, index)
            if re.search(r"[{}]", _PLACEHOLDER.sub("", flag)):
                yield Problem(
                    where, f"no braces but {names}", f"`{flag}`", "write the text out, or remove the flag"
                )
            elif _ABSOLUTE.search(flag) and not _PREFIX_MAP.fullmatch(flag):
                expected = f"no absolute path but below {names}: another machine has others"
                yield Problem(
                    where, expected, f"`{flag}`", "name the folder by its placeholder, or remove the flag"
                )


def _sdk(platform: Platform, path: Steps) -> Iterator[Problem]:
    """Find options and flags that name a folder of the SDK where no SDK is pinned."""
    groups: list[tuple[Steps, Mapping[str, str], CompileFlags, bool]] = [
        (path, platform.cmake, platform.flags, platform.sdk is not None)
    ]
    if platform.host is not None:  # the machine's own compiler has its own
        groups.append(((*path, "host"), platform.host.cmake, platform.host.flags, False))
    for where, cmake, flags, pinned in groups:
        words = (*cmake.values(), *flags.c, *flags.cxx, *flags.link)
        named = next((word for word in words if "{sdk}" in word), None)
        if named is not None and not pinned:
            yield Problem(
                where, "`sdk:`, as {sdk} is named", f"none, and `{named}`", "add it, or remove the word"
            )


def _bundle(recipe: Recipe, platform: Platform, path: Steps) -> Iterator[Problem]:
    yield from _repeated((*path, "bundle"), (*platform.bundle.bin, *platform.bundle.lib))
    if recipe.probe and program_file(recipe.probe[0], platform.target) not in platform.bundle.bin:
        expected = f"a program of every bundle, and so of `bin` in {dotted(path)}"
        yield Problem(("probe", 0), expected, f"`{recipe.probe[0]}`", "choose one of `targets`")
    programs = [program_file(target, platform.target) for target in recipe.targets]
    missing = [program for program in programs if program not in platform.bundle.bin]
    if missing:
        yield Problem(
            (*path, "bundle", "bin"),
            "each of the recipe's targets",
            f"no {any_of(missing)}",
            f"add {any_of(missing, 'and')}, or take it out of `targets`",
        )
