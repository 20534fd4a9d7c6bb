"""Runs a llama-server with a model: memory, images, address, API key, start and end.

May import: core, manifest, store, fetch, registry, patches, build, evalset, models.
"""
