"""Colours of pictures against what a person calls them; see eye_colors/."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from data_tools.species import COLOR_LETTERS, find
from pokejax.attributes import NONE
from pokejax.images.colors import carried_over, primary_and_secondary

HERE = Path(__file__).parent / "eye_colors"
LETTER_OF = {name: letter for letter, name in COLOR_LETTERS.items()} | {NONE: "-"}


def pictures_of(pairs: list) -> tuple[Image.Image, Image.Image]:
    """As many pixels of each colour as the sprite has, in columns of three."""
    images = []
    for place in (0, 1):
        colors = [bytes.fromhex(pair[place]) for pair in pairs]
        heights = [-(-pair[2] // 3) for pair in pairs]
        pixels = np.zeros((max(heights), 3 * len(pairs), 4), np.uint8)
        for i, (color, height) in enumerate(zip(colors, heights, strict=True)):
            pixels[:height, 3 * i : 3 * i + 3] = [*color, 255]
        images.append(Image.fromarray(pixels))
    return images[0], images[1]


def test_colors_are_those_a_person_names():
    palettes = json.loads((HERE / "palettes.json").read_text("utf-8"))
    right, measured = np.zeros((120, 2)), np.zeros((120, 2))
    lines = (HERE / "labels.txt").read_text("utf-8").splitlines()
    lines = [line.split() for line in lines if not line.startswith("#")]
    for i, (name, palette, *answers) in enumerate(lines):
        entry = find(*name.split("/"))
        assert entry
        normal, shiny = pictures_of(palettes[name])
        names = (entry.primary, entry.secondary)
        if palette == "shiny":
            names = carried_over(normal, shiny, names)
        rule = primary_and_secondary(normal if palette == "normal" else shiny)
        for j in (0, 1):
            right[i, j] = LETTER_OF[names[j]] in answers[j]
            measured[i, j] = LETTER_OF[rule[j]] in answers[j]
    primary, secondary = right.mean(axis=0)
    assert primary >= 0.93 and secondary >= 0.85
    assert (right.mean(axis=0) > measured.mean(axis=0)).all()
