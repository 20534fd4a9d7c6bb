"""What is known of one build: where, when, how isolated. Kept beside the bundle, never in it.

The bundle's own build.json holds only what every build of the plan shares, or the bundle could not be
bit-identical. This record follows the in-toto Statement v1 with the SLSA Provenance v1 predicate
(https://slsa.dev/spec/v1.0/provenance), so that the usual tools can read it; it is not signed.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from recipes.core.filesystem import make_folders, open_to_write, read_no_link

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from recipes.build.compiled import Circumstances
    from recipes.build.plan.plan import Plan

BUILD_TYPE = "urn:pinned-llama:plan:1"


def statement(
    plan: Plan,
    output: str,
    circumstances: Circumstances,
    *,
    finished: datetime,
    permitted: Sequence[str] = (),
) -> dict[str, object]:
    """Return the provenance of a bundle as an in-toto statement.

    The circumstances are those of the compile, which may be older than the bundle: it was finished last.
    `permitted` are the grave findings that were permitted by name.
    """
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": plan.name, "digest": {"gitTree": output}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "recipe": plan.recipe,
                    "platform": plan.platform,
                    "permitted": list(permitted),
                },
                "internalParameters": {"planSha256": plan.digest.hex, "plan": plan.as_data()},
                "resolvedDependencies": [
                    {"name": "source", "digest": {"gitTree": plan.inputs.patched_tree.hex}},
                    {"name": "toolchain", "digest": {"sha256": plan.inputs.toolchain.digest.hex}},
                    *further_dependencies(plan),
                ],
            },
            "runDetails": {
                "builder": {"id": BUILD_TYPE, "version": dict(circumstances.tools)},
                "metadata": {
                    "startedOn": circumstances.started.isoformat(),
                    "finishedOn": finished.isoformat(),
                },
                "byproducts": [
                    {"name": "isolation", "content": circumstances.isolation},
                    {"name": "compiled", "content": circumstances.finished.isoformat()},
                    {"name": "jobs", "content": str(circumstances.jobs)},
                    {"name": "umask", "content": circumstances.umask},
                    {"name": "machine", "content": circumstances.machine},
                    {"name": "cores", "content": str(circumstances.cores)},
                ],
            },
        },
    }


def further_dependencies(plan: Plan) -> list[dict[str, object]]:
    """Return what only some builds read: a web page that is not in the source, and an SDK; by their tree digests."""
    parts = (("web page", plan.inputs.page), ("sdk", plan.inputs.sdk))
    return [{"name": name, "digest": {"gitTree": digest.hex}} for name, digest in parts if digest]


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


def write_statement(path: Path, content: dict[str, object]) -> None:
    """Write a statement as JSON that a person can read."""
    make_folders(path.parent)
    with os.fdopen(open_to_write(path), "wb") as file:
        file.write(json.dumps(content, indent=2, sort_keys=True).encode() + b"\n")
