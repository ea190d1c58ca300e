"""TFDS's `pokemon_cifar`: importing this package registers the builder."""

# Relative, because `tfds build` imports this folder by itself as `pokemon_cifar`, and
# a builder that is imported by two names can't be registered twice.
from .pokemon_cifar_dataset_builder import Builder

__all__ = ["Builder"]
