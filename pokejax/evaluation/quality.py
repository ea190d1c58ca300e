"""How good pictures are: rebuilt ones, drawn ones, and how far from the training set.

Every function returns plain values for JSON, each beside what real pictures get.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from pokejax.attributes import CONDITIONS, UNKNOWN_ID
from pokejax.evaluation import features, metrics
from pokejax.evaluation.nearest import Nearest
from pokejax.evaluation.reference import Pooled, Reference
from pokejax.evaluation.subject import Rebuilt
from pokejax.images.pixels import to_float, to_uint8
from pokejax.training.latents import ACTIVE_VARIANCE

NEIGHBOURS = 5  # of precision, recall, density and coverage
_FLOOR_DRAWS = 10


def reconstruction(
    rebuilt: Rebuilt, real: UInt8[np.ndarray, "n h w 3"]
) -> dict[str, float]:
    """Mean L1, PSNR, SSIM and LPIPS between pictures and what became of them.

    L1 is in pixel values of [-1, 1], as in training; PSNR is in dB.
    """
    images = to_uint8(rebuilt.images)
    vectors = [
        features.extract(x, progress="features of rebuilt pictures").perceptual
        for x in (images, real)
    ]
    return {
        "l1": float(np.abs(rebuilt.images - to_float(real)).mean()),
        "psnr_db": float(np.minimum(metrics.psnr(images, real), 100).mean()),
        "ssim": float(metrics.ssim(images, real).mean()),
        "lpips": float(((vectors[0] - vectors[1]) ** 2).sum(1).mean()),
    }


def latent_health(rebuilt: Rebuilt) -> dict[str, Any]:
    """KL of each latent number, nats, and how many numbers are in use.

    A number is in use if its posterior mean varies over pictures by more than
    `ACTIVE_VARIANCE`.
    """
    mean, logvar = (x.reshape(len(x), -1) for x in (rebuilt.mean, rebuilt.logvar))
    kl = 0.5 * (np.exp(logvar) + mean**2 - 1 - logvar).mean(0)
    return {
        "active_units": int((mean.var(0) > ACTIVE_VARIANCE).sum()),
        "units": mean.shape[1],
        "kl_nats": float(kl.sum()),
        "kl_per_dimension": [round(float(x), 4) for x in np.sort(kl)[::-1]],
        # The prior that `z ~ N(0, I)` assumes has 1 here.
        "aggregate_std": float(np.sqrt((mean.var(0) + np.exp(logvar).mean(0)).mean())),
    }


def likeness(
    drawn: Float[np.ndarray, "n d"], reference: Reference | Pooled, seed: int
) -> dict[str, Any]:
    """FID, KID, precision, recall, density and coverage of drawn pictures.

    All at equal counts, against the held-out pictures, beside the same of real training
    pictures: the mean over ten draws of as many of them.

    Args:
      drawn: pooled features, row i drawn for held-out picture i; more than 5 rows, and
        40 or more for intervals.
      reference: the real pictures, in the same space.
      seed: of the draws.
    """
    real = reference.heldout_pooled
    x, y = features.fid_projection(drawn), features.fid_projection(real)
    floor = real_floor(reference, seed)
    measured: dict[str, Any] = {
        "fid": metrics.fid(x, y),
        "kid": metrics.kid(drawn, real),
        **metrics.prdc(real, drawn, k=NEIGHBOURS),
    }
    if len(real) >= metrics.MIN_ROWS:
        measured |= {
            "fid_interval_95": metrics.fid_interval(x, y),
            "kid_interval_95": metrics.kid_interval(drawn, real),
        }
    return {
        "num": len(drawn),
        "drawn": measured,
        "real_floor": floor,
        "fid_over_floor": measured["fid"] / floor["fid"],
    }


def kid_by_kind(
    drawn: Float[np.ndarray, "n d"], reference: Reference
) -> dict[str, dict[str, float]]:
    """KID of each style and view by itself, beside that of real training pictures.

    Args:
      drawn: pooled features, row i drawn for held-out picture i.
      reference: kinds of which it holds out fewer than `metrics.MIN_ROWS` pictures are
        left out.
    """
    columns = [list(CONDITIONS).index(name) for name in ("style", "view")]
    kinds, train_kinds = (
        split.attributes[:, columns] for split in (reference.heldout, reference.train)
    )
    found: dict[str, dict[str, float]] = {}
    for kind in np.unique(kinds, axis=0):
        rows = (kinds == kind[None]).all(axis=1)
        if (kind == UNKNOWN_ID).any() or rows.sum() < metrics.MIN_ROWS:
            continue
        words = zip(("style", "view"), kind, strict=True)
        real = reference.heldout_pooled[rows]
        train = reference.train_pooled[(train_kinds == kind[None]).all(axis=1)]
        kid = {"num": int(rows.sum()), "kid": metrics.kid(drawn[rows], real)}
        if len(train) >= metrics.MIN_ROWS:
            kid["real_kid"] = metrics.kid(train, real)
        found[" ".join(CONDITIONS[name][i] for name, i in words)] = kid
    return found


@functools.lru_cache(4)  # while training, each call asks for the same one
def real_floor(reference: Reference | Pooled, seed: int) -> dict[str, float]:
    """The same numbers of training pictures, as many as there are held-out ones."""
    real, train = reference.heldout_pooled, reference.train_pooled
    rng = np.random.default_rng(seed)
    n = min(len(real), len(train))
    y = features.fid_projection(real)
    found: list[dict[str, float]] = []
    for _ in range(_FLOOR_DRAWS):
        some = train[rng.permutation(len(train))[:n]]
        found.append(
            {
                "fid": metrics.fid(features.fid_projection(some), y),
                "kid": metrics.kid(some, real),
                **metrics.prdc(real, some, k=NEIGHBOURS),
            }
        )
    values = {name: np.array([f[name] for f in found]) for name in found[0]}
    spread = {f"{name}_std": float(values[name].std()) for name in ("fid", "kid")}
    return {name: float(v.mean()) for name, v in values.items()} | spread


def diversity(
    groups: Sequence[UInt8[np.ndarray, "k h w 3"]],
    real: UInt8[np.ndarray, "n h w 3"],
    seed: int,
) -> dict[str, float]:
    """Mean LPIPS between two pictures of one prompt, of two prompts, and of real ones.

    Args:
      groups: pictures of one prompt each, as many of every prompt.
      real: held-out pictures, of which random pairs are taken.
      seed: of the pairs.
    """
    rng = np.random.default_rng(seed)
    k = len(groups[0])
    vectors = features.extract(np.concatenate(groups), progress="diversity").perceptual
    rows = np.arange(len(vectors)).reshape(len(groups), k)
    pairs = [(rows[:, i], rows[:, j]) for i in range(k) for j in range(i)]
    within = [((vectors[i] - vectors[j]) ** 2).sum(1).mean() for i, j in pairs]
    some = rng.permutation(len(real))[: len(groups) + 1]
    shown = features.extract(real[some], progress="diversity").perceptual
    return {
        "prompts": len(groups),
        "samples_per_prompt": k,
        "within_prompt": float(np.mean(within)),
        "across_prompts": _neighbours(vectors[rows[rng.permutation(len(rows)), 0]]),
        "real_pairs": _neighbours(shown),
    }


def copying(drawn: Nearest, real: Nearest) -> dict[str, float]:
    """How near drawn pictures come to training pictures, and real held-out ones do.

    Read it with the rest: a blur is far from every picture, too.
    """
    return {
        "num": len(drawn.distance),
        "drawn_median": float(np.median(drawn.distance)),
        "drawn_minimum": float(drawn.distance.min()),
        "heldout_median": float(np.median(real.distance)),
        "heldout_minimum": float(real.distance.min()),
        "ratio_of_medians": float(
            np.median(drawn.distance) / max(np.median(real.distance), 1e-12)
        ),
        # One held-out picture in a hundred is as near; if more are, look at them.
        "drawn_nearer_than_heldout_1_percent": float(
            (drawn.distance < np.quantile(real.distance, 0.01)).mean()
        ),
    }


def _neighbours(vectors: Float[np.ndarray, "n p"]) -> float:
    return float(((vectors[1:] - vectors[:-1]) ** 2).sum(1).mean())
