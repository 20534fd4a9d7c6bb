"""The small model: training, export to GGUF, the reference in transformers, and fidelity against it.

Only here torch, transformers and tokenizers are needed (the dependency group `reference`). May import: core,
manifest, store, fetch, registry, patches, build, evalset, models, serve, conformance, evidence, lock, cli.
"""
