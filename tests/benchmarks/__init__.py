"""Measurements against a peer or a physical limit in the same run: `python3 noxfile.py -s bench`."""
