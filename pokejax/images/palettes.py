"""Palettes as the text files that drawing programs and game tools read.

Row 0 stands for what is transparent, as in the PNGs. GIMP's and Lospec's files leave it
out; JASC's keeps it, since tools for handhelds go by the index.
"""

import numpy as np
from jaxtyping import UInt8


def gimp(palette: UInt8[np.ndarray, "k 3"], name: str) -> str:
    """A `.gpl`, which GIMP, Krita, Inkscape and Aseprite read.

    Args:
      palette: sRGB; row 0 is left out.
      name: of the palette, one line.
    """
    rows = [f"{r:3d} {g:3d} {b:3d}\t#{r:02x}{g:02x}{b:02x}" for r, g, b in palette[1:]]
    return "\n".join(["GIMP Palette", f"Name: {name}", "Columns: 8", "#", *rows, ""])


def hexes(palette: UInt8[np.ndarray, "k 3"]) -> str:
    """A `.hex`, Lospec's form: a color a line; row 0 is left out."""
    return "".join(f"{r:02x}{g:02x}{b:02x}\n" for r, g, b in palette[1:])


def jasc(palette: UInt8[np.ndarray, "k 3"]) -> str:
    """A `.pal`, Paint Shop Pro's form, with all rows, at their indices."""
    head = ["JASC-PAL", "0100", str(len(palette))]
    return "".join(f"{line}\r\n" for line in [*head, *(_row(c) for c in palette)])


def _row(color: UInt8[np.ndarray, " 3"]) -> str:
    return " ".join(map(str, color))
