"""The model that comes with pokejax: whole, small, and what its documents say it is."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pokejax import Sampler, generate
from pokejax.images.colors import primary_and_secondary
from pokejax.inference import bundle, shipped
from pokejax.inference.bundle import BundleError
from pokejax.inference.recipe import Start


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return Sampler.load()


def test_it_is_small_and_pinned_and_knows_nothing_of_its_maker(sampler: Sampler):
    assert shipped.MODEL.stat().st_size < 24_000_000
    assert sampler.bundle.prior is not None
    config = sampler.bundle.header.config
    for path in (config.data.dir, config.prior.base, config.train.workdir):
        assert not Path(path).is_absolute() and ".." not in path


def test_an_altered_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    altered = tmp_path / "thumbnail64.safetensors"
    content = bytearray(shipped.MODEL.read_bytes())
    content[-1] ^= 1
    altered.write_bytes(content)
    with pytest.raises(BundleError, match="is damaged"):
        bundle.read(altered)
    monkeypatch.setattr(shipped, "MODEL", altered)
    with pytest.raises(BundleError, match="not the model that this version ships"):
        bundle.read(altered)


@pytest.mark.parametrize("color", ["Red", "Blue", "Green", "Yellow"])
def test_colours_are_what_the_prompt_says(color: str, sampler: Sampler):
    samples = sampler.generate(f"a {color.lower()} creature", num=8, seed=0)
    images = [Image.fromarray(sample.image) for sample in samples]
    seen = [primary_and_secondary(image)[0] for image in images]
    # Chance is one in eleven. A light red is a pink to the rule that names colors.
    assert seen.count(color) >= 3
    # Eight creatures, on the dataset's white.
    assert len({sample.image.tobytes() for sample in samples}) == 8
    corners = np.stack([sample.image[::63, ::63] for sample in samples])
    assert np.median(corners) > 240


def test_what_starts_from_a_picture_keeps_its_details(sampler: Sampler):
    (given,) = sampler.generate("a small blue water turtle", seed=8)
    start = Start(given.rgba.tobytes(), 0.3)
    (near,) = sampler.generate("a creature", seed=1, start=start)
    # 15 without details, of 255.
    assert 0 < np.abs(near.image.astype(int) - given.image).mean() < 10


def test_it_is_what_commands_draw_with(tmp_path: Path):
    argv = ["--prompt", "a red dragon", "--num=1", "--seed=3", "--out", str(tmp_path)]
    assert generate.main(argv) == 0
    expected = Sampler.load().generate("a red dragon", seed=3)[0].png()
    assert (tmp_path / "a-red-dragon_3.png").read_bytes() == expected


def test_it_draws_what_readme_says(tmp_path: Path):
    text = Path("README.md").read_text("utf-8")
    lines = re.findall(r"^pokejax draw (.*)$", text, flags=re.M)
    assert lines
    for line in lines:
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        assert generate.main([*shlex.split(line), "--num=1", "--out", str(out)]) == 0
        assert len(list(out.glob("*_*.png"))) == 2  # a picture and the contact sheet
