"""Reads type, shape and size off a picture: a small classifier of real pictures.

Multinomial logistic regression on the `layout` features of real training pictures,
every class weighing the same. It is no oracle: its score on real pictures of species
that it never saw is the ceiling that drawn pictures are held against.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from pokejax.attributes import UNKNOWN_ID, VOCABULARIES

# Colours are measured on pixels instead, by the rule that labels them.
JUDGED = ("type1", "shape", "size")
VERSION = 1  # changes whenever the same pictures would give another judge
# Chosen on the validation split among 0.001, 0.01 and 0.1.
_WEIGHT_DECAY = 0.1
_STEPS = 40


@dataclass(frozen=True)
class Judge:
    """The fitted classifier.

    Attributes:
      shift: `q`; the training features' mean.
      scale: `q`; one over their standard deviation.
      kernel: `q k`; the classes of all judged attributes side by side.
      bias: `k`.
    """

    shift: Float[np.ndarray, " q"]
    scale: Float[np.ndarray, " q"]
    kernel: Float[np.ndarray, "q k"]
    bias: Float[np.ndarray, " k"]

    def read(
        self, layout: Float[np.ndarray, "n q"], names: tuple[str, ...] = JUDGED
    ) -> dict[str, np.ndarray]:
        """The likeliest id of each judged attribute; `n` int32 each.

        `names` are those that it was fitted to.
        """
        scores = (layout - self.shift) * self.scale @ self.kernel + self.bias
        ends = np.cumsum([len(VOCABULARIES[name]) for name in names])[:-1]
        return {
            name: part.argmax(axis=1).astype(np.int32)
            for name, part in zip(names, np.split(scores, ends, axis=1), strict=True)
        }


def fit(
    layout: Float[np.ndarray, "n q"],
    attributes: Int[np.ndarray, "n 12"],
    names: tuple[str, ...] = JUDGED,
) -> Judge:
    """Fit a judge. It starts from zero and sees all pictures at once: no seed.

    Args:
      layout: features of pictures (`features.Features.layout`).
      attributes: their ids in `CONDITIONS` order; unknown ones don't count.
      names: of the attributes to judge.
    """
    shift, deviation = layout.mean(0), layout.std(0)
    scale = 1 / np.maximum(deviation, 1e-6)
    columns = [list(VOCABULARIES).index(name) for name in names]
    weights = np.stack([_balance(attributes[:, column]) for column in columns], axis=1)
    sizes = tuple(len(VOCABULARIES[name]) for name in names)
    x = (layout - shift) * scale
    kernel, bias = _minimise(x, attributes[:, columns], weights, sizes)
    return Judge(shift, scale, np.asarray(kernel), np.asarray(bias))


def _balance(ids: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Weights that make classes equal: their mean is 1, an unknown label's is 0."""
    known = ids != UNKNOWN_ID
    counts = np.bincount(ids[known], minlength=1)
    weights = np.where(known, 1 / np.maximum(counts[np.maximum(ids, 0)], 1), 0.0)
    return (weights / max(weights.mean(), 1e-12)).astype(np.float32)


@partial(jax.jit, static_argnames="sizes")
def _minimise(
    x: Float[Array, "n q"],
    labels: Int[Array, "n j"],
    weights: Float[Array, "n j"],
    sizes: tuple[int, ...],
) -> tuple[Float[Array, "q k"], Float[Array, " k"]]:
    """Kernel and bias, by forty steps of L-BFGS from zero."""
    ends = np.cumsum(sizes)[:-1]

    def loss(params: tuple[Array, Array]) -> Array:
        kernel, bias = params
        scores = x @ kernel + bias.reshape(1, -1)
        total = _WEIGHT_DECAY * jnp.sum(kernel**2)
        for i, part in enumerate(jnp.split(scores, ends, axis=1)):
            each = optax.softmax_cross_entropy_with_integer_labels(
                part, jnp.maximum(labels[:, i], 0)
            )
            total += jnp.mean(weights[:, i] * each)
        return total

    optimizer = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    def step(_, carry):
        params, state = carry
        value, grads = value_and_grad(params, state=state)
        updates, state = optimizer.update(
            grads, state, params, value=value, grad=grads, value_fn=loss
        )
        return optax.apply_updates(params, updates), state

    start = jnp.zeros((x.shape[1], sum(sizes))), jnp.zeros(sum(sizes))
    return jax.lax.fori_loop(0, _STEPS, step, (start, optimizer.init(start)))[0]
