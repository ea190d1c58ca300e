import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from pokejax import pack
from pokejax.attributes import CONDITIONS, STYLES
from pokejax.config import DataConfig, TextConfig
from pokejax.data import dataset as data
from pokejax.data import packed
from pokejax.data.dataset import DataError
from pokejax.data.fingerprint import fingerprint
from pokejax.data.split import Dataset
from pokejax.images import training_index


def load(path: Path, **settings) -> Dataset:
    return data.load(DataConfig(dir=str(path), image_size=32, **settings), TextConfig())


@pytest.fixture
def copy(drawn_dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn_dataset, tmp_path / "copy"))


def test_arrays_fit_together(drawn_dataset: Path):
    dataset = load(drawn_dataset)
    train = dataset.splits["train"]
    assert train.images.shape == (len(train), 32, 32, 3)
    assert train.images[:].dtype == np.uint8
    assert train.attributes.shape == (len(train), 12)
    assert (train.prompt_counts >= 1).all()
    assert train.prompt_ids.max() < len(dataset.text_emb)
    assert dataset.text_emb.shape[1] == dataset.text_dim == 256
    assert all(len(dataset.splits[name]) > 0 for name in ("val", "test"))


def test_pixels_are_those_of_the_file(drawn_dataset: Path):
    with (drawn_dataset / "val_batch").open("rb") as file:
        raw = pickle.load(file, encoding="latin1")  # our own file, just written
    image = load(drawn_dataset).splits["val"].images[:][0]
    assert image[3, 5, 1] == raw["data"][0, 32 * 32 + 3 * 32 + 5]


def test_views_filter(drawn_dataset: Path):
    everything = load(drawn_dataset).splits["val"]
    fronts = load(drawn_dataset, views=("front",)).splits["val"]
    assert 0 < len(fronts) < len(everything)
    with pytest.raises(DataError, match=r"no training picture of data.views \('bakc"):
        load(drawn_dataset, views=("bakc",))


def test_embeddings_are_cached_and_never_stale(copy: Path):
    first = load(copy)
    (cache,) = copy.glob("text_embeddings_static-*.safetensors")
    written = cache.stat().st_mtime_ns
    np.testing.assert_array_equal(load(copy).text_emb, first.text_emb)
    assert cache.stat().st_mtime_ns == written
    # Another set of prompts under the same name: the cache must not be believed.
    fronts = load(copy, views=("front",))
    assert len(fronts.text_emb) < len(first.text_emb)
    assert cache.stat().st_mtime_ns > written


def test_a_damaged_cache_is_made_anew(copy: Path, capsys: pytest.CaptureFixture[str]):
    first = load(copy)
    (cache,) = copy.glob("text_embeddings_static-*.safetensors")
    whole = cache.read_bytes()
    with safe_open(cache, framework="numpy") as file:
        prompts = (file.metadata() or {})["prompts"]
    old = {"text_emb": np.full_like(first.text_emb, np.nan)}
    # Torn, with a flipped bit, and, as earlier versions wrote it, without a hash.
    for damaged in (
        whole[:100],
        whole[:-1] + bytes([whole[-1] ^ 1]),
        save(old, metadata={"prompts": prompts}),
    ):
        assert capsys.readouterr().err == ""
        cache.write_bytes(damaged)
        np.testing.assert_array_equal(load(copy).text_emb, first.text_emb)
        assert capsys.readouterr().err == f"note: {cache} is damaged: embedding anew\n"
        np.testing.assert_array_equal(load(copy).text_emb, first.text_emb)


def test_packed_file_holds_the_same(drawn_dataset: Path, tmp_path: Path):
    packed = tmp_path / "set.npz"
    argv = ["--dir", str(drawn_dataset), "--out", str(packed), "--image-size", "32"]
    assert pack.main([*argv, "--index", str(tmp_path / "index.npz")]) == 0
    ours, theirs = load(packed), load(drawn_dataset)
    index = training_index.read(tmp_path / "index.npz")
    assert len(index.heldout) == len(theirs.splits["val"])
    for picture in theirs.splits["train"].images[:3]:
        assert index.nearness(picture) == (0, 0)
    assert ours.prompts == theirs.prompts
    assert len(ours.prompts) == len(ours.text_emb)
    assert ours.encoder == theirs.encoder
    np.testing.assert_array_equal(ours.text_emb, theirs.text_emb)
    for name, split in theirs.splits.items():
        np.testing.assert_array_equal(ours.splits[name].images[:], split.images[:])
        np.testing.assert_array_equal(ours.splits[name].prompt_ids, split.prompt_ids)
        np.testing.assert_array_equal(ours.splits[name].relatives, split.relatives)
    train = theirs.splits["train"].relatives
    assert train is not None and (train[:, :2] >= 0).any()
    assert fingerprint(ours) == fingerprint(theirs)
    with pytest.raises(DataError, match=r"pass --text\.encoder static"):
        data.load(DataConfig(dir=str(packed), image_size=32), TextConfig("clip"))


def test_a_packed_file_is_filtered_as_a_directory_is(
    drawn_dataset: Path, tmp_path: Path
):
    whole = load(drawn_dataset)
    marked = dict(whole.splits)
    for name, split in whole.splits.items():
        attributes = split.attributes.copy()
        attributes[::2, list(CONDITIONS).index("style")] = STYLES.index("native")
        marked[name] = replace(split, attributes=attributes)
    packed.write(replace(whole, splits=marked), tmp_path / "set.npz")
    kept = load(tmp_path / "set.npz", styles=("native",)).splits["train"]
    np.testing.assert_array_equal(kept.images, marked["train"].images[::2])
    with pytest.raises(DataError, match="no training picture of styles"):
        load(tmp_path / "set.npz", styles=("tuxemon",))
    with pytest.raises(DataError, match="doesn't hold the names of views"):
        load(tmp_path / "set.npz", views=("front",))


def test_a_fingerprint_tells_what_differs(drawn_dataset: Path):
    plain = load(drawn_dataset)

    def changed(**arrays) -> set[str]:
        train = replace(plain.splits["train"], **arrays)
        other = replace(plain, splits=plain.splits | {"train": train})
        before, after = fingerprint(plain), fingerprint(other)
        return {name for name in before if before[name] != after[name]}

    train = plain.splits["train"]
    assert not changed()
    assert changed(weights=np.arange(1, 1 + len(train), dtype=np.float32)) == {
        "weights"
    }
    assert changed(attributes=train.attributes[::-1]) == {"attributes"}
    assert changed(prompt_ids=train.prompt_ids[::-1]) == {"prompts"}
    assert {"pictures", "splits"} <= changed(alpha=train.alpha[::-1])
    swapped = replace(plain, splits={"train": plain.splits["val"], "val": train})
    assert "splits" in {
        k for k, v in fingerprint(swapped).items() if v != fingerprint(plain)[k]
    }


def test_order_is_a_function_of_seed_and_step():
    order = data.Order(7, np.ones(20, np.float32), 6)
    rows = [order.rows(step) for step in range(6)]
    for epoch in (rows[:3], rows[3:]):
        seen = np.concatenate(epoch)
        assert len(set(seen)) == 18  # no repeats; the remainder of 2 is dropped
    np.testing.assert_array_equal(rows[4], order.rows(4))
    assert not np.array_equal(rows[0], rows[3])
    other = data.Order(8, np.ones(20, np.float32), 6)
    assert not np.array_equal(rows[0], other.rows(0))


def test_an_epoch_draws_each_picture_as_often_as_its_weight_says():
    weights = np.array([0.25, 0.5, 1.0, 2.25] * 4, np.float32)
    order = data.Order(0, weights, 4)
    epochs = 40
    drawn = np.concatenate([order.rows(step) for step in range(4 * epochs)])
    counts = np.bincount(drawn, minlength=16)
    np.testing.assert_allclose(counts / epochs, weights, atol=0.08)
    first = np.bincount(np.concatenate([order.rows(s) for s in range(4)]), minlength=16)
    assert (np.abs(first - weights) < 1).all()


def test_missing_directory_says_how_to_make_it(tmp_path: Path):
    with pytest.raises(DataError, match=r"no dataset at .*create_dataset"):
        load(tmp_path / "nowhere")


def test_missing_and_truncated_files_are_named(copy: Path):
    batch = copy / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:200])
    with pytest.raises(DataError, match="data_batch_3"):
        load(copy)
    batch.unlink()
    with pytest.raises(DataError, match="data_batch_3 is missing"):
        load(copy)


class _Hostile:
    def __init__(self, witness: Path):
        self.witness = witness

    def __reduce__(self):
        return (Path.touch, (self.witness,))


def test_a_hostile_pickle_does_not_run(copy: Path, tmp_path: Path):
    witness = tmp_path / "ran"
    (copy / "test_batch").write_bytes(pickle.dumps({"data": _Hostile(witness)}))
    with pytest.raises(DataError, match="test_batch"):
        load(copy)
    assert not witness.exists()


@pytest.mark.parametrize("content", [b"not a dataset", b"PK\x03\x04 torn"])
def test_a_file_that_is_not_packed_says_what_would_be(content: bytes, tmp_path: Path):
    path = tmp_path / "set.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"expected a dataset directory, or") as caught:
        load(path)
    assert "pickle" not in str(caught.value)


def test_a_packed_file_that_contradicts_itself_is_refused(
    drawn_dataset: Path, tmp_path: Path
):
    path = tmp_path / "set.npz"
    packed.write(load(drawn_dataset), path)
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(arrays["header"].tobytes())

    def head(**changes: object) -> np.ndarray:
        return np.frombuffer(json.dumps(header | changes).encode(), np.uint8)

    for name, value, told in (
        ("train.prompt_ids", arrays["train.prompt_ids"] + 10**6, "train.prompt_ids"),
        ("train.prompt_counts", arrays["train.prompt_counts"] * 0, "prompt_counts"),
        ("val.attributes", arrays["val.attributes"] + 99, "val.attributes"),
        ("val.alpha", arrays["val.alpha"][1:], "val.alpha is uint8 of shape"),
        ("test.weights", arrays["test.weights"] * np.nan, "test.weights"),
        ("train.images", arrays["train.images"][..., 0], "train.images"),
        ("text_emb", arrays["text_emb"] * np.nan, "aren't finite"),
        ("header", head(prompts=["one"]), "1 prompts have"),
        ("header", head(text={"a\nb": 1}), "not a packed dataset"),
        ("header", head(text={"encoder": "zzz"}), "text.encoder"),
        ("header", np.frombuffer(b"[" * 100_000, np.uint8), "not a packed dataset"),
    ):
        np.savez(path, allow_pickle=False, **(arrays | {name: value}))
        with pytest.raises(DataError, match=told) as refused:
            load(path)
        assert str(path) in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", pickle.dumps(print)])
def test_a_hostile_or_truncated_meta_is_named(content: bytes, copy: Path):
    (copy / "batches.meta").write_bytes(content)
    with pytest.raises(DataError, match=r"batches\.meta"):
        load(copy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--image-size=63"], "image_size is 63"),
        (["--text.encoder=zzz"], "invalid choice: 'zzz'"),
        (["--out={file}/set.npz"], "set.npz can't be written"),
    ],
)
def test_packing_refuses_bad_input_at_once(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").touch()
    options = [option.format(file=tmp_path / "file") for option in options]
    argv = [f"--dir={tmp_path}", f"--out={tmp_path / 'set.npz'}", *options]
    try:
        code = pack.main(argv)
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_wrong_image_size_is_said(drawn_dataset: Path):
    with pytest.raises(DataError, match=r"32x32 pictures.*image_size is 64"):
        data.load(DataConfig(dir=str(drawn_dataset)), TextConfig())


def test_attribute_ids_out_of_range_are_refused(copy: Path):
    path = copy / "val_batch"
    with path.open("rb") as file:
        batch = pickle.load(file, encoding="latin1")  # our own file, just written
    batch["attributes"][0, 0] = 18
    path.write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(DataError, match="outside their vocabularies"):
        load(copy)


def test_a_reordered_vocabulary_is_refused(copy: Path):
    path = copy / "batches.meta"
    with path.open("rb") as file:
        meta = pickle.load(file, encoding="bytes")  # our own file, just written
    meta[b"vocabularies"]["size"].reverse()
    path.write_bytes(pickle.dumps(meta, protocol=2))
    with pytest.raises(DataError, match=r"batches\.meta.*vocabular"):
        load(copy)
