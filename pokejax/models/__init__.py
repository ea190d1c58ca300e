"""Flax NNX modules, and nothing else: no losses, no loops, no files."""
