"""YAML to typed, checked pins, and edits of manifests that keep their comments.

May import: core.
"""
