"""Bundles: safetensors files, and the JSON in their header."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from pokejax.inference import bundle
from tests.helpers import bundles
from tests.helpers.fuzzing import VALUES, attempt, damaged, fuzz, replaced


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundle") / "model.safetensors"


@fuzz
@given(data=st.data())
def test_damaged_files(flow_model: Path, path: Path, data: st.DataObject):
    path.write_bytes(data.draw(damaged(flow_model.read_bytes())))
    attempt(lambda: bundle.read(path), bundle.BundleError)


@fuzz
@given(
    header=st.binary(max_size=80) | VALUES.map(lambda value: repr(value).encode()),
    length=st.none() | st.sampled_from([0, 1, 2**31, 2**63, 2**64 - 1]),
    body=st.binary(max_size=16),
)
def test_any_safetensors_header(
    path: Path, header: bytes, length: int | None, body: bytes
):
    length = len(header) if length is None else length
    path.write_bytes(length.to_bytes(8, "little") + header + body)
    attempt(lambda: bundle.read(path), bundle.BundleError)


@fuzz
@given(data=st.data())
def test_odd_headers(flow_model: Path, path: Path, data: st.DataObject):
    header, arrays = bundles.content(flow_model)
    header = data.draw(st.composite(replaced)(header, VALUES))
    bundles.write(path, header, arrays)
    attempt(lambda: bundle.read(path), bundle.BundleError)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("config.prior.depth", 10**9, "prior.depth is 1000000000"),
        ("config.model.blocks", 10**9, "model.blocks"),
        ("config.prior.width", 2**40, "prior.width"),
        ("config.data.image_size", 2**20, "data.image_size"),
        ("text_dim", 2**40, "text_dim is 1099511627776; expected 1 to"),
        ("text_dim", "256", "text_dim is '256'; expected int"),
        ("encoder", None, "encoder"),
        ("fingerprint", [], "fingerprint"),
        ("format_version", [[1] * 1000] * 1000, "format version"),
        ("config", {"model": []}, "broken header"),
    ],
)
def test_hostile_headers(
    flow_model: Path, path: Path, name: str, value: Any, told: str
):
    header, arrays = bundles.content(flow_model)
    part = header
    *sections, last = name.split(".")
    for section in sections:
        part = part[section]
    part[last] = value
    bundles.write(path, header, arrays)
    with pytest.raises(bundle.BundleError, match=told) as refused:
        bundle.read(path)
    assert len(str(refused.value)) < 1000


def test_a_header_that_is_nested_too_deeply(flow_model: Path, path: Path):
    _, arrays = bundles.content(flow_model)
    save_file(arrays, path, metadata={"pokejax": "[" * 100_000})
    with pytest.raises(bundle.BundleError, match="broken header"):
        bundle.read(path)


@pytest.mark.parametrize(("dtype", "size"), [("BF16", 2), ("F8_E4M3", 1), ("F64", 8)])
def test_types_that_numpy_has_not(path: Path, dtype: str, size: int):
    tensor = {"dtype": dtype, "shape": [4], "data_offsets": [0, 4 * size]}
    header = json.dumps({"encoder.fc.kernel": tensor}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4 * size))
    with pytest.raises(bundle.BundleError, match=str(path)):
        bundle.read(path)


@fuzz
@given(data=st.data())
def test_odd_weights(flow_model: Path, path: Path, data: st.DataObject):
    header, arrays = bundles.content(flow_model)
    name = data.draw(st.sampled_from(sorted(arrays)))
    odd: dict[str, Any] = {
        "dtype": lambda a: a.astype(data.draw(st.sampled_from("?bBhHiIqQefd"))),
        "shape": lambda a: a.ravel(),
        "empty": lambda a: np.zeros((0, 2**40), a.dtype),
        "infinite": lambda a: np.full_like(a, np.inf),
    }
    arrays[name] = odd[data.draw(st.sampled_from(sorted(odd)))](arrays[name])
    arrays[data.draw(st.text(max_size=10))] = arrays[name]
    if data.draw(st.booleans()):
        del arrays[name]
    with np.errstate(all="ignore"):
        bundles.write(path, header, arrays)
    attempt(lambda: bundle.read(path), bundle.BundleError)
