"""How near pictures are to training pictures, and the file that knows them."""

from pathlib import Path

import numpy as np
import pytest

from pokejax.images import training_index
from pokejax.images.training_index import IndexFileError, TrainingIndex

RNG = np.random.default_rng(0)
TRAIN = RNG.integers(0, 256, (300, 32, 32, 3), np.uint8)  # more than one block
HELDOUT = RNG.integers(0, 256, (270, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> TrainingIndex:
    path = tmp_path_factory.mktemp("index") / "deep" / "index.npz"
    TrainingIndex.of(TRAIN, HELDOUT).write(path)
    return training_index.read(path)


def test_a_copy_and_its_mirror_image_are_no_way_off(index: TrainingIndex):
    assert index.train.shape == (300, 8, 8, 3) and index.heldout.shape == (270,)
    for picture in (TRAIN[299], TRAIN[0, :, ::-1]):
        assert index.nearness(picture) == (0, 0)
    large = TRAIN[7].repeat(2, axis=0).repeat(2, axis=1)
    assert index.nearness(large) == (0, 0)


def test_distances_are_of_mean_colours_and_ranked_among_real_ones(index: TrainingIndex):
    def rough(picture: np.ndarray) -> np.ndarray:
        return picture.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3)) / 255

    def distance(picture: np.ndarray) -> float:
        return min(
            float(np.sqrt(((rough(mine) - rough(other)) ** 2).mean()))
            for other in TRAIN
            for mine in (picture, picture[:, ::-1])
        )

    by_hand = [distance(picture) for picture in HELDOUT[:3]]
    found = [index.nearness(picture) for picture in HELDOUT[:3]]
    np.testing.assert_allclose([f.distance for f in found], by_hand, atol=0.003)
    ranks = [np.mean(index.heldout < f.distance) for f in found]
    assert [f.nearer for f in found] == ranks
    black = np.zeros((32, 32, 3), np.uint8)
    assert index.nearness(black).nearer == 1


@pytest.mark.parametrize("content", [b"", b"not a file of numbers", b"PK\x03\x04torn"])
def test_what_is_no_index_is_told_in_one_line(tmp_path: Path, content: bytes):
    path = tmp_path / "index.npz"
    with pytest.raises(IndexFileError, match="can't be read: No such file"):
        training_index.read(path)
    path.write_bytes(content)
    with pytest.raises(IndexFileError, match=r"no index of training pictures.*--index"):
        training_index.read(path)
    np.savez(path, train=np.zeros((2, 4, 4, 3), np.uint8), heldout=np.zeros(2, "f"))
    with pytest.raises(IndexFileError, match="no index of training pictures"):
        training_index.read(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(IndexFileError, match="no index of training pictures"):
        training_index.read(tmp_path / "one.npy")
