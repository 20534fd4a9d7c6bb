"""Bytes from elsewhere, verified before they have a name: HTTP, downloads, archives, the origins of a source.

May import: core, manifest, store.
"""
