"""From pins to a bundle: plan, toolchain, compile, audit of what came out, bundle, provenance, reproduce.

May import: core, manifest, store, fetch, registry, patches.
"""
