"""What CMake and ninja say of a build becomes a record that names no machine, and that leads from a file to sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipes.build.components.compile_record import CompileRecord, make_record, parse_record, shipped_inputs

STORE = "/home/a person/store: two"  # as ninja and the shell have to escape it
PLACES = ("source", "build", "toolchain", "wrappers", "sdk")
ESCAPED = STORE.replace(":", "$:").replace(" ", "$ ")
NINJA = f"""\
build a.dir/main.cpp.o: CXX_COMPILER__a_unscanned_Release {ESCAPED}/source/main.cpp | {ESCAPED}/source/w.txt || other
  FLAGS = -O3
build b.dir/b.c.o: C_COMPILER__b_unscanned_Release {ESCAPED}/source/../source/b.c
build skipped.dir/s.c.o: C_COMPILER__s_unscanned_Release {ESCAPED}/source/s.c
build libb.a: C_STATIC_LIBRARY_LINKER__b_Release b.dir/b.c.o
build bin/libm.so: CXX_MODULE_LIBRARY_LINKER__m_Release a.dir/main.cpp.o | libb.a || libb.a
  LINK_FLAGS = -Wl,-rpath,"\\$$ORIGIN" -L"{ESCAPED}/sdk/usr/lib"
  LINK_LIBRARIES = libb.a  -ldl
build bin/skipped: C_EXECUTABLE_LINKER__s_Release skipped.dir/s.c.o
build all: phony bin/libm.so
"""
DEPS = f"""\
a.dir/main.cpp.o: #deps 3, deps mtime 1795977744625196160 (VALID)
    {STORE}/source/main.cpp
    {STORE}/source/a b.h
    {STORE}/source-2/c.h
    gen/made.h

b.dir/b.c.o: #deps 1, deps mtime 1795977744625196161 (VALID)
    {STORE}/source/b.c

gone.dir/g.c.o: #deps 1, deps mtime 1795977744625196161 (STALE)
    {STORE}/source/g.c
""".splitlines()
BUILT = {"a.dir/main.cpp.o", "b.dir/b.c.o", "libb.a", "bin/libm.so"}


def command(source: str, output: str) -> dict[str, str]:
    words = f"'{STORE}/wrappers/c++' -I'{STORE}/source/include' -o {output} -c '{STORE}/source/{source}'"
    return {"directory": f"{STORE}/build", "command": words, "file": f"{STORE}/source/{source}"}


def record(root: str = STORE) -> CompileRecord:
    commands = [
        command("s.c", "skipped.dir/s.c.o"),
        command("b.c", "b.dir/b.c.o"),
        command("main.cpp", "a.dir/main.cpp.o"),
    ]
    moved = str(commands).replace(STORE, root)
    folders = {name: Path(root) / name for name in PLACES}
    ninja = NINJA.replace(ESCAPED, root.replace(":", "$:").replace(" ", "$ "))
    deps = [line.replace(STORE, root) for line in DEPS]
    return make_record(eval(moved), ninja, deps, folders, BUILT.__contains__)  # noqa: S307 - a literal of our own


def test_only_what_was_built_is_in_it_and_folders_are_placeholders() -> None:
    made = record()
    assert [each.output for each in made.commands] == ["{build}/a.dir/main.cpp.o", "{build}/b.dir/b.c.o"]
    assert made.commands[0].arguments[:2] == ("{wrappers}/c++", "-I{source}/include")
    assert [link.output for link in made.links] == ["{build}/bin/libm.so", "{build}/libb.a"]
    module = made.links[0]
    assert (module.kind, module.inputs) == (
        "MODULE_LIBRARY",
        ("{build}/a.dir/main.cpp.o", "{build}/libb.a"),
    )
    assert module.words == ("-Wl,-rpath,$ORIGIN", "-L{sdk}/usr/lib", "libb.a", "-ldl")


def test_the_headers_are_what_the_compiler_read_and_what_the_object_depends_on() -> None:
    made = record()
    # a folder whose name only begins like one of the build's is another
    assert made.headers_of("{build}/a.dir/main.cpp.o") == tuple(
        sorted((f"{STORE}/source-2/c.h", "{build}/gen/made.h", "{source}/a b.h", "{source}/w.txt"))
    )
    assert made.headers_of("{build}/b.dir/b.c.o") == ()
    assert "{source}/g.c" not in made.headers.files


def test_a_linked_file_leads_to_all_objects_that_are_in_it() -> None:
    links, objects = shipped_inputs(record(), ["{build}/bin/libm.so"])
    assert [link.output for link in links] == ["{build}/bin/libm.so", "{build}/libb.a"]
    assert objects == ("{build}/a.dir/main.cpp.o", "{build}/b.dir/b.c.o")
    assert shipped_inputs(record(), ["{build}/libb.a"])[1] == ("{build}/b.dir/b.c.o",)


@pytest.mark.parametrize("root", ["/short", "/another/and a longer/place"])
def test_another_folder_gives_the_same_record(root: str) -> None:
    elsewhere = f"{STORE}/source-2".encode()
    ours = {name: data.replace(elsewhere, b"") for name, data in record().files().items()}
    theirs = {
        name: data.replace(f"{root}/source-2".encode(), b"") for name, data in record(root).files().items()
    }
    assert ours == theirs


def test_it_is_read_back_as_it_was_written() -> None:
    made = record()
    assert parse_record(made.files().__getitem__) == made
