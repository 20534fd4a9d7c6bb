"""Which file of the package index is the source distribution of a version."""

from __future__ import annotations

import pytest
from pypi_simple import DistributionPackage

from recipes.fetch.http.network_errors import OriginError
from recipes.lock.unpinned_files import choose_sdist

FILES = (
    "a-1.0.tar.gz",
    "a-1.0-py3-none-any.whl",
    "a-2.0.zip",
    "a-2.0.tar.gz",
    "a-3.0-py3-none-any.whl",
    "a-x.y.tar.gz",
)


def packages() -> list[DistributionPackage]:
    data = ({"filename": name, "url": f"https://example.org/{name}", "hashes": {}} for name in FILES)
    return [DistributionPackage.from_json_data(each, project_hint="a") for each in data]


@pytest.mark.parametrize(
    ("version", "file"), [("1", "a-1.0.tar.gz"), ("1.0.0", "a-1.0.tar.gz"), ("2.0", "a-2.0.tar.gz")]
)
def test_any_spelling_of_a_version_finds_its_file(version: str, file: str) -> None:
    assert choose_sdist(packages(), "a", version).filename == file


@pytest.mark.parametrize("version", ["3.0", "1.1", "x.y"])
def test_a_version_without_one_is_refused_with_the_newest_that_have_one(version: str) -> None:
    with pytest.raises(OriginError) as caught:
        choose_sdist(packages(), "a", version)
    assert f" a {version}; " in str(caught.value)
    assert str(caught.value).endswith(": 2.0, 1.0")


def test_an_index_without_any_is_told_so() -> None:
    with pytest.raises(OriginError) as caught:
        choose_sdist([], "a", "1")
    assert str(caught.value).endswith(": none")
