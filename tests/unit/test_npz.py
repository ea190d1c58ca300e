"""`.npz` files from strangers: what fits is read, all else refused in one line."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pokejax import npz
from pokejax.npz import NpzError


def pack(path: Path, kind: int = zipfile.ZIP_DEFLATED, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)


def member(shape: str, descr: str = "'|u1'", data: bytes = b"") -> bytes:
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head + data


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_comes_back(save, tmp_path: Path):
    arrays = {
        "bytes": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "none": np.zeros((0, 3), np.float16),
        "number": np.array(7),
        "text": np.array(["é", "xyz"]),
        "big_endian": np.arange(3, dtype=">i4"),
    }
    save(tmp_path / "a.npz", **arrays)
    found = npz.read(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and found[name].flags.c_contiguous
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    "content",
    [
        member("(1099511627776,)"),
        member("(3,)", data=b"12"),
        member("(-1, 2)", data=b"123"),
        member(f"({10**30},)"),
        member("(1,)", "'|O'", b"\x80\x04."),
        member("(1,)", "[('a', '<f4')]", bytes(4)),
        member("(1,)", "'<M8[s]'", bytes(8)),
        member("-" * 9000 + "1"),
        member("(" * 150),
        b"\x93NUMPY\3\0",
        b"no array",
    ],
)
def test_a_member_that_is_no_plain_array(content: bytes, tmp_path: Path):
    path = tmp_path / "a.npz"
    pack(path, a=content)
    tracemalloc.start()
    with pytest.raises(NpzError) as refused:
        npz.read(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 200


def test_a_file_that_unpacks_to_far_more_than_its_size(tmp_path: Path):
    path = tmp_path / "a.npz"
    bomb = member(f"({2**27},)", data=bytes(2**27))
    pack(path, a=bomb)
    assert path.stat().st_size < 2**18
    with pytest.raises(NpzError, match="far more than its own size"):
        npz.read(path)
    # Python would unpack all of this, whatever size it claims.
    pack(path, zipfile.ZIP_BZIP2, a=member("(1,)", data=b"1"))
    with pytest.raises(NpzError, match="another way than numpy packs"):
        npz.read(path)


def test_a_file_that_is_torn_or_changed(tmp_path: Path):
    file = io.BytesIO()
    np.savez(file, a=np.arange(1000))
    whole = bytearray(file.getvalue())
    changed = whole.copy()
    changed[500] ^= 1
    for content in (b"", b"PK\x03\x04 torn", whole[:500], whole[:-1], changed):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(NpzError):
            npz.read(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError):
        npz.read(tmp_path / "b.npz")
