"""Checks the files of a bundle by their format: ELF on Linux, Mach-O on macOS, PE on Windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.audit.elf import audit as elf
from recipes.build.audit.macho.audit import MacTarget
from recipes.build.audit.macho.audit import check_bundle as check_macho
from recipes.build.audit.macho.metal_kernels import check_kernels
from recipes.build.audit.macho.text_stubs import read_stubs
from recipes.build.audit.pe.audit import WindowsTarget
from recipes.build.audit.pe.audit import check_bundle as check_pe
from recipes.build.toolchain.sdk import SDK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from recipes.build.audit.macho.text_stubs import Stub
    from recipes.build.plan.plan import Plan

LIBSYSTEM = "ziglang/ziglang/lib/libc/darwin/libSystem.tbd"  # what zig links every program for macOS with


def check_structure(plan: Plan, bundle: Path, source: Path, toolchain: Path, where: str) -> None:
    """Demand that the files of a bundle run on any machine of the platform, and carry the source's kernels.

    Raises AuditError, naming each file that breaks a rule, and the rule.
    """
    if plan.max_glibc:
        elf.check_bundle(bundle, machine=plan.machine, max_glibc=plan.max_glibc, where=where)
    elif plan.system == "macos":
        target = MacTarget("arm64", plan.minimum_os, _stubs(toolchain) if plan.inputs.sdk else None)
        check_macho(bundle, target, where=where, whole=plan.whole)
        check_kernels(bundle, source, where)
    elif plan.system == "windows":
        check_pe(bundle, WindowsTarget(plan.machine, plan.libraries), where=where, whole=plan.whole)


def _stubs(toolchain: Path) -> Mapping[str, Stub]:
    return read_stubs([*sorted(SDK.rglob("*.tbd")), toolchain / LIBSYSTEM])
