"""Mach-O files: what they contain, their signatures, and what a bundle for macOS must not. Imports build/audit."""
