from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.core.digest import Digest, Sha1, Sha256, blob_entries, hash_tree, tree_of_entries
from tests.support.file_trees import NAMES, plant, trees

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

pytestmark = pytest.mark.slow  # many examples, each with real files, programs or servers

# git refuses a name that a file system could take for its own folder
TREES = trees(NAMES.filter(lambda name: not os.fsencode(name).lower().startswith((b".git", b"git~"))))


@pytest.fixture(scope="module", params=[Sha1, Sha256], ids=["sha1", "sha256"])
def repository(request: pytest.FixtureRequest) -> Iterator[tuple[type[Sha1 | Sha256], Path]]:
    kind = request.param
    with tempfile.TemporaryDirectory() as folder:
        git(Path(folder), Path(folder), "init", "--quiet", f"--object-format={kind.algorithm}")
        yield kind, Path(folder) / ".git"


def git(folder: Path, tree: Path, *argv: str) -> str:
    settings = (
        "core.autocrlf=false",
        "core.protectNTFS=false",
        "core.protectHFS=false",
        "core.precomposeUnicode=false",
    )
    flags = [part for setting in settings for part in ("-c", setting)]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    if folder.name == ".git":
        environment |= {"GIT_DIR": str(folder), "GIT_WORK_TREE": str(tree), "GIT_INDEX_FILE": f"{tree}.index"}
    done = subprocess.run(
        ["git", *flags, *argv], cwd=tree, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@settings(max_examples=40)
@given(tree=TREES)
def test_the_digest_of_any_tree_is_the_one_that_git_writes(
    repository: tuple[type[Sha1 | Sha256], Path], tree: dict[str, object]
) -> None:
    kind, git_folder = repository
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "tree"
        plant(root, tree)
        git(git_folder, root, "add", "--all", "--force", ".")
        expected = git(git_folder, root, "write-tree")
        found: Digest = hash_tree(root, Sha1) if kind is Sha1 else hash_tree(root, Sha256)
    assert found.hex == expected


@settings(max_examples=60)
@given(tree=TREES, seed=st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order_of_the_files(tree: dict[str, object], seed: Random) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "tree"
        plant(root, tree)
        entries = blob_entries(root, Sha256)
        names = list(entries)
        seed.shuffle(names)
        assert tree_of_entries({name: entries[name] for name in names}, Sha256) == hash_tree(root, Sha256)


@given(st.text(max_size=80))
def test_text_is_a_digest_exactly_if_it_is_so_many_lower_case_hexadecimal_digits(text: str) -> None:
    for kind in (Sha1, Sha256):
        fits = len(text) == kind.length and set(text) <= set("0123456789abcdef")
        try:
            accepted = kind(text).hex == text
        except ValueError:
            accepted = False
        assert accepted == fits


@given(st.binary(max_size=64))
def test_a_digest_survives_its_own_text(data: bytes) -> None:
    for kind in (Sha1, Sha256):
        digest = kind.of_bytes(data)
        assert kind(str(digest).removeprefix(f"{kind.algorithm}:")) == digest
