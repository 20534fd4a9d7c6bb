"""The content-addressed store: entries and blobs appear whole or not at all; listing, garbage collection, fsck.

May import: core, manifest.
"""
