"""Stages of a build that are shared through registries."""
