"""Shiny palettes: borrowed from other species' shinies, against hues turned by rules.

    PYTHONPATH=. python benchmarks/shiny.py --from CHECKOUT

In five folds of species, the palettes of each fold are made without its own shinies.
`one` is the mean distance in OKLab, by pixels, between a made palette and the true
shiny; `best` that of the nearest of some seeds; `change` that from the normal
one.
`told apart` is a judge's: the area under the curve of a logistic regression on
statistics of both palettes that tells true shinies from made ones, of folds it hasn't
seen; 0.5 is a judge that can't tell.
"""

import argparse
import itertools
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from data_tools.shiny_donors import Pair, donors_of, read_pairs
from pokejax.images import shiny
from pokejax.images.colors import oklab, srgb

FOLDS = 5
Maker = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def by_rules(lab: np.ndarray, share: np.ndarray, seed: int) -> np.ndarray:
    """The largest hue group turns, the second half as far or not at all; grays stay."""
    rng = np.random.default_rng(seed)
    groups = shiny.color_groups(lab, share)
    sums = [np.bincount(groups, share * x) for x in (np.ones(len(lab)), *lab.T)]
    chroma = np.hypot(sums[2], sums[3]) / sums[0]
    colored = [g for g in np.argsort(-sums[0]) if chroma[g] > 0.045]
    main = np.radians(rng.choice([-1, 1]) * rng.uniform(40, 150))
    second = main * rng.choice([0, 0.5, -0.5])
    new = lab.copy()
    for group, turn in zip(colored, (main, second), strict=False):
        where = groups == group
        cosine, sine = np.cos(turn), np.sin(turn)
        new[where, 1:] = lab[where, 1:] @ np.array([[cosine, sine], [-sine, cosine]])
    return new


def features(before: np.ndarray, after: np.ndarray, share: np.ndarray) -> np.ndarray:
    """What the judge sees of a palette and its shiny's."""
    moved = np.linalg.norm(after - before, axis=1)
    chromas = [np.hypot(x[:, 1], x[:, 2]) for x in (before, after)]
    hues = [np.arctan2(x[:, 2], x[:, 1]) for x in (before, after)]
    found = [share @ moved, share @ (moved < 0.02), share @ (moved < 1e-3)]
    found += [moved.max(), chromas[1].max(), share @ chromas[1]]
    for values, bounds in (
        (before[:, 0], (0, 0.25, 0.5, 0.8, 2)),
        (chromas[0], (0, 0.03, 0.1, 2)),
    ):
        for low, high in itertools.pairwise(bounds):
            w = share * ((values >= low) & (values < high))
            w = w / max(w.sum(), 1e-9)
            found += [w @ moved, w @ (after - before)[:, 0], w @ chromas[1]]
            found += [w @ (chromas[1] - chromas[0])]
    edges = np.linspace(-np.pi, np.pi, 13)
    for hue, chroma in zip(hues, chromas, strict=True):
        found += [*np.histogram(hue, edges, weights=share * chroma)[0]]
    turns = (hues[1] - hues[0] + np.pi) % (2 * np.pi) - np.pi
    w = share * chromas[0]
    found += [*np.histogram(turns, edges[::2], weights=w)[0] / max(w.sum(), 1e-9)]
    return np.array(found)


def told_apart(true: np.ndarray, made: np.ndarray, folds: np.ndarray) -> float:
    """Area under the judge's curve, each fold judged by one that saw the others."""
    x = np.concatenate([true, made])
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    y = np.repeat([1.0, 0.0], len(true))
    fold = np.tile(folds, 2)
    scores = np.zeros(len(y))
    for held in range(FOLDS):
        seen, unseen = fold != held, fold == held
        weights = np.zeros(x.shape[1])
        for _ in range(20):  # Newton's steps, with some ridge
            p = 1 / (1 + np.exp(-x[seen] @ weights))
            slope = x[seen].T @ (p - y[seen]) + 10 * weights
            bend = (x[seen].T * (p * (1 - p))) @ x[seen] + 10 * np.eye(len(weights))
            weights -= np.linalg.solve(bend, slope)
        scores[unseen] = x[unseen] @ weights
    ranks = np.argsort(np.argsort(scores)) + 1.0
    n = len(true)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * len(made)))


def main(argv: Sequence[str] | None = None) -> int:
    """Print a row for each way of making palettes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="root", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=8, help="for `best`")
    args = parser.parse_args(argv)
    pairs = list(read_pairs(args.root))
    fold = np.array([zlib.crc32(p.species.encode()) % FOLDS for p in pairs])
    donors = [
        shiny.unpacked(donors_of([pairs[i] for i in np.flatnonzero(fold != held)]))
        for held in range(FOLDS)
    ]
    ways: dict[str, Callable[[int], Maker]] = {
        "borrowed": lambda held: (
            lambda lab, share, seed: shiny.borrowed(lab, share, donors[held], seed)
        ),
        "hue rules": lambda held: by_rules,
    }
    print(f"{len(pairs)} pairs of {len({p.species for p in pairs})} species")
    print("| palettes | one | best | change | told apart |")
    print("|---|---:|---:|---:|---:|")
    labs = [(oklab(p.normal / 255.0), oklab(p.shiny / 255.0)) for p in pairs]
    differ = np.array([_distance(*lab, p) for lab, p in zip(labs, pairs, strict=True)])
    visible = differ > 0.05  # as those that are borrowed from
    true = np.array(
        [features(*lab, p.share) for lab, p in zip(labs, pairs, strict=True)]
    )
    print(f"| the true shiny | 0 | 0 | {differ.mean():.3f} | |")
    for name, way in ways.items():
        rows: list[list[float]] = []
        made: list[np.ndarray] = []
        for lab, pair, held in zip(labs, pairs, fold, strict=True):
            drawn = [
                oklab(srgb(way(held)(lab[0], pair.share, seed)) / 255.0)
                for seed in range(args.seeds)
            ]
            away = [_distance(lab[1], other, pair) for other in drawn]
            rows.append([away[0], min(away), _distance(lab[0], drawn[0], pair)])
            made.append(features(lab[0], drawn[0], pair.share))
        auc = told_apart(true[visible], np.array(made)[visible], fold[visible])
        numbers = " | ".join(f"{x:.3f}" for x in (*np.mean(rows, axis=0), auc))
        print(f"| {name} | {numbers} |")
    return 0


def _distance(a: np.ndarray, b: np.ndarray, pair: Pair) -> float:
    return float(pair.share @ np.linalg.norm(a - b, axis=1))


if __name__ == "__main__":
    sys.exit(main())
