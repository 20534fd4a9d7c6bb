from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from recipes.build.audit.cmake import (
    CacheEntry,
    check_cache,
    check_commands,
    check_link_commands,
    check_used,
    parse_cache,
)
from recipes.build.audit.flag_rules import AllowedFlags
from recipes.build.audit.violation import Violation, refuse
from recipes.core.errors import AuditError

WHERE = "b1@linux-x86_64-cpu: configure"
SPELLINGS = ("FALSE", "off", "0", "NO", " OFF", "")
ROOTS = (Path("/somewhere/source"), Path("/somewhere/build"), Path("/somewhere/tools"))

# As CMake 4.4 wrote it, with names and values that need its quoting.
CACHE = """\
# This is the CMakeCache file.
# For build in directory: /somewhere/build

########################
# EXTERNAL cache entries
########################

//ggml: build shared libraries
BUILD_SHARED_LIBS:BOOL=ON

//doc
//\\nmore
CUT:STRING=a
# WARNING: Value of CUT contained a newline and was truncated.
#  Original value:
# a
# \\nb

//d
"//SLASHES":STRING='tab	'

//d
"WITH:COLON":STRING='  '

EMPTY:STRING=
EQUALS:STRING=a=b:c=d
LEADING:UNINITIALIZED= a b
a b:STRING=//c
CMAKE_AR-ADVANCED:INTERNAL=1
EDITED:STRING=by hand \t\r
"""


def test_every_form_that_cmake_writes_is_read() -> None:
    assert parse_cache(CACHE) == {
        "BUILD_SHARED_LIBS": CacheEntry("BOOL", "ON"),
        "CUT": CacheEntry("STRING", "a"),
        "//SLASHES": CacheEntry("STRING", "tab\t"),
        "WITH:COLON": CacheEntry("STRING", "  "),
        "EMPTY": CacheEntry("STRING", ""),
        "EQUALS": CacheEntry("STRING", "a=b:c=d"),
        "LEADING": CacheEntry("UNINITIALIZED", " a b"),
        "a b": CacheEntry("STRING", "//c"),
        "CMAKE_AR-ADVANCED": CacheEntry("INTERNAL", "1"),
        "EDITED": CacheEntry("STRING", "by hand"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A:BOOL=ON\nno entry\n", "line 2 is not NAME:TYPE=VALUE: no entry"),
        ("A=ON\n", "line 1 is not NAME:TYPE=VALUE: A=ON"),
        (":BOOL=ON\n", "line 1 is not NAME:TYPE=VALUE: :BOOL=ON"),
        ("A:BOOL=ON\nA:BOOL=OFF\n", "line 2 gives A a second time"),
    ],
)
def test_a_line_that_is_no_entry_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^line \d+ ") as caught:
        parse_cache(text)
    assert str(caught.value) == message


def test_options_that_the_project_did_not_ask_for_are_named() -> None:
    check_used("-- Configuring done\n", where=WHERE)
    output = (
        "CMake Warning:\n  Manually-specified variables were not used by the project:\n\n"
        "    GGML_NATVE\n    OTHER\n\n\n-- Build files\n    no option\n"
    )
    with pytest.raises(AuditError) as caught:
        check_used(output, where=WHERE)
    assert caught.value.found == "GGML_NATVE\nOTHER"
    # an option that is overridden must be used, and may be the reason that others are not
    check_used(output, ("GGML_CPU",), where=WHERE)
    with pytest.raises(AuditError) as caught:
        check_used(output, ("GGML_CPU", "OTHER"), where=WHERE)
    assert caught.value.found == "OTHER"


def check(text: str, expected: dict[str, str], exceptions: tuple[str, ...] = ()) -> None:
    check_cache(text, expected, allowed_roots=ROOTS, where=WHERE, exceptions=exceptions)


def cache_refusal(text: str, expected: dict[str, str] | None = None) -> AuditError:
    with pytest.raises(AuditError) as caught:
        check(text, expected or {})
    return caught.value


def test_a_cache_that_holds_the_plan_and_nothing_of_the_host_passes() -> None:
    check(
        """\
GGML_NATIVE:BOOL=OFF
CMAKE_C_FLAGS:STRING=-g0 -ffile-prefix-map=/somewhere/source=/source
CMAKE_INSTALL_PREFIX:PATH=/prefix
CMAKE_INSTALL_RPATH:UNINITIALIZED=$ORIGIN;$ORIGIN/../lib
CMAKE_HOME_DIRECTORY:INTERNAL=/somewhere/source
CMAKE_CXX_COMPILER_AR:FILEPATH=CMAKE_CXX_COMPILER_AR-NOTFOUND
CMAKE_ROOT:INTERNAL=/somewhere/tools/share/cmake-4.4
HOMEPAGE:STATIC=https://example.org/usr/lib
RELATIVE:PATH=lib/cmake
_GNUInstallDirs_LAST_CMAKE_INSTALL_PREFIX:INTERNAL=/prefix
""",
        {
            "GGML_NATIVE": "OFF",
            "CMAKE_C_FLAGS": "-g0 -ffile-prefix-map=/somewhere/source=/source",
            "CMAKE_INSTALL_PREFIX": "/prefix",
        },
    )


def test_an_option_that_cmake_resolved_to_another_value_is_named() -> None:
    error = cache_refusal("GGML_NATIVE:INTERNAL=ON\n", {"GGML_NATIVE": "OFF"})
    assert error.where == f"{WHERE}: CMakeCache.txt"
    assert error.found.startswith("GGML_NATIVE=ON")


@pytest.mark.parametrize("line", [*(f"GGML_NATIVE:BOOL={value}" for value in SPELLINGS), "A:BOOL=ON"])
def test_another_spelling_of_a_value_or_none_is_another_value(line: str) -> None:
    error = cache_refusal(f"{line}\n", {"GGML_NATIVE": "OFF"})
    assert error.expected == "GGML_NATIVE=OFF"
    assert "GGML_NATIVE" in error.found


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("/usr/bin/ld", "/usr/bin/ld"),
        ("/somewhere/source/../../usr/lib", "/usr/lib"),
        ("/somewhere/sourcery", "/somewhere/sourcery"),
        ("a;/usr/lib/x86_64-linux-gnu/libm.so", "/usr/lib/x86_64-linux-gnu/libm.so"),
        ("-I/usr/include", "/usr/include"),
        ("-O2 -L/usr/lib", "/usr/lib"),
        ("[/usr/bin/git][v2.39.5()]", "/usr/bin/git"),
        ("file:/home/me", "/home/me"),
        ("/", "/"),
    ],
)
def test_a_path_of_the_host_is_named_wherever_a_value_hides_it(value: str, path: str) -> None:
    error = cache_refusal(f"FOUND:FILEPATH={value}\n")
    assert "path of the host" in error.expected
    assert error.found == f"FOUND has {path}"


def test_an_excepted_entry_may_hold_a_path_of_the_host() -> None:
    check("CMAKE_UNAME:INTERNAL=/usr/bin/uname\n", {}, exceptions=("CMAKE_UNAME",))


def test_a_folder_of_the_plan_may_have_spaces_and_brackets_in_its_name() -> None:
    root = Path("/home/an other/store (new)")
    text = "A:STRING=/home/an other/store (new)/bin;-I/home/an other/store (new)\n"
    check_cache(text, {}, allowed_roots=(root,), where=WHERE)
    with pytest.raises(AuditError):
        check_cache(text, {}, allowed_roots=(Path("/home/an other/store"),), where=WHERE)


def test_a_plan_that_gives_the_root_folder_does_not_allow_every_path() -> None:
    assert cache_refusal("GIVEN:PATH=/\nFOUND:PATH=/usr/lib\n", {"GIVEN": "/"}).found == "FOUND has /usr/lib"


def test_a_damaged_cache_is_refused() -> None:
    assert "line 1 is not" in cache_refusal("<html>").found


def command(*words: str, file: str = "/somewhere/source/a.c") -> dict[str, object]:
    arguments = ["/somewhere/tools/cc", "-O3", *words, "-o", "a.o", "-c", file]
    return {"directory": "/somewhere/build", "arguments": arguments, "file": file}


ALLOWED = AllowedFlags(isa_flags=("-mavx2",), march=("armv8.2-a+dotprod",))


def of_shell(line: str) -> dict[str, object]:
    return {"directory": "/somewhere/build", "command": f"/somewhere/tools/cc {line}", "file": "a.c"}


NATIVE = [command("-march=native"), command("-march=native", file="/somewhere/source/sub/b.c"), command()]


@pytest.mark.parametrize(
    ("commands", "found"),
    [
        (NATIVE, "-march=native (compiling a.c and 1 more)"),
        (
            [of_shell('-O3 \'-DA="x y"\' -I"/somewhere/source/with space" -mavx512f -c a.c')],
            "-mavx512f (compiling a.c)",
        ),
        ([of_shell("'-O3")], "No closing quotation (compiling a.c)"),
    ],
    ids=["listed in words", "read as a shell reads it", "no shell can read it"],
)
def test_a_flag_that_the_plan_does_not_list_is_named_with_the_file_it_compiles(
    commands: list[dict[str, object]], found: str
) -> None:
    with pytest.raises(AuditError) as caught:
        check_commands(commands, ALLOWED, roots=ROOTS, where=WHERE)
    assert caught.value.where == f"{WHERE}: compile_commands.json"
    assert caught.value.found == found


# As CMake 4.4 wrote it for llama.cpp b7827, shortened.
NINJA = """\
cmake_ninja_workdir = /somewhere/build/
build src/a.o: C_COMPILER__ggml_unscanned_Release /somewhere/source/a.c
  FLAGS = -O3 -mavx512f

build bin/libggml.so.0: CXX_SHARED_LIBRARY_LINKER__ggml_Release src/a.o | bin/libbase.so.0
  LANGUAGE_COMPILE_FLAGS = -g0 -O3 -DNDEBUG
  LINK_FLAGS = -shared -s
  LINK_LIBRARIES = -Wl,-rpath,"\\$$ORIGIN:\\$$ORIGIN/../lib"  bin/libbase.so.0  -ldl -lm
  OBJECT_DIR = /nowhere

build bin/llama-server: CXX_EXECUTABLE_LINKER__llama-server_Release src/a.o
  LINK_FLAGS = {flags}
  LINK_LIBRARIES = {libraries}
"""


def check_links(libraries: str, flags: str = "-s") -> None:
    check_link_commands(NINJA.format(libraries=libraries, flags=flags), ALLOWED, roots=ROOTS, where=WHERE)


@pytest.mark.parametrize("libraries", ["bin/libggml.so.0 -lpthread", "'/somewhere/tools/a$ b$:c/libz.a'"])
def test_link_statements_with_only_built_files_and_libc_pass_and_an_escaped_name_is_one_word(
    libraries: str,
) -> None:
    check_links(libraries)


def test_the_flags_of_a_link_statement_are_checked_like_its_libraries() -> None:
    with pytest.raises(AuditError, match=r"-L/usr/lib \(linking bin/llama-server\)"):
        check_links("-lm", flags="-s -L/usr/lib")


@pytest.mark.parametrize(
    ("libraries", "found"),
    [
        ("/usr/lib/libssl.so", "/usr/lib/libssl.so"),
        ("../../../usr/lib/libssl.a", "../../../usr/lib/libssl.a"),
        ("-L/usr/lib -lm", "-L/usr/lib"),
        ("-lcurl", "-lcurl"),
        ("-l ssl", "-lssl"),
        ("-Wl,-rpath,/somewhere/build/bin", "-rpath /somewhere/build/bin"),
        ('-Wl,-rpath,"\\$$ORIGIN:/opt/lib"', "-rpath /opt/lib"),
        ('-Wl,-rpath,"\\$$ORIGINAL/lib"', "-rpath $ORIGINAL/lib"),
        ("-Wl,-rpath -Wl,/somewhere/build/bin", "-rpath /somewhere/build/bin"),
        ("-Wl,-rpath=/somewhere/build/bin", "-rpath /somewhere/build/bin"),
        ("-fuse-ld=gold", "-fuse-ld=gold"),
        ("-flto", "-flto"),
        ("/somewhere/tools$ /lib$:x/libz.a", "/lib:x/libz.a"),
    ],
)
def test_what_is_linked_from_the_host_is_named(libraries: str, found: str) -> None:
    with pytest.raises(AuditError) as caught:
        check_links(libraries)
    assert f"{found} (linking bin/llama-server)" in caught.value.found.splitlines()
    assert caught.value.where == f"{WHERE}: build.ninja"


# As CMake 4.4 wrote it for llama.cpp b6751 for macOS, shortened.
NINJA_OF_MACOS = """\
cmake_ninja_workdir = /somewhere/build/
build bin/libggml-metal.dylib: CXX_SHARED_LIBRARY_LINKER__ggml-metal_Release src/a.o | bin/libggml-base.dylib
  INSTALLNAME_DIR = @rpath/
  LINK_FLAGS = -dynamiclib -Wl,-headerpad_max_install_names -s
  LINK_LIBRARIES = -Wl,-rpath,{run_path}  bin/libggml-base.dylib  -framework Metal  /somewhere/tools/usr/lib/libobjc.tbd
  LINK_PATH = -F/somewhere/tools/Frameworks
"""


@pytest.mark.parametrize(
    ("run_path", "found"),
    [
        ("@loader_path", None),
        ("@loader_path/../lib", None),
        ("@loader_pathological", "-rpath @loader_pathological"),
        ("@executable_path", "-rpath @executable_path"),
        ("/somewhere/build/bin", "-rpath /somewhere/build/bin"),
    ],
)
def test_run_paths_of_macos_start_from_the_file_that_is_loaded(run_path: str, found: str | None) -> None:
    accepted = nullcontext() if found is None else pytest.raises(AuditError)
    with accepted as caught:
        check_link_commands(
            NINJA_OF_MACOS.format(run_path=run_path),
            replace(ALLOWED, origin="@loader_path"),
            roots=ROOTS,
            where=WHERE,
        )
    assert not caught or caught.value.found == f"{found} (linking bin/libggml-metal.dylib)"


def test_a_long_list_of_departures_is_cut_and_counted() -> None:
    violations = [Violation("nothing", f"thing {number}", "remove it") for number in range(25)]
    with pytest.raises(AuditError) as caught:
        refuse(WHERE, violations)
    assert caught.value.expected == "nothing"
    assert caught.value.found.splitlines()[18:] == ["thing 18", "thing 19", "and 5 more"]
    assert caught.value.fix == "remove it"


def test_no_departure_raises_nothing() -> None:
    refuse(WHERE, [])
