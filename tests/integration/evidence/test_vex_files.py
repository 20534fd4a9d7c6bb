from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.evidence.vex_files import write_vex
from recipes.manifest.load import Manifests
from tests.support.fixture_project import make_project

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_not_known_any_more_is_not_left_beside_a_bundle(tmp_path: Path, shared_store: Path) -> None:
    project, folder = make_project(tmp_path, shared_store), tmp_path / "evidence"
    assert write_vex(Manifests(project.root).recipe("fixture"), Manifests(project.root), folder) == ()
    before = project.manifest.read_text()
    project.advise("high", "request")
    known = Manifests(project.root)
    written = write_vex(known.recipe("fixture"), known, folder)
    assert all(b"squares-are-round" in path.read_bytes() for path in written)
    assert set(folder.iterdir()) == set(written) != set()
    (folder / "sbom.cdx.json").touch()
    project.manifest.write_text(before)
    (project.root / "manifests" / "advisories" / "squares-are-round.yaml").unlink()
    unknown = Manifests(project.root)
    assert write_vex(unknown.recipe("fixture"), unknown, folder) == ()
    assert [path.name for path in folder.iterdir()] == ["sbom.cdx.json"]
