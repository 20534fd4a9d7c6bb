"""Proposes new pins: of a recipe from a newer source, of a model from the hub.

May import: core, manifest, store, fetch, registry, patches, build, evalset, models, serve, conformance, evidence.
"""
