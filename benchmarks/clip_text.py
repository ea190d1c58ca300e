"""Encode 32 prompts at ViT-L/14's text geometry: pokejax beside transformers.

    PYTHONPATH=tests/parity python benchmarks/clip_text.py     (part of `make parity`)

Random weights, float32, the same prompts, the same threads; the two take turns in one
run, medians of seven. The original's script pads every prompt to 77 tokens.
"""

# torch and transformers are in nobody's development environment.
# pyright: reportMissingImports=false

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import jax
import torch
import transformers
from reference import LARGE, clip_tokenizer, clip_tower, reference_encode
from vocabulary import read_merges

from pokejax.text.clip import ClipTextEncoder

PROMPTS = {
    "short (about 10 tokens)": "{} a small blue water turtle with a red shell",
    "cut at 77 tokens": "{}" + " dragon" * 100,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Encode 32 prompts, both sides.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--vocab", type=Path, help="bpe_simple_vocab_16e6.txt.gz")
    args = parser.parse_args()
    tokenizer = clip_tokenizer(read_merges(args.vocab or _packaged_vocab()))
    tower = clip_tower(3, hidden_act="quick_gelu", eos_token_id=2, **LARGE)
    with tempfile.TemporaryDirectory() as folder:
        tower.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        encoder = ClipTextEncoder.load(folder, progress=False)
    print(f"jax {jax.__version__}, torch {torch.__version__},", end=" ")
    print(f"transformers {transformers.__version__}; seconds for 32 prompts")
    for name, template in PROMPTS.items():
        batch = [template.format(i) for i in range(32)]
        sides = {
            "pokejax": lambda b=batch: encoder.encode(b),
            "transformers, padded to the longest": lambda b=batch: reference_encode(
                tower, tokenizer, b, "longest"
            ),
            "transformers, padded to 77": lambda b=batch: reference_encode(
                tower, tokenizer, b, "max_length"
            ),
        }
        seconds = {side: [] for side in sides}
        for round_ in range(args.rounds + 1):
            for side, run in sides.items():
                start = time.perf_counter()
                run()
                if round_:  # the first compiles and warms up
                    seconds[side].append(time.perf_counter() - start)
        ours = statistics.median(seconds["pokejax"])
        print(f"\n{name}")
        for side, values in seconds.items():
            median = statistics.median(values)
            print(f"  {side:<36}{median:7.2f} s   pokejax takes {ours / median:.2f}")


def _packaged_vocab() -> Path:
    import importlib.util

    spec = importlib.util.find_spec("open_clip")
    assert spec is not None and spec.origin, "pip install --no-deps open-clip-torch"
    return Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz"


if __name__ == "__main__":
    main()
