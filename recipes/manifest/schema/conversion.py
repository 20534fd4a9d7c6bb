"""From plain data to the types, and from the types to the JSON Schema."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from recipes.core.digest import Digest
from recipes.manifest.schema.advisory import Advisory
from recipes.manifest.schema.component import Components
from recipes.manifest.schema.defaults import Defaults
from recipes.manifest.schema.image import ImageBase
from recipes.manifest.schema.model import Model
from recipes.manifest.schema.recipe import Recipe
from recipes.manifest.schema.toolchain import Toolchain

AnyManifest = Recipe | Toolchain | Components | Model | Defaults | Advisory | ImageBase
T = TypeVar("T", bound=Struct)


def convert(data: object, kind: type[T]) -> T:
    """Return the typed manifest that plain data (all scalars text) describes.

    Raises msgspec.ValidationError with the path of the first value that does not fit, as `... - at `$.source.tree``.
    """
    return msgspec.convert(data, kind, strict=False, dec_hook=_decode)


def json_schema(kind: type[Struct]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one kind of manifest, for editors and the reference page."""
    schema = msgspec.json.schema(kind, schema_hook=_schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _decode(kind: type, value: object) -> object:
    if issubclass(kind, Digest) and isinstance(value, str):
        return kind(value)
    raise NotImplementedError(kind)


def _schema(kind: type) -> dict[str, Any]:
    if issubclass(kind, Digest):
        return {"type": "string", "pattern": f"^[0-9a-f]{{{kind.length}}}$"}
    raise NotImplementedError(kind)
