"""The session `fullsize`: a pair of the real shape goes all the way from a bad server to an answer."""
