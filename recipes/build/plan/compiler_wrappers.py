"""The compiler commands of a build: scripts in which all is fixed that must not depend on who calls them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recipes.manifest.schema import Platform, Toolchain

# The one program beyond the toolchain that a build asks for, to put files into the source of the Metal kernels: what it
# is asked there, in the words of the shell alone. `recipes.build.audit.macho.metal_kernels` compares what comes out.
SED = """\
#!/bin/sh
copy() { while IFS= read -r line || [ -n "$line" ]; do printf '%s\\n' "$line"; done; }
mark=${2#/}; file=${mark#*/r }; mark=${mark%%/r *}
if [ "$#" != 4 ] || [ "$1" != -e ] || [ "$3" != -e ] || [ "$2" != "/$mark/r $file" ] || [ "$4" != "/$mark/d" ]; then
  echo "sed: only -e '/TEXT/r FILE' -e '/TEXT/d' is known here, and not: $*" >&2; exit 64
fi
while IFS= read -r line || [ -n "$line" ]; do
  case $line in *"$mark"*) copy < "$file" ;; *) printf '%s\\n' "$line" ;; esac
done
"""


# The same where each kernel is a file of its own: several files in a row, then lines removed or replaced by a file. A
# text that ends without a newline is copied as it is.
CAT = """\
#!/bin/sh
for file in "$@"; do
  while IFS= read -r line; do printf '%s\\n' "$line"; done < "$file" || exit 1
  printf '%s' "$line"
done
"""
SED_LINES = """\
#!/bin/sh
copy() { while IFS= read -r line; do printf '%s\\n' "$line"; done; printf '%s' "$line"; }
for word in "$@"; do
  case $word in -e|/?*/d|/?*/r\\ ?*) ;; *)
    echo "sed: only -e '/TEXT/r FILE' and -e '/TEXT/d' are known here, and not: $*" >&2; exit 64 ;;
  esac
done
edit() {
  kept=yes file=
  for word in "$@"; do
    text=${word#/}
    case $word in
      */d) text=${text%/d}; case $line in *"$text"*) kept= ;; esac ;;
      */r\\ *) case $line in *"${text%%/r *}"*) file=${text#*/r } ;; esac ;;
    esac
  done
  [ -z "$kept" ] || printf "$1" "$line"
  [ -z "$file" ] || copy < "$file"
}
while IFS= read -r line; do edit '%s\\n' "$@"; done
[ -z "$line" ] || edit '%s' "$@"
"""
TEXT_TOOLS = {"cat": CAT, "sed": SED_LINES}


@dataclass(frozen=True)
class Wrapper:
    """A compiler command with everything fixed that must not depend on who calls it."""

    name: str
    script: str


def compiler_wrappers(platform: Platform, toolchain: Toolchain) -> tuple[Wrapper, ...]:
    """Return the scripts that fix zig's target and CPU; without an explicit -mcpu zig targets the machine it runs on.

    GCC's spelling of Arm's -march, which CMake files use, is not zig's: the manifest gives zig's for each.
    """
    if toolchain.kind != "zig":
        return ()
    translate = ""
    if platform.march:
        cases = "\n".join(
            f"    -march={ours}) a=-mcpu={theirs} ;;" for ours, theirs in platform.march.items()
        )
        translate = (
            "n=$#\n"
            'while [ "$n" -gt 0 ]; do\n'
            "  a=$1; shift; n=$((n - 1))\n  case $a in\n"
            f"{cases}\n"
            '  esac\n  set -- "$@" "$a"\ndone\n'
        )
    fixed = f"-target {platform.target} -mcpu={platform.cpu}"
    call = f'{translate}exec "{{toolchain}}/bin/zig" '
    for_cxx = _export((*toolchain.cxx_flags, *platform.runtime_flags))
    compilers = (
        Wrapper("cc", f'#!/bin/sh\n{_export(platform.runtime_flags)}{call}cc {fixed} "$@"\n'),
        Wrapper("c++", f'#!/bin/sh\n{for_cxx}{call}c++ {fixed} "$@"\n'),
    )
    tools = tuple(
        Wrapper(name, f'#!/bin/sh\nexec "{{toolchain}}/bin/zig" {name} "$@"\n') for name in ("ar", "ranlib")
    )
    if platform.text_tools:
        return compilers + tools + tuple(Wrapper(name, TEXT_TOOLS[name]) for name in platform.text_tools)
    return compilers + tools + ((Wrapper("sed", SED),) if platform.sdk else ())


def _export(flags: tuple[str, ...]) -> str:
    """Return what hands flags to every clang that zig starts, for its own libraries too; "#" keeps clang quiet."""
    added = " ".join(f"+{flag}" for flag in flags)
    return f"export CCC_OVERRIDE_OPTIONS='# {added}'\n" if added else ""
