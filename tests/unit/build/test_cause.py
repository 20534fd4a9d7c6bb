"""Why two files differ: each kind of leak is told by what it leaves behind, and nothing else is."""

from __future__ import annotations

import pytest

from recipes.build.bundle.cause import Cause, likely_causes
from recipes.build.bundle.parts import Part


def causes(left: str, right: str, name: str = ".rodata") -> list[Cause]:
    return [each.cause for each in likely_causes([part(name, left)], [part(name, right)])]


def part(name: str, text: str) -> Part:
    return Part(name, b"\0".join(word.encode() for word in text.split("|")))


@pytest.mark.parametrize(
    ("left", "right", "cause"),
    [
        ("/home/one/src/a.c", "/home/other/src/a.c", Cause.PATH),
        ("file=/tmp/a/b/c.c", "file=/build/c.c", Cause.PATH),
        (r"C:\build\a.c", r"D:\other\a.c", Cause.PATH),
        ("Nov 30 2026", "Dec  1 2026", Cause.TIME),
        ("12:34:56", "12:34:57", Cause.TIME),
        ("built 2026-11-30T08:00:00Z", "built 2026-12-01T08:00:00Z", Cause.TIME),
        ("epoch 1764489600", "epoch 1764489601", Cause.TIME),
        ("one thing|another thing", "another thing|one thing", Cause.ORDER),
        ("flags -O3 -march=native", "flags -O3 -march=x86-64-v3", Cause.PROCESSOR),
        ("b7827 (16639ba2)", "b7827 (2fcfa7e1)", Cause.STAMP),
        ("by somebody@machine", "by other@machine", Cause.STAMP),
        ("a sentence", "other words", Cause.UNKNOWN),
    ],
)
def test_a_text_that_differs_is_told_by_what_it_looks_like(left: str, right: str, cause: Cause) -> None:
    assert causes(left, right) == [cause]
    assert causes(right, left) == [cause]


def test_lines_of_a_text_file_in_another_order_are_the_order() -> None:
    left, right = Part("", b"beta\nalpha\ngamma\n"), Part("", b"alpha\nbeta\ngamma\n")
    assert [each.cause for each in likely_causes([left], [right])] == [Cause.ORDER]


def test_two_leaks_are_both_named() -> None:
    assert causes("/home/one/a.c|Nov 30 2026", "/home/two/a.c|Dec  1 2026") == [Cause.TIME, Cause.PATH]


def test_a_build_id_is_a_stamp_and_a_header_time_is_a_time() -> None:
    for name, cause in (
        (".note.gnu.build-id", Cause.STAMP),
        ("LC_UUID", Cause.STAMP),
        ("TimeDateStamp", Cause.TIME),
    ):
        found = likely_causes([Part(name, bytes(20))], [Part(name, b"\1" * 20)])
        assert [(each.cause, each.part) for each in found] == [(cause, name)]


def test_other_code_without_other_texts_is_for_another_processor() -> None:
    left = [Part(".text", bytes(range(256)) * 4)]
    assert [each.cause for each in likely_causes(left, [Part(".text", bytes(900))])] == [Cause.PROCESSOR]


def test_the_same_code_in_another_order_is_the_order() -> None:
    one, other = bytes(range(128)), bytes(range(128, 256))
    found = likely_causes([Part(".text", one + other)], [Part(".text", other + one)])
    assert [each.cause for each in found] == [Cause.ORDER]


def test_what_differs_is_shown() -> None:
    (found,) = likely_causes([part(".rodata", "/home/one/a.c")], [part(".rodata", "/home/two/a.c")])
    assert str(found) == "likely path in .rodata: '/home/one/a.c' against '/home/two/a.c'"
