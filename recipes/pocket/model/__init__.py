"""The model: architecture, tokenizer, image preprocessing, GGUF files in and out."""
