"""The pocket model: a tiny but real Qwen3-VL-MoE, drawn, trained, exported and judged by this package.

Only this package needs torch, transformers, Pillow, tokenizers and gguf (the dependency group `reference`).
"""
