"""Distances between sets of feature vectors, fidelity of pictures, and intervals.

Pure NumPy in float64; knows nothing of models, features or files.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

# Student's t at 97.5 % for 19 degrees of freedom: intervals come from 20 blocks.
_BLOCKS = 20
MIN_ROWS = 2 * _BLOCKS  # that an interval needs
_T_19 = 2.093
_Z = 1.959964  # of the normal distribution at 97.5 %

Interval = tuple[float, float]


class Share(NamedTuple):
    """How often something happened, with a 95 % interval (Wilson)."""

    num: int
    score: float
    interval_95: Interval


def fid(x: Float[np.ndarray, "m d"], y: Float[np.ndarray, "n d"]) -> float:
    """Squared Fréchet distance of the Gaussians with the moments of two sets.

    Biased upwards by about the number of dimensions over the number of rows, so compare
    it only at equal counts and with the distance of real from real.

    Source: Heusel et al., arXiv 1706.08500. The trace of the root of a product is taken
    of the symmetric form, whose eigenvalues are real.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values, vectors = np.linalg.eigh(cov_x)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.linalg.eigvalsh(root @ cov_y @ root)
    trace = np.trace(cov_x) + np.trace(cov_y) - 2 * np.sqrt(np.maximum(shared, 0)).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + trace)


def kid(x: Float[np.ndarray, "m d"], y: Float[np.ndarray, "n d"]) -> float:
    """Squared maximum mean discrepancy under the kernel `(x·y / d + 1)^3`.

    The unbiased estimate: for two samples of one distribution its mean is 0, so it can
    come out negative.

    Source: Bińkowski et al., arXiv 1801.01401, eq. 4, on all rows at once.
    """
    return _mmd(_cubic(x, x), _cubic(y, y), _cubic(x, y))


def fid_interval(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n d"]) -> Interval:
    """95 % interval of `fid(x, y)`; see `block_interval`."""
    return block_interval(lambda keep: fid(x[keep], y[keep]), len(x))


def kid_interval(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n d"]) -> Interval:
    """95 % interval of `kid(x, y)`; see `block_interval`."""
    kernels = _cubic(x, x), _cubic(y, y), _cubic(x, y)
    return block_interval(
        lambda keep: _mmd(*(k[np.ix_(keep, keep)] for k in kernels)), len(x)
    )


def block_interval(
    statistic: Callable[[Bool[np.ndarray, " n"]], float], n: int
) -> Interval:
    """95 % interval of a statistic of two sets, by a jackknife over 20 blocks of rows.

    Neighbouring rows are left out together, from both sets: in a held-out split they
    are pictures of one species, and row i of a drawn set answers to row i of the real
    one, so single rows are not independent.

    Args:
      statistic: a function of the rows to keep.
      n: rows of either set, 40 or more.

    Raises:
      ValueError: too few rows.
    """
    if n < MIN_ROWS:
        raise ValueError(f"an interval needs {MIN_ROWS} rows or more; got {n}")
    block = np.arange(n) * _BLOCKS // n
    without = np.array([statistic(block != b) for b in range(_BLOCKS)])
    error = np.sqrt((_BLOCKS - 1) / _BLOCKS * ((without - without.mean()) ** 2).sum())
    value = statistic(np.ones(n, bool))
    return float(value - _T_19 * error), float(value + _T_19 * error)


def prdc(
    real: Float[np.ndarray, "m d"], fake: Float[np.ndarray, "n d"], *, k: int = 5
) -> dict[str, float]:
    """Precision, recall, density and coverage, from balls to the k-th neighbour.

    Precision: share of fakes inside a real picture's ball. Recall: share of reals
    inside a fake's. Density: in how many real balls a fake lies, over k. Coverage:
    share of reals whose ball holds a fake.

    Source: Naeem et al., arXiv 2002.09797; precision and recall as Kynkäänniemi et al.,
    arXiv 1904.06991.

    Raises:
      ValueError: a set has no more than `k` rows.
    """
    if min(len(real), len(fake)) <= k:
        raise ValueError(f"k is {k}; expected less than either set's number of rows")
    across = squared_distances(real, fake)
    # Column k: a row's nearest neighbour in its own set is itself.
    real_radius = np.partition(_within(real), k, axis=1)[:, k]
    fake_radius = np.partition(_within(fake), k, axis=1)[:, k]
    in_real = across < real_radius[:, None]
    return {
        "precision": float(in_real.any(axis=0).mean()),
        "recall": float((across < fake_radius[None, :]).any(axis=1).mean()),
        "density": float(in_real.sum(axis=0).mean() / k),
        "coverage": float((across.min(axis=1) < real_radius).mean()),
    }


def squared_distances(
    x: Float[np.ndarray, "m d"], y: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, "m n"]:
    """Squared Euclidean distance of every row of `x` from every row of `y`."""
    squares = (x**2).sum(1)[:, None] + (y**2).sum(1)[None, :]
    return np.maximum(squares - 2 * x @ y.T, 0)


def psnr(
    x: UInt8[np.ndarray, "n h w 3"], y: UInt8[np.ndarray, "n h w 3"]
) -> Float[np.ndarray, " n"]:
    """Peak signal-to-noise ratio of each pair, dB; infinite for equal pictures."""
    error = ((x.astype(np.float64) - y) ** 2).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / error)


def ssim(
    x: UInt8[np.ndarray, "n h w 3"], y: UInt8[np.ndarray, "n h w 3"]
) -> Float[np.ndarray, " n"]:
    """Structural similarity of each pair, at most 1; the mean over channels.

    Gaussian window of 11 x 11 pixels and standard deviation 1.5, inside the picture
    only; K1 = 0.01, K2 = 0.03, dynamic range 255.

    Source: Wang et al., IEEE TIP 13 (2004), eq. 13.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y = _window(x), _window(y)
    var_x = _window(x * x) - mean_x**2
    var_y = _window(y * y) - mean_y**2
    cov = _window(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * cov + c2) / (var_x + var_y + c2)
    return (luminance * structure).mean(axis=(1, 2, 3))


def share(hits: Bool[np.ndarray, " n"]) -> Share:
    """The share of true values, with its interval."""
    num = len(hits)
    return Share(num, float(hits.mean()), wilson_interval(int(hits.sum()), num))


def chance(asked: Int[np.ndarray, " n"], seen: Int[np.ndarray, " n"]) -> float:
    """The share of agreement if what is seen had nothing to do with what is asked.

    It keeps how often each value is asked for and seen, so naming the commonest value
    always scores no better than chance.
    """
    size = int(max(asked.max(), seen.max())) + 2  # -1 stands for neither
    counts = (np.bincount(ids + 1, minlength=size) for ids in (asked, seen))
    asked_share, seen_share = (count[1:] / len(asked) for count in counts)
    return float((asked_share * seen_share).sum())


def wilson_interval(hits: int, num: int) -> Interval:
    """The 95 % interval of a share of `hits` in `num` trials.

    Source: E. B. Wilson, JASA 22 (1927), 209-212.
    """
    share = hits / num
    middle = share + _Z**2 / (2 * num)
    half = _Z * np.sqrt(share * (1 - share) / num + _Z**2 / (4 * num**2))
    scale = 1 + _Z**2 / num
    low, high = (middle - half) / scale, (middle + half) / scale
    return max(0.0, float(low)), min(1.0, float(high))


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (
        np.asarray(x, np.float64) @ np.asarray(y, np.float64).T / x.shape[1] + 1
    ) ** 3


def _mmd(k_xx: np.ndarray, k_yy: np.ndarray, k_xy: np.ndarray) -> float:
    m, n = k_xy.shape
    within_x = (k_xx.sum() - np.trace(k_xx)) / (m * (m - 1))
    within_y = (k_yy.sum() - np.trace(k_yy)) / (n * (n - 1))
    return float(within_x + within_y - 2 * k_xy.mean())


def _within(x: np.ndarray) -> np.ndarray:
    distances = squared_distances(x, x)
    np.fill_diagonal(distances, 0)
    return distances


def _window(x: np.ndarray) -> np.ndarray:
    """Gaussian mean around each pixel that has a whole window; `n h-10 w-10 c`."""
    weights = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    for axis in (1, 2):
        size = x.shape[axis] - 10
        slices = (np.take(x, range(i, i + size), axis) for i in range(11))
        x = sum(w * part for w, part in zip(weights, slices, strict=True))  # pyright: ignore[reportAssignmentType]
    return x
