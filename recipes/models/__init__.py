"""GGUF and the files of a model: fetch, verify, inspect, lint.

May import: core, manifest, store, fetch, registry, patches, build, evalset.
"""
