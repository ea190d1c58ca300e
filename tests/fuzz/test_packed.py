"""`.npz` files: packed datasets, and indices of training pictures."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from pokejax.attributes import CONDITIONS, RELATIONS
from pokejax.config import TextConfig
from pokejax.data import packed
from pokejax.data.fingerprint import fingerprint
from pokejax.data.split import Dataset, Split
from pokejax.images import training_index
from pokejax.images.training_index import IndexFileError, TrainingIndex
from tests.helpers.fuzzing import SCALARS, VALUES, attempt, damaged, fuzz, replaced

SIDE = 16
TEXT = TextConfig()


def split() -> Split:
    """Of two pictures, the back of each other."""
    return Split(
        np.zeros((2, SIDE, SIDE, 3), np.uint8),
        np.zeros((2, SIDE, SIDE), np.uint8),
        np.zeros((2, len(CONDITIONS)), np.int32),
        np.zeros((2, 3), np.int32),
        np.ones(2, np.int32),
        np.ones(2, np.float32),
        np.array([[-1, 1, -1, -1], [-1, 0, -1, -1]], np.int32),
    )


def written(write: Callable[[Path], None], path: Path) -> bytes:
    write(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packed") / "odd.npz"


@pytest.fixture(scope="module")
def files(path: Path) -> dict[str, bytes]:
    """A small file of each kind."""
    splits = {name: split() for name in packed.SPLITS}
    dataset = Dataset(splits, np.ones((2, 4), np.float16), "own", TEXT, ("a", "b"))
    pictures = np.zeros((3, 8, 8, 3), np.uint8)
    return {
        "dataset": written(lambda path: packed.write(dataset, path), path),
        "index": written(TrainingIndex.of(pictures, pictures[:2]).write, path),
    }


def check(path: Path) -> None:
    """Whatever is in the file: refused, or as promised, by both of its readers."""
    dataset = attempt(lambda: packed.read(path, TEXT), ValueError)
    if dataset:
        fingerprint(dataset)
        for part in dataset.splits.values():
            dataset.text_emb[part.prompt_ids]
            rows = part.relatives
            assert part.drawn(slice(None)).shape[0] == len(part) == len(part.weights)
            assert rows is None or rows.shape == (len(part), len(RELATIONS))
    index = attempt(lambda: training_index.read(path), IndexFileError)
    if index:
        found = index.nearness(np.zeros((16, 16, 3), np.uint8))
        assert 0 <= found.distance <= 1 and 0 <= found.nearer <= 1


@fuzz
@given(data=st.data())
def test_damaged_files(files: dict[str, bytes], path: Path, data: st.DataObject):
    whole = files[data.draw(st.sampled_from(sorted(files)))]
    path.write_bytes(data.draw(damaged(whole) | st.binary(max_size=40)))
    check(path)


def stored(arrays: dict[str, np.ndarray]) -> dict[str, bytes]:
    """Each array as the member of an `.npz` that it would be."""
    members = {}
    for name, array in arrays.items():
        file = io.BytesIO()
        np.lib.format.write_array(file, array, allow_pickle=True)
        members[f"{name}.npy"] = file.getvalue()
    return members


def zipped(members: dict[str, bytes], kind: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


ZIPS = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
SHAPES = st.lists(st.sampled_from([-1, 0, 1, 2, 3, 2**31, 2**62, 10**30]), max_size=5)
DTYPES = st.sampled_from(["|u1", "<i4", ">f4", "|O", "<M8[s]", "|S0", "<U0", "|V4", ""])
# What numpy reads with Python's own parser.
HEADS = st.builds(
    "{{'descr': {!r}, 'fortran_order': {!r}, 'shape': {!r}}}".format,
    DTYPES | st.lists(st.tuples(st.text(max_size=3), DTYPES), max_size=2),
    st.booleans() | SCALARS,
    SHAPES.map(tuple) | SCALARS,
) | st.sampled_from(["-" * 9000 + "1", "(" * 9000, "[" * 100, "{'a': 1L}", "\0", "'"])
# Whole members: a header of any kind before a few bytes.
MEMBERS = st.builds(
    lambda version, head, rest: (
        b"\x93NUMPY" + version + len(head).to_bytes(2, "little") + head + rest
    ),
    st.sampled_from([b"\1\0", b"\2\0", b"\3\0", b"\xff\0"]),
    HEADS.map(lambda head: head.encode("utf-8", "replace")),
    st.binary(max_size=8),
)


@fuzz
@given(data=st.data())
def test_odd_members(files: dict[str, bytes], path: Path, data: st.DataObject):
    """Hostile headers, and damage that no checksum shows."""
    with np.load(io.BytesIO(files[data.draw(st.sampled_from(sorted(files)))])) as file:
        members = stored(dict(file))
    for name in data.draw(st.lists(st.sampled_from(sorted(members)), max_size=3)):
        members[name] = data.draw(MEMBERS | damaged(members[name]))
    path.write_bytes(zipped(members, data.draw(ZIPS)))
    check(path)


ARRAYS = st_np.arrays(
    st_np.scalar_dtypes(),
    st_np.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3),
)


@fuzz
@given(data=st.data())
def test_odd_arrays(files: dict[str, bytes], path: Path, data: st.DataObject):
    with np.load(io.BytesIO(files[data.draw(st.sampled_from(sorted(files)))])) as file:
        arrays = dict(file)
    names = st.lists(st.sampled_from(sorted(arrays)), max_size=3, unique=True)
    for name in data.draw(names):
        array = arrays[name]
        odd: dict[str, Callable[[], np.ndarray]] = {
            "any": lambda: data.draw(ARRAYS),
            "objects": lambda a=array: a.astype(object),
            "filled": lambda a=array: np.full_like(
                a, data.draw(st.sampled_from([0, 1, 2, 200, 127]))
            ),
            "below": lambda a=array: a - np.array(2, a.dtype),
            "shape": lambda a=array: a[..., None],
            "fewer": lambda a=array: a[:1],
            "none": lambda a=array: a[:0],
            "dtype": lambda a=array: a.astype(data.draw(st.sampled_from("?bBiIqefd"))),
            "order": lambda a=array: np.asfortranarray(a),
        }
        arrays[name] = odd[data.draw(st.sampled_from(sorted(odd)))]()
    path.write_bytes(zipped(stored(arrays), zipfile.ZIP_STORED))
    check(path)


@fuzz
@given(data=st.data())
def test_odd_headers(files: dict[str, bytes], path: Path, data: st.DataObject):
    with np.load(io.BytesIO(files["dataset"])) as file:
        arrays = dict(file)
    header = json.loads(arrays["header"].tobytes())
    text = json.dumps(data.draw(st.composite(replaced)(header, VALUES)))
    arrays["header"] = np.frombuffer(text.encode(), np.uint8)
    path.write_bytes(zipped(stored(arrays), zipfile.ZIP_STORED))
    check(path)
