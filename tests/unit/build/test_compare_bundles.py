from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from recipes.build.bundle.compare import FileDifference, compare, string_at
from recipes.core.digest import CHUNK_BYTES
from tests.support.elf_files import ElfSpec, elf_bytes

if TYPE_CHECKING:
    from pathlib import Path

SPEC = ElfSpec(machine="x86_64", rodata=b"\0\0/home/one/src/a.c\0" + bytes(64))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    left = tmp_path / "left"
    (left / "bin").mkdir(parents=True)
    (left / "bin" / "tool").write_bytes(elf_bytes(SPEC))
    (left / "bin" / "tool").chmod(0o755)
    (left / "note").write_text("one\ntwo\nthree\n")
    shutil.copytree(left, tmp_path / "right")
    return left, tmp_path / "right"


def test_equal_trees_do_not_differ(pair: tuple[Path, Path]) -> None:
    left, right = pair
    (left / "empty").mkdir()
    (right / "bin" / "tool").chmod(0o711)
    (right / "note").chmod(0o611)
    assert compare(left, right) == ()


def test_a_path_baked_into_a_program_is_shown_with_its_section(pair: tuple[Path, Path]) -> None:
    left, right = pair
    data = elf_bytes(replace(SPEC, rodata=SPEC.rodata.replace(b"one", b"two")))
    (right / "bin" / "tool").write_bytes(data)
    offset = data.index(b"two")
    what, texts = (
        f"{len(data)} bytes, first different at {offset:#x}",
        ("/home/one/src/a.c", "/home/two/src/a.c"),
    )
    (difference,) = compare(left, right)
    assert difference == FileDifference("bin/tool", what, offset, ".rodata+0x8", *texts)
    assert str(difference) == f"bin/tool: {what}, in .rodata+0x8: '{texts[0]}' against '{texts[1]}'"


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        (b"a.c\0" + bytes(16), b"a.c\0" + bytes(16) + b"\xff", "in .rodata+0x24"),
        (b"a.c", b"a.h", "in .rodata+0x12: '/home/one/src/a.c' against '/home/one/src/a.h'"),
    ],
    ids=["bytes without text", "the last character of a text"],
)
def test_a_difference_is_shown_with_the_text_around_it(
    pair: tuple[Path, Path], old: bytes, new: bytes, shown: str
) -> None:
    left, right = pair
    changed = SPEC.rodata.replace(old, new)[: len(SPEC.rodata)]
    (right / "bin" / "tool").write_bytes(elf_bytes(replace(SPEC, rodata=changed)))
    (difference,) = compare(left, right)
    assert str(difference).endswith(f", {shown}")


def test_a_text_file_is_placed_by_line(pair: tuple[Path, Path]) -> None:
    left, right = pair
    (right / "note").write_text("one\ntwo\nthr33\nfour\n")
    (difference,) = compare(left, right)
    assert (
        str(difference)
        == "note: 14 bytes against 19, first different at 0xb, in line 3: 'three' against 'thr33'"
    )


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_a_file_that_goes_on_differs_where_the_other_ends(pair: tuple[Path, Path], size: int) -> None:
    left, right = pair
    (left / "big").write_bytes(bytes(size))
    (right / "big").write_bytes(bytes(size + 1))
    (difference,) = compare(left, right)
    assert difference.offset == size
    assert difference.what.startswith(f"{size} bytes against {size + 1}")


def test_a_difference_beyond_the_first_chunk_is_found(pair: tuple[Path, Path]) -> None:
    left, right = pair
    (left / "big").write_bytes(bytes(2 * CHUNK_BYTES))
    (right / "big").write_bytes(bytes(CHUNK_BYTES + 7) + b"\1" + bytes(CHUNK_BYTES - 8))
    (difference,) = compare(left, right)
    assert difference.offset == CHUNK_BYTES + 7


def test_a_missing_file_is_named_on_its_side(pair: tuple[Path, Path]) -> None:
    left, right = pair
    (left / "note").rename(left / "memo")
    assert compare(left, right) == (
        FileDifference("memo", "only in the left one"),
        FileDifference("note", "only in the right one"),
    )


def test_mode_and_bytes_that_both_differ_are_both_named(pair: tuple[Path, Path]) -> None:
    left, right = pair
    (right / "note").chmod(0o755)
    (right / "note").write_text("0ne\ntwo\nthree\n")
    assert [str(difference) for difference in compare(left, right)] == [
        "note: mode 100644 against mode 100755",
        "note: 14 bytes, first different at 0x0, in line 1: 'one' against '0ne'",
    ]


def test_a_link_differs_from_the_file_it_points_to_and_from_another_link(pair: tuple[Path, Path]) -> None:
    left, right = pair
    (right / "note").unlink()
    (right / "note").symlink_to(left / "note")
    (left / "link").symlink_to("bin")
    (right / "link").symlink_to("missing")
    assert [str(difference) for difference in compare(left, right)] == [
        "link: link to bin against link to missing",
        f"note: mode 100644 against link to {left / 'note'}",
    ]


def test_a_name_that_a_terminal_would_obey_is_shown_escaped(pair: tuple[Path, Path]) -> None:
    left, right = pair
    (right / "a\x1b[2Jb").touch()
    assert str(compare(left, right)[0]) == r"'a\x1b[2Jb': only in the right one"


@pytest.mark.parametrize(
    ("data", "offset", "text"),
    [
        (b"\0/home/me/a.c\0", 5, "/home/me/a.c"),
        (b"\0/home/me/a.c\0", 0, ""),
        (b"\0UH\x89", 1, ""),
        (b"abcd", 3, "abcd"),
        (b"abcd", 4, ""),
        (b"", 0, ""),
        (b"x" * 200, 100, "x" * 120),
        ("ä/usr".encode(), 3, "/usr"),
    ],
)
def test_the_text_around_an_offset_is_what_strings_would_print(data: bytes, offset: int, text: str) -> None:
    assert string_at(data, offset) == text
