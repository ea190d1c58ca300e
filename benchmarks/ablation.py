"""One change a row: what each difference from the original's recipe is worth.

    python benchmarks/ablation.py --data pokemon-cifar-64

Every row trains on the same number of pictures with the same seed, in batches of 32,
and is measured on the validation species, which no row trains on. Samples come from
z ~ N(0, 1): the learned prior is not part of this. A row whose results for these
settings lie in `--out` already isn't run again. Three of the changes live only here:
free bits, nearest upsampling followed by a convolution, and residual blocks around the
vector latent.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MENDED_KL = [
    "--loss.kl_per_dimension",
    "--loss.kl_weight=0.1",
    "--loss.annealing=constant",
]
BASE = [*MENDED_KL, "--train.learning_rate=1e-3"]
SPATIAL = ["--model.latent=spatial", "--model.blocks=1"]
# What a row is called, and the options that make it; those in PATCHES change code.
ROWS: dict[str, list[str]] = {
    "original64": [],
    "original64 + KL per pixel value, 0.1": MENDED_KL,
    "that + step size 1e-3: base": BASE,
    "base + free bits": BASE,
    "base + upsampling and convolution": BASE,
    "base + residual blocks": BASE,
    "base + LPIPS weight 0.4": [*BASE, "--loss.perceptual_weight=0.4"],
    "base + hidden attributes": [*BASE, "--train.attribute_drop_prob=0.1"],
    "base + mirrored, shifted, scaled": [
        *BASE,
        "--data.flip",
        "--data.max_shift=0.05",
        "--data.max_scale=0.1",
    ],
    "base + averaged weights": [*BASE, "--train.ema_decay=0.999"],
    "base + no dropout": [*BASE, "--model.dropout=0"],
    "base + spatial latent": [*BASE, *SPATIAL],
}
FREE_NATS = 0.25  # a dimension


def free_bits() -> None:
    """Below `FREE_NATS`, a dimension's KL costs nothing.

    Source: Kingma et al., arXiv 1606.04934; here for each picture, not each batch.
    """
    import jax.numpy as jnp

    from pokejax.training import losses

    kl = losses.kl
    losses.kl = lambda mean, logvar: jnp.maximum(kl(mean, logvar), FREE_NATS)


def upsample() -> None:
    """Nearest neighbour and a 3x3 convolution (Odena et al., distill.pub/2016)."""
    import jax.numpy as jnp
    from flax import nnx

    from pokejax.models import cvae

    class Upsample(nnx.Module):
        def __init__(self, in_features: int, out_features: int, *, rngs: nnx.Rngs):
            self.conv = nnx.Conv(in_features, out_features, (3, 3), rngs=rngs)

        def __call__(self, x):
            return self.conv(jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2))

    cvae.UpConv = Upsample


def residual() -> None:
    """A residual block after each doubling but the last, which gives the picture."""
    from flax import nnx

    from pokejax.models import convs, cvae
    from pokejax.models.spatial import ResBlock

    class Refined(nnx.Module):
        def __init__(self, in_features: int, out_features: int, *, rngs: nnx.Rngs):
            self.up = convs.UpConv(in_features, out_features, rngs=rngs)
            wide = out_features % 8 == 0
            self.block = ResBlock(out_features, rngs=rngs) if wide else None

        def __call__(self, x):
            x = self.up(x)
            return x if self.block is None else self.block(x)

    cvae.UpConv = Refined


PATCHES = {
    "base + free bits": free_bits,
    "base + upsampling and convolution": upsample,
    "base + residual blocks": residual,
}


def train_and_measure(row: str, args: argparse.Namespace) -> None:
    """One row, in this process; its results are written last."""
    if row in PATCHES:
        PATCHES[row]()

    from pokejax import train
    from pokejax.evaluation import adherence, quality, subject
    from pokejax.evaluation.protocol import quick
    from pokejax.evaluation.reference import Reference
    from pokejax.files import whole_file

    results_path = results_of(row, args)
    workdir = results_path.with_suffix("")
    settings = [f"--data.dir={args.data}", f"--train.workdir={workdir}"]
    settings += [f"--train.epochs={args.epochs}", f"--train.seed={args.seed}"]
    settings += ["--train.batch_size=32", f"--train.sample_every={args.epochs}"]
    settings += ["--resume=auto"]
    code = train.main(["--config=configs/original64.py", *ROWS[row], *settings])
    if code:
        raise SystemExit(code)
    bundle, dataset = subject.load(workdir / "model.safetensors", args.data)
    reference = Reference(dataset, "val", args.data)
    rebuilt = subject.rebuild(bundle, reference, reference.prompt_rows(args.seed))
    sampler = subject.sampler_for(bundle, reference)
    results: dict[str, Any] = {
        "reconstruction": quality.reconstruction(rebuilt, reference.heldout.images[:]),
        "latent": quality.latent_health(rebuilt),
        "color_prompts": adherence.color_prompts(sampler, num=220, seed=args.seed),
        **quick(sampler, reference, seed=args.seed),
    }
    with whole_file(results_path) as partial:
        partial.write_text(json.dumps(results, indent=1))


def results_of(row: str, args: argparse.Namespace) -> Path:
    """Where a row's results for these settings are, or will be."""
    name = re.sub(r"[^a-z0-9]+", "-", row.lower()).strip("-")
    return args.out / f"{name}_{args.epochs}_epochs_seed_{args.seed}.json"


def markdown(found: dict[str, dict[str, Any]]) -> str:
    """The table, a line for each row that has results."""
    lines = [
        "| row | rebuilt: L1 | LPIPS | units used | KL, nats | drawn: FID | KID × 1000"
        " | colour | in plain prompts |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row, results in found.items():
        rebuilt, drawn = results["reconstruction"], results["generation"]["drawn"]
        latent, color = results["latent"], results["adherence"]["primary_color"]
        lines.append(
            f"| {row} | {rebuilt['l1']:.3f} | {rebuilt['lpips']:.3f}"
            f" | {latent['active_units']} of {latent['units']}"
            f" | {latent['kl_nats']:.1f} | {drawn['fid']:.0f}"
            f" | {1000 * drawn['kid']:.0f} | {100 * color['drawn']['score']:.0f} %"
            f" | {100 * results['color_prompts']['score']:.0f} % |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Train and measure variants of the original's recipe.",
        epilog="example: python benchmarks/ablation.py --data pokemon-cifar-64",
    )
    parser.add_argument("--data", type=Path, default=Path("pokemon-cifar-64"))
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--epochs", type=int, default=4, help="of each row")
    parser.add_argument("--seed", type=int, default=0, help="of each row")
    parser.add_argument("--row", choices=ROWS, help="only this one")
    args = parser.parse_args(argv)
    if args.row:
        train_and_measure(args.row, args)
        return
    found: dict[str, dict[str, Any]] = {}
    for row in ROWS:
        path = results_of(row, args)
        if not path.exists():
            # In a process of its own: some rows change the code.
            again = ["--data", str(args.data), "--out", str(args.out), "--row", row]
            again += ["--epochs", str(args.epochs), "--seed", str(args.seed)]
            subprocess.run([sys.executable, __file__, *again], check=True)
        found[row] = json.loads(path.read_text("utf-8"))
    print(markdown(found))


if __name__ == "__main__":
    main()
