"""How tags are named: what this project writes into a repository, and knows again there. Pure.

A tag begins with a word that says what it names; an index of a recipe alone has the recipe's own name. So each tag has
one reading, and what it names has to fit that: else somebody else wrote it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from recipes.registry.reference import tag_of

if TYPE_CHECKING:
    from recipes.core.digest import Sha256

WORKER_DIGITS = 16
SHORT_DIGITS = 32


class Kind(Enum):
    """What a tag names; the value is the word that it begins with."""

    PLAN = "plan"  # the bundle of a plan
    TREE = "tree"  # one of the bundles that came out of a plan which pins none
    SOURCE = "source"
    PAGE = "page"
    RUNTIME = "runtime"
    IMAGE = "image"  # a container image, or an index of some
    RECIPE = ""  # an index of bundles
    REFERRERS = "sha256"  # an index of what refers to a manifest
    CLAIM = "claim"


_DIGEST = "[0-9a-f]{64}"
_SHAPES = {
    Kind.PLAN: f"({_DIGEST})",
    Kind.TREE: f"(plan-{_DIGEST})-([0-9a-f]{{{SHORT_DIGITS}}})",
    Kind.SOURCE: f"({_DIGEST})",
    Kind.PAGE: f"({_DIGEST})",
    Kind.RUNTIME: f"([A-Za-z0-9_]+)-([0-9a-f]{{{SHORT_DIGITS}}})",
    Kind.IMAGE: "(.+)",
    Kind.REFERRERS: f"({_DIGEST})",
    Kind.CLAIM: f"(.+)-([0-9a-f]{{{WORKER_DIGITS}}})",
}
_PATTERNS = {kind: re.compile(f"{kind.value}-{shape}") for kind, shape in _SHAPES.items()}


@dataclass(frozen=True)
class Name:
    """A tag, read: its kind, and the words after that. Of a claim and of a bundle by tree, the first is a tag too."""

    kind: Kind
    words: tuple[str, ...]

    def __str__(self) -> str:
        return "-".join(filter(None, (self.kind.value, *self.words)))

    @property
    def stage(self) -> str:
        """The tag of the stage that it is about: its own, or the one of which it says something."""
        return self.words[0] if self.kind in {Kind.CLAIM, Kind.TREE} else str(self)


def parse_tag(tag: str) -> Name:
    """Read any tag; one without a word of ours, or with another shape, could be a recipe's own name alone.

    >>> parse_tag("claim-plan-0a-0123456789abcdef").words
    ('plan-0a', '0123456789abcdef')
    >>> parse_tag("plan-0a").kind
    <Kind.RECIPE: ''>
    """
    for kind, pattern in _PATTERNS.items():
        if found := pattern.fullmatch(tag):
            return Name(kind, found.groups())
    return Name(Kind.RECIPE, (tag,))


def plan_tag(plan: Sha256) -> str:
    """Return the tag that names a plan's bundle in every registry."""
    return str(Name(Kind.PLAN, (plan.hex,)))


def tree_tag(tag: str, tree: str) -> str:
    """Return the tag that says which tree came out of what a tag names: as many as different ones came out.

    >>> tree_tag("plan-0a", "ab" * 32)
    'tree-plan-0a-abababababababababababababababab'
    """
    return f"{Kind.TREE.value}-{tag}-{tree[:SHORT_DIGITS]}"


def stage_tag(kind: str, tree: Sha256) -> str:
    """Return the tag that names a stage in every registry: a source or a page, by the digest of its tree."""
    return str(Name(Kind(kind), (tree.hex,)))


def runtime_tag(machine: str, made_by: Sha256) -> str:
    """Return the tag of the runtime libraries for a machine, by the digest of all that they are made by."""
    return str(Name(Kind.RUNTIME, (machine, made_by.hex[:SHORT_DIGITS])))


def recipe_tag(recipe: str) -> str:
    """Return the tag of the index of a recipe's bundles."""
    return tag_of(recipe)


def image_tag(name: str) -> str:
    """Return the tag of the index of images of a name, where bundles lie in the same repository."""
    return tag_of(Kind.IMAGE.value, name)


def platform_tag(tag: str, platform: str) -> str:
    """Return the tag of the image for one platform, beside the index of all."""
    return tag_of(tag, platform)


def is_image_of(tag: str, recipe: str, platform: str) -> bool:
    """Whether a tag can be that of an image of a recipe's bundle for a platform, with or without a model in it.

    >>> is_image_of("image-b1-pocket-linux", "b1", "linux"), is_image_of("image-b1-linux", "b2", "linux")
    (True, False)
    """
    return tag.startswith(f"{image_tag(recipe)}-") and tag.endswith(f"-{tag_of(platform)}")


def claim_tag(stage: str, worker: str) -> str:
    """Return the tag of a worker's claim on a stage; a stage is named by the tag that it is published under."""
    return str(Name(Kind.CLAIM, (stage, worker)))


def fallback_tag(subject: Sha256) -> str:
    """Return the tag whose index names what refers to a manifest, in registries without an API for that."""
    return str(Name(Kind.REFERRERS, (subject.hex,)))
