"""The content-addressed store: entries and blobs appear whole or not at all; listing, garbage collection, fsck.

Where the disk refuses, as for want of room or permission, all of it raises StoreError.
May import: core, manifest.
"""
