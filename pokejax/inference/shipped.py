"""The model that comes with pokejax: where it is, and what it must be.

`docs/RESULTS.md` says how it was made and how good it is.
"""

from pathlib import Path

MODEL = Path(__file__).parents[1] / "weights" / "thumbnail64.safetensors"
SHA256 = "98503945c82e446c39ebac7a39cf0be7623bd7fdad684d77b0babab629a8d043"
