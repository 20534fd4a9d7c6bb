"""Names of symbols and sections that mean the same in every file format: a C++ runtime's, and a debugger's.

Mangled names are those of section 5.1 of the Itanium C++ ABI, which ELF, Mach-O and MinGW's PE files share.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from recipes.build.audit.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SHOWN = 3  # symbols of one file in one error

# a C++ runtime's own names: where two copies see each other's, one frees what the other allocated
STANDARD = re.compile(
    r"_Z(?:T[VTISCHW]|G[VR]|T[hv]n?\d+_(?:n?\d+_)?)?[PK]*Z*(?:N[rVKRO]*)?(?:S[tabsiod]|10__cxxabiv1)"
    r"|_ZT[IS][PK]*[a-z]$|_Z(?:n[wa]|d[la])|__cxa_|__gxx_personality_|__dynamic_cast$|_Unwind_"
)
# operator new and delete: [replacement.functions] of the C++ standard has one of each for the whole program,
# so that copies of them which meet agree; libc++abi exports them whatever the visibility
REPLACEABLE = re.compile(r"_Z(?:n[wa]|d[la])[a-zA-Z]")
DEBUG_SECTION = re.compile(r"\.z?debug_|\.stab|\.gdb_index|\.gnu_debug|\.line$")


def is_standard_symbol(name: str) -> bool:
    """Whether a C++ runtime defines the symbol: namespace std, operator new, exception handling."""
    return STANDARD.match(name) is not None


def check_exports(file: str, exported: Iterable[str], fix: str) -> Iterator[Violation]:
    """Return a violation where a file exports symbols of its C++ runtime which another runtime's could replace.

    They are as the Itanium ABI spells them, without Mach-O's underscore; `fix` is how the format's linker hides them.
    """
    runtime = [each for each in exported if is_standard_symbol(each) and not REPLACEABLE.match(each)]
    if runtime:
        found = f"{file}: {len(runtime)}, such as {runtime[0]}"
        yield Violation("no symbol of the C++ runtime exported", found, fix)


def shown_symbols(names: Sequence[str]) -> str:
    """Return the first symbols of a list, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
