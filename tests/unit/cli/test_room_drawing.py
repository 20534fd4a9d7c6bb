"""The drawing of the rooms shows what the source files import."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from recipes import ROOMS
from recipes.cli.room_drawing import Room, draw_rooms, read_rooms
from tests.support.paths import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"


def a_package(folder: Path, imports: dict[str, str]) -> Path:
    """A package with every room, and in each named one a module of the given text."""
    for name in ROOMS:
        (folder / name / "inner").mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f'"""Purpose of {name}.\n\nMore.\n"""\n')
    for name, text in imports.items():
        (folder / name / "inner" / "module.py").write_text(text)
    return folder


def test_rooms_are_read_from_their_files(tmp_path: Path) -> None:
    rooms = read_rooms(
        a_package(
            tmp_path,
            {
                "fetch": "import recipes.core.digest\nfrom recipes.store import store\n",
                "patches": (
                    "import os\nfrom recipes import ROOMS, manifest\n"
                    "if TYPE_CHECKING:\n    from recipes.patches.apply import f\n    from recipes.fetch import g\n"
                ),
            },
        )
    )
    assert tuple(room.name for room in rooms) == ROOMS
    assert rooms[ROOMS.index("fetch")] == Room("fetch", "Purpose of fetch.", 1, ("core", "store"))
    assert rooms[ROOMS.index("patches")] == Room("patches", "Purpose of patches.", 1, ("manifest", "fetch"))
    assert rooms[0] == Room("core", "Purpose of core.", 0, ())


def test_each_import_is_a_dot_and_each_imported_room_an_arrow() -> None:
    rooms = read_rooms(PROJECT / "recipes")
    drawing = ET.fromstring(draw_rooms(rooms))  # noqa: S314 - our own text

    assert len(drawing.findall(f"{SVG}circle")) == sum(len(room.imports) for room in rooms) > len(ROOMS)
    arrows = [path for path in drawing.iter(f"{SVG}path") if path.get("marker-end")]
    assert len(arrows) == len({name for room in rooms for name in room.imports})
    words = {text.text for text in drawing.iter(f"{SVG}text")}
    counts = {"1 module" if room.modules == 1 else f"{room.modules} modules" for room in rooms}
    assert {*ROOMS, *counts} <= words


def test_a_purpose_is_text_and_never_markup() -> None:
    drawing = ET.fromstring(draw_rooms([Room("core", "a < b & c", 1, ())]))  # noqa: S314 - our own text

    assert {"a < b & c", "1 module"} <= {text.text for text in drawing.iter(f"{SVG}text")}
