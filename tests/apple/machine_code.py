"""Reads arm64 machine code: which selectors each function sends, and with which constants.

A message is sent by a call of objc_msgSend with the selector in x1, loaded from its reference; or by a call of a stub
that loads it (the linker's __objc_stubs). Constants are followed through moves of a number into an argument's register.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import capstone
from capstone import arm64

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.apple.objc_tables import Image

FIRST_KEPT = 19  # a function leaves this register and those after it as they were
CALLS = {"bl", "b"}


@dataclass
class Function:
    """One function: the selectors that it sends, with constants, and the functions that it calls."""

    name: str
    # selector -> each constant argument with which it is sent, as (number of the argument, value)
    sends: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    calls: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Targets:
    """What an instruction may point to, by address."""

    selectors: Mapping[int, str]
    stubs: Mapping[int, str]
    symbols: Mapping[int, str]


def functions(image: Image, prefix: str) -> dict[str, Function]:
    """Disassemble each function whose symbol begins so.

    Parameters
    ----------
    prefix
        Of the symbol, with the underscore; what a compiler calls blocks and outlined parts is found by containing it.
    """
    symbols = {s.value: s.name for s in image.binary.symbols if s.value and s.name and s.raw_type & 0xE0 == 0}
    text = image.sections["__text"]
    starts = sorted(at for at in symbols if text.virtual_address <= at < text.virtual_address + text.size)
    ends = dict(zip(starts, [*starts[1:], text.virtual_address + text.size], strict=True))
    targets = _Targets(image.selectors(), _stubs(image), symbols)
    code = bytes(text.content)
    found = {}
    for start in starts:
        if prefix in symbols[start] or symbols[start].startswith("_OUTLINED_FUNCTION"):
            part = code[start - text.virtual_address : ends[start] - text.virtual_address]
            found[symbols[start]] = _read(symbols[start], part, start, targets)
    return found


def reached(name: str, known: Mapping[str, Function]) -> dict[str, set[tuple[int, int]]]:
    """Return what a function sends, itself or through the functions that it calls: compilers inline in other ways."""
    sends: dict[str, set[tuple[int, int]]] = {}
    seen, todo = set(), [name]
    while todo:
        each = todo.pop()
        if each in known and each not in seen:
            seen.add(each)
            todo += known[each].calls
            for selector, constants in known[each].sends.items():
                sends.setdefault(selector, set()).update(constants)
    return sends


def _stubs(image: Image) -> dict[int, str]:
    """Return the selector that each of the linker's stubs sends, by the stub's address."""
    section = image.sections.get("__objc_stubs")
    if section is None:
        return {}
    selectors, found = image.selectors(), {}
    start, pages = 0, {}
    for each in _disassemble(bytes(section.content), section.virtual_address):
        if each.mnemonic == "adrp":
            start = each.address if each.operands[0].reg == arm64.ARM64_REG_X1 else start
            pages[each.operands[0].reg] = each.operands[1].imm
        elif each.mnemonic == "ldr" and each.operands[0].reg == arm64.ARM64_REG_X1:
            memory = each.operands[1].mem
            found[start] = selectors[pages[memory.base] + memory.disp]
    return found


@dataclass
class _Registers:
    """What is known of each register, by its number: a page, a selector that was loaded, or a constant."""

    pages: dict[int, int] = field(default_factory=dict)
    loaded: dict[int, str] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)

    def step(self, each: capstone.CsInsn, selectors: Mapping[int, str]) -> str | None:
        """Follow one instruction, and give the selector that it loads."""
        operands, found = each.operands, None
        page = number = None
        if each.mnemonic == "adrp":
            page = operands[1].imm
        elif each.mnemonic == "mov" and operands[1].type == arm64.ARM64_OP_IMM:
            number = operands[1].imm
        elif each.mnemonic == "mov" and operands[1].type == arm64.ARM64_OP_REG:
            found = self.loaded.get(_number(each, operands[1].reg))
        elif each.mnemonic == "ldr" and operands[1].type == arm64.ARM64_OP_MEM:
            memory = operands[1].mem
            found = selectors.get(self.pages.get(_number(each, memory.base), -1) + memory.disp)
        for register in each.regs_access()[1]:
            for known in (self.pages, self.loaded, self.numbers):
                known.pop(_number(each, register), None)
        if page is not None:
            self.pages[_number(each, operands[0].reg)] = page
        if number is not None:
            self.numbers[_number(each, operands[0].reg)] = number
        if found is not None:
            self.loaded[_number(each, operands[0].reg)] = found
        return found if each.mnemonic == "ldr" else None


def _read(name: str, code: bytes, start: int, targets: _Targets) -> Function:
    function, registers = Function(name), _Registers()
    for each in _disassemble(code, start):
        if each.mnemonic in CALLS and each.operands[0].type == arm64.ARM64_OP_IMM:
            called = each.operands[0].imm
            selector = targets.stubs.get(called)
            if (
                selector is None and called not in targets.symbols
            ):  # a stub of the dynamic linker: objc_msgSend's
                selector = registers.loaded.get(1)
            if selector is not None:
                width = selector.count(":")
                sent = {(at - 2, value) for at, value in registers.numbers.items() if 0 <= at - 2 < width}
                function.sends.setdefault(selector, set()).update(sent)
            elif called in targets.symbols:
                function.calls.add(targets.symbols[called])
            if each.mnemonic == "bl":  # what a call may change: x0 to x18
                for known in (registers.pages, registers.loaded, registers.numbers):
                    for at in [at for at in known if at < FIRST_KEPT]:
                        known.pop(at)
        elif (loaded := registers.step(each, targets.selectors)) is not None:
            function.sends.setdefault(loaded, set())
    return function


def _number(each: capstone.CsInsn, register: int) -> int:
    """Return a general register's number, whether named x or w; -1 for any other."""
    name = each.reg_name(register) if register else ""
    return int(name[1:]) if name[:1] in {"x", "w"} and name[1:].isdigit() else -1


def _disassemble(code: bytes, start: int) -> list[capstone.CsInsn]:
    machine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    machine.detail = True
    machine.skipdata = True
    return [each for each in machine.disasm(code, start) if each.id]
