"""Five designs of a text-to-sprite model, each for the same time on one core.

    python benchmarks/bakeoff.py stage thumbnail --data DIR --minutes 15
    python benchmarks/bakeoff.py stage latent --data DIR --minutes 15
    python benchmarks/bakeoff.py flow cascade --data DIR --minutes 30
    python benchmarks/bakeoff.py flow pixels --data DIR --minutes 45
    python benchmarks/bakeoff.py measure --data DIR

Stages are an upsampler from thumbnails and an autoencoder with learned latents; flows
are `cascade`, `latent`, `unet`, `clean` and `pixels`. Minutes are of CPU time, and step
sizes fall with them; `taskset` keeps a process on one core. Pictures are mirrored, and
nothing else, for all.
"""

import argparse
import dataclasses
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
from faces import COLOR, Real, native
from flax import nnx
from PIL import Image
from safetensors.numpy import load_file, save_file

from pokejax import config as configs
from pokejax.attributes import UNKNOWN_ID
from pokejax.config import LossConfig, ModelConfig, PriorConfig
from pokejax.data import dataset as datasets
from pokejax.images.finish import pixel_art
from pokejax.images.pixels import to_float, to_uint8
from pokejax.inference.bundle import Header, named_leaves, new_model
from pokejax.models.prior import Prior, sample
from pokejax.models.products import bfloat16_dot_general
from pokejax.models.spatial import GROUPS
from pokejax.training.mesh import keep_freed_memory
from pokejax.training.muon import muon
from pokejax.training.step import augmented, ema_rate, split_arrays
from pokejax.training.tasks.cvae import cvae_task

FLOWS = ("cascade", "latent", "unet", "clean", "pixels")
PROMPTS, EACH, SHOWN = 48, 4, 12
# A finer latent than `pokemon64`'s; its KL is 0.01 for each number of z.
LATENT = ModelConfig(latent="spatial", channels=(48, 96), latent_dim=1024, blocks=2)
LATENT_LOSS = LossConfig(
    perceptual_weight=0.5, kl_weight=0.12, kl_per_dimension=True, annealing="constant"
)
LAST = 0.05  # a clean prediction divides by no shorter time than this


class Clean(Prior):
    """Predicts the latent, from which the velocity follows (arXiv 2511.13720)."""

    def __call__(self, x, time, cond, beside=None):
        """Velocity, as of `Prior`."""
        clean = super().__call__(x, time, cond, beside)
        return (clean - x) / jnp.maximum(1 - time, LAST)[:, None]


class Conv3(nnx.Module):
    """A 3x3 convolution as one product of matrices, which may be rounded."""

    def __init__(self, a, b, init, *, rngs):
        self.linear = nnx.Linear(
            9 * a, b, kernel_init=init, dot_general=bfloat16_dot_general, rngs=rngs
        )

    def __call__(self, x):
        """`b h w a` -> `b h w b`."""
        _, h, w, _ = x.shape
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        taps = [x[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
        return self.linear(jnp.concatenate(taps, axis=-1))


class Res(nnx.Module):
    """A residual block, scaled and shifted by the condition (as ADM's)."""

    def __init__(self, a, b, cond, *, rngs):
        he, zeros = nnx.initializers.he_normal(), nnx.initializers.zeros
        self.norm1 = nnx.GroupNorm(a, num_groups=GROUPS, rngs=rngs)
        self.conv1 = Conv3(a, b, he, rngs=rngs)
        self.norm2 = nnx.GroupNorm(b, num_groups=GROUPS, rngs=rngs)
        self.modulation = nnx.Linear(cond, 2 * b, kernel_init=zeros, rngs=rngs)
        self.conv2 = Conv3(b, b, zeros, rngs=rngs)
        self.skip = nnx.Linear(a, b, rngs=rngs) if a != b else None

    def __call__(self, x, cond):
        """`b h w a` -> `b h w b`."""
        y = self.norm2(self.conv1(nnx.silu(self.norm1(x))))
        scale, shift = jnp.split(self.modulation(cond)[:, None, None], 2, axis=-1)
        y = self.conv2(nnx.silu(y * (1 + scale) + shift))
        return (self.skip(x) if self.skip else x) + y


class Attention(nnx.Module):
    """Attention between places."""

    def __init__(self, width, *, rngs):
        self.norm = nnx.GroupNorm(width, num_groups=GROUPS, rngs=rngs)
        linear = partial(nnx.Linear, dot_general=bfloat16_dot_general, rngs=rngs)
        self.qkv = linear(width, 3 * width)
        self.out = linear(width, width, kernel_init=nnx.initializers.zeros)

    def __call__(self, x):
        """`b h w d` -> `b h w d`."""
        b, h, w, d = x.shape
        qkv = self.qkv(self.norm(x).reshape(-1, d)).reshape(b, h * w, 3, 4, d // 4)
        mixed = jax.nn.dot_product_attention(*jnp.moveaxis(qkv, 2, 0))
        return x + self.out(mixed.reshape(-1, d)).reshape(x.shape)


class UNet(Prior):
    """Convolutions at 16x16, and these with attention at 8x8."""

    def __init__(self, config, model, *, rngs, **rest):
        config = dataclasses.replace(config, depth=1, patch=1)
        super().__init__(config, model, rngs=rngs, **rest)
        del self.blocks, self.token_in, self.token_out, self.modulation, self.positions
        cond, wide, wider = config.width, 64, 160
        res = partial(Res, cond=cond, rngs=rngs)
        channels = model.latent_dim // self.side**2
        self.conv_in = Conv3(channels, wide, nnx.initializers.he_normal(), rngs=rngs)
        self.down = nnx.List([res(wide, wide), res(wide, wide)])
        self.middle = nnx.List(
            [res(4 * wide, wider), res(wider, wider), res(wider, wider)]
        )
        self.looks = nnx.List([Attention(wider, rngs=rngs) for _ in range(2)])
        self.widen = nnx.Linear(wider, 4 * wide, rngs=rngs)
        self.up = nnx.List([res(2 * wide, wide), res(wide, wide)])
        self.conv_out = Conv3(wide, channels, nnx.initializers.zeros, rngs=rngs)
        self.places = nnx.Param(jnp.zeros((self.side // 2, self.side // 2, wider)))

    def __call__(self, x, time, cond, beside=None):
        """Velocity, as of `Prior`."""
        n, side = len(x), self.side
        angles = time[:, None] * jnp.exp(jnp.linspace(0, jnp.log(1000.0), 64))[None]
        waves = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
        cond = nnx.silu(self.condition(nnx.silu(cond + self.time_in(waves))))
        x = self.conv_in(x.reshape(n, side, side, -1))
        for block in self.down:
            x = block(x, cond)
        kept, half = x, side // 2
        x = x.reshape(n, half, 2, half, 2, -1).swapaxes(2, 3).reshape(n, half, half, -1)
        x = self.middle[0](x, cond) + self.places[...][None]
        for block, look in zip(self.middle[1:], self.looks, strict=True):
            x = block(look(x), cond)
        x = self.widen(x).reshape(n, half, half, 2, 2, -1).swapaxes(2, 3)
        x = jnp.concatenate([x.reshape(n, side, side, -1), kept], axis=-1)
        for block in self.up:
            x = block(x, cond)
        return self.conv_out(nnx.silu(x)).reshape(n, -1)


class Clock:
    """The share of a process's CPU time that is gone, since the first step."""

    def __init__(self, minutes: float):
        self.seconds, self.begin = 60 * minutes, 0.0

    def start(self) -> None:
        """Begin: what came before was compiling."""
        self.begin = time.process_time()

    def share(self) -> float:
        """From 0 to 1."""
        return (time.process_time() - self.begin) / self.seconds


def header_of(name: str, data: str, text_dim: int = 256) -> Header:
    """Of the first stage, by the recipe of its kind."""
    config = configs.load("thumbnail64")
    if name == "latent":
        faster = dataclasses.replace(config.train, learning_rate=2e-3)
        config = dataclasses.replace(
            config, model=LATENT, loss=LATENT_LOSS, train=faster
        )
    where = dataclasses.replace(config.data, dir=data, views=(), flip=True)
    return Header(dataclasses.replace(config, data=where), text_dim, "static", 0, 0.0)


def train(terms, params, tx, batch_size, rows, minutes, decay, out, rate, warm_up=30):
    """Train by the clock; saves the averaged weights, and says how it goes."""

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(params, ema, opt, key, rows, lr, beta, i):
        grads, loss = jax.grad(
            lambda p: (lambda x: (x, x))(terms(p, key, rows, beta)), has_aux=True
        )(params)
        opt = opt._replace(hyperparams=opt.hyperparams | {"learning_rate": lr})
        updates, opt = tx.update(grads, opt, params)
        params = optax.apply_updates(params, updates)
        keep = ema_rate(i, decay)
        ema = jax.tree.map(lambda a, b: keep * a + (1 - keep) * b, ema, params)
        return params, ema, opt, loss

    ema, opt = jax.tree.map(jnp.copy, params), tx.init(params)
    rng, clock, losses, i = np.random.default_rng(0), Clock(minutes), [], 0
    said = time.time()
    while i == 0 or clock.share() < 1:
        share = clock.share() if i else 0.0
        lr = rate * min(1, (i + 1) / warm_up) * 0.5 * (1 + np.cos(np.pi * share))
        some = jnp.asarray(rng.integers(rows, size=batch_size))
        params, ema, opt, loss = step(
            params,
            ema,
            opt,
            jax.random.fold_in(jax.random.key(0), i),
            some,
            jnp.float32(lr),
            jnp.float32(min(1, share / 0.3)),
            jnp.float32(i),
        )
        losses.append(float(loss))
        if i == 0:
            clock.start()
        i += 1
        if time.time() - said > 60:
            said = time.time()
            print(f"{clock.share():.0%} {i * batch_size} seen, loss"
                  f" {np.mean(losses[-100:]):.4f}", flush=True)  # fmt: skip
            save_file({n: np.asarray(v) for n, v in named_leaves(ema)}, out)
    save_file({n: np.asarray(v) for n, v in named_leaves(ema)}, out)
    print(f"done: {i * batch_size} seen, loss {np.mean(losses[-100:]):.4f}")


def tx_of(make) -> optax.GradientTransformation:
    """An optimiser whose step size is set from outside."""
    return optax.inject_hyperparams(
        lambda learning_rate: optax.chain(
            optax.clip_by_global_norm(1.0), make(lambda _: learning_rate)
        )
    )(learning_rate=1e-3)


def stage(name: str, args: argparse.Namespace) -> None:
    """Train a first stage."""
    header = header_of(name, args.data)
    config = header.config
    dataset = datasets.load(config.data, config.text)
    task = cvae_task(header, dataset)
    split = jax.device_put(split_arrays(dataset.splits["train"], dataset.text_emb))

    def terms(params, key, rows, beta):
        keys = jax.random.split(key, 3)
        batch = augmented(split, rows, keys[0], config)
        random = task.random(keys[1], len(rows))
        found, _ = task.terms(
            params, task.frozen, batch, random, beta=beta, dropout_key=keys[2]
        )
        return found["Loss"].mean()

    rows = len(dataset.splits["train"])
    out = args.out / f"{name}.safetensors"
    rate = config.train.learning_rate
    tx = tx_of(optax.adam)
    train(terms, task.init(), tx, 32, rows, args.minutes, 0.998, out, rate, 200)


def filled(model, arrays) -> None:
    """Put saved weights into a module; those of a critic beside it are left."""
    params = nnx.state(model)
    arrays = {
        name.removeprefix("model.").removesuffix("..value"): value
        for name, value in arrays.items()
    }
    leaves = [jnp.asarray(arrays[name]) for name, _ in named_leaves(params)]
    nnx.update(model, jax.tree.unflatten(jax.tree.structure(params), leaves))


def base_of(name: str, args: argparse.Namespace):
    """The first stage of a flow, with its weights; None for pixels."""
    if name == "pixels":
        return None
    kind = "latent" if name == "latent" else "thumbnail"
    base = new_model(header_of(kind, args.data), rngs=nnx.Rngs(0))
    filled(base, load_file(args.out / f"{kind}.safetensors"))
    return base


def flow_of(name: str, text_dim: int) -> Prior:
    """An untrained flow."""
    model = header_of("latent" if name == "latent" else "thumbnail", "").config.model
    patch = {"latent": 2, "pixels": 8}.get(name, 4)
    if name == "pixels":
        model = SimpleNamespace(
            latent="pixels", latent_dim=64 * 64 * 4, latent_side=lambda size: size
        )
    kind = {"unet": UNet, "clean": Clean, "pixels": Clean}.get(name, Prior)
    return kind(
        PriorConfig(base="-", width=256, depth=6, heads=4, patch=patch),
        model,
        image_size=64,
        text_dim=text_dim,
        rngs=nnx.Rngs(0),
        dot_general=bfloat16_dot_general,
    )


def latents(base, dataset, name: str):
    """Of all training pictures and, after these, of their mirror images."""
    if base is None:
        return None
    graph, state = nnx.split(base)

    @jax.jit
    def encode(state, image, text_emb, attributes):
        return nnx.merge(graph, state).encode(image, text_emb, attributes)[0]

    split, found = dataset.splits["train"], []
    for mirrored in (False, True):
        for start in range(0, len(split), 64):
            rows = np.arange(start, start + 64) % len(split)
            image = to_float(split.drawn(rows))
            image = image[:, :, ::-1] if mirrored else image
            text_emb = dataset.text_emb[split.prompt_ids[rows, 0]].astype(np.float32)
            z = encode(state, image, text_emb, split.attributes[rows])
            found.append(np.asarray(z, np.float16)[: len(split) - start])
    return jnp.asarray(np.concatenate(found))


def flow(name: str, args: argparse.Namespace) -> None:
    """Train a flow over a trained first stage."""
    config = header_of("thumbnail", args.data).config
    dataset = datasets.load(config.data, config.text)
    train_split = dataset.splits["train"]
    split = jax.device_put(split_arrays(train_split, dataset.text_emb))
    z_all, count = latents(base_of(name, args), dataset, name), len(train_split)
    model = flow_of(name, dataset.text_emb.shape[1])
    channels = len(model.shift[...])
    some = (
        to_float(train_split.drawn(slice(0, count, 10)))
        if z_all is None
        else np.asarray(z_all[::10], np.float32)
    ).reshape(-1, channels)
    model.shift[...], model.scale[...] = some.mean(0), some.std(0) + 1e-6
    graph, params = nnx.split(model)

    def terms(params, key, rows, beta):
        del beta
        keys = jax.random.split(key, 7)
        b, flip = len(rows), jax.random.bernoulli(keys[0], 0.5, rows.shape)
        if z_all is None:
            image = jnp.concatenate(
                [split.images[rows], split.alpha[rows][..., None]], axis=-1
            )
            image = jnp.where(flip[:, None, None, None], image[:, :, ::-1], image)
            z = to_float(image).reshape(b, -1)
        else:
            z = z_all[rows + count * flip].astype(jnp.float32)
        prior = nnx.merge(graph, params)
        z = prior.normalise(z)
        pick = jax.random.uniform(keys[1], (b,)) * split.prompt_counts[rows]
        prompt = split.prompt_ids[rows, pick.astype(jnp.int32)]
        drop = jax.random.bernoulli(keys[2], 0.1, (b, 1))
        text_emb = jnp.where(drop, 0, split.text_emb[prompt].astype(jnp.float32))
        attributes = split.attributes[rows]
        hide_rate = 0.6 * jax.random.uniform(keys[3], (b, 1))
        hide = jax.random.bernoulli(keys[4], hide_rate, attributes.shape)
        cond = prior.embed(text_emb, jnp.where(drop | hide, UNKNOWN_ID, attributes))
        at = jax.nn.sigmoid(-0.5 + 1.2 * jax.random.normal(keys[5], (b,)))
        start = jax.random.normal(keys[6], z.shape)
        x = (1 - at[:, None]) * start + at[:, None] * z
        return jnp.mean((prior(x, at, cond) - (z - start)) ** 2)

    out = args.out / f"flow_{name}.safetensors"
    size = args.batch_size
    train(terms, params, tx_of(muon), size, count, args.minutes, 0.999, out, 1e-3)


def measure(args: argparse.Namespace) -> None:
    """Draw from each flow that there is, and print the table."""
    config = header_of("thumbnail", args.data).config
    dataset = datasets.load(config.data, config.text)
    train_split, test = dataset.splits["train"], dataset.splits["test"]
    real = Real(train_split, test)
    rows = np.repeat(real.prompted, EACH)
    asked = test.attributes[rows, COLOR]
    text_emb = dataset.text_emb[test.prompt_ids[rows, 0]].astype(np.float32)
    attributes = test.attributes[rows].astype(np.int32)
    print("| pictures | KID, AlexNet | VGG16 | fronts | told apart | colour |")
    print("|---|---:|---:|---:|---:|---:|")
    fronts = native(train_split, "front")
    some = fronts[:: len(fronts) // 256][:256]
    own = train_split.images[:][some]
    print(real.row("real, training", own, train_split.attributes[some, COLOR]))
    for name in [args.name] if args.name else FLOWS:
        weights = args.out / f"flow_{name}.safetensors"
        if not weights.is_file():
            continue
        model, base = flow_of(name, dataset.text_emb.shape[1]), base_of(name, args)
        filled(model, load_file(weights))
        (graph, params), decoder = nnx.split(model), base and nnx.split(base)

        @partial(jax.jit, static_argnames="guidance")
        def draw(params, state, noise, text_emb, attributes, guidance):
            z = sample(
                nnx.merge(graph, params),  # noqa: B023
                noise,
                text_emb,
                attributes,
                steps=16,
                guidance=guidance,
                time_power=1.5,
                color_guidance=0.0 if guidance == 1 else 1.0,
            )
            if state is None or decoder is None:  # noqa: B023
                return z.reshape(-1, 64, 64, 4)
            base = nnx.merge(decoder[0], state)  # noqa: B023
            cond = base.condition(text_emb, attributes)
            return base.decoder(z, cond, dropout_key=None)

        for guidance in (1.0, 1.5, 2.25):
            made = []
            for i in range(0, len(rows), 16):
                keys = jax.vmap(jax.random.key)(1000 + np.arange(i, i + 16))
                noise = jax.vmap(partial(jax.random.normal, shape=(flat(model),)))(keys)
                part = slice(i, i + 16)
                state = decoder and decoder[1]
                made.append(
                    draw(params, state, noise, text_emb[part], attributes[part],
                         guidance)
                )  # fmt: skip
            made = np.asarray(to_uint8(np.concatenate(made)))
            images = made[..., :3]
            print(real.row(f"{name}, guidance {guidance}", images, asked), flush=True)
            alpha = made[..., 3] if made.shape[-1] == 4 else [None] * len(made)
            images = np.stack(
                [pixel_art(a, b).rgb() for a, b in zip(images, alpha, strict=True)]
            )
            label = f"{name}, guidance {guidance}, pixel art"
            print(real.row(label, images, asked), flush=True)
            columns = [np.concatenate(list(images[i::SHOWN]), 1) for i in range(SHOWN)]
            grid = Image.fromarray(np.concatenate(columns))
            grid.save(args.out / f"{name}_{guidance}.png")


def flat(model: Prior) -> int:
    """Length of a flow's z."""
    return model.side**2 * len(model.shift[...])


def main() -> None:
    """Train one part, or measure all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("stage", "flow", "measure"))
    parser.add_argument("name", nargs="?", choices=("thumbnail", *FLOWS))
    parser.add_argument("--data", required=True, help="dataset with native sprites")
    parser.add_argument("--out", type=Path, default=Path("outputs/bakeoff"))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, default=128)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.what == "measure":
        measure(args)
        return
    keep_freed_memory()
    {"stage": stage, "flow": flow}[args.what](args.name, args)


if __name__ == "__main__":
    main()
