"""Draw 1 and 8 pictures of a prompt whose embedding is at hand: pokejax and PyTorch.

    PYTHONPATH=.:tests/parity python benchmarks/generate_latency.py

In the environment that `make parity` builds. The original's decoder and gate with
random weights, uint8 pixels out; each side in a process of its own, taking turns
(`turns.py`). "Sampler" is what the commands and the service call, with all that it does
beside decoding; "decode" is the compiled decoder alone, as PyTorch's sides are.
"""

# torch is in nobody's development environment.
# pyright: reportMissingImports=false

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any

import turns

SIDES = ("decode", "Sampler", "PyTorch eager", "PyTorch torch.compile")
CALLS = 20  # a turn


class RandomEncoder:
    """Stands in for CLIP's text tower: as many numbers, and no work."""

    dim, identity = 768, "random"

    def encode(self, prompts: Sequence[str]) -> Any:
        import numpy as np

        random = np.random.default_rng(0)
        return random.standard_normal((len(prompts), self.dim)).astype(np.float32)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Time the drawing of pictures from a prompt embedding.",
        epilog="example: python benchmarks/generate_latency.py --batch 1 8",
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="cores that each side gets"
    )
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = parser().parse_args(argv)
    turns.use_threads(args.threads)
    if args.side:
        serve(args.side, args.batch[0], args.threads)
        return
    for batch in args.batch:
        print(f"\ndraw {batch} of 64x64, {args.threads} threads")
        arguments = ["--batch", str(batch), "--threads", str(args.threads)]
        taken = turns.take_turns(SIDES, __file__, arguments, args.rounds)
        turns.table(taken, SIDES[0], batch)


def serve(side: str, batch: int, threads: int) -> None:
    if not side.startswith("PyTorch"):
        import jax

        prepare = our_decode if side == "decode" else our_sampler
        turns.serve(lambda: prepare(batch), CALLS, f"jax {jax.__version__}")
        return
    import torch

    torch.set_num_threads(threads)
    from torch_reference import generate

    compiled = side.endswith("compile")
    about = f"torch {torch.__version__}"
    turns.serve(lambda: generate(batch, compiled=compiled), CALLS, about)


def our_bundle() -> Any:
    """The original's model with random weights, as a bundle."""
    from flax import nnx

    from configs.original64 import config
    from pokejax.inference.bundle import Bundle, Header, new_model

    header = Header(config, RandomEncoder.dim, RandomEncoder.identity, 0, 0.0)
    model = new_model(header, rngs=nnx.Rngs(0))
    return Bundle(header, model, prior=None, model_id="random")


def our_sampler(batch: int) -> Callable[[], Any]:
    from pokejax.attributes import Attributes
    from pokejax.inference.recipe import Recipe
    from pokejax.inference.sampler import Sampler

    sampler = Sampler(our_bundle(), RandomEncoder())
    known = Attributes(type1="Fire")
    recipes = [Recipe("a fire dragon", known, seed) for seed in range(batch)]
    return lambda: sampler.sample(recipes)


def our_decode(batch: int) -> Callable[[], Any]:
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx

    graphdef, params = nnx.split(our_bundle().model)
    text_emb = jnp.asarray(RandomEncoder().encode([""] * batch))
    ids = jnp.zeros((batch, 10), jnp.int32)

    @jax.jit
    def draw(params, text_emb, ids, seed):
        z = jax.random.normal(jax.random.key(seed), (batch, 256))
        image = nnx.merge(graphdef, params).decode(z, text_emb, ids)
        return jnp.round((image + 1) * 127.5).astype(jnp.uint8)

    return lambda: np.asarray(draw(params, text_emb, ids, 0))


if __name__ == "__main__":
    main()
