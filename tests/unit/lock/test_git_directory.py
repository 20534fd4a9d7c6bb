from __future__ import annotations

import pytest

from recipes.core.digest import Sha1
from recipes.core.errors import UsageError, VerifyError
from recipes.fetch.archives.git_commits import Commit
from recipes.lock.git_directory import GitDirectory, choose_commit, find_git_directory
from recipes.lock.request import Release, SourceRequest

PINNED, NEWER, OTHER = (Sha1(digit * 40) for digit in "123")
TREE, TREE_BEFORE = Sha1("a" * 40), Sha1("b" * 40)


@pytest.mark.parametrize(
    ("link", "subdirectory", "path"),
    [
        (b"gitdir: ../../.git/modules/vendor/up\n", "top/vendor/up", "top/.git/modules/vendor/up"),
        (b"gitdir: ../../.git/modules/vendor/up", "top/vendor/up/", "top/.git/modules/vendor/up"),
        (b"gitdir: ../.git/./x/../modules/up\n", "top/up", "top/.git/modules/up"),
        (b"gitdir: ../upper\n", "up", "upper"),
    ],
)
def test_a_submodules_link_is_followed_in_the_archive(link: bytes, subdirectory: str, path: str) -> None:
    assert find_git_directory(link, subdirectory) == path


@pytest.mark.parametrize(
    "link",
    [
        b"",
        b"elsewhere\n",
        b"gitdir:\n",
        b"gitdir: /etc\n",
        b"gitdir: ../../../etc\n",
        b"gitdir: ../..\n",  # the archive's top, whose folder is not known by a name
        b"gitdir: ..\\..\\x\n",
        b"gitdir: ../x\0y\n",
        b"gitdir: ../x\ny\n",
        b"gitdir: .git\n",
        b"gitdir: .\n",
        b"gitdir: ../" + b"x" * 256,
        b"gitdir: " + b"a/../" * 1000 + b"../x\n",
    ],
)
def test_a_link_that_leads_out_of_the_archive_or_into_the_source_or_nowhere_is_not_followed(
    link: bytes,
) -> None:
    assert find_git_directory(link, "top/up") is None


@pytest.mark.parametrize("link", [b"gitdir: .git\n", b"gitdir: x/y\n"])
def test_nothing_lies_outside_of_a_source_that_is_the_whole_archive(link: bytes) -> None:
    assert find_git_directory(link, ".") is None


def choose(asked: Sha1 | None, *commits: tuple[Sha1, Sha1]) -> Commit | None:
    request = SourceRequest("p==1", Release("p", "1"), "again", commit=asked)
    directory = GitDirectory("top/.git", tuple(Commit(name, tree, None) for name, tree in commits))
    return choose_commit(request, directory, TREE, PINNED)


@pytest.mark.parametrize(
    ("asked", "commits", "chosen"),
    [
        (None, [(NEWER, TREE), (PINNED, TREE_BEFORE)], NEWER),
        (None, [(NEWER, TREE), (PINNED, TREE)], PINNED),
        (NEWER, [(NEWER, TREE), (PINNED, TREE)], NEWER),
        (None, [(OTHER, TREE_BEFORE)], None),
        (NEWER, [(OTHER, TREE_BEFORE)], None),
        (None, [], None),
    ],
)
def test_the_commit_is_the_one_with_the_tree(
    asked: Sha1 | None, commits: list[tuple[Sha1, Sha1]], chosen: Sha1 | None
) -> None:
    found = choose(asked, *commits)
    assert (found.id if found else None) == chosen


def test_the_commit_that_is_asked_for_with_another_tree_is_refused() -> None:
    with pytest.raises(VerifyError) as caught:
        choose(OTHER, (OTHER, TREE_BEFORE), (NEWER, TREE))
    assert str(TREE_BEFORE) in caught.value.expected


@pytest.mark.parametrize(
    ("asked", "commits"), [(OTHER, [(NEWER, TREE)]), (None, [(NEWER, TREE), (OTHER, TREE)])]
)
def test_where_other_commits_have_the_tree_they_are_named(
    asked: Sha1 | None, commits: list[tuple[Sha1, Sha1]]
) -> None:
    with pytest.raises(UsageError) as caught:
        choose(asked, *commits)
    assert all(commit.hex in caught.value.expected for commit, _ in commits)
    assert caught.value.fix == f"again --commit {NEWER.hex}"
