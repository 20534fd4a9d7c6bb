"""What an image says of itself: its configuration and its manifest, by the OCI Image Specification 1.1. Pure."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from recipes.build.sharing.stages import CREATED
from recipes.registry.documents import MANIFEST_TYPE, Descriptor, Manifest, TargetPlatform, describe, encode
from recipes.serve.llamacpp.installation import SERVER
from recipes.serve.server_arguments import EVERY_SERVER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recipes.manifest.schema import ImageBase, ImagePackage
    from recipes.serve.container.layers import Layer

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
FOLDER = "opt/llama"  # where the bundle lies
PROGRAM = f"bin/{SERVER}"  # of the bundle
MODELS = "models"  # where a model lies, or is mounted
API_KEY = "/run/secrets/llama/api-key"
PORT = 8080
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - of the container, whose engine decides who reaches it
HOME = "/tmp"  # noqa: S108 - in the container; a writable one is for logs and caches alone
# where engines mount something: they cannot make these folders where the root is read-only
MOUNTED = ("dev", "proc", "sys", MODELS, API_KEY.strip("/").rpartition("/")[0])
USER_ID = 65532  # as others number a user who owns nothing
USERS = f"root:x:0:0::/:\nllama:x:{USER_ID}:{USER_ID}::/tmp:\n".encode()
GROUPS = f"root:x:0:\nllama:x:{USER_ID}:\n".encode()
HEALTH_INTERVAL_S, HEALTH_START_S = 30, 600
NANOSECONDS = 1_000_000_000


def image_title(recipe: str, platform: str, model: str | None) -> str:
    """Return what an image is called."""
    return f"{SERVER} {recipe} for {platform}" + (f" with {model}" if model else "")


def licences_of(bundle: str, packages: Sequence[ImagePackage]) -> str:
    """Return the licences of an image as SPDX writes them: the bundle's own, and those of the packages.

    >>> licences_of("MIT", ())
    'MIT'
    """
    others = (package.licence for package in packages if package.licence)
    return " AND ".join(dict.fromkeys((bundle, *others)))


def model_arguments(context: int, *, images: bool = True, alias: str | None = None) -> tuple[str, ...]:
    """Return the arguments that name a model in the folder of models, and bound the memory that it takes.

    The server's cache of earlier prompts, of 8 GiB if nothing is said, is off: how much memory a container has is not
    known here.

    >>> model_arguments(4096, images=False)
    ('-m', '/models/model.gguf', '-c', '4096', '--cache-ram', '0')
    """
    projector = ("--mmproj", f"/{MODELS}/mmproj.gguf") if images else ()
    named = ("--alias", alias) if alias else ()
    return ("-m", f"/{MODELS}/model.gguf", *projector, "-c", str(context), "--cache-ram", "0", *named)


def image_config(  # noqa: PLR0913 - what an image's configuration says
    target: TargetPlatform,
    layers: Sequence[Layer],
    labels: Mapping[str, str],
    base: ImageBase,
    *,
    environment: Mapping[str, str],
    arguments: Sequence[str],
) -> bytes:
    """Return an image's configuration.

    The program and what `serve` gives every server are its entry point; `arguments`, about the model, are its command,
    which whoever runs it may replace. It ends at once where no API key is mounted, as `serve` refuses an open address
    without one.
    `Healthcheck` is Docker's own, which engines of the specification alone ignore.
    """
    address = ("--host", ALL_ADDRESSES, "--port", str(PORT), "--api-key-file", API_KEY)
    config: dict[str, Any] = {
        "User": f"{USER_ID}:{USER_ID}",
        "ExposedPorts": {f"{PORT}/tcp": {}},
        "Env": [f"{name}={value}" for name, value in sorted({"HOME": HOME, **environment}.items())],
        "Entrypoint": [f"/{FOLDER}/{PROGRAM}", *address, *chain(*EVERY_SERVER)],
        "Cmd": list(arguments),
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
    created = labels[CREATED]
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
