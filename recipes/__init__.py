"""pinned-llama: manifests in, bit-identical llama.cpp bundles out.

One room, one job. A room imports only rooms that stand before it in `ROOMS`; tests/unit/repository/test_imports.py
holds this order, docs/explanation/architecture.md draws it.
"""

ROOMS = (
    "core",
    "manifest",
    "store",
    "fetch",
    "registry",
    "patches",
    "build",
    "evalset",
    "models",
    "serve",
    "conformance",
    "evidence",
    "lock",
    "cli",
    "pocket",
)
