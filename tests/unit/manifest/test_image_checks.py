"""What container images are made on: the committed one holds, and what cannot be one is refused where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.core.errors import ManifestError
from recipes.manifest.load import PROJECT, Manifests

if TYPE_CHECKING:
    from pathlib import Path

BASE = """\
schema: image/1
name: base
summary: one program and one library
health: [/bin/ask, now]
machines:
  linux-x86_64:
    - package: one
      version: "1"
      pool: pool/one.deb
      size_bytes: 10
      sha256: {digest}
      take: {{ask: bin/ask, one.so: lib/one.so}}
    - package: two
      version: "2"
      pool: pool/two.deb
      size_bytes: 20
      sha256: {digest}
      take: {{two.so: lib/two.so}}
""".format(digest="d1" * 32)


def manifests(folder: Path, text: str) -> Manifests:
    path = folder / "manifests" / "images" / "base.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return Manifests(folder)


def test_what_images_are_made_on_is_read(tmp_path: Path) -> None:
    base = manifests(tmp_path, BASE).image_base("base")
    assert [package.package for package in base.machines["linux-x86_64"]] == ["one", "two"]
    assert base.health == ("/bin/ask", "now")


@pytest.mark.parametrize(
    ("old", "new", "where", "word"),
    [
        ("lib/two.so", "lib/one.so", "machines.linux-x86_64[1].take", "one.so of one"),
        ("/bin/ask", "/bin/asks", "health[0]", "/bin/ask"),
        ("lib/two.so", "../two.so", "machines.linux-x86_64[1].take", "../two.so"),
        ("name: base", "name: other", "name", "other"),
        ("size_bytes: 10", "size_bytes: 0", "machines.linux-x86_64[0].size_bytes", "0"),
    ],
)
def test_what_cannot_be_an_image_is_refused(
    tmp_path: Path, old: str, new: str, where: str, word: str
) -> None:
    assert old in BASE
    with pytest.raises(ManifestError) as caught:
        manifests(tmp_path, BASE.replace(old, new)).image_base("base")
    assert where in caught.value.where
    assert word in f"{caught.value.expected}{caught.value.found}"


def test_each_platform_of_linux_with_a_pinned_compiler_has_an_image_or_says_why_not() -> None:
    """And no other one has either: containers are Linux's, and what the host's compiler makes is not pinned."""
    committed = Manifests(PROJECT)
    name = committed.defaults().image
    assert name is not None
    machines = committed.image_base(name).machines
    for recipe in map(committed.recipe, committed.recipe_names()):
        for platform, each in recipe.platforms.items():
            system, arch, *_ = platform.split("-")
            can = f"{system}-{arch}" in machines and committed.toolchain(each.toolchain).kind != "host"
            says = each.image is not None or each.image_unpinned is not None
            assert says == can, f"{recipe.name}@{platform}"


def test_each_library_and_program_of_a_package_says_its_licence() -> None:
    committed = Manifests(PROJECT)
    for base in map(committed.image_base, committed.image_names()):
        for package in (each for packages in base.machines.values() for each in packages):
            texts = all(source.startswith("usr/share/common-licenses/") for source in package.take)
            assert (package.licence is None) == texts, package.package
