"""How far llama.cpp's first tokens are from transformers' in fp32, over models and prompts of many shapes.

`nox -s fidelity` measures it; with `-- --write` it also writes docs/assets/fidelity.json and what is made of it.
"""
