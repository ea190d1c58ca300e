"""pokejax: a sentence in, 64x64 sprites of a new creature out."""

from importlib import metadata
from typing import TYPE_CHECKING, Any

from pokejax.startup import explain_early_ends

if TYPE_CHECKING:
    from pokejax.inference.sampler import Sampler

explain_early_ends()
__version__ = metadata.version("pokejax")
__all__ = ["Sampler", "__version__"]


def __getattr__(name: str) -> Any:
    # Loads JAX, which `pokejax.attributes` and the data commands do without.
    if name == "Sampler":
        from pokejax.inference.sampler import Sampler

        return Sampler
    raise AttributeError(f"module 'pokejax' has no attribute {name!r}")
