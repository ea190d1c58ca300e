import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pokejax.text.clip import ClipTextEncoder
from pokejax.text.clip_tokenizer import ClipTokenizer
from pokejax.text.clip_tower import ClipTextConfig
from tests.helpers.tiny_clip import tiny_clip_config, write_tiny_clip

PROMPTS = ["a red bird", "a dragon " * 40, "", "two blue fish", "火 🔥", "x" * 20]


def load(source: Path | str, **options: Any) -> ClipTextEncoder:
    return ClipTextEncoder.load(str(source), progress=False, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_clip(tmp_path / "clip")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> ClipTextEncoder:
    return load(write_tiny_clip(tmp_path_factory.mktemp("clip")))


def edit_config(folder: Path, **changes: Any) -> None:
    (folder / "config.json").write_text(json.dumps(tiny_clip_config(**changes)))


def edit_tensors(folder: Path, edit: Callable[[dict[str, np.ndarray]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


# --- prompts in, vectors out ---------------------------------------------------------


def test_encode_keeps_order_whatever_the_batching(encoder: ClipTextEncoder):
    prompts = [f"{PROMPTS[i % 6]} {i}" for i in range(43)]  # 32 + 8 + 3 of a padded 8
    together = encoder.encode(prompts)
    assert together.shape == (43, encoder.dim) == (43, 16)
    assert together.dtype == np.float32
    alone = np.concatenate([encoder.encode([prompt]) for prompt in prompts])
    np.testing.assert_allclose(together, alone, atol=2e-5)
    assert len(np.unique(together.round(3), axis=0)) > 30


def test_encode_of_nothing_and_of_one_string(encoder: ClipTextEncoder):
    assert encoder.encode([]).shape == (0, 16)
    with pytest.raises(TypeError, match="sequence of strings"):
        encoder.encode("a red bird")


def test_lone_surrogate_is_a_question_mark(encoder: ClipTextEncoder):
    odd, plain = encoder.encode(["a \ud83d b"]), encoder.encode(["a ? b"])
    np.testing.assert_array_equal(odd, plain)


def test_words_beyond_the_last_position_are_dropped(encoder: ClipTextEncoder):
    long = "ab " * 100
    np.testing.assert_array_equal(encoder.encode([long]), encoder.encode([long + "!"]))


def test_bfloat16_is_near_float32(folder: Path):
    exact, rough = load(folder), load(folder, dtype="bfloat16")
    assert exact.identity != rough.identity
    a, b = exact.encode(PROMPTS), rough.encode(PROMPTS)
    assert b.dtype == np.float32
    assert 1e-4 < np.abs(a - b).max() / np.abs(a).max() < 0.05


# --- forms of a checkpoint -----------------------------------------------------------


def test_every_form_of_the_same_weights_is_the_same_encoder(
    folder: Path, tmp_path: Path, encoder: ClipTextEncoder
):
    tensors = load_file(folder / "model.safetensors")
    single = folder / "model.safetensors"

    flat = write_tiny_clip(tmp_path / "text_only")
    bare = {k.removeprefix("text_model."): v for k, v in tensors.items()}
    # A buffer of old files, and a head that is none of the tower's.
    bare["embeddings.position_ids"] = np.arange(77)[None]
    bare["text_projection.weight"] = np.zeros((16, 16), np.float32)
    save_file(bare, flat / "model.safetensors")
    text_config = tiny_clip_config()["text_config"]
    (flat / "config.json").write_text(json.dumps(text_config))

    sharded = write_tiny_clip(tmp_path / "sharded")
    (sharded / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"model-1.safetensors": names[:20], "model-2.safetensors": names[20:]}
    weight_map = {name: shard for shard, some in shards.items() for name in some}
    weight_map["vision_model.embeddings.class_embedding"] = "model-3.safetensors"
    for shard, some in shards.items():
        save_file({name: tensors[name] for name in some}, sharded / shard)
    index = json.dumps({"weight_map": weight_map})
    (sharded / "model.safetensors.index.json").write_text(index)

    expected = encoder.encode(PROMPTS)
    # The third shard, of the image half only, isn't even there.
    for source in (single, flat, sharded):
        again = load(source)
        assert again.identity == encoder.identity
        np.testing.assert_array_equal(again.encode(PROMPTS), expected)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_files_load(folder: Path, dtype: Any):
    def halve(tensors: dict[str, np.ndarray]) -> None:
        for name, value in tensors.items():
            tensors[name] = value.astype(dtype)

    full = load(folder).encode(PROMPTS)
    edit_tensors(folder, halve)
    assert np.abs(load(folder).encode(PROMPTS) - full).max() < 0.1


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: edit_config(folder, hidden_act="gelu"),
        lambda folder: edit_config(folder, eos_token_id=513),
        lambda folder: edit_config(folder, num_attention_heads=4),
        lambda folder: write_tiny_clip(folder, seed=1),
        lambda folder: (folder / "tokenizer_config.json").write_text(
            '{"pad_token": {"content": "!"}}'
        ),
    ],
    ids=["activation", "pooling", "heads", "weights", "padding"],
)
def test_identity_changes_with(folder: Path, encoder: ClipTextEncoder, change: Any):
    assert load(folder).identity == encoder.identity
    change(folder)
    assert load(folder).identity != encoder.identity


# --- the hub's cache -----------------------------------------------------------------


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME"])
def test_hub_id_is_found_in_the_local_cache(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    encoder: ClipTextEncoder,
):
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    hub = tmp_path if variable == "HF_HUB_CACHE" else tmp_path / "hub"
    repo = hub / "models--someone--tiny.clip-1"
    write_tiny_clip(repo / "snapshots" / "current")
    write_tiny_clip(repo / "snapshots" / "other", seed=1)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("current")
    assert load("someone/tiny.clip-1").identity == encoder.identity


def test_out_of_reach_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match=r"--text\.encoder static") as caught:
        load("openai/clip-vit-large-patch14")
    assert "openai/clip-vit-large-patch14" in str(caught.value)
    assert "\n" not in str(caught.value)


# --- bad files: one line, naming what is wrong ---------------------------------------

FC1 = "text_model.encoder.layers.1.mlp.fc1.weight"


def drop_leaf(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors.pop(FC1))


def reshape_leaf(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors.update({FC1: tensors[FC1].T.copy()}))


def integer_leaf(folder: Path) -> None:
    edit_tensors(
        folder, lambda tensors: tensors.update({FC1: tensors[FC1].astype(np.int8)})
    )


def vision_only(folder: Path) -> None:
    tensors = {"vision_model.class_embedding": np.zeros(3, np.float32)}
    save_file(tensors, folder / "model.safetensors")


def pickle_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def truncate(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 5000)


def shard_outside(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {FC1: "../secret.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def big_vocabulary(folder: Path) -> None:
    vocab = json.loads((folder / "vocab.json").read_text("utf-8"))
    (folder / "vocab.json").write_text(json.dumps({**vocab, "more</w>": 514}), "utf-8")


def text(name: str, content: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text(content)


def gone(*names: str) -> Callable[[Path], Any]:
    return lambda folder: [(folder / name).unlink() for name in names]


def config(**changes: Any) -> Callable[[Path], Any]:
    return lambda folder: edit_config(folder, **changes)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (drop_leaf, ValueError, f"1 of 36 tensors are missing, first '{FC1}'"),
        (
            reshape_leaf,
            ValueError,
            f"'{FC1}' must be .* shape \\[32, 16\\], got .*32\\]",
        ),
        (integer_leaf, ValueError, f"'{FC1}' must be floating point .* got I8"),
        (vision_only, ValueError, "36 of 36 tensors are missing"),
        (config(num_hidden_layers=1), ValueError, "16 tensors too many, first .*ers.1"),
        (config(num_hidden_layers=3), ValueError, "16 of 52 tensors .* first .*ers.2"),
        (
            pickle_only,
            FileNotFoundError,
            "no model.safetensors .only pytorch_model.bin",
        ),
        (truncate, ValueError, "model.safetensors: not a complete safetensors file"),
        (shard_outside, ValueError, "'../secret.safetensors' is outside"),
        (gone("model.safetensors"), FileNotFoundError, "no model.safetensors$"),
        (gone("config.json"), FileNotFoundError, "no config.json"),
        (text("config.json", "{"), ValueError, "config.json: not JSON"),
        (text("config.json", "[]"), ValueError, "config.json: expected a JSON object"),
        (text("config.json", "{}"), ValueError, "neither text_config nor hidden_size"),
        (text("config.json", '{"model_type": "metaclip_2"}'), ValueError, "metaclip_2"),
        (config(hidden_act="relu"), ValueError, "one of quick_gelu, gelu, got 'relu'"),
        (config(num_attention_heads=3), ValueError, "16 isn't a multiple .* 3"),
        (config(hidden_size="16"), ValueError, "bad value hidden_size='16'"),
        (config(eos_token_id=[2]), ValueError, r"bad value eos_token_id=\[2\]"),
        (config(layer_norm_eps=0), ValueError, "layer_norm_eps must be > 0, got 0"),
        (config(eos_token_id=5), ValueError, "ends prompts with id 513.*looks for 5"),
        (gone("vocab.json"), FileNotFoundError, "no tokenizer .tokenizer.json, or"),
        (text("tokenizer.json", "{}"), ValueError, "unreadable tokenizer"),
        (text("merges.txt", "a b c"), ValueError, "merges.txt: every line"),
        (text("vocab.json", "{}"), ValueError, "unreadable tokenizer"),
        (big_vocabulary, ValueError, "the tokenizer has 515 tokens, the tower 514"),
    ],
)
def test_bad_folder_is_refused_in_one_line(
    folder: Path, spoil: Callable[[Path], Any], error: type[Exception], message: str
):
    spoil(folder)
    with pytest.raises(error, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_bad_sources_are_refused(folder: Path):
    pickle_only(folder)
    with pytest.raises(ValueError, match="pickle checkpoints are not read"):
        load(folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"no CLIP weights at './nowhere'"):
        load("./nowhere")
    with pytest.raises(FileNotFoundError, match=r"no CLIP weights at 'a/b.safe"):
        load("a/b.safetensors")
    with pytest.raises(ValueError, match="float32 or bfloat16, got 'float16'"):
        load(folder, dtype="float16")


# --- config and tokenizer by themselves ----------------------------------------------


def test_config_defaults_are_the_references():
    # transformers 5.23.0, CLIPTextConfig: what a saved config may leave out.
    config = ClipTextConfig.from_json({"model_type": "clip", "text_config": {}})
    assert config == ClipTextConfig(
        49408, 512, 2048, 12, 8, 77, "quick_gelu", 1e-5, 49407
    )


def test_old_text_config_dict_is_left_alone():
    both = {"text_config": {"hidden_size": 64}, "text_config_dict": {"hidden_size": 32}}
    assert ClipTextConfig.from_json(both).hidden_size == 64


def test_tokenizer_lowers_and_collapses(folder: Path):
    tokenizer = ClipTokenizer.load(folder, max_length=77)
    first, second = tokenizer(["A  Red\tBIRD ", "a red bird"])
    assert first == second
    assert (first[0], first[-1]) == (512, 513)


def test_padding_token_is_special_in_prompts_too(folder: Path):
    plain = ClipTokenizer.load(folder, max_length=77)
    (folder / "special_tokens_map.json").write_text('{"pad_token": "!"}')
    marked = ClipTokenizer.load(folder, max_length=77)
    assert plain.pad_id == 513
    vocab = json.loads((folder / "vocab.json").read_text("utf-8"))
    assert marked.pad_id == vocab["!"]
    assert plain(["!"])[0][1] == vocab["!</w>"]
    assert marked(["!"])[0][1] == vocab["!"]
