"""A creature's card: what it is called and like, as JSON and as a picture."""

import io
import textwrap
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pokejax.attributes import NONE, Attributes
from pokejax.creatures.creature import Creature
from pokejax.creatures.names import suggest_name
from pokejax.images.finish import PixelArt

_WIDTH, _HEIGHT, _MARGIN = 400, 180, 12
_SIDE = 128  # pixels of the picture
_SWATCH = 10
_INK, _PAPER, _SHADE = "#222222", "#fbf8ef", "#e6e0cf"


def card_of(creature: Creature) -> dict[str, Any]:
    """Name, types, size and a sentence, and what isn't what it seems."""
    front = creature.front
    attributes = front.attributes
    types = [t for t in (attributes.type1, attributes.type2) if t not in (None, NONE)]
    return {
        "name": suggest_name(front.prompt, attributes, front.seed),
        "types": types,
        "size": attributes.size,
        "text": describe(attributes),
        "prompt": front.prompt,
        "attributes": attributes.known(),
        "notes": list(creature.notes),
    }


def describe(attributes: Attributes) -> str:
    """A sentence of what is known, and nothing else."""
    a = attributes
    colors = " and ".join(
        c.lower() for c in (a.primary_color, a.secondary_color) if c and c != NONE
    )
    types = "-and-".join(t.lower() for t in (a.type1, a.type2) if t and t != NONE)
    rank = "mythical" if a.mythical == "Yes" else ""
    rank = "legendary" if a.legendary == "Yes" else rank
    kind = f"{types}-type" if types else ""
    words = [(a.size or "").lower(), rank, colors, (a.shape or "").lower(), kind]
    told = " ".join(filter(None, [*words, "creature"]))
    place = f" of the {a.habitat.lower()}" if a.habitat else ""
    return f"{'An' if told[0] in 'aeiou' else 'A'} {told}{place}."


def card_png(creature: Creature, card: dict[str, Any]) -> bytes:
    """The card as a picture, 400x180."""
    image = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, _WIDTH - 1, _HEIGHT - 1), outline=_INK)
    box = (_MARGIN, _MARGIN, _MARGIN + _SIDE, _MARGIN + _SIDE)
    draw.rectangle(box, fill=_SHADE)
    picture = _enlarged(creature.views["front"])
    at = _MARGIN + (_SIDE - picture.width) // 2
    image.paste(picture, (at, at), picture)
    left = _MARGIN + _SIDE + _MARGIN
    draw.text((left, 10), card["name"], _INK, ImageFont.load_default(22))
    small = ImageFont.load_default(12)
    facts = [" / ".join(card["types"]) or "type unknown", card["size"] or ""]
    draw.text((left, 40), "   ".join(filter(None, facts)), _INK, small)
    for i, line in enumerate(textwrap.wrap(card["text"], 36)[:5]):
        draw.text((left, 62 + 16 * i), line, _INK, small)
    for row, palette in enumerate((creature.palette, creature.shiny)):
        for i, color in enumerate(palette[1 : 1 + (_WIDTH - 2 * _MARGIN) // _SWATCH]):
            x, y = _MARGIN + _SWATCH * i, _HEIGHT - 31 + _SWATCH * row
            draw.rectangle((x, y, x + _SWATCH, y + _SWATCH), tuple(color.tolist()))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _enlarged(art: PixelArt) -> Image.Image:
    """As large as fits into the card, by whole pixels where there is room."""
    alpha = (art.indices > 0).astype(np.uint8)[..., None] * 255
    image = Image.fromarray(np.concatenate([art.rgb(), alpha], axis=-1))
    times = _SIDE // image.width
    side = image.width * times if times else _SIDE
    return image.resize((side, side), Image.Resampling.NEAREST)
