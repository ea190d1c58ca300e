import json
from pathlib import Path

import numpy as np
import pytest

from pokejax import evaluate
from pokejax.sampler import Sampler


def test_wilson_interval_against_a_hand_value():
    # 8 of 10: (0.8 + z^2/20 -+ z sqrt(0.16/10 + z^2/400)) / (1 + z^2/10), z = 1.96.
    np.testing.assert_allclose(
        evaluate.wilson_interval(8, 10), (0.4902, 0.9433), atol=1e-4
    )
    low, high = evaluate.wilson_interval(0, 10)
    assert abs(low) < 1e-12 and high < 0.3


class _Painter:
    """A sampler that paints what it is told, or always blue: a known accuracy."""

    def __init__(self, sampler: Sampler, *, obeys: bool):
        self.sampler, self.obeys = sampler, obeys
        self.bundle = sampler.bundle

    def generate(self, prompt: str, *, seed: int):
        from dataclasses import replace

        from tests.drawn import PALETTE

        (sample,) = self.sampler.generate(prompt, seed=seed)
        asked = sample.attributes.known()["primary_color"] if self.obeys else "Blue"
        image = np.full((32, 32, 3), 255, np.uint8)
        image[5:27, 5:27] = 20  # an outline, or white would be invisible
        image[6:26, 6:26] = PALETTE[asked]
        return [replace(sample, image=image)]


@pytest.mark.parametrize(("obeys", "expected"), [(True, 1.0), (False, 1 / 11)])
def test_known_painters_get_known_scores(tiny_run: Path, obeys: bool, expected: float):
    painter = _Painter(Sampler.load(tiny_run / "model.safetensors"), obeys=obeys)
    result = evaluate.color_adherence(painter, num=55, seed=0)  # pyright: ignore[reportArgumentType]
    assert result["accuracy"] == pytest.approx(expected)


def test_command_writes_what_it_prints(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "deep" / "results.json"
    argv = ["--model", str(tiny_run), "--num", "12", "--out", str(out)]
    assert evaluate.main(argv) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(out.read_text())
    assert printed["color_adherence"]["num"] == 12
    assert evaluate.main(["--model", str(tiny_run), "--num", "0"]) == 2
    assert "num is 0" in capsys.readouterr().err
