"""Where the llama-server behind the door listens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Address:
    """Where a llama-server listens: a unix socket, or a port of loopback with a key that nobody else has."""

    socket: Path | None
    port: int = 0
    api_key: str = field(default="", repr=False)

    @property
    def base(self) -> str:
        """Its address as a URL; the name is one that it takes for its own."""
        return f"http://127.0.0.1:{self.port}" if self.socket is None else "http://localhost"
