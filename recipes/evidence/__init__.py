"""What is said of a bundle beside it, and whether it holds: statements, envelopes, policy, judgements; VEX.

May import: core, manifest, store, fetch, registry, patches, build, evalset, models, serve, conformance.
"""
