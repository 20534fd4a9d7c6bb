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
    "words",
    [
        ("-I/usr/include",),
        ("-I", "/usr/include"),
        ("-I../../usr/include",),
        ("-isystem/usr/include",),
        ("-isystem", "/usr/include"),
        ("-include", "/etc/config.h"),
        ("-L/usr/lib",),
        ("--sysroot=/",),
        ("-isysroot", "/Applications/Xcode.app"),
        ("-B/usr/bin",),
        ("-fdebug-compilation-dir=/home/me",),
        ("-ffile-prefix-map=/home/me=/source",),
        ("/usr/lib/crt1.o",),
        ('-DDATA="/usr/share/x"',),
        ("-D", "DATA=/usr/share/x"),
    ],
)
def test_a_path_of_the_host_is_refused_with_its_option(words: tuple[str, ...]) -> None:
    assert found(*words) == [" ".join(words)]


CC, SOURCE = "/somewhere/tools/cc", '-DROOT="/somewhere/source/x"'


@pytest.mark.parametrize(
    ("command", "expected", "refused"),
    [
        (
            (CC, "-O3", SOURCE),
            "no folder of the build machine in a macro",
            SOURCE,
        ),  # no prefix map reaches it
        (("/usr/bin/ccache", CC, "-O3", "-c", "a.c"), "without a launcher", "/usr/bin/ccache"),
        (("cc", "-O3"), "compiler", "cc"),
        ((CC, "-c", "a.c"), "one of -O3", "no -O"),
    ],
    ids=["a folder in a macro", "a launcher", "a compiler found by name", "no optimisation"],
)
def test_a_command_that_is_not_the_plans_is_refused(
    command: tuple[str, ...], expected: str, refused: str
) -> None:
    (violation,) = compile_violations(command, ALLOWED, ROOTS, "/somewhere/build")
    assert expected in violation.expected
    assert violation.found == refused


def test_a_compiler_that_the_plan_names_may_lie_outside() -> None:
    assert list(compile_violations(("/usr/bin/clang", "-O3"), ALLOWED, ROOTS, "/somewhere/build")) == []


def test_an_empty_command_is_refused() -> None:
    (violation,) = compile_violations((), AllowedFlags(optimise=()), ROOTS, "/somewhere/build")
    assert violation.found == "no compiler"
