"""Does a model do as the prompt says? Colour adherence, measured on pixels.

Every colour is asked for equally often, in prompts that differ in everything else, and
the dominant colour of each picture's foreground is measured by the rule that labels the
training pictures (`pokejax.colors`). No classifier, no judgement by eye.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import trange

from pokejax.attributes import COLORS
from pokejax.bundle import BundleError
from pokejax.colors import primary_and_secondary
from pokejax.sampler import Sampler

# The words beside the colour say nothing of colour themselves.
_PROMPTS = (
    "a {} creature",
    "a small {} monster on four legs",
    "a huge {} beast",
    "draw a {} animal with wings",
    "{} bipedal creature, medium size",
)


def color_adherence(sampler: Sampler, *, num: int, seed: int) -> dict[str, object]:
    """How often the dominant foreground colour is the one asked for.

    Args:
      sampler: the model under test.
      num: pictures in all, from 1 up; colours and prompts take turns.
      seed: of the first picture.

    Returns:
      `accuracy` in [0, 1] over all pictures, its 95 % interval (Wilson), `chance`
      (always naming the colour drawn most), and the accuracy of each colour.
    """
    asked: list[str] = []
    drawn: list[str | None] = []
    for i in trange(num, desc="drawing", unit="picture"):
        color = COLORS[i % len(COLORS)]
        prompt = _PROMPTS[i // len(COLORS) % len(_PROMPTS)].format(color.lower())
        (sample,) = sampler.generate(prompt, seed=seed + i)
        asked.append(color)
        drawn.append(_primary(Image.fromarray(sample.image)))
    hits = np.array([a == d for a, d in zip(asked, drawn, strict=True)])
    return {
        "num": num,
        "seed": seed,
        "model": sampler.bundle.model_id,
        "accuracy": float(hits.mean()),
        "interval_95": wilson_interval(int(hits.sum()), num),
        "chance": 1 / len(COLORS),
        "by_color": {
            color: float(hits[rows].mean())
            for color in COLORS
            if (rows := np.array([a == color for a in asked])).any()
        },
    }


def _primary(image: Image.Image) -> str | None:
    try:
        return primary_and_secondary(image)[0]
    except ValueError:  # blank: no colour at all, so a miss
        return None


def wilson_interval(hits: int, num: int) -> tuple[float, float]:
    """The 95 % interval of a share of `hits` in `num` trials.

    Source: E. B. Wilson, JASA 22 (1927), 209-212.
    """
    z = 1.959964
    share = hits / num
    middle = share + z**2 / (2 * num)
    half = z * np.sqrt(share * (1 - share) / num + z**2 / (4 * num**2))
    scale = 1 + z**2 / num
    return float((middle - half) / scale), float((middle + half) / scale)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when measured, 2 on bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m pokejax.evaluate",
        description=(
            "Measure how often generated pictures have the colour that was asked for."
        ),
        epilog=(
            "example: python -m pokejax.evaluate"
            " --model runs/quickstart/model.safetensors --num 200 --out results.json"
        ),
    )
    parser.add_argument(
        "--model",
        type=Path,
        required=True,
        help="bundle, or a training run's directory",
    )
    parser.add_argument("--num", type=int, default=200, help="pictures (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the first (default: 0)")
    parser.add_argument("--out", type=Path, help="write the results here, too, as JSON")
    args = parser.parse_args(argv)
    try:
        if args.num < 1:
            raise ValueError(f"num is {args.num}; expected 1 or more")
        sampler = Sampler.load(args.model)
        results = color_adherence(sampler, num=args.num, seed=args.seed)
        text = json.dumps({"color_adherence": results}, indent=2)
        if args.out:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            partial = args.out.with_suffix(".tmp")
            partial.write_text(text + "\n")
            os.replace(partial, args.out)
    except (BundleError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
