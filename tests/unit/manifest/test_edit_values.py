"""The text of a manifest: what an edit writes, what it refuses, and the canonical form."""

from __future__ import annotations

import pytest

from recipes.core.digest import Sha256
from recipes.core.errors import ManifestError
from recipes.manifest.edit_values import dump_canonical, replace_pins
from recipes.manifest.schema import Defaults, Toolchain, Wheel
from recipes.manifest.strict_yaml import Steps, read

TEXT = """\
# yaml-language-server: $schema=../schema/recipe.schema.json
name: small   # its file's name
source:
  tree: b2b2  # as upstream says
  version: "1.10"
  note: 'it''s'
  count: 12
  origins:
    # the first is tried first
    - kind: git
      url: https://example.org/a

    - {kind: archive, sha256: 00}
  reason: >-
    folded
    text
"""


@pytest.mark.parametrize(
    ("path", "value", "old", "new"),
    [
        (("name",), "large", "name: small   #", "name: large   #"),
        (("source", "tree"), "c3c3", "tree: b2b2  #", "tree: c3c3  #"),
        (("source", "tree"), "0123", "tree: b2b2  #", 'tree: "0123"  #'),
        (("source", "tree"), "true", "tree: b2b2  #", 'tree: "true"  #'),
        (("source", "tree"), "null", "tree: b2b2  #", 'tree: "null"  #'),
        (("source", "tree"), "", "tree: b2b2  #", 'tree: ""  #'),
        (("source", "tree"), "a: b # c", "tree: b2b2  #", 'tree: "a: b # c"  #'),
        (("source", "version"), "1.20", '"1.10"', '"1.20"'),
        (("source", "version"), 'a "b"', '"1.10"', '"a \\"b\\""'),
        (("source", "note"), "it isn't", "'it''s'", "'it isn''t'"),
        (("source", "note"), "one\ntwo", "'it''s'", '"one\\ntwo"'),
        (("source", "count"), "1300", "count: 12", "count: 1300"),
        (("source", "count"), "many", "count: 12", "count: many"),
        (("source", "origins", 0, "url"), "https://example.org/b", "org/a", "org/b"),
        (("source", "origins", 1, "sha256"), "01", "sha256: 00}", "sha256: 01}"),
        (("source", "origins", 1, "sha256"), "a, b", "sha256: 00}", 'sha256: "a, b"}'),
        (("source", "origins", 0, "size_bytes"), "12", "org/a\n", 'org/a\n      size_bytes: "12"\n'),
        (("source", "origins", 1, "file"), "a.gz", "sha256: 00}", "sha256: 00, file: a.gz}"),
        (("source", "epoch"), "soon", "count: 12\n", "count: 12\n  epoch: soon\n"),
        (("licence",), "MIT", "its file's name\n", "its file's name\nlicence: MIT\n"),
    ],
)
def test_one_scalar_is_changed_where_it_stands(path: Steps, value: str, old: str, new: str) -> None:
    assert TEXT.count(old) == 1
    assert replace_pins(TEXT, {path: value}) == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("text", "changes", "edited"),
    [
        (
            "a: 1\nb: {c: 2, d: 3}\n",
            {("b", "d"): "30", ("a",): "10", ("b", "c"): "20"},
            "a: 10\nb: {c: 20, d: 30}\n",
        ),
        ("a: u\n", {("b",): "v", ("a2",): "w", ("a",): "x"}, "a: x\nb: v\na2: w\n"),
        ("a: u", {("b",): "v"}, "a: u\nb: v"),
    ],
    ids=["several at once", "new keys in the order given", "no final line break"],
)
def test_scalars_are_changed_and_added(text: str, changes: dict[Steps, str], edited: str) -> None:
    assert replace_pins(text, changes) == edited


LINE = "is not a scalar within a line"


@pytest.mark.parametrize(
    ("path", "message", "text"),
    [
        (("source",), f"source {LINE}", TEXT),
        (("source", "origins"), f"source.origins {LINE}", TEXT),
        (("source", "origins", 1), rf"source.origins\[1\] {LINE}", TEXT),
        (("source", "reason"), f"source.reason {LINE}", TEXT),
        ((), f" {LINE}", TEXT),
        (("source", "origins", 2), r"no place for source.origins\[2\]", TEXT),
        (("absent", "key"), "no place for absent.key", TEXT),
        (("name", "key"), "no place for name.key", TEXT),
        (("a", "c"), r"no place for a\.c", "a:\n  b:\n    c: d\n"),
        (("a",), "no place for a", "just text\n"),
    ],
)
def test_what_is_no_place_for_a_scalar_is_refused(path: Steps, message: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"{message}$"):
        replace_pins(text, {path: "v"})


@pytest.mark.parametrize(
    ("text", "value", "word"), [(TEXT, "a\tb", "a tab"), ("a: 1\na: 2\n", "3", "each key once")]
)
def test_what_no_manifest_may_hold_is_refused(text: str, value: str, word: str) -> None:
    with pytest.raises(ManifestError, match=word):
        replace_pins(text, {("name",): value})


def test_the_canonical_form_has_the_schemas_order_and_no_defaults() -> None:
    wheel = Wheel(project="ninja", version="1.10", file="a.whl", size_bytes=12, sha256=Sha256("0a" * 32))
    toolchain = Toolchain(
        schema="toolchain/1",
        name="zig-1",
        kind="zig",
        summary="a compiler: small",
        compiler="Clang",
        hosts={"linux-x86_64": (wheel, wheel), "none": ()},
    )
    one = (
        '    - project: ninja\n      version: "1.10"\n      file: a.whl\n      size_bytes: 12\n'
        f"      sha256: {'0a' * 32}\n"
    )
    assert dump_canonical(toolchain) == (
        'schema: toolchain/1\nname: zig-1\nkind: zig\nsummary: "a compiler: small"\ncompiler: Clang\nhosts:\n'
        f"  linux-x86_64:\n{one}{one}  none: []\n"
    )


def test_an_empty_mapping_is_written_in_braces() -> None:
    text = dump_canonical(Defaults(schema="defaults/1", recipe="small", platforms={}))
    assert text == "schema: defaults/1\nrecipe: small\nplatforms: {}\n"
    assert read(text, "a.yaml").data == {"schema": "defaults/1", "recipe": "small", "platforms": {}}
