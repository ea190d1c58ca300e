"""CIFAR directory, TFDS copy, packed file; resident or streamed: the same training."""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest

from data_tools.pokemon_cifar import __main__ as build_tfds
from pokejax import train
from pokejax.config import Config, override
from pokejax.data import dataset as data
from pokejax.data.fingerprint import fingerprint
from pokejax.data.split import Dataset
from pokejax.data.stream import stream
from pokejax.data.tfds import LazyPictures
from pokejax.training.trainer import Trainer
from tests.conftest import TINY
from tests.helpers.hosts import by_flags


@pytest.fixture(scope="module")
def tfds_copy(drawn_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tfds")
    shutil.copytree(drawn_dataset, root / "pokemon-cifar-32-balanced")
    argv = ["--manual-dir", str(root), "--data-dir", str(root), "--image-size", "32"]
    assert build_tfds.main([*argv, "--balanced"]) == 0
    (prepared,) = (root / "pokemon_cifar" / "32x32_balanced").glob("[0-9]*")
    return prepared


def config_of(path: Path, **changes) -> Config:
    _, config = train.parse_arguments([*TINY, "--data.dir", str(path)])
    return override(config, {"data.flip": True, "data.max_shift": 0.1} | changes)


def load(config: Config) -> Dataset:
    return data.load(config.data, config.text)


def test_tfds_holds_what_the_pickles_hold(drawn_dataset: Path, tfds_copy: Path):
    ours, theirs = (load(config_of(path)) for path in (tfds_copy, drawn_dataset))
    np.testing.assert_array_equal(ours.text_emb, theirs.text_emb)
    for name, split in theirs.splits.items():
        for key, value in vars(split).items():
            np.testing.assert_array_equal(getattr(ours.splits[name], key), value)
    lazy = load(config_of(tfds_copy, **{"data.resident_mb": 0}))
    assert fingerprint(ours) == fingerprint(theirs) == fingerprint(lazy)


def test_a_large_tfds_copy_is_read_on_demand(drawn_dataset: Path, tfds_copy: Path):
    lazy = load(config_of(tfds_copy, **{"data.resident_mb": 0})).splits["train"]
    whole = load(config_of(drawn_dataset)).splits["train"]
    assert isinstance(lazy.images, LazyPictures)
    assert (lazy.images.shape, lazy.images.nbytes) == (
        whole.images.shape,
        whole.images.nbytes,
    )
    rows = np.array([5, 0, 5])
    np.testing.assert_array_equal(lazy.take(rows).images, whole.images[rows])


def test_streamed_equals_resident_bit_for_bit(drawn_dataset: Path, tfds_copy: Path):
    results = []
    for path, resident_mb in ((drawn_dataset, 1), (drawn_dataset, 0), (tfds_copy, 0)):
        config = config_of(path, **{"data.resident_mb": resident_mb})
        trainer = Trainer(config, load(config))
        losses = trainer.train_epoch(1), trainer.evaluate("val")[0]
        results.append((losses, jax.tree.leaves(trainer.state.params)))
    (losses, params), *others = results
    for streamed_losses, streamed_params in others:
        assert streamed_losses == losses
        for a, b in zip(streamed_params, params, strict=True):
            np.testing.assert_array_equal(a, b)


def test_stream_is_shared_by_processes_and_can_be_checkpointed(drawn_dataset: Path):
    split = load(config_of(drawn_dataset)).splits["train"]

    def rows_of_step(step: int) -> np.ndarray:
        return data.Order(0, split.weights, 8).rows(step)

    whole = list(stream(split, rows_of_step, 0, 4))
    halves = [
        list(stream(split, rows_of_step, 0, 4, process_index=i, process_count=2))
        for i in (0, 1)
    ]
    for step, batch in enumerate(whole):
        parts = [half[step].images[:] for half in halves]
        np.testing.assert_array_equal(np.concatenate(parts), batch.images[:])
    batches = stream(split, rows_of_step, 0, 4)
    next(batches)
    state = batches.get_state()  # pyright: ignore[reportAttributeAccessIssue]
    again = stream(split, rows_of_step, 0, 4)
    again.set_state(state)  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_array_equal(next(again).images[:], whole[1].images[:])
    with pytest.raises(ValueError, match="8 can't be shared by 3"):
        next(stream(split, rows_of_step, 0, 4, process_count=3))


# What training's steps are given on one host, without the training.
HOST = """
import sys
import numpy as np
from pokejax import train
from pokejax.data import dataset
from pokejax.training.feed import Feed
from pokejax.training.mesh import join_processes, make_mesh

_, config = train.parse_arguments(sys.argv[2:])
join_processes(config)
feed = Feed(config, dataset.load(config.data, config.text), make_mesh(config))
steps = feed.steps_per_epoch
epochs = [
    np.concatenate(
        [
            np.asarray(shard.data)
            for _, part, _ in feed.train_batches(epoch * steps, (epoch + 1) * steps)
            for shard in part.images.addressable_shards
        ]
    )
    for epoch in range(2)
]
np.savez(sys.argv[1], *epochs)
"""


def test_two_hosts_see_each_record_of_the_shards_once_an_epoch(
    tfds_copy: Path, tmp_path: Path
):
    options = [*TINY, f"--data.dir={tfds_copy}", "--data.resident_mb=0"]
    files = [tmp_path / f"host{i}.npz" for i in (0, 1)]
    hosts = [
        subprocess.Popen([sys.executable, "-c", HOST, str(file), *told], env=env)
        for file, (told, env) in zip(files, by_flags(options), strict=True)
    ]
    try:
        assert [host.wait(300) for host in hosts] == [0, 0]
    finally:
        for host in hosts:
            host.kill()
    seen = [list(np.load(file).values()) for file in files]
    images = load(config_of(tfds_copy)).splits["train"].images[:]
    there = Counter(image.tobytes() for image in images)
    for ours, theirs in zip(*seen, strict=True):
        assert len(ours) == len(theirs) == len(images) // 8 * 4
        pictures = Counter(image.tobytes() for image in (*ours, *theirs))
        # All but the remainder that makes no batch.
        assert pictures <= there and (there - pictures).total() == len(images) % 8
    first, second = ({image.tobytes() for image in epoch} for epoch in seen[0])
    assert first != second  # each host sees others in the next epoch


def test_preprocessing_changes_what_training_sees(drawn_dataset: Path):
    plain = load(config_of(drawn_dataset)).splits["val"].images[:]
    config = config_of(drawn_dataset, **{"data.use_preprocessing": True})
    mended = load(config).splits["val"].images[:]
    assert mended.shape == plain.shape
    assert not np.array_equal(mended, plain)
    assert (mended[:, 0, 0] == 255).all()
