"""Mach-O files: what they ask for and show, their signatures, and what a bundle of them may depart in."""
