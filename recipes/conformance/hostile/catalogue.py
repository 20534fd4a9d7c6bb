"""All attacks by request, in the order in which they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.conformance.hostile import (
    address_attacks,
    chat_attacks,
    clip_attacks,
    connection_attacks,
    context_attacks,
    endpoint_attacks,
    field_attacks,
    flood_attacks,
    foreign_page,
    grammar_attacks,
    image_attacks,
    json_attacks,
    slot_attacks,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recipes.conformance.hostile.attack import Attack

SOURCES = (
    address_attacks,
    foreign_page,
    chat_attacks,
    context_attacks,
    image_attacks,
    clip_attacks,
    grammar_attacks,
    json_attacks,
    connection_attacks,
    field_attacks,
    endpoint_attacks,
    slot_attacks,
    flood_attacks,
)


def all_attacks() -> Iterator[Attack]:
    """Return every attack."""
    for source in SOURCES:
        yield from source.attacks()


def quick_attacks() -> Iterator[Attack]:
    """Return the attacks that conformance makes, in about a minute."""
    return (attack for attack in all_attacks() if attack.is_quick)
