"""What judges a bundle of a cache that nothing pins: the policy of the options, else of the settings; else nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.core.settings import CACHE_POLICY_VARIABLE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from recipes.build.plan.plan import Plan
    from recipes.core.settings import Settings
    from recipes.manifest.load import Manifests
    from recipes.registry.caches import Accept


Judges = tuple["Callable[[Plan], Accept] | None", "Callable[[str], Accept] | None"]


def find_acceptance(options: argparse.Namespace, settings: Settings, manifests: Manifests) -> Judges:
    """Return what judges a plan's bundle, and a stage by its key; None where no policy is named.

    Raises ManifestError where a policy cannot be read or would accept what nobody signed, and UsageError where a key is
    none.
    """
    named: Path | None = getattr(options, "accept_policy", None)
    default = manifests.defaults().cache_policy
    path = named or settings.cache_policy or (manifests.root / default if default else None)
    if path is None:
        return None, None
    # these load the libraries of signatures, which nobody else needs
    from recipes.cli.evidence_input import expectation, read_keys
    from recipes.evidence.acceptance import Acceptance, StageAcceptance, demand_signatures
    from recipes.manifest.policy import load_policy

    where = manifests.show(path) if named else f"{CACHE_POLICY_VARIABLE}, {manifests.show(path)}"
    policy, keys = (
        load_policy(path, manifests.show(path)),
        read_keys(getattr(options, "accept_key", None) or []),
    )
    demand_signatures(policy, keys, where)

    def accept(plan: Plan) -> Accept:
        expected = expectation(manifests, plan.record())
        assert not isinstance(expected, str)  # noqa: S101 - a plan is made of a recipe of these manifests
        return Acceptance(policy, keys, plan, expected)

    return accept, lambda stage: StageAcceptance(policy, keys, stage)
