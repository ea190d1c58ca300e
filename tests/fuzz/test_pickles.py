"""Pickles: any, and those of a dataset."""

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from pokejax import safe_pickle
from pokejax.attributes import RELATIONS, VOCABULARIES
from pokejax.data import cifar
from tests.helpers.fuzzing import SCALARS, VALUES, attempt, damaged, fuzz

SIDE = 16
META: dict[str, Any] = {
    "format_version": cifar.FORMAT_VERSION,
    "image_size": SIDE,
    "vocabularies": {name: list(words) for name, words in VOCABULARIES.items()},
}
BATCH: dict[str, Any] = {
    "data": np.zeros((1, 3 * SIDE**2), np.uint8),
    "alpha": np.zeros((1, SIDE**2), np.uint8),
    "attributes": np.zeros((1, len(VOCABULARIES)), np.int32),
    "weights": np.ones(1, np.float32),
    "filenames": ["Own/own.png"],
    "prompts": [["a creature of our own"]],
    "species": ["Own"],
    "views": ["front"],
    "styles": [""],
    "relatives": np.full((1, len(RELATIONS)), -1, np.int32),
}
# What a pickle machine does, with arguments near to those of real files, and not.
OPCODES = st.sampled_from(
    [
        *(bytes([op]) for op in b".(0123NR)]}abdelopqrstu"),
        *(bytes([op]) for op in b"\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x94\x98"),
        b"\x80\x04",
        *(b"K" + bytes([n]) for n in (0, 1, 255)),
        *(b"J" + n.to_bytes(4, "little") for n in (0, 2**31 - 1, 2**32 - 1)),
        *(op + bytes([n]) for op in (b"q", b"h") for n in (0, 1, 255)),
        *(op + b"\xff\xff\xff\x7f" for op in (b"r", b"j", b"X", b"B", b"T", b"\x8b")),
        *(op + b"\xff" * 7 + b"\x7f" for op in (b"\x8d", b"\x8e", b"\x95", b"\x96")),
        b"\x8c\x02ab",
        b"C\x04\x00\x01\x02\x03",
        b"X\x05\x00\x00\x00dtype",
        b"X\x02\x00\x00\x00f4",
        b"I99999\n",
        b"L99999L\n",
        b"F1.5\n",
        b"S'a'\n",
        b"Va\n",
        b"cnumpy\ndtype\n",
        b"cnumpy\nndarray\n",
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"cnumpy.core.multiarray\nscalar\n",
        b"cnumpy._core.numeric\n_frombuffer\n",
        b"c_codecs\nencode\n",
        b"cbuiltins\nbytes\n",
    ]
)
ARRAYS = st_np.arrays(
    st_np.scalar_dtypes() | st_np.array_dtypes(),
    st_np.array_shapes(min_dims=0, max_dims=3, max_side=3),
)


@fuzz
@given(st.lists(OPCODES | st.binary(max_size=3), max_size=40).map(b"".join))
def test_any_opcodes(content: bytes):
    attempt(lambda: safe_pickle.load(content + b"."), ValueError)


@fuzz
@given(
    st.integers(0, pickle.HIGHEST_PROTOCOL).flatmap(
        lambda protocol: damaged(pickle.dumps(META | BATCH, protocol))
    )
)
def test_damaged_pickles(content: bytes):
    attempt(lambda: safe_pickle.load(content), ValueError)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dataset")
    (directory / cifar.META_FILE).write_bytes(pickle.dumps(META))
    for names in cifar.SPLIT_FILES.values():
        for name in names:
            (directory / name).write_bytes(pickle.dumps(BATCH))
    assert len(cifar.read(directory, SIDE)["train"]) == 5
    return directory


ITEMS = SCALARS | ARRAYS | VALUES | st.sampled_from(list(BATCH.values()))


@fuzz
@given(
    file=st.sampled_from([cifar.META_FILE, "data_batch_3"]),
    changes=st.dictionaries(
        st.sampled_from([*META, *BATCH]),
        ITEMS | st.lists(ITEMS, min_size=1, max_size=2),
        min_size=1,
        max_size=3,
    ),
)
@example(file="data_batch_3", changes={"weights": np.ones((1, 2), np.float32)})
@example(file="data_batch_3", changes={"weights": np.array(["a"])})
@example(file="data_batch_3", changes={"prompts": [[7]]})
@example(file="data_batch_3", changes={"prompts": ["text"]})
@example(file="data_batch_3", changes={"prompts": [np.zeros(2)]})
@example(file="data_batch_3", changes={"species": "O"})
@example(file="data_batch_3", changes={"filenames": ["\u0100"]})
@example(file="data_batch_3", changes={"attributes": np.full((1, 10), np.nan)})
@example(file="data_batch_3", changes={"relatives": np.full((1, 4), 9, np.int32)})
@example(file="data_batch_3", changes={"relatives": "none"})
def test_odd_datasets(dataset: Path, file: str, changes: dict[str, Any]):
    with replaced_by(dataset / file, {**META, **BATCH, **changes}):
        attempt(lambda: check(cifar.read(dataset, SIDE)), ValueError)


@pytest.mark.parametrize("name", ["format_version", "image_size"])
def test_nothing_takes_forever_to_show(dataset: Path, name: str):
    deep: list[Any] = []
    for _ in range(60):
        deep = [deep, deep]
    with replaced_by(dataset / cifar.META_FILE, {**META, name: deep}):
        with pytest.raises(ValueError, match=str(dataset)) as refused:
            cifar.read(dataset, SIDE)
        assert len(str(refused.value)) < 2000


@contextlib.contextmanager
def replaced_by(path: Path, content: dict[str, Any]) -> Iterator[None]:
    kept = path.read_bytes()
    path.write_bytes(pickle.dumps(content))
    try:
        yield
    finally:
        path.write_bytes(kept)


def check(splits: dict[str, cifar.Rows]):
    """What was taken is what its class promises."""
    for rows in splits.values():
        texts = rows.views, rows.styles, rows.species, rows.filenames
        texts += tuple(rows.prompts)
        assert all(type(text) is str for words in texts for text in words)
        assert rows.weights.shape == (len(rows),)
        assert rows.attributes.dtype == np.int32
        rows.conditions()
        rows.sha256()
