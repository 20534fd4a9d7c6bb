"""The bundle: its layout, listing, and the comparison of two."""
