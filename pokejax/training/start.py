"""Beginning a run with the weights of a model that was trained before."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from pokejax.config import ConfigError
from pokejax.inference import bundle
from pokejax.inference.bundle import Header, named_leaves
from pokejax.training.step import TrainState

# A trained prior may learn of relatives, and a trained upsampler of details.
_MAY_BE_NEW = ("relative_in.", "relations.", "encoder.details.", "decoder.details.")


def started_from(path: Path, state: TrainState, header: Header) -> TrainState:
    """A new state with the weights of a bundle, where those of `state` lie.

    The optimiser starts anew, and so does a critic, which no bundle holds.

    Args:
      path: of the bundle.
      state: new.
      header: of the run.

    Raises:
      BundleError: no bundle, or a broken one.
      ConfigError: it holds another model than the one to be trained.
    """
    given = bundle.read(path)
    trained = given.prior if header.config.prior.base else given.model
    if trained is None:
        raise ConfigError(f"train.start_from is {str(path)!r}, which holds no prior")
    if given.header.encoder != header.encoder:
        raise ConfigError(
            f"train.start_from is {str(path)!r}, trained with text encoder"
            f" {given.header.encoder}; the config has {header.encoder}"
        )
    weights = dict(named_leaves(nnx.state(trained)))

    def begin(params: Any) -> Any:
        of_model = params["model"] if isinstance(params, dict) else params
        wanted = dict(named_leaves(of_model))
        new = {k: v for k, v in wanted.items() if k.startswith(_MAY_BE_NEW)}
        _check_shapes(path, new | weights, wanted)
        placed = [
            # A copy: steps give up their arguments, and nothing may be held twice.
            jax.device_put(
                jnp.array((new | weights)[name], old.dtype, copy=True), old.sharding
            )
            for name, old in wanted.items()
        ]
        placed = jax.tree.unflatten(jax.tree.structure(of_model), placed)
        return {**params, "model": placed} if isinstance(params, dict) else placed

    ema_params = None if state.ema_params is None else begin(state.ema_params)
    return state._replace(params=begin(state.params), ema_params=ema_params)


def _check_shapes(path: Path, given: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name in sorted(given.keys() | wanted.keys()):
        have, want = (
            tuple(leaves[name].shape) if name in leaves else "absent"
            for leaves in (given, wanted)
        )
        if have != want:
            raise ConfigError(
                f"train.start_from is {str(path)!r}, whose weight {name} is {have}; the"
                f" config makes it {want}"
            )
