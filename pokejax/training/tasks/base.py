"""The trained CVAE over whose latents a prior is trained."""

from dataclasses import replace
from pathlib import Path

from pokejax.config import ConfigError
from pokejax.inference import bundle
from pokejax.inference.bundle import Header
from pokejax.models.cvae import CVAE


def load_base(header: Header) -> CVAE:
    """The CVAE in `config.prior.base`.

    Raises:
      BundleError: a broken bundle.
      ConfigError: no such bundle, or the config describes another CVAE than it holds.
    """
    path = Path(header.config.prior.base)
    if not path.is_file():
        raise ConfigError(
            f"prior.base is {str(path)!r}, but there is no bundle there; train the CVAE"
            " first, e.g. --config thumbnail64"
        )
    base = bundle.read(path)
    # The prior may be trained in another precision.
    model = replace(
        base.header.config.model, compute_dtype=header.config.model.compute_dtype
    )
    pairs = {
        "data.image_size": (
            base.header.config.data.image_size,
            header.config.data.image_size,
        ),
        "model": (model, header.config.model),
        "the text encoder": (base.header.encoder, header.encoder),
    }
    for name, (have, want) in pairs.items():
        if have != want:
            raise ConfigError(
                f"{path} was trained with {name} = {have}; the config has {want}"
            )
    return base.model
