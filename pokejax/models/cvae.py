"""The conditional VAE: embedder, gate, encoder, decoder. NHWC, float32.

The layers are the original README's, in the same order and of the same sizes; at its
832 condition numbers its layer lists give the same parameter counts. Only
nnx modules live here; losses and loops don't.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pokejax.attributes import CONDITIONS, UNKNOWN_ID
from pokejax.config import ModelConfig
from pokejax.models.convs import UpConv, half_conv
from pokejax.models.details import some_of
from pokejax.models.spatial import SpatialDecoder, SpatialEncoder
from pokejax.models.thumbnail import ThumbnailEncoder, Upsampler

# Size of each attribute's embedding; 64 together, the original's.
EMBEDDING_DIMS = {
    "type1": 10,
    "type2": 10,
    "primary_color": 8,
    "secondary_color": 8,
    "shape": 6,
    "size": 6,
    "evolution_stage": 6,
    "habitat": 6,
    "legendary": 2,
    "mythical": 2,
}
CATEGORY_DIM = sum(EMBEDDING_DIMS.values())
# A prior is told how the creature is drawn, too.
DRAWN_EMBEDDING_DIMS = {**EMBEDDING_DIMS, "view": 8, "style": 8}


class CategoryEmbedder(nnx.Module):
    """Attribute ids -> one vector; an unknown attribute contributes zeros."""

    def __init__(self, dims: Mapping[str, int], *, rngs: nnx.Rngs):
        """Make a table for each attribute.

        Args:
          dims: size of the embedding of each that counts; others are ignored.
          rngs: stream `params`.
        """
        self.names = frozenset(dims)  # hashable, as what is static has to be
        self.tables = nnx.Dict(
            {
                name: nnx.Embed(
                    len(CONDITIONS[name]),
                    dim,
                    embedding_init=nnx.initializers.normal(1.0),
                    rngs=rngs,
                )
                for name, dim in dims.items()
            }
        )

    def __call__(
        self, attributes: Int[Array, "b 12"], kept: Float[Array, "b 12"] | None = None
    ) -> Float[Array, "b c"]:
        """Embed ids in `CONDITIONS` order; `UNKNOWN_ID` gives a zero vector.

        `kept` scales the vector of each attribute; None leaves all as they are.
        """
        columns: list[Array] = []
        for i, name in enumerate(CONDITIONS):
            if name not in self.names:
                continue
            ids = attributes[:, i]
            embedded = self.tables[name](jnp.maximum(ids, 0))
            known = ids != UNKNOWN_ID
            columns.append(
                embedded * (known if kept is None else known * kept[:, i])[:, None]
            )
        return jnp.concatenate(columns, axis=-1)


class ConditionGate(nnx.Module):
    """Scales each number of the condition by a learned factor in (0, 1)."""

    def __init__(self, condition_dim: int, *, rngs: nnx.Rngs):
        self.linear = nnx.Linear(condition_dim, condition_dim, rngs=rngs)

    def __call__(self, cond: Float[Array, "b c"]) -> Float[Array, "b c"]:
        """`cond` times its gate."""
        return cond * nnx.sigmoid(self.linear(cond))


class Encoder(nnx.Module):
    """Picture and condition -> mean and log-variance of z."""

    def __init__(
        self, config: ModelConfig, image_size: int, condition_dim: int, *, rngs
    ):
        c1, c2, c3 = config.channels
        flat = (image_size // 8) ** 2 * c3
        self.conv1 = half_conv(3, c1, rngs)
        self.conv2 = half_conv(c1, c2, rngs)
        self.conv3 = half_conv(c2, c3, rngs)
        self.fc1 = nnx.Linear(flat + condition_dim, config.hidden_dim, rngs=rngs)
        self.fc1_norm = nnx.LayerNorm(config.hidden_dim, rngs=rngs)
        self.dropout = nnx.Dropout(config.dropout)
        self.fc_mean = nnx.Linear(config.hidden_dim, config.latent_dim, rngs=rngs)
        self.fc_logvar = nnx.Linear(config.hidden_dim, config.latent_dim, rngs=rngs)

    def __call__(
        self,
        image: Float[Array, "b h w _"],
        cond: Float[Array, "b c"],
        *,
        dropout_key: Array | None,
    ) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
        """Mean and log-variance of the posterior; no dropout if the key is None."""
        x = nnx.gelu(self.conv1(image[..., :3]))
        x = nnx.gelu(self.conv2(x))
        x = nnx.gelu(self.conv3(x))
        x = jnp.concatenate([x.reshape(x.shape[0], -1), cond], axis=-1)
        x = nnx.gelu(self.fc1_norm(self.fc1(x)))
        x = _dropout(self.dropout, x, dropout_key)
        return self.fc_mean(x), self.fc_logvar(x)


class Decoder(nnx.Module):
    """z and condition -> picture."""

    def __init__(
        self, config: ModelConfig, image_size: int, condition_dim: int, *, rngs
    ):
        c1, c2, c3 = config.channels
        self.side = image_size // 8
        flat = self.side**2 * c3
        in_dim = config.latent_dim + condition_dim
        self.fc1 = nnx.Linear(in_dim, config.hidden_dim, rngs=rngs)
        self.fc2 = nnx.Linear(config.hidden_dim, flat, rngs=rngs)
        self.dropout = nnx.Dropout(config.dropout)
        self.up1 = UpConv(c3, c2, rngs=rngs)
        self.up2 = UpConv(c2, c1, rngs=rngs)
        self.up3 = UpConv(c1, 3, rngs=rngs)

    def __call__(
        self,
        z: Float[Array, "b z"],
        cond: Float[Array, "b c"],
        *,
        dropout_key: Array | None,
    ) -> Float[Array, "b h w 3"]:
        """A picture in [-1, 1]; no dropout if the key is None."""
        x = nnx.gelu(self.fc1(jnp.concatenate([z, cond], axis=-1)))
        x = _dropout(self.dropout, x, dropout_key)
        x = nnx.gelu(self.fc2(x))
        x = x.reshape(x.shape[0], self.side, self.side, -1)
        x = nnx.gelu(self.up1(x))
        x = nnx.gelu(self.up2(x))
        return jnp.tanh(self.up3(x))


class CVAE(nnx.Module):
    """The whole model: q(z | image, cond) and p(image | z, cond).

    With `config.conditional` off it is a plain VAE: `cond` is then empty, and there is
    neither an embedder nor a gate.
    """

    def __init__(
        self, config: ModelConfig, *, image_size: int, text_dim: int, rngs: nnx.Rngs
    ):
        """Make the four parts.

        Args:
          config: layer sizes.
          image_size: pixels a side, a multiple of 8.
          text_dim: length of a text embedding; 768 for CLIP ViT-L/14.
          rngs: stream `params`.
        """
        self.conditional = config.conditional
        self.has_details = config.details > 0
        condition_dim = 0
        if config.conditional:
            condition_dim = text_dim + CATEGORY_DIM
            self.category_embedder = CategoryEmbedder(EMBEDDING_DIMS, rngs=rngs)
            self.condition_gate = ConditionGate(condition_dim, rngs=rngs)
        encoder, decoder = {
            "vector": (Encoder, Decoder),
            "spatial": (SpatialEncoder, SpatialDecoder),
            "thumbnail": (ThumbnailEncoder, Upsampler),
        }[config.latent]
        self.encoder = encoder(config, image_size, condition_dim, rngs=rngs)
        self.decoder = decoder(config, image_size, condition_dim, rngs=rngs)

    def condition(
        self, text_emb: Float[Array, "b t"], attributes: Int[Array, "b 12"]
    ) -> Float[Array, "b c"]:
        """Text and attributes -> the gated condition, `c = t + 64`, or `c = 0`."""
        if not self.conditional:
            return text_emb[:, :0]
        # Embeddings come out in float32 even where the layers compute in bfloat16.
        category_emb = self.category_embedder(attributes).astype(text_emb.dtype)
        return self.condition_gate(jnp.concatenate([text_emb, category_emb], axis=-1))

    def __call__(
        self,
        image: Float[Array, "b h w _"],
        text_emb: Float[Array, "b t"],
        attributes: Int[Array, "b 12"],
        *,
        noise: Float[Array, "b z"],
        dropout_key: Array | None = None,
    ) -> tuple[Float[Array, "b h w _"], Float[Array, "b z"], Float[Array, "b z"]]:
        """Reconstruct `image` through a sampled z, and its details if it has any.

        Args:
          image: `b h w c` float32 in [-1, 1]; RGB on white and, if c = 4, alpha.
          text_emb: `b t` float32.
          attributes: `b 12` int32 ids, `UNKNOWN_ID` where unknown.
          noise: `b z` standard normal; zeros decode the posterior mean.
          dropout_key: turns dropout on, and leaves details out; None turns both off.

        Returns:
          recon in [-1, 1], RGB and, of thumbnails, alpha; mean and logvar.
        """
        cond = self.condition(text_emb, attributes)
        encoder_key, decoder_key = (
            (None, None) if dropout_key is None else jax.random.split(dropout_key)
        )
        mean, logvar = self.encoder(image, cond, dropout_key=encoder_key)
        z = mean + jnp.exp(0.5 * logvar) * noise
        more = {}
        if self.has_details:
            details = self.encoder.details(image)
            if dropout_key is not None:
                details = some_of(details, jax.random.fold_in(dropout_key, 1))
            more = {"details": details}
        recon = self.decoder(z, cond, dropout_key=decoder_key, **more)
        return recon, mean, logvar

    def encode(
        self,
        image: Float[Array, "b h w _"],
        text_emb: Float[Array, "b t"],
        attributes: Int[Array, "b 12"],
    ) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
        """Mean and log-variance of the posterior, without dropout."""
        cond = self.condition(text_emb, attributes)
        return self.encoder(image, cond, dropout_key=None)

    def decode(
        self,
        z: Float[Array, "b z"],
        text_emb: Float[Array, "b t"],
        attributes: Int[Array, "b 12"],
    ) -> Float[Array, "b h w _"]:
        """Pictures in [-1, 1] of latents under a condition, c as in a call."""
        cond = self.condition(text_emb, attributes)
        return self.decoder(z, cond, dropout_key=None)


def parameter_count(module: nnx.Module) -> int:
    """How many trained numbers a module has."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))


def _dropout(dropout: nnx.Dropout, x: Array, key: Array | None) -> Array:
    if key is None:
        return x
    return dropout(x, deterministic=False, rngs=key)
