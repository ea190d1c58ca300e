"""Whether prompts say what a creature is: the true noun among twenty, by embedding.

Takes one prompt of each picture at random, embeds it with the offline encoder, and
asks which of twenty nouns is nearest: the first one that `species.txt` has for the
creature, and those of nineteen others. A guess is right in 5 %. Needs images with
metadata:

    python -m data_tools.generate_metadata --images-dir images
    python benchmarks/caption_retrieval.py --images-dir images
"""

import argparse
import json
import random
import sys
from pathlib import Path

import numpy as np

from data_tools import species
from pokejax.text.static import StaticTextEncoder

CANDIDATES = 20


def load_prompts(
    images_dir: Path, pattern: str, rng: random.Random
) -> list[tuple[str, str]]:
    """A prompt and the creature's noun, for each picture whose creature has one."""
    pairs: list[tuple[str, str]] = []
    for path in sorted(images_dir.glob(pattern)):
        prompts = json.loads(path.read_text("utf-8")).get("prompts")
        entry = species.find(path.parent.name)
        if prompts and entry:
            pairs.append((rng.choice(prompts), entry.nouns[0]))
    return pairs


def main() -> int:
    """Print the share of prompts whose noun is found; 2 if there are none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--images-dir", type=Path, default=Path("images"))
    parser.add_argument(
        "--glob", default="*/*_front.json", help="of metadata (*/*_front.json)"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    pairs = load_prompts(args.images_dir, args.glob, rng)
    if not pairs:
        print(f"no metadata in {str(args.images_dir)!r}", file=sys.stderr)
        return 2
    encoder = StaticTextEncoder.load()
    nouns = sorted({noun for _, noun in pairs})
    of_noun = dict(zip(nouns, encoder.encode(nouns), strict=True))
    found, said = 0, 0
    for (prompt, noun), embedded in zip(
        pairs, encoder.encode([prompt for prompt, _ in pairs]), strict=True
    ):
        others = rng.sample([n for n in nouns if n != noun], CANDIDATES - 1)
        score = [float(np.dot(embedded, of_noun[n])) for n in (noun, *others)]
        found += score[0] > max(score[1:])
        said += noun in prompt
    total = len(pairs)
    print(
        f"{total} prompts, {len(nouns)} nouns; {said / total:.1%} say theirs literally"
    )
    print(f"true noun nearest of {CANDIDATES}: {found / total:.1%} (a guess: 5.0%)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
