"""The command line: one module for a session, with its options, output and exit code.

May import: core, manifest, store, fetch, registry, patches, build, evalset, models, serve, conformance, evidence, lock.
"""
