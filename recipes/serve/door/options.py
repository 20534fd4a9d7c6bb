"""What a door lets in, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recipes.serve.door.treatment import BodyRules

if TYPE_CHECKING:
    from recipes.serve.door.admission import Admission

MEBI = 1 << 20
MOST_BODY = 64 * MEBI
MOST_CONNECTIONS = 256
HEADER_S = 10.0  # for a request's first lines; also how long a connection may idle
BODY_IDLE_S = 10.0  # between two pieces of a body
WORKING = 8  # requests that a server has at a time; the others wait at the door


@dataclass(frozen=True)
class DoorOptions:
    """Who is let in, what bodies may be, how many requests a server has at a time, and how models share the memory."""

    admission: Admission
    rules: BodyRules = field(default_factory=BodyRules)
    most_body: int = MOST_BODY
    body_idle_s: float = BODY_IDLE_S
    header_s: float = HEADER_S
    working: int = WORKING
    most_connections: int = MOST_CONNECTIONS
    one_at_a_time: bool = False  # not all models fit into memory: one is unloaded before another is loaded
