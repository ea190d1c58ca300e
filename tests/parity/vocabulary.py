"""CLIP's vocabulary, rebuilt from its list of merges."""

import gzip
from pathlib import Path

SPECIAL = ("<|startoftext|>", "<|endoftext|>")
MERGES = 49_152 - 256 - 2  # how many of the file's lines CLIP uses


def read_merges(path: Path) -> list[str]:
    """Return CLIP's merges from `bpe_simple_vocab_16e6.txt.gz`, "first second" each."""
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    return lines[1 : MERGES + 1]


def build_vocab(merges: list[str]) -> dict[str, int]:
    """Return token to id: bytes, bytes that end a word, merges, special tokens."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    tokens = [
        *symbols,
        *(symbol + "</w>" for symbol in symbols),
        *(merge.replace(" ", "") for merge in merges),
        *SPECIAL,
    ]
    return {token: index for index, token in enumerate(tokens)}
