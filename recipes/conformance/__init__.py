"""Checks any llama.cpp with a small Qwen3-VL-MoE: the checks, their results, the report.

May import: core, manifest, store, fetch, registry, patches, build, evalset, models, serve.
"""
