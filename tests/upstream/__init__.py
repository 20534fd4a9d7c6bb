"""Upstream's own tests of llama-server, run with the pocket model: what counts is that no server crashes."""
