"""The types of a manifest, and the JSON Schema that is published of them.

The published schema is judged by a small validator here that knows the keywords it uses and no others, with
scalars read as an editor reads them: by YAML 1.2's core schema.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pytest
import yaml

from recipes.core.digest import Sha1, Sha256
from recipes.manifest.load import PROJECT, SCHEMAS, schema_text
from recipes.manifest.schema import ArchiveOrigin, Defaults, Recipe, Toolchain, Wheel, convert, json_schema
from tests.support import paths

if TYPE_CHECKING:
    from pathlib import Path

DATA = paths.DATA / "manifests"
T = TypeVar("T")
WHEEL = {"project": "ninja", "version": "1.10", "file": "ninja.whl", "size_bytes": "12", "sha256": "0a" * 32}
DEFAULTS = {"schema": "defaults/1", "recipe": "small", "platforms": {"linux-x86_64": "linux-x86_64-cpu"}}


def toolchain(**wheel: object) -> dict[str, object]:
    return {
        "schema": "toolchain/1",
        "name": "zig-1",
        "kind": "zig",
        "summary": "a compiler",
        "compiler": "Clang",
        "hosts": {"linux-x86_64": [{**WHEEL, **wheel}]},
    }


def test_a_digest_becomes_a_type_a_size_a_number_and_a_version_stays_text() -> None:
    wheel = convert(toolchain(), Toolchain).hosts["linux-x86_64"][0]
    assert (wheel.sha256, wheel.size_bytes, wheel.version) == (Sha256("0a" * 32), 12, "1.10")


def of_text(data: object, kind: type[T]) -> T:
    return msgspec.convert(data, kind, dec_hook=lambda inner, text: inner(text))


def test_a_commit_of_decimal_digits_stays_what_it_is() -> None:
    assert of_text("0123456789" * 4, Sha1).hex == "0123456789" * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0a"}, "a sha256 digest has 64 digits, this has 2"),
        ({"sha256": "0g" * 32}, "a sha256 digest has the digits 0-9 and a-f, this has 'g'"),
        ({"size_bytes": "0"}, "Expected `int` >= 1"),
        ({"size_bytes": str((1 << 40) + 1)}, f"Expected `int` <= {1 << 40}"),
        ({"size_bytes": "1.5"}, "Expected `int`, got `str`"),
        ({"project": "two words"}, "Expected `str` matching regex"),
        ({"sha265": "0a" * 32}, "Object contains unknown field `sha265`"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=re.escape(message)):
        convert(toolchain(**change), Toolchain)


@pytest.mark.parametrize("name", Wheel.__struct_fields__)
def test_nothing_of_a_wheel_may_be_left_out(name: str) -> None:
    wheel = {key: value for key, value in WHEEL.items() if key != name}
    data = toolchain()
    data["hosts"] = {"linux-x86_64": [wheel]}
    with pytest.raises(msgspec.ValidationError, match=f"missing required field `{name}`"):
        convert(data, Toolchain)


def subdirectory_of(path: str) -> str | None:
    data = {"kind": "archive", "url": "https://example.org/a", "sha256": "0a" * 32, "subdirectory": path}
    return of_text(data, ArchiveOrigin).subdirectory


@pytest.mark.parametrize("path", ["..", "../a", "a/..", "a/../b", "/a", "a\\b", "", "a\nb", "a\0b"])
def test_a_path_that_leaves_its_folder_is_refused(path: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        subdirectory_of(path)


@pytest.mark.parametrize("path", ["a", "a/b", ".git", "a..b/c", "..a/b..", "a b"])
def test_a_path_that_stays_in_its_folder_is_taken(path: str) -> None:
    assert subdirectory_of(path) == path


def test_a_manifest_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        convert(DEFAULTS, Defaults).recipe = "other"  # type: ignore[misc] # the point of the test


def test_two_readings_of_one_manifest_are_equal() -> None:
    assert convert(DEFAULTS, Defaults) == convert(json.loads(json.dumps(DEFAULTS)), Defaults)


# The published schema


class Core(yaml.SafeLoader):
    """Scalars as https://yaml.org/spec/1.2.2/#103-core-schema reads them, which editors do."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's shape


for tag, pattern, first in (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"(?:{pattern})\\Z"), list(first))

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
NOTES = {"$schema", "$defs", "title", "description", "default", "discriminator"}


def faults(data: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "$") -> list[str]:  # noqa: ANN401, C901, PLR0912 - one branch a keyword
    found = []
    for keyword, rule in schema.items():
        match keyword:
            case "$ref":
                found += faults(data, root["$defs"][rule.removeprefix("#/$defs/")], root, path)
            case "type":
                kinds = rule if isinstance(rule, list) else [rule]
                fits = any(isinstance(data, TYPES[kind]) for kind in kinds)
                if not fits or (isinstance(data, bool) and "boolean" not in kinds):
                    found.append(f"{path}: not {rule}")
            case "pattern":
                found += [f"{path}: {rule}"] if isinstance(data, str) and not re.search(rule, data) else []
            case "enum":
                found += [] if data in rule else [f"{path}: not one of {rule}"]
            case "minLength" | "minItems" | "minProperties":
                found += (
                    [f"{path}: too short"] if isinstance(data, str | list | dict) and len(data) < rule else []
                )
            case "minimum":
                found += [f"{path}: below {rule}"] if isinstance(data, int) and data < rule else []
            case "maximum":
                found += [f"{path}: above {rule}"] if isinstance(data, int) and data > rule else []
            case "anyOf":
                choices = [faults(data, choice, root, path) for choice in rule]
                nearest: list[str] = min(choices, key=len)
                found += nearest
            case "properties":
                for key, value in data.items() if isinstance(data, dict) else ():
                    found += faults(value, rule[key], root, f"{path}.{key}") if key in rule else []
            case "required":
                found += [f"{path}: no {key}" for key in rule if isinstance(data, dict) and key not in data]
            case "additionalProperties":
                extra = set(data) - set(schema.get("properties", ())) if isinstance(data, dict) else ()
                for key in sorted(extra):
                    at = f"{path}.{key}"
                    found += [f"{at}: unknown"] if rule is False else faults(data[key], rule, root, at)
            case "propertyNames":
                for key in data if isinstance(data, dict) else ():
                    found += faults(key, rule, root, f"{path}.{key}")
            case "items":
                for index, item in enumerate(data if isinstance(data, list) else ()):
                    found += faults(item, rule, root, f"{path}[{index}]")
            case _:
                assert keyword in NOTES, f"the validator does not know {keyword}"
    return found


def judge(text: str, kind: str) -> list[str]:
    schema = json.loads(schema_text(kind))
    return faults(yaml.load(text, Loader=Core), schema, schema)  # noqa: S506 - a SafeLoader


MANIFESTS = [
    *((path, "recipe") for path in sorted((PROJECT / "manifests/recipes").glob("*.yaml"))),
    *((path, "toolchain") for path in sorted((PROJECT / "manifests/toolchains").glob("*.yaml"))),
    (PROJECT / "manifests/defaults.yaml", "defaults"),
    (DATA / "project/manifests/recipes/small.yaml", "recipe"),
    (DATA / "project/manifests/toolchains/zig-1.yaml", "toolchain"),
]


@pytest.mark.parametrize(("path", "kind"), MANIFESTS, ids=[path.name for path, _ in MANIFESTS])
def test_an_editor_with_the_published_schema_accepts_a_valid_manifest(path: Path, kind: str) -> None:
    assert judge(path.read_text(), kind) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("summary: one", "sumary: one", "$.sumary: unknown"),
        ("name: small\n", "", "$: no name"),
        ("size_bytes: 3000", "size_bytes: lots", "$.source.origins[0].size_bytes: not integer"),
        ("size_bytes: 3000", "size_bytes: 0", "$.source.origins[0].size_bytes: below 1"),
        ("b2b2\n", "b2\n", "$.source.tree: ^[0-9a-f]{40}$"),
        ("BUILD_SHARED_LIBS: ON", "BUILD_SHARED_LIBS: [ON]", "$.cmake.BUILD_SHARED_LIBS: not ['string', "),
        ("targets: [server, bench]", "targets: []", "$.targets: too short"),
        ("schema: recipe/1", "schema: recipe/2", "$.schema: ^recipe/1$"),
    ],
)
def test_an_editor_with_the_published_schema_marks_a_mistake(old: str, new: str, fault: str) -> None:
    text = (DATA / "project/manifests/recipes/small.yaml").read_text()
    assert text.count(old) == 1
    found = judge(text.replace(old, new), "recipe")
    assert any(one.startswith(fault) for one in found), found


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_published_schema_says_what_it_is(kind: str) -> None:
    schema = json.loads(schema_text(kind))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$ref"] == f"#/$defs/{SCHEMAS[kind].__name__}"
    assert schema["$defs"][SCHEMAS[kind].__name__]["additionalProperties"] is False


def test_a_digest_is_published_as_text_of_hexadecimal_digits() -> None:
    source = json_schema(Recipe)["$defs"]["Source"]["properties"]
    assert (source["commit"]["type"], source["commit"]["pattern"]) == ("string", "^[0-9a-f]{40}$")
    assert (source["tree_sha256"]["type"], source["tree_sha256"]["pattern"]) == ("string", "^[0-9a-f]{64}$")
