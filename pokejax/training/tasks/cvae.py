"""Training a CVAE: L1 + LPIPS + KL on pictures; nothing is frozen but LPIPS.

With `loss.adversarial_weight` a critic is trained beside it, in the same step: each of
the two sees the other's weights as constants. With `model.details` only what learns
details is trained, and all else stays as it was.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pokejax.data.split import Dataset
from pokejax.inference.bundle import Header, new_model
from pokejax.models import lpips
from pokejax.models.critic import Critic, fools, tells_apart
from pokejax.training import losses
from pokejax.training.tasks.drawn import Drawn, draw
from pokejax.training.tasks.task import Batch, Task, show

_STRIDE = 4  # of AlexNet's first convolution
_FINE = 3  # of VGG16's five resolutions, which a critic sees
_AFAR = 0.3  # weight of the L1 between drawn thumbnails and those of what they become
# (weights, picture, picture) -> `b`; see `pokejax.models.lpips.distance_function`.
Distance = Callable[[Any, Array, Array], Array]


def cvae_task(header: Header, dataset: Dataset) -> Task:
    """A new CVAE. Its layers compute in `model.compute_dtype`; losses are float32.

    Raises:
      BundleError: `loss.drawn_by` is broken.
      ConfigError: `loss.drawn_by` doesn't fit.
      FileNotFoundError: LPIPS's weights are wanted and missing.
    """
    config = header.config
    model = nnx.eval_shape(lambda: new_model(header, rngs=nnx.Rngs(0)))
    graphdef = nnx.graphdef(model)
    dtype = jnp.dtype(config.model.compute_dtype)
    weights, distance = _lpips_or_nothing(
        config.loss.perceptual_weight or config.loss.adversarial_weight
    )

    def init() -> nnx.State:
        return nnx.state(new_model(header, rngs=nnx.Rngs(config.train.seed)))

    def random(key: Array, size: int) -> Float[Array, "b z"]:
        noise = jax.random.normal(key, (size, config.model.latent_dim))
        if config.model.latent == "thumbnail":  # each picture gets its own share of it
            noise *= jax.random.uniform(jax.random.fold_in(key, 1), (size, 1))
        return noise

    def terms(params, frozen, batch: Batch, random, beta, dropout_key):
        _, terms, stats = rebuilt(params, frozen, batch, random, beta, dropout_key)
        return terms, stats

    def rebuilt(params, frozen, batch: Batch, random, beta, dropout_key):
        params, image, text_emb, noise = jax.tree.map(
            lambda x: x.astype(dtype), (params, batch.image, batch.text_emb, random)
        )
        if config.model.details:
            params = _details_alone(params)
        outputs = nnx.merge(graphdef, params)(
            image, text_emb, batch.attributes, noise=noise, dropout_key=dropout_key
        )
        recon, mean, logvar = (x.astype(jnp.float32) for x in outputs)
        kl = losses.kl(mean, logvar)
        image = batch.image[..., : recon.shape[-1]]
        terms = {"L1": losses.l1(recon, image), "KL": kl.sum(axis=-1)}
        recon, image = _shifted(recon, image, dropout_key)
        terms["Perceptual"] = distance(frozen, recon[..., :3], image[..., :3])
        terms["Loss"] = losses.total(
            terms["L1"],
            terms["Perceptual"],
            terms["KL"],
            beta=beta,
            pixel_values=recon[0].size,
            config=config.loss,
        )
        return (recon, image), terms, {"mean": mean, "mean_squared": mean**2, "kl": kl}

    def show_some(params, frozen, batch, z):
        return show(nnx.merge(graphdef, params), batch, z, lambda z, *_: z)

    task = Task(
        model=model,
        prior=None,
        init=init,
        frozen=weights,
        parts=("Loss", "L1", "KL", "Perceptual"),
        random=random,
        terms=terms,
        show=show_some,
        kept=lambda params, frozen: (params, None),
    )
    if not config.loss.adversarial_weight:
        return task
    drawn = draw(config, dataset) if config.loss.drawn_by else None
    return _with_critic(task, header, rebuilt, drawn)


def _details_alone(params: nnx.State) -> nnx.State:
    """The same weights, all but those of details as constants."""

    def held(path: tuple[Any, ...], leaf: Array) -> Array:
        ours = any(getattr(key, "key", None) == "details" for key in path)
        return leaf if ours else jax.lax.stop_gradient(leaf)

    return jax.tree.map_with_path(held, params)


def _shifted(recon: Array, image: Array, key: Array | None) -> tuple[Array, Array]:
    """Both pictures, shifted by the same random pixels, around the borders.

    AlexNet looks at every fourth pixel only: of pictures that never move, its gradients
    leave a grid.
    """
    if key is None:
        return recon, image
    shift = jax.random.randint(jax.random.fold_in(key, 1), (2,), 0, _STRIDE)
    both = jnp.roll(jnp.concatenate([recon, image]), shift, axis=(1, 2))
    recon, image = jnp.split(both, 2)
    return recon, image


def _with_critic(
    task: Task, header: Header, rebuilt: Callable[..., Any], drawn: Drawn | None
) -> Task:
    """The same task with a critic; `rebuilt` gives pictures beside terms and stats.

    It looks through AlexNet, and through VGG16 as far as that is still fine: AlexNet
    sees every fourth pixel only, VGG16 each of them.

    With drawn thumbnails, half as many of these as there are pictures in a batch are
    judged, too, and held to what they look like from afar.
    """
    config = header.config
    graphdef = nnx.graphdef(task.model)
    alexnet, vgg16 = lpips.load("alexnet"), lpips.load("vgg16")
    of_alexnet, (of_vgg16, fine) = nnx.graphdef(alexnet), nnx.split(vgg16)
    widths = [head.size for head in (*alexnet.heads, *vgg16.heads[:_FINE])]
    critic = nnx.graphdef(nnx.eval_shape(lambda: Critic(widths, rngs=nnx.Rngs(0))))

    def init() -> dict[str, nnx.State]:
        new = Critic(widths, rngs=nnx.Rngs(config.train.seed + 1))
        return {"model": task.init(), "critic": nnx.state(new)}

    def judged(params, features, image, real) -> tuple[Array, Array]:
        """What a model minimises of its pictures, and what the critic does."""
        constant = jax.lax.stop_gradient
        seen, of_real = features(image[..., :3]), features(real[..., :3])
        of_model = nnx.merge(critic, constant(params["critic"]))
        of_critic = nnx.merge(critic, params["critic"])
        told = tells_apart(
            of_critic(real, of_real), of_critic(constant(image), constant(seen))
        )
        return fools(of_model(image, seen)), told

    def terms(params, frozen, batch: Batch, random, beta, dropout_key):
        (recon, image), terms, stats = rebuilt(
            params["model"], frozen["lpips"], batch, random, beta, dropout_key
        )

        def features(image: Array) -> list[Array]:
            coarse = nnx.merge(of_alexnet, frozen["lpips"]).features(image)
            return coarse + nnx.merge(of_vgg16, frozen["vgg16"]).features(image)[:_FINE]

        terms["Adversarial"], terms["Critic"] = judged(params, features, recon, image)
        if dropout_key is None:  # an evaluation: critics change
            return terms, stats
        voice = beta * config.loss.adversarial_weight
        terms["Loss"] += voice * terms["Adversarial"] + terms["Critic"]
        if drawn:
            half, key = len(image) // 2, jax.random.fold_in(dropout_key, 2)
            some = Drawn(**frozen["drawn"]).some(key, half)
            model = nnx.merge(graphdef, params["model"])
            cond = model.condition(some.text_emb, some.attributes)
            vote = {"drawn": jnp.ones(half, bool)}
            made = model.decoder(some.z, cond, dropout_key=key, **vote)
            afar, _ = model.encoder(made, cond, dropout_key=None)
            made, real = _shifted(made, batch.image[:half], dropout_key)
            fooled, told = judged(params, features, made, real)
            held = jnp.abs(afar - some.z).mean()
            voice = beta * config.loss.drawn_weight
            terms["Loss"] += voice * fooled.mean() + told.mean() + _AFAR * held
        return terms, stats

    return task._replace(
        init=init,
        frozen={"lpips": task.frozen, "vgg16": fine}
        | ({"drawn": drawn._asdict()} if drawn else {}),
        parts=(*task.parts, "Adversarial", "Critic"),
        terms=terms,
        show=lambda params, *rest: task.show(params["model"], *rest),
        kept=lambda params, frozen: (params["model"], None),
    )


def _lpips_or_nothing(weight: float) -> tuple[Any, Distance]:
    """LPIPS's weights and distance; where it weighs nothing, one that costs nothing."""
    if weight:
        return lpips.distance_function()
    return None, lambda weights, image_0, image_1: jnp.zeros(len(image_0))
