"""The model that comes with pokejax: where it is, and what it must be.

`docs/RESULTS.md` says how it was made and how good it is.
"""

from pathlib import Path

MODEL = Path(__file__).parents[1] / "weights" / "thumbnail64.safetensors"
SHA256 = "819e526f696384248643a5871ebd2d56f52d6d712a75816aed87c7a26bb11c42"
