"""Training the picker of a model: real pictures against the model's own drawings."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, UInt8
from tqdm import tqdm

from pokejax.attributes import CONDITIONS, UNKNOWN_ID
from pokejax.images.pixels import to_float
from pokejax.models.picker import READ, Picker

_BATCH = 128
_LEARNING_RATE, _WEIGHT_DECAY = 1e-3, 0.05
_SHIFT = 3  # pixels at most, each way
_HELD_BACK = 8  # every so many-th picture is only tested on


class Shown(NamedTuple):
    """Pictures to learn from.

    Attributes:
      images: `n h w 3`, RGB on white.
      attributes: `n 12`, what they show; all unknown for drawings.
    """

    images: UInt8[np.ndarray, "n h w 3"]
    attributes: Int[np.ndarray, "n 12"]


def fit(
    real: Shown, drawn: UInt8[np.ndarray, "m h w 3"], *, epochs: int, seed: int
) -> tuple[Picker, dict[str, float]]:
    """A picker, and how often it is right about pictures that were held back.

    Args:
      real: labelled pictures.
      drawn: a model's pictures, about as many as there are real ones.
      epochs: how often each picture is seen, 1 or more.
      seed: of the first weights, the order and the shifts.

    Returns:
      The picker; and its accuracy by name, `"real"` for telling drawings from real
      pictures, the others for what real ones show.
    """
    images = np.concatenate([real.images, drawn])
    unknown = np.full((len(drawn), len(CONDITIONS)), UNKNOWN_ID, np.int32)
    attributes = np.concatenate([real.attributes, unknown])
    is_real = np.arange(len(images)) < len(real.images)
    held_back = np.arange(len(images)) % _HELD_BACK == 0
    rows, rng = np.flatnonzero(~held_back), np.random.default_rng(seed)
    graphdef, params = nnx.split(Picker(images.shape[1], rngs=nnx.Rngs(seed)))
    batch = min(_BATCH, len(rows))
    steps = epochs * (len(rows) // batch)
    optimizer = optax.adamw(
        optax.cosine_decay_schedule(_LEARNING_RATE, steps),
        weight_decay=_WEIGHT_DECAY,
    )
    state = optimizer.init(params)
    step = _step(graphdef, optimizer)
    with tqdm(total=steps, desc="training the picker", unit="step") as bar:
        for _ in range(epochs):
            order = rng.permutation(rows)
            for start in range(0, len(order) - batch + 1, batch):
                some = order[start : start + batch]
                moved = _moved(images[some], rng)
                params, state = step(
                    params, state, moved, attributes[some], is_real[some]
                )
                bar.update()
    picker = nnx.merge(graphdef, params)
    test = np.flatnonzero(held_back)
    return picker, _accuracy(picker, images[test], attributes[test], is_real[test])


def _moved(
    images: UInt8[np.ndarray, "b h w 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "b h w 3"]:
    """The pictures, each mirrored or not, and all shifted by as much."""
    mirrored = rng.random(len(images)) < 0.5
    images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    margin = [(_SHIFT, _SHIFT)] * 2
    wide = np.pad(images, ((0, 0), *margin, (0, 0)), constant_values=255)
    top, left = rng.integers(0, 2 * _SHIFT + 1, 2)
    return wide[:, top:, left:][:, : images.shape[1], : images.shape[2]]


def _step(graphdef: nnx.GraphDef, optimizer) -> Callable[..., tuple]:
    def loss(params, images, attributes, is_real) -> Array:
        real, shows = nnx.merge(graphdef, params)(to_float(images))
        total = optax.sigmoid_binary_cross_entropy(real, is_real.astype(real.dtype))
        for name, logits in shows.items():
            ids = attributes[:, list(CONDITIONS).index(name)]
            each = optax.softmax_cross_entropy_with_integer_labels(
                logits, jnp.maximum(ids, 0)
            )
            total += jnp.where(ids == UNKNOWN_ID, 0, each)
        return total.mean()

    @jax.jit
    def step(params, state, images, attributes, is_real):
        gradients = jax.grad(loss)(params, images, attributes, is_real)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    return step


def _accuracy(
    picker: Picker,
    images: UInt8[np.ndarray, "n h w 3"],
    attributes: Int[np.ndarray, "n 12"],
    is_real: np.ndarray,
) -> dict[str, float]:
    graphdef, params = nnx.split(picker)
    read = jax.jit(lambda params, x: nnx.merge(graphdef, params)(to_float(x)))
    real: list[Float[np.ndarray, " b"]] = []
    shown: dict[str, list[np.ndarray]] = {name: [] for name in READ}
    for start in range(0, len(images), _BATCH):
        rows = np.minimum(np.arange(start, start + _BATCH), len(images) - 1)
        logits, shows = read(params, images[rows])
        count = min(_BATCH, len(images) - start)
        real.append(np.asarray(logits)[:count])
        for name, each in shows.items():
            shown[name].append(np.asarray(each)[:count].argmax(1))
    right = {"real": float(((np.concatenate(real) > 0) == is_real).mean())}
    for name, seen in shown.items():
        ids = attributes[:, list(CONDITIONS).index(name)]
        known = ids != UNKNOWN_ID
        if known.any():
            right[name] = float((np.concatenate(seen)[known] == ids[known]).mean())
    return right
