"""The questions: scenes, images, prompts, and the golden answers of the reference.

May import: core, manifest, store, fetch, registry, patches, build.
"""
