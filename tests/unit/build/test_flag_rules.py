from __future__ import annotations

import pytest

from recipes.build.audit.flag_rules import AllowedFlags, compile_violations

ROOTS = ("/somewhere/source", "/somewhere/build", "/somewhere/tools")
ALLOWED = AllowedFlags(
    isa_flags=("-mavx2", "-msse4.2"),
    march=("armv8.2-a+dotprod",),
    exact=("-fsanitize=none", "/usr/bin/clang"),
)


def found(*words: str, allowed: AllowedFlags = ALLOWED) -> list[str]:
    command = ("/somewhere/tools/cc", "-O3", *words, "-c", "/somewhere/source/a.c")
    return [violation.found for violation in compile_violations(command, allowed, ROOTS, "/somewhere/build")]


@pytest.mark.parametrize(
    "words",
    [
        ("-mavx2", "-msse4.2", "-march=armv8.2-a+dotprod"),
        (
            "-g0",
            "-fPIC",
            "-fvisibility=hidden",
            "-std=gnu++17",
            "-Wall",
            "-Werror=date-time",
            "-pthread",
            "-w",
        ),
        ("-MD", "-MT", "a.o", "-MF", "a.o.d"),
        ("-ObjC", "-x", "objective-c"),
        ("-DNDEBUG", "-D", "X=1", '-DVERSION="0.9.5"', "-D_XOPEN_SOURCE=600"),
        (
            "-I/somewhere/source/include",
            "-I",
            "/somewhere/build",
            "-I../source/vendor",
            "-isystem",
            "/somewhere/tools/include",
        ),
        ("-I/somewhere/source/a/../../build",),
        ("-ffile-prefix-map=/somewhere/source=/source", "-fmacro-prefix-map=/somewhere/build=/build"),
        ("-fprofile-prefix-map=/somewhere/source=/source", "-fcoverage-prefix-map=/somewhere/build=/build"),
        ("-fno-fast-math", "-ffp-contract=off", "-fno-finite-math-only", "-fsanitize=none"),
        ("-Wa,--noexecstack", "-Wp,-DX"),
    ],
)
def test_words_that_change_nothing_that_is_pinned_pass(words: tuple[str, ...]) -> None:
    assert found(*words) == []


@pytest.mark.parametrize(
    "word",
    [
        *(
            "-march=native",
            "-march=x86-64-v3",
            "-march=armv8.2-a",
            "-mtune=native",
            "-mcpu=native",
            "-mavx512f",
        ),
        *(
            "-mno-avx2",
            "-m32",
            "-mllvm",
            "-mcmodel=large",
            "-target-feature",
            "--target=x86_64-linux-musl",
            "-target",
        ),
        *("-O", "-O0", "-O2", "-Os", "-Oz", "-Og", "-Ofast", "-O4"),
        *("-g", "-g1", "-g3", "-ggdb", "-gdwarf-4", "-gline-tables-only", "-gz"),
        *(
            "-flto",
            "-flto=thin",
            "-fprofile-generate",
            "-fprofile-use=/somewhere/build/x",
            "-fauto-profile",
            "-pg",
            "-p",
        ),
        *("--coverage", "-fcoverage-mapping", "-ftime-trace"),
        *("-fsanitize=address", "-fplugin=x", "-fopenmp", "-fopenmp=libgomp", "-fuse-ld=lld", "-specs=x"),
        *("-ffast-math", "-funsafe-math-optimizations", "-ffinite-math-only", "-fassociative-math"),
        *("-D__DATE__=x", "-D__TIME__=1", "-D__TIMESTAMP__"),
        "@flags.rsp",
    ],
)
def test_each_kind_of_word_that_the_plan_must_list_is_refused(word: str) -> None:
    assert found(word) == [word]


def test_words_behind_the_assembler_and_the_preprocessor_are_checked_too() -> None:
    assert found("-Wa,-march=native,-g") == ["-march=native", "-g"]
    assert found("-Xclang", "-target-feature", "-Xclang", "+avx512f") == ["-target-feature"]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("-I/usr/include",), "-I/usr/include"),
        (("-I", "/usr/include"), "-I /usr/include"),
        (("-I../../usr/include",), "-I../../usr/include"),
        (("-isystem/usr/include",), "-isystem/usr/include"),
        (("-isystem", "/usr/include"), "-isystem /usr/include"),
        (("-include", "/etc/config.h"), "-include /etc/config.h"),
        (("-L/usr/lib",), "-L/usr/lib"),
        (("--sysroot=/",), "--sysroot=/"),
        (("-isysroot", "/Applications/Xcode.app"), "-isysroot /Applications/Xcode.app"),
        (("-B/usr/bin",), "-B/usr/bin"),
        (("-fdebug-compilation-dir=/home/me",), "-fdebug-compilation-dir=/home/me"),
        (("-ffile-prefix-map=/home/me=/source",), "-ffile-prefix-map=/home/me=/source"),
        (("/usr/lib/crt1.o",), "/usr/lib/crt1.o"),
        (('-DDATA="/usr/share/x"',), '-DDATA="/usr/share/x"'),
        (("-D", "DATA=/usr/share/x"), "-D DATA=/usr/share/x"),
    ],
)
def test_a_path_of_the_host_is_refused_with_its_option(words: tuple[str, ...], shown: str) -> None:
    assert found(*words) == [shown]


def test_a_folder_of_this_build_in_a_macro_is_refused_because_no_prefix_map_reaches_it() -> None:
    command = ("/somewhere/tools/cc", "-O3", '-DROOT="/somewhere/source/x"')
    (violation,) = compile_violations(command, ALLOWED, ROOTS, "/somewhere/build")
    assert violation.expected == "no folder of the build machine in a macro"
    assert violation.found == '-DROOT="/somewhere/source/x"'


def test_a_launcher_before_the_compiler_is_refused() -> None:
    command = ("/usr/bin/ccache", "/somewhere/tools/cc", "-O3", "-c", "a.c")
    (violation,) = compile_violations(command, ALLOWED, ROOTS, "/somewhere/build")
    assert violation.expected == "the plan's compiler, without a launcher before it"
    assert violation.found == "/usr/bin/ccache"


def test_a_compiler_found_by_name_is_refused() -> None:
    (violation,) = compile_violations(("cc", "-O3"), ALLOWED, ROOTS, "/somewhere/build")
    assert violation.found == "cc"


def test_a_compiler_that_the_plan_names_may_lie_outside() -> None:
    assert list(compile_violations(("/usr/bin/clang", "-O3"), ALLOWED, ROOTS, "/somewhere/build")) == []


def test_a_command_without_the_plans_optimisation_is_refused() -> None:
    (violation,) = compile_violations(
        ("/somewhere/tools/cc", "-c", "a.c"), ALLOWED, ROOTS, "/somewhere/build"
    )
    assert (violation.expected, violation.found) == ("one of -O3", "no -O")


def test_an_empty_command_is_refused() -> None:
    assert [
        item.found for item in compile_violations((), AllowedFlags(optimise=()), ROOTS, "/somewhere/build")
    ] == ["no compiler"]
