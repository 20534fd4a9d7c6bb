"""The bill of materials: the official schema takes it, equal bundles have equal bytes, and it names what is in it."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from recipes.build.components.attribution import Used
from recipes.build.components.page_packages import Package
from recipes.build.plan.plan import listed_components, make_plan
from recipes.core.digest import Sha256
from recipes.evidence.sbom import Materials, sbom
from recipes.manifest.load import Manifests

MANIFESTS = Manifests()
RECIPE = MANIFESTS.recipe("b11312")
ZIG = MANIFESTS.toolchain("zig-0.17.1")
DIGEST = base64.b64encode(bytes(64)).decode()
MATERIALS = Materials(
    plan=make_plan(RECIPE, "linux-x86_64-cpu", ZIG),
    recipe=RECIPE,
    tree=Sha256("ab" * 32),
    used=[Used(each, ("{source}/x.c",), ("bin/llama-server",)) for each in listed_components(RECIPE, ZIG)],
    versions={"cpp-httplib": "0.58.0"},
    packages=[
        Package("@scope/name", "1.0.0", "MIT", f"sha512-{DIGEST}", has_text=True),
        Package("odd", "2.0.0", "SEE LICENSE IN there", "", has_text=False),
    ],
    tools=ZIG.hosts["linux-x86_64"],
    models=[MANIFESTS.model(name) for name in MANIFESTS.model_names()],
)


def read() -> dict[str, Any]:
    return dict(json.loads(sbom(MATERIALS)))


@pytest.mark.parametrize("version", [SchemaVersion.V1_6])
def test_the_official_schema_takes_it(version: SchemaVersion) -> None:
    assert JsonStrictValidator(version).validate_str(sbom(MATERIALS).decode()) is None
    spoiled = {**read(), "components": [{"type": "nothing"}]}
    assert JsonStrictValidator(version).validate_str(json.dumps(spoiled)) is not None


def test_equal_bundles_have_equal_bytes_and_another_has_another_number() -> None:
    assert sbom(MATERIALS) == sbom(replace(MATERIALS, versions=dict(MATERIALS.versions)))
    other = json.loads(sbom(replace(MATERIALS, tree=Sha256("cd" * 32))))
    assert other["serialNumber"] != read()["serialNumber"]


def test_it_is_of_the_bundle_and_names_each_work_in_it() -> None:
    said = read()
    assert said["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    named = {each["name"]: each for each in said["components"]}
    assert {each.component.name for each in MATERIALS.used} <= named.keys()
    assert named["cpp-httplib"]["purl"] == "pkg:github/yhirose/cpp-httplib@0.58.0"
    assert named["libc++"]["licenses"] == [{"expression": "Apache-2.0 WITH LLVM-exception"}]
    llama = named["llama.cpp"]
    assert llama["purl"] == "pkg:github/ggml-org/llama.cpp@b11312"
    assert llama["pedigree"]["commits"][0]["uid"] == RECIPE.source.commit.hex
    patches = [each["diff"]["text"]["content"] for each in llama["pedigree"]["patches"]]
    assert sorted(patches) == sorted(
        f"patches/{each.file} sha256:{each.sha256.hex}" for each in RECIPE.patches
    )
    root = next(each for each in said["dependencies"] if each["ref"] == MATERIALS.plan.name)
    assert len(root["dependsOn"]) == len(MATERIALS.used)


def test_packages_tools_and_models_have_their_digests() -> None:
    named = {each["name"]: each for each in read()["components"]}
    assert (named["name"]["purl"], named["name"]["hashes"][0]["content"]) == (
        "pkg:npm/%40scope/name@1.0.0",
        "00" * 64,
    )
    assert named["ziglang"]["scope"] == "excluded"
    assert named["ziglang"]["hashes"][0]["content"] == ZIG.hosts["linux-x86_64"][0].sha256.hex
    pocket = named["pocket"]
    assert (pocket["type"], len(pocket["components"])) == ("machine-learning-model", 2)
    assert all(file["hashes"] for file in pocket["components"])
