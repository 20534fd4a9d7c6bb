"""The example for Kubernetes fits the schema of its API, and says what our manifests say."""

from __future__ import annotations

import itertools
import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

from recipes.manifest.load import Manifests
from recipes.serve.container.document import API_KEY, MODELS, PORT, USER_ID, model_arguments
from recipes.serve.model_choice import CONTEXT_TOKENS
from tests.support.paths import PROJECT

EXAMPLE = PROJECT / "docs" / "examples" / "kubernetes.yaml"
VERSIONS = ("1.29", kubernetes_validate.latest_version())
MODEL = "qwen3-vl-8b-instruct"


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(EXAMPLE.read_text()))


def deployment() -> dict[str, Any]:
    found = next(each for each in documents() if each["kind"] == "Deployment")
    return dict(found["spec"]["template"]["spec"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("index", range(3))
def test_each_document_fits_the_schema_of_the_api(version: str, index: int) -> None:
    kubernetes_validate.validate(documents()[index], version, strict=True)


def test_a_misspelled_key_does_not_fit() -> None:
    document = next(each for each in documents() if each["kind"] == "Deployment")
    document["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, "1.29", strict=True)


def test_it_says_what_the_image_and_the_models_manifest_say() -> None:
    spec = deployment()
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsUser"] == USER_ID
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["ports"][0]["containerPort"] == PORT
    mounts = {each["mountPath"] for each in container["volumeMounts"]}
    assert {f"/{MODELS}", API_KEY.rpartition("/")[0], "/tmp"} == mounts
    assert f"/{MODELS}/model.gguf" in container["args"]
    memory = Manifests().model(MODEL).memory
    assert memory
    resources, arguments = container["resources"], container["args"]
    given = dict(itertools.pairwise(arguments))
    assert given["-c"] == str(memory.context)
    assert given["--threads"] == resources["requests"]["cpu"]
    prompts_bytes = int(given["--cache-ram"]) << 20
    assert megabytes(resources["requests"]["memory"]) >= memory.size_bytes
    assert megabytes(resources["limits"]["memory"]) >= memory.size_bytes + prompts_bytes


def megabytes(quantity: str) -> int:
    """A quantity of Kubernetes's in bytes."""
    assert re.fullmatch(r"\d+M", quantity)
    return int(quantity.removesuffix("M")) * 10**6


def test_its_arguments_are_those_of_the_image_and_more() -> None:
    (container,) = deployment()["containers"]
    given, own = (
        dict(itertools.pairwise(words)) for words in (container["args"], model_arguments(CONTEXT_TOKENS))
    )
    assert {name: given.get(name) for name in ("-m", "--mmproj", "-c")} == {
        name: own[name] for name in ("-m", "--mmproj", "-c")
    }
