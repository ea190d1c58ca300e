"""A learned prior p(z | text, attributes): rectified flow with a small transformer.

The latents of real pictures don't fill N(0, I), so decoded noise is a blur. The flow
learns the velocity that carries noise (time 0) to latents (time 1) in straight lines,
under the CVAE's condition, and sampling follows it in a few steps, each of which looks
back at the one before (Adams and Bashforth's second order). z is cut into square
patches, one token each; a z without places is a single token.

A prior may also look at the picture of a relative, of which the one to be drawn is the
back, say. Its z enters beside the noise, token by token, so it costs next to nothing;
what the relation is joins the condition.

Source: Liu et al., arXiv 2209.03003 (flow); Peebles & Xie, arXiv 2212.09748 (blocks);
Ho & Salimans, arXiv 2207.12598 (guidance); Liu et al., arXiv 2206.01714 (of parts).
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from pokejax.attributes import CONDITIONS, RELATIONS, UNKNOWN_ID
from pokejax.config import ModelConfig, PriorConfig
from pokejax.models.cvae import DRAWN_EMBEDDING_DIMS, CategoryEmbedder

TIME_FREQUENCIES = 64
# A picture's color is settled before this time.
COLOR_TIME = 0.3


class Block(nnx.Module):
    """Attention and MLP over the tokens, shifted, scaled and gated by the condition."""

    def __init__(self, width: int, heads: int, dot_general, *, rngs: nnx.Rngs):
        linear = partial(nnx.Linear, dot_general=dot_general, rngs=rngs)
        self.heads = heads
        self.norm1 = nnx.LayerNorm(width, use_bias=False, use_scale=False, rngs=rngs)
        self.qkv = linear(width, 3 * width)
        self.out = linear(width, width)
        self.norm2 = nnx.LayerNorm(width, use_bias=False, use_scale=False, rngs=rngs)
        self.up = linear(width, 4 * width)
        self.down = linear(4 * width, width)
        # Added to the modulation that all blocks share.
        self.modulation = nnx.Param(jnp.zeros((6, width)))

    def __call__(
        self, x: Float[Array, "b n d"], modulation: Float[Array, "b 6 d"]
    ) -> Float[Array, "b n d"]:
        """One round of mixing."""
        changes = modulation + self.modulation[...][None]
        shift1, scale1, gate1, shift2, scale2, gate2 = (
            changes[:, i, None] for i in range(6)
        )
        y = self.norm1(x) * (1 + scale1) + shift1
        b, n, d = y.shape
        # XLA's CPU backend multiplies flat rows faster than batches of them.
        q, k, v = jnp.moveaxis(
            self.qkv(y.reshape(-1, d)).reshape(b, n, 3, self.heads, d // self.heads),
            2,
            0,
        )
        mixed = jax.nn.dot_product_attention(q, k, v).reshape(-1, d)
        x = x + gate1 * self.out(mixed).reshape(x.shape)
        y = self.norm2(x) * (1 + scale2) + shift2
        y = self.down(nnx.gelu(self.up(y.reshape(-1, d))))
        return x + gate2 * y.reshape(x.shape)


class Prior(nnx.Module):
    """The velocity field, and the statistics that make latents unit-sized."""

    def __init__(
        self,
        config: PriorConfig,
        model: ModelConfig,
        *,
        image_size: int,
        text_dim: int,
        rngs: nnx.Rngs,
        dot_general: Callable[..., Array] = jax.lax.dot_general,
    ):
        """Make the transformer.

        Args:
          config: its sizes.
          model: of the CVAE whose latents it draws.
          image_size: of that CVAE.
          text_dim: length of a text embedding.
          rngs: stream `params`.
          dot_general: multiplies the blocks' matrices.
        """
        width = config.width
        self.side, self.patch = 1, 1
        if model.latent != "vector":
            self.side, self.patch = model.latent_side(image_size), config.patch
        tokens = (self.side // self.patch) ** 2
        features = model.latent_dim // tokens
        channels = model.latent_dim // self.side**2
        # Statistics of real latents, set once before training and never trained.
        self.shift = nnx.Param(jnp.zeros(channels))
        self.scale = nnx.Param(jnp.ones(channels))
        self.category_embedder = CategoryEmbedder(DRAWN_EMBEDDING_DIMS, rngs=rngs)
        self.text_in = nnx.Linear(
            text_dim + sum(DRAWN_EMBEDDING_DIMS.values()), width, rngs=rngs
        )
        self.time_in = nnx.Linear(2 * TIME_FREQUENCIES, width, rngs=rngs)
        self.condition = nnx.Linear(width, width, rngs=rngs)
        self.modulation = nnx.Linear(
            width, 6 * width, kernel_init=nnx.initializers.normal(0.002), rngs=rngs
        )
        self.token_in = nnx.Linear(features, width, rngs=rngs)
        init = nnx.initializers.normal(0.02)
        self.positions = nnx.Param(init(rngs.params(), (tokens, width)))
        self.blocks = nnx.List(
            Block(width, config.heads, dot_general, rngs=rngs)
            for _ in range(config.depth)
        )
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.token_out = nnx.Linear(
            width, features, kernel_init=nnx.initializers.zeros, rngs=rngs
        )
        if config.relative_prob:
            # Zeros, so that it begins as what it was without relatives.
            zeros = nnx.initializers.zeros
            self.relative_in = nnx.Linear(
                features, width, use_bias=False, kernel_init=zeros, rngs=rngs
            )
            self.relations = nnx.Embed(
                len(RELATIONS), width, embedding_init=zeros, rngs=rngs
            )

    def embed(
        self,
        text_emb: Float[Array, "b t"],
        attributes: Int[Array, "b 12"],
        kept: Float[Array, "b 12"] | None = None,
    ) -> Float[Array, "b d"]:
        """The condition as the flow takes it; of zeros and unknowns, the open one.

        `kept` is how much of each attribute counts; None is all of it.
        """
        category_emb = self.category_embedder(attributes, kept).astype(text_emb.dtype)
        return self.text_in(jnp.concatenate([text_emb, category_emb], axis=-1))

    def embed_color(
        self, text_emb: Float[Array, "b t"], attributes: Int[Array, "b 12"]
    ) -> Float[Array, "b d"]:
        """The condition that knows of the primary color and of nothing else."""
        known = np.array([name == "primary_color" for name in CONDITIONS])
        color = jnp.where(known[None], attributes, UNKNOWN_ID)
        return self.embed(jnp.zeros_like(text_emb), color)

    def relate(
        self, relative: Float[Array, "b z"], relation: Int[Array, " b"]
    ) -> tuple[Float[Array, "b n d"], Float[Array, "b d"]]:
        """What a relative adds to the tokens, and to the condition.

        Only a prior of a config with `relative_prob` has it.

        Args:
          relative: its z, normalised.
          relation: what is drawn is to it, in `RELATIONS`; `UNKNOWN_ID` where there is
            no relative, which adds zeros.
        """
        known = (relation != UNKNOWN_ID)[:, None]
        tokens = self.relative_in(self._to_tokens(relative))
        cond = self.relations(jnp.maximum(relation, 0))
        return jnp.where(known[:, None], tokens, 0), jnp.where(known, cond, 0)

    def __call__(
        self,
        x: Float[Array, "b z"],
        time: Float[Array, " b"],
        cond: Float[Array, "b d"],
        beside: Float[Array, "b n d"] | None = None,
    ) -> Float[Array, "b z"]:
        """Velocity at `x` and `time` in [0, 1].

        Args:
          x: where the flow is.
          time: when.
          cond: from `embed`, with what `relate` adds to it.
          beside: what `relate` adds to the tokens, if there may be relatives.
        """
        cond = nnx.silu(cond + self.time_in(_waves(time)))
        cond = nnx.silu(self.condition(cond))
        modulation = self.modulation(cond).reshape(len(x), 6, -1)
        tokens = self.token_in(self._to_tokens(x)) + self.positions[...][None]
        if beside is not None:
            tokens = tokens + beside
        for block in self.blocks:
            tokens = block(tokens, modulation)
        return self._from_tokens(self.token_out(self.norm(tokens)))

    def normalise(self, z: Float[Array, "b z"]) -> Float[Array, "b z"]:
        """Latents of the CVAE -> roughly unit-sized ones, in which the flow lives."""
        shift, scale = jax.lax.stop_gradient((self.shift[...], self.scale[...]))
        x = z.reshape(len(z), -1, len(shift))
        return ((x - shift[None, None]) / scale[None, None]).reshape(z.shape)

    def denormalise(self, x: Float[Array, "b z"]) -> Float[Array, "b z"]:
        """The inverse of `normalise`."""
        shift, scale = self.shift[...], self.scale[...]
        z = x.reshape(len(x), -1, len(shift))
        return (z * scale[None, None] + shift[None, None]).reshape(x.shape)

    def _to_tokens(self, x: Float[Array, "b z"]) -> Float[Array, "b n f"]:
        n, p = self.side // self.patch, self.patch
        x = x.reshape(len(x), n, p, n, p, -1).swapaxes(2, 3)
        return x.reshape(len(x), n * n, -1)

    def _from_tokens(self, tokens: Float[Array, "b n f"]) -> Float[Array, "b z"]:
        n, p = self.side // self.patch, self.patch
        x = tokens.reshape(len(tokens), n, n, p, p, -1).swapaxes(2, 3)
        return x.reshape(len(tokens), -1)


def advance(
    prior: Prior,
    x: Float[Array, "b z"],
    time: Float[Array, " b"],
    until: Float[Array, " b"],
    cond: Float[Array, "b d"],
    open_cond: Float[Array, "b d"],
    guidance: Float[Array, " b"],
    away: tuple[Float[Array, "b d"], Float[Array, " b"]] | None = None,
    pull: tuple[Float[Array, "b d"], Float[Array, " b"]] | None = None,
    beside: Float[Array, "b n d"] | None = None,
    before: tuple[Float[Array, "b z"], Float[Array, ""]] | None = None,
) -> tuple[Float[Array, "b z"], Float[Array, "b z"], Float[Array, "b z"]]:
    """One step along the flow.

    Args:
      prior: the velocity field.
      x: where the flow is; standard normal noise at time 0.
      time: 0 up to, but below, 1.
      until: the time at the step's end, up to 1.
      cond: from `Prior.embed`.
      open_cond: of no prompt and no attributes.
      guidance: 1 follows the condition; more, so many times as far from the open one.
      away: another condition to lead away from, and how far, as a multiple of
        `guidance`.
      pull: from `Prior.embed_color`, and how far that leads away from the open one,
        beside all the rest, while the time is before `COLOR_TIME`.
      beside: from `Prior.relate`; guidance leads away from having no relative, too.
      before: the velocity of the step before, and from `trends` how far its change
        since then goes on; None is an Euler step, as is a trend of 0.

    Returns:
      Where it is next; where it is heading for, at time 1: after the last step that is
      the sample, before, it can be shown; and the velocity.
    """
    # With the condition and without, in one call.
    conds = [cond, open_cond, *(part[0] for part in (away, pull) if part)]
    n = len(conds)
    besides = None
    if beside is not None:
        none = jnp.zeros_like(beside)
        of_more = [*([beside] if away else []), *([none] if pull else [])]
        besides = jnp.concatenate([beside, none, *of_more])
    velocity = prior(
        jnp.concatenate([x] * n),
        jnp.concatenate([time] * n),
        jnp.concatenate(conds),
        besides,
    )
    guided, free, *more = jnp.split(velocity, n)
    velocity = free + guidance[:, None] * (guided - free)
    if away is not None:
        lean = guidance * away[1]
        velocity = velocity + lean[:, None] * (guided - more[0])
    if pull is not None:
        early = jnp.where(time < COLOR_TIME, pull[1], 0)
        velocity = velocity + early[:, None] * (more[-1] - free)
    slope = velocity
    if before is not None:
        slope = velocity + before[1] * (velocity - before[0])
    left = (1 - time)[:, None]
    return x + (until - time)[:, None] * slope, x + left * slope, velocity


def leap(
    quick: Prior,
    x: Float[Array, "b z"],
    time: Float[Array, " b"],
    until: Float[Array, " b"],
    cond: Float[Array, "b d"],
) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
    """One step of a quick prior, which has learned where guided steps lead.

    Args:
      quick: it was trained for just these steps, see `prior.distil`.
      x: where the flow is; standard normal noise at time 0.
      time: 0 up to, but below, 1.
      until: the time at the step's end, up to 1.
      cond: from `Prior.embed`.

    Returns:
      Where it is next, and where it is heading for, as of `advance`.
    """
    velocity = quick(x, time, cond)
    left = (1 - time)[:, None]
    return x + (until - time)[:, None] * velocity, x + left * velocity


def times(steps: int, power: float) -> list[float]:
    """When the steps begin, from 0, and the end, 1.

    Above a power of 1 the early steps, in which colors and outlines are settled, are
    smaller than the late ones.
    """
    return [(i / steps) ** power for i in range(steps + 1)]


def trends(times: Sequence[float]) -> list[float]:
    """How much of the velocity's change since the step before each step adds to it.

    That is half of its length, over that of the step before; the first has none.
    """
    lengths = np.diff(times)
    return [0.0, *(lengths[1:] / lengths[:-1] / 2)]


def sample(
    prior: Prior,
    noise: Float[Array, "b z"],
    text_emb: Float[Array, "b t"],
    attributes: Int[Array, "b 12"],
    *,
    steps: int,
    guidance: float,
    time_power: float = 1.0,
    color_guidance: float = 0.0,
) -> Float[Array, "b z"]:
    """Follow the flow from noise to latents for the CVAE's decoder."""
    cond = prior.embed(text_emb, attributes)
    open_cond = prior.embed(
        jnp.zeros_like(text_emb), jnp.full_like(attributes, UNKNOWN_ID)
    )
    one = jnp.ones(len(noise))
    color = prior.embed_color(text_emb, attributes), color_guidance * one
    x, velocity = noise, jnp.zeros_like(noise)
    of_steps = times(steps, time_power)
    spans = itertools.pairwise(of_steps)
    for (time, until), trend in zip(spans, trends(of_steps), strict=True):
        flow = time * one, until * one, cond, open_cond, guidance * one
        pull = color if color_guidance and time < COLOR_TIME else None
        before = velocity, jnp.asarray(trend)
        x, _, velocity = advance(prior, x, *flow, pull=pull, before=before)
    return prior.denormalise(x)


def _waves(time: Float[Array, " b"]) -> Float[Array, "b f"]:
    frequencies = jnp.exp(jnp.linspace(0.0, jnp.log(1000.0), TIME_FREQUENCIES))
    angles = time[:, None] * frequencies[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
