"""What an image says of itself: its configuration and its manifest, by the OCI Image Specification 1.1. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from recipes.registry.documents import MANIFEST_TYPE, Descriptor, Manifest, TargetPlatform, describe, encode
from recipes.serve.server_arguments import THREADS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recipes.manifest.schema import ImageBase
    from recipes.serve.container.layers import Layer

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
FOLDER = "opt/llama"  # where the bundle lies
MODELS = "models"  # where a model lies, or is mounted
API_KEY = "/run/secrets/llama/api-key"
PORT = 8080
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - of the container, whose engine decides who reaches it
HOME = "/tmp"  # noqa: S108 - in the container; a writable one is for logs and caches alone
USER_ID = 65532  # as others number a user who owns nothing
USERS = f"root:x:0:0::/:\nllama:x:{USER_ID}:{USER_ID}::/tmp:\n".encode()
GROUPS = f"root:x:0:\nllama:x:{USER_ID}:\n".encode()
HEALTH_INTERVAL_S, HEALTH_START_S = 30, 600
NANOSECONDS = 1_000_000_000


def image_config(
    target: TargetPlatform,
    layers: Sequence[Layer],
    labels: Mapping[str, str],
    base: ImageBase,
    environment: Mapping[str, str],
) -> bytes:
    """Return an image's configuration.

    The program and what `serve` gives every server are its entry point; the model's files are its command, which
    whoever runs it may replace. It ends at once where no API key is mounted, as `serve` refuses an open address without
    one.
    `Healthcheck` is Docker's own, which engines of the specification alone ignore.
    """
    program = f"/{FOLDER}/bin/llama-server"
    served = ("--offline", "--no-warmup", "--jinja", "--threads-http", str(THREADS))
    config: dict[str, Any] = {
        "User": f"{USER_ID}:{USER_ID}",
        "ExposedPorts": {f"{PORT}/tcp": {}},
        "Env": [f"{name}={value}" for name, value in sorted({"HOME": HOME, **environment}.items())],
        "Entrypoint": [
            program,
            "--host",
            ALL_ADDRESSES,
            "--port",
            str(PORT),
            *served,
            "--api-key-file",
            API_KEY,
        ],
        "Cmd": ["-m", f"/{MODELS}/model.gguf", "--mmproj", f"/{MODELS}/mmproj.gguf"],
        "WorkingDir": "/",
        "Labels": dict(sorted(labels.items())),
        "StopSignal": "SIGTERM",
    }
    if base.health:
        config["Healthcheck"] = {
            "Test": ["CMD", *base.health],
            "Interval": HEALTH_INTERVAL_S * NANOSECONDS,
            "StartPeriod": HEALTH_START_S * NANOSECONDS,
        }
    created = labels["org.opencontainers.image.created"]
    return msgspec.json.encode(
        {
            "created": created,
            "architecture": target.architecture,
            "os": target.os,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [str(layer.sha256) for layer in layers]},
            "history": [{"created": created, "created_by": "pinned-llama image"} for _ in layers],
        },
        order="deterministic",
    )


def image_manifest(config: bytes, layers: Sequence[Layer], annotations: Mapping[str, str]) -> bytes:
    """Return an image's manifest."""
    return encode(
        Manifest(
            schema_version=2,
            media_type=MANIFEST_TYPE,
            config=describe(config, CONFIG_TYPE),
            layers=tuple(
                Descriptor(media_type=LAYER_TYPE, digest=str(layer.sha256), size=layer.size_bytes)
                for layer in layers
            ),
            annotations=dict(annotations),
        )
    )


def day_text(time_s: int) -> str:
    """Return a time as images write it."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
