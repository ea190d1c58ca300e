"""Reading `.npz` files of plain arrays that may come from other people.

`numpy.load` makes room for as many numbers as a file claims to hold, unpacks without
end what was packed to that purpose, and raises nearly anything for what is damaged.
Here an array is what the file has bytes for, and all of them together are no larger
than the file accounts for.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

# Booleans, whole numbers, floats, text; never objects, records or dates.
_PLAIN = "biufSU"
# What numpy packs with; Python unpacks all else without a limit.
_PACKED_BY = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_LONGEST_HEADER = 1000  # ours are of some hundred characters
# Sprites are packed to a tenth, plain areas to less; deflate can reach a thousandth.
_MOST_UNPACKED = 200
_ALWAYS_UNPACKED = 2**26


class NpzError(ValueError):
    """No whole file of plain arrays; the message says why, and doesn't name it."""


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name, row by row in memory; some can't be written to.

    Raises:
      NpzError: it is damaged, hostile, or no `.npz`.
      OSError: it can't be read.
    """
    # Opened here, so that a file that can't be is told from one that is damaged.
    with path.open("rb") as opened:
        try:
            with zipfile.ZipFile(opened) as file:
                members = file.infolist()
                most = _ALWAYS_UNPACKED + _MOST_UNPACKED * path.stat().st_size
                if any(member.compress_type not in _PACKED_BY for member in members):
                    raise NpzError("it is packed in another way than numpy packs")
                if sum(member.file_size for member in members) > most:
                    raise NpzError("it unpacks to far more than its own size")
                arrays = {}
                for member in members:
                    with file.open(member) as part:
                        # No more of it is unpacked than it claims to have.
                        content = part.read(member.file_size)
                    arrays[member.filename.removesuffix(".npy")] = _array(content)
                return arrays
        except (NpzError, MemoryError):
            raise
        except Exception as error:  # a malformed ZIP can raise nearly anything
            raise NpzError("damaged, or not an .npz") from error


def _array(content: bytes) -> np.ndarray:
    file = io.BytesIO(content)
    read_header = _HEADERS[npy.read_magic(file)]
    shape, by_column, dtype = read_header(file, max_header_size=_LONGEST_HEADER)
    if dtype.kind not in _PLAIN:
        raise NpzError(f"it holds an array of dtype {str(dtype)[:100]!r}")
    flat = np.frombuffer(content, dtype, offset=file.tell())
    # However it was written: what is hashed and decoded later goes row by row.
    return np.asarray(flat.reshape(shape, order="F" if by_column else "C"), order="C")
