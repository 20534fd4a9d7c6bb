from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from recipes.build.audit.elf.audit import check_bundle
from recipes.core.errors import AuditError
from tests.support.elf_files import WEAK, ElfSpec, Symbol, elf_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.build.audit.elf.facts import ElfFacts

WHERE = "b1@linux-x86_64-cpu: bundle"
BASE = ElfSpec(machine="x86_64", soname="libbase.so.0", needed=("libc.so.6",), symbols=(Symbol("base"),))
PROGRAM = ElfSpec(
    machine="x86_64",
    interpreter="/lib64/ld-linux-x86-64.so.2",
    needed=(
        "libbase.so.0",
        "libm.so.6",
        "libc.so.6",
        "ld-linux-x86-64.so.2",
        "libpthread.so.0",
        "libdl.so.2",
    ),
    runpath="$ORIGIN/../lib",
    symbols=(Symbol("expf", is_defined=False, library="libm.so.6", version="GLIBC_2.27"),),
)


def bundle(root: Path, **files: ElfSpec) -> Path:
    for name, spec in ({"lib/libbase.so.0": BASE, "bin/program": PROGRAM} | files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(elf_bytes(spec))
    (root / "build.json").write_text("{}\n")
    return root


def check(root: Path, max_glibc: str = "2.28", *, whole: bool = True) -> tuple[ElfFacts, ...]:
    return check_bundle(root, machine="x86_64", max_glibc=max_glibc, where=WHERE, whole=whole)


def refusal(root: Path, max_glibc: str = "2.28") -> AuditError:
    with pytest.raises(AuditError) as caught:
        check(root, max_glibc)
    return caught.value


def test_a_bundle_that_runs_anywhere_passes_and_its_facts_are_given(tmp_path: Path) -> None:
    facts = check(bundle(tmp_path))
    assert [fact.name for fact in facts] == ["bin/program", "lib/libbase.so.0"]
    assert facts[0].glibc_needed == "2.27"
    assert facts[1].exported == ("base",)


def test_a_glibc_version_is_compared_as_numbers_and_a_private_symbol_is_newer_than_any(
    tmp_path: Path,
) -> None:
    assert refusal(bundle(tmp_path), max_glibc="2.3").found == "bin/program: GLIBC_2.27 (expf)"
    check(tmp_path, "2.27")
    private = Symbol("_dl_x", is_defined=False, library="libc.so.6", version="GLIBC_PRIVATE")
    bundle(tmp_path, **{"bin/program": replace(PROGRAM, symbols=(private,))})
    assert refusal(tmp_path, max_glibc="9.9").found == "bin/program: GLIBC_PRIVATE (_dl_x)"


RUNTIME = (Symbol("_Znwm", bind=WEAK), Symbol("_ZSt3abs"), Symbol("ours"))
NIX = "/nix/store/x/ld-linux-x86-64.so.2"
# what differs from a good program or library, and words of the refusal
SPOILED: list[tuple[str, dict[str, object], str, str]] = [
    ("bin/x", {"machine": "aarch64", "interpreter": None}, "code for", "aarch64"),
    ("bin/x", {"interpreter": NIX}, "loader", NIX),
    ("bin/x", {"needed": ("libssl.so.3",)}, "needed", "libssl.so.3"),
    ("bin/x", {"needed": ("libc.so.6.1",)}, "needed", "libc.so.6.1"),
    ("bin/x", {"needed": ("libbase.so.0",), "runpath": "$ORIGIN"}, "needed", "libbase.so.0"),
    ("bin/x", {"needed": ("libbase.so.0",), "runpath": None}, "needed", "libbase.so.0"),
    ("lib/x", {"soname": "liby.so.0"}, "SONAME", "liby.so.0"),
    ("lib/x", {"soname": None, "symbols": RUNTIME}, "C++ runtime", "1, such as _ZSt3abs"),
    ("bin/x", {"has_symbol_table": True}, "stripped", ".symtab"),
    ("bin/x", {"extra": {".debug_line": b"x"}}, "stripped", ".debug_line"),
    ("bin/x", {"tags": {"TEXTREL": 0}}, "relocations", "TEXTREL"),
    ("bin/x", {"stack_flags": 7}, "stack", "PT_GNU_STACK is executable or absent"),
]


@pytest.mark.parametrize(("name", "change", "expected", "found"), SPOILED)
def test_each_way_to_run_only_here_is_refused_by_name(
    tmp_path: Path, name: str, change: dict[str, object], expected: str, found: str
) -> None:
    spec = replace(PROGRAM if name == "bin/x" else BASE, **change)  # type: ignore[arg-type] # the type varies by case
    error = refusal(bundle(tmp_path, **{name: spec}))
    assert expected in error.expected
    assert error.found == f"{name}: {found}"


@pytest.mark.parametrize("name", ["_Znwm", "_ZnamSt11align_val_t", "_ZdlPv", "_ZdaPvmSt11align_val_t"])
def test_the_operators_that_a_program_has_one_of_may_be_exported(tmp_path: Path, name: str) -> None:
    root = bundle(tmp_path, **{"lib/libbase.so.0": replace(BASE, symbols=(Symbol(name, bind=WEAK),))})
    (_, library) = check(root)
    assert library.exported == (name,)


OUTSIDE = ("/opt/lib", "lib", "", "$ORIGIN/../..", "$ORIGIN/../../lib", "$ORIGINAL/lib", "$LIB")


@pytest.mark.parametrize("entry", OUTSIDE)
@pytest.mark.parametrize("tag", ["rpath", "runpath"])
def test_a_run_path_that_leads_out_of_the_bundle_is_refused(tmp_path: Path, tag: str, entry: str) -> None:
    spec = replace(PROGRAM, **{"runpath": None, tag: f"$ORIGIN/../lib:{entry}"})  # type: ignore[arg-type] # both are texts
    error = refusal(bundle(tmp_path, **{"bin/program": spec}))
    assert "run paths from $ORIGIN" in error.expected
    assert error.found == f"bin/program: {entry or '(empty)'}"


@pytest.mark.parametrize(
    "entry", ["$ORIGIN/../lib", "${ORIGIN}/../lib/", "$ORIGIN/../lib/../lib", "$ORIGIN:$ORIGIN/../lib"]
)
def test_a_run_path_inside_the_bundle_passes_however_it_is_spelt(tmp_path: Path, entry: str) -> None:
    check(bundle(tmp_path, **{"bin/program": replace(PROGRAM, runpath=entry)}))


def test_a_needed_library_may_be_absent_where_only_some_targets_were_built(tmp_path: Path) -> None:
    root = bundle(tmp_path)
    (root / "lib" / "libbase.so.0").unlink()
    check(root, whole=False)
    assert refusal(root).found == "bin/program: libbase.so.0"


def test_a_file_that_is_not_elf_belongs_outside_bin_and_lib(tmp_path: Path) -> None:
    (bundle(tmp_path) / "bin" / "start").write_text("#!/bin/sh\n")
    error = refusal(tmp_path)
    assert (error.expected, error.found) == ("ELF files in bin/ and lib/", "bin/start is none")


@pytest.mark.parametrize("target", ["libbase.so.0", "missing", "."])
def test_a_link_is_refused_whatever_it_points_to(tmp_path: Path, target: str) -> None:
    (bundle(tmp_path) / "lib" / "libbase.so").symlink_to(target)
    error = refusal(tmp_path)
    assert (error.expected, error.found) == ("regular files", "lib/libbase.so: a link")


def test_all_violations_are_in_one_error(tmp_path: Path) -> None:
    bad = replace(PROGRAM, needed=("liba.so", "libb.so"), tags={"TEXTREL": 0}, has_symbol_table=True)
    error = refusal(bundle(tmp_path, **{"bin/a": bad, "lib/b": replace(BASE, soname=None, stack_flags=None)}))
    assert error.found.splitlines() == [
        "bin/a: .symtab",
        "bin/a: TEXTREL",
        "bin/a: liba.so",
        "bin/a: libb.so",
        "lib/b: PT_GNU_STACK is executable or absent",
    ]


LOADS = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"


@pytest.mark.skipif(sys.platform != "linux", reason="the loader of ELF files is Linux's")
@pytest.mark.parametrize(
    "runpath", [None, "$ORIGIN", "$ORIGIN/../lib", "${ORIGIN}/../lib", "$ORIGIN/lib", "$ORIGINAL/../lib"]
)
@pytest.mark.parametrize("tag", ["rpath", "runpath"])
def test_the_loader_of_this_system_finds_what_the_check_finds(
    tmp_path: Path, tag: str, runpath: str | None
) -> None:
    machine = platform.machine()
    backend = ElfSpec(machine=machine, needed=("libpinnedbase.so.0",))
    if runpath is not None:
        backend = replace(backend, **{tag: runpath})  # type: ignore[arg-type] # both are texts
    for name, spec in (("lib/libpinnedbase.so.0", ElfSpec(machine=machine)), ("bin/backend.so", backend)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(elf_bytes(spec))
    argv = [sys.executable, "-c", LOADS, str(tmp_path / "bin" / "backend.so")]
    loaded = subprocess.run(argv, check=False, capture_output=True, text=True)
    try:
        check_bundle(tmp_path, machine=machine, max_glibc="2.28", where=WHERE)
        accepted = True
    except AuditError:
        accepted = False
    assert accepted == (loaded.returncode == 0), loaded.stderr
