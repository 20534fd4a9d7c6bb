"""ELF files: what they contain, and what a bundle for Linux must not. Imports build/audit."""
