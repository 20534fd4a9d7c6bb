"""Writes what was found into a folder: a record, JUnit for CI systems, and a page that goes with a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.conformance.report.html import to_page
from recipes.conformance.report.json_record import SCREENSHOT, image_names, to_json
from recipes.conformance.report.junit import to_junit

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.conformance.results.result import Result

RECORD, JUNIT, PAGE = "result.json", "junit.xml", "index.html"


def write_report(result: Result, folder: Path) -> Path:
    """Write result.json with its images, junit.xml and index.html; return the page's path.

    The folder is made; files of an earlier report are replaced. An OSError is raised where it cannot be written, or
    the screenshot cannot be read.
    """
    screenshot = result.screenshot.read_bytes() if result.screenshot else None
    files = {RECORD: to_json(result), JUNIT: to_junit(result), PAGE: to_page(result, screenshot)}
    images = {
        name: data
        for exhibit, names in zip(result.exhibits, image_names(result), strict=True)
        for name, data in zip(names, exhibit.images, strict=True)
    }
    if screenshot is not None:
        images[SCREENSHOT] = screenshot
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in images.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode("utf-8"))
    return folder / PAGE
