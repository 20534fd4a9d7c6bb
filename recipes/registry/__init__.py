"""A client of OCI registries: manifests, blobs, logins, referrers, and the trees that are shared through them.

May import: core, manifest, store, fetch.
"""
