"""Token ids against goldens of `transformers`' CLIPTokenizer, over 2,000 merges.

Goldens: tests/parity/goldens/tokenizer.npz, its origin in tokenizer.json beside it. The
full vocabulary is compared by `make parity`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pokejax.text.clip_tokenizer import ClipTokenizer

GOLDENS = Path(__file__).parent / "goldens"


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    with np.load(GOLDENS / "tokenizer.npz") as arrays:
        ends = np.cumsum(arrays["lengths"])[:-1]
        return {
            "file": json.loads(arrays["tokenizer_json"].tobytes()),
            "prompts": json.loads(arrays["prompts"].tobytes()),
            "ids": [row.tolist() for row in np.split(arrays["ids"], ends)],
        }


def write_json(folder: Path, tokenizer: dict[str, Any]) -> None:
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")


def write_tables(folder: Path, tokenizer: dict[str, Any]) -> None:
    model = tokenizer["model"]
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), "utf-8")
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", "utf-8")


@pytest.mark.parametrize("write", [write_json, write_tables])
def test_ids_are_identical_on_every_string(tmp_path: Path, golden: Any, write: Any):
    assert len(golden["prompts"]) >= 500
    write(tmp_path, golden["file"])
    ours = ClipTokenizer.load(tmp_path, max_length=77)(golden["prompts"])
    wrong = [
        (prompt[:60], got, expected)
        for prompt, got, expected in zip(
            golden["prompts"], ours, golden["ids"], strict=True
        )
        if got != expected
    ]
    assert wrong == []


def test_both_file_forms_are_the_same_encoder(tmp_path: Path, golden: Any):
    prints = []
    for name, write in (("whole", write_json), ("tables", write_tables)):
        folder = tmp_path / name
        folder.mkdir()
        write(folder, golden["file"])
        prints.append(ClipTokenizer.load(folder, max_length=77).fingerprint())
    assert prints[0] == prints[1]


def test_truncation_keeps_the_end_token(golden: Any):
    full = [row for row in golden["ids"] if len(row) == 77]
    assert len(full) > 10
    assert len({row[-1] for row in golden["ids"]}) == 1
