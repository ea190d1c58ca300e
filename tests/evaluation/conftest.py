"""A dataset in memory of drawn creatures, whose shapes and colours are plain to see."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pokejax.attributes import SHAPES, SIZES, TYPES, Attributes
from pokejax.config import TextConfig
from pokejax.data.split import Dataset, Split
from pokejax.evaluation.reference import Reference
from tests.helpers.drawn import PALETTE, draw_creature


def paint(attributes: Attributes, seed: int) -> np.ndarray:
    """What shows shape and colour as asked, and knows nothing of type and size."""
    color, shape = attributes.primary_color, attributes.shape
    assert color and shape
    image = draw_creature(np.random.default_rng(seed), color, shape, 64)
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image)
    return np.asarray(ground)


def _split(n: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    records = [
        Attributes(
            type1=str(rng.choice(TYPES[:4])),
            primary_color=str(rng.choice(list(PALETTE))),
            shape=SHAPES[i % len(SHAPES)],
            size=str(rng.choice(SIZES)),
        )
        for i in range(n)
    ]
    images = np.stack([paint(r, 1000 * seed + i) for i, r in enumerate(records)])
    rows = np.arange(n, dtype=np.int32)
    ids = np.stack([record.ids() for record in records])
    alpha = np.full(images.shape[:3], 255, np.uint8)
    counts = np.ones(n, np.int32)
    return Split(images, alpha, ids, rows[:, None], counts, np.ones(n, np.float32))


@pytest.fixture(scope="session")
def creatures() -> Dataset:
    """160 creatures to train on, 48 to test."""
    splits = {"train": _split(160, 1), "val": _split(8, 2), "test": _split(48, 3)}
    text_emb = np.zeros((160, 4), np.float16)
    return Dataset(splits, text_emb, "none", TextConfig())


@pytest.fixture(scope="session")
def reference(creatures: Dataset, tmp_path_factory: pytest.TempPathFactory):
    """The test split, held against the training pictures."""
    folder: Path = tmp_path_factory.mktemp("reference")
    return Reference(creatures, "test", folder)
