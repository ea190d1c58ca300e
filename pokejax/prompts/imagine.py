"""What a prompt leaves open, imagined: as it is in some creature that fits the rest.

Real captions say nearly everything of a picture, so a prior draws worse from a prompt
that says little, and much the same whatever it says. `creatures.npy` holds the
attributes of training pictures, a row each, made by `data_tools.known_creatures`; a
row that fits what is known is picked by the picture's seed.
"""

import functools
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from pokejax.attributes import CONDITIONS, UNKNOWN_ID, VOCABULARIES

CREATURES = Path(__file__).with_name("creatures.npy")


def imagined(
    ids: Int[np.ndarray, " 12"], seed: int, avoided: Int[np.ndarray, " 12"] | None
) -> Int[np.ndarray, " 12"]:
    """The ids of all conditions, with those that were unknown picked by the seed.

    Args:
      ids: what is known, in the order of `CONDITIONS`; view and style stay.
      seed: of the picture.
      avoided: what it mustn't have, or None.

    Returns:
      `ids` itself, if nothing is unknown or no creature will do.
    """
    count = len(VOCABULARIES)
    known = ids[:count] != UNKNOWN_ID
    if known.all():
        return ids
    table = _table()
    fits = (table == ids[None, :count])[:, known].sum(axis=1)
    if avoided is not None:
        fits = np.where(_has_any(table, avoided[:count]), -1, fits)
    if fits.max() < 0:
        return ids
    rows = np.flatnonzero(fits == fits.max())
    row = table[np.random.default_rng(seed).choice(rows)]
    return np.concatenate([np.where(known, ids[:count], row), ids[count:]])


def _has_any(
    table: Int[np.ndarray, "n k"], ids: Int[np.ndarray, " k"]
) -> Bool[np.ndarray, " n"]:
    return ((table == ids[None]) & (ids != UNKNOWN_ID)[None]).any(axis=1)


@functools.cache
def _table() -> Int[np.ndarray, "n 10"]:
    assert list(CONDITIONS)[: len(VOCABULARIES)] == list(VOCABULARIES)
    return np.load(CREATURES, allow_pickle=False).astype(np.int32)
