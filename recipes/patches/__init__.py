"""Parses patches, applies them exactly, says how a patch fits another tree, applies a series to a tree.

May import: core, manifest, store, fetch, registry.
"""
