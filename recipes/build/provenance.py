"""What is known of one build: of what, where, when, how isolated. Kept beside the bundle, never in it.

The bundle's own build.json holds only what every build of the plan shares, or the bundle could not be bit-identical.
This record is an in-toto Statement v1 with the SLSA Provenance v1 predicate (https://slsa.dev/spec/v1.0/provenance), so
that the usual tools can read it: it is read by in-toto's own types before it is written.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.evidence_files import PROVENANCE, evidence_folder
from recipes.core.digest import Sha256
from recipes.core.filesystem import make_folders, open_to_write, read_no_link

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from recipes.build.compiled import Circumstances
    from recipes.build.plan.plan import Plan
    from recipes.build.project_commit import ProjectCommit
    from recipes.manifest.schema import Wheel
    from recipes.store.store import Entry, Store

BUILD_TYPE = "urn:pinned-llama:plan:2"
BUILDER = "urn:pinned-llama:builder:2"
# in the record of a bundle's entry: the digest of its provenance, and where it was taken from if it was not built here
PROVENANCE_INPUT, TAKEN_INPUT = "provenance", "taken_from"


@dataclass(frozen=True)
class Occasion:
    """What of one build its plan does not say.

    `circumstances` are those of the compile, which may be older than the bundle: it was `finished` last. `wheels` are
    those of the machine that built, by toolchain; `permitted` the grave findings that were permitted by name.
    """

    circumstances: Circumstances
    finished: datetime
    project: ProjectCommit
    wheels: Mapping[str, Sequence[Wheel]]
    permitted: Sequence[str] = ()


def statement(plan: Plan, output: str, occasion: Occasion) -> dict[str, object]:
    """Return the provenance of a bundle as an in-toto statement; raises ValueError where in-toto's types refuse it."""
    compiled = occasion.circumstances
    byproducts = {
        "isolation": compiled.isolation,
        "compiled": _time(compiled.finished),
        "jobs": str(compiled.jobs),
        "umask": compiled.umask,
        "machine": compiled.machine,
        "cores": str(compiled.cores),
    }
    said: dict[str, object] = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": plan.name, "digest": {"gitTree": output}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters(plan, occasion.permitted),
                "internalParameters": {"planSha256": plan.digest.hex, "plan": plan.as_data()},
                "resolvedDependencies": dependencies(plan, occasion.wheels),
            },
            "runDetails": {
                "builder": {
                    "id": builder_id(plan, compiled),
                    "version": dict(compiled.tools),
                    "builderDependencies": [occasion.project.as_dependency()],
                },
                "metadata": {
                    "startedOn": _time(compiled.started),
                    "finishedOn": _time(occasion.finished),
                },
                # the content of a resource is bytes, which JSON holds as base64
                "byproducts": [
                    {"name": name, "content": base64.b64encode(text.encode()).decode()}
                    for name, text in byproducts.items()
                ],
            },
        },
    }
    check_statement(said)
    return said


def parameters(plan: Plan, permitted: Sequence[str]) -> dict[str, object]:
    """Return all that a user chose and that shapes the output; what is chosen of everything is an empty list."""
    cache = dict(plan.cache)
    architectures = cache.get("CMAKE_CUDA_ARCHITECTURES", "")
    return {
        "recipe": plan.recipe,
        "platform": plan.platform,
        "toolchain": plan.inputs.toolchain.name,
        "targets": [] if plan.whole else list(plan.compile[plan.compile.index("{build}") + 1 :]),
        "architectures": architectures.split(";") if architectures else [],
        "cmake": {name: cache[name] for name in plan.overridden},
        "permitted": list(permitted),
    }


def builder_id(plan: Plan, compiled: Circumstances) -> str:
    """Return which kind of builder it was: by a pinned compiler or the machine's own, isolated or not."""
    compiler = "pinned-compiler" if plan.hermetic else "host-compiler"
    return f"{BUILDER}:{compiler}:{'isolated' if compiled.isolated else 'not-isolated'}"


def dependencies(plan: Plan, wheels: Mapping[str, Sequence[Wheel]]) -> list[dict[str, object]]:
    """Return each pin that was read, with where it is from and its digest: source first, then patches and tools."""
    inputs = plan.inputs
    found: list[dict[str, object]] = [
        {
            "name": "source",
            "uri": f"git+{inputs.repository}@{inputs.commit.hex}",
            "digest": {"gitCommit": inputs.commit.hex, "gitTree": inputs.source_tree.hex},
        },
        {"name": "source, by SHA-256", "digest": {"gitTree": inputs.source_tree_sha256.hex}},
    ]
    found += [
        {"name": f"patches/{file}", "digest": {"sha256": digest.hex}} for file, digest in inputs.patches
    ]
    found += [
        {"name": "patched source", "digest": {"gitTree": inputs.patched_tree_sha256.hex}},
    ]
    for toolchain, files in wheels.items():
        found += [
            {
                "name": f"{toolchain}: {wheel.file}",
                "uri": f"pkg:pypi/{wheel.project}@{wheel.version}?file_name={wheel.file}",
                "digest": {"sha256": wheel.sha256.hex},
            }
            for wheel in files
        ]
    trees = {
        **{f"toolchain of {host}": tree for host, _, tree in inputs.toolchain.hosts},
        "web page": inputs.page,
        "sdk": inputs.sdk,
    }
    return found + [{"name": name, "digest": {"gitTree": tree.hex}} for name, tree in trees.items() if tree]


def check_statement(said: Mapping[str, object]) -> None:
    """Read a provenance by in-toto's own types; raises ValueError where they do not take it."""
    # some 40 ms to import, and only who builds needs them
    from google.protobuf.json_format import ParseDict, ParseError
    from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
    from in_toto_attestation.v1.statement import Statement
    from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage

    try:
        Statement.copy_from_pb(ParseDict(dict(said), StatementMessage())).validate()
        ParseDict(said["predicate"], Provenance())
    except (ParseError, LookupError) as error:
        raise ValueError(f"no in-toto statement with SLSA provenance: {error}") from error


def provenance_path(store: Store, plan: Plan) -> Path:
    """Return where the provenance of a plan's last build here is kept."""
    return evidence_folder(store, plan.bundle_key) / PROVENANCE


def encode(content: Mapping[str, object]) -> bytes:
    """Return a statement as JSON that a person can read."""
    return json.dumps(content, indent=2, sort_keys=True).encode() + b"\n"


def write_statement(path: Path, data: bytes) -> None:
    """Write a statement, in the place of one that is there."""
    make_folders(path.parent)
    with os.fdopen(open_to_write(path), "wb") as file:
        file.write(data)


def find_fault(store: Store, plan: Plan, bundle: Entry) -> str | None:
    """Return what is wrong with the provenance of a bundle, in words; None where it is the one written with it."""
    path = provenance_path(store, plan)
    recorded = bundle.inputs.get(PROVENANCE_INPUT)
    if recorded is None and TAKEN_INPUT in bundle.inputs:
        return None  # none came with it, which was said then
    try:
        found = str(Sha256.of_bytes(read_no_link(path)))
    except OSError:
        return f"there is none at {path}"
    if recorded == found:
        return None
    return f"{path} was changed since it was written with the bundle"


def recorded_tools(path: Path) -> dict[str, str]:
    """Return the versions of the machine's own tools that built a bundle; empty where none is recorded."""
    try:
        return dict(json.loads(read_no_link(path))["predicate"]["runDetails"]["builder"]["version"])
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def recorded_permissions(path: Path) -> tuple[str, ...]:
    """Return the grave findings that were permitted when a bundle was built; none where nothing is recorded."""
    try:
        external = json.loads(read_no_link(path))["predicate"]["buildDefinition"]["externalParameters"]
        return tuple(str(name) for name in external.get("permitted", ()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ()


def recorded_output(path: Path) -> str:
    """Return the tree digest of the bundle that a provenance is of; "" where none is recorded."""
    try:
        return output_of(read_no_link(path))
    except OSError:
        return ""


def output_of(provenance: bytes) -> str:
    """Return the tree digest of the bundle that a provenance is of; "" where it is none."""
    try:
        return str(json.loads(provenance)["subject"][0]["digest"]["gitTree"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


def _time(when: datetime) -> str:
    """Return a time in UTC as RFC 3339 and SLSA write it."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
