"""Whose back, evolution or other frame a picture is, by its file's name and family."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_tools.cifar import Picture, write_dataset
from data_tools.relatives import relatives
from data_tools.turned import with_turned
from pokejax.attributes import RELATIONS, Attributes
from pokejax.data import cifar
from tests.data_tools.test_turned import picture as turnable

PIXELS = np.zeros((2, 2, 4), np.uint8)


def picture(name: str, view: str, *, stage: str = "Basic", family: str = "") -> Picture:
    species = name.split("/")[0]
    return Picture(
        f"{name}.png",
        species,
        view,
        Attributes(evolution_stage=stage),
        ("a",),
        PIXELS,
        "native",
        family=(family or species,),
    )


def named(pictures: list[Picture], rows: np.ndarray) -> dict[str, str]:
    """File names of one picture's relatives, by relation."""
    return {
        relation: pictures[row].filename.removesuffix(".png")
        for relation, row in zip(RELATIONS, rows.tolist(), strict=True)
        if row >= 0
    }


def test_views_and_frames_of_one_palette_and_form_are_paired():
    names = {
        "Abra/abra_native_back": "back",
        "Abra/abra_native_front_frame2": "front",
        "Abra/abra_native_front": "front",
        "Abra/abra_native_shiny": "shiny",
        "Abra/abra_native_shiny_back": "shiny_back",
        "Abra/abra_back": "back",
        "Abra/abra_artwork": "artwork",
        "Abra/abra_mega_native_front": "front",
        "Abra/abra_native_front@60": "front",
        "Abra/abra_native_back@60": "back",
        "Abra/of my own": "of my own",
    }
    pictures = [picture(name, view) for name, view in names.items()]
    # One of another species, of the same names, and one that stands here twice.
    pictures += [picture("Kadabra/abra_native_back", "back"), pictures[0]]
    rows = relatives({"train": pictures, "val": []})["train"]
    assert rows.dtype == np.int32 and rows.shape == (len(pictures), 4)
    found = {
        p.filename.removesuffix(".png"): named(pictures, row)
        for p, row in zip(pictures, rows, strict=True)
    }
    front, second = "Abra/abra_native_front", "Abra/abra_native_front_frame2"
    back = "Abra/abra_native_back"
    assert found == {
        back: {"back": front},
        front: {"front": back, "frame": second},
        second: {"front": back, "frame": front},
        "Abra/abra_native_shiny": {"front": "Abra/abra_native_shiny_back"},
        "Abra/abra_native_shiny_back": {"back": "Abra/abra_native_shiny"},
        f"{front}@60": {"front": f"{back}@60"},
        f"{back}@60": {"back": f"{front}@60"},
        "Abra/abra_back": {},
        "Abra/abra_artwork": {},
        "Abra/abra_mega_native_front": {},
        "Abra/of my own": {},
        "Kadabra/abra_native_back": {},
    }
    assert rows[1, RELATIONS.index("front")] == 0  # the first of the two


def test_a_stage_follows_the_only_one_below_it_in_its_family_and_split():
    def front(species: str, stage: str, family: str) -> Picture:
        name = f"{species}/{species.lower()}_native_front"
        return picture(name, "front", stage=stage, family=family)

    line = [front("A", "Baby", "A"), front("B", "Basic", "A"), front("C", "Basic", "C")]
    line += [front("D", "Stage 1", "C"), front("E", "Stage 1", "C")]
    line += [front("F", "Stage 2", "C"), front("G", "Stage 1", "A")]
    # A form stands for none of its species' stages, but evolves as that does.
    line += [
        picture(f"{s}/{s.lower()}_icy_native_front", "front", stage="Alternate")
        for s in ("C", "D")
    ]
    train = [p for p in line if p.species != "B"]
    found = relatives({"train": train, "val": [line[1]]})
    by_name = {
        p.filename.removesuffix(".png"): named(train, row).get("evolution")
        for p, row in zip(train, found["train"], strict=True)
    }
    assert {k: v for k, v in by_name.items() if v} == {
        "D/d_native_front": "C/c_native_front",
        "E/e_native_front": "C/c_native_front",
        "D/d_icy_native_front": "C/c_icy_native_front",
    }
    assert (found["val"] == -1).all()


def test_a_set_holds_them_and_may_not_name_rows_that_it_lacks(tmp_path: Path):
    def own(species: str, view: str) -> Picture:
        pixels = np.zeros((16, 16, 4), np.uint8)
        made = picture(f"{species}/{species.lower()}_{view}", view)
        return replace(made, pixels=pixels, style="")

    train = [own(species, view) for species in "ABC" for view in ("front", "back")]
    splits = {"train": train, "val": [own("D", "front")], "test": []}
    options: dict[str, Any] = {"image_size": 16, "split_by": "species", "seed": 0}
    kin = relatives(splits)
    write_dataset(tmp_path, splits, relatives=kin, **options)
    read = cifar.read(tmp_path, 16)
    np.testing.assert_array_equal(read["train"].relatives, kin["train"])
    assert read["val"].relatives is None  # none is known of any
    kin["train"][0, 0] = len(train)
    write_dataset(tmp_path, splits, relatives=kin, **options)
    with pytest.raises(ValueError, match="rows that train, of 6, doesn't have"):
        cifar.read(tmp_path, 16)
    write_dataset(tmp_path, splits, **options)  # as an earlier version did
    assert cifar.read(tmp_path, 16)["train"].relatives is None


def test_a_familys_copies_in_other_hues_are_relatives():
    front = turnable()
    names = "squirtle_native_back", "squirtle_native_shiny_back"
    backs = [
        replace(front, filename=f"Squirtle/{name}.png", view=view)
        for name, view in zip(names, ("back", "shiny_back"), strict=True)
    ]
    pictures = with_turned([front, *backs], 3, seed=0)
    rows = relatives({"train": pictures})["train"]
    found = [named(pictures, row).get("back") for row in rows[4:8]]
    assert found == [p.filename.removesuffix(".png") for p in pictures[:4]]
