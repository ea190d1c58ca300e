"""Where a train step of the shipped recipe's prior goes, beside a product of matrices.

    python benchmarks/prior_step.py [--keep-nothing]

Random pictures, the shipped model as the base; on a machine with nothing else to do.
Says how long a step takes, how many cores are busy, how much of their time goes to the
kernel, and how fast it calculates, beside one product as large as the MLP's. With
`--keep-nothing` freed memory goes back to the system, as glibc has it.
"""

import argparse
import resource
import statistics
import time
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from gpu_training import chunk, compiled_step, first_chunk, random_dataset

from pokejax.config import load, override
from pokejax.inference import shipped
from pokejax.inference.bundle import read
from pokejax.models.products import bfloat16_dot
from pokejax.training.mesh import keep_freed_memory
from pokejax.training.trainer import Trainer

TOKENS = 16  # of a thumbnail in patches of 4x4
ROUNDS = 9


def usage() -> tuple[float, float, float]:
    """Seconds so far: on the clock, in this program, and in the kernel for it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime, used.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep-nothing", action="store_true")
    args = parser.parse_args()
    changes = {"prior.base": str(shipped.MODEL), "data.styles": ()}
    config = override(load("thumbnail64_prior"), changes)
    batch, width = config.train.batch_size, config.prior.width
    if not args.keep_nothing:
        keep_freed_memory()
    encoder = read(shipped.MODEL).header.encoder
    dataset = replace(random_dataset(2 * batch, 256), encoder=encoder)
    trainer = Trainer(config, dataset)
    count = first_chunk(trainer)[1].shape[0]
    x = jnp.ones((batch * TOKENS, width))
    w = jnp.ones((width, 4 * width))
    product = jax.jit(lambda x, w: bfloat16_dot(x, w, 1, 0))
    call, seconds, rates = chunk(trainer), [], []
    shares: list[tuple[float, float]] = []

    def timed(run: Any) -> float:
        start = time.perf_counter()
        jax.block_until_ready(run())
        return time.perf_counter() - start

    timed(call)
    timed(lambda: product(x, w))
    for _ in range(ROUNDS):
        before = usage()
        jax.block_until_ready(call())
        clock, user, kernel = (b - a for a, b in zip(before, usage(), strict=True))
        seconds.append(clock / count)
        shares.append(((user + kernel) / clock, kernel / (user + kernel)))
        best = statistics.median(timed(lambda: product(x, w)) for _ in range(ROUNDS))
        rates.append(2 * x.shape[0] * width * 4 * width / best)
    step, rate = statistics.median(seconds), statistics.median(rates)
    work = compiled_step(trainer).cost_analysis()["flops"] / count
    print(f"jax {jax.__version__}, {jax.default_backend()}, batch {batch}")
    print(f"{'a step':24}{1e3 * step:8.0f} ms, {batch / step:.0f} pictures/s")
    print(f"{'cores busy':24}{statistics.median(s[0] for s in shares):8.2f}")
    print(f"{'of that in the kernel':24}{statistics.median(s[1] for s in shares):8.1%}")
    print(f"{'a step calculates':24}{work / step / 1e9:8.0f} GFLOP/s")
    print(f"{'one bfloat16 product':24}{rate / 1e9:8.0f} GFLOP/s")


if __name__ == "__main__":
    main()
