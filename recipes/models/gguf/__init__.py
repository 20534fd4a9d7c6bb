"""The GGUF format: reader, lint, tensor shapes, rewriting."""
