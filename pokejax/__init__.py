"""pokejax: a sentence in, 64x64 sprites of a new creature out."""

from pokejax.startup import explain_early_ends

explain_early_ends()  # before anything else is imported

from typing import TYPE_CHECKING, Any  # noqa: E402

if TYPE_CHECKING:
    from pokejax.inference.sampler import Sampler

    __version__: str
__all__ = ["Sampler", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("pokejax")
    # Loads JAX, which `pokejax.attributes` and the data commands do without.
    if name == "Sampler":
        from pokejax.inference.sampler import Sampler

        return Sampler
    raise AttributeError(f"module 'pokejax' has no attribute {name!r}")
