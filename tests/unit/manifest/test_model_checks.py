"""What must hold between the parts of a model's manifest; each refusal in its exact words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.core.errors import RecipeError, UsageError
from tests.support.model_manifests import HUB, LOCAL, a_project, the_model

if TYPE_CHECKING:
    from pathlib import Path

LOCK = "python3 noxfile.py -s lock -- --model hub"
BY_HAND = "add what the package index states for the file, once you have compared it with a second source"


def test_a_model_of_the_repository_and_one_of_a_hub_are_valid(tmp_path: Path) -> None:
    manifests = a_project(tmp_path, local=LOCAL, hub=HUB)
    assert manifests.model_names() == ("hub", "local")
    local, hub = manifests.model("local"), manifests.model("hub")
    assert [file.path for file in local.files] == ["data/model.gguf", "data/mmproj.gguf"]
    assert (local.golden, local.repository, local.revision) == ("tests/golden.json", None, None)
    assert hub.repository == "someone/Some-GGUF"
    assert [(file.file, file.size_bytes, file.max_bytes) for file in hub.files] == [
        ("model.gguf", None, 5000),
        ("mmproj.gguf", 4, None),
    ]
    assert [file.sha256 is None for file in hub.files] == [True, False]


MODEL_PINS = "    max_bytes: 5000\n    unlocked: no digest is known\n"
CASES = {
    "a role twice": (
        LOCAL,
        ("role: mmproj", "role: model"),
        ("local.yaml:14: files[1].role", "one file of each role", "another `model`"),
        "list one file of role model and one of role mmproj",
        10,
    ),
    "a local file without a path": (
        LOCAL,
        ("    path: data/model.gguf\n", ""),
        ("local.yaml:9: files[0]", "`path` of a file in this repository", "none"),
        "add `path: ...`; for a file of the hub, `repository: OWNER/NAME` to the model",
        10,
    ),
    "a local file without a digest": (
        LOCAL,
        (f"    sha256: {'a1' * 32}\n", ""),
        ("local.yaml:9: files[0]", "the key `sha256` of a file in this repository", "none"),
        BY_HAND,
        11,
    ),
    "a local file without a size": (
        LOCAL,
        ("    size_bytes: 3\n", ""),
        ("local.yaml:9: files[0]", "the key `size_bytes` of a file in this repository", "none"),
        BY_HAND,
        11,
    ),
    "a local file with a name on a hub": (
        LOCAL,
        ("    size_bytes: 3\n", "    size_bytes: 3\n    file: a.gguf\n"),
        (
            "local.yaml:12: files[0].file",
            "no `file`: that is for files of a hub, and the model names no `repository`",
            "`file`",
        ),
        "remove the key",
        10,
    ),
    "a local model with a revision": (
        LOCAL,
        ("licence: MIT\n", f"licence: MIT\nrevision: {'c3' * 20}\n"),
        ("local.yaml:7: revision", "`repository` beside `revision`: it says something about one", "none"),
        "add `repository: OWNER/NAME`, or remove the key",
        10,
    ),
    "a hub's model with golden values": (
        HUB,
        ("licence: Apache-2.0\n", "licence: Apache-2.0\ngolden: a.json\n"),
        (
            "hub.yaml:7: golden",
            "no `golden`: conformance takes models whose files lie in this repository",
            "`golden`",
        ),
        "remove the key",
        10,
    ),
    "a repository without a hub": (
        HUB,
        ("hub: https://hub.example\n", ""),
        ("hub.yaml:7: repository", "`hub` beside `repository`", "none"),
        "add `hub: https://...`, the address of the hub that has it",
        10,
    ),
    "neither a revision nor a reason": (
        HUB,
        ("revision_unlocked: never seen\n", ""),
        ("hub.yaml:1", "exactly one of `revision` and `revision_unlocked`", "neither"),
        "add `revision_unlocked: REASON`",
        10,
    ),
    "a revision and a reason": (
        HUB,
        ("revision_unlocked: never seen\n", f"revision: {'c3' * 20}\nrevision_unlocked: never seen\n"),
        ("hub.yaml:10: revision_unlocked", "exactly one of `revision` and `revision_unlocked`", "both"),
        "remove `revision_unlocked`",
        10,
    ),
    "a branch for a revision": (
        HUB,
        ("revision_unlocked: never seen\n", "revision: main\n"),
        ("hub.yaml:9: revision", "a sha1 digest of 40 digits 0-9 and a-f", "4 digits: `main`"),
        "copy the digest again, in full",
        10,
    ),
    "a repository without an owner": (
        HUB,
        ("repository: someone/Some-GGUF", "repository: Some-GGUF"),
        ("hub.yaml:8: repository", "a repository of a hub, as OWNER/NAME", "`Some-GGUF`"),
        "write it as a repository of a hub, as OWNER/NAME",
        10,
    ),
    "a hub's file with a path": (
        HUB,
        ("    file: model.gguf\n", "    file: model.gguf\n    path: model.gguf\n"),
        (
            "hub.yaml:13: files[0].path",
            "no `path`: the model's files lie in its `repository`",
            "`path`",
        ),
        "write its name there as `file: ...`",
        10,
    ),
    "a hub's file without a name": (
        HUB,
        ("    file: model.gguf\n", ""),
        ("hub.yaml:11: files[0]", "`file`, its name in the repository", "none"),
        "add `file: ...`",
        10,
    ),
    "neither a digest nor a reason": (
        HUB,
        ("    unlocked: no digest is known\n", ""),
        ("hub.yaml:11: files[0]", "exactly one of `sha256` and `unlocked`", "neither"),
        f"add `unlocked: REASON`, then\n{LOCK}",
        11,
    ),
    "a size and a cap": (
        HUB,
        ("    max_bytes: 5000\n", "    size_bytes: 1\n    max_bytes: 5000\n"),
        ("hub.yaml:14: files[0].max_bytes", "exactly one of `size_bytes` and `max_bytes`", "both"),
        "remove `max_bytes`",
        10,
    ),
    "a name that leaves the repository": (
        HUB,
        ("    file: model.gguf\n", "    file: ../model.gguf\n"),
        (
            "hub.yaml:12: files[0].file",
            "a POSIX path below the folder it is read in: no leading slash, no `..`",
            "`../model.gguf`",
        ),
        "write it as a POSIX path below the folder it is read in: no leading slash, no `..`",
        10,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_spoiled_model_is_refused_in_exact_words(case: str, tmp_path: Path) -> None:
    text, (old, new), (where, expected, found), fix, code = CASES[case]
    assert text.count(old) == 1, "a case changes one place"
    with pytest.raises(RecipeError) as caught:
        the_model(tmp_path, text.replace(old, new))
    error = caught.value
    assert (error.where, error.expected, error.found, error.fix, error.exit_code) == (
        f"manifests/models/{where}",
        expected,
        found,
        fix,
        code,
    )


def test_an_unknown_model_is_refused_with_what_was_meant(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        a_project(tmp_path, local=LOCAL, hub=HUB).model("lokal")
    error = caught.value
    assert (error.where, error.expected, error.found, error.fix) == (
        "the model's name",
        "`hub` or `local`",
        "`lokal`, did you mean `local`?",
        "ask for `local`",
    )
