"""How much of a person's prompt survives: a linear probe of the text encoder.

Trains one linear classifier from the offline text embedding of all written prompts to
the picture's main color, one to its first type, and tests them on prompts that were
written by people who hadn't seen the vocabulary. The second row is the rule-based
reader on the same prompts. Needs images with metadata:

    python -m data_tools.generate_metadata --images-dir images
    python benchmarks/prompt_probe.py --images-dir images
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from pokejax.attributes import COLORS, TYPES, attributes_from_metadata
from pokejax.prompts.rules import parse_by_rules
from pokejax.text.static import StaticTextEncoder

FIELDS = {"primary_color": COLORS, "type1": TYPES}
FREE_PROMPTS = Path(__file__).with_name("free_prompts.json")


def load_written(images_dir: Path) -> tuple[list[str], dict[str, np.ndarray], int]:
    """All prompts under `images_dir`, their labels by field, the number of species."""
    prompts: list[str] = []
    labels: dict[str, list[int]] = {name: [] for name in FIELDS}
    species: set[str] = set()
    for path in sorted(images_dir.glob("*/*.json")):
        metadata = json.loads(path.read_text("utf-8"))
        if "prompts" not in metadata:
            continue  # facts that a source left beside its pictures
        attributes = attributes_from_metadata(metadata)
        if attributes.type1 is None or attributes.primary_color is None:
            continue
        species.add(path.parent.name)
        prompts += metadata["prompts"]
        for name, vocabulary in FIELDS.items():
            label = vocabulary.index(getattr(attributes, name))
            labels[name] += [label] * len(metadata["prompts"])
    return prompts, {k: np.array(v) for k, v in labels.items()}, len(species)


def fit(x: np.ndarray, y: np.ndarray, classes: int, steps: int = 300) -> np.ndarray:
    """Multinomial logistic regression by Adam on the whole set.

    Classes weigh the same in the loss: how many sprites are blue says nothing of how
    often people ask for blue.

    Args:
      x: `n d` features with a constant column.
      y: `n` class ids.
      classes: how many there are.
      steps: of full-batch gradient descent; the loss is flat well before 300.

    Returns:
      `d classes` weights.
    """
    weight = 1 / np.maximum(np.bincount(y, minlength=classes), 1)[y]
    weight = (weight / weight.sum()).astype(np.float32)[:, None]
    w = np.zeros((x.shape[1], classes), np.float32)
    mean, square = np.zeros_like(w), np.zeros_like(w)
    target = np.eye(classes, dtype=np.float32)[y]
    for step in range(1, steps + 1):
        logits = x @ w
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        grad = x.T @ (weight * (p - target)) + 1e-4 * w
        mean = 0.9 * mean + 0.1 * grad
        square = 0.99 * square + 0.01 * grad**2
        scale = np.sqrt(square / (1 - 0.99**step)) + 1e-8
        w -= 0.05 * mean / (1 - 0.9**step) / scale
    return w


def features(prompts: list[str]) -> np.ndarray:
    """`n 257`: embeddings at root mean square 1, and a constant."""
    x = StaticTextEncoder.load().encode(prompts)
    rms = np.sqrt((x**2).mean(1, keepdims=True))
    x = x / np.maximum(rms, 1e-6)
    return np.concatenate([x, np.ones((len(x), 1), np.float32)], 1)


def main() -> int:
    """Print the counts and the scores; 2 if there is nothing to train on."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--images-dir", type=Path, default=Path("images"))
    args = parser.parse_args()
    prompts, labels, species = load_written(args.images_dir)
    if not prompts:
        print(f"no metadata in {str(args.images_dir)!r}", file=sys.stderr)
        return 2
    free = json.loads(FREE_PROMPTS.read_text("utf-8"))
    print(f"{len(prompts)} written prompts of {species} species, {len(free)} free ones")
    x, x_free = features(prompts), features([f["prompt"] for f in free])
    readings = [parse_by_rules(f["prompt"]).attributes for f in free]
    for name, vocabulary in FIELDS.items():
        said = [i for i, f in enumerate(free) if f[name] is not None]
        truth = [free[i][name] for i in said]
        w = fit(x, labels[name], len(vocabulary))
        probe = [vocabulary[k] for k in (x_free[said] @ w).argmax(1)]
        read = [getattr(readings[i], name) for i in said]
        silent = [r for r, f in zip(readings, free, strict=True) if f[name] is None]
        invented = sum(getattr(r, name) is not None for r in silent)
        hits = sum(a == b for a, b in zip(probe, truth, strict=True))
        read_hits = sum(a == b for a, b in zip(read, truth, strict=True))
        unread = sum(r is None for r in read)
        print(f"{name}: {len(said)} free prompts say it")
        print(f"  linear probe  {hits / len(said):.1%} right")
        print(
            f"  parse_by_rules {read_hits / len(said):.1%} right, "
            f"{unread / len(said):.1%} unread, "
            f"{(len(said) - read_hits - unread) / len(said):.1%} wrong; "
            f"reads it into {invented} of {len(silent)} that don't say it"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
