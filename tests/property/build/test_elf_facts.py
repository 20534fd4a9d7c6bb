from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.build.audit.elf.facts import inspect, section_at
from recipes.build.bundle.compare import string_at
from recipes.core.errors import AuditError
from tests.support.elf_files import WEAK, ElfSpec, Symbol, elf_bytes

NAMES = st.from_regex(r"[a-z][a-z0-9_.]{0,9}", fullmatch=True)
SYMBOLS = st.lists(
    st.builds(
        Symbol,
        name=NAMES,
        bind=st.sampled_from([1, WEAK]),
        visibility=st.sampled_from([0, 1, 2, 3]),
        is_defined=st.booleans(),
    ),
    max_size=6,
)
SPECS = st.builds(
    ElfSpec,
    machine=st.sampled_from(["x86_64", "aarch64", "riscv64"]),
    soname=st.none() | NAMES,
    needed=st.lists(NAMES, max_size=4),
    runpath=st.none() | st.just("$ORIGIN:$ORIGIN/../lib"),
    symbols=SYMBOLS,
    stack_flags=st.sampled_from([None, 6, 7]),
    has_symbol_table=st.booleans(),
)
SAMPLE = elf_bytes(
    ElfSpec(
        machine="x86_64",
        soname="libx.so.0",
        needed=("libc.so.6",),
        runpath="$ORIGIN",
        symbols=(
            Symbol("shown"),
            Symbol("free", WEAK, is_defined=False, library="libc.so.6", version="GLIBC_2.17"),
        ),
    )
)


@settings(max_examples=60)
@given(SPECS)
def test_what_was_written_into_a_file_is_read_from_it(spec: ElfSpec) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_bytes(elf_bytes(spec))
        facts = inspect(path, "x")
    assert (facts.machine, facts.soname, facts.needed) == (spec.machine, spec.soname, tuple(spec.needed))
    assert facts.run_paths == (tuple(spec.runpath.split(":")) if spec.runpath else ())
    visible = {symbol.name for symbol in spec.symbols if symbol.is_defined and symbol.visibility in {0, 3}}
    assert facts.exported == tuple(sorted(visible))
    assert facts.has_executable_stack == (spec.stack_flags != 6)
    assert bool(facts.unstripped) == spec.has_symbol_table


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), max_size=4),
    st.integers(0, len(SAMPLE)),
)
def test_a_damaged_file_is_read_or_refused_and_never_ends_in_a_traceback(
    changes: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(SAMPLE)
    for offset, value in changes:
        data[offset] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_bytes(data[:length] if length < len(SAMPLE) // 8 else data)
        place = section_at(path, length // 2)
        assert place is None or place
        try:
            inspect(path, "x")
        except AuditError as error:
            assert error.where == str(path)  # noqa: PT017 - either outcome is right; no other exception is


@given(st.binary(max_size=300), st.data())
def test_the_text_around_an_offset_holds_the_byte_at_it(data: bytes, draw: st.DataObject) -> None:
    offset = draw.draw(st.integers(0, len(data)))
    text = string_at(data, offset)
    if text:
        assert text.encode() in data
        assert chr(data[offset]) in text
        assert text.isascii()
