"""PE files: what they contain, and what a bundle for Windows must not. Imports build/audit."""
