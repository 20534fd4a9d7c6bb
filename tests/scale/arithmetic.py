"""From assumptions and sizes to storage, egress, hits and what a bump costs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean


@dataclass(frozen=True)
class Assumptions:
    """What is assumed of a team; each is stated in the page.

    Parameters
    ----------
    jobs
        CI jobs a day; each needs one bundle.
    fresh
        Of them, those on a machine with an empty store.
    changed
        Of them, those whose pins nobody built before, as a pull request that changes a patch has them.
    bumps
        Of one recipe each, a week: all its platforms are built anew.
    releases
        Whose bundles `gc` keeps, besides those of the current pins.
    build_minutes
        That one bundle takes on one worker, runtime libraries made.
    """

    jobs: int = 1000
    platforms: int = 20
    recipes: int = 3
    fresh: float = 0.9
    changed: float = 0.02
    bumps: float = 1.0
    releases: int = 3
    build_minutes: float = 10.0
    workers: int = 8


@dataclass(frozen=True)
class Size:
    """A stage that was measured: as it lies in a store, as its layer is in a registry, and its documents."""

    kind: str
    name: str
    tree_bytes: int
    layer_bytes: int
    document_bytes: int = 0

    @property
    def shared_bytes(self) -> int:
        return self.layer_bytes + self.document_bytes


@dataclass(frozen=True)
class Cost:
    """What comes out; bytes, jobs and hours a day where nothing else is said."""

    stored_bytes: float
    pulled_bytes: float
    hits: float
    local: float
    built: float
    build_hours: float
    build_hours_alone: float
    bump_hours: float
    bump_wall_hours: float
    bump_sent_bytes: float
    bump_pulled_bytes: float
    bump_stored_bytes: float


def mean_bytes(sizes: tuple[Size, ...], kind: str) -> float:
    """Return what one stage of a kind is in a registry, on average; 0 where none was measured."""
    found = [size.shared_bytes for size in sizes if size.kind == kind]
    return mean(found) if found else 0.0


def cost(assumed: Assumptions, sizes: tuple[Size, ...]) -> Cost:
    """Compute it.

    1. A job is local where its machine has the bundle, else a hit, unless its pins are new: then it builds, once.
    2. The registry has each platform of each recipe of the current pins and of the releases that `gc` keeps, and the
       sources and pages of each.
    3. A bump builds all platforms of one recipe. Each worker takes its source and page, and as many machines as have a
       job of that recipe on a day, and had the old bundle, take the new one.
    """
    bundle = mean_bytes(sizes, "bundle")
    stages = mean_bytes(sizes, "source") + mean_bytes(sizes, "page")
    built = assumed.jobs * assumed.changed
    local = (assumed.jobs - built) * (1 - assumed.fresh)
    hits = assumed.jobs - built - local
    generations = 1 + assumed.releases
    of_recipe = assumed.platforms * bundle + stages
    hours = assumed.build_minutes / 60
    rounds = -(-assumed.platforms // assumed.workers)
    return Cost(
        stored_bytes=assumed.recipes * generations * of_recipe,
        pulled_bytes=hits * bundle,
        hits=hits,
        local=local,
        built=built,
        build_hours=built * hours,
        build_hours_alone=(assumed.jobs - local) * hours,
        bump_hours=assumed.platforms * hours,
        bump_wall_hours=rounds * hours,
        bump_sent_bytes=of_recipe,
        bump_pulled_bytes=assumed.workers * stages + local / assumed.recipes * bundle,
        bump_stored_bytes=of_recipe,
    )
