"""The example for Kubernetes fits the schema of its API, and says what our manifests say."""

from __future__ import annotations

import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

from recipes.manifest.load import Manifests
from recipes.serve.container.document import API_KEY, MODELS, PORT, USER_ID
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
    requested = container["resources"]["requests"]["memory"]
    assert re.fullmatch(r"\d+M", requested)
    assert int(requested.removesuffix("M")) * 10**6 >= memory.size_bytes
    assert container["args"][-1] == str(memory.context)
