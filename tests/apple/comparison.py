"""Compares declarations with authorities. Pure: what differs, a line each, and how strong each agreement is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from tests.apple.encodings import layout, plain, split

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recipes.build.audit.macho.text_stubs import Stub
    from tests.apple.headers import Declarations, Method
    from tests.apple.objc_tables import Methods
    from tests.apple.pyobjc import Pyobjc


class Strength(Enum):
    """How a method is known."""

    COMPILED = "the whole encoding, as Apple's SDK gave it to a compiler"
    METADATA = "each type, as pyobjc's metadata gives it"
    PARTLY = "some of its types in pyobjc's metadata, and its selector in Apple-linked code"
    SELECTOR = "its selector alone, in Apple-linked code"
    SETTER = "as the reader of a property whose setter is known, of the same type"


@dataclass
class Verdict:
    """What differs, and how each method that does not is known."""

    differences: list[str] = field(default_factory=list)
    known: dict[str, Strength] = field(default_factory=dict)


def compare_methods(ours: Declarations, theirs: Pyobjc, linked: set[str]) -> Verdict:
    """Look each declared method up: in a compiled protocol or class, in the metadata, among selectors that are sent.

    Parameters
    ----------
    linked
        Selectors that Apple-linked code of the same source tree sends.
    """
    verdict = Verdict()
    for method in ours.methods:
        found = _compiled(method, ours, theirs)
        if isinstance(found, str):
            if found == method.encoding:
                verdict.known[str(method)] = Strength.COMPILED
            else:
                verdict.differences.append(
                    f"{method}: declared as {method.encoding}, Apple's SDK has {found}"
                )
            continue
        if found:  # the protocol or class is known as a whole, or its kind of method is
            verdict.differences.append(f"{method}: {method.owner} of Apple's SDK has no such method")
            continue
        _from_metadata(method, ours, theirs, linked, verdict)
    return verdict


def is_ambiguous(method: Method, theirs: Pyobjc) -> bool:
    """Whether the metadata's one row of a selector, shared by all protocols, is that of another protocol.

    Parameters
    ----------
    method, theirs
        A method of a protocol that is not known as compiled, and pyobjc.
    """
    row = theirs.selectors.get(("NSObject", method.selector), {})
    for other in theirs.protocols.values():
        if encoding := other.instance.get(method.selector):
            result, _, _, *arguments = (plain(each) for each in split(encoding))
            if {-1: result, **{2 + at: each for at, each in enumerate(arguments)}} == {
                at: plain(kind) for at, kind in row.items()
            }:
                return True
    return False


def compare_constants(ours: Declarations, theirs: Pyobjc, standard: Mapping[str, int]) -> list[str]:
    """Return each constant with another value, or that nobody knows."""
    known = {name: value for name, (_, value) in theirs.constants.items()} | dict(standard)
    return [
        f"{name}: declared as {value}, "
        + (f"Apple's SDK has {known[name]}" if name in known else "no authority knows it")
        for name, value in ours.constants.items()
        if known.get(name) != value
    ]


def compare_variables(ours: Declarations, theirs: Pyobjc) -> list[str]:
    """Return each variable of a library with another type, or that pyobjc does not know."""
    return [
        f"{name}: declared as {plain(kind)}, Apple's SDK has {theirs.variables.get(name, 'no such name')}"
        for name, kind in ours.variables.items()
        if theirs.variables.get(name) != plain(kind)
    ]


def compare_structs(ours: Declarations, theirs: Pyobjc, aliases: Mapping[str, str]) -> list[str]:
    """Return each struct whose fields lie elsewhere, or have other names.

    Parameters
    ----------
    aliases
        A struct's tag and the name that pyobjc has it under.
    """
    differences = []
    for name, rows in ours.structs.items():
        if (row := theirs.structs.get(aliases.get(name, name))) is None:
            differences.append(f"struct {name}: no authority knows it")
            continue
        encoding, fields = row
        wanted = tuple((each, *place) for each, place in zip(fields, layout(encoding), strict=True))
        if rows != wanted:
            differences.append(f"struct {name}: declared as {rows}, Apple's SDK has {wanted}")
    return differences


def compare_functions(ours: Declarations, theirs: Pyobjc, bindings: Mapping[str, str]) -> list[str]:
    """Return each function with other types; one that pyobjc does not know must be bound by Apple-linked code."""
    differences = []
    for name, encoding in ours.functions.items():
        symbol = ours.symbols.get(name)
        if name in theirs.functions:
            declared = [plain(each) for each in split(encoding)]
            known = [plain(each) for each in split(theirs.functions[name][1])]
            if declared != known:
                differences.append(f"{name}(): declared as {declared}, Apple's SDK has {known}")
        elif symbol not in bindings:
            differences.append(f"{name}(): no authority knows {symbol or 'it'}")
    return differences


def compare_inheritance(ours: Declarations, theirs: Pyobjc) -> list[str]:
    """Return each protocol that refines what Apple's does not."""
    return [
        f"protocol {name}: declared to refine {each}, Apple's refines {sorted(theirs.protocols[name].refines)}"
        for name, refined in ours.protocols.items()
        if name in theirs.protocols
        for each in sorted(refined - _all_refined(name, theirs.protocols))
    ]


def compare_stubs(stubs: Mapping[str, Stub], bindings: Mapping[str, str]) -> list[str]:
    """Return each symbol of a stub that Apple-linked code binds to another library, or that none binds."""
    differences = []
    for path, stub in stubs.items():
        for symbol in sorted(stub.symbols):
            # a class whose superclass nobody subclasses has its metaclass never bound, and exports both
            asked = symbol.replace("_OBJC_METACLASS_$_", "_OBJC_CLASS_$_")
            found = bindings.get(asked)
            if found != path:
                differences.append(
                    f"{symbol}: in the stub of {path}, Apple's linker has {found or 'never met it'}"
                )
    return differences


def _compiled(method: Method, ours: Declarations, theirs: Pyobjc) -> str | bool:
    """Return the compiled encoding; True where the whole owner is known and has no such method; else False."""
    if method.owner_kind == "protocol":
        known: Methods | None = theirs.protocols.get(method.owner)
    else:
        known = next(
            (theirs.classes[each] for each in _family(method.owner, ours) if each in theirs.classes), None
        )
    if known is None:
        return False
    found = (known.of_class if method.is_of_class else known.instance).get(method.selector)
    return found if found is not None else method.owner_kind == "protocol"


def _family(name: str, ours: Declarations) -> Iterator[str]:
    """Return a class and those that inherit from it: an override has the types of what it overrides."""
    yield name
    for child, parent in ours.classes.items():
        if parent == name:
            yield from _family(child, ours)


def _from_metadata(
    method: Method, ours: Declarations, theirs: Pyobjc, linked: set[str], verdict: Verdict
) -> None:
    owner = "NSObject" if method.owner_kind == "protocol" else method.owner
    given = theirs.selectors.get((owner, method.selector))
    result, _, _, *arguments = (plain(each) for each in split(method.encoding))
    declared = {-1: result, **{2 + at: each for at, each in enumerate(arguments)}}
    wrong = [
        f"{'the result' if at < 0 else f'argument {at - 1}'} is {declared.get(at, 'absent')}, not {plain(kind)}"
        for at, kind in sorted((given or {}).items())
        if declared.get(at) != plain(kind)
    ]
    setter = f"set{method.selector[0].upper()}{method.selector[1:]}:"
    if wrong and method.selector in linked and is_ambiguous(method, theirs):
        verdict.known[str(method)] = Strength.SELECTOR
    elif wrong:
        verdict.differences.append(f"{method}: {'; '.join(wrong)}, says pyobjc")
    elif given is not None and set(given) == set(declared):
        verdict.known[str(method)] = Strength.METADATA
    elif method.owner_kind == "protocol":
        verdict.differences.append(f"{method}: pyobjc knows no such method of a protocol")
    elif method.selector in linked or given is not None:
        verdict.known[str(method)] = Strength.PARTLY if given else Strength.SELECTOR
    elif setter in linked and any(
        each.selector == setter and each.owner == method.owner and split(each.encoding)[3] == result
        for each in ours.methods
    ):
        verdict.known[str(method)] = Strength.SETTER
    else:
        verdict.differences.append(f"{method}: no authority knows it")


def _all_refined(name: str, protocols: Mapping[str, Methods]) -> set[str]:
    found: set[str] = set()
    todo = list(protocols[name].refines) if name in protocols else []
    while todo:
        each = todo.pop()
        found.add(each)
        todo += protocols[each].refines if each in protocols else ()
    return found
