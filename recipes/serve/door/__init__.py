"""The door of `serve`: who may ask llama-server, what, how much, and what becomes of an image on its way.

Imports nothing of `serve` but `llamacpp`: what stands in front of a server knows no model and no command line.
"""
