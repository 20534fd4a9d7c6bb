"""What must hold between the parts of a model's manifest, beyond the type of each. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.core.errors import ManifestError, PinMissingError
from recipes.manifest.decode import Problem, any_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recipes.manifest.schema import Model, ModelFile
    from recipes.manifest.strict_yaml import Steps


def model_problems(model: Model, by_hand: str, lock: str) -> Iterator[Problem]:
    """Find what does not fit together in a model.

    A model has one file of each role. Its files lie in this repository, with size and digest; or in a repository of the
    hub, where a digest that is not known is said to be so; or they were taken into the store from this machine.
    `by_hand` and `lock` say how to fix a missing pin of a file of this repository, and of the hub.
    """
    yield from _roles(model)
    yield from _place(model)
    for index, file in enumerate(model.files):
        path: Steps = ("files", index)
        if model.repository is None and model.taken_from is None:
            yield from _local_file(file, path, by_hand)
        else:
            yield from _hub_file(file, path, lock)


def _roles(model: Model) -> Iterator[Problem]:
    for index, file in enumerate(model.files):
        if file.role in {earlier.role for earlier in model.files[:index]}:
            path: Steps = ("files", index, "role")
            fix = "list one file of role model and one of role mmproj"
            yield Problem(path, "one file of each role", f"another `{file.role}`", fix)


def _place(model: Model) -> Iterator[Problem]:
    if model.repository is None:
        for name in ("hub", "revision", "revision_unlocked"):
            if getattr(model, name) is not None:
                expected = f"`repository` beside `{name}`: it says something about one"
                yield Problem((name,), expected, "none", "add `repository: OWNER/NAME`, or remove the key")
        return
    if model.taken_from is not None:
        expected = "no `repository` beside `taken_from`: its files come from one place"
        yield Problem(("taken_from",), expected, "both", "remove one of them")
    if model.golden is not None:
        expected = "no `golden`: conformance takes models whose files lie in this repository"
        yield Problem(("golden",), expected, "`golden`", "remove the key")
    if model.hub is None:
        fix = "add `hub: https://...`, the address of the hub that has it"
        yield Problem(("repository",), "`hub` beside `repository`", "none", fix)
    yield from _one_of(("revision", "revision_unlocked"), model, (), "add `revision_unlocked: REASON`")


def _local_file(file: ModelFile, path: Steps, by_hand: str) -> Iterator[Problem]:
    if file.path is None:
        fix = "add `path: ...`; for a file of the hub, `repository: OWNER/NAME` to the model"
        yield Problem(path, "`path` of a file in this repository", "none", fix)
    for name in ("file", "max_bytes", "unlocked"):
        if getattr(file, name) is not None:
            expected = f"no `{name}`: that is for files of a hub, and the model names no `repository`"
            yield Problem((*path, name), expected, f"`{name}`", "remove the key")
    for name in ("size_bytes", "sha256"):
        if getattr(file, name) is None:
            expected = f"the key `{name}` of a file in this repository"
            yield Problem(path, expected, "none", by_hand, PinMissingError)


def _hub_file(file: ModelFile, path: Steps, lock: str) -> Iterator[Problem]:
    if file.path is not None:
        expected = "no `path`: the model's files lie in its `repository`"
        yield Problem((*path, "path"), expected, "`path`", "write its name there as `file: ...`")
    if file.file is None:
        yield Problem(path, "`file`, its name in the repository", "none", "add `file: ...`")
    yield from _one_of(("size_bytes", "max_bytes"), file, path, "add `max_bytes: ...`, then\n" + lock)
    yield from _one_of(("sha256", "unlocked"), file, path, "add `unlocked: REASON`, then\n" + lock)


def _one_of(names: tuple[str, str], holder: object, path: Steps, fix: str) -> Iterator[Problem]:
    given = [name for name in names if getattr(holder, name) is not None]
    if len(given) == 1:
        return
    expected = f"exactly one of {any_of(names, 'and')}"
    if given:
        yield Problem((*path, names[1]), expected, "both", f"remove `{names[1]}`")
    else:
        kind = PinMissingError if "sha256" in names else ManifestError
        yield Problem(path, expected, "neither", fix, kind)
