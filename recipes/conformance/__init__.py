"""Judges a llama.cpp, ours or a stranger's, by what it answers."""
