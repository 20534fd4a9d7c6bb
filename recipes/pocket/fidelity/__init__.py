"""How far llama.cpp is from transformers in fp32, on models of many shapes. Imports model and reference."""
