"""Plain data -> typed manifest; where it does not fit, one sentence about the first thing that does not.

msgspec converts and decides. Its messages leave out which entry of a mapping they mean, so a refused manifest
is walked again here, along the same types, to say file, line, path, and what to write instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeVar, get_args

import msgspec
from msgspec import inspect

from recipes.core.digest import Digest
from recipes.core.errors import ManifestError, PinMissingError, RecipeError
from recipes.manifest.schema import (
    Day,
    Name,
    PackageUrl,
    RelativePath,
    Repository,
    Url,
    Version,
    convert,
)
from recipes.manifest.strict_yaml import Document, Steps, Value, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T", bound=msgspec.Struct)

UNEXPLAINED = "a manifest that fits its schema"  # where the type refuses what no rule below names
_PATTERNS = {
    meta.pattern: meta.description
    for meta in (
        get_args(kind)[1] for kind in (Name, Url, RelativePath, Repository, Version, PackageUrl, Day)
    )
}


class Problem(NamedTuple):
    """One thing that is wrong with a manifest.

    `path` is that of the value, or of the object that lacks one; `kind` is the error's class. The lowest rank is told
    first; within a rank, the first in the file.
    """

    path: Steps
    expected: str
    found: str
    fix: str
    kind: type[RecipeError] = ManifestError
    rank: int = 1


def parse(document: Document, kind: type[T], lock: str) -> T:
    """Return the typed manifest that a document describes; `lock` is how to fix a missing pin.

    Raises PinMissingError where a digest or a size is absent, and ManifestError where anything else does not fit.
    """
    try:
        return convert(document.data, kind)
    except (msgspec.ValidationError, NotImplementedError) as error:
        found = list(_problems(document.data, inspect.type_info(kind), ()))
        found = found or [Problem((), UNEXPLAINED, str(error), "correct it")]
        refuse_first(document, (p._replace(fix=lock) if p.kind is PinMissingError else p for p in found))
        raise  # unreachable: something was found


def refuse_first(document: Document, problems: Iterable[Problem]) -> None:
    """Raise the first of the problems as an error of its kind, if there are any: by rank, then by line."""
    first = min(problems, key=lambda each: (each.rank, document.line_of(each.path)), default=None)
    if first:
        raise first.kind(
            where=document.locate(first.path), expected=first.expected, found=first.found, fix=first.fix
        )


def any_of(names: Iterable[str], word: str = "or") -> str:
    """Write names as people do: `a`, `b` or `c`."""
    *others, last = (f"`{name}`" for name in names)
    return f"{', '.join(others)} {word} {last}" if others else last


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of the known names that was probably meant, if there is one."""
    import difflib

    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def unknown(name: str, known: Iterable[str]) -> str:
    """Return how an error shows a name that is not known, with the known one that is most like it."""
    meant = closest(name, known)
    return f"`{shorten(name)}`" + (f", did you mean `{meant}`?" if meant else "")


def _problems(value: Value, kind: inspect.Type, path: Steps) -> Iterator[Problem]:
    kind = _bare(kind)
    if isinstance(kind, inspect.UnionType):
        yield from _union(value, kind, path)
    elif isinstance(kind, inspect.StructType):
        yield from _struct(value, kind, path)
    elif isinstance(kind, inspect.DictType):
        yield from _mapping(value, kind, path)
    elif isinstance(kind, inspect.VarTupleType):
        yield from _list(value, kind, path)
    elif not isinstance(value, str):
        yield Problem(path, _text_of(kind), _describe(value), "write one value there")
    elif fault := _scalar_fault(value, kind):
        yield Problem(path, _text_of(kind), *fault)


def _union(value: Value, kind: inspect.UnionType, path: Steps) -> Iterator[Problem]:
    given = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    if len(given) == 1:  # of one kind, or absent
        yield from _problems(value, given[0], path)
        return
    structs = {str(one.tag): one for one in given if isinstance(one, inspect.StructType)}
    if not structs:  # a name, or a list
        is_list = isinstance(value, list | dict)
        meant = next(one for one in given if isinstance(_bare(one), inspect.VarTupleType) is is_list)
        yield from _problems(value, meant, path)
        return
    field = str(next(iter(structs.values())).tag_field)
    if not isinstance(value, dict):
        yield _not_an_object(value, path)
    elif (tag := value.get(field)) is None:
        yield _missing(value, field, any_of(structs), path)
    elif not isinstance(tag, str) or tag not in structs:
        found = unknown(tag, structs) if isinstance(tag, str) else _describe(tag)
        yield Problem((*path, field), any_of(structs), found, f"write {any_of(structs)}")
    else:
        yield from _struct(value, structs[tag], path)


def _struct(value: Value, kind: inspect.StructType, path: Steps) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield _not_an_object(value, path)
        return
    fields = {field.encode_name: field for field in kind.fields}
    names = [*([kind.tag_field] if kind.tag_field else []), *fields]
    for key, item in value.items():
        if key in fields:
            yield from _problems(item, fields[key].type, (*path, key))
        elif key not in names:
            absent = [name for name in names if name not in value]
            meant = closest(key, absent)
            yield Problem(
                (*path, key),
                f"only the keys {any_of(names, 'and')}",
                f"unknown key {unknown(key, absent)}",
                f"rename it to `{meant}`" if meant else "remove it",
                rank=0,  # a misspelled key is also a missing one: say the cause
            )
    for name, field in fields.items():
        if field.required and name not in value:
            problem = _missing(value, name, _text_of(field.type), path)
            yield problem._replace(kind=PinMissingError) if _is_pin(name, field.type) else problem


def _missing(value: dict[str, Value], name: str, expected: str, path: Steps) -> Problem:
    keys = any_of(value, "and") if value else "no key"
    holder = "the manifest" if not path else "an object"
    found = f"{holder} with {keys}" if len(value) < 2 else f"{holder} with only {keys}"  # noqa: PLR2004 - singular
    return Problem(path, f"the key `{name}`, {expected}", found, f"add `{name}: ...`")


def _is_pin(name: str, kind: inspect.Type) -> bool:
    kind = _bare(kind)
    return name == "size_bytes" or (isinstance(kind, inspect.CustomType) and issubclass(kind.cls, Digest))


def _mapping(value: Value, kind: inspect.DictType, path: Steps) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield _not_an_object(value, path)
        return
    if len(value) < (kind.min_length or 0):
        yield Problem(path, f"at least {kind.min_length} entry", "none", "add one")
    for key, item in value.items():
        for problem in _problems(key, kind.key_type, (*path, key)):
            yield problem._replace(found=f"the key {problem.found}")
        yield from _problems(item, kind.value_type, (*path, key))


def _list(value: Value, kind: inspect.VarTupleType, path: Steps) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield Problem(path, "a list", _describe(value), "begin each item in a line of its own with `- `")
        return
    if len(value) < (kind.min_length or 0):
        yield Problem(path, f"at least {kind.min_length} item", "none", "add one")
    for index, item in enumerate(value):
        yield from _problems(item, kind.item_type, (*path, index))


def _not_an_object(value: Value, path: Steps) -> Problem:
    return Problem(path, "an object", _describe(value), "write it as lines of `key: value`")


def _bare(kind: inspect.Type) -> inspect.Type:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _text_of(kind: inspect.Type) -> str:
    """Return what a value of this type is."""
    kind = _bare(kind)
    if isinstance(kind, inspect.CustomType) and issubclass(kind.cls, Digest):
        return f"a {kind.cls.algorithm} digest of {kind.cls.length} digits 0-9 and a-f"
    if isinstance(kind, inspect.IntType):
        return f"a whole number from {kind.ge}" + (f" to {kind.le}" if kind.le is not None else "")
    if isinstance(kind, inspect.StrType):
        pattern = kind.pattern or ""
        if literals := re.fullmatch(r"\^\(?([\w/|]+)\)?\$", pattern):
            return any_of(literals[1].split("|"))
        return _PATTERNS.get(pattern) or (f"text that matches {pattern}" if pattern else "text")
    return "a list" if isinstance(kind, inspect.VarTupleType) else "an object"


def _scalar_fault(text: str, kind: inspect.Type) -> tuple[str, str] | None:
    """Return what is wrong with a scalar, and what to do; None where nothing is."""
    shown = f"`{shorten(text)}`" if text else "empty text"
    if isinstance(kind, inspect.CustomType) and issubclass(kind.cls, Digest):
        if len(text) != kind.cls.length:
            return f"{len(text)} digits: {shown}", "copy the digest again, in full"
        if strange := re.search("[^0-9a-f]", text):
            return f"the character {strange[0]!r} in {shown}", "copy the digest again, in lower case"
    if isinstance(kind, inspect.IntType) and not _is_number(text, kind.ge, kind.le):
        return shown, "write the number in decimal digits alone"
    if isinstance(kind, inspect.StrType):
        long_enough = len(text) >= (kind.min_length or 0)
        if not long_enough or (kind.pattern and not re.search(kind.pattern, text)):
            return shown, f"write it as {_text_of(kind)}"
    return None


def _is_number(text: str, least: int | None, most: int | None) -> bool:
    try:
        number = msgspec.convert(text, int, strict=False)
    except msgspec.ValidationError:
        return False
    return (least is None or number >= least) and (most is None or number <= most)


def _describe(value: Value) -> str:
    """Return what is there, in a manifest's terms."""
    if isinstance(value, str):
        return f"the text `{shorten(value)}`"
    return "a list" if isinstance(value, list) else "an object"
