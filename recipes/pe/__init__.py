"""PE files: what they ask for and show, and what a bundle of them may depart in."""
