"""What is judged of a bill of materials: its format, that it is of this bundle, and that it is whole. Pure.

What must be in it is said by the bundle: its table of components, its files, and the plan in its record.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from recipes.build.components.licences import NPM, read_table
from recipes.core.filesystem import shown
from recipes.evidence.json_document import list_at, text_at, value_at
from recipes.evidence.judgement import Judgement, fails, judge
from recipes.evidence.sbom import PACKAGE, PROPERTY, WORK
from recipes.manifest.affected import LLAMA_CPP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recipes.evidence.material import Subject

DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
FORMAT, VERSIONS = "CycloneDX", ("1.6", "1.7")
BUILT = ("bin/", "lib/")  # what of a bundle was linked
NAMED = 5  # in a judgement


def judge_sbom(
    said: Mapping[str, object], subject: Subject, record: Mapping[str, object] | None
) -> Iterator[Judgement]:
    """Judge a CycloneDX document."""
    form, version = text_at(said, "bomFormat"), text_at(said, "specVersion")
    is_known = form == FORMAT and version in VERSIONS
    yield judge(
        "sbom: format", is_known, f"{FORMAT} {' or '.join(VERSIONS)}", f"{form} {version}".strip() or "none"
    )
    digests = digests_of_subject(said)
    found = ", ".join(digests)[:200] or "of no bundle"
    yield judge("sbom: bundle", subject.tree.hex in digests, f"of {subject.tree.hex}", found)
    yield _same(
        "sbom: components",
        components_of_bundle(subject.components),
        components_in(said),
        "each component of the bundle's table, in its version",
    )
    linked = {name for name in subject.files if name.startswith(BUILT)}
    yield _same("sbom: files", linked, _properties(said, "in"), "of what each built file was made")
    inputs = value_at(record, "plan", "inputs")
    yield _same(
        "sbom: source", source_of_plan(inputs), source_in(said), "the commit, the tree and each patch"
    )
    ways, tools = tools_of_plan(inputs), tools_in(said)
    yield judge(
        "sbom: toolchain",
        tools in ways,
        "the wheels of a machine that the plan names",
        f"{len(tools)} wheels" if tools in ways else f"others: {', '.join(sorted(tools))[:200] or 'none'}",
    )


def digests_of_subject(said: Mapping[str, object]) -> list[str]:
    """Return the digests of what a document is the bill of: hashes and properties of its metadata's component."""
    component = value_at(said, "metadata", "component")
    hashes = [text_at(each, "content") for each in list_at(component, "hashes")]
    values = [text_at(each, "value") for each in list_at(component, "properties")]
    return [each for text in (*hashes, *values) for each in DIGEST.findall(text)]


def components_of_bundle(table: bytes | None) -> set[str] | None:
    """Return what the table of a bundle lists, each with its version; None where there is no table."""
    try:
        rows = read_table(table or b"")
    except ValueError:
        return None
    return {
        f"{PACKAGE}{name.removeprefix(NPM)}@{version}"
        if name.startswith(NPM)
        else _work(name, "" if name == LLAMA_CPP else version)  # its own version is the build's number
        for name, version, _, _ in rows
    }


def components_in(said: Mapping[str, object]) -> set[str]:
    """Return what a bill says is in the bundle, in the same words."""
    found = set()
    for each in list_at(said, "components"):
        ref, name, version = text_at(each, "bom-ref"), text_at(each, "name"), text_at(each, "version")
        if ref.startswith(PACKAGE):
            group = text_at(each, "group")
            found.add(f"{PACKAGE}{group}/{name}@{version}" if group else f"{PACKAGE}{name}@{version}")
        elif ref.startswith(WORK):
            found.add(_work(name, "" if name == LLAMA_CPP else version))
    return found


def source_of_plan(inputs: object) -> set[str]:
    """Return what a plan says of the source: commit, tree, and each patch with its digest."""
    patches = (
        f"patches/{text_at(each, 'file')} sha256:{text_at(each, 'sha256')}"
        for each in list_at(inputs, "patches")
    )
    return {text_at(inputs, "commit"), text_at(inputs, "source_tree"), *patches}


def source_in(said: Mapping[str, object]) -> set[str]:
    """Return what a bill says of it: the pedigree of each component, and the tree."""
    found = _properties(said, "tree")
    for each in list_at(said, "components"):
        found |= {text_at(commit, "uid") for commit in list_at(each, "pedigree", "commits")}
        found |= {text_at(patch, "diff", "text", "content") for patch in list_at(each, "pedigree", "patches")}
    return found


def tools_of_plan(inputs: object) -> list[set[str]]:
    """Return the digests of the wheels of each machine that a plan's toolchain is pinned for."""
    hosts = value_at(inputs, "toolchain", "hosts")
    wheels = (value_at(each, "wheels") for each in hosts.values()) if isinstance(hosts, dict) else ()
    return [{str(digest) for digest in each.values()} for each in wheels if isinstance(each, dict)]


def tools_in(said: Mapping[str, object]) -> set[str]:
    """Return the digests of what a bill says built the bundle, and is not in it."""
    return {
        text_at(digest, "content")
        for each in list_at(said, "components")
        if text_at(each, "scope") == "excluded"
        for digest in list_at(each, "hashes")
    }


def _properties(said: Mapping[str, object], name: str) -> set[str]:
    return {
        text_at(each, "value")
        for component in list_at(said, "components")
        for each in list_at(component, "properties")
        if text_at(each, "name") == f"{PROPERTY}{name}"
    }


def _work(name: str, version: str) -> str:
    return f"{name} {version}".strip()


def _same(what: str, wanted: set[str] | None, found: set[str], expected: str) -> Judgement:
    if wanted is None:
        return fails(what, expected, "no table in the bundle to compare it with")
    lacks, more = (", ".join(sorted(each)[:NAMED]) for each in (wanted - found, found - wanted))
    words = [f"without {shown(lacks)}"] if lacks else []
    words += [f"with {shown(more)}, which the bundle does not name"] if more else []
    return judge(what, not words, expected, "; ".join(words) or f"all {len(wanted)}")
